// SPDX-License-Identifier: MIT
// Control and debug registers, descriptor table registers, flags instructions: rules and side
// effects.
#include "vmcore/cpu/interp/control_registers.h"

#include "tests/vmcore/cpu/system/system_machine.h"
#include "vmcore/cpu/interp/debug.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class ControlRegisters : public SystemMachine {
  protected:
    // MOV CRn, EAX.
    bool mov_cr(unsigned n, u32 value) {
        cpu_->set_r32(kEax, value);
        return exec({0x0f, 0x22, static_cast<u8>(0xc0 | n << 3)});
    }
    bool mov_dr(unsigned n, u32 value) {
        cpu_->set_r32(kEax, value);
        return exec({0x0f, 0x23, static_cast<u8>(0xc0 | n << 3)});
    }
    u32 read_dr(unsigned n) {
        EXPECT_TRUE(exec({0x0f, 0x21, static_cast<u8>(0xc3 | n << 3)}));
        return cpu_->r32(kEbx);
    }
};

TEST_F(ControlRegisters, cr0_rules) {
    protected_mode(0);
    EXPECT_FALSE(mov_cr(0, cr0::kPg));
    expect_fault(Vector::gp, 0);
    EXPECT_FALSE(mov_cr(0, cr0::kPe | cr0::kNw));
    expect_fault(Vector::gp, 0);
    ASSERT_TRUE(mov_cr(0, 0x0000ffc1 & ~cr0::kEt));
    EXPECT_EQ(state_.cr0, cr0::kPe | cr0::kEt) << "reserved bits are dropped, ET stays";
    ASSERT_TRUE(exec({0x0f, 0x20, 0xc1}));  // mov ecx, cr0
    EXPECT_EQ(cpu_->r32(kEcx), state_.cr0);
}

TEST_F(ControlRegisters, registers_that_are_not_there) {
    protected_mode(0);
    for (const unsigned n : {1, 5, 6, 7}) {
        EXPECT_FALSE(mov_cr(n, 0));
        expect_ud();
    }
}

TEST_F(ControlRegisters, level_0_only) {
    protected_mode(3);
    EXPECT_FALSE(mov_cr(0, 0));
    expect_fault(Vector::gp, 0);
    for (const std::initializer_list<u8> code :
         std::initializer_list<std::initializer_list<u8>>{{0x0f, 0x20, 0xc0},
                                                          {0x0f, 0x21, 0xc0},
                                                          {0x0f, 0x23, 0xc0},
                                                          {0x0f, 0x06},
                                                          {0x0f, 0x08},
                                                          {0x0f, 0x09},
                                                          {0x0f, 0x30},
                                                          {0x0f, 0x32},
                                                          {0xf4},
                                                          {0x0f, 0x01, 0xf0},
                                                          {0x0f, 0x01, 0x38},
                                                          {0x0f, 0x01, 0x10},
                                                          {0x0f, 0x01, 0x18},
                                                          {0x0f, 0x33}}) {
        EXPECT_FALSE(exec(code));
        expect_fault(Vector::gp, 0);
    }
    EXPECT_TRUE(exec({0x0f, 0x01, 0xe1})) << "SMSW is free";
    EXPECT_EQ(cpu_->r32(kEcx), state_.cr0);
}

TEST_F(ControlRegisters, lmsw_sets_pe_and_cannot_clear_it) {
    state_.cr0 = cr0::kEt;
    cpu_->mode_changed();
    cpu_->set_r32(kEax, 0xfff1 | cr0::kTs);
    ASSERT_TRUE(exec({0x0f, 0x01, 0xf0}));
    EXPECT_EQ(state_.cr0, cr0::kEt | cr0::kPe | cr0::kTs);
    cpu_->set_r32(kEax, 0);
    ASSERT_TRUE(exec({0x0f, 0x01, 0xf0}));
    EXPECT_EQ(state_.cr0, cr0::kEt | cr0::kPe);
    state_.cr0 |= cr0::kTs;
    ASSERT_TRUE(exec({0x0f, 0x06}));
    EXPECT_EQ(state_.cr0 & cr0::kTs, 0u);
}

TEST_F(ControlRegisters, cr4_refuses_what_is_not_offered) {
    protected_mode(0);
    for (unsigned bit = 0; bit < 32; ++bit) {
        const bool offered = (kSupportedCr4 >> bit & 1) != 0;
        EXPECT_EQ(mov_cr(4, 1u << bit), offered) << bit;
    }
}

TEST_F(ControlRegisters, pae_checks_the_pdptes) {
    protected_mode(0);
    put<u64>(0x100000, 0x101000 | 3);  // bit 1 is reserved
    ASSERT_TRUE(mov_cr(3, 0x100000));
    ASSERT_TRUE(mov_cr(4, cr4::kPae));
    EXPECT_FALSE(mov_cr(0, cr0::kPe | cr0::kPg));
    expect_fault(Vector::gp, 0);
    EXPECT_EQ(state_.cr0 & cr0::kPg, 0u);
    put<u64>(0x100000, 0x101000 | 1);
    ASSERT_TRUE(mov_cr(0, cr0::kPe | cr0::kPg));
    EXPECT_EQ(state_.pdpte[0], 0x101001u);
    put<u64>(0x100020, 0x103000 | 3);
    EXPECT_FALSE(mov_cr(3, 0x100020));
    EXPECT_EQ(state_.cr3, 0x100000u);
    // Changed in memory, but read only at the next load of CR3.
    put<u64>(0x100000, 0);
    EXPECT_EQ(state_.pdpte[0], 0x101001u);
    ASSERT_TRUE(mov_cr(3, 0x100000));
    EXPECT_EQ(state_.pdpte[0], 0u);
}

