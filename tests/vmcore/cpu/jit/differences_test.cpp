// SPDX-License-Identifier: MIT
// Programs that the engines once did not agree on, each as small as it could be made.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::RecordingDevice;
using test::TestMachine;
using namespace eflags;

constexpr u32 kCode = TestMachine::kCode, kData = TestMachine::kData, kTop = TestMachine::kStackTop;
// Well above what is left to the interpreter at a budget's end.
constexpr u64 kBudget = 1000;

class differences : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(differences);

TEST_P(differences, the_alias_of_opcode_80_that_64_bit_mode_lacks) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 5;
    EXPECT_TRUE(machine.run("82 c1 07 82 05 00 00 03 00 09 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 12u);
    EXPECT_EQ(machine.peek<u8>(kData), 9);
}

TEST_P(differences, cmpxchg_of_ah_in_memory_compares_with_al) {
    TestMachine machine(GetParam());
    machine.poke<u8>(kData, 0x11);
    machine.state.gpr[kEax] = 0x2211;
    EXPECT_TRUE(machine.run("0f b0 25 00 00 03 00 f4", kBudget).halted);  // cmpxchg [kData],ah
    EXPECT_EQ(machine.peek<u8>(kData), 0x22);
    EXPECT_EQ(machine.state.gpr[kEax], 0x2211u);
    EXPECT_EQ(machine.state.eflags & kZf, u32{kZf});
}

TEST_P(differences, a_page_of_jumps_forward_obeys_the_budget) {
    TestMachine machine(GetParam());
    machine.code(std::vector<u8>(4000, 0x40));  // inc eax
    EXPECT_TRUE(machine.run(300).budget);
    EXPECT_EQ(machine.state.instructions, 300u);
    EXPECT_EQ(machine.state.gpr[kEax], 300u);
}

TEST_P(differences, returns_out_of_a_deep_recursion_obey_the_budget) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 200;
    machine.state.gpr[kEsp] = kData + 0x8000;
    // f: dec ecx; jz over; call f; over: ret
    machine.write(kCode + 0x100, "49 74 05 e8 f8 ff ff ff c3");
    machine.code("e8 fb 00 00 00 f4");
    EXPECT_TRUE(machine.run(3 * 200 + 150).budget);
    EXPECT_EQ(machine.state.instructions, 750u);
}

TEST_P(differences, what_a_call_pushes_may_change_code) {
    TestMachine machine(GetParam());
    // The stack is in the page of the code.
    machine.state.gpr[kEsp] = kCode + 0x104;
    machine.write(kCode + 0x100, "40 40 40 40 f4");
    machine.write(kCode + 0x200, "41 c3");
    machine.state.eip = kCode + 0x100;
    EXPECT_TRUE(machine.run(kBudget).halted);  // so that it is translated
    machine.state.halted = false;
    machine.state.gpr[kEsp] = kCode + 0x104;
    EXPECT_TRUE(machine.run("e8 fb 01 00 00 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.eip, kCode + 6);
    EXPECT_EQ(machine.peek<u32>(kCode + 0x100), kCode + 5);
}

// The last way out of a block may be a call at its very end; the next block begins where it
// returns.
TEST_P(differences, faults_of_many_blocks_are_found_by_their_sites) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData + 0x1000, 0);
    // The handler goes on behind the instruction, which is as long as EDX says.
    machine.write(TestMachine::kHandlers + 14 * 16, "83 c4 04 01 14 24 cf");
    u32 at = kCode;
    for (unsigned n = 0; n < 64; ++n) {
        // n times inc eax; adc [kData+0x1000],eax; jmp next
        const std::vector<u8> some(n, 0x40);
        machine.write(at, some);
        machine.write(at + n, "11 05 00 10 03 00 eb 00");
        at += n + 8;
    }
    machine.write(at, "f4");
    machine.state.gpr[kEdx] = 6;
    machine.state.eip = kCode;
    EXPECT_TRUE(machine.run(3900).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 63u * 64 / 2);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
}

TEST_P(differences, a_divide_error_after_a_look_at_the_operand_shows_the_flags_of_before) {
    TestMachine machine(GetParam());
    machine.poke<u32>(kData, 0x80000000);
    machine.write(TestMachine::kHandlers, "f4");
    machine.state.gpr[kEdx] = 0xf52fa86b;
    // again: idiv dword [kData]; add bh,ah; jmp again. The fifth quotient does not fit.
    EXPECT_TRUE(machine.run("f7 3d 00 00 03 00 00 e7 eb f6", kBudget).halted);
    EXPECT_EQ(machine.state.instructions, 13u);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp] + 8) & kArith, u32{kCf});
}

