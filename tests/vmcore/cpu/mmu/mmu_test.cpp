// SPDX-License-Identifier: MIT
// Linear accesses: page crossings, devices and ROM, cached translations and when they go.
#include "tests/vmcore/cpu/system/system_machine.h"
#include "vmcore/cpu/interp/control_registers.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

constexpr u32 kPd = 0x100000, kPt = 0x101000;
constexpr u32 kRw = 3, kRwUser = 7;

// Linear 0x40000000 + n pages to what the test says; the first 4 MiB one to one.
class PagedMemory : public SystemMachine {
  protected:
    PagedMemory() {
        protected_mode();
        put(kPd, 0x102000 | kRwUser);
        for (u32 i = 0; i < 1024; ++i) {
            put(0x102000 + i * 4, i << 12 | kRwUser);
        }
        put(kPd + 256 * 4, kPt | kRwUser);
        state_.cr3 = kPd;
        state_.cr0 |= cr0::kPg | cr0::kWp;
        cpu_->mode_changed();
    }
    void map(u32 page, u32 physical, u32 bits) { put(kPt + page * 4, physical | bits); }

    static constexpr u32 kBase = 0x40000000;
    GuestFault fault_;
};

TEST_F(PagedMemory, store_across_pages_changes_nothing_if_the_second_faults) {
    map(0, 0x200000, kRw);
    map(1, 0x300000, 1);
    put<u32>(0x200ffc, 0);
    EXPECT_FALSE(cpu_->store<u32>(Seg::ds, kBase + 0xffe, 0xaabbccdd));
    EXPECT_EQ(cpu_->fault().vector, Vector::pf);
    EXPECT_EQ(cpu_->fault().cr2, kBase + 0x1000);
    EXPECT_EQ(cpu_->fault().error_code, 3);
    EXPECT_EQ(get(0x200ffc), 0u);
}

TEST_F(PagedMemory, accesses_across_pages_reach_both) {
    map(0, 0x200000, kRw);
    map(1, 0x300000, kRw);
    EXPECT_TRUE(cpu_->store<u32>(Seg::ds, kBase + 0xffd, 0xaabbccdd));
    EXPECT_EQ(get<u8>(0x200ffd), 0xdd);
    EXPECT_EQ(get<u8>(0x200fff), 0xbb);
    EXPECT_EQ(get<u8>(0x300000), 0xaa);
    u32 value = 0;
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase + 0xffd, value));
    EXPECT_EQ(value, 0xaabbccddu);
    value = 0;
    EXPECT_TRUE(cpu_->load_for_store(Seg::ds, kBase + 0xffd, value));
    EXPECT_EQ(value, 0xaabbccddu);
}

TEST_F(PagedMemory, load_for_store_faults_as_a_write) {
    map(0, 0x200000, 1);
    u8 value = 0;
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_FALSE(cpu_->load_for_store(Seg::ds, kBase, value));
    expect_fault(Vector::pf, 3);
    EXPECT_FALSE(cpu_->probe_store(Seg::ds, kBase, 1));
}

TEST_F(PagedMemory, stale_translation_stays_until_invlpg) {
    map(0, 0x200000, kRw);
    put<u32>(0x200000, 1);
    put<u32>(0x300000, 2);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    map(0, 0x300000, kRw);
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(value, 1u);
    const u32 generation = cpu_->mmu.generation();
    cpu_->mmu.invlpg(LinearAddr{kBase + 0x123});
    EXPECT_NE(cpu_->mmu.generation(), generation);
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(value, 2u);
}

TEST_F(PagedMemory, page_that_becomes_present_or_writable_needs_no_flush) {
    map(0, 0x200000, 0);
    u32 value = 0;
    EXPECT_FALSE(cpu_->load(Seg::ds, kBase, value));
    map(0, 0x200000, 1);
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_FALSE(cpu_->store<u32>(Seg::ds, kBase, 5));
    map(0, 0x200000, kRw);
    EXPECT_TRUE(cpu_->store<u32>(Seg::ds, kBase, 5));
}

TEST_F(PagedMemory, a_fault_drops_what_was_cached_for_the_page) {
    map(0, 0x200000, 1);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_FALSE(cpu_->store<u32>(Seg::ds, kBase, 5));
    map(0, 0x300000, 1);
    put<u32>(0x300000, 77);
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(value, 77u);
}

