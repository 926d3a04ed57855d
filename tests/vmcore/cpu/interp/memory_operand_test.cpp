// SPDX-License-Identifier: MIT
// Memory operands: read-modify-write forms, addressing, bit strings, exchanges, and faults that
// change nothing.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::TestMachine;
using namespace eflags;

constexpr u32 kData = TestMachine::kData;

TEST(memory_operand, arithmetic_on_memory_of_every_width) {
    TestMachine machine;
    machine.poke<u64>(kData, 0xffffffffffffffff);
    machine.state.gpr[kEbx] = kData;
    machine.state.gpr[kEcx] = 1;
    ASSERT_FALSE(machine.execute("00 0b").has_value());  // add [ebx],cl
    EXPECT_EQ(machine.peek<u64>(kData), 0xffffffffffffff00);
    EXPECT_EQ(machine.state.eflags & (kCf | kZf | kAf), u32{kCf | kZf | kAf});
    ASSERT_FALSE(machine.execute("66 ff 43 02").has_value());  // inc word [ebx+2]
    EXPECT_EQ(machine.peek<u64>(kData), 0xffffffff0000ff00);
    ASSERT_FALSE(machine.execute("83 6b 04 fe").has_value());  // sub dword [ebx+4],-2
    EXPECT_EQ(machine.peek<u64>(kData), 0x000000010000ff00);
    ASSERT_FALSE(machine.execute("f7 1b").has_value());  // neg dword [ebx]
    EXPECT_EQ(machine.peek<u32>(kData), 0xffff0100);
    ASSERT_FALSE(machine.execute("c0 63 01 04").has_value());  // shl byte [ebx+1],4
    EXPECT_EQ(machine.peek<u32>(kData), 0xffff1000);
}

TEST(memory_operand, sixteen_bit_addresses_wrap) {
    TestMachine machine(Mode::real);
    machine.poke<u8>(kData + 1, 0x5a);
    machine.state.gpr[kEbx] = 0xdead8000;
    machine.state.gpr[kEsi] = 0xbeef8000;
    ASSERT_FALSE(machine.execute("8a 40 01").has_value());  // mov al,[bx+si+1]
    EXPECT_EQ(machine.state.gpr[kEax] & 0xff, 0x5au);
    ASSERT_FALSE(machine.execute("8d 40 ff").has_value());  // lea ax,[bx+si-1]
    EXPECT_EQ(machine.state.gpr[kEax] & 0xffff, 0xffffu);
}

TEST(memory_operand, a_word_at_the_end_of_a_segment_is_a_fault) {
    TestMachine machine(Mode::real);
    machine.state.gpr[kEbx] = 0xffff;
    machine.state.gpr[kEax] = 0x1234;
    auto fault = machine.execute("8b 07");  // mov ax,[bx]
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::gp);
    machine.state.gpr[kEbp] = 0xffff;
    fault = machine.execute("8b 46 00");  // mov ax,[bp]
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::ss);
    EXPECT_EQ(machine.state.gpr[kEax], 0x1234u);
}

TEST(memory_operand, bit_offsets_reach_beyond_the_operand_both_ways) {
    TestMachine machine;
    machine.state.gpr[kEbx] = kData + 64;
    machine.state.gpr[kEcx] = 100;
    ASSERT_FALSE(machine.execute("0f ab 0b").has_value());  // bts [ebx],ecx
    EXPECT_EQ(machine.peek<u32>(kData + 64 + 12), 1u << 4);
    EXPECT_EQ(machine.state.eflags & kCf, 0u);
    machine.state.gpr[kEcx] = static_cast<u32>(-33);
    ASSERT_FALSE(machine.execute("0f bb 0b").has_value());  // btc [ebx],ecx
    EXPECT_EQ(machine.peek<u32>(kData + 64 - 8), 1u << 31);
    ASSERT_FALSE(machine.execute("0f b3 0b").has_value());  // btr [ebx],ecx
    EXPECT_EQ(machine.peek<u32>(kData + 64 - 8), 0u);
    EXPECT_EQ(machine.state.eflags & kCf, u32{kCf});
    // Words: the offset is that of the 16-bit register.
    machine.state.gpr[kEcx] = 0x0001ffff;
    ASSERT_FALSE(machine.execute("66 0f ab 0b").has_value());
    EXPECT_EQ(machine.peek<u16>(kData + 64 - 2), 1u << 15);
    // The immediate is taken modulo the operand.
    ASSERT_FALSE(machine.execute("0f ba 2b 21").has_value());  // bts dword [ebx],0x21
    EXPECT_EQ(machine.peek<u32>(kData + 64), 2u);
}

