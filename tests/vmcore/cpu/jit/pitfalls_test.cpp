// SPDX-License-Identifier: MIT
// What has gone wrong in translators of x86 before, item by item: the numbers are those of
// "Pitfalls to turn into tests" in the notes on the JIT's design, as far as they concern flat
// 32-bit code and are not told by a test of their own elsewhere. Elsewhere are:
//     8  the rest: interp/stack_test, branch_test, memory_operand_test; IOPB: system/port_test
//     9  the rest: system/segment_load_test, far_branch_test, task_switch_test, v86_test
//    10  reserved bits, A and D, PAE: mmu/page_walk_test
// Not here: 13 (there are no windows), 16 (the cache's size is no question of right or wrong), of 2
// and 3 what they cost, of 7 SMI and of 8 A20 (there is neither), of 15 decoding at faults (there
// are none).
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::RecordingDevice;
using test::TestMachine;
using namespace eflags;

constexpr u32 kCode = TestMachine::kCode, kData = TestMachine::kData, kTop = TestMachine::kStackTop,
              kHandlers = TestMachine::kHandlers;
// Well above what is left to the interpreter at a budget's end.
constexpr u64 kBudget = 1000;

class pitfalls : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(pitfalls);

void again(TestMachine& machine, u32 eip) {
    machine.state.halted = false;
    machine.state.eip = eip;
}

// --- 1: code across the end of a page

TEST_P(pitfalls, item_1_a_write_to_the_tail_of_a_straddling_instruction) {
    TestMachine machine(GetParam());
    machine.write(kCode + 0xffd, "b8 11 22 33 44 f4");  // mov eax,imm; hlt
    machine.state.eip = kCode + 0xffd;
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x44332211u);
    // By the guest, in the second page.
    EXPECT_TRUE(machine.run("c6 05 00 10 01 00 99 f4", kBudget).halted || machine.state.halted);
    again(machine, kCode);
    EXPECT_TRUE(machine.run(kBudget).halted);
    again(machine, kCode + 0xffd);
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x44992211u);
}

TEST_P(pitfalls, item_1_the_second_page_of_a_straddling_instruction_is_mapped_anew) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.write(kCode + 0xffd, "b8 11 22 33 44 f4");
    machine.write(kCode + 0x5000, "77 88 f4");
    machine.state.eip = kCode + 0xffd;
    EXPECT_TRUE(machine.run(kBudget).halted);
    machine.page(kCode + 0x1000, (kCode + 0x5000) | 7);
    again(machine, kCode + 0xffd);
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x88772211u);
}

// --- 2: code that writes its own page

TEST_P(pitfalls, item_2_a_writer_in_the_page_it_writes_gets_on) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 100;
    // again: inc dword [kCode+0x800]; loop again; hlt
    EXPECT_TRUE(machine.run("ff 05 00 08 01 00 e2 f8 f4", kBudget).halted);
    EXPECT_EQ(machine.peek<u32>(kCode + 0x800), 100u);
    EXPECT_EQ(machine.state.instructions, 201u);
}

TEST_P(pitfalls, item_2_an_instruction_patches_the_next_one_each_time) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 20;
    // again: mov [next+1],ecx; next: mov eax,0; add edx,eax; loop again; hlt
    EXPECT_TRUE(machine.run("89 0d 07 00 01 00 b8 00 00 00 00 01 c2 e2 f1 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEdx], 210u);
}

// --- 3: code written by way of another linear address

TEST_P(pitfalls, item_3_text_poke_by_an_alias_with_int3_first) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData, kCode | 7);
    machine.write(kHandlers + 3 * 16, "42 cf");  // #BP: inc edx; iret
    machine.write(kCode + 0x100, "40 90 90 90 90 c3");
    // call f; mov byte [alias of f],int3; call f; mov dword [alias of f+1],nops; mov byte
    // [alias],inc ebx; call f; hlt
    EXPECT_TRUE(machine
                    .run("e8 fb 00 00 00 c6 05 00 01 03 00 cc e8 ef 00 00 00 "
                         "c7 05 01 01 03 00 43 43 43 43 c6 05 00 01 03 00 43 e8 d9 00 00 00 f4",
                         kBudget)
                    .halted);
    EXPECT_EQ(machine.halted_in_handler(), std::nullopt);
    EXPECT_EQ(machine.state.gpr[kEax], 1u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
    EXPECT_EQ(machine.state.gpr[kEbx], 5u);
}

