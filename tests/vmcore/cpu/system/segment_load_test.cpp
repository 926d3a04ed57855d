// SPDX-License-Identifier: MIT
// Loads of segment registers and descriptor table registers with every check, and accesses through
// what was loaded.
#include "tests/vmcore/cpu/system/system_machine.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class SegmentLoad : public SystemMachine {
  protected:
    // MOV seg, AX.
    bool mov(Seg to, u16 selector) {
        cpu_->set_r16(kEax, selector);
        return exec({0x8e, static_cast<u8>(0xc0 | static_cast<unsigned>(to) << 3)});
    }
    void expect_refused(Seg to, u16 selector, Vector vector, u16 error) {
        const Segment before = seg(to);
        EXPECT_FALSE(mov(to, selector));
        expect_fault(vector, error);
        EXPECT_EQ(seg(to).selector, before.selector);
        EXPECT_EQ(seg(to).attr, before.attr);
    }
};

TEST_F(SegmentLoad, data_segment_is_cached_and_marked_accessed) {
    protected_mode();
    set_gdt(kFree, descriptor(0x12345678, 0x00ff, 0x4092));
    ASSERT_TRUE(mov(Seg::ds, kFree));
    EXPECT_EQ(seg(Seg::ds).base, 0x12345678u);
    EXPECT_EQ(seg(Seg::ds).limit, 0xffu);
    EXPECT_EQ(seg(Seg::ds).attr, 0x4093);
    EXPECT_EQ(access_byte(kFree), 0x93);
    EXPECT_FALSE(state_.interrupt_shadow);
}

TEST_F(SegmentLoad, granularity_makes_the_limit_pages) {
    protected_mode();
    set_gdt(kFree, descriptor(0, 0x12, 0xc092));
    ASSERT_TRUE(mov(Seg::es, kFree));
    EXPECT_EQ(seg(Seg::es).limit, 0x12fffu);
}

TEST_F(SegmentLoad, null_loads_but_faults_at_use) {
    protected_mode();
    ASSERT_TRUE(mov(Seg::ds, 3));
    u32 value = 0;
    EXPECT_FALSE(cpu_->load(Seg::ds, 0, value));
    expect_fault(Vector::gp, 0);
    expect_refused(Seg::ss, 0, Vector::gp, 0);
    expect_refused(Seg::ss, 3, Vector::gp, 0);
}

TEST_F(SegmentLoad, beyond_the_table) {
    protected_mode();
    expect_refused(Seg::ds, 0x100, Vector::gp, 0x100);
    expect_refused(Seg::ds, 0x107, Vector::gp, 0x104);
    state_.gdtr.limit = kFree + 6;
    expect_refused(Seg::ds, kFree, Vector::gp, kFree);
    state_.ldtr.attr = 0;
    expect_refused(Seg::ds, 0x0c, Vector::gp, 0x0c);
}

TEST_F(SegmentLoad, wrong_types_and_privileges) {
    protected_mode(3);
    expect_refused(Seg::ds, kTssSel, Vector::gp, kTssSel);
    expect_refused(Seg::ds, kData0, Vector::gp, kData0);
    expect_refused(Seg::ds, kData0 | 3, Vector::gp, kData0);
    set_gdt(kFree, descriptor(0, 0xff, 0x40f8));  // execute-only code
    expect_refused(Seg::es, kFree | 3, Vector::gp, kFree);
    set_gdt(kFree, descriptor(0, 0xff, 0x409e));  // conforming readable code of level 0
    EXPECT_TRUE(mov(Seg::es, kFree | 3));
    set_gdt(kFree, descriptor(0, 0xff, 0x409a));  // readable code of level 0
    expect_refused(Seg::es, kFree | 3, Vector::gp, kFree);
    set_gdt(kFree, descriptor(0, 0xff, 0x4072));  // not present
    expect_refused(Seg::es, kFree | 3, Vector::np, kFree);
    protected_mode(0);
    expect_refused(Seg::ds, kData0 | 3, Vector::gp, kData0) /* RPL 3 on DPL 0 */;
}

