// SPDX-License-Identifier: MIT
// Breakpoints set from outside the machine. The guest does not see them; its own are in the debug
// registers (debug.h).
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "vmcore/cpu/mmu/page_walk.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// What is done at an address, or is to be looked for.
struct BreakpointKind {
    bool read = false, write = false, execute = false;
    bool operator==(const BreakpointKind&) const = default;
};

struct Breakpoint {
    BreakpointKind kind;   // at least one of them
    LinearAddr address{};  // of the first byte
    u32 length = 1;        // in bytes, not 0; an instruction is matched by its first byte alone
    u64 hits = 0;
};

// A breakpoint that was hit: its address, and what was done there.
struct BreakpointHit {
    BreakpointKind kind;
    LinearAddr address{};
};

// The list, and what has hit it. vCPU thread only. An instruction that has hit breakpoints on data
// is completed first; one that stands at a breakpoint on execution is not begun. What has been
// noted waits until take_hits().
class Breakpoints {
  public:
    static constexpr std::size_t kMost = 64;

    // At most kMost. What was noted before is forgotten.
    void set(std::vector<Breakpoint> list);
    [[nodiscard]] const std::vector<Breakpoint>& list() const { return list_; }
    [[nodiscard]] bool on_data() const { return on_data_; }
    [[nodiscard]] bool on_execution() const { return on_execution_; }
    // Not 0: something has to be asked before the next instruction.
    [[nodiscard]] u32 attention() const { return u32{on_execution_} | u32{hit_}; }

    // An access to data that has succeeded.
    void note_access(LinearAddr address, u32 size, Access access);
    // True: there is a breakpoint on the instruction at `address`, and it was noted.
    [[nodiscard]] bool note_execution(LinearAddr address);
    [[nodiscard]] bool hit() const { return hit_; }
    // The instruction whose accesses were noted has faulted.
    void drop_hits();
    // Counts what was noted, each breakpoint once, and forgets it.
    [[nodiscard]] std::vector<BreakpointHit> take_hits();

    // The instruction at `address` is to be done although there is a breakpoint on it, if it is the
    // next one.
    void pass(LinearAddr address) {
        passing_ = on_execution_;
        passed_ = address;
    }
    [[nodiscard]] bool passes(LinearAddr address) const { return passing_ && passed_ == address; }
    void end_pass() { passing_ = false; }

  private:
    std::vector<Breakpoint> list_;
    std::vector<BreakpointKind> noted_;  // for each of the list
    bool on_data_ = false, on_execution_ = false;
    bool hit_ = false;  // something is noted
    bool passing_ = false;
    LinearAddr passed_{};
};

}  // namespace ennead::vmcore
