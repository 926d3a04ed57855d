// SPDX-License-Identifier: MIT
// Delivery of interrupts and exceptions: vector table, gates, privilege changes, double and triple
// faults.
#include "tests/vmcore/cpu/system/system_machine.h"
#include "vmcore/cpu/interp/debug.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class InterruptDelivery : public SystemMachine {
  protected:
    static constexpr u8 kIntGate = 0x8e, kTrapGate = 0x8f, kIntGate16 = 0x86, kDpl3 = 0x60;

    void expect_at(u16 selector, u32 eip, unsigned cpl) {
        EXPECT_EQ(seg(Seg::cs).selector, selector);
        EXPECT_EQ(state_.eip, eip);
        EXPECT_EQ(state_.cpl, cpl);
    }
    bool fault(Vector vector, u16 error) {
        return deliver_fault(*cpu_,
                             {.vector = vector, .has_error_code = true, .error_code = error});
    }
};

TEST_F(InterruptDelivery, real_mode_vector_table) {
    state_.idtr = {0, 0x3ff};
    put<u32>(0x20 * 4, 0x12345678);
    seg(Seg::cs).selector = 0x700;
    seg(Seg::cs).base = 0x7000;
    state_.eip = 0x55;
    state_.gpr[kEsp] = 0x1000;
    state_.eflags = 0x302 | eflags::kAc | eflags::kCf;
    state_.halted = true;
    ASSERT_TRUE(deliver_interrupt(*cpu_, 0x20));
    expect_at(0x1234, 0x5678, 0);
    EXPECT_FALSE(state_.halted);
    EXPECT_EQ(get<u16>(0xffe), 0x303);
    EXPECT_EQ(get<u16>(0xffc), 0x700);
    EXPECT_EQ(get<u16>(0xffa), 0x55);
    EXPECT_EQ(state_.eflags, eflags::kFixed | eflags::kCf);
}

TEST_F(InterruptDelivery, real_mode_faults_push_no_error_code) {
    state_.idtr = {0, 0x3ff};
    put<u32>(13 * 4, 0x12345678);
    state_.gpr[kEsp] = 0x1000;
    ASSERT_TRUE(fault(Vector::gp, 0));
    EXPECT_EQ(state_.gpr[kEsp], 0xffau);
}

TEST_F(InterruptDelivery, real_mode_iret) {
    state_.gpr[kEsp] = 0x1000;
    put<u16>(0x1000, 0x1111);
    put<u16>(0x1002, 0x2222);
    put<u16>(0x1004, 0x3246);
    state_.nmi_blocked = true;
    ASSERT_TRUE(exec({0xcf}));
    expect_at(0x2222, 0x1111, 0);
    EXPECT_EQ(state_.eflags, 0x3246u);
    EXPECT_FALSE(state_.nmi_blocked);
}

TEST_F(InterruptDelivery, real_mode_beyond_the_table_ends_in_shutdown) {
    state_.idtr = {0, 0};
    EXPECT_FALSE(fault(Vector::gp, 0));
}

TEST_F(InterruptDelivery, gate_on_the_same_level) {
    protected_mode(0);
    set_idt(0x30, gate(kCode0, 0x00abcdef, kIntGate));
    state_.eflags |= eflags::kIf | eflags::kTf | eflags::kNt;
    ASSERT_TRUE(deliver_interrupt(*cpu_, 0x30));
    expect_at(kCode0, 0xabcdef, 0);
    EXPECT_EQ(state_.gpr[kEsp], 0x7000u - 12);
    EXPECT_EQ(get(0x6ffc), eflags::kFixed | eflags::kIf | eflags::kTf | eflags::kNt);
    EXPECT_EQ(get(0x6ff8), kCode0);
    EXPECT_EQ(get(0x6ff4), 0x5000u);
    EXPECT_EQ(state_.eflags, eflags::kFixed);
}

