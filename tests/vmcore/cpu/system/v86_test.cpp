// SPDX-License-Identifier: MIT
// Virtual-8086 mode: in and out of it, IOPL-sensitive instructions, the virtual interrupt flag,
// redirection.
#include "tests/vmcore/cpu/system/system_machine.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class Virtual8086 : public SystemMachine {
  protected:
    void pending_and_enabled(u32 set) {
        state_.eflags = (state_.eflags & ~(eflags::kVif | eflags::kVip)) | set;
    }
    void vme() {
        state_.cr4 |= cr4::kVme;
        cpu_->mode_changed();
    }
    // Sends INT n to the program (bit 0) or the monitor.
    void redirect(u8 vector, bool to_program) {
        put<u16>(kTss + 0x66, 0x88);
        state_.tr.limit = 0x200;
        for (unsigned i = 0; i < 32; ++i) {
            put<u8>(kTss + 0x68 + i, 0xff);
        }
        if (to_program) {
            put<u8>(kTss + 0x68 + vector / 8, static_cast<u8>(~(1u << vector % 8)));
        }
    }
};

TEST_F(Virtual8086, interrupt_leaves_and_iret_comes_back) {
    v86_mode(0);
    seg(Seg::ds) = {0x12340, 0xffff, 0x1234, 0xf3};
    seg(Seg::gs) = {0x43210, 0xffff, 0x4321, 0xf3};
    state_.eflags |= eflags::kIf;
    set_idt(0x30, gate(kCode0, kHandler, 0x8e));
    ASSERT_TRUE(deliver_interrupt(*cpu_, 0x30));
    EXPECT_EQ(state_.cpl, 0);
    EXPECT_FALSE(state_.v86());
    EXPECT_EQ(seg(Seg::ds).attr, 0);
    EXPECT_EQ(state_.gpr[kEsp], kStack0 - 36);
    EXPECT_EQ(get(kStack0 - 4), 0x4321u);
    EXPECT_EQ(get(kStack0 - 8), 0x900u);
    EXPECT_EQ(get(kStack0 - 12), 0x1234u);
    EXPECT_EQ(get(kStack0 - 16), 0x900u);
    EXPECT_EQ(get(kStack0 - 20), 0x900u);
    EXPECT_EQ(get(kStack0 - 24), 0x100u);
    EXPECT_EQ(get(kStack0 - 28), eflags::kFixed | eflags::kVm | eflags::kIf);
    EXPECT_EQ(get(kStack0 - 32), 0x500u);
    EXPECT_EQ(get(kStack0 - 36), 0x10u);
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_TRUE(state_.v86());
    EXPECT_EQ(state_.cpl, 3);
    EXPECT_EQ(state_.eip, 0x10u);
    EXPECT_EQ(state_.gpr[kEsp], 0x100u);
    EXPECT_EQ(seg(Seg::cs).base, 0x5000u);
    EXPECT_EQ(seg(Seg::ds).base, 0x12340u);
    EXPECT_EQ(seg(Seg::gs).base, 0x43210u);
    EXPECT_EQ(seg(Seg::ss).attr, 0xf3);
    EXPECT_TRUE(cpu_->mmu.user());
}

TEST_F(Virtual8086, handler_must_be_of_level_0) {
    v86_mode(3);
    set_idt(0x30, gate(kConforming, kHandler, 0xee));
    EXPECT_FALSE(exec({0xcd, 0x30}));
    expect_fault(Vector::gp, kConforming);
    set_idt(0x30, gate(kCode1, kHandler, 0xee));
    EXPECT_FALSE(exec({0xcd, 0x30}));
    expect_fault(Vector::gp, kCode1);
}

TEST_F(Virtual8086, iret_to_v86_checks_ip) {
    protected_mode(0);
    put<u32>(0x7000, 0x10000);
    put<u32>(0x7008, eflags::kVm);
    EXPECT_FALSE(exec({0xcf}));
    expect_fault(Vector::gp, 0);
    EXPECT_FALSE(state_.v86());
}

TEST_F(Virtual8086, sensitive_instructions_below_iopl_3) {
    v86_mode(0);
    set_idt(0x30, gate(kCode0, kHandler, 0xee));
    for (const std::initializer_list<u8> code : std::initializer_list<std::initializer_list<u8>>{
             {0xfa}, {0xfb}, {0x9c}, {0x9d}, {0xcf}, {0xcd, 0x30}, {0xf4}}) {
        EXPECT_FALSE(exec(code));
        expect_fault(Vector::gp, 0);
    }
    set_idt(3, gate(kCode0, kHandler, 0xee));
    EXPECT_TRUE(exec({0xcc})) << "INT3 is not sensitive";
    EXPECT_EQ(state_.cpl, 0);
}

TEST_F(Virtual8086, sensitive_instructions_at_iopl_3) {
    v86_mode(3);
    ASSERT_TRUE(exec({0xfb}));
    EXPECT_NE(state_.eflags & eflags::kIf, 0u);
    ASSERT_TRUE(exec({0x9c}));
    EXPECT_EQ(get<u16>(0x90fe), 0x3202);
    put<u16>(0x90fe, 0x0046);
    ASSERT_TRUE(exec({0x9d}));
    EXPECT_EQ(state_.eflags, eflags::kVm | eflags::kIopl | 0x46u) << "IOPL stays";
    put<u16>(0x9100, 0x77);
    put<u16>(0x9102, 0x88);
    put<u16>(0x9104, 0x0202);
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_EQ(seg(Seg::cs).base, 0x880u);
    EXPECT_EQ(state_.eip, 0x77u);
    EXPECT_EQ(state_.eflags, eflags::kVm | eflags::kIopl | 0x202u);
    set_idt(0x30, gate(kCode0, kHandler, 0xee));
    ASSERT_TRUE(exec({0xcd, 0x30}));
    EXPECT_EQ(state_.cpl, 0);
}