TEST_P(differences, an_operand_by_way_of_fs_is_not_in_the_frame) {
    TestMachine machine(GetParam());
    machine.state.segment(Seg::gs).base = kData - kTop;
    machine.engine.flush();
    machine.poke<u32>(kData + 4, 0x1234);
    machine.poke<u32>(kTop + 4, 0x4321);
    // push eax; pop eax; push eax; pop eax; mov ecx,gs:[esp+4]; hlt
    EXPECT_TRUE(machine.run("50 58 50 58 65 8b 4c 24 04 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 0x1234u);
}

TEST_P(differences, xadd_moves_esp_away_from_its_frame) {
    TestMachine machine(GetParam());
    machine.poke<u32>(kTop - 0x74, kData);
    // push; xadd [esp-0x70],esp; push; push; hlt: the stack then is at the sum
    machine.state.gpr[kEsp] = kTop;
    EXPECT_TRUE(machine.run("6a 01 0f c1 64 24 90 6a 08 6a 09 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEsp], kData - 8);
    EXPECT_EQ(machine.peek<u32>(kData - 8), 9u);
}

TEST_P(differences, a_control_word_from_a_device_is_read_once) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    device.next_read = 0x1300;  // exceptions unmasked: for the interpreter
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    EXPECT_TRUE(machine.run("d9 2d 00 00 00 f0 f4", kBudget).halted);  // fldcw [dev]
    EXPECT_EQ(machine.state.x87.control & 0x1f00, 0x1300);
    EXPECT_EQ(device.next_read, 0x1301u);
}

TEST_P(differences, an_x87_store_into_code_is_noted_like_others) {
    TestMachine machine(GetParam());
    // fninit; fst dword [kCode+0x20] (in the code's own granule); hlt
    EXPECT_TRUE(machine.run("db e3 d9 15 20 00 01 00 f4", kBudget).halted);
    EXPECT_EQ(machine.state.x87.instruction_offset, kCode + 2);
    EXPECT_EQ(machine.state.x87.operand_offset, kCode + 0x20);
}

TEST_P(differences, flags_at_a_fault_of_an_instruction_across_pages_are_exact) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData + 0x1000, 0);
    // cmp ecx,ecx; or byte [kData+0x1000],1 across the page's end
    machine.write(kCode + 0xffb, "39 c9 80 0d 00 10 03 00 01 f4");
    machine.state.eip = kCode + 0xffb;
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp] + 12) & kArith, u32{kZf | kPf});
}

TEST_P(differences, a_shift_by_nothing_writes_to_a_device_all_the_same) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    EXPECT_TRUE(machine.run("d3 25 00 00 00 f0 f4", kBudget).halted);  // shl dword [dev],cl
    ASSERT_EQ(device.writes.size(), 1u);
}

TEST_P(differences, a_division_that_fails_asks_a_device_once) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    device.next_read = 0;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    EXPECT_TRUE(machine.run("f7 3d 00 00 00 f0 f4", kBudget).halted);  // idiv dword [dev]
    EXPECT_EQ(machine.halted_in_handler(), 0u);
    EXPECT_EQ(device.next_read, 1u);
}

TEST_P(differences, a_return_finds_what_is_mapped_at_its_callers_page_by_now) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    constexpr u32 kCaller = kCode + 0x1000, kOther = kCode + 0x2000;
    machine.write(kCaller, "e8 fb ef ff ff 41 f4");  // call kCode; inc ecx; hlt
    machine.write(kOther, "90 90 90 90 90 42 f4");   // the same place: inc edx; hlt
    // mov dword [entry of kCaller],kOther|7; mov eax,cr3; mov cr3,eax; ret
    machine.code("c7 05 44 10 10 00 07 20 01 00 0f 20 d8 0f 22 d8 c3");
    static_assert(TestMachine::kPageTable + kCaller / 4096 * 4 == 0x101044 && kOther == 0x12000);
    machine.state.eip = kCaller;
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
}

// How often a run is cut must not show.
TEST_P(differences, a_trap_at_a_budgets_end_costs_what_it_costs_elsewhere) {
    TestMachine machine(GetParam());
    machine.write(TestMachine::kHandlers + 16, "40 cf");  // #DB: inc eax; iret
    machine.code("90 90 90 90 90 90 eb f8");
    machine.state.eflags |= kTf;
    EXPECT_TRUE(machine.run(1).budget);
    EXPECT_EQ(machine.state.instructions, 1u);
    EXPECT_EQ(machine.state.eip, kCode + 1);
    EXPECT_TRUE(machine.run(2).budget);
    EXPECT_EQ(machine.state.instructions, 2u);
    EXPECT_EQ(machine.state.gpr[kEax], 1u);
}