TEST_F(SegmentLoad, stack_segment_checks) {
    protected_mode(0);
    expect_refused(Seg::ss, kData0 | 1, Vector::gp, kData0);
    expect_refused(Seg::ss, kData3, Vector::gp, kData3);
    expect_refused(Seg::ss, kCode0, Vector::gp, kCode0);
    set_gdt(kFree, descriptor(0, 0xff, 0x4090));  // read-only
    expect_refused(Seg::ss, kFree, Vector::gp, kFree);
    set_gdt(kFree, descriptor(0, 0xff, 0x4012));
    expect_refused(Seg::ss, kFree, Vector::ss, kFree);
    EXPECT_TRUE(mov(Seg::ss, kData0));
    EXPECT_TRUE(state_.interrupt_shadow);
}

TEST_F(SegmentLoad, mov_to_cs_or_to_no_register_is_undefined) {
    protected_mode();
    EXPECT_FALSE(exec({0x8e, 0xc8}));
    expect_ud();
    EXPECT_FALSE(exec({0x8e, 0xf0}));
    expect_ud();
}

TEST_F(SegmentLoad, mov_from_segment_zero_extends_registers_only) {
    protected_mode();
    cpu_->set_r32(kEcx, 0xffffffff);
    ASSERT_TRUE(exec({0x8c, 0xd9}));  // mov ecx, ds
    EXPECT_EQ(cpu_->r32(kEcx), kData0);
    put<u32>(0x6000, 0xffffffff);
    ASSERT_TRUE(exec({0x8c, 0x1d, 0x00, 0x60, 0x00, 0x00}));  // mov [0x6000], ds
    EXPECT_EQ(get(0x6000), 0xffff0000u | kData0);
}

TEST_F(SegmentLoad, local_descriptor_table) {
    protected_mode();
    set_ldt(0x0c, descriptor(0x777, 0xff, 0x4092));
    ASSERT_TRUE(mov(Seg::gs, 0x0c));
    EXPECT_EQ(seg(Seg::gs).base, 0x777u);
    EXPECT_EQ(get<u8>(kLdt + 8 + 5), 0x93);
}

TEST_F(SegmentLoad, push_and_pop) {
    protected_mode();
    state_.gpr[kEsp] = 0x7000;
    ASSERT_TRUE(exec({0x1e}));  // push ds
    EXPECT_EQ(state_.gpr[kEsp], 0x6ffcu);
    EXPECT_EQ(get(0x6ffc), kData0);
    put<u32>(0x6ffc, kData3);
    ASSERT_TRUE(exec({0x0f, 0xa1}));  // pop fs
    EXPECT_EQ(seg(Seg::fs).selector, kData3);
    EXPECT_EQ(state_.gpr[kEsp], 0x7000u);
    put<u32>(0x7000, kCode0);
    EXPECT_FALSE(exec({0x17}));  // pop ss
    expect_fault(Vector::gp, kCode0);
    EXPECT_EQ(state_.gpr[kEsp], 0x7000u);
    put<u32>(0x7000, kData0);
    ASSERT_TRUE(exec({0x17}));
    EXPECT_TRUE(state_.interrupt_shadow);
}

TEST_F(SegmentLoad, pop_ss_moves_the_pointer_of_the_old_stack) {
    protected_mode();
    set_gdt(kFree, descriptor(0, 0xffff, 0x0092));  // 16-bit stack
    state_.gpr[kEsp] = 0x1fffc;
    put<u32>(0x1fffc, kFree);
    ASSERT_TRUE(exec({0x17}));
    EXPECT_EQ(state_.gpr[kEsp], 0x20000u);
    EXPECT_FALSE(seg(Seg::ss).big());
}

