// SPDX-License-Identifier: MIT
// Accesses that the translation tables do not answer, and when those tables are flushed.
#include "vmcore/cpu/mmu/mmu.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace ennead::vmcore {
namespace {

// Never filled: what the views point at while every access has to come the slow way.
const FlatTable& empty_table() {
    static u64* const entries = [] {
        void* zeros = mmap(nullptr, CpuArena::kTableBytes, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (zeros == MAP_FAILED) {
            throw std::bad_alloc();
        }
        return static_cast<u64*>(zeros);
    }();
    static const FlatTable table(entries, 0);
    return table;
}

// Emitted code compares the low half of a fetch entry with the one it was made under; 0 must not be
// among those.
constexpr u64 kFetchTag = 1;

FlatTable make_table(CpuArena& arena, bool user, Access access) {
    return {arena.at<u64>(CpuArena::table_offset(user, static_cast<unsigned>(access))),
            access == Access::fetch ? kFetchTag : 0};
}

// The state bits that translations depend on.
constexpr u32 kCr0Bits = cr0::kPg | cr0::kWp;
constexpr u32 kCr4Bits = cr4::kPse | cr4::kPae | cr4::kPge;

u32 left_in_page(LinearAddr address) {
    return kPageSize - (raw(address) & kPageMask);
}

}  // namespace

Mmu::Mmu(CpuArena& arena, PhysicalMemory& memory)
    : state_(arena.state()),
      memory_(memory),
      tables_{make_table(arena, false, Access::read), make_table(arena, false, Access::write),
              make_table(arena, false, Access::fetch), make_table(arena, true, Access::read),
              make_table(arena, true, Access::write), make_table(arena, true, Access::fetch)} {
    select_views();
}

void Mmu::read_piece(const Piece& piece, u8* out, u32 size) {
    if (piece.host != nullptr) {
        std::memcpy(out, piece.host, size);
        return;
    }
    // Devices see naturally sized cycles; what is left over of an odd piece goes in smaller ones.
    u64 address = raw(piece.address);
    while (size != 0) {
        const u32 step = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
        const u64 value = memory_.read(PhysAddr{address}, step);
        std::memcpy(out, &value, step);
        out += step;
        address += step;
        size -= step;
    }
}

void Mmu::write_piece(const Piece& piece, const u8* bytes, u32 size) {
    if (piece.host != nullptr) {
        std::memcpy(piece.host, bytes, size);
        memory_.ram().written({piece.host, size});
        return;
    }
    u64 address = raw(piece.address);
    while (size != 0) {
        const u32 step = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
        u64 value = 0;
        std::memcpy(&value, bytes, step);
        memory_.write(PhysAddr{address}, step, value);
        bytes += step;
        address += step;
        size -= step;
    }
}

bool Mmu::locate(LinearAddr address, Access access, bool user, Piece& out, GuestFault& fault) {
    const u32 offset = raw(address) & kPageMask;
    if (u8* host = table(access, user).find(address)) {
        out.host = host;
        return true;
    }
    Translation translation;
    if ((state_.cr0 & cr0::kPg) == 0) {
        translation.page = PhysAddr{raw(address) & ~kPageMask};
        translation.writable = true;
    } else if (!walk_pages(state_, memory_, address, access, user, WalkMode::access, translation,
                           fault)) {
        // SDM vol 3A §4.10.4.1: a page fault invalidates what is cached for the address.
        for (FlatTable& each : tables_) {
            each.drop(address);
        }
        ++generation_;
        return false;
    }
    fill(address, translation, access, user);
    out.address = translation.page + offset;
    u8* page = access == Access::write ? memory_.writable_page(translation.page)
                                       : memory_.readable_page(translation.page);
    out.host = page != nullptr ? page + offset : nullptr;
    return true;
}

// Everything that the walk has shown to be allowed for this privilege goes in at once.
void Mmu::fill(LinearAddr address, const Translation& translation, Access access, bool user) {
    u8* readable = memory_.readable_page(translation.page);
    if (readable == nullptr) {
        return;
    }
    if (translation.large) {
        const u32 region = raw(address) >> 22;
        large_regions_[region / 32] |= 1u << (region % 32);
    }
    if (access != Access::fetch) {
        table(Access::read, user).fill(address, readable, translation.global);
    } else {
        table(Access::fetch, user).fill(address, readable, translation.global);
    }
    if (access != Access::fetch && translation.writable && !memory_.holds_code(translation.page)) {
        if (u8* writable = memory_.writable_page(translation.page)) {
            table(Access::write, user).fill(address, writable, translation.global);
        }
    }
}

bool Mmu::read_as(LinearAddr address, void* out, u32 size, Access access, bool user,
                  GuestFault& fault) {
    const u32 first_size = std::min(size, left_in_page(address));
    Piece first;
    if (!locate(address, access, user, first, fault)) {
        return false;
    }
    if (access == Access::write && first.host == nullptr) {
        first.host = memory_.readable_page(first.address);  // ROM reads as what it holds
        first.host = first.host != nullptr ? first.host + (raw(address) & kPageMask) : nullptr;
    }
    auto* bytes = static_cast<u8*>(out);
    if (first_size == size) {
        read_piece(first, bytes, size);
        return true;
    }
    const LinearAddr next = address + first_size;
    Piece second;
    if (!locate(next, access, user, second, fault)) {
        return false;
    }
    if (access == Access::write && second.host == nullptr) {
        second.host = memory_.readable_page(second.address);
    }
    read_piece(first, bytes, first_size);
    read_piece(second, bytes + first_size, size - first_size);
    return true;
}

bool Mmu::read(LinearAddr address, void* out, u32 size, bool user, GuestFault& fault) {
    return read_as(address, out, size, Access::read, user, fault);
}

bool Mmu::read_for_write(LinearAddr address, void* out, u32 size, bool user, GuestFault& fault) {
    return read_as(address, out, size, Access::write, user, fault);
}

bool Mmu::write(LinearAddr address, const void* bytes, u32 size, bool user, GuestFault& fault) {
    const u32 first_size = std::min(size, left_in_page(address));
    const auto* from = static_cast<const u8*>(bytes);
    Piece first;
    if (!locate(address, Access::write, user, first, fault)) {
        return false;
    }
    if (first_size == size) {
        write_piece(first, from, size);
        return true;
    }
    Piece second;
    if (!locate(address + first_size, Access::write, user, second, fault)) {
        return false;
    }
    write_piece(first, from, first_size);
    write_piece(second, from + first_size, size - first_size);
    return true;
}

bool Mmu::probe(LinearAddr address, u32 size, Access access, bool user, GuestFault& fault) {
    while (size != 0) {
        const u32 step = std::min(size, left_in_page(address));
        Piece piece;
        if (!locate(address, access, user, piece, fault)) {
            return false;
        }
        address = address + step;
        size -= step;
    }
    return true;
}

Mmu::Place Mmu::find_place(LinearAddr address, u32 size, Access access, bool user, u8*& host,
                           GuestFault& fault) {
    Piece piece;
    if (!locate(address, access, user, piece, fault)) {
        return Place::fault;
    }
    host = piece.host;
    const bool usable = host != nullptr && (access != Access::write ||
                                            !memory_.ram().holds_code({host, size}));
    return usable ? Place::memory : Place::other;
}

Mmu::Code Mmu::code_page(LinearAddr address, const u8*& page, GuestFault& fault) {
    Piece piece;
    if (!locate(address, Access::fetch, user_, piece, fault)) {
        return Code::fault;
    }
    if (piece.host == nullptr) {
        return Code::device;
    }
    page = piece.host - (raw(address) & kPageMask);
    return Code::memory;
}

bool Mmu::fetch(LinearAddr address, u8* out, u32 size, GuestFault& fault) {
    return read_as(address, out, size, Access::fetch, user_, fault);
}

void Mmu::flush_local() {
    ++flushes_;
    for (FlatTable& each : tables_) {
        each.flush_local();
    }
    ++generation_;
}

void Mmu::flush_all() {
    ++flushes_;
    for (FlatTable& each : tables_) {
        each.flush_all();
    }
    large_regions_ = {};
    ++generation_;
}

void Mmu::invlpg(LinearAddr address) {
    ++flushes_;
    const u32 region = raw(address) >> 22;
    const bool large = (large_regions_[region / 32] >> (region % 32) & 1) != 0;
    for (FlatTable& each : tables_) {
        if (large) {
            each.drop_4m(address);
        } else {
            each.drop(address);
        }
    }
    if (large) {
        large_regions_[region / 32] &= ~(1u << (region % 32));
    }
    ++generation_;
}

void Mmu::forget_writable(const u8* host) {
    table(Access::write, false).drop_host(host);
    table(Access::write, true).drop_host(host);
    ++generation_;
}

void Mmu::mode_changed() {
    const u32 cr0_bits = state_.cr0 & kCr0Bits;
    const u32 cr4_bits = state_.cr4 & kCr4Bits;
    const u64 efer_bits = state_.efer & efer::kNxe;
    if (cr0_bits != cr0_bits_ || cr4_bits != cr4_bits_ || efer_bits != efer_bits_) {
        cr0_bits_ = cr0_bits;
        cr4_bits_ = cr4_bits;
        efer_bits_ = efer_bits;
        flush_all();
    }
}

void Mmu::privilege_changed(bool watched) {
    const bool user = state_.cpl == 3;
    if (user != user_ || watched != watched_) {
        user_ = user;
        watched_ = watched;
        ++generation_;
        select_views();
    }
}

void Mmu::select_views() {
    read_view_ = watched_ ? &empty_table() : &table(Access::read, user_);
    write_view_ = watched_ ? &empty_table() : &table(Access::write, user_);
}

std::optional<PhysAddr> Mmu::peek(LinearAddr address) const {
    const u32 offset = raw(address) & kPageMask;
    if ((state_.cr0 & cr0::kPg) == 0) {
        return PhysAddr{raw(address)};
    }
    Translation translation;
    GuestFault ignored;
    if (!walk_pages(state_, memory_, address, Access::read, false, WalkMode::peek, translation,
                    ignored)) {
        return std::nullopt;
    }
    return translation.page + offset;
}

}  // namespace ennead::vmcore