TEST_F(Virtual8086, virtual_interrupt_flag) {
    v86_mode(0);
    vme();
    ASSERT_TRUE(exec({0xfb}));
    EXPECT_NE(state_.eflags & eflags::kVif, 0u);
    EXPECT_EQ(state_.eflags & eflags::kIf, 0u);
    ASSERT_TRUE(exec({0x9c}));
    EXPECT_EQ(get<u16>(0x90fe), 0x3202) << "IF shows VIF, IOPL shows 3";
    put<u16>(0x90fe, 0x0002);
    ASSERT_TRUE(exec({0x9d}));
    EXPECT_EQ(state_.eflags & eflags::kVif, 0u);
    ASSERT_TRUE(exec({0xfa}));
    pending_and_enabled(eflags::kVip);
    EXPECT_FALSE(exec({0xfb}));
    expect_fault(Vector::gp, 0);
    put<u16>(0x9100, 0x0202);
    EXPECT_FALSE(exec({0x9d}));
    expect_fault(Vector::gp, 0);
    put<u16>(0x9100, 0x0102);
    EXPECT_FALSE(exec({0x9d})) << "TF";
    pending_and_enabled(0);
    EXPECT_FALSE(exec({0x66, 0x9c})) << "only the 16-bit forms";
    EXPECT_FALSE(exec({0x66, 0x9d}));
    EXPECT_FALSE(exec({0x66, 0xcf}));
}

TEST_F(Virtual8086, iret_with_virtual_flags) {
    v86_mode(0);
    vme();
    put<u16>(0x9100, 0x77);
    put<u16>(0x9102, 0x88);
    put<u16>(0x9104, 0x0202);
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_EQ(state_.eflags, eflags::kFixed | eflags::kVm | eflags::kVif);
    EXPECT_EQ(state_.eip, 0x77u);
    pending_and_enabled(eflags::kVip);
    state_.gpr[kEsp] = 0x100;
    EXPECT_FALSE(exec({0xcf}));
    expect_fault(Vector::gp, 0);
}

TEST_F(Virtual8086, int_n_redirected_to_the_program) {
    v86_mode(0);
    vme();
    redirect(0x21, true);
    put<u32>(0x21 * 4, 0x0abc0def);
    state_.eflags |= eflags::kVif;
    ASSERT_TRUE(exec({0xcd, 0x21}));
    EXPECT_TRUE(state_.v86());
    EXPECT_EQ(seg(Seg::cs).selector, 0xabc);
    EXPECT_EQ(state_.eip, 0xdefu);
    EXPECT_EQ(get<u16>(0x90fe), 0x3202);
    EXPECT_EQ(get<u16>(0x90fc), 0x500);
    EXPECT_EQ(get<u16>(0x90fa), 0x12);
    EXPECT_EQ(state_.eflags & eflags::kVif, 0u);
}

TEST_F(Virtual8086, int_n_to_the_monitor_with_vme) {
    v86_mode(0);
    vme();
    redirect(0x21, false);
    EXPECT_FALSE(exec({0xcd, 0x21}));
    expect_fault(Vector::gp, 0);
    v86_mode(3);
    set_idt(0x21, gate(kCode0, kHandler, 0xee));
    redirect(0x21, false);
    ASSERT_TRUE(exec({0xcd, 0x21}));
    EXPECT_EQ(state_.cpl, 0);
}

TEST_F(Virtual8086, return_with_a_pending_interrupt_faults_in_v86_mode) {
    protected_mode(0);
    state_.cr4 |= cr4::kVme;
    cpu_->mode_changed();
    const u32 frame[] = {0x10,  0x500, eflags::kVm | eflags::kVif | eflags::kVip,
                         0x100, 0x900, 0x900,
                         0x900, 0x900, 0x900};
    for (u32 i = 0; i < 9; ++i) {
        put(0x7000 + i * 4, frame[i]);
    }
    EXPECT_FALSE(exec({0xcf}));
    expect_fault(Vector::gp, 0);
    EXPECT_TRUE(state_.v86());
    EXPECT_EQ(state_.eip, 0x10u);
}

TEST_F(Virtual8086, protected_mode_virtual_interrupts) {
    protected_mode(3);
    EXPECT_FALSE(exec({0xfb}));
    expect_fault(Vector::gp, 0);
    state_.cr4 |= cr4::kPvi;
    cpu_->mode_changed();
    ASSERT_TRUE(exec({0xfb}));
    EXPECT_NE(state_.eflags & eflags::kVif, 0u);
    ASSERT_TRUE(exec({0xfa}));
    EXPECT_EQ(state_.eflags & eflags::kVif, 0u);
    pending_and_enabled(eflags::kVip);
    EXPECT_FALSE(exec({0xfb}));
    expect_fault(Vector::gp, 0);
}

}  // namespace
}  // namespace ennead::vmcore
