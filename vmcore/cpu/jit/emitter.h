// SPDX-License-Identifier: MIT
// Turns a planned block into host code.
#pragma once

#include <asmjit/x86.h>

#include <span>
#include <vector>

#include "vmcore/cpu/jit/block.h"
#include "vmcore/cpu/jit/context.h"
#include "vmcore/cpu/jit/plan.h"
#include "vmcore/cpu/jit/reencode.h"
#include "vmcore/cpu/jit/thunks.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// What the emitter asks of whoever keeps blocks.
class BlockParts {
  public:
    virtual ~BlockParts() = default;
    // A number for a new link of the block that is being made.
    virtual u32 new_link(u32 eip, Link::Entry entry) = 0;
    // Stays as long as the block.
    virtual Interpreted* new_interpreted() = 0;
};

// A link as it lies in the code: offsets from its start.
struct EmittedLink {
    u32 number = 0;
    u32 place = 0;
    u32 stub = 0;
    bool guessed = false;
};

// For listings: where a piece of a block's code begins.
struct EmittedPiece {
    u32 offset = 0;
    u32 step = 0;                // the instruction that it belongs to
    bool aside = false;          // out of the way, behind all that is not
    const char* what = nullptr;  // what belongs to no instruction: an entry, the way on
};

// One block at a time: emit(), then read the results, which stay until the next. vCPU thread only.
//
// asmjit's assembler is the encoder; jumps inside a block are resolved here, since labels would
// cost more than all the rest.
//
// Between instructions guest flags are in the host's flags, or they are "saved": in R10, or known
// by a way to make them again. An inserted comparison saves them first if they are still wanted
// (save_flags()); what reads them, and every way out, puts them back (need_flags()).
class BlockEmitter {
  public:
    BlockEmitter(const Thunks& thunks, BlockParts& parts);
    // What the fetch table holds for the block's page, and for the one behind it if an instruction
    // straddles.
    struct FetchEntries {
        u64 page = 0, next = 0;
    };
    // `base`: where the code will lie. `far`: with an entry for jumps from other pages. False:
    // asmjit refused something, and there is no code. Fills in the entries of `block`.
    [[nodiscard]] bool emit(const BlockPlan& plan, FetchEntries fetch, bool far, const u8* base,
                            Block& block);
    [[nodiscard]] std::span<const u8> code() const { return {a_.bufferData(), a_.offset()}; }
    [[nodiscard]] const std::vector<EmittedLink>& links() const { return links_; }
    [[nodiscard]] const std::vector<Site>& sites() const { return sites_; }
    // From now on; null: no more.
    void note_pieces(std::vector<EmittedPiece>* pieces) { pieces_ = pieces; }

  private:
    using Gp = asmjit::x86::Gp;
    using Mem = asmjit::x86::Mem;

    // --- emit_jump.cpp: jumps to what is emitted later, to thunks, and to other blocks
    // A jump whose target is not known yet: the offset of its displacement.
    struct Place {
        u32 offset = 0;
    };
    struct ShortPlace {
        u32 offset = 0;
    };
    [[nodiscard]] Place jump_later(asmjit::x86::CondCode condition);
    [[nodiscard]] ShortPlace short_jump_later();
    [[nodiscard]] ShortPlace short_jump_later(asmjit::x86::CondCode condition);
    [[nodiscard]] ShortPlace jump_later_if_ecx_zero();
    void land(Place place);
    void land(ShortPlace place);
    void jump_back(u32 target);
    void jump_back(asmjit::x86::CondCode condition, u32 target);
    void jump_to(const u8* target);
    void call_to(const u8* target);
    void emit_rel32(std::span<const u8> opcode, u32 displacement);
    void emit_link_jump(u32 target, Link::Entry entry);
    void emit_link_jump(u32 target);
    void add_link(Place place, u32 target, Link::Entry entry);
    [[nodiscard]] Link::Entry entry_for(u32 target) const;
    void emit_indirect(bool call);
    void emit_guessed_jump();
    void emit_table_jump(bool call);
    void emit_return_site();