TEST(memory_operand, cmpxchg_writes_even_when_it_fails) {
    TestMachine machine;
    machine.enable_paging();
    machine.state.cr0 |= cr0::kWp;
    machine.page(kData, kData | 5);  // read-only
    machine.poke<u32>(kData, 7);
    machine.state.gpr[kEbx] = kData;
    machine.state.gpr[kEax] = 1;
    auto fault = machine.execute("f0 0f b1 0b");
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::pf);
    EXPECT_EQ(fault->error_code & 2, 2);
    EXPECT_EQ(machine.state.gpr[kEax], 1u);
    fault = machine.execute("0f c7 0b");
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::pf);
}

TEST(memory_operand, cmpxchg8b_exchanges_eight_bytes_and_touches_only_zf) {
    TestMachine machine;
    auto& gpr = machine.state.gpr;
    machine.poke<u64>(kData, 0x1111111122222222);
    gpr[kEsi] = kData;
    gpr[kEdx] = 0x11111111;
    gpr[kEax] = 0x22222222;
    gpr[kEcx] = 0x33333333;
    gpr[kEbx] = 0x44444444;
    machine.state.eflags = kFixed | kCf | kSf;
    ASSERT_FALSE(machine.execute("f0 0f c7 0e").has_value());
    EXPECT_EQ(machine.peek<u64>(kData), 0x3333333344444444u);
    EXPECT_EQ(machine.state.eflags, kFixed | kCf | kSf | kZf);
    ASSERT_FALSE(machine.execute("f0 0f c7 0e").has_value());
    EXPECT_EQ(gpr[kEdx], 0x33333333u);
    EXPECT_EQ(gpr[kEax], 0x44444444u);
    EXPECT_EQ(machine.state.eflags, kFixed | kCf | kSf);
}

TEST(memory_operand, a_crossing_store_to_a_missing_page_writes_nothing) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(kData + 0x1000, 0);
    machine.poke<u32>(kData + 0xffc, 0x01020304);
    machine.state.gpr[kEbx] = kData + 0xffe;
    machine.state.gpr[kEax] = 0xaabbccdd;
    const u32 flags = machine.state.eflags;
    for (const char* bytes : {"89 03", "01 03", "87 03", "0f c1 03", "d1 23", "0f ab 03"}) {
        const u32 eax =
            std::string_view(bytes) == "0f ab 03" ? 0 : 0xaabbccdd;  // a bit's number there
        machine.state.gpr[kEax] = eax;
        const auto fault = machine.execute(bytes);
        ASSERT_TRUE(fault.has_value()) << bytes;
        EXPECT_EQ(fault->vector, Vector::pf);
        EXPECT_EQ(fault->cr2, kData + 0x1000);
        EXPECT_EQ(machine.peek<u32>(kData + 0xffc), 0x01020304u) << bytes;
        EXPECT_EQ(machine.state.gpr[kEax], eax) << bytes;
        EXPECT_EQ(machine.state.eflags, flags) << bytes;
    }
}

TEST(memory_operand, cmov_reads_even_when_its_condition_does_not_hold) {
    TestMachine machine;
    machine.enable_paging();
    machine.page(kData, 0);
    machine.state.gpr[kEbx] = kData;
    const auto fault = machine.execute("0f 44 03");  // cmove eax,[ebx]; ZF is clear
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::pf);
    EXPECT_EQ(fault->error_code & 2, 0);
}

TEST(memory_operand, xlat_uses_ebx_and_al) {
    TestMachine machine;
    machine.poke<u8>(kData + 0x1fe, 0x77);
    machine.state.gpr[kEbx] = kData + 0x100;
    machine.state.gpr[kEax] = 0x123456fe;
    ASSERT_FALSE(machine.execute("d7").has_value());
    EXPECT_EQ(machine.state.gpr[kEax], 0x12345677u);
}

TEST(memory_operand, undefined_double_shifts_act_as_on_the_p6_family) {
    TestMachine machine;
    machine.state.gpr[kEax] = 0x8001;
    machine.state.gpr[kEbx] = 0x1234;
    ASSERT_FALSE(machine.execute("66 0f a4 d8 14").has_value());  // shld ax,bx,20
    EXPECT_EQ(machine.state.gpr[kEax], 0x2348u);
    machine.state.gpr[kEax] = 0x8001;
    ASSERT_FALSE(machine.execute("66 0f ac d8 14").has_value());  // shrd ax,bx,20
    EXPECT_EQ(machine.state.gpr[kEax], 0x1123u);
}

}  // namespace
}  // namespace ennead::vmcore
