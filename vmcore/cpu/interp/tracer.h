// SPDX-License-Identifier: MIT
// What a machine does, told as it happens to who looks from outside: instructions, interrupts,
// exceptions, accesses to devices, messages.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "vmcore/cpu/decode/insn.h"
#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/state.h"
#include "vmcore/devices/clock.h"
#include "vmcore/mem/physical_memory.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// An instruction that was begun. One that faulted has changed nothing.
struct TracedInstruction {
    Insn insn;
    u32 eip = 0;  // its offset in CS
    std::array<u32, 8> before{}, after{};
    u32 eflags_before = 0, eflags_after = 0;
};
// From the interrupt controllers, or NMI.
struct TracedInterrupt {
    u8 vector = 0;
    bool nmi = false;
};
// Recognised, which means neither that its handler could be entered nor that there is one.
struct TracedException {
    GuestFault fault;
};
struct TracedAccess {
    enum class Space : u8 { port, memory } space = Space::port;
    bool write = false;
    u8 size = 1;  // in bytes: 1, 2, 4 or 8
    u64 address = 0;
    u64 value = 0;
};
// A whole frame of the 9P device's, as it goes in or comes out.
struct TracedMessage {
    std::vector<std::byte> bytes;
};

struct TraceRecord {
    u64 machine_ns = 0;
    u64 instructions = 0;  // done since power-on, the one under way left out
    // Of the instruction that does it; for interrupts and exceptions where the handler would return
    // to. Nothing of the kind for messages.
    LinearAddr at{};
    std::variant<TracedInstruction, TracedInterrupt, TracedException, TracedAccess, TracedMessage>
        what;
};

// What is to be told; several rules add up.
struct TraceRule {
    static constexpr u8 kInsn = 1u << 0, kIrq = 1u << 1, kExc = 1u << 2, kPort = 1u << 3,
                        kMmio = 1u << 4, kMessage = 1u << 5;
    u8 kinds = 0;
    // Of ports for kPort, of physical addresses for kMmio, else of TraceRecord::at; both ends
    // belong to it. None: anywhere.
    struct Range {
        u32 first = 0, last = 0;
        bool operator==(const Range&) const = default;
    };
    std::vector<Range> ranges{};
    // The page tables in use, as CR3 has them without its flags.
    std::optional<u32> cr3{};
    bool operator==(const TraceRule&) const = default;
};
inline constexpr u32 kCr3Flags = 0x1f;

// vCPU thread only. Costs nothing but the looks at the functions below while there are no rules.
class Tracer final : private DeviceWatcher {
  public:
    // Called while guest code runs; must not block.
    using Sink = std::function<void(const TraceRecord&)>;

    // All of it outlives the tracer.
    Tracer(const CpuState& state, const Clock& clock, PhysicalMemory& memory)
        : state_(state), clock_(clock), memory_(memory) {}
    Tracer(const Tracer&) = delete;
    Tracer& operator=(const Tracer&) = delete;

    // Not during an instruction.
    void set(std::vector<TraceRule> rules, Sink sink);
    [[nodiscard]] const std::vector<TraceRule>& rules() const { return rules_; }
    [[nodiscard]] const Sink& sink() const { return sink_; }

    // Whether something of the kind may have to be told: who does it asks first.
    [[nodiscard]] bool anything() const { return kinds_ != 0; }
    [[nodiscard]] bool instructions() const { return (kinds_ & TraceRule::kInsn) != 0; }
    [[nodiscard]] bool interrupts() const { return (kinds_ & TraceRule::kIrq) != 0; }
    [[nodiscard]] bool exceptions() const { return (kinds_ & TraceRule::kExc) != 0; }
    [[nodiscard]] bool ports() const { return (kinds_ & TraceRule::kPort) != 0; }
    [[nodiscard]] bool devices() const { return (kinds_ & TraceRule::kMmio) != 0; }
    [[nodiscard]] bool messages() const { return (kinds_ & TraceRule::kMessage) != 0; }

    // What the instruction at EIP does between the two is told after it. The end comes whether it
    // is done or has faulted.
    void begin_instruction(const Insn& insn);
    void end_instruction();

    void interrupt(u8 vector, bool nmi);
    // `return_eip`: what the handler's frame gets.
    void exception(const GuestFault& fault, u32 return_eip);
    void port(Port port, unsigned size, bool write, u32 value);
    void message(std::span<const std::byte> frame);

  private:
    void accessed(PhysAddr address, unsigned size, bool write, u64 value) override;
    [[nodiscard]] LinearAddr linear(u32 eip) const {
        return LinearAddr{state_.segment(Seg::cs).base + eip};
    }
    [[nodiscard]] bool wanted(u8 kind, u64 address) const;
    template <class What>
    void tell(LinearAddr at, What what);

    const CpuState& state_;
    const Clock& clock_;
    PhysicalMemory& memory_;
    std::vector<TraceRule> rules_;
    Sink sink_;
    u8 kinds_ = 0;
    std::optional<TraceRecord> under_way_;  // an instruction
    std::vector<TraceRecord> held_;         // what comes after it
};

}  // namespace ennead::vmcore