TEST_F(InterruptDelivery, trap_gate_leaves_if) {
    protected_mode(0);
    set_idt(0x30, gate(kCode0, kHandler, kTrapGate));
    state_.eflags |= eflags::kIf;
    ASSERT_TRUE(deliver_interrupt(*cpu_, 0x30));
    EXPECT_NE(state_.eflags & eflags::kIf, 0u);
}

TEST_F(InterruptDelivery, fault_from_user_level_and_back) {
    protected_mode(3);
    set_idt(14, gate(kCode0, kHandler, kIntGate));
    state_.eflags |= eflags::kIf;
    ASSERT_TRUE(deliver_fault(
        *cpu_, {.vector = Vector::pf, .has_error_code = true, .error_code = 6, .cr2 = 0xdead}));
    expect_at(kCode0, kHandler, 0);
    EXPECT_EQ(state_.cr2, 0xdeadu);
    EXPECT_EQ(seg(Seg::ss).selector, kData0);
    EXPECT_EQ(state_.gpr[kEsp], kStack0 - 24);
    EXPECT_EQ(get(kStack0 - 24), 6u);
    EXPECT_EQ(get(kStack0 - 20), 0x5000u);
    EXPECT_EQ(get(kStack0 - 16), kCode3 | 3u);
    EXPECT_EQ(get(kStack0 - 12), eflags::kFixed | eflags::kIf | eflags::kRf);
    EXPECT_EQ(get(kStack0 - 8), kStack3);
    EXPECT_EQ(get(kStack0 - 4), kData3 | 3u);
    state_.gpr[kEsp] += 4;
    ASSERT_TRUE(exec({0xcf}));
    expect_at(kCode3 | 3, 0x5000, 3);
    EXPECT_EQ(state_.gpr[kEsp], kStack3);
    EXPECT_EQ(state_.eflags, eflags::kFixed | eflags::kIf | eflags::kRf);
}

TEST_F(InterruptDelivery, sixteen_bit_gate) {
    protected_mode(3);
    set_idt(13, gate(kCode0, 0xffff4321, kIntGate16));
    ASSERT_TRUE(fault(Vector::gp, 0x18));
    expect_at(kCode0, 0x4321, 0);
    EXPECT_EQ(state_.gpr[kEsp], kStack0 - 12);
    EXPECT_EQ(get<u16>(kStack0 - 12), 0x18);
    EXPECT_EQ(get<u16>(kStack0 - 2), kData3 | 3);
}

TEST_F(InterruptDelivery, conforming_handler_keeps_the_level) {
    protected_mode(3);
    set_idt(0x30, gate(kConforming, kHandler, kIntGate));
    ASSERT_TRUE(deliver_interrupt(*cpu_, 0x30));
    expect_at(kConforming | 3, kHandler, 3);
    EXPECT_EQ(state_.gpr[kEsp], kStack3 - 12);
}

TEST_F(InterruptDelivery, int_n_checks_the_gate) {
    protected_mode(3);
    set_idt(0x80, gate(kCode0, kHandler, kIntGate));
    EXPECT_FALSE(exec({0xcd, 0x80}));
    expect_fault(Vector::gp, 0x80 * 8 + 2);
    set_idt(0x80, gate(kCode0, kHandler, (kIntGate | kDpl3) & 0x7f));
    EXPECT_FALSE(exec({0xcd, 0x80}));
    expect_fault(Vector::np, 0x80 * 8 + 2);
    set_idt(0x80, gate(kCode0, kHandler, 0xec));  // a call gate
    EXPECT_FALSE(exec({0xcd, 0x80}));
    expect_fault(Vector::gp, 0x80 * 8 + 2);
    set_idt(0x80, gate(kData0, kHandler, kIntGate | kDpl3));
    EXPECT_FALSE(exec({0xcd, 0x80}));
    expect_fault(Vector::gp, kData0);
    set_idt(0x80, gate(0, kHandler, kIntGate | kDpl3));
    EXPECT_FALSE(exec({0xcd, 0x80}));
    expect_fault(Vector::gp, 0);
    set_idt(0x80, gate(kCode0, kHandler, kIntGate | kDpl3));
    ASSERT_TRUE(exec({0xcd, 0x80}));
    expect_at(kCode0, kHandler, 0);
    EXPECT_EQ(get(kStack0 - 20), 0x5002u);
    EXPECT_EQ(get(kStack0 - 12), eflags::kFixed) << "a trap does not push RF";
}

