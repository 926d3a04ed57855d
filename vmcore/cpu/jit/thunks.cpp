// SPDX-License-Identifier: MIT
// Emits the code that blocks share.
#include "vmcore/cpu/jit/thunks.h"

#include <cstdlib>
#include <span>

#include "vmcore/cpu/jit/helpers.h"

namespace ennead::vmcore::jit {
namespace {

using namespace asmjit;
using namespace asmjit::x86;

#define ENNEAD_CONTEXT(field) context_field(offsetof(JitContext, field), sizeof(JitContext::field))

// What a C++ function may change, and guest state is in.
constexpr std::array<u8, 5> kVolatileGprs = {kEax, kEcx, kEdx, kEsi, kEdi};
constexpr std::array<u8, 3> kKeptGprs = {kEbx, kEsp, kEbp};

class ThunkEmitter {
  public:
    ThunkEmitter(CodeMemory& memory, Thunks& thunks) : memory_(memory), thunks_(thunks) {}

    void emit_all() {
        const u8* enter = emit([&] { emit_enter(); });
        thunks_.enter =
            reinterpret_cast<Exit (*)(CpuState*, const void*, u32)>(reinterpret_cast<u64>(enter));
        leave_saved_ = emit([&] { emit_leave_saved(); });
        leave_ = emit([&] { emit_leave(); });
        thunks_.miss = emit([&] { exit_with(Exit::miss); });
        thunks_.link = emit([&] {
            a_.mov(ENNEAD_CONTEXT(link), r13d);
            exit_with(Exit::link);
        });
        thunks_.guess = emit([&] {
            a_.mov(ENNEAD_CONTEXT(link), r13d);
            exit_with(Exit::guess);
        });
        for (const bool user : {false, true}) {
            thunks_.indirect[user] = emit([&] { emit_indirect(user); });
            thunks_.underflow[user] = emit([&] {
                a_.lea(rsp, ptr(rsp, -8));  // stays at the bottom
                a_.jmp(Imm(thunks_.indirect[user]));
            });
            thunks_.poll[user] = emit([&] { emit_poll(user); });
        }
        jump_or_leave_ = emit([&] { emit_jump_or_leave(); });
        for (unsigned kind = 0; kind < kAccessKinds; ++kind) {
            for (unsigned n = 0; n < kAccessSizes.size(); ++n) {
                thunks_.access[kind][n] =
                    emit([&] { emit_access(static_cast<AccessKind>(kind), kAccessSizes[n]); });
            }
        }
        thunks_.share[0] = emit([&] { emit_share(AccessKind::read); });
        thunks_.share[1] = emit([&] { emit_share(AccessKind::write); });
        thunks_.finish = emit([&] { emit_finish(); });
        for (unsigned seg = 0; seg < kSegCount; ++seg) {
            thunks_.load_segment[seg] = emit([&] { emit_load_segment(seg); });
        }
        for (unsigned shift = 0; shift < 3; ++shift) {
            thunks_.copy[shift] = emit([&] { emit_copy(shift); });
            thunks_.fill[shift] = emit([&] { emit_fill(shift); });
        }
        thunks_.load_fpu = emit([&] { emit_load_fpu(); });
        thunks_.interpret = emit([&] { emit_interpret(); });
        memory_.make_permanent();
    }

  private:
    template <class Body>
    const u8* emit(Body body) {
        constexpr u64 kMost = 4096;
        u8* const at = memory_.reserve(kMost, [](unsigned) { std::abort(); });
        CodeHolder code;
        code.init(Environment::host(), reinterpret_cast<u64>(at));
        code.attach(&a_);
        body();
        code.flatten();
        code.relocateToBase(reinterpret_cast<u64>(at));
        if (code.codeSize() > kMost ||
            code.copyFlattenedData(memory_.commit(code.codeSize()), code.codeSize()) != kErrorOk) {
            std::abort();
        }
        code.detach(&a_);
        return at;
    }

    // Needs EAX saved already; leaves the flags' picture in EAX.
    void save_flags() {
        a_.lahf();
        a_.seto(al);
        a_.mov(ENNEAD_CONTEXT(flags), eax);
    }
    // Destroys EAX.
    void restore_flags() {
        a_.mov(eax, ENNEAD_CONTEXT(flags));
        a_.add(al, 0x7f);  // OF: 1 + 0x7f overflows
        a_.sahf();
    }

