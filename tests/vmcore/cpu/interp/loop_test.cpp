// SPDX-License-Identifier: MIT
// What the interpreter does between instructions: fetch, self-modifying code, requests, traps,
// shadows, exits.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::RecordingDevice;
using test::TestMachine;
using namespace eflags;

constexpr u32 kData = TestMachine::kData, kCode = TestMachine::kCode;
constexpr u32 kHandlers = TestMachine::kHandlers;

class fetch : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(fetch);
class self_modifying : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(self_modifying);
class requests : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(requests);
class debug_traps : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(debug_traps);
class shutdown : public test::EngineTest {};
ENNEAD_ON_BOTH_ENGINES(shutdown);

// --- fetch
// -----------------------------------------------------------------------------------------------------

TEST_P(fetch, an_instruction_that_ends_with_its_page_needs_no_other) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kCode + 0x1000, 0);
    machine.write(kCode + 0xffa, "b8 01 00 00 00 f4");
    machine.state.eip = kCode + 0xffa;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.halted_in_handler(), std::nullopt);
    EXPECT_EQ(machine.state.gpr[kEax], 1u);
}

TEST_P(fetch, one_that_crosses_into_a_missing_page_faults_at_its_start) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kCode + 0x1000, 0);
    machine.write(kCode + 0xffc, "b8 01 00 00 00");
    machine.state.eip = kCode + 0xffc;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 14u);
    EXPECT_EQ(machine.state.cr2, kCode + 0x1000);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp] + 4), kCode + 0xffc);
}

// The pages of a straddling instruction need not be neighbours in physical memory.
TEST_P(fetch, a_straddling_instruction_reads_both_pages_and_sees_changes_of_the_second) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kCode + 0x1000, (kCode + 0x5000) | 7);
    machine.write(kCode + 0xffe, "b8 11");
    machine.write(kCode + 0x5000, "22 33 44 f4");
    machine.write(kCode + 0x1000, "99 99 99 f4");
    machine.state.eip = kCode + 0xffe;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x44332211u);
    machine.poke<u8>(kCode + 0x5002, 0x55);
    machine.state.halted = false;
    machine.state.eip = kCode + 0xffe;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x55332211u);
}

TEST_P(fetch, beyond_the_code_segment_is_a_general_protection_fault) {
    TestMachine machine(Mode::real, GetParam());
    machine.write(kCode + 0xfffe, "b8 01");  // the immediate's high byte is beyond
    machine.state.eip = 0xfffe;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 13u);
    EXPECT_EQ(machine.peek<u16>(machine.state.gpr[kEsp]), 0xfffe);
}

TEST_P(fetch, more_than_fifteen_bytes_are_a_general_protection_fault) {
    TestMachine machine(GetParam());
    EXPECT_TRUE(machine.run("66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", 200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 13u);
}

TEST_P(fetch, the_last_bytes_of_ram_can_be_run) {
    TestMachine machine(GetParam());
    const u32 end = static_cast<u32>(TestMachine::kRamSize);
    machine.write(end - 6, "b8 78 56 34 12 f4");
    machine.state.eip = end - 6;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0x12345678u);
}

TEST_P(fetch, device_memory_is_read_byte_by_byte_and_no_further_than_needed) {
    TestMachine machine(GetParam());
    RecordingDevice device;
    ASSERT_TRUE(machine.mmio.add(0xf0000000, 0x1000, 4, device, "recorder"));
    machine.state.eip = 0xf0000000;
    EXPECT_TRUE(machine.run(3).budget);  // reads 41, 42, 43: inc ecx, inc edx, inc ebx
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.gpr[kEbx], 1u);
    EXPECT_EQ(device.next_read, 0x44u);
}

// --- self-modifying code
// -------------------------------------------------------------------------------------

TEST_P(self_modifying, the_next_instruction_may_be_patched) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEbx] = kCode + 4;
    // mov byte [ebx],0x43; inc ecx (patched to inc ebx); hlt
    EXPECT_TRUE(machine.run("c6 03 43 90 41 f4", 200).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    EXPECT_EQ(machine.state.gpr[kEbx], kCode + 5);
}

TEST_P(self_modifying, a_loop_that_rewrites_its_own_immediate_sees_each_value) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEbx] = kCode + 1;
    machine.state.gpr[kEcx] = 10;
    // add eax,imm32; inc dword [ebx]; loop; hlt
    EXPECT_TRUE(machine.run("05 00 00 00 00 ff 03 e2 f7 f4", 300).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 45u);
}

