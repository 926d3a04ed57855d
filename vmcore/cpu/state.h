// SPDX-License-Identifier: MIT
// The architectural state of one i386 CPU, laid out so that emitted code can reach it at fixed
// offsets.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>

#include "vmcore/types.h"

namespace ennead::vmcore {

// Numbers as the instruction encoding has them (SDM vol 2A, table 2-2).
enum Gpr : u8 { kEax, kEcx, kEdx, kEbx, kEsp, kEbp, kEsi, kEdi };
enum class Seg : u8 { es, cs, ss, ds, fs, gs };
inline constexpr unsigned kSegCount = 6;

// EFLAGS, SDM vol 1 §3.4.3.
namespace eflags {
inline constexpr u32 kCf = 1u << 0, kFixed = 1u << 1, kPf = 1u << 2, kAf = 1u << 4, kZf = 1u << 6,
                     kSf = 1u << 7, kTf = 1u << 8, kIf = 1u << 9, kDf = 1u << 10, kOf = 1u << 11,
                     kIopl = 3u << 12, kNt = 1u << 14, kRf = 1u << 16, kVm = 1u << 17,
                     kAc = 1u << 18, kVif = 1u << 19, kVip = 1u << 20, kId = 1u << 21;
inline constexpr u32 kArith = kCf | kPf | kAf | kZf | kSf | kOf;
}  // namespace eflags

namespace cr0 {
inline constexpr u32 kPe = 1u << 0, kMp = 1u << 1, kEm = 1u << 2, kTs = 1u << 3, kEt = 1u << 4,
                     kNe = 1u << 5, kWp = 1u << 16, kAm = 1u << 18, kNw = 1u << 29, kCd = 1u << 30,
                     kPg = 1u << 31;
}
namespace cr4 {
inline constexpr u32 kVme = 1u << 0, kPvi = 1u << 1, kTsd = 1u << 2, kDe = 1u << 3, kPse = 1u << 4,
                     kPae = 1u << 5, kMce = 1u << 6, kPge = 1u << 7, kPce = 1u << 8,
                     kOsfxsr = 1u << 9, kOsxmmexcpt = 1u << 10;
}
namespace efer {
inline constexpr u32 kNxe = 1u << 11;
}

// A segment register with its hidden part (SDM vol 3A §3.4.3).
struct Segment {
    // Bits of `attr`: the descriptor's bytes 5 and 6 (high nibble), so 0…7 = type, S, DPL, P and
    // 12…15 = AVL, L, D/B, G.
    static constexpr u16 kAccessed = 1u << 0, kWritable = 1u << 1 /* data */,
                         kReadable = 1u << 1 /* code */, kExpandDown = 1u << 2 /* data */,
                         kConforming = 1u << 2 /* code */, kCode = 1u << 3, kCodeOrData = 1u << 4,
                         kDpl = 3u << 5, kPresent = 1u << 7, kAvl = 1u << 12, kBig = 1u << 14,
                         kGranular = 1u << 15;

    u32 base = 0;
    u32 limit = 0xffff;  // in bytes, the granularity already applied
    u16 selector = 0;
    u16 attr = 0;  // 0: loaded with a null selector, every use faults

    [[nodiscard]] unsigned dpl() const { return (attr & kDpl) >> 5; }
    [[nodiscard]] bool big() const { return (attr & kBig) != 0; }
};

// Bits of CpuState::anywhere.
inline constexpr u8 kReadAnywhere = 1u << 0, kWriteAnywhere = 1u << 1;

struct DescriptorTable {
    u32 base = 0;
    u16 limit = 0xffff;
};

// One x87 register as FSTP m80 stores it.
struct X87Register {
    u64 significand = 0;
    u16 sign_exponent = 0;
};

// SDM vol 1 §8.1. Registers are physical (R0…R7); ST(i) is R[(top + i) & 7].
struct X87State {
    std::array<X87Register, 8> r{};
    u16 control = 0x037f;
    u16 status = 0;    // TOP in bits 11…13
    u16 tag = 0xffff;  // two bits a physical register; 3: empty
    u16 opcode = 0;    // 11 bits
    u32 instruction_offset = 0, operand_offset = 0;
    u16 instruction_selector = 0, operand_selector = 0;
};

// One XMM register, little-endian: lane 0 lies in the lowest bytes.
struct alignas(16) Xmm {
    std::array<u8, 16> bytes{};