TEST_F(PagedMemory, invlpg_drops_all_of_a_large_page) {
    put(kPd + 256 * 4, 0x00400000 | kRw | 0x80);
    ASSERT_TRUE(write_cr4(*cpu_, cr4::kPse));
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase + 0x5000, value));
    put<u32>(0x00805000, 99);
    put(kPd + 256 * 4, 0x00800000 | kRw | 0x80);
    cpu_->mmu.invlpg(LinearAddr{kBase + 0x200000});
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase + 0x5000, value));
    EXPECT_EQ(value, 99u);
}

TEST_F(PagedMemory, global_page_survives_cr3_but_not_invlpg) {
    ASSERT_TRUE(write_cr4(*cpu_, cr4::kPge));
    map(0, 0x200000, kRw | 0x100);
    map(1, 0x201000, kRw);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase + 0x1000, value));
    ASSERT_TRUE(write_cr3(*cpu_, kPd));
    EXPECT_NE(cpu_->mmu.find_readable(LinearAddr{kBase}), nullptr);
    EXPECT_EQ(cpu_->mmu.find_readable(LinearAddr{kBase + 0x1000}), nullptr);
    cpu_->mmu.invlpg(LinearAddr{kBase});
    EXPECT_EQ(cpu_->mmu.find_readable(LinearAddr{kBase}), nullptr);
}

TEST_F(PagedMemory, write_entry_is_only_made_once_dirty_is_set) {
    map(0, 0x200000, kRw);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(cpu_->mmu.find_writable(LinearAddr{kBase}), nullptr);
    ASSERT_TRUE(cpu_->store<u32>(Seg::ds, kBase, 1));
    EXPECT_NE(cpu_->mmu.find_writable(LinearAddr{kBase}), nullptr);
    EXPECT_EQ(get(kPt) & 0x60, 0x60u);
}

TEST_F(PagedMemory, privilege_decides_which_translations_count) {
    map(0, 0x200000, kRw);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    const u32 generation = cpu_->mmu.generation();
    cpu_->set_cpl(3);
    EXPECT_NE(cpu_->mmu.generation(), generation);
    EXPECT_FALSE(cpu_->load(Seg::ds, kBase, value));
    expect_fault(Vector::pf, 5);
    EXPECT_TRUE(cpu_->load_system(LinearAddr{kBase}, value));
    cpu_->set_cpl(0);
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase, value));
}

// Which of pages 0 … 7 of kBase `find` gives.
template <class Find>
u32 known_pages(u32 base, Find find) {
    u32 known = 0;
    for (u32 n = 0; n < 8; ++n) {
        known |= find(LinearAddr{base + n * kPageSize}) != nullptr ? 1u << n : 0;
    }
    return known;
}

TEST_F(PagedMemory, pages_around_are_filled_in_if_nothing_is_left_to_set) {
    constexpr u32 kAccessed = 0x20, kDirty = 0x40;
    const u32 bits[8] = {kRwUser | kAccessed | kDirty, kRwUser,
                         kRwUser | kAccessed,          1 | kAccessed | kDirty,
                         kAccessed | kDirty,           kRw | kAccessed | kDirty,
                         5 | kAccessed | kDirty,       kRwUser | kAccessed | kDirty | 0x100};
    for (u32 n = 0; n < 8; ++n) {
        map(n, 0x200000 + n * kPageSize, bits[n]);
    }
    map(8, 0x208000, bits[0]);
    const auto readable = [&](LinearAddr at) { return cpu_->mmu.find_readable(at); };
    const auto writable = [&](LinearAddr at) { return cpu_->mmu.find_writable(at); };
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(known_pages(kBase, readable), 0b11101101u);
    EXPECT_EQ(known_pages(kBase, writable), 0b10100001u);
    EXPECT_EQ(readable(LinearAddr{kBase + 8 * kPageSize}), nullptr) << "of the next group";
    EXPECT_EQ(readable(LinearAddr{kBase + 5 * kPageSize + 3}), ram_->base() + 0x205003);
    cpu_->set_cpl(3);
    EXPECT_EQ(known_pages(kBase, readable), 0u);
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(known_pages(kBase, readable), 0b11000101u);
    EXPECT_EQ(known_pages(kBase, writable), 0b10000001u);
    EXPECT_EQ(get(kPt + 4) & kAccessed, 0u);
}

