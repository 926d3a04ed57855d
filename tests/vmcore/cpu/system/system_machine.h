// SPDX-License-Identifier: MIT
// A CPU with RAM, descriptor tables and TSSs laid out by the test, that carries out single
// instructions.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>

#include "vmcore/cpu/decode/decoder.h"
#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/interp.h"
#include "vmcore/cpu/interrupt.h"
#include "vmcore/mem/bus.h"
#include "vmcore/mem/guest_ram.h"
#include "vmcore/mem/physical_memory.h"

namespace ennead::vmcore::system_test {

class StubInterrupts : public InterruptSource {
  public:
    bool intr() override { return false; }
    u8 acknowledge() override { return 0xff; }
    void apic_base_written(u64 value) override { apic_base = value; }
    void tsc_deadline_written(u64 value) override { deadline = value; }
    u64 tsc_deadline() override { return deadline; }
    void ferr_changed(bool) override {}

    u64 apic_base = 0, deadline = 0;
};

// Remembers what was written where; reads give what was put in.
class StubDevice : public Device {
  public:
    u32 read(u64 offset, unsigned size) override {
        ++reads;
        u32 value = 0;
        for (unsigned i = 0; i < size; ++i) {
            value |= u32{bytes[offset + i]} << (8 * i);
        }
        return value;
    }
    void write(u64 offset, unsigned size, u32 value) override {
        ++writes;
        for (unsigned i = 0; i < size; ++i) {
            bytes[offset + i] = static_cast<u8>(value >> (8 * i));
        }
    }
    std::map<u64, u8> bytes;
    unsigned reads = 0, writes = 0;
};

// The layout that protected() sets up; tests change what they need.
namespace layout {
inline constexpr u32 kGdt = 0x1000, kIdt = 0x2000, kLdt = 0x2800, kTss = 0x3000, kTss2 = 0x3800,
                     kTss16 = 0x3c00, kStack0 = 0x8000, kStack1 = 0x9000, kStack3 = 0xa000,
                     kHandler = 0x10000;
// Selectors, without RPL.
inline constexpr u16 kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x18, kData3 = 0x20, kTssSel = 0x28,
                     kLdtSel = 0x30, kTss2Sel = 0x38, kTss16Sel = 0x40, kCode1 = 0x48,
                     kData1 = 0x50, kConforming = 0x58, kFree = 0x60;  // kFree and above: tests
// Bytes 5 and 6 of flat segments.
inline constexpr u16 kFlatCode = 0xc09a, kFlatData = 0xc092;
}  // namespace layout

class SystemMachine : public ::testing::Test {
  protected:
    SystemMachine()
        : ram_(GuestRam::create(u64{16} << 20).value()),
          memory_(*ram_, mmio_),
          cpu_(std::make_unique<Cpu>(arena_,
                                     CpuWiring{memory_, ports_, interrupts_, clock_, Log{}})) {
        state_.reset();
        cpu_->mode_changed();
    }

    // --- memory
    // -------------------------------------------------------------------------------------------
    template <class T>
    void put(u32 address, T value) {
        std::memcpy(ram_->base() + address, &value, sizeof(T));
    }
    template <class T = u32>
    T get(u32 address) {
        T value{};
        std::memcpy(&value, ram_->base() + address, sizeof(T));
        return value;
    }

    // --- tables
    // -------------------------------------------------------------------------------------------
    static u64 descriptor(u32 base, u32 limit, u16 attr) {
        const u32 low = (base << 16) | (limit & 0xffff);
        const u32 high = (base & 0xff000000) | ((base >> 16) & 0xff) | u32{attr & 0xf0ffu} << 8 |
                         (limit & 0xf0000);
        return u64{high} << 32 | low;
    }
    static u64 gate(u16 selector, u32 offset, u8 type_and_dpl, u8 parameters = 0) {
        return u64{(offset & 0xffff0000) | u32{type_and_dpl} << 8 | parameters} << 32 |
               (u32{selector} << 16) | (offset & 0xffff);
    }
    void set_gdt(u16 selector, u64 value) { put(layout::kGdt + (selector & ~7u), value); }
    void set_ldt(u16 selector, u64 value) { put(layout::kLdt + (selector & ~7u), value); }
    void set_idt(u8 vector, u64 value) { put(layout::kIdt + vector * 8u, value); }
    u8 access_byte(u16 selector) { return get<u8>(layout::kGdt + (selector & ~7u) + 5); }