    // Flags stay as they are in all of these.
    template <class Gprs>
    void store_gprs(const Gprs& gprs) {
        for (const u8 n : gprs) {
            a_.mov(gpr_field(n), guest(n));
        }
    }
    template <class Gprs>
    void load_gprs(const Gprs& gprs) {
        for (const u8 n : gprs) {
            a_.mov(guest(n), gpr_field(n));
        }
    }
    // These destroy R9.
    void store_count() {
        a_.mov(r9, ENNEAD_CONTEXT(slice_end));
        a_.lea(r9, ptr(r9, reg::count));
        a_.mov(state_field(offsetof(CpuState, instructions), 8), r9);
    }
    // The slice begins with the next poll: C++ may have changed what it is bounded by.
    void load_count() {
        a_.mov(r9, state_field(offsetof(CpuState, instructions), 8));
        a_.mov(ENNEAD_CONTEXT(slice_end), r9);
        a_.mov(r8d, 0);
    }
    // As C++ has bounded the slice.
    void load_slice() {
        a_.mov(reg::count, ENNEAD_CONTEXT(slice_end));
        a_.not_(reg::count);
        a_.mov(r9, state_field(offsetof(CpuState, instructions), 8));
        a_.lea(reg::count, ptr(reg::count, r9, 0, 1));
    }
    void store_temporaries() {
        a_.mov(ENNEAD_CONTEXT(r9), r9);
        store_count();
        a_.mov(ENNEAD_CONTEXT(r10), r10);
        a_.mov(ENNEAD_CONTEXT(r11), r11);
        a_.mov(ENNEAD_CONTEXT(r14), r14);
    }
    void load_temporaries() {
        load_count();
        a_.mov(r9, ENNEAD_CONTEXT(r9));
        a_.mov(r10, ENNEAD_CONTEXT(r10));
        a_.mov(r11, ENNEAD_CONTEXT(r11));
        a_.mov(r14, ENNEAD_CONTEXT(r14));
    }
    // On the C++ stack, with the engine as the first argument.
    template <class Function>
    void call(Function* function) {
        a_.mov(rdi, ENNEAD_CONTEXT(engine));
        a_.mov(ENNEAD_CONTEXT(return_stack), rsp);
        a_.mov(rsp, ENNEAD_CONTEXT(native_stack));
        a_.mov(rax, reinterpret_cast<u64>(function));
        a_.call(rax);
        a_.mov(rsp, ENNEAD_CONTEXT(return_stack));
    }

    // Gives the x87 and SSE registers to C++, if the guest's state is in them. Destroys the flags.
    void park_fpu() {
        Label idle = a_.newLabel();
        a_.cmp(ENNEAD_CONTEXT(fpu_live), 0);
        a_.je(idle);
        a_.fxsave(context_field(offsetof(JitContext, fpu), 0));
        a_.fninit();
        a_.ldmxcsr(ENNEAD_CONTEXT(host_mxcsr));
        a_.mov(ENNEAD_CONTEXT(fpu_parked), 1);
        a_.mov(ENNEAD_CONTEXT(fpu_live), 0);
        a_.bind(idle);
    }
    // As it was before park_fpu(); EAX: what fpu_live was. Destroys the flags.
    void unpark_fpu() {
        Label idle = a_.newLabel();
        a_.test(eax, eax);
        a_.jz(idle);
        a_.fxrstor(context_field(offsetof(JitContext, fpu), 0));
        a_.mov(ENNEAD_CONTEXT(fpu_live), al);
        a_.mov(ENNEAD_CONTEXT(fpu_parked), 0);
        a_.bind(idle);
    }
    // On the C++ stack of a thunk that gives the registers back: what fpu_live was.
    void remember_fpu() {
        a_.movzx(eax, ENNEAD_CONTEXT(fpu_live));
        a_.mov(ENNEAD_CONTEXT(fpu_was), eax);
        park_fpu();
    }
    void recall_fpu() {
        a_.mov(eax, ENNEAD_CONTEXT(fpu_was));
        unpark_fpu();
    }

    static constexpr std::array<u8, 6> kCalleeSaved = {3, 5, 12, 13, 14, 15};  // rbx rbp r12…r15