TEST_F(PagedMemory, pages_around_are_writable_where_write_protection_is_off) {
    state_.cr0 &= ~cr0::kWp;
    cpu_->mode_changed();
    map(0, 0x200000, 0x61);
    map(1, 0x201000, 0x61);
    map(2, 0x202000, 0x21);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_NE(cpu_->mmu.find_writable(LinearAddr{kBase + 0x1000}), nullptr);
    EXPECT_EQ(cpu_->mmu.find_writable(LinearAddr{kBase + 0x2000}), nullptr);
    ASSERT_TRUE(write_cr0(*cpu_, state_.cr0 | cr0::kWp));
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_NE(cpu_->mmu.find_readable(LinearAddr{kBase + 0x1000}), nullptr);
    EXPECT_EQ(cpu_->mmu.find_writable(LinearAddr{kBase + 0x1000}), nullptr);
}

TEST_F(PagedMemory, pages_around_are_protected_by_the_directory_too) {
    map(0, 0x200000, kRw | 0x60);
    map(1, 0x201000, kRw | 0x60);
    put(kPd + 256 * 4, kPt | 1);
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_NE(cpu_->mmu.find_readable(LinearAddr{kBase + 0x1000}), nullptr);
    EXPECT_EQ(cpu_->mmu.find_writable(LinearAddr{kBase + 0x1000}), nullptr);
}

TEST_F(PagedMemory, pages_around_go_by_invlpg_and_by_cr3_unless_global) {
    ASSERT_TRUE(write_cr4(*cpu_, cr4::kPge));
    for (u32 n = 0; n < 4; ++n) {
        map(n, 0x200000 + n * kPageSize, kRw | 0x60 | (n == 3 ? 0x100 : 0));
    }
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase, value));
    const auto readable = [&](LinearAddr at) { return cpu_->mmu.find_readable(at); };
    EXPECT_EQ(known_pages(kBase, readable), 0b1111u);
    cpu_->mmu.invlpg(LinearAddr{kBase + 0x2000});
    EXPECT_EQ(known_pages(kBase, readable), 0b1011u);
    ASSERT_TRUE(write_cr3(*cpu_, kPd));
    EXPECT_EQ(known_pages(kBase, readable), 0b1000u);
    cpu_->mmu.flush_all();
    EXPECT_EQ(known_pages(kBase, readable), 0u);
}

TEST_F(PagedMemory, pages_around_code_are_executable_only_without_xd) {
    constexpr u32 kPdpt = 0x110000, kPaePd = 0x111000, kPaePt = 0x112000;
    const auto entry = [&](u32 at, u64 value) { put<u64>(at, value); };
    entry(kPdpt, kPaePd | 1);
    entry(kPaePd, kPaePt | 0x27);
    for (u32 n = 0; n < 512; ++n) {
        entry(kPaePt + n * 8, u64{n} << 12 | 0x67);
    }
    entry(kPaePt + 0x41 * 8, u64{1} << 63 | 0x41067);
    entry(kPaePt + 0x42 * 8, u64{1} << 40 | 0x42067);  // a reserved bit
    state_.cr3 = kPdpt;
    state_.efer = efer::kNxe;
    state_.cr4 |= cr4::kPae;
    ASSERT_TRUE(write_cr0(*cpu_, state_.cr0 & ~cr0::kPg));
    ASSERT_TRUE(write_cr0(*cpu_, state_.cr0 | cr0::kPg));
    const u8* page = nullptr;
    GuestFault fault;
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, 0x40000, value));
    const auto readable = [&](LinearAddr at) { return cpu_->mmu.find_readable(at); };
    EXPECT_EQ(known_pages(0x40000, readable), 0b11111011u);
    ASSERT_EQ(cpu_->mmu.code_page(LinearAddr{0x40000}, page, fault), Mmu::Code::memory);
    EXPECT_EQ(cpu_->mmu.code_page(LinearAddr{0x41000}, page, fault), Mmu::Code::fault);
    EXPECT_EQ(fault.error_code, 0x11);
    EXPECT_EQ(cpu_->mmu.code_page(LinearAddr{0x42000}, page, fault), Mmu::Code::fault);
    EXPECT_EQ(fault.error_code, 0x19);
}

