// SPDX-License-Identifier: MIT
// Page walks of every kind: rights, error codes, accessed and dirty bits, reserved bits.
#include "tests/vmcore/cpu/system/system_machine.h"
#include "vmcore/cpu/interp/control_registers.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

constexpr u32 kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100;
constexpr u32 kPd = 0x100000, kPt = 0x101000, kPdpt = 0x102000, kPage = 0x200000;
constexpr u64 kXd = u64{1} << 63;
constexpr u32 kLinear = 0x40001000;  // PDE 256, PTE 1; in PAE: PDPTE 1, PDE 0, PTE 1

class PageWalk : public SystemMachine {
  protected:
    PageWalk() { protected_mode(); }

    void two_level(u32 pde_bits, u32 pte_bits) {
        put(kPd + 256 * 4, kPt | pde_bits);
        put(kPt + 4, kPage | pte_bits);
        state_.cr3 = kPd;
        paging(0);
    }
    void pae(u64 pde, u64 pte, bool nxe = false) {
        put<u64>(kPdpt + 8, kPd | kP);
        put<u64>(kPd, pde);
        put<u64>(kPt + 8, pte);
        state_.cr3 = kPdpt;
        state_.efer = nxe ? efer::kNxe : 0;
        ASSERT_TRUE(read_pdptes(memory_, state_.cr3, state_.pdpte));
        paging(cr4::kPae);
    }
    void paging(u32 cr4_bits) {
        state_.cr4 = cr4_bits;
        state_.cr0 |= cr0::kPg;
        cpu_->mode_changed();
        cpu_->mmu.flush_all();
    }
    bool access(Access access, bool user) {
        fault_ = {};
        return cpu_->mmu.probe(LinearAddr{kLinear + 0x34}, 4, access, user, fault_);
    }
    void expect_pf(Access kind, bool user, u16 error) {
        EXPECT_FALSE(access(kind, user));
        EXPECT_EQ(fault_.vector, Vector::pf);
        EXPECT_TRUE(fault_.has_error_code);
        EXPECT_EQ(fault_.error_code, error);
        EXPECT_EQ(fault_.cr2, kLinear + 0x34);
    }

    GuestFault fault_;
};

TEST_F(PageWalk, not_present_directory_or_table) {
    two_level(0, kP | kW | kU);
    expect_pf(Access::read, false, 0);
    expect_pf(Access::write, false, 2);
    expect_pf(Access::read, true, 4);
    expect_pf(Access::write, true, 6);
    expect_pf(Access::fetch, true, 4);  // no I/D flag without NX
    two_level(kP | kW | kU, 0);
    expect_pf(Access::write, true, 6);
    EXPECT_EQ(get(kPd + 256 * 4), kPt | kP | kW | kU) << "no accessed bit for a walk that failed";
}

TEST_F(PageWalk, sets_accessed_on_read_and_dirty_only_on_write) {
    two_level(kP | kW | kU, kP | kW | kU);
    EXPECT_TRUE(access(Access::read, true));
    EXPECT_EQ(get(kPd + 256 * 4), kPt | kP | kW | kU | kA);
    EXPECT_EQ(get(kPt + 4), kPage | kP | kW | kU | kA);
    EXPECT_TRUE(access(Access::write, true));
    EXPECT_EQ(get(kPt + 4), kPage | kP | kW | kU | kA | kD);
    EXPECT_EQ(get(kPd + 256 * 4) & kD, 0u);
}

TEST_F(PageWalk, user_needs_the_user_bit_on_both_levels) {
    two_level(kP | kW, kP | kW | kU);
    expect_pf(Access::read, true, 5);
    EXPECT_TRUE(access(Access::read, false));
    two_level(kP | kW | kU, kP | kW);
    expect_pf(Access::write, true, 7);
}

TEST_F(PageWalk, user_writes_need_the_write_bit_on_both_levels) {
    two_level(kP | kU, kP | kW | kU);
    expect_pf(Access::write, true, 7);
    two_level(kP | kW | kU, kP | kU);
    expect_pf(Access::write, true, 7);
    EXPECT_TRUE(access(Access::read, true));
}

TEST_F(PageWalk, supervisor_writes_heed_the_write_bit_with_wp_only) {
    two_level(kP | kU, kP | kU);
    EXPECT_TRUE(access(Access::write, false));
    EXPECT_NE(get(kPt + 4) & kD, 0u);
    state_.cr0 |= cr0::kWp;
    cpu_->mode_changed();
    expect_pf(Access::write, false, 3);
}

TEST_F(PageWalk, four_megabyte_page_with_pse) {
    put(kPd + 256 * 4, 0x00800000 | kP | kW | kU | kPs);
    state_.cr3 = kPd;
    paging(cr4::kPse);
    put<u32>(0x00801034, 0x12345678);
    u32 value = 0;
    EXPECT_TRUE(cpu_->mmu.read(LinearAddr{kLinear + 0x34}, &value, 4, true, fault_));
    EXPECT_EQ(value, 0x12345678u);
    EXPECT_EQ(get(kPd + 256 * 4), 0x00800000 | kP | kW | kU | kPs | kA);
    EXPECT_TRUE(access(Access::write, true));
    EXPECT_NE(get(kPd + 256 * 4) & kD, 0u);
}

TEST_F(PageWalk, four_megabyte_page_with_reserved_bits) {
    put(kPd + 256 * 4, 0x00800000 | 1u << 13 | kP | kW | kU | kPs);
    state_.cr3 = kPd;
    paging(cr4::kPse);
    expect_pf(Access::read, true, 0xd);
    expect_pf(Access::write, false, 0xb);
    put(kPd + 256 * 4, 0x00800000 | 1u << 12 | kP | kW | kU | kPs);  // PAT
    EXPECT_TRUE(access(Access::read, true));
}

