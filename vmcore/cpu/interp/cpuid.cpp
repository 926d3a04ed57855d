// SPDX-License-Identifier: MIT
// The CPUID leaves: exactly what this processor does, and enough for Linux to measure no clock.
#include "vmcore/cpu/interp/cpuid.h"

#include <cstring>

#include "vmcore/cpu/interp/msr.h"
#include "vmcore/cpu/mmu/page_walk.h"

namespace ennead::vmcore {
namespace {

constexpr u32 kMaxBasicLeaf = 0x16;
constexpr u32 kMaxExtendedLeaf = 0x80000008;
constexpr u32 kHypervisorLeaf = 0x40000000;

// Leaf 1, EDX and ECX (SDM vol 2A, tables 3-10 and 3-11).
constexpr u32 kFeaturesEdx = 1u << 0      // FPU
                             | 1u << 1    // VME, PVI
                             | 1u << 2    // DE
                             | 1u << 3    // PSE
                             | 1u << 4    // TSC
                             | 1u << 5    // MSR
                             | 1u << 6    // PAE
                             | 1u << 8    // CMPXCHG8B
                             | 1u << 11   // SEP
                             | 1u << 13   // PGE
                             | 1u << 15   // CMOV
                             | 1u << 16   // PAT
                             | 1u << 19   // CLFLUSH
                             | 1u << 23   // MMX
                             | 1u << 24   // FXSAVE
                             | 1u << 25   // SSE
                             | 1u << 26;  // SSE2
constexpr u32 kApicEdx = 1u << 9;
constexpr u32 kFeaturesEcx = 1u << 0      // SSE3; MONITOR, which came with it, has a bit of its own
                             | 1u << 24   // TSC deadline
                             | 1u << 31;  // running under a hypervisor
// EBX: APIC ID 0, one logical processor, CLFLUSH works on 8 times 8 bytes.
constexpr u32 kLeaf1Ebx = 1u << 16 | 8u << 8;
constexpr u32 kLeaf7Ebx = 1u << 1;  // IA32_TSC_ADJUST
constexpr u32 kArat = 1u << 2;      // the local APIC's timer never stops
constexpr u32 kNx = 1u << 20;
constexpr u32 kInvariantTsc = 1u << 8;

u32 word(const char* text, unsigned index) {
    u32 value = 0;
    std::memcpy(&value, text + index * 4, 4);
    return value;
}

CpuidResult brand(unsigned part) {
    static constexpr char kBrand[48] = "Ennead virtual CPU";
    return {word(kBrand, part * 4), word(kBrand, part * 4 + 1), word(kBrand, part * 4 + 2),
            word(kBrand, part * 4 + 3)};
}

CpuidResult extended(u32 leaf) {
    switch (leaf) {
        case 0x80000000:
            return {kMaxExtendedLeaf, 0, 0, 0};
        case 0x80000001:
            return {0, 0, 0, kNx};
        case 0x80000002:
        case 0x80000003:
        case 0x80000004:
            return brand(leaf - 0x80000002);
        case 0x80000007:
            return {0, 0, 0, kInvariantTsc};
        case 0x80000008:
            return {kPhysicalAddressBits | 32u << 8, 0, 0, 0};
        default:
            return {};
    }
}

CpuidResult basic(const CpuState& state, u32 leaf, u32 subleaf, u32 max_leaf) {
    constexpr u32 kMhz = kCrystalHz / 1'000'000;
    switch (leaf) {
        case 0: {
            static constexpr char kVendor[] = "GenuineIntel";
            return {max_leaf, word(kVendor, 0), word(kVendor, 2), word(kVendor, 1)};
        }
        case 1:
            // The APIC bit follows IA32_APIC_BASE.
            return {kCpuSignature, kLeaf1Ebx, kFeaturesEcx,
                    kFeaturesEdx | ((state.apic_base & kApicBaseEnable) != 0 ? kApicEdx : 0)};
        case 2:
            // One round, and no descriptor: there are no caches to speak of.
            return {1, 0, 0, 0};
        case 6:
            return {kArat, 0, 0, 0};
        case 7:
            return subleaf == 0 ? CpuidResult{0, kLeaf7Ebx, 0, 0} : CpuidResult{};
        case 0x15:
            // TSC to crystal 1 : 1, and the crystal's frequency.
            return {1, 1, kCrystalHz, 0};
        case 0x16:
            // Base, maximum and bus frequency in MHz; without it Linux measures the CPU against the
            // PIT.
            return {kMhz, kMhz, kMhz, 0};
        default:
            return {};
    }
}

}  // namespace

CpuidResult cpuid(const CpuState& state, u32 leaf, u32 subleaf) {
    // IA32_MISC_ENABLE bit 22 hides every leaf above 3, for systems that break on more.
    const u32 max_leaf = (state.misc_enable & kMiscLimitCpuid) != 0 ? 3 : kMaxBasicLeaf;
    if (leaf >= 0x80000000 && leaf <= kMaxExtendedLeaf) {
        return extended(leaf);
    }
    if (leaf == kHypervisorLeaf) {
        static constexpr char kSignature[] = "EnneadEnnead";
        return {kHypervisorLeaf, word(kSignature, 0), word(kSignature, 1), word(kSignature, 2)};
    }
    // SDM vol 2A, CPUID: beyond the highest leaf the answer is that of the highest basic one.
    return basic(state, leaf <= max_leaf ? leaf : max_leaf, subleaf, max_leaf);
}

}  // namespace ennead::vmcore
