// SPDX-License-Identifier: MIT
// One case: a program, the machine it starts in, and what happens to it from outside.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::fuzz {

// Where things are: linear addresses. Without paging they are physical too; what paging makes of
// them say AddressSpaces, and there the comments are about the plain layout.
namespace place {
// RAM: what is not named lies idle in between, for a large page that starts at kHigh.
inline constexpr u32 kLowEnd = 1u << 20, kHigh = 4u << 20, kRam = kHigh + 0x10000;
inline constexpr u32 kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kTss2 = 0x3100,
                     kHandlers = 0x4000,
                     kFrame = 0x5000,  // what handlers keep: a counter, where to go on
    kTargets = 0x5800,                 // addresses of units, for indirect jumps
    kFastCall = 0x4500, kStack0 = 0x7ff0, kStack = 0x8000, kStackEnd = 0xc000, kCode = 0x10000,
                     kCodeEnd = 0x14000, kOtherCode = 0x14000,  // what other spaces have at
                                                                // kFunctions
    kFunctions = 0x12000, kData = 0x20000, kDataEnd = 0x24000,
                     kOtherData = 0x25000,  // what other spaces have at kData + 0x1000
    kReadOnly = 0x24000, kSpecial = 0x30000;
inline constexpr u32 kSpecialReadOnly = kSpecial, kAbsent = kSpecial + 0x1000,
                     kSupervisor = kSpecial + 0x2000, kDataAlias = kSpecial + 0x3000,
                     kCodeAlias = kSpecial + 0x4000,         // two pages
    kDevice = kSpecial + 0x6000, kLast = kSpecial + 0x7000;  // then nothing
// Page tables: the same linear and physical, always.
inline constexpr u32 kTables = 0x40000, kTablesEnd = 0x68000;
inline constexpr u32 kLargeAlias = 0x400000;  // of all RAM, by large pages
inline constexpr u32 kDevicePhysical = 0xa0000, kDevicesEnd = 0xc0000;
inline constexpr u32 kNoMemory = 0xe0000000;  // physical: nothing answers
}  // namespace place

// Selectors, without RPL.
namespace selector {
inline constexpr u16 kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x18, kData3 = 0x20, kTss = 0x28,
                     kTss2 = 0x30, kCode16 = 0x38, kData16 = 0x40, kSmall = 0x48, kDown = 0x50,
                     kReadOnly = 0x58, kAbsent = 0x60, kConforming = 0x68, kGate = 0x70, kFs = 0x78,
                     kGs = 0x80, kCount = 0x88;
}  // namespace selector

// Of interrupts whose handlers go on in the next address space, or change an entry of page tables:
// EAX its address, ECX what is to change; EDX for INVLPG.
namespace vector {
inline constexpr u32 kFirstSwitch = 0x51, kLastSwitch = 0x57, kChange = 0x58,
                     kChangeAndFlush = 0x59;
}

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
        bytes,  // a device writes `bytes` where the first address space has the linear address `a`
        flip,   // the present bit of the page at the linear address `a` changes everywhere, and all
                // is flushed
    };
    u32 slice = 0;
    Kind kind{};
    u32 a = 0;
    std::vector<u8> bytes;
};

enum class PagingKind : u8 { off, small, large, pae };
inline constexpr unsigned kMostSpaces = 4;

// A page that is not as in the plain layout. Of two for the same page the later one counts.
struct Mapping {
    u32 linear = 0;
    u64 entry = 0;       // as in the page tables; the upper half is for PAE
    u8 spaces = 0xff;    // a bit for each address space
    bool large = false;  // by an entry of the directory: 4 MB, 2 MB with PAE
};

struct Case {
    u64 seed = 0;
    bool user = false, code16 = false, write_protect = false, exact = true;
    bool scrub = false;  // handlers clear the arithmetic flags of what they interrupted
    bool mend = true;    // handlers of faults put data segments and pointers right
    bool global = false;
    unsigned iopl = 0;
    PagingKind paging = PagingKind::off;
    unsigned spaces = 2;  // address spaces, if there is paging
    bool execute_disable = false;
    std::vector<Mapping> mappings;
    std::array<u64, 4> table_rights{7, 7, 7, 7};  // of the directory, for each table of pages
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

class AddressSpaces;
class Image;
// RAM as it is before the case runs.
[[nodiscard]] Image build_ram(const Case& c, const Layout& layout, const AddressSpaces& spaces);

}  // namespace ennead::vmcore::fuzz
