// SPDX-License-Identifier: MIT
// Linear memory as the CPU sees it: cached translations in front, page walks and devices behind.
#pragma once

#include <array>
#include <optional>

#include "vmcore/cpu/arena.h"
#include "vmcore/cpu/fault.h"
#include "vmcore/cpu/mmu/flat_table.h"
#include "vmcore/cpu/mmu/page_walk.h"
#include "vmcore/cpu/state.h"
#include "vmcore/mem/physical_memory.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

// Functions that answer bool say false when the access faults; `fault` then is the #PF and nothing
// was changed (but for accessed bits of a page that did translate). vCPU thread only.
class Mmu {
  public:
    // The tables are the arena's.
    Mmu(CpuArena& arena, PhysicalMemory& memory);

    // --- the fast way
    // ------------------------------------------------------------------------------------------
    // The host address of the byte at `address` for an access with the current privilege, or null:
    // then read() and write() below know what to do. Good up to the end of the page, until
    // generation() changes or the privilege does. String instructions use them to work on a run of
    // bytes.
    [[nodiscard]] const u8* find_readable(LinearAddr address) const {
        return read_view_->find(address);
    }
    [[nodiscard]] u8* find_writable(LinearAddr address) const { return write_view_->find(address); }

    // The same for implicit accesses to tables of the system, whatever the privilege.
    [[nodiscard]] const u8* find_readable_as_supervisor(LinearAddr address) const {
        return tables_[index_of(Access::read, false)].find(address);
    }
    [[nodiscard]] u8* find_writable_as_supervisor(LinearAddr address) const {
        return tables_[index_of(Access::write, false)].find(address);
    }

    // --- the slow way
    // --------------------------------------------------------------------------------------------
    // Any size up to a page, across a page end too: both pages are checked before a byte of either
    // is written. RAM, ROM, devices. `user` as in walk_pages().
    [[nodiscard]] bool read(LinearAddr address, void* out, u32 size, bool user, GuestFault& fault);
    [[nodiscard]] bool write(LinearAddr address, const void* bytes, u32 size, bool user,
                             GuestFault& fault);
    // A read of a place that is about to be written: checked as a write.
    [[nodiscard]] bool read_for_write(LinearAddr address, void* out, u32 size, bool user,
                                      GuestFault& fault);
    // For an access that does not cross a page's end. `memory`: `host` is where its bytes are, and
    // they may be used there at once; `other`: devices, ROM to be written, and bytes that somebody
    // has to hear of.
    enum class Place { memory, other, fault };
    [[nodiscard]] Place find_place(LinearAddr address, u32 size, Access access, bool user,
                                   u8*& host, GuestFault& fault);
    // Only the checks of such an access. Any size.
    [[nodiscard]] bool probe(LinearAddr address, u32 size, Access access, bool user,
                             GuestFault& fault);

    // --- instruction fetch
    // -----------------------------------------------------------------------------------------
    enum class Code {
        memory,  // `page` is the start of the page in host memory, good while generation() stays
                 // the same
        device,  // not plain memory: fetch byte by byte with fetch()
        fault,
    };
    // For an instruction at `address`, with the current privilege.
    [[nodiscard]] Code code_page(LinearAddr address, const u8*& page, GuestFault& fault);
    // Copies `size` bytes of code, also from devices and across a page end; reads no byte beyond
    // them.
    [[nodiscard]] bool fetch(LinearAddr address, u8* out, u32 size, GuestFault& fault);
    // Changes whenever a translation may have changed, and with the privilege.
    [[nodiscard]] u32 generation() const { return generation_; }

    // --- flushes
    // -----------------------------------------------------------------------------------------------------
    // SDM vol 3A §4.10.4.1. A load of CR3 keeps global pages; everything else drops all.
    void flush_local();
    void flush_all();
    void invlpg(LinearAddr address);
    // How often any of these was called.
    [[nodiscard]] u32 flushes() const { return flushes_; }
    // What the fetch table holds for the page of `address` while it is translated to the page at
    // `host`.
    [[nodiscard]] u64 fetch_entry(LinearAddr address, const u8* host) const {
        return tables_[index_of(Access::fetch, false)].entry_for(address, host);
    }
    // Writes to the page at `host` must from now on come the slow way: it holds code.
    void forget_writable(const u8* host);

    // Takes over what the state now says of the paging mode; a change flushes.
    void mode_changed();
    // The same for the privilege. `watched`: every access has to come the slow way, because
    // somebody looks at it there (data breakpoints, alignment checks).
    void privilege_changed(bool watched) {
        const bool user = state_.cpl == 3;
        if (user != user_ || watched != watched_) {
            user_ = user;
            watched_ = watched;
            ++generation_;
            select_views();
        }
    }
    // The privilege of accesses through find_readable() and the like.
    [[nodiscard]] bool user() const { return user_; }

    // The physical address, if mapped: changes nothing, never faults. For debuggers and the `vmem`
    // file.
    [[nodiscard]] std::optional<PhysAddr> peek(LinearAddr address) const;

    [[nodiscard]] PhysicalMemory& memory() { return memory_; }

  private:
    // One piece of an access: a range of bytes inside one page.
    struct Piece {
        PhysAddr address{};
        u8* host = nullptr;  // null: by way of PhysicalMemory
    };

    [[nodiscard]] bool locate(LinearAddr address, Access access, bool user, Piece& out,
                              GuestFault& fault) {
        out.host = tables_[index_of(access, user)].find(address);
        return out.host != nullptr || locate_by_walk(address, access, user, out, fault);
    }
    [[nodiscard]] bool locate_by_walk(LinearAddr address, Access access, bool user, Piece& out,
                                      GuestFault& fault);
    u8* fill(LinearAddr address, const Neighbour& found, Access access, bool user);
    void fill_around(LinearAddr address, const Translation& translation, Access access, bool user);
    void read_piece(const Piece& piece, u8* out, u32 size);
    void write_piece(const Piece& piece, const u8* bytes, u32 size);
    [[nodiscard]] bool read_as(LinearAddr address, void* out, u32 size, Access access, bool user,
                               GuestFault& fault);
    void select_views() {
        read_view_ = watched_ ? &empty_table() : &tables_[index_of(Access::read, user_)];
        write_view_ = watched_ ? &empty_table() : &tables_[index_of(Access::write, user_)];
    }
    static const FlatTable& empty_table();

    // By page of RAM: the number of the linear page, plus 1, that the write tables may have for it.
    static constexpr u32 kSeveral = 0xffffffff;
    u32& writable_at(const u8* host) {
        return writable_at_.get()[static_cast<u64>(host - memory_.ram().base()) / kPageSize];
    }

    static constexpr unsigned index_of(Access access, bool user) {
        return (user ? 3u : 0u) + static_cast<unsigned>(access);
    }
    static constexpr unsigned bit_of(Access access, bool user) {
        return 1u << index_of(access, user);
    }

    CpuState& state_;
    PhysicalMemory& memory_;
    const FlatTable* read_view_ = nullptr;
    const FlatTable* write_view_ = nullptr;
    bool user_ = false;
    bool watched_ = false;
    u32 generation_ = 1;
    u32 flushes_ = 0;
    // What the tables were filled under.
    u32 cr0_bits_ = 0, cr4_bits_ = 0;
    u64 efer_bits_ = 0;
    FlatTables tables_;  // {supervisor, user} x Access
    Zeros<u32> writable_at_;
    // Which 4 MiB regions have a piece of a large page in the tables: INVLPG drops all of such a
    // page.
    std::array<u32, 32> large_regions_{};
};

}  // namespace ennead::vmcore