TEST_P(self_modifying, code_written_through_another_linear_address_is_seen) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(kData, kCode | 7);  // an alias
    machine.code("41 eb fd");        // inc ecx; jmp
    EXPECT_TRUE(machine.run(20).budget);
    EXPECT_EQ(machine.state.gpr[kEcx], 10u);
    machine.code("c6 05 00 00 03 00 42 41 f4");
    machine.state.eip = kCode;
    machine.write(kCode,
                  "c6 05 07 00 03 00 42 41 f4");  // mov byte [kData+7],0x42; inc ecx (inc edx); hlt
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
    EXPECT_EQ(machine.state.gpr[kEcx], 10u);
}

TEST_P(self_modifying, writes_from_outside_the_cpu_are_seen) {
    TestMachine machine(GetParam());
    machine.code("41 eb fd");
    EXPECT_TRUE(machine.run(4).budget);
    machine.poke<u8>(kCode, 0x42);
    EXPECT_TRUE(machine.run(4).budget);
    EXPECT_EQ(machine.state.gpr[kEcx], 2u);
    EXPECT_EQ(machine.state.gpr[kEdx], 2u);
}

TEST_P(self_modifying, the_same_bytes_decode_by_the_code_size) {
    TestMachine machine(GetParam());
    machine.code("b8 01 00 00 00 f4");
    EXPECT_TRUE(machine.run(200).halted);
    machine.reset(Mode::flat16);
    machine.state.gpr[kEax] = 0xffffffff;
    machine.code("b8 01 00 00 00 f4");  // mov ax,1; add [bx+si],al; hlt
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEax], 0xffff0001u);
}

// --- requests
// ------------------------------------------------------------------------------------------------

TEST_P(requests, an_interrupt_waits_for_if_and_one_instruction_after_sti) {
    TestMachine machine(GetParam());
    machine.interrupts.vectors = {0x40};
    machine.state.requests = kRequestInterrupt;
    // inc ecx; sti; inc ecx; inc ecx
    EXPECT_TRUE(machine.run("41 fb 41 41 f4", 200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 0x40u);
    EXPECT_EQ(machine.state.gpr[kEcx], 2u);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp]), kCode + 3);
}

TEST_P(requests, halt_ends_the_run_and_an_interrupt_ends_the_halt) {
    TestMachine machine(GetParam());
    machine.code("fb f4 41 f4");
    ExitReasons reasons = machine.run(10);
    EXPECT_TRUE(reasons.halted);
    EXPECT_FALSE(reasons.budget);
    EXPECT_TRUE(machine.run(200).halted);
    machine.write(kHandlers + 0x40 * 16, "cf");
    machine.interrupts.vectors = {0x40};
    machine.state.requests = kRequestInterrupt;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.eip, kCode + 4);
}

TEST_P(requests, a_masked_interrupt_leaves_a_halted_cpu_with_no_request_to_wake_for) {
    TestMachine machine(GetParam());
    machine.interrupts.vectors = {0x40};
    machine.state.requests = kRequestInterrupt;
    EXPECT_TRUE(machine.run("f4", 200).halted);
    EXPECT_EQ(machine.state.requests.load(), 0u);
    machine.state.eflags |= kIf;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 0x40u);
}

TEST_P(requests, exit_comes_back_at_once_and_is_cleared) {
    TestMachine machine(GetParam());
    machine.code("eb fe");
    machine.state.requests = kRequestExit;
    const ExitReasons reasons = machine.run(1000);
    EXPECT_TRUE(reasons.requested);
    EXPECT_FALSE(reasons.budget);
    EXPECT_EQ(machine.state.instructions, 0u);
    EXPECT_EQ(machine.state.requests.load(), 0u);
}

// A command from another thread asked for an exit and raised an interrupt: whoever sleeps on
// `halted` would miss it.
TEST_P(requests, an_exit_does_not_hide_the_interrupt_that_wakes_a_halted_cpu) {
    TestMachine machine(GetParam());
    EXPECT_TRUE(machine.run("fb f4 41 f4", 200).halted);
    machine.write(kHandlers + 0x40 * 16, "cf");
    machine.interrupts.vectors = {0x40};
    machine.state.requests = kRequestInterrupt | kRequestExit;
    const ExitReasons reasons = machine.run(10);
    EXPECT_TRUE(reasons.requested);
    EXPECT_FALSE(reasons.halted);
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
}

