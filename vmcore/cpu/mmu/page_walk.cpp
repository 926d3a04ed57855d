// SPDX-License-Identifier: MIT
// Page walks with two-level and PAE paging (SDM vol 3A §4.3, §4.4, §4.6 to §4.8).
#include "vmcore/cpu/mmu/page_walk.h"

#include <array>
#include <atomic>

namespace ennead::vmcore {
namespace {

// Entry bits that both formats share.
constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
              kDirty = 1u << 6, kLarge = 1u << 7, kGlobal = 1u << 8, kExecuteDisable = 1ull << 63;

// In a PAE entry: the address, and the bits above the physical width, without XD.
constexpr u64 kPaeAddress = ((1ull << kPhysicalAddressBits) - 1) & ~u64{kPageMask};
constexpr u64 kPaeReservedHigh = ~((1ull << kPhysicalAddressBits) - 1) & ~kExecuteDisable;
// SDM vol 3A, table 4-8: bits 1, 2 and 5 to 8 of a PDPTE.
constexpr u64 kPdpteReserved = 0x1e6 | ~((1ull << kPhysicalAddressBits) - 1);

template <class Entry>
struct Step {
    PhysAddr where{};
    Entry value = 0;
};

// Walks are short and frequent: all that one usually needs is inlined into it.
#define ENNEAD_INLINE [[gnu::always_inline]] inline

template <class Entry>
ENNEAD_INLINE Entry read_entry(PhysicalMemory& memory, PhysAddr where) {
    if (u8* page = memory.readable_page(where)) [[likely]] {
        auto* cell = reinterpret_cast<Entry*>(page + (raw(where) & kPageMask));
        return std::atomic_ref<Entry>(*cell).load(std::memory_order_relaxed);
    }
    return static_cast<Entry>(memory.read(where, sizeof(Entry)));
}

// Sets `bits`, if the entry still is what the walk saw: processors do it with a locked cycle.
// False: it changed meanwhile and the walk has to start over.
template <class Entry>
[[gnu::noinline]] bool change_entry(PhysicalMemory& memory, const Step<Entry>& step, Entry bits) {
    if (u8* page = memory.writable_page(step.where)) {
        auto* cell = reinterpret_cast<Entry*>(page + (raw(step.where) & kPageMask));
        Entry expected = step.value;
        if (!std::atomic_ref<Entry>(*cell).compare_exchange_strong(expected, step.value | bits)) {
            return false;
        }
        memory.ram().written(step.where, sizeof(Entry));
        return true;
    }
    // In ROM or a device: the write goes where any other would.
    memory.write(step.where, sizeof(Entry), step.value | bits);
    return true;
}

template <class Entry>
ENNEAD_INLINE bool set_bits(PhysicalMemory& memory, const Step<Entry>& step, Entry bits) {
    return (step.value & bits) == bits || change_entry(memory, step, bits);
}

struct Request {
    const CpuState& state;
    PhysicalMemory& memory;
    u32 linear;
    Access access;
    bool user;
    WalkMode mode;
    GuestFault& fault;

    [[nodiscard]] bool nx_on() const {
        return (state.cr4 & cr4::kPae) != 0 && (state.efer & efer::kNxe) != 0;
    }

