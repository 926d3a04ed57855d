// SPDX-License-Identifier: MIT
// The local APIC of the one CPU: interrupt acceptance, IPIs, timer, and the way of the 8259's INTR
// through it.
#pragma once

#include <array>
#include <functional>

#include "vmcore/devices/clock.h"
#include "vmcore/log.h"
#include "vmcore/mem/device.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Delivery modes of ICR, LVT, redirection entries and MSI data alike, SDM vol 3A §10.6.1.
enum class DeliveryMode : u8 {
    fixed = 0,
    lowest = 1,
    smi = 2,
    nmi = 4,
    init = 5,
    startup = 6,
    ext_int = 7
};

// What travels between APICs.
struct ApicMessage {
    u8 destination = 0;
    bool logical = false;
    DeliveryMode mode = DeliveryMode::fixed;
    u8 vector = 0;
    bool level = false;
};

// xAPIC with memory-mapped registers, SDM vol 3A chapter 10. vCPU thread only.
class LocalApic final : public Device {
  public:
    // What the timer counts at divide-by-1. CPUID leaf 15h must give it as the core crystal clock,
    // from which Linux learns it without measuring.
    static constexpr u64 kTimerHz = 1'000'000'000;
    static constexpr u64 kDefaultBase = 0xfee00000;
    static constexpr u64 kLength = 4096;

    // Every function may be empty.
    struct Wiring {
        std::function<void(bool)> intr;          // the CPU's INTR input changed
        std::function<void()> nmi;               // an NMI edge for the CPU
        std::function<u8()> extint_acknowledge;  // the INTA cycles of the 8259
        std::function<void(u8 vector)> eoi;      // EOI of a level interrupt, to the I/O APIC
        std::function<u64(u64 tsc)> tsc_to_ns;   // machine time at which the TSC reads this
        std::function<void(PhysAddr base, bool enabled)> relocate;  // IA32_APIC_BASE was written
    };

    LocalApic(TimerQueue& timers, Wiring wiring, Log log = {});

    // Power-on, with LINT0 as ExtINT and LINT1 as NMI: the virtual wire a BIOS sets up, SDM vol 3A
    // §10.5.1 and MultiProcessor specification 1.4 §3.6.2.2, so that kernels entered directly find
    // it too.
    void reset();

    // For the CPU. `intr` changes are also reported through Wiring::intr.
    [[nodiscard]] bool has_interrupt() const { return intr_; }
    // Takes the interrupt: its vector; the spurious vector if there is none.
    u8 acknowledge();

    // Inputs. LINT0 is the 8259's INTR, LINT1 the board's NMI. The third is an I/O APIC entry in
    // ExtINT mode.
    void set_lint0(bool asserted) { set_lint(0, asserted); }
    void set_lint1(bool asserted) { set_lint(1, asserted); }
    void set_ioapic_extint(bool asserted);

    // A message from the bus; false if it was not for this APIC or not accepted.
    bool deliver(const ApicMessage& message);
    // A 32-bit write of `data` to `address` (0xfeexxxxx), SDM vol 3A §10.11.
    void deliver_msi(u64 address, u32 data);
    // Whether a vector waits for the CPU.
    [[nodiscard]] bool requested(u8 vector) const { return test(irr_, vector); }

    // IA32_APIC_BASE (MSR 1Bh). The write fails, for a #GP, if reserved bits are set.
    [[nodiscard]] u64 base_msr() const { return base_msr_; }
    [[nodiscard]] bool write_base_msr(u64 value);
    [[nodiscard]] bool enabled() const { return (base_msr_ & kBaseEnable) != 0; }
    // IA32_TSC_DEADLINE (MSR 6E0h).
    [[nodiscard]] u64 tsc_deadline() const;
    void write_tsc_deadline(u64 tsc);
    // To be called when the TSC was set, for the deadline has another time then.
    void tsc_changed();

    u32 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u32 value) override;

  private:
    using Bits = std::array<u32, 8>;  // one bit a vector, laid out as ISR, TMR and IRR are read
    enum Lvt : unsigned { kLvtTimer, kLvtThermal, kLvtPerf, kLvtLint0, kLvtLint1, kLvtError };
    static constexpr unsigned kLvtCount = 6;
    static constexpr u64 kBaseEnable = 1u << 11;
    static constexpr u64 kBaseBsp = 1u << 8;

    static bool test(const Bits& b, unsigned v) { return (b[v / 32] >> (v % 32)) & 1; }
    static void set(Bits& b, unsigned v) { b[v / 32] |= 1u << (v % 32); }
    static void clear(Bits& b, unsigned v) { b[v / 32] &= ~(1u << (v % 32)); }
    static int highest(const Bits& b);

    void reset_registers();
    [[nodiscard]] bool software_enabled() const { return (svr_ & 0x100) != 0; }
    [[nodiscard]] u8 ppr() const;
    [[nodiscard]] bool extint() const;
    bool accept(u8 vector, bool level);
    [[nodiscard]] bool matches(u8 destination, bool logical) const;
    void end_of_interrupt();
    void update();

    u32 read_register(unsigned index);
    void write_register(unsigned index, u32 value);
    void write_svr(u32 value);
    void write_lvt(Lvt which, u32 value);
    void write_icr(u32 value);
    void error(u32 bit);
    void set_lint(unsigned n, bool asserted);
    void lint_level(unsigned n);

    enum class TimerMode : u8 { one_shot, periodic, tsc_deadline, reserved };
    [[nodiscard]] TimerMode timer_mode() const;
    [[nodiscard]] unsigned divisor() const;
    [[nodiscard]] u32 current_count() const;
    void start_timer(u32 initial, u32 current);
    void arm_timer(u64 earliest_ns);
    void fire_timer();
    void fire_periodic();
    bool timer_interrupt();

    TimerQueue& timers_;
    Wiring wiring_;
    Log log_;
    LogLimit ipi_log_{8};

    u64 base_msr_ = 0;
    u32 id_ = 0;
    u32 tpr_ = 0;
    u32 ldr_ = 0;
    u32 dfr_ = 0;
    u32 svr_ = 0;
    u32 esr_ = 0;          // as read
    u32 esr_pending_ = 0;  // since it was last written
    u32 icr_low_ = 0;
    u32 icr_high_ = 0;
    std::array<u32, kLvtCount> lvt_{};
    Bits isr_{};
    Bits tmr_{};
    Bits irr_{};
    std::array<bool, 2> lint_{};
    bool ioapic_extint_ = false;
    bool intr_ = false;

    u32 divide_ = 0;
    u32 initial_count_ = 0;
    u64 timer_start_ns_ = 0;  // when the count was initial_count_
    u64 ticks_given_ = 0;  // periods since then whose interrupt was given; one-shot: 1 once used up
    u64 tsc_deadline_ = 0;
    Timer timer_;
};

}  // namespace ennead::vmcore