TEST_P(requests, nmi_comes_with_interrupts_disabled_and_once_until_iret) {
    TestMachine machine(GetParam());
    machine.state.requests = kRequestNmi;
    machine.write(kHandlers + 2 * 16, "43 43 cf");
    EXPECT_TRUE(machine.run("41 f4", 1).budget);
    EXPECT_EQ(machine.state.gpr[kEbx], 1u);
    machine.state.requests |= kRequestNmi;
    EXPECT_TRUE(machine.run(300).halted);
    EXPECT_EQ(machine.state.gpr[kEbx], 4u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
}

TEST_P(requests, the_budget_is_exact) {
    TestMachine machine(GetParam());
    machine.code("41 eb fd");
    EXPECT_TRUE(machine.run(7).budget);
    EXPECT_EQ(machine.state.instructions, 7u);
    EXPECT_EQ(machine.state.gpr[kEcx], 4u);
}

// --- debug
// ---------------------------------------------------------------------------------------------------

TEST_P(debug_traps, single_step_comes_after_the_instruction_that_began_with_tf) {
    TestMachine machine(GetParam());
    machine.write(kHandlers + 16, "43 cf");  // inc ebx; iret
    // pushf; or dword [esp],0x100; popf; nop; nop; pushf; and [esp],~0x100; popf; nop; hlt
    EXPECT_TRUE(
        machine.run("9c 81 0c 24 00 01 00 00 9d 90 90 9c 81 24 24 ff fe ff ff 9d 90 f4", 100)
            .halted);
    EXPECT_EQ(machine.state.gpr[kEbx], 5u);  // nop nop pushf and popf
    EXPECT_EQ(machine.state.dr[6] & 0x4000, 0x4000u);
}

TEST_P(debug_traps, an_interrupt_call_is_not_stepped_into) {
    TestMachine machine(GetParam());
    machine.write(kHandlers + 16, "43 cf");
    machine.write(kHandlers + 0x80 * 16, "41 cf");
    machine.code("cd 80 90 f4");
    machine.state.eflags |= kTf;
    machine.write(kHandlers + 16, "43 81 64 24 08 ff fe ff ff cf");  // clears TF in the image
    EXPECT_TRUE(machine.run(300).halted);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.gpr[kEbx], 1u);  // after the NOP behind the INT
}

TEST_P(debug_traps, a_load_of_ss_holds_the_single_step_off) {
    TestMachine machine(GetParam());
    machine.state.gpr[kEax] = TestMachine::kData32;
    machine.code("8e d0 41 42 f4");
    machine.state.eflags |= kTf;
    EXPECT_TRUE(machine.run(200).halted);
    EXPECT_EQ(machine.halted_in_handler(), 1u);
    EXPECT_EQ(machine.state.gpr[kEcx], 1u);
    EXPECT_EQ(machine.state.gpr[kEdx], 0u);
}

TEST_P(debug_traps, instruction_breakpoints_fault_before_and_rf_lets_them_pass) {
    TestMachine machine(GetParam());
    machine.state.dr[0] = kCode + 1;
    machine.state.dr[7] |= 1;
    machine.cpu.mode_changed();
    // The image has RF clear (SDM vol 3B §17.3.1.1): inc ebx; or dword [esp+8],RF; iret.
    machine.write(kHandlers + 16, "43 81 4c 24 08 00 00 01 00 cf");
    EXPECT_TRUE(machine.run("41 42 f4", 300).halted);
    EXPECT_EQ(machine.state.gpr[kEbx], 1u);
    EXPECT_EQ(machine.state.gpr[kEdx], 1u);
    EXPECT_EQ(machine.state.dr[6] & 0xf, 1u);
    EXPECT_EQ(machine.state.eflags & kRf, 0u);
}

TEST_P(debug_traps, data_breakpoints_trap_after_the_access) {
    TestMachine machine(GetParam());
    machine.state.dr[1] = kData;
    machine.state.dr[7] |= 1u << 2 | 0xdu << 20;  // DR1: writes of four bytes
    machine.cpu.mode_changed();
    machine.state.gpr[kEsi] = kData;
    EXPECT_TRUE(machine.run("8b 06 89 06 41 f4", 300).halted);
    EXPECT_EQ(machine.halted_in_handler(), 1u);
    EXPECT_EQ(machine.state.gpr[kEcx], 0u);
    EXPECT_EQ(machine.peek<u32>(machine.state.gpr[kEsp]), kCode + 4);
    EXPECT_EQ(machine.state.dr[6] & 0xf, 2u);
}