    [[nodiscard, gnu::noinline]] bool refuse(u16 error) const {
        error |= access == Access::write ? pf_error::kWrite : 0;
        error |= user ? pf_error::kUser : 0;
        // SDM vol 3A §4.7: the I/D flag is only ever set where NX works.
        error |= access == Access::fetch && nx_on() ? pf_error::kFetch : 0;
        fault = GuestFault{
            .vector = Vector::pf, .has_error_code = true, .error_code = error, .cr2 = linear};
        return false;
    }
};

enum class Outcome { done, faulted, again };

// The rights are the AND over all levels, XD the OR (SDM vol 3A §4.6.1).
template <class Entry>
ENNEAD_INLINE Outcome finish(const Request& request, const Step<Entry>* upper,
                             const Step<Entry>& leaf, Entry rights, bool execute_disable,
                             Translation& out) {
    const bool write_protected =
        (rights & kWritable) == 0 && (request.user || (request.state.cr0 & cr0::kWp) != 0);
    const bool allowed = !(request.user && (rights & kUser) == 0) &&
                         !(request.access == Access::write && write_protected) &&
                         !(request.access == Access::fetch && execute_disable);
    if (!allowed) {
        (void)request.refuse(pf_error::kPresent);
        return Outcome::faulted;
    }
    Entry leaf_bits = static_cast<Entry>(kAccessed);
    if (request.access == Access::write) {
        leaf_bits |= static_cast<Entry>(kDirty);
    }
    if (request.mode == WalkMode::access) {
        if (upper != nullptr &&
            !set_bits<Entry>(request.memory, *upper, static_cast<Entry>(kAccessed))) {
            return Outcome::again;
        }
        if (!set_bits<Entry>(request.memory, leaf, leaf_bits)) {
            return Outcome::again;
        }
    }
    out.writable = !write_protected && ((leaf.value | leaf_bits) & kDirty) != 0;
    out.executable = !execute_disable;
    out.global = (request.state.cr4 & cr4::kPge) != 0 && (leaf.value & kGlobal) != 0;
    out.entry = leaf.where;
    out.table_writable = upper != nullptr && (upper->value & kWritable) != 0;
    return Outcome::done;
}

// SDM vol 3A §4.3.
ENNEAD_INLINE Outcome walk_32bit(const Request& request, Translation& out) {
    const u32 linear = request.linear;
    Step<u32> pde{PhysAddr{(request.state.cr3 & ~kPageMask) + (linear >> 22) * 4}};
    pde.value = read_entry<u32>(request.memory, pde.where);
    if ((pde.value & kPresent) == 0) {
        (void)request.refuse(0);
        return Outcome::faulted;
    }
    if ((pde.value & kLarge) != 0 && (request.state.cr4 & cr4::kPse) != 0) {
        // Table 4-4: bit 12 is PAT; without PSE-36 bits 13 to 21 are reserved.
        if ((pde.value & 0x003fe000) != 0) {
            (void)request.refuse(pf_error::kPresent | pf_error::kReserved);
            return Outcome::faulted;
        }
        out.page = PhysAddr{(pde.value & 0xffc00000) | (linear & 0x003ff000)};
        out.large = true;
        return finish<u32>(request, nullptr, pde, pde.value, false, out);
    }
    Step<u32> pte{PhysAddr{(pde.value & ~kPageMask) + ((linear >> 12) & 0x3ff) * 4}};
    pte.value = read_entry<u32>(request.memory, pte.where);
    if ((pte.value & kPresent) == 0) {
        (void)request.refuse(0);
        return Outcome::faulted;
    }
    out.page = PhysAddr{pte.value & ~kPageMask};
    out.large = false;
    return finish<u32>(request, &pde, pte, pde.value & pte.value, false, out);
}

// SDM vol 3A §4.4. The PDPTEs are registers of the CPU: nothing checks or changes them here.
Outcome walk_pae(const Request& request, Translation& out) {
    const u32 linear = request.linear;
    const u64 reserved = kPaeReservedHigh | (request.nx_on() ? 0 : kExecuteDisable);
    const u64 pdpte = request.state.pdpte[linear >> 30];
    const auto fail = [&](u16 error) {
        (void)request.refuse(error);
        return Outcome::faulted;
    };
    if ((pdpte & kPresent) == 0) {
        return fail(0);
    }
    Step<u64> pde{PhysAddr{(pdpte & kPaeAddress) + ((linear >> 21) & 0x1ff) * 8}};
    pde.value = read_entry<u64>(request.memory, pde.where);
    if ((pde.value & kPresent) == 0) {
        return fail(0);
    }
    const bool large = (pde.value & kLarge) != 0;  // CR4.PSE does not matter with PAE
    // Table 4-9: bits 13 to 20 of a 2 MiB entry.
    if ((pde.value & (reserved | (large ? 0x001fe000u : 0u))) != 0) {
        return fail(pf_error::kPresent | pf_error::kReserved);
    }
    if (large) {
        out.page = PhysAddr{(pde.value & kPaeAddress & ~0x1fffffull) | (linear & 0x001ff000)};
        out.large = true;
        return finish<u64>(request, nullptr, pde, pde.value, (pde.value & kExecuteDisable) != 0,
                           out);
    }
    Step<u64> pte{PhysAddr{(pde.value & kPaeAddress) + ((linear >> 12) & 0x1ff) * 8}};
    pte.value = read_entry<u64>(request.memory, pte.where);
    if ((pte.value & kPresent) == 0) {
        return fail(0);
    }
    if ((pte.value & reserved) != 0) {
        return fail(pf_error::kPresent | pf_error::kReserved);
    }
    out.page = PhysAddr{pte.value & kPaeAddress};
    out.large = false;
    return finish<u64>(request, &pde, pte, pde.value & pte.value,
                       ((pde.value | pte.value) & kExecuteDisable) != 0, out);
}

// `address_bits`: of an entry; `refused`: what must be clear in it.
template <class Entry>
u32 translate_group(const CpuState& state, const u8* entries, Entry address_bits, Entry refused,
                    bool user, const Translation& known, std::array<Neighbour, kGroup>& out) {
    const Entry needed = static_cast<Entry>(kPresent | kAccessed | (user ? kUser : 0));
    const bool all_writable = !user && (state.cr0 & cr0::kWp) == 0;
    u32 found = 0;
    for (u32 n = 0; n < kGroup; ++n) {
        const Entry entry = std::atomic_ref<const Entry>(reinterpret_cast<const Entry*>(entries)[n])
                                .load(std::memory_order_relaxed);
        if ((entry & (needed | refused)) != needed) {
            continue;
        }
        const bool writable = all_writable || (known.table_writable && (entry & kWritable) != 0);
        out[n] = {.page = PhysAddr{entry & address_bits},
                  .writable = writable && (entry & kDirty) != 0,
                  .global = (state.cr4 & cr4::kPge) != 0 && (entry & kGlobal) != 0};
        found |= 1u << n;
    }
    return found;
}

#undef ENNEAD_INLINE

}  // namespace

u32 translate_around(const CpuState& state, PhysicalMemory& memory, bool fetch, bool user,
                     const Translation& known, std::array<Neighbour, kGroup>& out) {
    const bool pae = (state.cr4 & cr4::kPae) != 0;
    const u8* const page = memory.readable_page(known.entry);
    if (page == nullptr) {
        return 0;
    }
    const u64 bytes = kGroup * (pae ? 8 : 4);
    const u8* const entries = page + (raw(known.entry) & kPageMask & ~(bytes - 1));
    if (!pae) {
        return translate_group<u32>(state, entries, ~kPageMask, 0, user, known, out);
    }
    // Where NX is off the bit is a reserved one.
    const bool nx = (state.efer & efer::kNxe) != 0;
    return translate_group<u64>(state, entries, kPaeAddress,
                                kPaeReservedHigh | (fetch || !nx ? kExecuteDisable : 0), user,
                                known, out);
}

bool walk_pages(const CpuState& state, PhysicalMemory& memory, LinearAddr address, Access access,
                bool user, WalkMode mode, Translation& out, GuestFault& fault) {
    const Request request{state, memory, raw(address), access, user, mode, fault};
    for (;;) {
        const Outcome outcome =
            (state.cr4 & cr4::kPae) != 0 ? walk_pae(request, out) : walk_32bit(request, out);
        if (outcome != Outcome::again) {
            return outcome == Outcome::done;
        }
    }
}

bool read_pdptes(PhysicalMemory& memory, u32 cr3, std::array<u64, 4>& out) {
    std::array<u64, 4> entries{};
    for (unsigned i = 0; i < 4; ++i) {
        entries[i] = memory.read(PhysAddr{(cr3 & ~0x1fu) + i * 8}, 8);
        if ((entries[i] & kPresent) != 0 && (entries[i] & kPdpteReserved) != 0) {
            return false;
        }
    }
    out = entries;
    return true;
}

}  // namespace ennead::vmcore
