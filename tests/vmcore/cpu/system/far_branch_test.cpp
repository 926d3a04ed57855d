// SPDX-License-Identifier: MIT
// Far jumps, calls and returns: direct, through call gates, between privilege levels; SYSENTER and
// SYSEXIT.
#include "tests/vmcore/cpu/system/system_machine.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class FarBranch : public SystemMachine {
  protected:
    bool jmp(u16 selector, u32 offset = 0x1234) { return far(0xea, selector, offset); }
    bool call(u16 selector, u32 offset = 0x1234) { return far(0x9a, selector, offset); }
    bool far(u8 opcode, u16 selector, u32 offset) {
        return exec({opcode, static_cast<u8>(offset), static_cast<u8>(offset >> 8),
                     static_cast<u8>(offset >> 16), static_cast<u8>(offset >> 24),
                     static_cast<u8>(selector), static_cast<u8>(selector >> 8)});
    }
    void expect_at(u16 selector, u32 eip, unsigned cpl) {
        EXPECT_EQ(seg(Seg::cs).selector, selector);
        EXPECT_EQ(state_.eip, eip);
        EXPECT_EQ(state_.cpl, cpl);
    }
};

TEST_F(FarBranch, real_mode) {
    state_.eip = 0x100;
    ASSERT_TRUE(exec({0xea, 0x34, 0x12, 0x00, 0x20}));
    expect_at(0x2000, 0x1234, 0);
    EXPECT_EQ(seg(Seg::cs).base, 0x20000u);
    state_.gpr[kEsp] = 0x1000;
    ASSERT_TRUE(exec({0x9a, 0x78, 0x56, 0x00, 0x30}));
    expect_at(0x3000, 0x5678, 0);
    EXPECT_EQ(get<u16>(0xffe), 0x2000);
    EXPECT_EQ(get<u16>(0xffc), 0x1234 + 5);
    ASSERT_TRUE(exec({0xca, 0x04, 0x00}));
    expect_at(0x2000, 0x1239, 0);
    EXPECT_EQ(state_.gpr[kEsp], 0x1004u);
    EXPECT_FALSE(exec({0x66, 0xea, 0, 0, 1, 0, 0, 0x20}));
    expect_fault(Vector::gp, 0);
}

TEST_F(FarBranch, direct_checks) {
    protected_mode(0);
    EXPECT_FALSE(jmp(0));
    expect_fault(Vector::gp, 0);
    EXPECT_FALSE(jmp(0x100));
    expect_fault(Vector::gp, 0x100);
    EXPECT_FALSE(jmp(kData0));
    expect_fault(Vector::gp, kData0);
    EXPECT_FALSE(jmp(kCode3));
    expect_fault(Vector::gp, kCode3);
    EXPECT_FALSE(jmp(kCode0 | 1)) << "RPL above CPL";
    expect_fault(Vector::gp, kCode0);
    set_gdt(kFree, descriptor(0, 0xfff, 0x401a));
    EXPECT_FALSE(jmp(kFree));
    expect_fault(Vector::np, kFree);
    set_gdt(kFree, descriptor(0, 0xfff, 0x409a));
    EXPECT_FALSE(jmp(kFree, 0x1000));
    expect_fault(Vector::gp, 0);
    ASSERT_TRUE(jmp(kFree, 0xfff));
    expect_at(kFree, 0xfff, 0);
    EXPECT_EQ(access_byte(kFree), 0x9b);
}

TEST_F(FarBranch, conforming_code_keeps_the_level) {
    protected_mode(3);
    ASSERT_TRUE(jmp(kConforming));
    expect_at(kConforming | 3, 0x1234, 3);
    ASSERT_TRUE(call(kCode3 | 3, 0x2222));
    expect_at(kCode3 | 3, 0x2222, 3);
    EXPECT_EQ(get(kStack3 - 4), kConforming | 3u);
    EXPECT_EQ(get(kStack3 - 8), 0x1234u + 7);
    EXPECT_FALSE(jmp(kCode0));
    expect_fault(Vector::gp, kCode0);
}

