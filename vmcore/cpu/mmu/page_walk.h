// SPDX-License-Identifier: MIT
// The walk through the guest's page tables: linear to physical, rights, accessed and dirty bits.
#pragma once

#include <array>

#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/state.h"
#include "vmcore/mem/physical_memory.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

enum class Access : u8 { read, write, fetch };

// Bits of the #PF error code, SDM vol 3A §4.7.
namespace pf_error {
inline constexpr u16 kPresent = 1u << 0, kWrite = 1u << 1, kUser = 1u << 2, kReserved = 1u << 3,
                     kFetch = 1u << 4;
}

// The physical address width that CPUID leaf 0x80000008 reports; PAE entries with higher address
// bits set are refused (reserved). Without PAE, addresses have 32 bits: PSE-36 is not offered.
inline constexpr unsigned kPhysicalAddressBits = 36;

struct Translation {
    PhysAddr page{};        // start of the 4 KiB page, also inside a large one
    bool writable = false;  // the same privilege may also write, and the dirty bit is already set
    bool executable = true;
    bool global = false;
    bool large = false;  // part of a 2 or 4 MiB page
    // Of a page that is not large: where its entry is, and whether the level above allows writes.
    PhysAddr entry{};
    bool table_writable = false;
};

// How the walk treats the entries it uses.
enum class WalkMode {
    access,  // sets accessed and dirty bits
    peek,    // changes nothing: for looking at a stopped machine
};

// Translates with paging as CR0, CR3, CR4 and IA32_EFER stand. False: #PF, with `fault` filled in.
// `user`: an access with CPL 3 that is not an implicit supervisor access (SDM vol 3A §4.6.1).
[[nodiscard]] bool walk_pages(const CpuState& state, PhysicalMemory& memory, LinearAddr address,
                              Access access, bool user, WalkMode mode, Translation& out,
                              GuestFault& fault);

// The pages around one, not large, that walk_pages() has translated for an access to data or, if
// `fetch`, to code: those that the same privilege may use in the same way without a bit to be set
// in their entries. Processors may cache such translations unasked (SDM vol 3A §4.10.2.3). A bit
// for each page of the group of kGroup, aligned, that the known one is in; `out` is filled in for
// those.
inline constexpr u32 kGroup = 8;
struct Neighbour {
    PhysAddr page{};
    bool writable, global;  // as in a Translation
};
[[nodiscard]] u32 translate_around(const CpuState& state, PhysicalMemory& memory, bool fetch,
                                   bool user, const Translation& known,
                                   std::array<Neighbour, kGroup>& out);

// Loads the four PDPTEs that CR3 value `cr3` points at into `out`; false if one is present and has
// a reserved bit set, which is #GP(0) for the instruction that loads CR3 (SDM vol 3A §4.4.1).
[[nodiscard]] bool read_pdptes(PhysicalMemory& memory, u32 cr3, std::array<u64, 4>& out);

}  // namespace ennead::vmcore
