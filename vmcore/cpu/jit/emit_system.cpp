// SPDX-License-Identifier: MIT
// What system software does often: reads of control registers and of the time, loads of segment
// registers.
#include <cstddef>

#include "vmcore/cpu/jit/emitter.h"

namespace ennead::vmcore::jit {

using namespace asmjit::x86;

// CR0, CR2, CR3 and CR4 are values to read like any other.
bool BlockEmitter::emit_read_control() {
    std::size_t field = 0;
    switch (insn().reg()) {
        case 0:
            field = offsetof(CpuState, cr0);
            break;
        case 2:
            field = offsetof(CpuState, cr2);
            break;
        case 3:
            field = offsetof(CpuState, cr3);
            break;
        case 4:
            field = offsetof(CpuState, cr4);
            break;
        default:
            return false;
    }
    if (plan_->user) {
        return false;
    }
    a_.mov(guest(insn().rm()), state_field(field, 4));
    return true;
}

// MOV and POP to DS, ES, FS or GS.
bool BlockEmitter::emit_segment_load() {
    const Insn& i = insn();
    const bool pops = i.op == Op::pop_sreg;
    if ((!pops && i.op != Op::mov_sreg_rm) || (pops && i.operand_size != 4)) {
        return false;
    }
    const auto seg = pops ? i.segment_of_opcode() : static_cast<Seg>(i.reg());
    if (i.reg() >= kSegCount || seg == Seg::cs || seg == Seg::ss ||
        (i.has_memory && !segment_usable(AccessKind::read))) {
        return false;
    }
    save_flags();
    if (!pops && !i.has_memory) {
        a_.movzx(r11d, guest(i.rm()).r16());
    } else {
        const Mem at = !pops ? begin_operand(AccessKind::read_first)
                       : in_stack_frame(0, AccessKind::read_first)
                           ? begin_in_frame(0, AccessKind::read_first)
                           : begin_access(r12d, 4, AccessKind::read_first);
        leaves_if_finished();
        a_.movzx(r11d, sized(at, 2));
        end_access();
    }
    call_to(thunks_.load_segment[static_cast<unsigned>(seg)]);
    add_site(stub(Stub::Kind::finish), 0);
    if (pops) {
        a_.lea(r12d, ptr(r12, 4));
    }
    checked_fs_ = checked_gs_ = false;
    return true;
}

// Machine time as JitContext::tsc says; where that is too old, the interpreter looks at the clock,
// and the engine gives JitContext new figures.
bool BlockEmitter::emit_rdtsc() {
    if (insn().op != Op::rdtsc) {
        return false;
    }
    constexpr std::size_t kTsc = offsetof(JitContext, tsc);
    save_flags();
    std::array<Place, 2> slow{};
    std::size_t count = 0;
    if (plan_->user) {
        a_.test(state_field(offsetof(CpuState, cr4), 4), cr4::kTsd);
        slow[count++] = jump_later(CondCode::kNE);
    }
    a_.rdtsc();
    a_.shl(rdx, 32);
    a_.or_(rax, rdx);
    a_.sub(rax, context_field(kTsc + offsetof(HostTsc, from), 8));
    a_.cmp(rax, context_field(kTsc + offsetof(HostTsc, window), 8));
    slow[count++] = jump_later(CondCode::kAE);
    a_.imul(rax, context_field(kTsc + offsetof(HostTsc, scale), 8));
    a_.shr(rax, HostTsc::kScaleBits);
    a_.add(rax, context_field(kTsc + offsetof(HostTsc, then_ns), 8));
    a_.add(rax, state_field(offsetof(CpuState, tsc_offset), 8));
    a_.mov(rdx, rax);
    a_.shr(rdx, 32);
    a_.mov(eax, eax);
    finish_elsewhere(std::span(slow).first(count));
    return true;
}

}  // namespace ennead::vmcore::jit