TEST_F(FarBranch, call_gate_to_an_inner_level_copies_parameters) {
    protected_mode(3);
    set_gdt(kFree, gate(kCode0, 0x00123456, 0xec, 2));
    put<u32>(kStack3, 0xaaaa);
    put<u32>(kStack3 + 4, 0xbbbb);
    ASSERT_TRUE(call(kFree | 3));
    expect_at(kCode0, 0x123456, 0);
    EXPECT_EQ(seg(Seg::ss).selector, kData0);
    EXPECT_EQ(state_.gpr[kEsp], kStack0 - 24);
    EXPECT_EQ(get(kStack0 - 4), kData3 | 3u);
    EXPECT_EQ(get(kStack0 - 8), kStack3);
    EXPECT_EQ(get(kStack0 - 12), 0xbbbbu);
    EXPECT_EQ(get(kStack0 - 16), 0xaaaau);
    EXPECT_EQ(get(kStack0 - 20), kCode3 | 3u);
    EXPECT_EQ(get(kStack0 - 24), 0x5007u);
    // Back, with the parameters released on both stacks and inner data segments gone.
    seg(Seg::ds) = {0, 0xffffffff, kData0, 0xc093};
    ASSERT_TRUE(exec({0xca, 0x08, 0x00}));
    expect_at(kCode3 | 3, 0x5007, 3);
    EXPECT_EQ(state_.gpr[kEsp], kStack3 + 8);
    EXPECT_EQ(seg(Seg::ss).selector, kData3 | 3);
    EXPECT_EQ(seg(Seg::ds).selector, 0);
    EXPECT_EQ(seg(Seg::ds).attr, 0);
    EXPECT_EQ(seg(Seg::es).selector, kData3 | 3);
}

TEST_F(FarBranch, sixteen_bit_call_gate) {
    protected_mode(3);
    set_gdt(kFree, gate(kCode0, 0xffff3456, 0xe4, 1));
    put<u16>(kStack3, 0xaaaa);
    ASSERT_TRUE(call(kFree | 3));
    expect_at(kCode0, 0x3456, 0);
    EXPECT_EQ(state_.gpr[kEsp], kStack0 - 10);
    EXPECT_EQ(get<u16>(kStack0 - 2), kData3 | 3);
    EXPECT_EQ(get<u16>(kStack0 - 4), static_cast<u16>(kStack3));
    EXPECT_EQ(get<u16>(kStack0 - 6), 0xaaaa);
    EXPECT_EQ(get<u16>(kStack0 - 8), kCode3 | 3);
    EXPECT_EQ(get<u16>(kStack0 - 10), 0x5007);
}

TEST_F(FarBranch, call_gate_checks) {
    protected_mode(3);
    set_gdt(kFree, gate(kCode0, 0x3456, 0x8c));
    EXPECT_FALSE(call(kFree | 3));
    expect_fault(Vector::gp, kFree);
    set_gdt(kFree, gate(kCode0, 0x3456, 0x6c));
    EXPECT_FALSE(call(kFree | 3));
    expect_fault(Vector::np, kFree);
    set_gdt(kFree, gate(0, 0x3456, 0xec));
    EXPECT_FALSE(call(kFree | 3));
    expect_fault(Vector::gp, 0);
    set_gdt(kFree, gate(kData0, 0x3456, 0xec));
    EXPECT_FALSE(call(kFree | 3));
    expect_fault(Vector::gp, kData0);
    set_gdt(kFree, gate(kCode0, 0x3456, 0xec));
    EXPECT_FALSE(jmp(kFree | 3)) << "a jump does not change the level";
    expect_fault(Vector::gp, kCode0);
    set_gdt(kCode0, descriptor(0, 0xfffff, kFlatCode & ~Segment::kPresent));
    EXPECT_FALSE(jmp(kFree | 3)) << "nor does it matter that the level is not present";
    expect_fault(Vector::gp, kCode0);
    EXPECT_FALSE(call(kFree | 3));
    expect_fault(Vector::np, kCode0);
    set_gdt(kFree, gate(kConforming, 0x3456, 0xec));
    ASSERT_TRUE(jmp(kFree | 3));
    expect_at(kConforming | 3, 0x3456, 3);
}

TEST_F(FarBranch, inner_stack_checks) {
    protected_mode(3);
    set_gdt(kFree, gate(kCode0, 0x3456, 0xec));
    const auto refused = [&](Vector vector, u16 error) {
        EXPECT_FALSE(call(kFree | 3));
        expect_fault(vector, error);
        expect_at(kCode3 | 3, 0x5000, 3);
        EXPECT_EQ(state_.gpr[kEsp], kStack3);
    };
    put<u16>(kTss + 8, 0);
    refused(Vector::ts, 0);
    put<u16>(kTss + 8, 0x200);
    refused(Vector::ts, 0x200);
    put<u16>(kTss + 8, kData3);
    refused(Vector::ts, kData3);
    put<u16>(kTss + 8, kCode0);
    refused(Vector::ts, kCode0);
    set_gdt(kFree + 8, descriptor(0, 0xfff, 0x4012));
    put<u16>(kTss + 8, kFree + 8);
    refused(Vector::ss, kFree + 8);
    set_gdt(kFree + 8, descriptor(0, 0xfff, 0x4092));
    refused(Vector::ss, kFree + 8);  // ESP0 lies beyond the limit
    state_.tr.limit = 8;
    refused(Vector::ts, kTssSel);
}