TEST_F(PagedMemory, a_page_with_code_is_forgotten_wherever_it_was_writable) {
    map(0, 0x200000, kRw | 0x60);
    map(9, 0x200000, kRw | 0x60);
    map(17, 0x201000, kRw | 0x60);
    u32 value = 0;
    for (const u32 page : {0u, 9u, 17u}) {
        ASSERT_TRUE(cpu_->load(Seg::ds, kBase + page * kPageSize, value));
    }
    const auto writable = [&](u32 page) {
        return cpu_->mmu.find_writable(LinearAddr{kBase + page * kPageSize}) != nullptr;
    };
    cpu_->mmu.forget_writable(ram_->base() + 0x201000);
    EXPECT_TRUE(writable(0));
    EXPECT_TRUE(writable(9));
    EXPECT_FALSE(writable(17));
    cpu_->mmu.forget_writable(ram_->base() + 0x200000);
    EXPECT_FALSE(writable(0));
    EXPECT_FALSE(writable(9));
    // Again, after it came back under another address.
    ASSERT_TRUE(cpu_->store<u32>(Seg::ds, kBase + 9 * kPageSize, 1));
    EXPECT_TRUE(writable(9));
    cpu_->mmu.forget_writable(ram_->base() + 0x200000);
    EXPECT_FALSE(writable(9));
}

TEST_F(PagedMemory, devices_are_reached_every_time) {
    StubDevice device;
    ASSERT_TRUE(mmio_.add(0xe0000000, 0x1000, 4, device, "stub"));
    map(0, 0xe0000000, kRw);
    device.bytes = {{4, 0x11}, {5, 0x22}, {6, 0x33}, {7, 0x44}};
    u32 value = 0;
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase + 4, value));
    ASSERT_TRUE(cpu_->load(Seg::ds, kBase + 4, value));
    EXPECT_EQ(value, 0x44332211u);
    EXPECT_EQ(device.reads, 2u);
    ASSERT_TRUE(cpu_->store<u16>(Seg::ds, kBase + 8, 0xbeef));
    EXPECT_EQ(device.bytes[9], 0xbe);
    const u8* page = nullptr;
    EXPECT_EQ(cpu_->mmu.code_page(LinearAddr{kBase}, page, fault_), Mmu::Code::device);
    u8 code[3] = {};
    EXPECT_TRUE(cpu_->mmu.fetch(LinearAddr{kBase + 5}, code, 3, fault_));
    EXPECT_EQ(code[2], 0x44);
}

TEST_F(PagedMemory, rom_reads_and_swallows_writes) {
    memory_.set_shadow(PhysAddr{0xf0000}, {.read = true, .write = false});
    map(0, 0xf0000, kRw);
    put<u32>(0xf0000, 0x1234);
    EXPECT_TRUE(cpu_->store<u32>(Seg::ds, kBase, 5));
    u32 value = 0;
    EXPECT_TRUE(cpu_->load_for_store(Seg::ds, kBase, value));
    EXPECT_EQ(value, 0x1234u);
    const u8* page = nullptr;
    EXPECT_EQ(cpu_->mmu.code_page(LinearAddr{kBase + 5}, page, fault_), Mmu::Code::memory);
    EXPECT_EQ(page, ram_->base() + 0xf0000);
}

TEST_F(PagedMemory, ram_under_a_rom_is_written_and_read_later) {
    struct Rom final : Device {
        u32 read(u64 offset, unsigned size) override {
            return 0xa0b0c0d0u + static_cast<u32>(offset) + size;
        }
        void write(u64, unsigned, u32) override { ++writes; }
        int writes = 0;
    } rom;
    ASSERT_TRUE(mmio_.add(0xf0000, 0x10000, 4, rom, "rom"));
    memory_.set_shadow(PhysAddr{0xf0000}, {.read = false, .write = true});
    map(0, 0xf0000, kRw);
    u32 value = 0;
    EXPECT_TRUE(cpu_->store<u32>(Seg::ds, kBase, 0x1234));
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(value, 0xa0b0c0d4u);
    EXPECT_TRUE(cpu_->load_for_store(Seg::ds, kBase, value));
    EXPECT_EQ(value, 0xa0b0c0d4u);
    EXPECT_EQ(rom.writes, 0);
    memory_.set_shadow(PhysAddr{0xf0000}, {.read = true, .write = true});
    cpu_->mmu.flush_all();
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase, value));
    EXPECT_EQ(value, 0x1234u);
    memory_.set_shadow(PhysAddr{0xf0000}, {.read = false, .write = false});
    cpu_->mmu.flush_all();
    EXPECT_TRUE(cpu_->store<u32>(Seg::ds, kBase, 5));
    EXPECT_EQ(rom.writes, 1);
}

