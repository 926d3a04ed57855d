// SPDX-License-Identifier: MIT
// Hands a panic on; a crash that the guest handles by itself is only logged.
#include "vmcore/devices/pvpanic.h"

namespace ennead::vmcore {

void PvPanic::write(u64, unsigned, u32 value) {
    if (value & kPanicked) {
        panicked_();
    } else if (event_log_.allow()) {
        log_.info("dev=pvpanic what=%s value=0x%x",
                  value & kCrashLoaded ? "guest_handles_its_crash" : "unknown_event", value);
    }
}

}  // namespace ennead::vmcore
