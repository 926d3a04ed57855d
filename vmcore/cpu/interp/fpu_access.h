// SPDX-License-Identifier: MIT
// Whether the guest may use the x87, MMX and XMM registers now (SDM vol 3A §2.5, §12.1, §13.1), and
// FERR#.
#pragma once

#include "vmcore/cpu/interp/cpu.h"

namespace ennead::vmcore {

// False: the fault is raised.
[[nodiscard]] bool check_x87(Cpu& cpu);  // #NM if CR0.EM or CR0.TS
[[nodiscard]] bool check_mmx(Cpu& cpu);  // #UD if EM, #NM if TS, then as check_x87_pending()
[[nodiscard]] bool check_sse(Cpu& cpu);  // #UD if EM or not CR4.OSFXSR, #NM if TS

// An exception of an earlier instruction is reported by the next waiting one: #MF. With CR0.NE
// clear it was reported when it happened, by FERR# and IRQ 13: the instruction then runs as if
// IGNNE# were asserted, which a guest notices only if it keeps IRQ 13 from being taken.
[[nodiscard]] bool check_x87_pending(Cpu& cpu);

// FERR# follows ES while CR0.NE is clear (SDM vol 1 §8.7.2, the MS-DOS compatible way). To be
// called after anything that may have changed the status or control word.
void update_x87_ferr(Cpu& cpu);

}  // namespace ennead::vmcore
