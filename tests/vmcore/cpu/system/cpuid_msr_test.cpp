// SPDX-License-Identifier: MIT
// CPUID tells what is there, and the MSRs behind it answer.
#include <string>

#include "tests/vmcore/cpu/system/system_machine.h"
#include "vmcore/cpu/interp/cpuid.h"
#include "vmcore/cpu/interp/msr.h"
#include "vmcore/devices/apic.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

static_assert(kCrystalHz == LocalApic::kTimerHz, "leaf 0x15 tells Linux the APIC timer's clock");

class CpuidMsr : public SystemMachine {
  protected:
    CpuidMsr() { protected_mode(0); }

    CpuidResult ask(u32 leaf, u32 subleaf = 0) { return cpuid(state_, leaf, subleaf); }
    static std::string text(std::initializer_list<u32> words) {
        std::string out;
        for (const u32 word : words) {
            out.append(reinterpret_cast<const char*>(&word), 4);
        }
        return out;
    }
    bool wrmsr(u32 index, u64 value) {
        cpu_->set_r32(kEcx, index);
        cpu_->set_r32(kEax, static_cast<u32>(value));
        cpu_->set_r32(kEdx, static_cast<u32>(value >> 32));
        return exec({0x0f, 0x30});
    }
    bool rdmsr(u32 index, u64& value) {
        cpu_->set_r32(kEcx, index);
        if (!exec({0x0f, 0x32})) {
            return false;
        }
        value = u64{cpu_->r32(kEdx)} << 32 | cpu_->r32(kEax);
        return true;
    }
    void expect_refused(u32 index, u64 value) {
        EXPECT_FALSE(wrmsr(index, value)) << std::hex << index;
        expect_fault(Vector::gp, 0);
    }
    void expect_keeps(u32 index, u64 value) {
        u64 back = ~value;
        ASSERT_TRUE(wrmsr(index, value)) << std::hex << index;
        ASSERT_TRUE(rdmsr(index, back));
        EXPECT_EQ(back, value) << std::hex << index;
    }
};

TEST_F(CpuidMsr, vendor_and_strings) {
    const CpuidResult vendor = ask(0);
    EXPECT_EQ(text({vendor.ebx, vendor.edx, vendor.ecx}), "GenuineIntel");
    const CpuidResult hypervisor = ask(0x40000000);
    EXPECT_EQ(text({hypervisor.ebx, hypervisor.ecx, hypervisor.edx}), "EnneadEnnead");
    std::string brand;
    for (const u32 leaf : {0x80000002u, 0x80000003u, 0x80000004u}) {
        const CpuidResult part = ask(leaf);
        brand += text({part.eax, part.ebx, part.ecx, part.edx});
    }
    EXPECT_STREQ(brand.c_str(), "Ennead virtual CPU");
}

TEST_F(CpuidMsr, instruction_writes_all_four_registers) {
    cpu_->set_r32(kEax, 1);
    ASSERT_TRUE(exec({0x0f, 0xa2}));
    EXPECT_EQ(cpu_->r32(kEax), kCpuSignature);
    EXPECT_NE(cpu_->r32(kEcx) >> 31, 0u);
}

