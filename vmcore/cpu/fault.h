// SPDX-License-Identifier: MIT
// What a guest instruction did wrong, as a value.
#pragma once

#include "vmcore/types.h"

namespace ennead::vmcore {

// Exception vectors, SDM vol 3A, table 6-1.
enum class Vector : u8 {
    // clang-format off
    de = 0, db = 1, nmi = 2, bp = 3, of = 4, br = 5, ud = 6, nm = 7, df = 8,
    ts = 10, np = 11, ss = 12, gp = 13, pf = 14, mf = 16, ac = 17, mc = 18, xm = 19,
    // clang-format on
};

struct GuestFault {
    Vector vector = Vector::ud;
    bool has_error_code = false;
    u16 error_code = 0;
    u32 cr2 = 0;  // for #PF: the linear address; moved to CR2 at delivery
    // For #DB: the DR6 bits to set at delivery.
    u32 dr6 = 0;
    // A trap: the instruction is complete, delivery pushes the address of the next one.
    bool is_trap = false;
};

}  // namespace ennead::vmcore
