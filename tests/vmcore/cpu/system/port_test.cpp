// SPDX-License-Identifier: MIT
// Port instructions: widths, the permission bitmap, breakpoints on ports.
#include "tests/vmcore/cpu/system/system_machine.h"

namespace ennead::vmcore {
namespace {

using namespace system_test;

using namespace layout;

class PortAccess : public SystemMachine {
  protected:
    // Ports 0 … 0x3ff: allowed but for those whose bits are set by the test.
    void bitmap(u16 map = 0x68) {
        put<u16>(kTss + 0x66, map);
        state_.tr.limit = map + 0x80u;
        put<u8>(kTss + map + 0x80, 0xff);
    }
};

TEST_F(PortAccess, widths) {
    StubDevice device;
    ASSERT_TRUE(ports_.add(0x60, 8, 4, device, "stub"));
    device.bytes = {{0, 0x11}, {1, 0x22}, {2, 0x33}, {3, 0x44}};
    protected_mode(0);
    cpu_->set_r32(kEax, 0xffffffff);
    cpu_->set_r32(kEdx, 0xabcd0060);
    ASSERT_TRUE(exec({0xe4, 0x61}));
    EXPECT_EQ(cpu_->r32(kEax), 0xffffff22u);
    ASSERT_TRUE(exec({0x66, 0xed}));
    EXPECT_EQ(cpu_->r32(kEax), 0xffff2211u);
    ASSERT_TRUE(exec({0xed}));
    EXPECT_EQ(cpu_->r32(kEax), 0x44332211u);
    cpu_->set_r32(kEax, 0x99887766);
    ASSERT_TRUE(exec({0x66, 0xe7, 0x64}));
    EXPECT_EQ(device.bytes[5], 0x77);
    EXPECT_EQ(device.bytes.count(6), 0u);
    ASSERT_TRUE(exec({0xee}));
    EXPECT_EQ(device.bytes[0], 0x66);
    ASSERT_TRUE(exec({0xe5, 0x99}));
    EXPECT_EQ(cpu_->r32(kEax), 0xffffffffu) << "nothing is there";
}

TEST_F(PortAccess, iopl_and_bitmap) {
    protected_mode(3);
    EXPECT_FALSE(exec({0xe4, 0x10})) << "the bitmap lies beyond the TSS";
    expect_fault(Vector::gp, 0);
    bitmap();
    EXPECT_TRUE(exec({0xe4, 0x10}));
    put<u8>(kTss + 0x68 + 2, 0x08);  // port 0x13
    EXPECT_TRUE(exec({0x66, 0xe5, 0x11}));
    EXPECT_FALSE(exec({0xe5, 0x10}));
    EXPECT_FALSE(exec({0xe4, 0x13}));
    EXPECT_TRUE(exec({0xe4, 0x14}));
    state_.eflags |= eflags::kIopl;
    EXPECT_TRUE(exec({0xe4, 0x13}));
}

TEST_F(PortAccess, bitmap_is_read_two_bytes_at_a_time) {
    protected_mode(3);
    bitmap();
    put<u8>(kTss + 0x68 + 1, 0x01);  // port 8
    EXPECT_TRUE(cpu_->check_port(Port{7}, 1));
    EXPECT_FALSE(cpu_->check_port(Port{7}, 2));
    EXPECT_FALSE(cpu_->check_port(Port{5}, 4));
    EXPECT_TRUE(cpu_->check_port(Port{0x3ff}, 1));
    EXPECT_FALSE(cpu_->check_port(Port{0x3ff}, 2)) << "the byte of ones at the end";
    EXPECT_FALSE(cpu_->check_port(Port{0x400}, 1));
    state_.tr.limit -= 1;
    EXPECT_FALSE(cpu_->check_port(Port{0x3ff}, 1)) << "without that byte";
}

TEST_F(PortAccess, v86_always_asks_the_bitmap) {
    v86_mode(3);
    EXPECT_FALSE(exec({0xe4, 0x10}));
    bitmap();
    EXPECT_TRUE(exec({0xe4, 0x10}));
}

TEST_F(PortAccess, sixteen_bit_tss_allows_nothing) {
    protected_mode(3);
    bitmap();
    state_.tr.attr = 0x83;
    EXPECT_FALSE(exec({0xe4, 0x10}));
    expect_fault(Vector::gp, 0);
}

TEST_F(PortAccess, breakpoints_on_ports_need_de) {
    protected_mode(0);
    state_.dr[1] = 0x60;
    state_.dr[7] = 0x400 | 1u << 2 | 2u << 20;
    cpu_->mode_changed();
    ASSERT_TRUE(exec({0xe4, 0x60}));
    EXPECT_EQ(cpu_->take_pending_debug(), 0u);
    state_.cr4 |= cr4::kDe;
    cpu_->mode_changed();
    ASSERT_TRUE(exec({0xe4, 0x60}));
    EXPECT_EQ(cpu_->take_pending_debug(), 2u);
    ASSERT_TRUE(exec({0xe6, 0x61}));
    EXPECT_EQ(cpu_->take_pending_debug(), 0u);
}

}  // namespace
}  // namespace ennead::vmcore