    // T is u8…u64; i < 16 / sizeof(T).
    template <class T>
    [[nodiscard]] T lane(unsigned i) const {
        T value;
        std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
        return value;
    }
    template <class T>
    void set_lane(unsigned i, T value) {
        std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
    bool operator==(const Xmm&) const = default;
};

// SDM vol 1 §10.2.3. The exception masks are the flags moved up by kMaskShift.
namespace mxcsr {
inline constexpr u32 kIe = 1u << 0, kDe = 1u << 1, kZe = 1u << 2, kOe = 1u << 3, kUe = 1u << 4,
                     kPe = 1u << 5, kFlags = 0x3f, kDaz = 1u << 6, kMasks = 0x3fu << 7,
                     kRounding = 3u << 13, kFtz = 1u << 15;
inline constexpr unsigned kMaskShift = 7;
inline constexpr u32 kReset = 0x1f80;
inline constexpr u32 kSupported = 0xffff;  // MXCSR_MASK: setting another bit is #GP(0)
}  // namespace mxcsr

// Requests from outside the CPU, in CpuState::requests.
inline constexpr u32 kRequestInterrupt = 1u << 0;  // INTR is asserted: ask the InterruptSource
inline constexpr u32 kRequestNmi = 1u << 1;
inline constexpr u32 kRequestExit = 1u << 2;  // leave Engine::run soon; set by any thread

// Belongs to the vCPU thread, but for request(), which any thread may call.
struct CpuState {
    std::array<u32, 8> gpr{};
    u32 eip = 0xfff0;
    u32 eflags = eflags::kFixed;
    // The value of `instructions` at which emitted code is left; 0 as soon as there is a request,
    // which it sees at the end of a slice.
    std::atomic<u64> stop_at{0};
    std::array<Segment, kSegCount> seg{};
    // Derived from the segments by Cpu: what may be done at any offset without a check (bits
    // below).
    std::array<u8, kSegCount> anywhere{};
    std::atomic<u32> requests{0};

    Segment ldtr, tr;
    DescriptorTable gdtr, idtr;
    u32 cr0 = 0x60000010, cr2 = 0, cr3 = 0, cr4 = 0;
    std::array<u64, 4> pdpte{};  // as loaded by the last CR3 load with PAE (SDM vol 3A §4.4.1)
    std::array<u32, 8> dr{0, 0, 0, 0, 0, 0, 0xffff0ff0, 0x400};
    u8 cpl = 0;
    bool halted = false;            // in HLT, until an interrupt
    bool interrupt_shadow = false;  // the last instruction was STI or a load of SS: one more first
    bool nmi_blocked = false;       // until IRET
    bool ferr = false;              // FERR# is asserted (CR0.NE clear): IRQ 13 outside

    u64 efer = 0;
    u64 apic_base = 0xfee00900;
    u32 sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
    u64 pat = 0x0007040600070406;
    u64 misc_enable = 1;
    u64 tsc_offset = 0;  // added to machine time; WRMSR IA32_TIME_STAMP_COUNTER changes it

    X87State x87;  // the MMX register MMn is r[n].significand (SDM vol 3A §12.2)
    std::array<Xmm, 8> xmm{};
    u32 mxcsr = mxcsr::kReset;

    u64 instructions = 0;  // retired since power-on

    [[nodiscard]] const Segment& segment(Seg s) const { return seg[static_cast<unsigned>(s)]; }
    [[nodiscard]] Segment& segment(Seg s) { return seg[static_cast<unsigned>(s)]; }
    [[nodiscard]] bool protected_mode() const { return (cr0 & cr0::kPe) != 0; }
    [[nodiscard]] bool v86() const { return (eflags & eflags::kVm) != 0; }
    [[nodiscard]] unsigned iopl() const { return (eflags & eflags::kIopl) >> 12; }

    // Asks the CPU to look at `bits` soon. Any thread.
    void request(u32 bits) {
        requests.fetch_or(bits);
        stop_at.store(0);
    }

    // Everything as after RESET (SDM vol 3A, table 9-1), `requests` and `tsc_offset` excepted.
    void reset();
};

// Emitted code addresses these with 8-bit displacements.
static_assert(offsetof(CpuState, gpr) == 0);
static_assert(offsetof(CpuState, eip) == 32);
static_assert(offsetof(CpuState, eflags) == 36);
static_assert(offsetof(CpuState, stop_at) == 40);
static_assert(offsetof(CpuState, anywhere) + kSegCount <= 128);
static_assert(sizeof(Segment) == 12);

}  // namespace ennead::vmcore
