// SPDX-License-Identifier: MIT
// String instructions: repetition, direction, sizes, faults in the middle, overlap, ports.
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::RecordingDevice;
using test::TestMachine;
using namespace eflags;

constexpr u32 kData = TestMachine::kData, kCode = TestMachine::kCode;

void set_up(TestMachine& machine, u32 esi, u32 edi, u32 ecx) {
    machine.state.gpr[kEsi] = esi;
    machine.state.gpr[kEdi] = edi;
    machine.state.gpr[kEcx] = ecx;
}

class string : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(string);

TEST_P(string, rep_movs_copies_over_pages) {
    for (const char* bytes : {"f3 a4 f4", "66 f3 a5 f4", "f3 a5 f4"}) {
        const u32 size = bytes[4] == '4' ? 1 : bytes[0] == '6' ? 2 : 4;
        TestMachine machine(GetParam());
        std::iota(machine.at(kData), machine.at(kData) + 20000, u8{1});
        set_up(machine, kData + 3, kData + 0x8001, 12000 / size);
        EXPECT_TRUE(machine.run(bytes, 300).halted);
        EXPECT_TRUE(std::equal(machine.at(kData + 3), machine.at(kData + 3 + 12000),
                               machine.at(kData + 0x8001)));
        EXPECT_EQ(machine.peek<u8>(kData + 0x8000), 0);
        EXPECT_EQ(machine.peek<u8>(kData + 0x8001 + 12000), 0);
        EXPECT_EQ(machine.state.gpr[kEsi], kData + 3 + 12000);
        EXPECT_EQ(machine.state.gpr[kEdi], kData + 0x8001 + 12000);
        EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    }
}

// Any overlap, in either direction, must give what one element after the other gives.
TEST_P(string, overlapping_moves_keep_the_order_of_elements) {
    std::mt19937 random(5);
    for (unsigned round = 0; round < 200; ++round) {
        const u32 size = 1u << round % 3;
        const u32 count = 1 + static_cast<u32>(random() % 300);
        const u32 from = kData + 0x2000 + static_cast<u32>(random() % 600);
        const u32 to = kData + 0x2000 + static_cast<u32>(random() % 600);
        const bool down = random() % 2 != 0;
        TestMachine machine(GetParam());
        std::vector<u8> expected(0x4000);
        for (u8& byte : expected) {
            byte = static_cast<u8>(random());
        }
        machine.write(kData, expected);
        for (u32 n = 0; n < count; ++n) {
            const u32 step = down ? 0 - n * size : n * size;
            std::vector<u8> element(expected.begin() + (from + step - kData),
                                    expected.begin() + (from + step - kData) + size);
            std::copy(element.begin(), element.end(), expected.begin() + (to + step - kData));
        }
        set_up(machine, from, to, count);
        machine.code(size == 1 ? "f3 a4 f4" : size == 2 ? "66 f3 a5 f4" : "f3 a5 f4");
        machine.state.eflags |= down ? u32{kDf} : 0u;
        EXPECT_TRUE(machine.run(1000).halted);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), machine.at(kData))) << round;
    }
}

TEST_P(string, stos_fills_in_both_directions) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEax] = 0x44332211;
    set_up(machine, 0, kData + 2, 2000);
    EXPECT_TRUE(machine.run("f3 ab f4", 300).halted);
    EXPECT_EQ(machine.peek<u16>(kData), 0);
    EXPECT_EQ(machine.peek<u32>(kData + 2), 0x44332211u);
    EXPECT_EQ(machine.peek<u32>(kData + 2 + 7996), 0x44332211u);
    EXPECT_EQ(machine.peek<u32>(kData + 2 + 8000), 0u);
    machine.state.halted = false;
    machine.state.eflags |= kDf;
    set_up(machine, 0, kData + 0x9000, 0x1801);
    EXPECT_TRUE(machine.run("f3 aa f4", 300).halted);
    EXPECT_EQ(machine.state.gpr[kEdi], kData + 0x9000 - 0x1801);
    EXPECT_EQ(machine.peek<u8>(kData + 0x9000), 0x11);
    EXPECT_EQ(machine.peek<u8>(kData + 0x9000 - 0x1800), 0x11);
    EXPECT_EQ(machine.peek<u8>(kData + 0x9000 - 0x1801), 0);
}

TEST_P(string, a_fault_in_the_middle_leaves_exact_registers) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData + 0x9000, 0);
    set_up(machine, kData, kData + 0x8800, 0x400);
    const u32 eip = kCode;
    EXPECT_TRUE(machine.run("f3 a5 f4", 300).halted);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.state.cr2, kData + 0x9000);
    EXPECT_EQ(machine.state.gpr[kEcx], 0x200u);
    EXPECT_EQ(machine.state.gpr[kEsi], kData + 0x800);
    EXPECT_EQ(machine.state.gpr[kEdi], kData + 0x9000);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp] + 4), eip);
}

TEST(string_element, a_count_of_zero_touches_nothing) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(kData, 0);
    set_up(machine, kData, kData, 0);
    for (const char* bytes : {"f3 a4", "f3 aa", "f3 ac", "f3 a6", "f2 ae", "f3 6c", "f3 6e"}) {
        EXPECT_FALSE(machine.execute(bytes).has_value()) << bytes;
        EXPECT_EQ(machine.state.eip, kCode + 2) << bytes;
    }
}

