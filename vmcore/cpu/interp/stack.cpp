// SPDX-License-Identifier: MIT
// PUSH POP PUSHA POPA ENTER LEAVE (SDM vol 1 §6.2 and §6.5).
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

template <class T>
bool push_register(Cpu& cpu, const Insn& insn) {
    return cpu.push(get_reg<T>(cpu, insn.dst));
}

template <class T>
bool pop_register(Cpu& cpu, const Insn& insn) {
    T value;
    if (!cpu.pop(value)) {
        return false;
    }
    set_reg<T>(cpu, insn.dst, value);  // after the increment: POP ESP ends with what was popped
    return true;
}

template <class T>
bool push_immediate(Cpu& cpu, const Insn& insn) {
    return cpu.push(static_cast<T>(insn.imm));
}

template <class T>
bool push_operand(Cpu& cpu, const Insn& insn) {
    T value;
    return load_rm(cpu, insn, value) && cpu.push(value);
}

// An ESP in the operand's address counts as it is after the increment (SDM vol 2B, POP).
template <class T>
bool pop_operand(Cpu& cpu, const Insn& insn) {
    const u32 esp = cpu.r32(kEsp);
    T value;
    if (!cpu.pop(value)) {
        return false;
    }
    if (!insn.has_memory) {
        set_reg<T>(cpu, insn.rm(), value);
        return true;
    }
    if (!cpu.store(insn.segment, cpu.effective_offset(insn), value)) {
        cpu.set_r32(kEsp, esp);
        return false;
    }
    return true;
}

template <class T>
bool push_all(Cpu& cpu) {
    constexpr u32 kSize = sizeof(T);
    const u32 mask = cpu.stack_mask();
    const u32 top = cpu.sp();
    for (u32 n = 1; n <= 8; ++n) {
        if (!cpu.probe_store(Seg::ss, (top - n * kSize) & mask, kSize)) {
            return false;
        }
    }
    for (u32 n = 1; n <= 8; ++n) {
        if (!cpu.store(Seg::ss, (top - n * kSize) & mask, get_reg<T>(cpu, n - 1))) {
            return false;
        }
    }
    cpu.set_sp(top - 8 * kSize);
    return true;
}

template <class T>
bool pop_all(Cpu& cpu) {
    constexpr u32 kSize = sizeof(T);
    const u32 mask = cpu.stack_mask();
    const u32 top = cpu.sp();
    std::array<T, 8> values{};
    for (u32 n = 0; n < 8; ++n) {
        const u32 offset = (top + n * kSize) & mask;
        if (n != 7 - kEsp && !cpu.load(Seg::ss, offset, values[n])) {
            return false;
        }
    }
    cpu.set_sp(top + 8 * kSize);
    for (u32 n = 0; n < 8; ++n) {
        if (n != 7 - kEsp) {
            set_reg<T>(cpu, 7 - n, values[n]);
        }
    }
    return true;
}

// SDM vol 2A, ENTER. ESP and EBP move only when everything has succeeded.
template <class T>
bool enter_frame(Cpu& cpu, const Insn& insn) {
    constexpr u32 kSize = sizeof(T);
    const u32 mask = cpu.stack_mask();
    const u32 level = insn.imm2 % 32;
    u32 sp = cpu.sp();
    const auto push = [&](T value) {
        sp = (sp - kSize) & mask;
        return cpu.store(Seg::ss, sp, value);
    };
    if (!push(get_reg<T>(cpu, kEbp))) {
        return false;
    }
    const T frame = static_cast<T>((cpu.r32(kEsp) & ~mask) | sp);
    for (u32 n = 1; n < level; ++n) {
        T pointer;
        if (!cpu.load(Seg::ss, (cpu.r32(kEbp) - n * kSize) & mask, pointer) || !push(pointer)) {
            return false;
        }
    }
    if (level != 0 && !push(frame)) {
        return false;
    }
    sp = (sp - insn.imm) & mask;
    // "#PF if a write using the final value of the stack pointer would cause a page fault".
    if (!cpu.probe_store(Seg::ss, sp, kSize)) {
        return false;
    }
    set_reg<T>(cpu, kEbp, frame);
    cpu.set_sp(sp);
    return true;
}

template <class T>
bool leave_frame(Cpu& cpu, const Insn&) {
    const u32 frame = cpu.r32(kEbp) & cpu.stack_mask();
    T old;
    if (!cpu.load(Seg::ss, frame, old)) {
        return false;
    }
    cpu.set_sp(frame + u32{sizeof(T)});
    set_reg<T>(cpu, kEbp, old);
    return true;
}

}  // namespace

Handler select_stack(const Insn& insn) {
    const bool wide = insn.operand_size == 4;
    switch (insn.op) {
        case Op::push_r:
            return wide ? push_register<u32> : push_register<u16>;
        case Op::push_imm:
            return wide ? push_immediate<u32> : push_immediate<u16>;
        case Op::push_rm:
            return wide ? push_operand<u32> : push_operand<u16>;
        case Op::pop_r:
            return wide ? pop_register<u32> : pop_register<u16>;
        case Op::pop_rm:
            return wide ? pop_operand<u32> : pop_operand<u16>;
        case Op::leave:
            return wide ? leave_frame<u32> : leave_frame<u16>;
        default:
            return nullptr;
    }
}

bool exec_push_r(Cpu& cpu, const Insn& insn) {
    return select_stack(insn)(cpu, insn);
}
bool exec_push_imm(Cpu& cpu, const Insn& insn) {
    return select_stack(insn)(cpu, insn);
}
bool exec_push_rm(Cpu& cpu, const Insn& insn) {
    return select_stack(insn)(cpu, insn);
}
bool exec_pop_r(Cpu& cpu, const Insn& insn) {
    return select_stack(insn)(cpu, insn);
}
bool exec_pop_rm(Cpu& cpu, const Insn& insn) {
    return select_stack(insn)(cpu, insn);
}
bool exec_leave(Cpu& cpu, const Insn& insn) {
    return select_stack(insn)(cpu, insn);
}

bool exec_pusha(Cpu& cpu, const Insn& insn) {
    return insn.operand_size == 4 ? push_all<u32>(cpu) : push_all<u16>(cpu);
}

bool exec_popa(Cpu& cpu, const Insn& insn) {
    return insn.operand_size == 4 ? pop_all<u32>(cpu) : pop_all<u16>(cpu);
}

bool exec_enter(Cpu& cpu, const Insn& insn) {
    return insn.operand_size == 4 ? enter_frame<u32>(cpu, insn) : enter_frame<u16>(cpu, insn);
}

}  // namespace ennead::vmcore