TEST_F(SegmentLoad, far_pointers) {
    protected_mode();
    put<u32>(0x6000, 0x11223344);
    put<u16>(0x6004, kData3);
    ASSERT_TRUE(exec({0xc4, 0x0d, 0, 0x60, 0, 0}));  // les ecx, [0x6000]
    EXPECT_EQ(cpu_->r32(kEcx), 0x11223344u);
    EXPECT_EQ(seg(Seg::es).selector, kData3);
    put<u16>(0x6004, kCode0 | 3);
    EXPECT_FALSE(exec({0x0f, 0xb5, 0x15, 0, 0x60, 0, 0}));  // lgs edx
    expect_fault(Vector::gp, kCode0);
    EXPECT_NE(cpu_->r32(kEdx), 0x11223344u);
    put<u16>(0x6004, kData0);
    ASSERT_TRUE(exec({0x0f, 0xb2, 0x25, 0, 0x60, 0, 0}));  // lss esp
    EXPECT_EQ(state_.gpr[kEsp], 0x11223344u);
    put<u16>(0x6002, kData3);
    ASSERT_TRUE(exec({0x66, 0xc5, 0x0d, 0, 0x60, 0, 0}));  // lds cx
    EXPECT_EQ(cpu_->r32(kEcx), 0x11223344u);
    EXPECT_EQ(seg(Seg::ds).selector, kData3);
}

TEST_F(SegmentLoad, real_mode_keeps_the_limit) {
    seg(Seg::ds).limit = 0xffffffff;
    cpu_->mode_changed();
    ASSERT_TRUE(mov(Seg::ds, 0x1234));
    EXPECT_EQ(seg(Seg::ds).base, 0x12340u);
    EXPECT_EQ(seg(Seg::ds).limit, 0xffffffffu);
    u16 value = 0;
    EXPECT_TRUE(cpu_->load(Seg::ds, 0x100000, value));
    EXPECT_FALSE(cpu_->load(Seg::es, 0xffff, value));
    expect_fault(Vector::gp, 0);
    EXPECT_FALSE(cpu_->load(Seg::ss, 0xffff, value));
    expect_fault(Vector::ss, 0);
}

TEST_F(SegmentLoad, v86_segments) {
    v86_mode(0);
    ASSERT_TRUE(mov(Seg::ds, 0x1234));
    EXPECT_EQ(seg(Seg::ds).base, 0x12340u);
    EXPECT_EQ(seg(Seg::ds).limit, 0xffffu);
    EXPECT_EQ(seg(Seg::ds).attr, 0xf3);
    EXPECT_TRUE(cpu_->store<u8>(Seg::cs, 0x20, 1)) << "no type checks here";
}

TEST_F(SegmentLoad, type_and_limit_of_accesses) {
    protected_mode();
    u32 value = 0;
    EXPECT_TRUE(cpu_->load(Seg::cs, 0x100, value));
    EXPECT_FALSE(cpu_->store(Seg::cs, 0x100, value));
    expect_fault(Vector::gp, 0);
    set_gdt(kFree, descriptor(0, 0x0fff, 0x4090));  // read-only, one page
    ASSERT_TRUE(mov(Seg::es, kFree));
    EXPECT_FALSE(cpu_->store(Seg::es, 0, value));
    EXPECT_FALSE(cpu_->load_for_store(Seg::es, 0, value));
    EXPECT_TRUE(cpu_->load(Seg::es, 0xffc, value));
    EXPECT_FALSE(cpu_->load(Seg::es, 0xffd, value));
    EXPECT_FALSE(cpu_->load(Seg::es, 0xffffffff, value));
}

TEST_F(SegmentLoad, execute_only_code_cannot_be_read) {
    protected_mode();
    seg(Seg::cs).attr = static_cast<u16>(seg(Seg::cs).attr & ~Segment::kReadable);
    cpu_->mode_changed();
    u32 value = 0;
    EXPECT_FALSE(cpu_->load(Seg::cs, 0x100, value));
    expect_fault(Vector::gp, 0);
}