    void emit_enter() {
        for (const u8 n : kCalleeSaved) {
            a_.push(gpq(n));
        }
        a_.sub(rsp, 8);
        a_.mov(reg::state, rdi);
        a_.mov(ENNEAD_CONTEXT(native_stack), rsp);
        a_.mov(rsp, ENNEAD_CONTEXT(return_stack));
        a_.mov(r14d, edx);
        a_.mov(r13, rsi);
        restore_flags();
        load_gprs(kKeptGprs);
        load_gprs(kVolatileGprs);
        load_slice();
        a_.jmp(r13);
    }

    // The state is saved; EAX is what `enter` returns.
    void emit_leave_saved() {
        a_.mov(rsp, ENNEAD_CONTEXT(native_stack));
        a_.add(rsp, 8);
        for (unsigned n = kCalleeSaved.size(); n-- != 0;) {
            a_.pop(gpq(kCalleeSaved[n]));
        }
        a_.ret();
    }

    // Saves everything. R13: the Exit; R14: eip.
    void emit_leave() {
        store_gprs(kVolatileGprs);
        store_gprs(kKeptGprs);
        save_flags();
        store_count();
        park_fpu();
        a_.mov(state_field(offsetof(CpuState, eip), 4), r14d);
        a_.mov(ENNEAD_CONTEXT(return_stack), rsp);
        a_.mov(eax, r13d);
        a_.jmp(Imm(leave_saved_));
    }

    void exit_with(Exit why) {
        a_.mov(r13d, static_cast<u32>(why));
        a_.jmp(Imm(leave_));
    }

    // As BlockEmitter::emit_indirect().
    void emit_indirect(bool user) {
        Label hit = a_.newLabel();
        const u32 table = CpuArena::jump_table_offset(user);
        const auto field = [&](std::size_t offset, u32 size) {
            return Mem(reg::state, r13, 3, static_cast<i32>(table + offset), size);
        };
        a_.mov(r11, rcx);
        a_.movzx(r13d, r14w);
        a_.lea(r13d, ptr(r13, r13));
        a_.mov(ecx, field(offsetof(JumpEntry, minus_eip), 4));
        a_.lea(ecx, ptr(rcx, r14));
        a_.mov(r13, field(offsetof(JumpEntry, code), 8));
        a_.jecxz(ecx, hit);
        a_.mov(rcx, r11);
        a_.jmp(Imm(thunks_.miss));
        a_.bind(hit);
        a_.mov(rcx, r11);
        a_.jmp(r13);
    }

    // Comes here for three reasons: the table has nothing, the operand is not aligned, or it may
    // reach into the next page.
    void emit_access(AccessKind kind, u32 size) {
        Label absent = a_.newLabel(), finished = a_.newLabel(), leave = a_.newLabel();
        a_.test(r13, r13);
        a_.jz(absent);
        if (size > 1) {
            a_.push(r13);
            a_.mov(r13d, r14d);
            a_.and_(r13d, kPageMask);
            a_.cmp(r13d, kPageSize - size);
            a_.pop(r13);
            a_.ja(absent);
            a_.ret();
        }
        a_.bind(absent);
        a_.mov(r13d, size);
        ask(reach_memory, kind);
        a_.jz(finished);
        recall_fpu();
        load_gprs(kVolatileGprs);
        a_.sub(r13, r14);
        a_.ret();

        a_.bind(finished);
        a_.test(rdx, rdx);
        a_.jz(leave);
        a_.mov(ptr(rsp), rdx);
        recall_fpu();
        restore_flags();
        load_gprs(kKeptGprs);
        load_gprs(kVolatileGprs);
        a_.ret();

        a_.bind(leave);
        leave_asked();
    }

    // Has C++ look for R13 bytes at R14. R13 and the zero flag: what it says.
    template <class Function>
    void ask(Function* function, AccessKind kind) {
        store_gprs(kVolatileGprs);
        store_gprs(kKeptGprs);
        save_flags();
        store_temporaries();
        remember_fpu();
        a_.mov(esi, r14d);
        a_.mov(edx, r13d);
        a_.mov(ecx, static_cast<u32>(kind));
        a_.mov(r8, ptr(rsp));
        call(function);
        load_temporaries();
        a_.mov(r13, rax);
        a_.test(r13, r13);
    }
    void leave_asked() {
        a_.mov(eax, ENNEAD_CONTEXT(exit));
        a_.jmp(Imm(jump_or_leave_));
    }

