// SPDX-License-Identifier: MIT
// Accesses that the translation tables do not answer, and when those tables are flushed.
#include "vmcore/cpu/mmu/mmu.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

namespace ennead::vmcore {
namespace {

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

// Most accesses are of a size that is worth an instruction instead of a call.
void copy(void* to, const void* from, u32 size) {
    switch (size) {
        case 1:
            std::memcpy(to, from, 1);
            break;
        case 2:
            std::memcpy(to, from, 2);
            break;
        case 4:
            std::memcpy(to, from, 4);
            break;
        case 8:
            std::memcpy(to, from, 8);
            break;
        default:
            std::memcpy(to, from, size);
            break;
    }
}

}  // namespace

Mmu::Mmu(CpuArena& arena, PhysicalMemory& memory)
    : state_(arena.state()),
      memory_(memory),
      tables_({make_table(arena, false, Access::read), make_table(arena, false, Access::write),
               make_table(arena, false, Access::fetch), make_table(arena, true, Access::read),
               make_table(arena, true, Access::write), make_table(arena, true, Access::fetch)}),
      writable_at_(zeros<u32>(memory.ram().size() / kPageSize)) {
    select_views();
}

// Never filled: what the views point at while every access has to come the slow way.
const FlatTable& Mmu::empty_table() {
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

void Mmu::read_piece(const Piece& piece, u8* out, u32 size) {
    if (piece.host != nullptr) {
        copy(out, piece.host, size);
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
        copy(piece.host, bytes, size);
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

bool Mmu::locate_by_walk(LinearAddr address, Access access, bool user, Piece& out,
                         GuestFault& fault) {
    Translation translation;
    if ((state_.cr0 & cr0::kPg) == 0) {
        translation.page = PhysAddr{raw(address) & ~kPageMask};
        translation.writable = true;
    } else if (!walk_pages(state_, memory_, address, access, user, WalkMode::access, translation,
                           fault)) [[unlikely]] {
        // SDM vol 3A §4.10.4.1: a page fault invalidates what is cached for the address.
        tables_.drop(address);
        ++generation_;
        return false;
    }
    const u32 offset = raw(address) & kPageMask;
    out.address = translation.page + offset;
    const bool alone = !tables_.knows_any(address, index_of(access, user));
    u8* const page =
        fill(address, {translation.page, translation.writable, translation.global}, access, user);
    if (translation.large) {
        const u32 region = raw(address) >> 22;
        large_regions_[region / 32] |= 1u << (region % 32);
    }
    const bool hidden =
        access == Access::write && memory_.writable_page(translation.page) == nullptr;
    out.host = page != nullptr && !hidden ? page + offset : nullptr;
    // Where something around is known, this has been done.
    if (alone && !translation.large && (state_.cr0 & cr0::kPg) != 0) {
        fill_around(address, translation, access, user);
    }
    return true;
}

// Everything that a walk has shown to be allowed for this privilege goes in at once. Gives the
// page, if it is plain memory.
[[gnu::always_inline]] inline u8* Mmu::fill(LinearAddr address, const Neighbour& found,
                                            Access access, bool user) {
    u8* const page = memory_.readable_page(found.page);
    if (page == nullptr) {
        return nullptr;
    }
    unsigned tables = bit_of(access == Access::fetch ? Access::fetch : Access::read, user);
    if (access != Access::fetch && found.writable && memory_.writable_page(found.page) != nullptr &&
        !memory_.holds_code(found.page)) {
        tables |= bit_of(Access::write, user);
        u32& at = writable_at(page);
        const u32 here = raw(address) / kPageSize + 1;
        at = at == 0 || at == here ? here : kSeveral;
    }
    tables_.fill(address, page, tables, found.global);
    return page;
}

// Programs that touch a page mostly touch those beside it soon, and a walk costs as much as filling
// in several.
void Mmu::fill_around(LinearAddr address, const Translation& translation, Access access,
                      bool user) {
    const u32 own = raw(address) / kPageSize, group = own & ~(kGroup - 1);
    std::array<Neighbour, kGroup> around;
    u32 left =
        translate_around(state_, memory_, access == Access::fetch, user, translation, around);
    left &= ~(1u << (own - group));
    for (; left != 0; left &= left - 1) {
        const auto n = static_cast<u32>(std::countr_zero(left));
        (void)fill(LinearAddr{(group + n) * kPageSize}, around[n], access, user);
    }
}

bool Mmu::read_as(LinearAddr address, void* out, u32 size, Access access, bool user,
                  GuestFault& fault) {
    Piece first;
    if (!locate(address, access, user, first, fault)) {
        return false;
    }
    if (access == Access::write && first.host == nullptr) {
        first.host = memory_.readable_page(first.address);  // ROM reads as what it holds
        first.host = first.host != nullptr ? first.host + (raw(address) & kPageMask) : nullptr;
    }
    auto* bytes = static_cast<u8*>(out);
    const u32 first_size = std::min(size, left_in_page(address));
    if (first_size == size) [[likely]] {
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
    const bool usable =
        host != nullptr && (access != Access::write || !memory_.ram().holds_code({host, size}));
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
    tables_.flush_local();
    ++generation_;
}

void Mmu::flush_all() {
    ++flushes_;
    tables_.flush_all();
    large_regions_ = {};
    ++generation_;
}

void Mmu::invlpg(LinearAddr address) {
    ++flushes_;
    const u32 region = raw(address) >> 22;
    const u32 bit = 1u << (region % 32);
    if ((large_regions_[region / 32] & bit) != 0) {
        tables_.drop_4m(address);
        large_regions_[region / 32] &= ~bit;
    } else {
        tables_.drop(address);
    }
    ++generation_;
}

void Mmu::forget_writable(const u8* host) {
    constexpr unsigned kWrite = bit_of(Access::write, false) | bit_of(Access::write, true);
    const u32 at = std::exchange(writable_at(host), 0u);
    if (at == kSeveral) {
        tables_.drop_host(host, kWrite);
    } else if (at != 0) {
        tables_.drop_host_at(LinearAddr{(at - 1) * kPageSize}, host, kWrite);
    }
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