TEST_F(ControlRegisters, debug_registers) {
    protected_mode(0);
    ASSERT_TRUE(mov_dr(2, 0x12345678));
    EXPECT_EQ(read_dr(2), 0x12345678u);
    ASSERT_TRUE(mov_dr(6, 0xffffffff));
    EXPECT_EQ(read_dr(6), 0xffffefffu);
    ASSERT_TRUE(mov_dr(4, 0));
    EXPECT_EQ(read_dr(6), debug::kDr6Fixed);
    ASSERT_TRUE(mov_dr(5, 0xffffffff & ~debug::kDr7Gd));
    EXPECT_EQ(read_dr(7), 0xffff07ffu);
    ASSERT_TRUE(mov_dr(7, 0));
    EXPECT_EQ(read_dr(5), debug::kDr7Fixed);
    state_.cr4 |= cr4::kDe;
    EXPECT_FALSE(mov_dr(4, 0));
    expect_ud();
}

TEST_F(ControlRegisters, descriptor_table_registers) {
    protected_mode(0);
    put<u16>(0x6000, 0x1ff);
    put<u32>(0x6002, 0x12345678);
    ASSERT_TRUE(exec({0x0f, 0x01, 0x1d, 0, 0x60, 0, 0}));
    EXPECT_EQ(state_.idtr.limit, 0x1ff);
    EXPECT_EQ(state_.idtr.base, 0x12345678u);
    ASSERT_TRUE(exec({0x66, 0x0f, 0x01, 0x15, 0, 0x60, 0, 0}));
    EXPECT_EQ(state_.gdtr.base, 0x345678u);
    ASSERT_TRUE(exec({0x0f, 0x01, 0x0d, 0x10, 0x60, 0, 0}));  // sidt
    EXPECT_EQ(get<u16>(0x6010), 0x1ff);
    EXPECT_EQ(get(0x6012), 0x12345678u);
    ASSERT_TRUE(exec({0x66, 0x0f, 0x01, 0x0d, 0x10, 0x60, 0, 0}));
    EXPECT_EQ(get(0x6012), 0x345678u);
    EXPECT_FALSE(exec({0x0f, 0x01, 0xd0}));  // register form
    expect_ud();
}

TEST_F(ControlRegisters, sti_shadow_only_when_interrupts_were_off) {
    protected_mode(0);
    ASSERT_TRUE(exec({0xfb}));
    EXPECT_TRUE(state_.interrupt_shadow);
    ASSERT_TRUE(exec({0xfb}));
    EXPECT_FALSE(state_.interrupt_shadow);
    ASSERT_TRUE(exec({0xfa}));
    EXPECT_EQ(state_.eflags & eflags::kIf, 0u);
}

TEST_F(ControlRegisters, popf_by_privilege) {
    protected_mode(0);
    put<u32>(0x7000, 0xffffffff);
    ASSERT_TRUE(exec({0x9d}));
    EXPECT_EQ(state_.eflags, eflags::kArith | eflags::kTf | eflags::kIf | eflags::kDf |
                                 eflags::kIopl | eflags::kNt | eflags::kAc | eflags::kId |
                                 eflags::kFixed);
    protected_mode(3);
    state_.eflags = eflags::kFixed;
    put<u32>(kStack3, 0xffffffff);
    ASSERT_TRUE(exec({0x9d}));
    EXPECT_EQ(state_.eflags & (eflags::kIf | eflags::kIopl), 0u);
    ASSERT_TRUE(exec({0x9c}));
    EXPECT_EQ(get(kStack3), state_.eflags);
}

TEST_F(ControlRegisters, pushf_hides_vm_and_rf) {
    protected_mode(0);
    state_.eflags |= eflags::kRf | eflags::kCf;
    ASSERT_TRUE(exec({0x9c}));
    EXPECT_EQ(get(0x6ffc), eflags::kFixed | eflags::kCf);
}

TEST_F(ControlRegisters, hlt_halts) {
    protected_mode(0);
    ASSERT_TRUE(exec({0xf4}));
    EXPECT_TRUE(state_.halted);
    EXPECT_EQ(state_.eip, 0x5001u);
}

TEST_F(ControlRegisters, reset_state) {
    state_.reset();
    EXPECT_EQ(state_.segment(Seg::cs).base + state_.eip, 0xfffffff0u);
    EXPECT_EQ(state_.cr0, 0x60000010u);
    EXPECT_EQ(state_.eflags, eflags::kFixed);
    EXPECT_EQ(state_.idtr.limit, 0xffff);
    EXPECT_EQ(state_.dr[6], 0xffff0ff0u);
}

}  // namespace
}  // namespace ennead::vmcore