TEST_F(PagedMemory, code_page_faults_like_a_fetch) {
    map(0, 0x200000, 0);
    const u8* page = nullptr;
    cpu_->set_cpl(3);
    EXPECT_EQ(cpu_->mmu.code_page(LinearAddr{kBase + 3}, page, fault_), Mmu::Code::fault);
    EXPECT_EQ(fault_.error_code, 4);
    EXPECT_EQ(fault_.cr2, kBase + 3);
}

TEST_F(PagedMemory, linear_addresses_wrap_at_4_gib) {
    put(kPd + 1023 * 4, kPt | kRw);
    map(1023, 0x200000, kRw);
    EXPECT_TRUE(cpu_->store<u32>(Seg::ds, 0xfffffffe, 0xaabbccdd));
    EXPECT_EQ(get<u16>(0x200ffe), 0xccdd);
    EXPECT_EQ(get<u16>(0), 0xaabb);
}

TEST_F(PagedMemory, many_pages_and_flushes_stay_right) {
    for (u32 round = 0; round < 3; ++round) {
        for (u32 i = 0; i < 1024; ++i) {
            map(i, ((i + round) % 1024) << 12 | 0x400000, kRw);
            put<u32>(0x400000 + (i << 12), i);
        }
        ASSERT_TRUE(write_cr3(*cpu_, kPd));
        for (u32 i = 0; i < 1024; ++i) {
            u32 value = 0;
            ASSERT_TRUE(cpu_->load(Seg::ds, kBase + (i << 12), value));
            ASSERT_EQ(value, (i + round) % 1024);
        }
    }
}

TEST_F(PagedMemory, alignment_check_at_level_3_only) {
    map(0, 0x200000, kRwUser);
    state_.cr0 |= cr0::kAm;
    state_.eflags |= eflags::kAc;
    cpu_->mode_changed();
    u32 value = 0;
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase + 1, value));
    cpu_->set_cpl(3);
    EXPECT_FALSE(cpu_->load(Seg::ds, kBase + 1, value));
    expect_fault(Vector::ac, 0);
    EXPECT_FALSE(cpu_->store<u16>(Seg::ds, kBase + 1, 1));
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase + 4, value));
    u8 byte = 0;
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase + 1, byte));
}

TEST_F(PagedMemory, data_breakpoints_are_noted_as_traps) {
    map(0, 0x200000, kRw);
    state_.dr[0] = kBase + 4;
    state_.dr[7] = 0x400 | 1 | 1u << 16 | 3u << 18;  // L0, writes, four bytes
    cpu_->mode_changed();
    u32 value = 0;
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase + 4, value));
    EXPECT_EQ(cpu_->pending_debug(), 0u);
    EXPECT_TRUE(cpu_->store<u16>(Seg::ds, kBase + 2, 1));
    EXPECT_EQ(cpu_->pending_debug(), 0u);
    EXPECT_TRUE(cpu_->store<u16>(Seg::ds, kBase + 3, 1));
    EXPECT_EQ(cpu_->take_pending_debug(), 1u);
    EXPECT_TRUE(cpu_->store<u8>(Seg::ds, kBase + 7, 1));
    EXPECT_EQ(cpu_->take_pending_debug(), 1u);
    EXPECT_TRUE(cpu_->store<u8>(Seg::ds, kBase + 8, 1));
    EXPECT_EQ(cpu_->take_pending_debug(), 0u);
    state_.dr[7] |= 3u << 16;  // reads as well
    cpu_->mode_changed();
    EXPECT_TRUE(cpu_->load(Seg::ds, kBase + 4, value));
    EXPECT_EQ(cpu_->take_pending_debug(), 1u);
}

}  // namespace
}  // namespace ennead::vmcore