    // Flat protected mode at `cpl`, with all tables; interrupts off.
    void protected_mode(unsigned cpl = 0) {
        using namespace layout;
        const auto at_level = [](u16 attr, unsigned level) {
            return static_cast<u16>(attr | level << 5);
        };
        set_gdt(kCode0, descriptor(0, 0xfffff, kFlatCode));
        set_gdt(kData0, descriptor(0, 0xfffff, kFlatData));
        set_gdt(kCode3, descriptor(0, 0xfffff, at_level(kFlatCode, 3)));
        set_gdt(kData3, descriptor(0, 0xfffff, at_level(kFlatData, 3)));
        set_gdt(kCode1, descriptor(0, 0xfffff, at_level(kFlatCode, 1)));
        set_gdt(kData1, descriptor(0, 0xfffff, at_level(kFlatData, 1)));
        set_gdt(kConforming, descriptor(0, 0xfffff, kFlatCode | Segment::kConforming));
        set_gdt(kTssSel, descriptor(kTss, 0x67, 0x8b));
        set_gdt(kLdtSel, descriptor(kLdt, 0xff, 0x82));
        set_gdt(kTss2Sel, descriptor(kTss2, 0x67, 0x89));
        set_gdt(kTss16Sel, descriptor(kTss16, 0x2b, 0x81));
        put(kTss + 4, kStack0);
        put(kTss + 8, u32{kData0});
        put(kTss + 12, kStack1);
        put(kTss + 16, u32{kData1 | 1u});
        put(kTss + 0x66, u16{0x68});  // no I/O permission bitmap
        state_.gdtr = {kGdt, 0xff};
        state_.idtr = {kIdt, 0x7ff};
        state_.cr0 = cr0::kPe | cr0::kEt;
        state_.tr = {kTss, 0x67, kTssSel, 0x8b};
        state_.ldtr = {kLdt, 0xff, kLdtSel, 0x82};
        state_.cpl = static_cast<u8>(cpl);
        const u16 code = cpl == 0 ? kCode0 : cpl == 1 ? kCode1 : kCode3;
        const u16 data = cpl == 0 ? kData0 : cpl == 1 ? kData1 : kData3;
        for (Segment& each : state_.seg) {
            each = {0, 0xffffffff, static_cast<u16>(data | cpl),
                    at_level(kFlatData | Segment::kAccessed, cpl)};
        }
        state_.segment(Seg::cs) = {0, 0xffffffff, static_cast<u16>(code | cpl),
                                   at_level(kFlatCode | Segment::kAccessed, cpl)};
        state_.gpr[kEsp] = cpl == 0 ? 0x7000 : kStack3;
        state_.eip = 0x5000;
        cpu_->mode_changed();
    }

    // Virtual-8086 mode with CS:IP 0x500:0x10, SS:SP 0x900:0x100.
    void v86_mode(unsigned iopl) {
        protected_mode(3);
        state_.eflags |= eflags::kVm | iopl << 12;
        for (Segment& each : state_.seg) {
            each = {0x9000, 0xffff, 0x900, 0xf3};
        }
        state_.segment(Seg::cs) = {0x5000, 0xffff, 0x500, 0xf3};
        state_.gpr[kEsp] = 0x100;
        state_.eip = 0x10;
        cpu_->mode_changed();
    }

    // --- instructions
    // ---------------------------------------------------------------------------------------
    // Carries out one instruction as if it stood at EIP. False: cpu_->fault().
    bool exec(std::initializer_list<u8> bytes) {
        Insn insn;
        const CodeSize size = state_.segment(Seg::cs).big() ? CodeSize::bits32 : CodeSize::bits16;
        const std::span<const u8> span(bytes.begin(), bytes.size());
        EXPECT_EQ(decode(span, size, insn), DecodeStatus::ok);
        EXPECT_EQ(insn.length, bytes.size());
        state_.interrupt_shadow = false;
        return execute_one(*cpu_, insn);
    }

    void expect_fault(Vector vector, u16 error_code) {
        EXPECT_EQ(cpu_->fault().vector, vector);
        EXPECT_TRUE(cpu_->fault().has_error_code);
        EXPECT_EQ(cpu_->fault().error_code, error_code);
    }
    void expect_ud() { EXPECT_EQ(cpu_->fault().vector, Vector::ud); }

    Segment& seg(Seg s) { return state_.segment(s); }

    std::unique_ptr<GuestRam> ram_;
    Bus mmio_, ports_;
    PhysicalMemory memory_;
    StubInterrupts interrupts_;
    ManualClock clock_;
    CpuArena arena_;
    CpuState& state_ = arena_.state();
    std::unique_ptr<Cpu> cpu_;
};

}  // namespace ennead::vmcore::system_test