// 256 bytes do not fit into a byte.
TEST_P(differences, a_row_of_accesses_over_256_bytes_sees_the_page_end_inside) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    constexpr u32 kSecond = kData + 0x1000, kElsewhere = kData + 0x5000;
    machine.page(kSecond, kElsewhere | 7);
    machine.poke<u32>(kData + 0xffc - 0xec, 0x11111111);
    machine.poke<u32>(kElsewhere + 0xc, 0x22222222);
    machine.poke<u32>(kSecond + 0xc, 0x33333333);
    machine.state.gpr[kEbx] = kData + 0xffc;
    // mov eax,[ebx-0xec]; mov ecx,[ebx+0x10]; hlt
    EXPECT_TRUE(machine.run("8b 83 14 ff ff ff 8b 4b 10 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x11111111u);
    EXPECT_EQ(machine.state.gpr[kEcx], 0x22222222u);
}

TEST_P(differences, bts_far_from_its_operand_does_not_dirty_the_operands_page) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.state.gpr[kEbx] = kData;
    machine.state.gpr[kEcx] = 0x3000 * 8;
    // mov eax,[ebx]; bts [ebx],ecx; hlt
    EXPECT_TRUE(machine.run("8b 03 0f ab 0b f4", kBudget).halted);
    EXPECT_EQ(machine.peek<u8>(kData + 0x3000), 1);
    constexpr u32 kDirty = 1u << 6;
    const auto entry = [&](u32 linear) {
        return machine.peek<u32>(TestMachine::kPageTable + linear / 4096 * 4);
    };
    EXPECT_EQ(entry(kData) & kDirty, 0u);
    EXPECT_EQ(entry(kData + 0x3000) & kDirty, kDirty);
}

// What is only read shares a look at the tables with what is read.
TEST_P(differences, lgdt_does_not_dirty_the_page_of_its_operand) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.state.gpr[kEsi] = kData;
    machine.poke<u32>(kData + 0x12, TestMachine::kGdt);
    machine.poke<u16>(kData + 0x10, 5 * 8 - 1);
    EXPECT_TRUE(
        machine.run("8b 06 0f 01 56 10 f4", kBudget).halted);  // mov eax,[esi]; lgdt [esi+16]
    EXPECT_EQ(machine.peek<u32>(TestMachine::kPageTable + kData / 4096 * 4) & 0x60, 0x20u);
}

TEST_P(differences, a_store_after_an_x87_instruction_that_faults_dirties_nothing) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.state.gpr[kEsi] = kData;
    machine.state.cr0 |= cr0::kTs;
    // mov eax,[esi]; fld st0; mov [esi+4],eax
    EXPECT_TRUE(machine.run("8b 06 d9 c0 89 46 04 f4", kBudget).halted);
    EXPECT_EQ(machine.halted_in_handler(), 7u);
    EXPECT_EQ(machine.peek<u32>(TestMachine::kPageTable + kData / 4096 * 4) & 0x60, 0x20u);
}

TEST_P(differences, a_frame_behind_a_fault_is_not_used) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData + 0x1000, 0);
    machine.state.gpr[kEbp] = kData + 0x100;
    // mov ecx,[kData+0x1000]; mov [ebp-4],eax; mov [ebp-8],eax
    EXPECT_TRUE(machine.run("8b 0d 00 10 03 00 89 45 fc 89 45 f8 f4", kBudget).halted);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.peek<u32>(TestMachine::kPageTable + kData / 4096 * 4) & 0x60, 0u);
}

// Two linear pages at one frame, and an instruction from one into the other.
TEST_P(differences, an_instruction_from_a_frame_into_itself) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kCode + 0x1000, kCode | 7);
    // again: mov eax,imm32 (two bytes of it in the second page); inc byte [kCode+0xffe], which is
    // its first byte; inc byte [kCode+0x20], beside the code; dec ecx; jnz again; hlt
    machine.write(kCode + 0xffd, "b8 11 22");
    machine.write(kCode, "33 44 fe 05 fe 0f 01 00 fe 05 20 00 01 00 49 75 ec f4");
    machine.state.eip = kCode + 0xffd;
    machine.state.gpr[kEcx] = 3;
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x44332213u);
    EXPECT_EQ(machine.peek<u8>(kCode + 0x20), 3);
}

TEST_P(differences, faults_that_follow_on_each_other_obey_the_budget) {
    TestMachine machine(GetParam());
    machine.write(TestMachine::kHandlers + 6 * 16, "0f 0b");  // #UD: ud2
    EXPECT_TRUE(machine.run("90 0f 0b", 501).budget);
    EXPECT_EQ(machine.state.instructions, 1u);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop - 500 * 12);
}

}  // namespace
}  // namespace ennead::vmcore