TEST_F(FarBranch, alignment_of_the_stack_in_ring_3) {
    const auto begin = [&](unsigned cpl) {
        protected_mode(cpl);
        state_.gpr[kEsp] = kStack3 - 0x102;
        put<u32>(kStack3 - 0x102, 0x1234);
        put<u16>(kStack3 - 0xfe, static_cast<u16>(cpl == 3 ? kCode3 | 3 : kCode1 | 1));
        put<u32>(kStack3 - 0xfa, eflags::kFixed | eflags::kAc);
        state_.cr0 |= cr0::kAm;
        state_.eflags |= eflags::kAc;
        cpu_->mode_changed();
    };
    const auto refused = [&](bool done) {
        EXPECT_FALSE(done);
        expect_fault(Vector::ac, 0);
        expect_at(kCode3 | 3, 0x5000, 3);
        EXPECT_EQ(state_.gpr[kEsp], kStack3 - 0x102);
    };
    begin(3);
    refused(call(kCode3 | 3));
    refused(exec({0xcb}));
    refused(exec({0xcf}));
    EXPECT_TRUE(exec({0x66, 0x9a, 0x34, 0x12, kCode3 | 3, 0x00})) << "words are aligned";
    begin(1);
    EXPECT_TRUE(exec({0xcb})) << "only at level 3";
    // What is pushed for level 0 is no access of level 3.
    begin(3);
    put<u32>(kTss + 4, kStack0 - 2);
    set_gdt(kFree, gate(kCode0, 0x3456, 0xec));
    EXPECT_TRUE(call(kFree | 3));
    expect_at(kCode0, 0x3456, 0);
}

TEST_F(FarBranch, return_checks) {
    protected_mode(1);
    const auto refused = [&](u16 cs, Vector vector, u16 error) {
        put<u32>(kStack3, 0x4444);
        put<u32>(kStack3 + 4, cs);
        put<u32>(kStack3 + 8, 0x6000);
        EXPECT_FALSE(exec({0xcb}));
        expect_fault(vector, error);
        EXPECT_EQ(state_.gpr[kEsp], kStack3);
    };
    refused(0, Vector::gp, 0);
    refused(kCode0, Vector::gp, kCode0);
    refused(kData1 | 1, Vector::gp, kData1);
    refused(kCode3 | 1, Vector::gp, kCode3);
    refused(0x201, Vector::gp, 0x200);
    put<u32>(kStack3 + 12, 0);
    refused(kCode3 | 3, Vector::gp, 0);
    put<u32>(kStack3 + 12, kData3 | 1);
    refused(kCode3 | 3, Vector::gp, kData3);
    put<u32>(kStack3 + 12, kData1 | 3);
    refused(kCode3 | 3, Vector::gp, kData1);
    set_gdt(kFree, descriptor(0, 0xff, 0x4072));
    put<u32>(kStack3 + 12, kFree | 3);
    refused(kCode3 | 3, Vector::ss, kFree);
}

TEST_F(FarBranch, return_to_a_16_bit_stack_keeps_the_upper_half_of_esp) {
    protected_mode(0);
    set_gdt(kFree, descriptor(0, 0xffff, 0x00f2));
    state_.gpr[kEsp] = 0x00107000;
    put<u32>(0x107000, 0x4444);
    put<u32>(0x107004, kCode3 | 3);
    put<u32>(0x107008, 0x55556000);
    put<u32>(0x10700c, kFree | 3);
    ASSERT_TRUE(exec({0xcb}));
    EXPECT_EQ(state_.gpr[kEsp], 0x00106000u);
}

TEST_F(FarBranch, sysenter_and_sysexit) {
    protected_mode(3);
    EXPECT_FALSE(exec({0x0f, 0x34}));
    expect_fault(Vector::gp, 0);
    state_.sysenter_cs = kCode0;
    state_.sysenter_esp = 0x7777;
    state_.sysenter_eip = 0x8888;
    state_.eflags |= eflags::kIf;
    ASSERT_TRUE(exec({0x0f, 0x34}));
    expect_at(kCode0, 0x8888, 0);
    EXPECT_EQ(seg(Seg::ss).selector, kCode0 + 8);
    EXPECT_EQ(seg(Seg::cs).attr, 0xc09b);
    EXPECT_EQ(seg(Seg::ss).attr, 0xc093);
    EXPECT_EQ(state_.gpr[kEsp], 0x7777u);
    EXPECT_EQ(state_.eflags & eflags::kIf, 0u);
    cpu_->set_r32(kEcx, 0x1111);
    cpu_->set_r32(kEdx, 0x2222);
    ASSERT_TRUE(exec({0x0f, 0x35}));
    expect_at(kCode3 | 3, 0x2222, 3);
    EXPECT_EQ(seg(Seg::ss).selector, kData3 | 3);
    EXPECT_EQ(seg(Seg::cs).attr, 0xc0fb);
    EXPECT_EQ(state_.gpr[kEsp], 0x1111u);
    EXPECT_FALSE(exec({0x0f, 0x35}));
    expect_fault(Vector::gp, 0);
}

}  // namespace
}  // namespace ennead::vmcore