TEST_F(InterruptDelivery, int_n_beyond_the_idt) {
    protected_mode(0);
    state_.idtr.limit = 0x80 * 8 + 6;
    EXPECT_FALSE(exec({0xcd, 0x80}));
    expect_fault(Vector::gp, 0x80 * 8 + 2);
}

TEST_F(InterruptDelivery, int3_into_and_int1) {
    protected_mode(3);
    set_idt(3, gate(kCode0, kHandler, kIntGate));
    set_idt(4, gate(kCode0, kHandler + 4, kIntGate | kDpl3));
    set_idt(1, gate(kCode0, kHandler + 1, kIntGate));
    EXPECT_FALSE(exec({0xcc}));
    expect_fault(Vector::gp, 3 * 8 + 2);
    ASSERT_TRUE(exec({0xce})) << "OF is clear";
    EXPECT_EQ(state_.eip, 0x5001u);
    state_.eflags |= eflags::kOf;
    ASSERT_TRUE(exec({0xce}));
    expect_at(kCode0, kHandler + 4, 0);
    protected_mode(3);
    ASSERT_TRUE(exec({0xf1})) << "no privilege check";
    expect_at(kCode0, kHandler + 1, 0);
}

TEST_F(InterruptDelivery, external_errors_carry_ext) {
    protected_mode(0);
    set_idt(11, gate(kCode0, kHandler, kIntGate));
    set_idt(0x30, gate(kCode0, kHandler, kIntGate & 0x7f));
    ASSERT_TRUE(deliver_interrupt(*cpu_, 0x30));
    expect_at(kCode0, kHandler, 0);
    EXPECT_EQ(get(0x7000 - 16), 0x30u * 8 + 3);
    EXPECT_EQ(get(0x7000 - 12), 0x5000u);
}

TEST_F(InterruptDelivery, nmi_blocks_until_iret) {
    protected_mode(0);
    set_idt(2, gate(kCode0, kHandler, kIntGate));
    ASSERT_TRUE(deliver_nmi(*cpu_));
    EXPECT_TRUE(state_.nmi_blocked);
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_FALSE(state_.nmi_blocked);
}

TEST_F(InterruptDelivery, contributory_faults_become_a_double_fault) {
    protected_mode(0);
    set_idt(8, gate(kCode0, kHandler, kIntGate));
    ASSERT_TRUE(fault(Vector::gp, 0x10));  // vector 13 has no gate
    expect_at(kCode0, kHandler, 0);
    EXPECT_EQ(get(0x7000 - 16), 0u);
    EXPECT_EQ(get(0x7000 - 12), 0x5000u);
}

TEST_F(InterruptDelivery, benign_then_contributory_is_delivered_as_the_second) {
    protected_mode(0);
    set_idt(13, gate(kCode0, kHandler, kIntGate));
    set_idt(8, gate(kCode0, kHandler + 8, kIntGate));
    ASSERT_TRUE(deliver_fault(*cpu_, {.vector = Vector::ud}));
    expect_at(kCode0, kHandler, 0);
    EXPECT_EQ(get(0x7000 - 16), 6u * 8 + 3);
}

TEST_F(InterruptDelivery, page_fault_then_contributory_is_a_double_fault) {
    protected_mode(0);
    set_idt(8, gate(kCode0, kHandler, kIntGate));
    set_idt(13, gate(kCode0, kHandler + 13, kIntGate));
    ASSERT_TRUE(fault(Vector::pf, 2));  // no gate 14: #GP
    expect_at(kCode0, kHandler, 0);
}