    // Code out of the way, emitted after the block.
    struct SavedFlags {
        FlagsAt at = FlagsAt::host;
        int producer = -1;
    };
    struct Stub {
        enum class Kind : u8 {
            access,
            share,
            finish,
            poll,
            link,
            guess,
            plain,
            fpu,
            string,
            wide_division
        };
        Kind kind{};
        AccessKind access{};
        u16 size = 0;         // access, share: in bytes
        u8 gp = 0;            // access: the host register with the address
        u8 level = 0;         // fpu
        bool resumes = true;  // access: the block goes on if the instruction was finished for it
        bool flags_wanted = false;   // poll, plain: kept in R10; string: to be put back and fetched
        bool flags_changed = false;  // string: the instruction gives new ones
        unsigned index = 0;          // of the step that it belongs to
        SavedFlags flags;            // as it is entered
        std::array<Place, 6> from{};  // REP MOVS has most
        unsigned from_count = 0;
        u32 back = 0;                       // offset to return to
        u32 resume = 0;                     // access: offset behind the instruction
        u32 link = 0;                       // link, guess: index among the links
        u32 target = 0;                     // plain
        const Interpreted* what = nullptr;  // string
    };
    [[nodiscard]] Stub stub(Stub::Kind kind) const;
    void later(Stub stub) { stubs_.push_back(stub); }
    // The instruction is done by the interpreter if the jump is taken; the block is left then.
    void finish_elsewhere(Place place);
    void finish_elsewhere(std::span<const Place> places);
    void emit_stub(const Stub& stub);
    void emit_access_stub(const Stub& stub);
    void add_site(const Stub& stub, u32 resume);

    // --- emit_block.cpp: frame of a block, flags
    void piece(const char* what, bool aside = false) {
        if (pieces_ != nullptr) {
            pieces_->push_back({offset(), index_, aside, what});
        }
    }
    void emit_far_entry(u64 fetch_entry);
    [[nodiscard]] bool saves_flags_first() const;
    void emit_poll(bool keep_saved);
    void leave_unless_mapped(u32 linear, u64 fetch_entry);
    void emit_step();
    void interpreted(bool ends);
    Interpreted* record(bool ends);
    void call_interpreter(const Interpreted* what);

    [[nodiscard]] u32 wanted_flags() const { return step().live_before; }
    [[nodiscard]] u32 live_after_step() const;
    [[nodiscard]] bool operation_wants_flags() const;
    [[nodiscard]] SavedFlags how_to_save() const;
    [[nodiscard]] u32 immediate_of(SavedFlags flags) const;
    void save_flags();
    void need_flags();
    void emit_restore(SavedFlags flags);
    void fetch_flags();
    void put_back_flags();
    void flags_produced();

    // --- emit_mem.cpp
    // The linear address of the instruction's memory operand: a register that holds it (R14 or, if
    // `direct` and nothing has to be added, the guest register itself).
    Gp operand_address(bool direct);
    // An access to `size` bytes at `address` (R14 or a guest register): gives the operand for the
    // one instruction, or few, that work on it, which end_access() follows. What is done between
    // must be all that the guest's instruction does (unless it is of the kind read_first), for
    // where memory is no plain memory the interpreter does it all instead.
    [[nodiscard]] Mem begin_access(Gp address, unsigned size, AccessKind kind);
    [[nodiscard]] Mem begin_constant_access(u32 address, unsigned size, AccessKind kind);
    [[nodiscard]] Mem begin_operand(AccessKind kind, bool direct = true);
    void open_access(Gp address, unsigned size, AccessKind kind);
    void end_access();
    [[nodiscard]] u32 table_for(AccessKind kind) const;
    void leaves_if_finished() { open_.resumes = false; }
    void emit_frame_check();
    [[nodiscard]] bool in_frame(i32 at, unsigned size, AccessKind kind, unsigned index) const;
    [[nodiscard]] bool in_frame(i32 at, unsigned size, AccessKind kind) const {
        return in_frame(at, size, kind, index_);
    }
    [[nodiscard]] Mem begin_in_frame(i32 at, AccessKind kind);
    void give_flags_to_operation(AccessKind kind);
    [[nodiscard]] bool segment_usable(AccessKind kind);