    // The state is saved. EAX: an Exit, or where to go on.
    void emit_jump_or_leave() {
        Label supervisor = a_.newLabel(), user = a_.newLabel();
        a_.cmp(eax, Imm(static_cast<i32>(kJumpSupervisor)));
        a_.je(supervisor);
        a_.cmp(eax, Imm(static_cast<i32>(kJumpUser)));
        a_.je(user);
        a_.jmp(Imm(leave_saved_));
        for (const bool to_user : {false, true}) {
            a_.bind(to_user ? user : supervisor);
            a_.mov(rsp, ENNEAD_CONTEXT(return_stack));
            a_.mov(r14d, state_field(offsetof(CpuState, eip), 4));
            load_slice();
            restore_flags();
            load_gprs(kKeptGprs);
            load_gprs(kVolatileGprs);
            a_.jmp(Imm(thunks_.indirect[to_user]));
        }
    }

    // The slice is over. Unless that was the last, another begins, and the block at R14 goes on: R9
    // and R10 mean nothing where blocks begin.
    void emit_poll(bool user) {
        Label leave = a_.newLabel();
        a_.mov(r11d, eax);
        a_.lahf();
        a_.seto(al);
        a_.mov(r10d, eax);
        a_.mov(r9, ENNEAD_CONTEXT(slice_end));
        a_.add(r9, reg::count);
        a_.mov(r13, state_field(offsetof(CpuState, stop_at), 8));
        a_.cmp(r9, r13);
        a_.jae(leave);
        a_.sub(r13, r9);
        a_.mov(r8d, kSlice);
        a_.cmp(r13, r8);
        a_.cmova(r13, r8);
        a_.add(r9, r13);
        a_.mov(ENNEAD_CONTEXT(slice_end), r9);
        a_.xor_(r8d, r8d);
        a_.sub(r8, r13);
        put_back(r10d);
        a_.jmp(Imm(thunks_.indirect[user]));
        a_.bind(leave);
        put_back(r10d);
        exit_with(Exit::poll);
    }
    // EAX is in R11; the flags become those of the picture.
    void put_back(const Gp& picture) {
        a_.mov(eax, picture);
        a_.add(al, 0x7f);
        a_.sahf();
        a_.mov(eax, r11d);
    }

    void emit_load_segment(unsigned seg) {
        Label refused = a_.newLabel();
        store_gprs(kVolatileGprs);
        store_temporaries();
        remember_fpu();
        a_.mov(esi, seg);
        a_.mov(edx, r11d);
        call(load_segment);
        a_.mov(r13d, eax);
        load_temporaries();
        recall_fpu();
        load_gprs(kVolatileGprs);
        a_.test(r13d, r13d);
        a_.jz(refused);
        a_.ret();
        a_.bind(refused);
        a_.jmp(Imm(thunks_.finish));
    }

    void emit_share(AccessKind kind) {
        Label leave = a_.newLabel();
        ask(share_memory, kind);
        a_.jz(leave);
        recall_fpu();
        load_gprs(kVolatileGprs);
        a_.sub(r13, r14);
        a_.ret();
        a_.bind(leave);
        leave_asked();
    }

    void emit_finish() {
        store_gprs(kVolatileGprs);
        store_gprs(kKeptGprs);
        save_flags();
        store_temporaries();
        park_fpu();
        a_.mov(rsi, ptr(rsp));
        call(finish_instruction);
        a_.jmp(Imm(jump_or_leave_));
    }

    // The host's own REP takes tens of cycles to start, which is much for what is short.
    static constexpr u32 kMostByVector = 512, kVector = 16;

