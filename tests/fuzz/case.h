// SPDX-License-Identifier: MIT
// One case: a program, the machine it starts in, and what happens to it from outside.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::fuzz {

// Where things are. Linear and physical are the same below kSpecial, with paging or without; from
// kSpecial on, a page each, paging makes of them what the comments say.
namespace place {
inline constexpr u32 kRam = 1u << 20;
inline constexpr u32 kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kTss2 = 0x3100,
                     kHandlers = 0x4000,
                     kFrame = 0x5000,  // what handlers keep: a counter, where to go on
    kTargets = 0x5800,                 // addresses of units, for indirect jumps
    kFastCall = 0x4500, kStack0 = 0x7ff0, kStack = 0x8000, kStackEnd = 0xc000, kCode = 0x10000,
                     kCodeEnd = 0x14000, kOtherCode = 0x14000,  // what the second directory has at
                                                                // kFunctions
    kFunctions = 0x12000, kData = 0x20000, kDataEnd = 0x24000,
                     kOtherData = 0x25000,  // what the second directory has at kData + 0x1000
    kReadOnly = 0x24000, kSpecial = 0x30000;
inline constexpr u32 kSpecialReadOnly = kSpecial, kAbsent = kSpecial + 0x1000,
                     kSupervisor = kSpecial + 0x2000, kDataAlias = kSpecial + 0x3000,
                     kCodeAlias = kSpecial + 0x4000,         // two pages
    kDevice = kSpecial + 0x6000, kLast = kSpecial + 0x7000;  // then nothing
inline constexpr u32 kDirectory = 0x40000, kDirectory2 = 0x42000, kPdpt = 0x44000, kPdpt2 = 0x44020;
inline constexpr u32 kLargeAlias = 0x400000;  // of all RAM, by large pages
inline constexpr u32 kTablesEnd = 0x4c000;
inline constexpr u32 kDevicePhysical = 0xa0000;
}  // namespace place

// Selectors, without RPL.
namespace selector {
inline constexpr u16 kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x18, kData3 = 0x20, kTss = 0x28,
                     kTss2 = 0x30, kCode16 = 0x38, kData16 = 0x40, kSmall = 0x48, kDown = 0x50,
                     kReadOnly = 0x58, kAbsent = 0x60, kConforming = 0x68, kGate = 0x70, kFs = 0x78,
                     kGs = 0x80, kCount = 0x88;
}  // namespace selector

// A place in a unit's bytes that depends on where another lies.
struct Fixup {
    enum class Kind : u8 { relative8, relative32, absolute32 };
    u32 at = 0;
    Kind kind{};
    u32 unit = 0;
    i32 add = 0;
};

// A few instructions that belong together: what shrinking leaves out as a whole.
struct Unit {
    std::vector<u8> bytes;
    std::vector<Fixup> fixups;
};

// Before a slice of the run begins.
struct Event {
    enum class Kind : u8 {
        interrupt,  // `a`: vector
        nmi,
        bytes,  // a device writes `bytes` at `a`
        flip,   // the present bit of the page at the linear address `a` changes, and all is flushed
    };
    u32 slice = 0;
    Kind kind{};
    u32 a = 0;
    std::vector<u8> bytes;
};

enum class PagingKind : u8 { off, small, large, pae };

struct Case {
    u64 seed = 0;
    bool user = false, code16 = false, write_protect = false, exact = true;
    bool scrub = false;  // handlers clear the arithmetic flags of what they interrupted
    bool mend = true;    // handlers of faults put data segments and pointers right
    bool global = false;
    unsigned iopl = 0;
    PagingKind paging = PagingKind::off;
    u32 cr4 = 0;
    std::array<u32, 8> gpr{};
    u32 flags = 0;  // EFLAGS
    u32 fs_base = 0, fs_limit = 0, gs_base = 0, gs_limit = 0;
    u32 start = 0, functions = 0;  // addresses
    std::vector<Unit> units;
    u32 first_function = 0;          // its unit; those before are the main program
    std::array<u32, 16> landings{};  // units to go on at after faults
    std::vector<u32> slices;
    std::vector<Event> events;
    u64 data_seed = 0;
};

// The pointers that EBX, EBP, ESI and EDI are given time and again.
[[nodiscard]] inline bool is_pointer(unsigned gpr) {
    return gpr == kEbx || gpr == kEbp || gpr == kEsi || gpr == kEdi;
}

// The units in memory.
struct Layout {
    std::vector<u32> addresses;  // by unit
    std::vector<u8> code;        // kCode … kCodeEnd
};
[[nodiscard]] Layout lay_out(const Case& c);

// What a page leads to where there is paging: in the first directory or in the second.
[[nodiscard]] u32 physical_page(u32 linear, bool second_directory);

// RAM as it is before the case runs.
[[nodiscard]] std::vector<u8> build_ram(const Case& c, const Layout& layout);

}  // namespace ennead::vmcore::fuzz