TEST_P(debug_traps, data_breakpoints_see_the_frames_of_far_calls_and_interrupts) {
    constexpr u32 kTop = TestMachine::kStackTop;
    const auto arm = [](TestMachine& machine, u32 address, u32 kind) {
        machine.state.dr[0] = address;
        machine.state.dr[7] |= 1u | kind << 16;
        machine.cpu.mode_changed();
    };
    TestMachine call(GetParam());
    arm(call, kTop - 8, 0xd);                                            // writes of four bytes
    EXPECT_TRUE(call.run("9a 08 00 01 00 08 00 90 41 f4", 300).halted);  // call 8:10008h
    EXPECT_EQ(call.halted_in_handler(), 1u);
    EXPECT_EQ(call.state.gpr[kEcx], 0u);
    EXPECT_EQ(call.peek<u32>(call.state.gpr[kEsp]), kCode + 8);

    TestMachine interrupt(GetParam());
    arm(interrupt, kTop - 12, 0xd);
    interrupt.write(kHandlers + 0x80 * 16, "41 f4");
    EXPECT_TRUE(interrupt.run("cd 80", 300).halted);
    EXPECT_EQ(interrupt.halted_in_handler(), 1u);
    EXPECT_EQ(interrupt.state.gpr[kEcx], 0u) << "before the handler's first instruction";
    EXPECT_EQ(interrupt.peek<u32>(interrupt.state.gpr[kEsp]), kHandlers + 0x80 * 16);

    TestMachine ret(GetParam());
    arm(ret, kTop - 8, 0xf);  // reads and writes
    ret.poke<u32>(kTop - 8, kCode + 0x10);
    ret.poke<u32>(kTop - 4, TestMachine::kCode32);
    ret.poke<u8>(kCode + 0x10, 0xf4);
    ret.state.gpr[kEsp] = kTop - 8;
    // The frame of #DB hits it once more, before its handler begins.
    EXPECT_TRUE(ret.run("cb", 300).halted);
    EXPECT_EQ(ret.halted_in_handler(), 1u);
    EXPECT_EQ(ret.peek<u32>(kTop - 12), kCode + 0x10);
    EXPECT_EQ(ret.peek<u32>(kTop - 24), kHandlers + 16);
}

// A frame that could not be pushed as a whole was not written: #DB would be in vain.
TEST_P(debug_traps, data_breakpoints_of_a_frame_that_faults_are_dropped) {
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(0x40000, 0);
    machine.state.gpr[kEsp] = 0x41004;
    machine.state.dr[0] = 0x41000;
    machine.state.dr[7] |= 1u | 0xdu << 16;
    machine.cpu.mode_changed();
    // #UD, #PF and #DF all find the stack absent.
    EXPECT_TRUE(machine.run("0f 0b", 300).shutdown);
    EXPECT_EQ(machine.state.dr[6] & 0xf, 0u);
}

// Asks for interrupt 40h when it is written to.
class Asking final : public Device {
  public:
    explicit Asking(TestMachine& machine) : machine_(machine) {}
    u32 read(u64, unsigned) override { return 0; }
    void write(u64, unsigned, u32) override {
        machine_.interrupts.vectors.push_back(0x40);
        machine_.state.request(kRequestInterrupt);
    }

  private:
    TestMachine& machine_;
};

TEST_P(requests, a_window_of_two_instructions_lets_an_interrupt_in) {
    for (const std::string_view opened : {"fb 41 42 fa",              // sti; inc ecx; inc edx; cli
                                          "68 02 02 00 00 9d fa"}) {  // push 202h; popf; cli
        TestMachine machine(GetParam());
        Asking device(machine);
        ASSERT_TRUE(machine.ports.add(0x50, 1, 1, device, "asking"));
        machine.run("e6 50 " + std::string(opened) + " f4", 5000);
        EXPECT_EQ(machine.halted_in_handler(), 0x40u) << opened;
        EXPECT_EQ(machine.state.gpr[kEdx], 0u);
    }
}

// A handler that faults for ever by what translated code finds absent: no instruction is done.
TEST_P(requests, a_handler_that_touches_an_absent_page_for_ever_ends_with_the_budget) {
    constexpr u32 kTop = 0x3f0000, kBudget = 4000;
    TestMachine machine(GetParam());
    machine.enable_paging();
    machine.page(0x200000, 0);
    machine.write(kHandlers + 14 * 16, "8b 05 00 00 20 00");  // mov eax,[200000h]
    machine.state.gpr[kEsp] = kTop;
    EXPECT_TRUE(machine.run("8b 05 00 00 20 00", kBudget).budget);
    EXPECT_EQ(machine.state.instructions, 0u);
    EXPECT_EQ(machine.state.gpr[kEsp], kTop - kBudget * 16);
}

TEST_P(requests, a_handler_that_faults_for_ever_still_ends_with_the_budget) {
    TestMachine machine(GetParam());
    machine.write(kHandlers + 6 * 16, "0f 0b");
    EXPECT_TRUE(machine.run("0f 0b", 500).budget);
    EXPECT_EQ(machine.state.instructions, 0u);
}

TEST_P(requests, an_exit_is_heard_while_breakpoints_are_armed) {
    TestMachine machine(GetParam());
    machine.code("eb fe");
    machine.state.dr[7] |= 1;
    machine.cpu.mode_changed();
    EXPECT_TRUE(machine.run(10).budget);
    machine.state.requests = kRequestExit;
    EXPECT_TRUE(machine.run(1000).requested);
}

TEST_P(shutdown, a_fault_with_no_idt_ends_the_run) {
    TestMachine machine(GetParam());
    machine.state.idtr.limit = 0;
    const ExitReasons reasons = machine.run("0f 0b", 10);
    EXPECT_TRUE(reasons.shutdown);
}

}  // namespace
}  // namespace ennead::vmcore