// --- 4: devices write code

TEST_P(pitfalls, item_4_code_that_a_device_has_written_is_run) {
    TestMachine machine(GetParam());
    machine.code("41 eb fd");
    EXPECT_TRUE(machine.run(kBudget).budget);
    machine.write(kCode, "42");
    again(machine, kCode);
    EXPECT_TRUE(machine.run(kBudget).budget);
    EXPECT_EQ(machine.state.gpr[kEcx], kBudget / 2);
    EXPECT_EQ(machine.state.gpr[kEdx], kBudget / 2);
}

// --- 5: flags

TEST_P(pitfalls, item_5_inc_keeps_carry_and_a_shift_by_nothing_keeps_all) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 32;
    // stc; inc eax; setc dl; cmp eax,eax; shl eax,cl; setz dh; stc; rcl bl,cl; setc bh
    EXPECT_TRUE(
        machine.run("f9 40 0f 92 c2 39 c0 d3 e0 0f 94 c6 f9 d2 d3 0f 92 c7 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEdx], 0x0101u);
    EXPECT_EQ(machine.state.gpr[kEbx], 0x0100u);
}

TEST_P(pitfalls, item_5_rotates_leave_the_other_flags_alone) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEbx] = 0x80000001;
    // cmp eax,eax (ZF, PF); rol ebx,1; pushf; pop eax
    EXPECT_TRUE(machine.run("39 c0 d1 c3 9c 58 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax] & (kZf | kPf | kSf | kCf), u32{kZf | kPf | kCf});
}

TEST_P(pitfalls, item_5_rcl_of_a_byte_counts_modulo_nine_after_masking) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEax] = 0xa5;
    machine.state.gpr[kEcx] = 0x29;  // 9 after masking: all the way round
    EXPECT_TRUE(machine.run("f9 d2 d0 0f 92 c2 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0xa5u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
}

TEST_P(pitfalls, item_5_flags_outlive_accesses_that_take_the_slow_way) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    // sub eax,1 (CF); mov [dev],eax; mov ebx,[kData+0xffe] across pages; push eax; adc edx,0
    EXPECT_TRUE(
        machine.run("83 e8 01 a3 00 00 00 f0 8b 1d fe 0f 03 00 50 83 d2 00 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
    EXPECT_EQ(device.writes.size(), 1u);
}

TEST_P(pitfalls, item_5_rcr_of_a_word_counts_modulo_seventeen_after_masking) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEax] = 0x1234a5a5;
    machine.state.gpr[kEcx] = 0x31;  // 17 after masking: all the way round
    EXPECT_TRUE(machine.run("f9 66 d3 d8 0f 92 c2 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x1234a5a5u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
}

// --- 6: x87

TEST_P(pitfalls, item_6_fnstenv_tells_where_the_last_instruction_was) {
    TestMachine machine(GetParam());
    // fldz; nop; fnstenv [esp-28]; pop eax (of esp-16): the way packed code finds itself
    EXPECT_TRUE(machine.run("d9 ee 90 d9 74 24 e4 8b 44 24 f0 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], kCode);
}

TEST_P(pitfalls, item_6_precision_control_holds_for_every_operation) {
    TestMachine machine(GetParam());
    machine.poke<u16>(kData, 0x007f);  // 24 bits
    // fldcw; fld1; fld1; fadd; fldpi; fdivp; fstp qword: pi/2… rounded to single
    EXPECT_TRUE(
        machine.run("d9 2d 00 00 03 00 d9 e8 d8 c0 d9 eb de f1 dd 1d 08 00 03 00 f4", kBudget)
            .halted);
    EXPECT_EQ(machine.peek<u64>(kData + 8) & 0x1fffffff, 0u);
}

TEST_P(pitfalls, item_6_fxsave_has_a_bit_for_a_full_register_and_fnsave_two_for_a_kind) {
    TestMachine machine(GetParam());
    machine.state.cr4 |= cr4::kOsfxsr;
    machine.engine.flush();
    // fninit; fld1; fldz; fxsave [kData]; fnsave [kData+0x200]
    EXPECT_TRUE(
        machine.run("db e3 d9 e8 d9 ee 0f ae 05 00 00 03 00 dd 35 00 02 03 00 f4", kBudget).halted);
    EXPECT_EQ(machine.peek<u8>(kData + 4), 0xc0);         // R7 and R6
    EXPECT_EQ(machine.peek<u16>(kData + 0x208), 0x1fff);  // R7 valid, R6 zero, others empty
    EXPECT_EQ(machine.peek<u16>(kData + 2) & 0x3800, 6 << 11);
}

TEST_P(pitfalls, item_6_an_mmx_instruction_makes_all_registers_valid_and_top_zero) {
    TestMachine machine(GetParam());
    // fninit; fld1; movd mm3,eax; fnsave [kData]
    machine.state.gpr[kEax] = 0x12345678;
    EXPECT_TRUE(machine.run("db e3 d9 e8 0f 6e d8 dd 35 00 00 03 00 f4", kBudget).halted);
    EXPECT_EQ(machine.peek<u16>(kData + 4) & 0x3800, 0);
    EXPECT_EQ(machine.peek<u64>(kData + 28 + 3 * 10), 0x12345678u);
    EXPECT_EQ(machine.peek<u16>(kData + 28 + 3 * 10 + 8), 0xffff);
    EXPECT_EQ(machine.peek<u16>(kData + 8) >> 6 & 3, 2);   // R3: special
    EXPECT_EQ(machine.peek<u16>(kData + 8) >> 14 & 3, 0);  // R7, what FLD1 left: valid
}

// --- 7: looking up

TEST_P(pitfalls, item_7_a_loop_of_indirect_jumps_obeys_the_budget) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEax] = kCode;
    machine.code("41 ff e0");  // inc ecx; jmp eax
    EXPECT_TRUE(machine.run(2001).budget);
    EXPECT_EQ(machine.state.instructions, 2001u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1001u);
}

TEST_P(pitfalls, item_7_halt_with_interrupts_off_stays_halted_until_an_nmi) {
    TestMachine machine(GetParam());
    machine.write(kHandlers + 2 * 16, "42 cf");
    EXPECT_TRUE(machine.run("fa f4 41 f4", kBudget).halted);
    machine.interrupts.vectors = {0x40};
    machine.state.request(kRequestInterrupt);
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    machine.state.request(kRequestNmi);
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
}

TEST_P(pitfalls, item_7_the_nmi_comes_before_the_interrupt) {
    TestMachine machine(GetParam());
    machine.write(kHandlers + 2 * 16, "bb 02 00 00 00 f4");
    machine.interrupts.vectors = {0x40};
    machine.state.eflags |= kIf;
    machine.state.request(kRequestNmi | kRequestInterrupt);
    machine.code("90 f4");
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEbx], 2u);
}

