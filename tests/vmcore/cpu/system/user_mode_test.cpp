// SPDX-License-Identifier: MIT
// Programs at level 3 over paging that call the kernel, fault and are resumed, on both engines.
#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::TestMachine;

class user_mode : public test::EngineTest {
  protected:
    static constexpr u32 kTss = 0x4000, kStack0 = 0x9000, kFaultHandler = 0x20000,
                         kUserStack = 0x40000, kSpare = 0x200000;
    static constexpr u16 kUserCode = 0x2b, kUserData = 0x33;

    user_mode() : machine_(GetParam()) {
        using M = TestMachine;
        machine_.enable_paging();
        machine_.poke<u64>(M::kGdt + 0x28, 0x00cffb000000ffff);
        machine_.poke<u64>(M::kGdt + 0x30, 0x00cff3000000ffff);
        machine_.poke<u32>(kTss + 4, kStack0);
        machine_.poke<u32>(kTss + 8, M::kData32);
        CpuState& state = machine_.state;
        state.gdtr.limit = 7 * 8 - 1;
        state.tr = {.base = kTss, .limit = 0x67, .selector = 0, .attr = 0x8b};
        for (const Seg seg : {Seg::es, Seg::ss, Seg::ds}) {
            state.segment(seg) = {0, 0xffffffff, kUserData, 0xc0f3};
        }
        state.segment(Seg::cs) = {0, 0xffffffff, kUserCode, 0xc0fb};
        state.cr0 |= cr0::kWp;
        state.cpl = 3;
        state.gpr[kEsp] = kUserStack;
        // INT 80h halts; #PF runs what the test puts at kFaultHandler.
        machine_.poke<u8>(M::kIdt + 0x80 * 8 + 5, 0xee);
        gate(14, kFaultHandler);
        machine_.engine.flush();
    }
    void gate(u32 vector, u32 handler) {
        machine_.poke<u32>(TestMachine::kIdt + vector * 8,
                           u32{TestMachine::kCode32} << 16 | handler);
        machine_.poke<u32>(TestMachine::kIdt + vector * 8 + 4, 0x8e00 | (handler & 0xffff0000));
    }
    static constexpr u32 entry_of(u32 linear) {
        return TestMachine::kPageTable + linear / kPageSize * 4;
    }
    u32 frame(u32 word) { return machine_.peek<u32>(kStack0 - 4 * word); }

    TestMachine machine_;
};
ENNEAD_ON_BOTH_ENGINES(user_mode);

TEST_P(user_mode, a_system_call_pushes_where_it_came_from) {
    machine_.run("b8 44 33 22 11 f9 cd 80", 1000);  // mov eax, 11223344h; stc; int 80h
    EXPECT_EQ(machine_.halted_in_handler(), 0x80u);
    EXPECT_EQ(machine_.state.cpl, 0);
    EXPECT_EQ(machine_.state.gpr[kEsp], kStack0 - 20);
    EXPECT_EQ(frame(1), kUserData);
    EXPECT_EQ(frame(2), kUserStack);
    EXPECT_EQ(frame(3) & ~eflags::kArith, eflags::kFixed);
    EXPECT_EQ(frame(3) & eflags::kCf, eflags::kCf);
    EXPECT_EQ(frame(4), kUserCode);
    EXPECT_EQ(frame(5), TestMachine::kCode + 8);
}

TEST_P(user_mode, a_page_is_mapped_on_demand) {
    machine_.page(kSpare, kSpare | 6);
    machine_.poke<u32>(kSpare, 0xcafe);
    // or dword [entry], 1; add esp, 4; iret
    machine_.write(kFaultHandler, "83 0d 00 18 10 00 01 83 c4 04 cf");
    machine_.run("a1 00 00 20 00 cd 80", 1000);  // mov eax, [kSpare]; int 80h
    static_assert(entry_of(kSpare) == 0x101800);
    EXPECT_EQ(machine_.halted_in_handler(), 0x80u);
    EXPECT_EQ(machine_.state.gpr[kEax], 0xcafeu);
    EXPECT_EQ(machine_.state.cr2, kSpare);
    EXPECT_EQ(machine_.peek<u32>(entry_of(kSpare)), kSpare | 0x27);
    EXPECT_EQ(frame(3) & eflags::kRf, 0u) << "INT does not push RF";
}