TEST(string_element, sixteen_bit_addresses_use_si_di_cx_and_wrap) {
    TestMachine machine(Mode::real);
    machine.poke<u8>(kData + 0xffff, 0xaa);
    machine.poke<u8>(kData, 0xbb);
    set_up(machine, 0x1234ffff, 0x56780100, 0x9abc0002);
    ASSERT_FALSE(machine.execute("f3 a4").has_value());
    EXPECT_EQ(machine.peek<u16>(kData + 0x100), 0xbbaa);
    EXPECT_EQ(machine.state.gpr[kEsi], 0x12340001u);
    EXPECT_EQ(machine.state.gpr[kEdi], 0x56780102u);
    EXPECT_EQ(machine.state.gpr[kEcx], 0x9abc0000u);
}

TEST(string_element, an_override_moves_the_source_only) {
    TestMachine machine(Mode::real);
    machine.poke<u8>(0x8100, 0x42);  // SS has base 0
    set_up(machine, 0x8100, 0x10, 0);
    ASSERT_FALSE(machine.execute("36 a4").has_value());
    EXPECT_EQ(machine.peek<u8>(kData + 0x10), 0x42);
}

TEST(string_element, comparisons_stop_where_they_should) {
    TestMachine machine;
    machine.write(kData, "61 62 63 64 65 00");
    machine.write(kData + 0x100, "61 62 63 78 65 00");
    set_up(machine, kData, kData + 0x100, 100);
    ASSERT_FALSE(machine.execute("f3 a6").has_value());
    EXPECT_EQ(machine.state.gpr[kEcx], 96u);
    EXPECT_EQ(machine.state.gpr[kEsi], kData + 4);
    EXPECT_EQ(machine.state.eflags & (kZf | kCf), u32{kCf});  // 'd' - 'x'
    set_up(machine, 0, kData, 100);
    machine.state.gpr[kEax] = 0;
    ASSERT_FALSE(machine.execute("f2 ae").has_value());
    EXPECT_EQ(machine.state.gpr[kEcx], 94u);
    EXPECT_EQ(machine.state.gpr[kEdi], kData + 6);
    EXPECT_EQ(machine.state.eflags & kZf, u32{kZf});
}

TEST_P(string, repetitions_let_requests_in_and_go_on) {
    TestMachine machine(GetParam());
    set_up(machine, kData, kData + 0x10000, 0x8000);
    machine.code("f3 a4 f4");
    machine.state.eflags |= kIf;
    machine.interrupts.vectors = {0x40};
    machine.state.requests = kRequestInterrupt;
    machine.write(TestMachine::kHandlers + 0x40 * 16, "41 49 cf");  // inc ecx; dec ecx; iret
    const ExitReasons reasons = machine.run(3);
    EXPECT_TRUE(reasons.budget);
    EXPECT_EQ(machine.state.eip, kCode);
    EXPECT_TRUE(machine.run(300).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    EXPECT_EQ(machine.state.gpr[kEdi], kData + 0x18000);
}

TEST_P(string, single_steps_stop_after_each_iteration) {
    TestMachine machine(GetParam());
    set_up(machine, kData, kData + 0x1000, 3);
    machine.code("f3 a4 f4");
    machine.state.eflags |= kTf;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 1u);
    EXPECT_EQ(machine.state.gpr[kEcx], 2u);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp]), kCode);
}

TEST(string_element, ports_move_elements_in_order) {
    TestMachine machine;
    RecordingDevice device;
    ASSERT_TRUE(machine.ports.add(0x300, 1, 1, device, "recorder"));
    machine.write(kData, "0a 0b 0c");
    machine.state.gpr[kEdx] = 0x300;
    set_up(machine, kData, kData + 0x100, 3);
    ASSERT_FALSE(machine.execute("f3 6e").has_value());
    ASSERT_EQ(device.writes.size(), 3u);
    EXPECT_EQ(device.writes[2].value, 0x0cu);
    set_up(machine, 0, kData + 0x100, 3);
    ASSERT_FALSE(machine.execute("f3 6c").has_value());
    EXPECT_EQ(machine.peek<u32>(kData + 0x100), 0x00434241u);
    EXPECT_EQ(machine.state.gpr[kEdi], kData + 0x103);
}

TEST(string_element, ins_that_would_fault_does_not_read_the_port) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(kData, 0);
    RecordingDevice device;
    ASSERT_TRUE(machine.ports.add(0x300, 1, 1, device, "recorder"));
    machine.state.gpr[kEdx] = 0x300;
    set_up(machine, 0, kData, 1);
    const auto fault = machine.execute("f3 6c");
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::pf);
    EXPECT_EQ(device.next_read, 0x41u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
}

TEST_P(string, rep_stos_into_device_memory_reaches_the_device) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    machine.state.gpr[kEax] = 0x55;
    set_up(machine, 0, 0xf0000010, 3);
    EXPECT_TRUE(machine.run("f3 ab f4", 300).halted);
    ASSERT_EQ(device.writes.size(), 3u);
    EXPECT_EQ(device.writes[2], (RecordingDevice::Write{0x18, 4, 0x55}));
}

}  // namespace
}  // namespace ennead::vmcore