TEST_P(pitfalls, item_7_a_masked_interrupt_comes_right_after_popf_or_sti_lets_it) {
    for (const char* bytes : {"9c 80 4c 24 01 02 9d 41 41 f4", "90 90 fb 41 41 f4"}) {
        TestMachine machine(GetParam());
        machine.interrupts.vectors = {0x40};
        machine.code("41 eb fd");
        EXPECT_TRUE(machine.run(kBudget).budget);
        machine.state.request(kRequestInterrupt);
        EXPECT_TRUE(machine.run(kBudget).budget);  // masked all the while
        machine.state.gpr[kEcx] = 0;
        EXPECT_TRUE(machine.run(bytes, kBudget).halted);
        EXPECT_EQ(machine.halted_in_handler(), 0x40u);
        EXPECT_EQ(machine.state.gpr[kEcx], bytes[0] == '9' && bytes[1] == 'c' ? 0u : 1u) << bytes;
    }
}

TEST_P(pitfalls, item_7_a_load_of_ss_holds_interrupts_off_for_one_instruction) {
    TestMachine machine(GetParam());
    machine.interrupts.vectors = {0x40};
    EXPECT_TRUE(machine.run("8c d0 40 48 41 eb fd", kBudget).budget);
    machine.state.request(kRequestInterrupt);
    machine.state.gpr[kEcx] = 0;
    machine.state.gpr[kEax] = TestMachine::kData32;
    // sti; mov ss,eax (in STI's shadow, makes one of its own); inc ecx; inc ecx
    EXPECT_TRUE(machine.run("fb 8e d0 41 41 f4", kBudget).halted);
    EXPECT_EQ(machine.halted_in_handler(), 0x40u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
}

// --- 8: addresses

TEST_P(pitfalls, item_8_offsets_wrap_at_four_gigabytes_and_at_64_kilobytes) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEbx] = 0xfffffff0;
    machine.poke<u32>(0x7010, 0x1111);
    machine.poke<u32>(0x7020, 0x2222);
    machine.state.gpr[kEsi] = 0xffff7000;
    // mov eax,[ebx+0x7020]; mov ecx,[si+0x20] (67)
    EXPECT_TRUE(machine.run("8b 83 20 70 00 00 67 8b 4c 20 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x1111u);
    EXPECT_EQ(machine.state.gpr[kEcx], 0x2222u);
}

TEST_P(pitfalls, item_8_a_word_at_the_end_of_the_address_space) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    machine.state.gpr[kEbx] = 0xfffffffe;
    machine.poke<u16>(0, 0xbeef);
    EXPECT_TRUE(machine.run("8b 03 f4", kBudget).halted);  // two bytes of nothing, two of RAM
    EXPECT_EQ(machine.state.gpr[kEax], 0xbeefffffu);
}

