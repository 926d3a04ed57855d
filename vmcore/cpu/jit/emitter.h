// SPDX-License-Identifier: MIT
// Turns a planned block into host code.
#pragma once

#include <asmjit/x86.h>

#include <functional>
#include <optional>
#include <vector>

#include "vmcore/cpu/jit/block.h"
#include "vmcore/cpu/jit/context.h"
#include "vmcore/cpu/jit/plan.h"
#include "vmcore/cpu/jit/reencode.h"
#include "vmcore/cpu/jit/thunks.h"
#include "vmcore/types.h"

namespace ennead::vmcore::jit {

// What the emitter asks of whoever keeps blocks.
class LinkNumbers {
  public:
    virtual ~LinkNumbers() = default;
    // A number for a new link of the block that is being made.
    virtual u32 new_link(u32 eip, Link::Entry entry) = 0;
};

// A link as it lies in the code: offsets from its start.
struct EmittedLink {
    u32 number = 0;
    u32 place = 0;
    u32 stub = 0;
};

// One block at a time: emit(), then read the results, which stay until the next. vCPU thread only.
//
// Between instructions guest flags are in the host's flags, or they are "saved": in R10, or known
// by a way to make them again. An inserted comparison saves them first if they are still wanted
// (save_flags()); what reads them, and every way out, puts them back (need_flags()).
class BlockEmitter {
  public:
    BlockEmitter(const Thunks& thunks,
                 LinkNumbers& numbers);  // What the fetch table holds for the block's page, and for
                                         // the one behind it if an instruction straddles.
    struct FetchEntries {
        u64 page = 0, next = 0;
    };
    // `base`: where the code will lie.
    void emit(const BlockPlan& plan, FetchEntries fetch, u64 base, Block& block);
    // The code; valid until the next emit(). `to` has room for size() bytes.
    [[nodiscard]] std::size_t size() const { return code_.codeSize(); }
    void copy(u8* to);
    [[nodiscard]] const std::vector<EmittedLink>& links() const { return links_; }

  private:
    using Gp = asmjit::x86::Gp;
    using Mem = asmjit::x86::Mem;
    using Label = asmjit::Label;
    using Body = std::function<void(const Mem&)>;

    // --- emit_block.cpp: frame of a block, exits, flags
    void emit_entries(FetchEntries fetch);
    void leave_unless_mapped(u32 linear, u64 fetch_entry);
    void emit_step();
    void emit_link_jump(u32 target, Link::Entry entry);
    void emit_link_jump(u32 target);  // jmp
    Label link_stub(u32 target, Link::Entry entry, u32& index);
    void note_place(u32 index);  // the four bytes just emitted are the link's
    [[nodiscard]] Link::Entry entry_for(u32 target) const;
    void emit_indirect(bool call);  // to the EIP in R14
    void emit_return_site();
    void interpreted(bool ends);
    Interpreted* record(bool ends);
    void add_site(u32 eip, unsigned left);
    void call_interpreter(Interpreted* what);

    [[nodiscard]] u32 wanted_flags() const { return step().live_before; }
    [[nodiscard]] u32 live_after_step() const;
    [[nodiscard]] bool operation_wants_flags() const;
    void save_flags();
    void need_flags();
    void emit_restore();
    void fetch_flags();
    void put_back_flags();
    void flags_produced();

    // --- emit_mem.cpp
    // The linear address of the instruction's memory operand: a register that holds it (R14 or, if
    // `direct` and nothing has to be added, the guest register itself).
    Gp operand_address(bool direct);
    // The access to `size` bytes at `address` (R14 or a guest register): `body` gets the operand;
    // it and what it does beside must be repeatable, for it is emitted once more where the operand
    // is a stand-in.
    void access(Gp address, unsigned size, AccessKind kind, const Body& body);
    void operand_access(AccessKind kind, const Body& body, bool direct = true);
    // Where an access goes instead, with flags saved, if the tables do not answer it. Unset: a thunk.
    std::optional<Label> unanswered_;
    void emit_frame_check();
    [[nodiscard]] bool access_in_frame(i32 at, unsigned size, AccessKind kind, const Body& body);
    [[nodiscard]] bool segment_usable(AccessKind kind);

    // --- emit_move.cpp, emit_alu.cpp, emit_branch.cpp: by group; false: not emitted
    bool emit_generic();
    bool emit_register_form();
    void emit_bytes(HostMemory memory);
    bool emit_move();
    bool emit_stack();
    bool emit_divide();
    void emit_wide_division(Label begin, Label exception, Label done);
    bool emit_bit_string();
    bool emit_flag_ops();
    void emit_pushf();
    void emit_popf();
    bool emit_branch();
    bool emit_string();
    void emit_repeated(bool moves, Label special);
    // --- emit_fpu.cpp
    bool emit_x87();
    bool emit_simd();
    bool emit_load_control(bool x87);
    void emit_aligned(AccessKind kind);
    [[nodiscard]] bool pointers_wanted() const;
    void note_x87();
    void note_operand(const Mem& at, Seg segment);
    void need_fpu(u8 level);  // as JitContext::fpu_live
    void emit_jcc();
    void emit_count_branch();
    void emit_call(u32 target);
    void emit_call_operand();
    void emit_return();
    void push(const Body& store);
    void pop(const Body& load);

    [[nodiscard]] const BlockPlan::Step& step() const { return plan_->steps[index_]; }
    [[nodiscard]] const Insn& insn() const { return step().insn; }
    [[nodiscard]] u32 next_eip() const { return step().eip + insn().length; }
    [[nodiscard]] u32 offset() const { return static_cast<u32>(a_.offset()); }

    // Code out of the way, emitted after the block.
    void later(std::function<void()> what) { later_.push_back({index_, std::move(what)}); }

    // Where the flags are.
    enum class FlagsAt : u8 {
        host,
        raw,     // R10: as LAHF and SETO leave them in EAX
        add,     // R10 + producer's immediate gives them
        sub,     // R10 - producer's immediate
        result,  // TEST R10, R10
    };
    struct SavedFlags {
        FlagsAt at = FlagsAt::host;
        int producer = -1;
    };
    [[nodiscard]] SavedFlags how_to_save() const;

    const Thunks& thunks_;
    LinkNumbers& numbers_;
    asmjit::CodeHolder code_;
    asmjit::x86::Assembler a_;
    const BlockPlan* plan_ = nullptr;
    Block* block_ = nullptr;
    unsigned index_ = 0;  // of the step being emitted
    SavedFlags flags_;
    int producer_ = -1;  // the step that left all flags in the host's, if its operands still stand
    u8 fpu_level_ = 0;   // what need_fpu() has seen to so far
    unsigned frame_steps_ = 0;  // the steps that the frame serves
    bool checked_fs_ = false, checked_gs_ = false;
    std::vector<EmittedLink> links_;
    struct Later {
        unsigned index;  // of the step it belongs to
        std::function<void()> emit;
    };
    std::vector<Later> later_;
};

}  // namespace ennead::vmcore::jit