    // 16 bytes at a time do what one element after the other does, if the two places are at least
    // so far from each other.
    void emit_copy(unsigned shift) {
        Label by_rep = a_.newLabel(), next = a_.newLabel(), rest = a_.newLabel(),
              done = a_.newLabel(), quarter = a_.newLabel();
        a_.cmp(r11d, kMostByVector);
        a_.ja(by_rep);
        a_.mov(rcx, rdi);
        a_.sub(rcx, rsi);
        a_.add(rcx, kVector - 1);
        a_.cmp(rcx, 2 * kVector - 1);
        a_.jb(by_rep);
        a_.cmp(r11d, kVector);
        a_.jb(rest);
        a_.bind(next);
        a_.movdqu(xmm8, ptr(rsi));
        a_.movdqu(ptr(rdi), xmm8);
        a_.add(rsi, kVector);
        a_.add(rdi, kVector);
        a_.sub(r11d, kVector);
        a_.cmp(r11d, kVector);
        a_.jae(next);
        a_.test(r11d, r11d);
        a_.jz(done);
        // Once more, up to the end.
        a_.movdqu(xmm8, ptr(rsi, r11, 0, -i32{kVector}));
        a_.movdqu(ptr(rdi, r11, 0, -i32{kVector}), xmm8);
        a_.add(rsi, r11);
        a_.add(rdi, r11);
        a_.bind(done);
        a_.xor_(ecx, ecx);
        a_.ret();
        a_.bind(rest);
        a_.cmp(r11d, 8);
        a_.jb(quarter);
        a_.movq(xmm8, ptr(rsi));
        a_.movq(xmm9, ptr(rsi, r11, 0, -8));
        a_.movq(ptr(rdi), xmm8);
        a_.movq(ptr(rdi, r11, 0, -8), xmm9);
        a_.add(rsi, r11);
        a_.add(rdi, r11);
        a_.jmp(done);
        a_.bind(quarter);
        a_.cmp(r11d, 4);
        a_.jb(by_rep);
        a_.movd(xmm8, ptr(rsi));
        a_.movd(xmm9, ptr(rsi, r11, 0, -4));
        a_.movd(ptr(rdi), xmm8);
        a_.movd(ptr(rdi, r11, 0, -4), xmm9);
        a_.add(rsi, r11);
        a_.add(rdi, r11);
        a_.jmp(done);
        a_.bind(by_rep);
        a_.mov(ecx, r11d);
        a_.shr(ecx, shift);
        a_.rep();
        shift == 0 ? a_.movsb() : shift == 1 ? a_.movsw() : a_.movsd();
        a_.ret();
    }

    void emit_fill(unsigned shift) {
        Label by_rep = a_.newLabel(), next = a_.newLabel(), done = a_.newLabel();
        a_.cmp(r11d, kMostByVector);
        a_.ja(by_rep);
        a_.cmp(r11d, kVector);
        a_.jb(by_rep);
        a_.movd(xmm8, eax);
        if (shift == 0) {
            a_.punpcklbw(xmm8, xmm8);
        }
        if (shift < 2) {
            a_.pshuflw(xmm8, xmm8, 0);
        }
        a_.pshufd(xmm8, xmm8, 0);
        a_.bind(next);
        a_.movdqu(ptr(rdi), xmm8);
        a_.add(rdi, kVector);
        a_.sub(r11d, kVector);
        a_.cmp(r11d, kVector);
        a_.jae(next);
        a_.test(r11d, r11d);
        a_.jz(done);
        a_.movdqu(ptr(rdi, r11, 0, -i32{kVector}), xmm8);  // whole elements from the end
        a_.add(rdi, r11);
        a_.bind(done);
        a_.xor_(ecx, ecx);
        a_.ret();
        a_.bind(by_rep);
        a_.rep();
        shift == 0 ? a_.stosb() : shift == 1 ? a_.stosw() : a_.stosd();
        a_.ret();
    }

    void emit_load_fpu() {
        store_gprs(kVolatileGprs);
        store_temporaries();
        park_fpu();
        call(load_fpu);
        a_.mov(r13d, eax);
        load_temporaries();
        unpark_fpu();
        load_gprs(kVolatileGprs);
        a_.ret();
    }

    void emit_interpret() {
        Label leave = a_.newLabel();
        store_gprs(kVolatileGprs);
        store_gprs(kKeptGprs);
        save_flags();
        a_.mov(ENNEAD_CONTEXT(r9), r9);
        store_count();
        remember_fpu();
        a_.mov(rsi, r13);
        call(interpret);
        a_.cmp(eax, Imm(static_cast<i32>(kGoOn)));
        a_.jne(leave);
        load_count();
        a_.mov(r9, ENNEAD_CONTEXT(r9));
        recall_fpu();
        restore_flags();
        load_gprs(kKeptGprs);
        load_gprs(kVolatileGprs);
        a_.ret();
        a_.bind(leave);
        a_.jmp(Imm(jump_or_leave_));
    }

#undef ENNEAD_CONTEXT

    CodeMemory& memory_;
    Thunks& thunks_;
    Assembler a_;
    const u8* leave_ = nullptr;
    const u8* leave_saved_ = nullptr;
    const u8* jump_or_leave_ = nullptr;
};

}  // namespace

Thunks make_thunks(CodeMemory& memory) {
    Thunks thunks;
    ThunkEmitter(memory, thunks).emit_all();
    return thunks;
}

}  // namespace ennead::vmcore::jit