TEST_P(pitfalls, item_8_a_16_bit_stack_under_32_bit_code_wraps_and_keeps_the_upper_half_of_esp) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEax] = TestMachine::kData16;
    machine.state.gpr[kEcx] = 0x11223344;
    machine.state.gpr[kEbx] = 0xabcd0002;
    // mov ss,eax; mov esp,ebx; push ecx (at fffe, of which two bytes are at 0… of the segment's 64
    // KiB)
    EXPECT_TRUE(machine.run("8e d0 89 dc 51 5a 51 f4", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEsp], 0xabcdfffeu);
    EXPECT_EQ(machine.state.gpr[kEdx], 0x11223344u);
    EXPECT_EQ(machine.peek<u32>(0xfffe), 0x11223344u);  // its limit is 1 MiB: no wrap inside
}

TEST_P(pitfalls, item_8_eip_wraps_in_16_bit_code) {
    TestMachine machine(Mode::real, GetParam());
    machine.write(kCode + 0xfffe, "eb 00");  // jmp to the next byte: 10000h, which is 0
    machine.code("41 83 f9 03 74 03 e9 f5 ff f4");
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 3u);
    EXPECT_EQ(machine.state.eip, 0xau);
}

// --- 9: segments

TEST_P(pitfalls, item_9_a_null_selector_in_gs_faults_only_when_used) {
    TestMachine machine(GetParam());
    // xor eax,eax; mov gs,eax; inc ecx; mov eax,gs:[0]
    EXPECT_TRUE(machine.run("31 c0 8e e8 41 65 a1 00 00 00 00 f4", kBudget).halted);
    EXPECT_EQ(machine.halted_in_handler(), 13u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
}

TEST_P(pitfalls, item_9_a_block_that_loads_ds_goes_on_with_the_new_one) {
    TestMachine machine(GetParam());
    machine.poke<u64>(TestMachine::kGdt + 4 * 8, 0x004093030000000f);  // base kData, 16 bytes
    // mov eax,0x20; mov ds,eax; mov dword [8],0x77; mov dword [0x10],1
    EXPECT_TRUE(machine
                    .run("b8 20 00 00 00 8e d8 c7 05 08 00 00 00 77 00 00 00 "
                         "c7 05 10 00 00 00 01 00 00 00 f4",
                         kBudget)
                    .halted);
    EXPECT_EQ(machine.peek<u32>(kData + 8), 0x77u);
    EXPECT_EQ(machine.halted_in_handler(), 13u);
}

TEST_P(pitfalls, item_9_loading_a_selector_marks_its_descriptor_accessed) {
    TestMachine machine(GetParam());
    machine.poke<u64>(TestMachine::kGdt + 4 * 8, 0x00cf92000000ffff);
    EXPECT_TRUE(machine.run("b8 20 00 00 00 8e e8 f4", kBudget).halted);
    EXPECT_EQ(machine.peek<u8>(TestMachine::kGdt + 4 * 8 + 5), 0x93);
}

TEST_P(pitfalls, item_9_sysexit_and_sysenter_set_privilege_and_flat_segments) {
    TestMachine machine(GetParam());
    // CS 8 and SS 10 of the table for CPL 0; 18 and 20 are taken for CPL 3, whatever they say.
    machine.state.sysenter_cs = TestMachine::kCode32;
    machine.state.sysenter_esp = kTop - 0x100;
    machine.state.sysenter_eip = kCode + 0x200;
    machine.state.gpr[kEdx] = kCode + 0x100;
    machine.state.gpr[kEcx] = kTop;
    machine.write(kCode + 0x100,
                  "8c c8 89 c3 51 0f 34");           // mov eax,cs; mov ebx,eax; push ecx; sysenter
    machine.write(kCode + 0x200, "8c ce 8c d7 f4");  // mov esi,cs; mov edi,ss; hlt
    EXPECT_TRUE(machine.run("0f 35", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEbx], 0x1bu);
    EXPECT_EQ(machine.state.gpr[kEsi], 0x08u);
    EXPECT_EQ(machine.state.gpr[kEdi], 0x10u);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop - 0x100);
    EXPECT_EQ(machine.state.cpl, 0);
    EXPECT_EQ(machine.peek<u32>(kTop - 4), kTop);
}