TEST_F(PageWalk, ps_bit_means_nothing_without_pse) {
    two_level(kP | kW | kU | kPs, kP | kW | kU);
    EXPECT_TRUE(access(Access::write, true));
    EXPECT_EQ(raw(*cpu_->mmu.peek(LinearAddr{kLinear})), kPage);
}

TEST_F(PageWalk, pae_small_and_large_pages) {
    pae(kPt | kP | kW | kU, kPage | kP | kW | kU);
    EXPECT_TRUE(access(Access::write, true));
    EXPECT_EQ(get<u64>(kPd), kPt | kP | kW | kU | kA);
    EXPECT_EQ(get<u64>(kPt + 8), kPage | kP | kW | kU | kA | kD);
    pae(0x00a00000 | kP | kW | kU | kPs, 0);
    EXPECT_TRUE(access(Access::write, true));
    EXPECT_EQ(raw(*cpu_->mmu.peek(LinearAddr{kLinear + 5})), 0x00a01005u);
    EXPECT_EQ(get<u64>(kPd), 0x00a00000 | kP | kW | kU | kPs | kA | kD);
}

TEST_F(PageWalk, pae_absent_pdpte) {
    pae(kPt | kP | kW | kU, kPage | kP | kW | kU);
    state_.pdpte[1] = 0;
    expect_pf(Access::write, true, 6);
}

TEST_F(PageWalk, pae_reserved_bits) {
    pae(kPt | kP | kW | kU | u64{1} << 36, kPage | kP | kW | kU);
    expect_pf(Access::read, true, 0xd);
    pae(kPt | kP | kW | kU, kPage | kP | kW | kU | u64{1} << 62);
    expect_pf(Access::read, false, 9);
    pae(0x00a00000 | kP | kW | kU | kPs | 1u << 13, 0);
    expect_pf(Access::write, true, 0xf);
    pae(kPt | kP | kW | kU, kPage | kP | kW | kU | kXd);  // XD while NXE is off
    expect_pf(Access::read, true, 0xd);
}

TEST_F(PageWalk, execute_disable_on_either_level) {
    pae(kPt | kP | kW | kU | kXd, kPage | kP | kW | kU, true);
    EXPECT_TRUE(access(Access::read, true));
    EXPECT_TRUE(access(Access::write, true));
    expect_pf(Access::fetch, true, 0x15);
    expect_pf(Access::fetch, false, 0x11);
    pae(kPt | kP | kW | kU, kPage | kP | kW | kU | kXd, true);
    expect_pf(Access::fetch, true, 0x15);
    pae(kPt | kP | kW | kU, 0, true);
    expect_pf(Access::fetch, true, 0x14);
}

TEST_F(PageWalk, tables_outside_of_memory_read_ones) {
    state_.cr3 = 0x80000000;
    paging(0);
    // PDE and PTE of all ones: present, everything allowed, page 0xfffff000.
    EXPECT_TRUE(access(Access::write, true));
    u32 value = 0;
    EXPECT_TRUE(cpu_->mmu.read(LinearAddr{kLinear}, &value, 4, true, fault_));
    EXPECT_EQ(value, 0xffffffffu);
    paging(cr4::kPse);
    expect_pf(Access::read, false, 9);  // a large page with reserved bits
}

TEST_F(PageWalk, pdptes_with_reserved_bits_are_refused) {
    std::array<u64, 4> out{};
    put<u64>(kPdpt, kPd | kP);
    EXPECT_TRUE(read_pdptes(memory_, kPdpt, out));
    for (const u64 bad : {u64{2}, u64{4}, u64{0x20}, u64{0x100}, u64{1} << 36, kXd}) {
        put<u64>(kPdpt, kPd | kP | bad);
        EXPECT_FALSE(read_pdptes(memory_, kPdpt, out)) << bad;
        put<u64>(kPdpt, kPd | bad);  // not present: not looked at
        EXPECT_TRUE(read_pdptes(memory_, kPdpt, out)) << bad;
    }
}

TEST_F(PageWalk, peek_changes_nothing) {
    two_level(kP, kP);
    EXPECT_EQ(raw(cpu_->mmu.peek(LinearAddr{kLinear + 7}).value()), kPage + 7);
    EXPECT_EQ(get(kPt + 4), kPage | kP);
    EXPECT_FALSE(cpu_->mmu.peek(LinearAddr{kLinear + 0x1000}).has_value());
}

TEST_F(PageWalk, global_bit_counts_with_pge_only) {
    two_level(kP | kW, kP | kW | kG);
    EXPECT_TRUE(access(Access::read, false));
    ASSERT_NE(cpu_->mmu.find_readable(LinearAddr{kLinear}), nullptr);
    ASSERT_TRUE(write_cr3(*cpu_, kPd));
    EXPECT_EQ(cpu_->mmu.find_readable(LinearAddr{kLinear}), nullptr);
    paging(cr4::kPge);
    EXPECT_TRUE(access(Access::read, false));
    ASSERT_TRUE(write_cr3(*cpu_, kPd));
    EXPECT_NE(cpu_->mmu.find_readable(LinearAddr{kLinear}), nullptr);
    ASSERT_TRUE(write_cr4(*cpu_, 0));
    EXPECT_EQ(cpu_->mmu.find_readable(LinearAddr{kLinear}), nullptr);
}

}  // namespace
}  // namespace ennead::vmcore