TEST_F(SegmentLoad, expand_down) {
    protected_mode();
    set_gdt(kFree, descriptor(0, 0x0fff, 0x0096));  // 16-bit: 0x1000 … 0xffff
    ASSERT_TRUE(mov(Seg::es, kFree));
    u16 value = 0;
    EXPECT_FALSE(cpu_->load(Seg::es, 0x0fff, value));
    EXPECT_TRUE(cpu_->load(Seg::es, 0x1000, value));
    EXPECT_TRUE(cpu_->load(Seg::es, 0xfffe, value));
    EXPECT_FALSE(cpu_->load(Seg::es, 0xffff, value));
    set_gdt(kFree, descriptor(0, 0x0fff, 0x4096));  // 32-bit: up to 4 GiB
    ASSERT_TRUE(mov(Seg::es, kFree));
    EXPECT_TRUE(cpu_->load(Seg::es, 0xffff, value));
    EXPECT_FALSE(cpu_->load(Seg::es, 0xffffffff, value));
}

TEST_F(SegmentLoad, lar_and_lsl) {
    protected_mode(3);
    cpu_->set_r32(kEbx, kData3);
    ASSERT_TRUE(exec({0x0f, 0x02, 0xc3}));  // lar eax, ebx
    EXPECT_NE(state_.eflags & eflags::kZf, 0u);
    EXPECT_EQ(cpu_->r32(kEax), 0x00cff200u);
    ASSERT_TRUE(exec({0x0f, 0x03, 0xc3}));  // lsl eax, ebx
    EXPECT_EQ(cpu_->r32(kEax), 0xffffffffu);
    cpu_->set_r32(kEbx, kData0);
    cpu_->set_r32(kEax, 7);
    ASSERT_TRUE(exec({0x0f, 0x03, 0xc3}));
    EXPECT_EQ(state_.eflags & eflags::kZf, 0u);
    EXPECT_EQ(cpu_->r32(kEax), 7u);
    cpu_->set_r32(kEbx, kConforming);
    ASSERT_TRUE(exec({0x0f, 0x02, 0xc3}));
    EXPECT_NE(state_.eflags & eflags::kZf, 0u);
    cpu_->set_r32(kEbx, 0);
    ASSERT_TRUE(exec({0x0f, 0x02, 0xc3}));
    EXPECT_EQ(state_.eflags & eflags::kZf, 0u);
}

TEST_F(SegmentLoad, lar_and_lsl_know_which_system_types_to_show) {
    protected_mode(0);
    for (unsigned type = 0; type < 16; ++type) {
        set_gdt(kFree, descriptor(0x1000, 0x55, static_cast<u16>(0x80 | type)));
        cpu_->set_r32(kEbx, kFree);
        ASSERT_TRUE(exec({0x0f, 0x02, 0xc3}));
        const bool lar = (0b0001101000111110 >> type & 1) != 0;
        EXPECT_EQ((state_.eflags & eflags::kZf) != 0, lar) << type;
        ASSERT_TRUE(exec({0x0f, 0x03, 0xc3}));
        const bool lsl = (0b0000101000001110 >> type & 1) != 0;
        EXPECT_EQ((state_.eflags & eflags::kZf) != 0, lsl) << type;
    }
}

TEST_F(SegmentLoad, verr_and_verw) {
    protected_mode(3);
    const auto check = [&](u16 selector, bool readable, bool writable) {
        cpu_->set_r32(kEbx, selector);
        ASSERT_TRUE(exec({0x0f, 0x00, 0xe3}));
        EXPECT_EQ((state_.eflags & eflags::kZf) != 0, readable) << selector;
        ASSERT_TRUE(exec({0x0f, 0x00, 0xeb}));
        EXPECT_EQ((state_.eflags & eflags::kZf) != 0, writable) << selector;
    };
    check(kData3 | 3, true, true);
    check(kCode3 | 3, true, false);
    check(kData0 | 3, false, false);
    check(kConforming | 3, true, false);
    check(kTssSel, false, false);
    check(0x1000, false, false);
}

