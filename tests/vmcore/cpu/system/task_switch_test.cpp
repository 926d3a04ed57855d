// SPDX-License-Identifier: MIT
// Task switches by JMP, CALL, IRET and task gates, between 32-bit and 16-bit TSSs, and their
// faults.
#include "vmcore/cpu/task_switch.h"

#include "tests/vmcore/cpu/system/system_machine.h"
#include "vmcore/cpu/interp/debug.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class TaskSwitching : public SystemMachine {
  protected:
    TaskSwitching() {
        protected_mode(0);
        fill_tss32(kTss2);
        fill_tss16(kTss16);
    }
    void fill_tss32(u32 at) {
        put<u32>(at + 0x1c, 0x100000);
        put<u32>(at + 0x20, 0x4000);
        put<u32>(at + 0x24, eflags::kFixed | eflags::kCf);
        for (u32 i = 0; i < 8; ++i) {
            put<u32>(at + 0x28 + i * 4, 0x11110000 + i);
        }
        put<u32>(at + 0x38, 0x6000);  // ESP
        for (const u32 segment : {0x48, 0x50, 0x54, 0x58, 0x5c}) {
            put<u32>(at + segment, kData0);
        }
        put<u32>(at + 0x4c, kCode0);
        put<u32>(at + 0x60, kLdtSel);
    }
    void fill_tss16(u32 at) {
        put<u16>(at + 0x0e, 0x4000);
        put<u16>(at + 0x10, 0x0003);
        for (u32 i = 0; i < 8; ++i) {
            put<u16>(at + 0x12 + i * 2, static_cast<u16>(0x2220 + i));
        }
        put<u16>(at + 0x22, kData0);
        put<u16>(at + 0x24, kCode0);
        put<u16>(at + 0x26, kData0);
        put<u16>(at + 0x28, kData0);
        put<u16>(at + 0x2a, kLdtSel);
    }
    bool jmp(u16 selector) { return exec({0xea, 0, 0, 0, 0, static_cast<u8>(selector), 0}); }
    bool call(u16 selector) { return exec({0x9a, 0, 0, 0, 0, static_cast<u8>(selector), 0}); }
    void expect_in_task2() {
        EXPECT_EQ(state_.tr.selector, kTss2Sel);
        EXPECT_EQ(state_.eip, 0x4000u);
        EXPECT_EQ(state_.gpr[kEax], 0x11110000u);
        EXPECT_EQ(state_.gpr[kEsp], 0x6000u);
        EXPECT_EQ(seg(Seg::cs).selector, kCode0);
        EXPECT_EQ(state_.ldtr.selector, kLdtSel);
        EXPECT_NE(state_.cr0 & cr0::kTs, 0u);
    }
};

TEST_F(TaskSwitching, jump) {
    state_.gpr[kEax] = 0xabcd;
    state_.dr[7] = 0x755;
    ASSERT_TRUE(jmp(kTss2Sel));
    expect_in_task2();
    EXPECT_EQ(access_byte(kTssSel), 0x89) << "the old task is free";
    EXPECT_EQ(access_byte(kTss2Sel), 0x8b);
    EXPECT_EQ(state_.eflags, eflags::kFixed | eflags::kCf);
    EXPECT_EQ(get(kTss + 0x28), 0xabcdu);
    EXPECT_EQ(get(kTss + 0x20), 0x5007u);
    EXPECT_EQ(get<u16>(kTss + 0x4c), kCode0);
    EXPECT_EQ(state_.dr[7], 0x600u) << "local breakpoints are off";
    EXPECT_FALSE(jmp(kTss2Sel)) << "busy";
    expect_fault(Vector::gp, kTss2Sel);
}

TEST_F(TaskSwitching, call_and_return) {
    ASSERT_TRUE(call(kTss2Sel));
    expect_in_task2();
    EXPECT_EQ(access_byte(kTssSel), 0x8b) << "both are busy";
    EXPECT_EQ(access_byte(kTss2Sel), 0x8b);
    EXPECT_EQ(get<u16>(kTss2), kTssSel);
    EXPECT_NE(state_.eflags & eflags::kNt, 0u);
    state_.gpr[kEax] = 0x7777;
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_EQ(state_.tr.selector, kTssSel);
    EXPECT_EQ(state_.eip, 0x5007u);
    EXPECT_EQ(access_byte(kTssSel), 0x8b);
    EXPECT_EQ(access_byte(kTss2Sel), 0x89);
    EXPECT_EQ(get(kTss2 + 0x28), 0x7777u);
    EXPECT_EQ(get(kTss2 + 0x20), 0x4001u);
    EXPECT_EQ(get(kTss2 + 0x24) & eflags::kNt, 0u);
    EXPECT_EQ(state_.eflags & eflags::kNt, 0u);
}

TEST_F(TaskSwitching, sixteen_bit_task) {
    ASSERT_TRUE(call(kTss16Sel));
    EXPECT_EQ(state_.tr.selector, kTss16Sel);
    EXPECT_EQ(state_.eip, 0x4000u);
    EXPECT_EQ(state_.gpr[kEcx], 0xffff2221u);
    EXPECT_EQ(seg(Seg::fs).attr, 0);
    EXPECT_EQ(access_byte(kTss16Sel), 0x83);
    ASSERT_TRUE(exec({0xcf}));
    EXPECT_EQ(state_.tr.selector, kTssSel);
    EXPECT_EQ(get<u16>(kTss16 + 0x14), 0x2221);
    EXPECT_EQ(access_byte(kTss16Sel), 0x81);
}