TEST_F(InterruptDelivery, contributory_then_page_fault_is_delivered_as_the_second) {
    protected_mode(0);
    // The IDT's first page is mapped, the one with vector 13's gate is not.
    put(0x100000, 0x101007);
    for (u32 i = 0; i < 1024; ++i) {
        put(0x101000 + i * 4, i << 12 | 7);
    }
    state_.idtr.base = 0x21000 - 104;
    set_gdt(0, 0);
    put<u64>(state_.idtr.base + 14 * 8, gate(kCode0, kHandler, kIntGate));
    put(0x101000 + 0x20 * 4, 0u);  // page 0x20000 holds gates 0 … 12
    put<u64>(state_.idtr.base + 13 * 8, gate(kCode0, kHandler + 13, kIntGate));
    state_.cr3 = 0x100000;
    state_.cr0 |= cr0::kPg;
    cpu_->mode_changed();
    ASSERT_TRUE(deliver_fault(*cpu_, {.vector = Vector::de}));
    expect_at(kCode0, kHandler, 0);
    EXPECT_EQ(state_.cr2, 0x21000u - 104);
    EXPECT_EQ(get(0x7000 - 16), 0u);
}

TEST_F(InterruptDelivery, triple_fault_is_a_shutdown) {
    protected_mode(0);
    EXPECT_FALSE(fault(Vector::gp, 0));
    state_.idtr.limit = 0;
    EXPECT_FALSE(deliver_fault(*cpu_, {.vector = Vector::ud}));
}

TEST_F(InterruptDelivery, debug_exception_fills_dr6_and_clears_gd) {
    protected_mode(0);
    set_idt(1, gate(kCode0, kHandler, kIntGate));
    state_.dr[7] |= debug::kDr7Gd;
    EXPECT_FALSE(exec({0x0f, 0x21, 0xf8}));  // mov eax, dr7
    EXPECT_EQ(cpu_->fault().vector, Vector::db);
    ASSERT_TRUE(deliver_fault(*cpu_, cpu_->fault()));
    EXPECT_EQ(state_.dr[6], debug::kDr6Fixed | debug::kDr6Bd);
    EXPECT_EQ(state_.dr[7] & debug::kDr7Gd, 0u);
}

TEST_F(InterruptDelivery, traps_push_the_next_instruction) {
    protected_mode(0);
    set_idt(1, gate(kCode0, kHandler, kIntGate));
    cpu_->next_eip = 0x5003;
    ASSERT_TRUE(
        deliver_fault(*cpu_, {.vector = Vector::db, .dr6 = debug::kDr6Bs, .is_trap = true}));
    EXPECT_EQ(get(0x7000 - 12), 0x5003u);
    EXPECT_EQ(get(0x7000 - 4), eflags::kFixed);
    EXPECT_EQ(state_.dr[6], debug::kDr6Fixed | debug::kDr6Bs);
}

TEST_F(InterruptDelivery, iret_changes_only_the_flags_the_level_may) {
    protected_mode(3);
    put<u32>(kStack3, 0x4444);
    put<u32>(kStack3 + 4, kCode3 | 3);
    put<u32>(kStack3 + 8, 0xffffffff & ~(eflags::kNt | eflags::kTf));
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_EQ(state_.eflags, eflags::kFixed | eflags::kArith | eflags::kDf | eflags::kRf |
                                 eflags::kAc | eflags::kId);
    protected_mode(0);
    state_.eflags = eflags::kFixed;
    cpu_->mode_changed();
    put<u32>(0x7000, 0x4444);
    put<u32>(0x7004, kCode0);
    put<u32>(0x7008, 0xffffffff & ~(eflags::kVm | eflags::kNt));
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_EQ(state_.eflags, 0x3d7fd7u & ~(eflags::kVm | eflags::kNt));
}

}  // namespace
}  // namespace ennead::vmcore