    // --- emit_share.cpp: accesses in a row by way of the same registers share one look at the
    // tables
    struct Shared {
        u8 base = kNoRegister;  // none: R13 and R14 hold nothing of use
        u8 index = kNoRegister, scale = 0;
        i32 low =
            0;  // R14 is the linear address with this displacement, [R13 + R14] the byte there
        u32 span = 0;
        bool written = false;
    };
    [[nodiscard]] static bool may_share(const Insn& insn);
    [[nodiscard]] bool is_shared(AccessKind kind) const;
    [[nodiscard]] Shared find_row() const;
    [[nodiscard]] bool in_frame(unsigned index, AccessKind kind) const;
    [[nodiscard]] Mem begin_shared(AccessKind kind);
    void emit_shared_check(const Shared& row);
    void forget_shared() { shared_ = {}; }

    // --- emit_move.cpp, emit_alu.cpp, emit_branch.cpp: by group; false: not emitted
    bool emit_generic();
    bool emit_register_form();
    void emit_bytes(const Insn& insn, HostMemory memory);
    void emit_bytes(const Mem& at);
    bool emit_move();
    bool emit_stack();
    bool emit_divide();
    void emit_wide_division(const Stub& stub);
    bool emit_bit_string();
    bool emit_flag_ops();
    void emit_pushf();
    void emit_popf();
    void finish_if_requested();
    bool emit_branch();
    bool emit_jcc();
    void emit_count_branch();
    void emit_call(u32 target);
    void emit_call_operand();
    void emit_return();
    bool emit_string();
    void emit_single_string(Op op, unsigned width);
    void emit_single_comparison(Op op, unsigned width);
    void emit_repeated(bool moves, Stub& special);
    // The stack: ESP moves when the access has succeeded, as part of it.
    [[nodiscard]] bool in_stack_frame(i32 at, AccessKind kind) const;
    [[nodiscard]] Mem begin_push();
    void end_push();
    [[nodiscard]] Mem begin_pop();

    // --- emit_system.cpp
    bool emit_read_control();
    bool emit_segment_load();
    bool emit_rdtsc();

    // --- emit_fpu.cpp
    bool emit_x87();
    bool emit_simd();
    bool emit_load_control(bool x87);
    void emit_aligned(AccessKind kind);
    [[nodiscard]] bool pointers_wanted() const;
    void note_x87();
    void note_operand(const Mem& at, Seg segment);
    static constexpr u8 kLevelX87 = 1, kLevelSse = 2;
    void need_fpu(u8 level);  // as JitContext::fpu_live

    [[nodiscard]] const BlockPlan::Step& step() const { return plan_->steps[index_]; }
    [[nodiscard]] const Insn& insn() const { return step().insn; }
    [[nodiscard]] u32 next_eip() const { return step().eip + insn().length; }
    [[nodiscard]] u32 offset() const { return static_cast<u32>(a_.offset()); }

    // Notes that asmjit refused an instruction: a mistake of ours, after which the block is left to
    // the interpreter.
    struct Refusals : asmjit::ErrorHandler {
        void handleError(asmjit::Error, const char*, asmjit::BaseEmitter*) override { any = true; }
        bool any = false;
    };

    const Thunks& thunks_;
    BlockParts& parts_;
    Refusals refusals_;
    asmjit::CodeHolder code_;
    asmjit::x86::Assembler a_;
    const BlockPlan* plan_ = nullptr;
    u64 base_ = 0;
    unsigned index_ = 0;  // of the step being emitted
    SavedFlags flags_;
    int producer_ = -1;  // the step that left all flags in the host's, if its operands still stand
    u8 fpu_level_ = 0;   // what need_fpu() has seen to so far
    unsigned frame_steps_ = 0;  // the steps that the frame serves
    bool checked_fs_ = false, checked_gs_ = false;
    Shared shared_;
    Stub open_;             // of the access being emitted
    bool is_open_ = false;  // there is one
    std::vector<EmittedLink> links_;
    std::vector<Site> sites_;
    std::vector<Stub> stubs_;
    std::vector<EmittedPiece>* pieces_ = nullptr;
};

}  // namespace ennead::vmcore::jit