// --- 10: paging

TEST_P(pitfalls, item_10_write_protect_holds_for_the_supervisor_once_set) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData, kData | 5);
    // inc [kData]; mov eax,cr0; or eax,WP; mov cr0,eax; inc [kData]
    EXPECT_TRUE(machine
                    .run("ff 05 00 00 03 00 0f 20 c0 0d 00 00 01 00 0f 22 c0 "
                         "ff 05 00 00 03 00 f4",
                         kBudget)
                    .halted);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.peek<u32>(kData), 1u);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp]), 3u);  // present, write
}

TEST_P(pitfalls, item_10_invlpg_inside_of_a_large_page_drops_all_of_it) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.poke<u32>(TestMachine::kDirectory + 4, 0x87u);  // 4 MiB … 8 MiB: RAM once more
    machine.state.cr4 |= cr4::kPse;
    machine.engine.flush();
    machine.poke<u32>(kData, 0x1234);
    // mov eax,[4M+kData]; and byte [PDE],~1; invlpg [4M+0x5000]; mov ebx,[4M+kData]
    EXPECT_TRUE(machine
                    .run("a1 00 00 43 00 80 25 04 00 10 00 fe 0f 01 3d 00 50 40 00 "
                         "8b 1d 00 00 43 00 f4",
                         kBudget)
                    .halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x1234u);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.state.cr2, 0x400000 + kData);
}

TEST_P(pitfalls, item_10_a_walk_through_tables_that_are_not_there) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.poke<u32>(TestMachine::kDirectory + 8, 0xa0000007u);  // a table where nothing is
    machine.engine.flush();
    EXPECT_TRUE(machine.run("a1 00 00 80 00 f4", kBudget).halted);  // what it reads is all ones
    SUCCEED();
}

TEST_P(pitfalls, item_10_a_change_of_pse_flushes_all) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    // A directory entry that is a table without PSE, and a page of 4 MiB at 0 with it.
    machine.poke<u32>(TestMachine::kDirectory + 4, TestMachine::kPageTable | 0x80 | 7);
    machine.engine.flush();
    machine.poke<u32>(kData, 0x1234);
    // mov eax,[4M+kData]; mov edx,cr4; or dl,PSE; mov cr4,edx; mov ebx,[4M+kData]
    EXPECT_TRUE(
        machine.run("a1 00 00 43 00 0f 20 e2 80 ca 10 0f 22 e2 8b 1d 00 00 43 00 f4", kBudget)
            .halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x1234u);
    EXPECT_EQ(machine.halted_in_handler(), 14u);  // kPageTable's low bits are reserved ones there
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp]), 9u);  // present, reserved
}

// --- 11: debugging

TEST_P(pitfalls, item_11_a_breakpoint_armed_in_the_middle_of_a_block_counts_at_once) {
    TestMachine machine(GetParam());
    // mov eax,kData; mov dr0,eax; mov eax,0xd0401; mov dr7,eax; mov [kData],eax; inc ecx
    EXPECT_TRUE(
        machine.run("b8 00 00 03 00 0f 23 c0 b8 01 04 0d 00 0f 23 f8 a3 00 00 03 00 41 f4", kBudget)
            .halted);
    EXPECT_EQ(machine.halted_in_handler(), 1u);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
}