TEST_F(TaskSwitching, task_gate_with_an_error_code) {
    set_idt(13, gate(kTss2Sel, 0, 0x85));
    ASSERT_TRUE(
        deliver_fault(*cpu_, {.vector = Vector::gp, .has_error_code = true, .error_code = 0x1234}));
    EXPECT_EQ(state_.tr.selector, kTss2Sel);
    EXPECT_EQ(state_.gpr[kEsp], 0x5ffcu);
    EXPECT_EQ(get(0x5ffc), 0x1234u);
    EXPECT_EQ(get(kTss + 0x20), 0x5000u);
    EXPECT_NE(get(kTss + 0x24) & eflags::kRf, 0u);
}

TEST_F(TaskSwitching, task_gate_in_the_gdt) {
    set_gdt(kFree, gate(kTss2Sel, 0, 0x85));
    ASSERT_TRUE(jmp(kFree));
    expect_in_task2();
}

TEST_F(TaskSwitching, cr3_changes_with_paging) {
    put(0x100000, 0x101007);
    for (u32 i = 0; i < 1024; ++i) {
        put(0x101000 + i * 4, i << 12 | 7);
    }
    put(0x102000, 0x101007);
    state_.cr3 = 0x102000;
    state_.cr0 |= cr0::kPg;
    cpu_->mode_changed();
    ASSERT_TRUE(jmp(kTss2Sel));
    EXPECT_EQ(state_.cr3, 0x100000u);
}

TEST_F(TaskSwitching, checks_before_the_switch_change_nothing) {
    set_gdt(kTss2Sel, descriptor(kTss2, 0x66, 0x89));
    EXPECT_FALSE(jmp(kTss2Sel));
    expect_fault(Vector::ts, kTss2Sel);
    EXPECT_EQ(state_.tr.selector, kTssSel);
    EXPECT_EQ(access_byte(kTssSel), 0x8b);
    set_gdt(kTss2Sel, descriptor(kTss2, 0x67, 0x09));
    EXPECT_FALSE(jmp(kTss2Sel));
    expect_fault(Vector::np, kTss2Sel);
    EXPECT_EQ(state_.eip, 0x5000u);
}

TEST_F(TaskSwitching, iret_without_a_busy_task_behind_the_link) {
    state_.eflags |= eflags::kNt;
    put<u16>(kTss, kTss2Sel);
    EXPECT_FALSE(exec({0xcf}));
    expect_fault(Vector::ts, kTss2Sel);
    put<u16>(kTss, 0x0c);
    EXPECT_FALSE(exec({0xcf}));
    expect_fault(Vector::ts, 0x0c);
}

TEST_F(TaskSwitching, segment_faults_belong_to_the_new_task) {
    const auto refused = [&](u32 offset, u16 selector, Vector vector, u16 error) {
        protected_mode(0);
        fill_tss32(kTss2);
        put<u16>(kTss2 + offset, selector);
        EXPECT_FALSE(jmp(kTss2Sel));
        expect_fault(vector, error);
        EXPECT_EQ(state_.tr.selector, kTss2Sel);
        EXPECT_EQ(state_.eip, 0x4000u);
    };
    set_gdt(kFree, descriptor(0, 0xff, 0x4012));  // absent data
    refused(0x60, kData0, Vector::ts, kData0);    // LDT
    refused(0x60, 0x0c, Vector::ts, 0x0c);
    refused(0x4c, 0, Vector::ts, 0);  // CS
    refused(0x4c, kData0, Vector::ts, kData0);
    refused(0x4c, kCode3, Vector::ts, kCode3);
    refused(0x50, 0, Vector::ts, 0);  // SS
    refused(0x50, kData3, Vector::ts, kData3);
    set_gdt(kFree, descriptor(0, 0xff, 0x4012));
    refused(0x50, kFree, Vector::ss, kFree);
    refused(0x54, kFree, Vector::np, kFree);  // DS
    refused(0x58, 0x200, Vector::ts, 0x200);  // FS
}

TEST_F(TaskSwitching, eip_beyond_the_limit_faults_in_the_new_task) {
    set_gdt(kFree, descriptor(0, 0xff, 0x409a));
    put<u16>(kTss2 + 0x4c, kFree);
    EXPECT_FALSE(jmp(kTss2Sel));
    expect_fault(Vector::gp, 0);
    EXPECT_EQ(state_.eip, 0x4000u);
}

TEST_F(TaskSwitching, t_flag_is_a_debug_trap) {
    put<u16>(kTss2 + 0x64, 1);
    ASSERT_TRUE(jmp(kTss2Sel));
    EXPECT_EQ(cpu_->take_pending_debug(), debug::kDr6Bt);
}

TEST_F(TaskSwitching, task_in_virtual_8086_mode) {
    put<u32>(kTss2 + 0x24, eflags::kFixed | eflags::kVm);
    put<u16>(kTss2 + 0x4c, 0x1000);
    ASSERT_TRUE(jmp(kTss2Sel));
    EXPECT_TRUE(state_.v86());
    EXPECT_EQ(state_.cpl, 3);
    EXPECT_EQ(seg(Seg::cs).base, 0x10000u);
}

TEST_F(TaskSwitching, privilege_of_the_gate) {
    protected_mode(3);
    EXPECT_FALSE(jmp(kTss2Sel));
    expect_fault(Vector::gp, kTss2Sel);
}

}  // namespace
}  // namespace ennead::vmcore
