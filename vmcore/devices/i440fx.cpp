// SPDX-License-Identifier: MIT
// Configuration registers of the 82441FX (Intel data sheet 290549), chiefly PAM[6:0].
#include "vmcore/devices/i440fx.h"

#include <utility>

namespace ennead::vmcore {
namespace {

constexpr unsigned kPam0 = 0x59;
constexpr u8 kReadEnable = 1;
constexpr u8 kWriteEnable = 2;

}  // namespace

I440fx::I440fx(SegmentsChanged changed) {
    reset();
    changed_ = std::move(changed);  // only now: who is told may not be complete before
}

void I440fx::reset() {
    config_ = {};
    // clang-format off
    config_.set16(0x00, 0x8086);
    config_.set16(0x02, 0x1237);
    config_.set16(0x04, 0x0006, 0x0100);  // memory and master always on; SERR# enable
    config_.set16(0x06, 0x0280);          // medium DEVSEL, fast back-to-back
    config_.set32(0x08, 0x0600'0002);     // host bridge, revision 2
    config_.set8(0x0d, 0x00, 0xf8);       // latency timer
    // The chip has none; QEMU's has, and SeaBIOS looks for firmware configuration if it finds these.
    config_.set16(0x2c, 0x1af4);          // subsystem vendor
    config_.set16(0x2e, 0x1100);          // subsystem
    config_.set16(0x50, 0x0000, 0xffff);  // PMCCFG
    config_.set16(0x52, 0x0000, 0x00ff);  // DETURBO and the reserved byte beside it
    config_.set8(0x57, 0x01, 0xff);       // DRAMC
    config_.set8(0x58, 0x10, 0xff);       // DRAMT
    for (unsigned i = 0; i < 7; i++) {
        config_.set8(kPam0 + i, 0x00, i == 0 ? 0x30 : 0x33);
    }
    for (unsigned i = 0; i < 8; i++) {
        config_.set8(0x60 + i, 0x01, 0xff);  // DRB: row boundaries
    }
    config_.set8(0x68, 0x00, 0x80);       // FDHC
    config_.set8(0x72, 0x02);             // SMRAM: reads as closed, there is no SMM
    // clang-format on
    update_segments();
}

void I440fx::config_write(unsigned offset, unsigned size, u32 value) {
    config_.write(offset, size, value);
    if (offset < kPam0 + 7 && offset + size > kPam0) {
        update_segments();
    }
}

// PAM0's high nibble is the BIOS area at 0xf0000; PAM1…PAM6 hold two pieces of 16 KiB each, from
// 0xc0000 up.
void I440fx::update_segments() {
    Segments now;
    const auto fill = [](Segment& s, u32 base, u32 length, unsigned bits) {
        s = {base, length, (bits & kReadEnable) != 0, (bits & kWriteEnable) != 0};
    };
    for (unsigned i = 0; i < 12; i++) {
        fill(now[i], 0xc0000 + i * 0x4000, 0x4000, config_[kPam0 + 1 + i / 2] >> (i % 2 * 4));
    }
    fill(now[12], 0xf0000, 0x10000, config_[kPam0] >> 4);
    if (now != segments_) {
        segments_ = now;
        if (changed_) {
            changed_(segments_);
        }
    }
}

void I440fx::shadow_as_firmware() {
    config_write(kPam0, 1, kReadEnable << 4);
    for (unsigned i = 1; i < 7; i++) {
        config_write(kPam0 + i, 1, kReadEnable << 4 | kReadEnable);
    }
}

}  // namespace ennead::vmcore