TEST_P(pitfalls, item_11_a_repetition_is_stepped_by_iterations) {
    TestMachine machine(GetParam());
    machine.write(kHandlers + 16, "42 cf");  // #DB: inc edx; iret
    machine.state.gpr[kEcx] = 5;
    machine.state.gpr[kEdi] = kData;
    machine.state.eflags |= kTf;
    machine.code("f3 aa 9c 81 24 24 ff fe ff ff 9d 90 f4");  // rep stosb; clear TF
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEdx], 5u + 3u);
}

TEST_P(pitfalls, item_11_int3_and_into_push_the_next_instruction_and_ud2_its_own) {
    struct {
        const char* bytes;
        unsigned vector;
        u32 pushed;
    } constexpr kCases[] = {{"90 cc f4", 3, kCode + 2},           // traps
                            {"04 7f 04 7f ce f4", 4, kCode + 5},  // add al,7f twice; into
                            {"90 f1 f4", 1, kCode + 2},
                            {"90 0f 0b f4", 6, kCode + 1},  // faults
                            {"62 05 00 00 03 00 f4", 5, kCode}};
    for (const auto& each : kCases) {
        TestMachine machine(GetParam());
        machine.poke<u64>(kData, 0x0000000800000007);  // the bounds that EAX is outside of
        EXPECT_TRUE(machine.run(each.bytes, kBudget).halted);
        EXPECT_EQ(machine.halted_in_handler(), each.vector) << each.bytes;
        EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp]), each.pushed) << each.bytes;
    }
}

TEST_P(pitfalls, item_11_rf_lets_the_instruction_at_a_breakpoint_pass_once) {
    TestMachine machine(GetParam());
    // #DB: inc edx; or byte [esp+10],RF>>16; iret
    machine.write(kHandlers + 16, "42 80 4c 24 0a 01 cf");
    machine.state.dr[0] = kCode + 1;
    machine.state.dr[7] |= 1;
    machine.engine.flush();
    machine.state.gpr[kEcx] = 3;
    EXPECT_TRUE(
        machine.run("40 40 e2 fc f4", kBudget).halted);  // inc eax; again: inc eax; loop inc eax
    EXPECT_EQ(machine.state.gpr[kEdx], 3u);
    EXPECT_EQ(machine.state.gpr[kEax], 6u);
}

// --- 12: locked read-modify-write of devices

TEST_P(pitfalls, item_12_a_device_sees_one_read_and_one_write) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    machine.state.gpr[kEbx] = 0xf0000000;
    machine.state.gpr[kEcx] = 0x99;
    // lock xadd [ebx],ecx; lock cmpxchg [ebx+4],ecx (not equal: writes what was there)
    EXPECT_TRUE(machine.run("f0 0f c1 0b f0 0f b1 4b 04 f4", kBudget).halted);
    ASSERT_EQ(device.writes.size(), 2u);
    EXPECT_EQ(device.writes[0], (RecordingDevice::Write{0, 4, 0x41 + 0x99}));
    EXPECT_EQ(device.writes[1], (RecordingDevice::Write{4, 4, 0x42}));
    EXPECT_EQ(device.next_read, 0x43u);
    EXPECT_EQ(machine.state.gpr[kEax], 0x42u);
}

TEST_P(pitfalls, item_12_lock_where_there_is_nothing_to_lock) {
    TestMachine machine(GetParam());
    EXPECT_TRUE(machine.run("f0 01 c0 f4", kBudget).halted);  // lock add eax,eax
    EXPECT_EQ(machine.halted_in_handler(), 6u);
}

TEST_P(pitfalls, item_12_cmpxchg8b_of_a_register_is_undefined_with_lock_and_without) {
    for (const char* bytes : {"f0 0f c7 c8 f4", "0f c7 c8 f4"}) {
        TestMachine machine(GetParam());
        EXPECT_TRUE(machine.run(bytes, kBudget).halted);
        EXPECT_EQ(machine.halted_in_handler(), 6u) << bytes;
    }
}

TEST_P(pitfalls, item_12_exchange_with_a_device_reads_once_and_writes_once) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    machine.state.gpr[kEax] = 0x77;
    EXPECT_TRUE(machine.run("87 05 08 00 00 f0 f4", kBudget).halted);
    ASSERT_EQ(device.writes.size(), 1u);
    EXPECT_EQ(device.writes[0], (RecordingDevice::Write{8, 4, 0x77}));
    EXPECT_EQ(machine.state.gpr[kEax], 0x41u);
}