TEST_F(CpuidMsr, clocks_need_no_measuring) {
    const CpuidResult crystal = ask(0x15);
    EXPECT_EQ(crystal.ebx / crystal.eax, 1u);
    EXPECT_EQ(crystal.ecx, 1'000'000'000u);
    EXPECT_EQ(ask(0x16).eax, 1000u);
    EXPECT_NE(ask(0x80000007).edx & 1u << 8, 0u);
}

TEST_F(CpuidMsr, leaves_beyond_the_last_answer_as_the_last) {
    EXPECT_EQ(ask(0x17).eax, ask(ask(0).eax).eax);
    EXPECT_EQ(ask(0x80000009).eax, ask(ask(0).eax).eax);
    EXPECT_EQ(ask(7, 1).ebx, 0u);
}

TEST_F(CpuidMsr, misc_enable_hides_leaves) {
    ASSERT_TRUE(wrmsr(0x1a0, kMiscFastStrings | kMiscLimitCpuid));
    EXPECT_EQ(ask(0).eax, 3u);
    EXPECT_EQ(ask(0x15).ecx, 0u);
    expect_refused(0x1a0, 1u << 3);
}

TEST_F(CpuidMsr, apic_bit_follows_the_msr) {
    EXPECT_NE(ask(1).edx & 1u << 9, 0u);
    ASSERT_TRUE(wrmsr(0x1b, 0xfee00000));
    EXPECT_EQ(ask(1).edx & 1u << 9, 0u);
    EXPECT_EQ(interrupts_.apic_base, 0xfee00000u | kApicBaseBsp);
    expect_refused(0x1b, 0xfee00000 | 1u << 10);
    expect_refused(0x1b, u64{1} << 36);
}

TEST_F(CpuidMsr, every_feature_bit_has_its_instruction_or_register) {
    const u32 edx = ask(1).edx;
    // CLFLUSH, MMX, FXSR, SSE and SSE2 are there, SSE3 and the TSC deadline too.
    constexpr u32 kMedia = 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26;
    EXPECT_EQ(edx & kMedia, kMedia);
    EXPECT_EQ(ask(1).ebx >> 8 & 0xff, 8u) << "CLFLUSH lines of 64 bytes";
    EXPECT_EQ(ask(1).ecx, 1u << 0 | 1u << 24 | 1u << 31) << "neither MONITOR nor SSSE3";
    // PSE-36 is not there, so it must not show; MCE, MCA and MTRR neither.
    EXPECT_EQ(edx & 1u << 17, 0u);
    EXPECT_EQ(edx & (1u << 7 | 1u << 14 | 1u << 12), 0u);
    EXPECT_NE(ask(0x80000001).edx & 1u << 20, 0u);
    EXPECT_EQ(ask(0x80000008).eax & 0xff, kPhysicalAddressBits);
}

TEST_F(CpuidMsr, plain_registers_keep_values) {
    expect_keeps(0x174, 0x1234);
    expect_keeps(0x175, 0xfffffff0);
    expect_keeps(0x176, 0xc0001000);
    expect_keeps(0x277, 0x0007010600070106);
    expect_keeps(0xc0000080, efer::kNxe);
    expect_keeps(0x6e0, 123456789);
    expect_keeps(0x1d9, 0);
}

TEST_F(CpuidMsr, bad_values_are_refused) {
    expect_refused(0x277, 0x02);
    expect_refused(0x277, u64{0x08} << 56);
    expect_refused(0xc0000080, 1);
    expect_refused(0x1d9, 1);
    expect_refused(0x12345, 0);
    expect_refused(0x17, 0);
    u64 value = 0;
    EXPECT_FALSE(rdmsr(0x12345, value));
    EXPECT_FALSE(rdmsr(0xfe, value)) << "no MTRRs";
}

TEST_F(CpuidMsr, time_stamp_counter_runs_with_the_clock) {
    clock_.advance_ns(1000);
    ASSERT_TRUE(exec({0x0f, 0x31}));
    EXPECT_EQ(cpu_->r32(kEax), 1000u);
    ASSERT_TRUE(wrmsr(0x10, 0x100000000));
    clock_.advance_ns(5);
    u64 value = 0;
    ASSERT_TRUE(rdmsr(0x10, value));
    EXPECT_EQ(value, 0x100000005u);
    ASSERT_TRUE(rdmsr(0x3b, value));
    EXPECT_EQ(value, 0x100000000u - 1000);
    ASSERT_TRUE(wrmsr(0x3b, 0));
    ASSERT_TRUE(exec({0x0f, 0x31}));
    EXPECT_EQ(cpu_->r32(kEax), 1005u);
}

TEST_F(CpuidMsr, rdtsc_can_be_kept_to_level_0) {
    protected_mode(3);
    EXPECT_TRUE(exec({0x0f, 0x31}));
    state_.cr4 |= cr4::kTsd;
    EXPECT_FALSE(exec({0x0f, 0x31}));
    expect_fault(Vector::gp, 0);
}

}  // namespace
}  // namespace ennead::vmcore
