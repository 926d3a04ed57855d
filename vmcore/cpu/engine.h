// SPDX-License-Identifier: MIT
// What runs guest code: the interpreter and the JIT are each an Engine over the same CpuState.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore {

class Translations;

// Why run() came back; several may hold at once.
struct ExitReasons {
    bool budget = false;  // the instruction budget is used up
    bool requested =
        false;            // kRequestExit was set (and has been cleared); nothing else was looked at
    bool halted = false;  // HLT, and nothing to wake it yet
    // One set from outside was hit (Cpu::breakpoints): if on execution, the instruction stands at
    // EIP. A run that ends for its budget may have hit one as well.
    bool breakpoint = false;
    bool shutdown = false;  // triple fault: the CPU does nothing more until reset
};

class Engine {
  public:
    static constexpr u64 kExactBudget = 4096;
    virtual ~Engine() = default;
    // Runs on the vCPU thread until there is a reason to leave. At least one reason is set. The
    // state is precise on return: eip stands at the next instruction. A budget below kExactBudget
    // is used up to the last instruction, a greater one may leave a few.
    virtual ExitReasons run(u64 budget_instructions) = 0;
    // Something outside changed what translations were made from: control registers written through
    // the register file, ROM protection. (Changes of guest memory are told to GuestRam::written().)
    virtual void flush() = 0;
    // What it has counted since power-on, as names and values in the order to be shown: the main
    // things.
    [[nodiscard]] virtual std::vector<std::pair<std::string, u64>> counters() const { return {}; }
    // Null: it does not translate.
    [[nodiscard]] virtual const Translations* translations() const { return nullptr; }
};

enum class EngineKind { jit, interp };

// Where interrupts come from: the local APIC with the 8259 pair behind it. vCPU thread only.
class InterruptSource {
  public:
    virtual ~InterruptSource() = default;
    // INTR as it stands now.
    [[nodiscard]] virtual bool intr() = 0;
    // The interrupt acknowledge cycle: the vector (a spurious one if INTR went away).
    virtual u8 acknowledge() = 0;
    // IA32_APIC_BASE was written.
    virtual void apic_base_written(u64 value) = 0;
    // IA32_TSC_DEADLINE: in TSC ticks of the guest; reads give 0 once it has fired.
    virtual void tsc_deadline_written(u64 deadline) = 0;
    [[nodiscard]] virtual u64 tsc_deadline() = 0;
    // FERR#: drives IRQ 13.
    virtual void ferr_changed(bool asserted) = 0;
};

}  // namespace ennead::vmcore