TEST_P(user_mode, a_page_is_copied_on_write) {
    machine_.page(kSpare, kSpare | 0x25);
    machine_.poke<u32>(kSpare, 7);
    // or dword [entry], 2; invlpg [kSpare]; add esp, 4; iret
    machine_.write(kFaultHandler, "83 0d 00 18 10 00 02 0f 01 3d 00 00 20 00 83 c4 04 cf");
    // mov ecx, [kSpare]; inc dword [kSpare]; mov eax, [kSpare]; int 80h
    machine_.run("8b 0d 00 00 20 00 ff 05 00 00 20 00 a1 00 00 20 00 cd 80", 1000);
    EXPECT_EQ(machine_.halted_in_handler(), 0x80u);
    EXPECT_EQ(machine_.state.gpr[kEax], 8u);
    EXPECT_EQ(machine_.peek<u32>(kSpare), 8u);
    EXPECT_EQ(machine_.peek<u32>(entry_of(kSpare)), kSpare | 0x67);
}

TEST_P(user_mode, a_fault_shows_the_access_and_where) {
    machine_.page(kSpare, kSpare | 0x25);
    machine_.write(kFaultHandler, "f4");
    machine_.run("90 a3 04 00 20 00", 1000);  // nop; mov [kSpare + 4], eax
    EXPECT_TRUE(machine_.state.halted);
    EXPECT_EQ(machine_.state.gpr[kEsp], kStack0 - 24);
    EXPECT_EQ(frame(6), 7u);
    EXPECT_EQ(frame(5), TestMachine::kCode + 1);
    EXPECT_EQ(frame(3) & eflags::kRf, eflags::kRf);
    EXPECT_EQ(machine_.state.cr2, kSpare + 4);
}

TEST_P(user_mode, a_fault_on_the_way_to_the_inner_stack_becomes_a_shutdown) {
    machine_.page(kStack0 - kPageSize, 0);
    EXPECT_TRUE(machine_.run("90 cd 80", 1000).shutdown);
    EXPECT_EQ(machine_.state.gpr[kEsp], kUserStack);
    EXPECT_EQ(machine_.state.cpl, 3);
}

TEST_P(user_mode, a_stack_that_is_only_readable_becomes_a_shutdown_with_write_protection) {
    machine_.page(kStack0 - kPageSize, (kStack0 - kPageSize) | 0x25);
    EXPECT_TRUE(machine_.run("90 cd 80", 1000).shutdown);
    machine_.state.cr0 &= ~cr0::kWp;
    machine_.engine.flush();
    machine_.run("90 cd 80", 1000);
    EXPECT_EQ(machine_.halted_in_handler(), 0x80u);
}

TEST_P(user_mode, sysenter_and_sysexit_go_to_and_fro) {
    machine_.state.sysenter_cs = TestMachine::kCode32;
    machine_.state.sysenter_eip = kFaultHandler;
    machine_.state.sysenter_esp = kStack0;
    // The user's segments stand where SYSEXIT takes them from: 18h and 20h.
    machine_.poke<u64>(TestMachine::kGdt + 0x18, 0x00cffb000000ffff);
    machine_.poke<u64>(TestMachine::kGdt + 0x20, 0x00cff3000000ffff);
    machine_.write(kFaultHandler, "40 50 58 0f 35");  // inc eax; push eax; pop eax; sysexit
    // mov ebx, 50; mov ecx, esp; mov edx, 1000eh; sysenter; dec ebx; jnz -13; int 80h
    machine_.run("bb 32 00 00 00 89 e1 ba 0e 00 01 00 0f 34 4b 75 f4 cd 80", 10000);
    EXPECT_EQ(machine_.halted_in_handler(), 0x80u);
    EXPECT_EQ(machine_.state.gpr[kEax], 50u);
    EXPECT_EQ(frame(2), kUserStack);
    EXPECT_EQ(frame(4), 0x1bu);
}

TEST_P(user_mode, a_segment_register_follows_its_descriptor) {
    gate(13, kFaultHandler);
    machine_.poke<u64>(TestMachine::kGdt + 0x20, 0x00cff3000000ffff);
    machine_.write(kFaultHandler, "f4");
    // The kernel takes the segment away: and byte [kGdt + 25h], 9fh (DPL 0); iret
    machine_.write(TestMachine::kHandlers + 0x80 * 16, "80 25 25 10 00 00 9f cf");
    // mov eax, 23h; mov ds, eax; mov ds, eax; int 80h; mov ds, eax
    machine_.run("b8 23 00 00 00 8e d8 8e d8 cd 80 8e d8", 1000);
    EXPECT_TRUE(machine_.state.halted);
    EXPECT_EQ(frame(6), 0x20u);
    EXPECT_EQ(frame(5), TestMachine::kCode + 11);
}

}  // namespace
}  // namespace ennead::vmcore