// --- 14: the return stack

TEST_P(pitfalls, item_14_longjmp_leaves_frames_behind) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 50;
    machine.state.gpr[kEbx] = kTop;
    // again: mov esp,ebx; call f; hlt … f: call g … g: call h … h: dec ecx; jnz again; mov esp,ebx;
    // hlt
    machine.code("89 dc e8 f9 00 00 00 f4");
    machine.write(kCode + 0x100, "e8 fb 00 00 00 f4");
    machine.write(kCode + 0x200, "e8 fb 00 00 00 f4");
    machine.write(kCode + 0x300, "49 0f 85 f9 fc ff ff 83 c4 0c f4");
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.eip, kCode + 0x30b);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
}

TEST_P(pitfalls, item_14_two_stacks_that_are_switched_between_calls) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEbx] = kData + 0x800;  // the other stack, ready to return to B
    machine.poke<u32>(kData + 0x800, kCode + 0x100);
    machine.state.gpr[kEcx] = 30;
    // A: call switch; loop A; hlt    B: inc edx; call switch; jmp B    switch: xchg esp,ebx; ret
    machine.code("e8 fb 01 00 00 e2 f9 f4");
    machine.write(kCode + 0x100, "42 e8 fa 00 00 00 eb f8");
    machine.write(kCode + 0x200, "87 dc c3");
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEdx], 30u);
    EXPECT_EQ(machine.state.eip, kCode + 8);
}

TEST_P(pitfalls, item_14_push_and_return_is_a_jump_and_call_next_reads_eip) {
    TestMachine machine(GetParam());
    // call next; next: pop eax; push kCode+0x100; ret
    machine.write(kCode + 0x100, "41 f4");
    EXPECT_TRUE(machine.run("e8 00 00 00 00 58 68 00 01 01 00 c3", kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEax], kCode + 5);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
}

TEST_P(pitfalls, item_14_code_that_is_returned_to_has_changed_meanwhile) {
    TestMachine machine(GetParam());
    // call f; inc ecx (which f makes inc edx); hlt
    machine.code("e8 fb 00 00 00 41 f4");
    machine.write(kCode + 0x100, "c6 05 05 00 01 00 42 c3");
    EXPECT_TRUE(machine.run(kBudget).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
}

TEST_P(pitfalls, item_14_all_is_forgotten_while_callers_wait) {
    TestMachine machine(GetParam());
    // call f; inc ecx; hlt    f: call g; inc edx; ret    g: inc ebx; dec eax; jnz g; ret
    machine.state.gpr[kEax] = 1000;
    machine.code("e8 fb 00 00 00 41 f4");
    machine.write(kCode + 0x100, "e8 fb 00 00 00 42 c3");
    machine.write(kCode + 0x200, "43 48 75 fc c3");
    EXPECT_TRUE(machine.run(1500).budget);
    machine.engine.flush();
    EXPECT_TRUE(machine.run(300).budget);
    machine.write(kCode + 0x105, "46");  // inc esi instead of inc edx, where g returns to
    EXPECT_TRUE(machine.run(10000).halted);
    EXPECT_EQ(machine.state.gpr[kEbx], 1000u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.gpr[kEdx], 0u);
    EXPECT_EQ(machine.state.gpr[kEsi], 1u);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop);
}

// --- 15: code and data share pages

TEST_P(pitfalls, item_15_data_beside_code_is_written_without_end) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEcx] = 60;
    machine.state.gpr[kEdi] = kCode + 0x40;
    // again: mov [edi],ecx; fist? push ecx; pop [edi+4]; mov byte [edi+9],1; inc word [edi+0xa];
    // loop
    EXPECT_TRUE(machine.run("89 0f 51 8f 47 04 c6 47 09 01 66 ff 47 0a e2 f0 f4", kBudget).halted);
    EXPECT_EQ(machine.peek<u32>(kCode + 0x40), 1u);
    EXPECT_EQ(machine.peek<u32>(kCode + 0x44), 1u);
    EXPECT_EQ(machine.peek<u16>(kCode + 0x4a), 60u);
}

}  // namespace
}  // namespace ennead::vmcore