TEST_F(SegmentLoad, arpl) {
    protected_mode(0);
    cpu_->set_r32(kEax, 0x10);
    cpu_->set_r32(kEcx, 3);
    ASSERT_TRUE(exec({0x63, 0xc8}));  // arpl ax, cx
    EXPECT_EQ(cpu_->r32(kEax), 0x13u);
    EXPECT_NE(state_.eflags & eflags::kZf, 0u);
    ASSERT_TRUE(exec({0x63, 0xc8}));
    EXPECT_EQ(state_.eflags & eflags::kZf, 0u);
}

TEST_F(SegmentLoad, protected_mode_only) {
    for (const bool v86 : {false, true}) {
        if (v86) {
            v86_mode(3);
        }
        for (const u8 reg : {0, 1, 2, 3, 4, 5}) {
            EXPECT_FALSE(exec({0x0f, 0x00, static_cast<u8>(0xc0 | reg << 3)}));
            expect_ud();
        }
        EXPECT_FALSE(exec({0x0f, 0x02, 0xc3}));
        expect_ud();
        EXPECT_FALSE(exec({0x63, 0xc8}));
        expect_ud();
    }
}

TEST_F(SegmentLoad, lldt) {
    protected_mode(0);
    const auto lldt = [&](u16 selector) {
        cpu_->set_r32(kEax, selector);
        return exec({0x0f, 0x00, 0xd0});
    };
    state_.ldtr = {};
    ASSERT_TRUE(lldt(kLdtSel));
    EXPECT_EQ(state_.ldtr.base, kLdt);
    EXPECT_FALSE(lldt(kLdtSel | 4));
    expect_fault(Vector::gp, kLdtSel | 4);
    EXPECT_FALSE(lldt(kTss2Sel));
    expect_fault(Vector::gp, kTss2Sel);
    set_gdt(kFree, descriptor(kLdt, 0xff, 0x02));
    EXPECT_FALSE(lldt(kFree));
    expect_fault(Vector::np, kFree);
    EXPECT_FALSE(lldt(0x200));
    expect_fault(Vector::gp, 0x200);
    ASSERT_TRUE(lldt(0));
    EXPECT_FALSE(mov(Seg::ds, 0x0c));
    expect_fault(Vector::gp, 0x0c);
    ASSERT_TRUE(exec({0x0f, 0x00, 0xc1}));  // sldt ecx
    EXPECT_EQ(cpu_->r32(kEcx), 0u);
    protected_mode(3);
    EXPECT_FALSE(lldt(kLdtSel));
    expect_fault(Vector::gp, 0);
}

TEST_F(SegmentLoad, ltr) {
    protected_mode(0);
    const auto ltr = [&](u16 selector) {
        cpu_->set_r32(kEax, selector);
        return exec({0x0f, 0x00, 0xd8});
    };
    ASSERT_TRUE(ltr(kTss2Sel));
    EXPECT_EQ(state_.tr.base, kTss2);
    EXPECT_EQ(access_byte(kTss2Sel), 0x8b);
    EXPECT_FALSE(ltr(kTss2Sel)) << "busy";
    expect_fault(Vector::gp, kTss2Sel);
    EXPECT_FALSE(ltr(0));
    expect_fault(Vector::gp, 0);
    EXPECT_FALSE(ltr(kData0));
    expect_fault(Vector::gp, kData0);
    set_gdt(kFree, descriptor(kTss2, 0x67, 0x09));
    EXPECT_FALSE(ltr(kFree));
    expect_fault(Vector::np, kFree);
    ASSERT_TRUE(ltr(kTss16Sel));
    EXPECT_EQ(access_byte(kTss16Sel), 0x83);
    ASSERT_TRUE(exec({0x0f, 0x00, 0xc9}));  // str ecx
    EXPECT_EQ(cpu_->r32(kEcx), kTss16Sel);
}

}  // namespace
}  // namespace ennead::vmcore
