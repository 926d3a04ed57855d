// SPDX-License-Identifier: MIT
// From a decoded instruction to the function that carries it out.
#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

constexpr std::array<Handler, static_cast<std::size_t>(Op::count)> kHandlers = {
#define ENNEAD_OP(name) exec_##name,
#include "vmcore/cpu/decode/ops.inc"
#undef ENNEAD_OP
};

using Selector = Handler (*)(const Insn&);
constexpr Selector kFamilies[] = {select_move, select_alu, select_branch, select_stack,
                                  select_shift};

}  // namespace

Handler select_handler(const Insn& insn) {
    for (const Selector select : kFamilies) {
        if (const Handler handler = select(insn)) {
            return handler;
        }
    }
    return kHandlers[static_cast<std::size_t>(insn.op)];
}

}  // namespace ennead::vmcore
