// SPDX-License-Identifier: MIT
// Breakpoints from outside: what hits them, where the machine then stands, and how it goes on; on
// both engines.
#include "vmcore/cpu/interp/breakpoints.h"

#include "tests/vmcore/machine/vcpu_fixture.h"

namespace ennead::vmcore {
namespace {

namespace code = test::code;
using test::kHandler;
using test::kStack;
using test::kStart;
using test::with_handler;

constexpr BreakpointKind kRead{.read = true}, kWrite{.write = true},
    kAccess{.read = true, .write = true}, kExecute{.execute = true};
constexpr u32 kCounter = 0x300000;  // that kSpin counts in

class BreakpointTest : public test::GuestOnEngineTest {
  protected:
    void set(std::vector<Breakpoint> list) {
        act([list](Vcpu& v) { v.machine().cpu().set_breakpoints(list); });
    }
    [[nodiscard]] static Breakpoint at(BreakpointKind kind, u32 address, u32 length = 1) {
        return {.kind = kind, .address = LinearAddr{address}, .length = length};
    }
    // Goes on, and waits for the pause.
    void run() {
        {
            const std::lock_guard lock(mutex);
            changes.clear();
            hits.clear();
        }
        resume();
        ASSERT_TRUE(comes_to_pause());
    }
    // What was hit since run(), the last time alone.
    [[nodiscard]] std::vector<std::pair<u32, BreakpointKind>> told_hits() {
        const std::lock_guard lock(mutex);
        std::vector<std::pair<u32, BreakpointKind>> seen;
        for (const BreakpointHit& hit : hits) {
            seen.emplace_back(raw(hit.address), hit.kind);
        }
        return seen;
    }
    [[nodiscard]] std::vector<u64> counts() {
        return ask([](Vcpu& v) {
            std::vector<u64> counts;
            for (const Breakpoint& b : v.machine().cpu().breakpoints.list()) {
                counts.push_back(b.hits);
            }
            return counts;
        });
    }
    using Hits = std::vector<std::pair<u32, BreakpointKind>>;
};

TEST_P(BreakpointTest, execution_stops_before_the_instruction_and_goes_on_past_it) {
    make(code::kSpin);
    set({at(kExecute, kStart + 6)});
    for (u32 round = 1; round <= 3; ++round) {
        run();
        EXPECT_EQ(eip(), kStart + 6);
        EXPECT_EQ(spun(), round);
        EXPECT_EQ(told_hits(), (Hits{{kStart + 6, kExecute}}));
        EXPECT_EQ(counts(), std::vector<u64>{round});
        EXPECT_EQ(instructions(), 2 * round - 1);
    }
    EXPECT_EQ(state(), RunState::paused);
}

TEST_P(BreakpointTest, code_that_was_translated_before_stops_as_well) {
    make(code::kSpin);
    resume();
    while (spun() < 1'000'000) {
    }
    const u64 before = spun();
    set({at(kExecute, kStart)});
    ASSERT_TRUE(comes_to_pause());
    EXPECT_EQ(eip(), kStart);
    EXPECT_GE(spun(), before);
    set({});
    const u32 stopped = spun();
    resume();
    while (spun() < stopped + 1'000'000) {
    }
    EXPECT_EQ(state(), RunState::running);
    EXPECT_EQ(told_hits().size(), 1u);
}

TEST_P(BreakpointTest, instruction_that_stands_next_is_passed_however_it_came_to_stand_there) {
    make(code::kSpin);
    set({at(kExecute, kStart)});
    run();
    EXPECT_EQ(eip(), kStart);
    EXPECT_EQ(spun(), 1u);  // it stood there at first
    step(1);
    EXPECT_EQ(eip(), kStart + 6);
    step(1);
    EXPECT_EQ(eip(), kStart);
    EXPECT_EQ(counts(), std::vector<u64>{1});  // a walk that ends there has not met it
    step(3);
    EXPECT_EQ(eip(), kStart);
    EXPECT_EQ(instructions(), 6u);  // one of the three was not done
    EXPECT_EQ(counts(), std::vector<u64>{2});
}

TEST_P(BreakpointTest, write_stops_after_the_instruction) {
    make(code::kSpin);
    set({at(kWrite, kCounter + 3)});  // the last byte of four
    run();
    EXPECT_EQ(eip(), kStart + 6);
    EXPECT_EQ(spun(), 1u);
    EXPECT_EQ(told_hits(), (Hits{{kCounter + 3, kWrite}}));
    run();
    EXPECT_EQ(eip(), kStart + 6);
    EXPECT_EQ(spun(), 2u);
    EXPECT_EQ(counts(), std::vector<u64>{2});
}

TEST_P(BreakpointTest, one_instruction_hits_each_once) {
    make(code::kSpin);
    set({at(kAccess, kCounter - 10, 11), at(kRead, kCounter), at(kWrite, kCounter - 1),
         at(kWrite, kCounter + 4, 4096), at(kExecute, kCounter)});
    run();
    EXPECT_EQ(told_hits(), (Hits{{kCounter - 10, kAccess}, {kCounter, kRead}}));
    EXPECT_EQ(counts(), (std::vector<u64>{1, 1, 0, 0, 0}));
    // As the last of a walk.
    set({at(kWrite, kCounter)});
    step(2);
    EXPECT_EQ(counts(), std::vector<u64>{1});
    EXPECT_EQ(state(), RunState::paused);
}

TEST_P(BreakpointTest, repeated_string_instruction_stops_behind_the_element) {
    make({0xf3, 0xaa, 0xeb, 0xfe});  // rep stosb
    act([](Vcpu& v) {
        v.machine().cpu().state.gpr[kEdi] = kCounter;
        v.machine().cpu().state.gpr[kEcx] = 100;
    });
    set({at(kWrite, kCounter + 41, 2), at(kExecute, kStart)});
    run();
    EXPECT_EQ(eip(), kStart);
    EXPECT_EQ(reg(kEdi), kCounter + 42);
    EXPECT_EQ(reg(kEcx), 58u);
    run();
    EXPECT_EQ(reg(kEdi), kCounter + 43);
    EXPECT_EQ(counts(), (std::vector<u64>{2, 0}));  // it was never begun anew
}

TEST_P(BreakpointTest, access_that_faults_hits_nothing_and_its_handler_can_be_stopped_at) {
    // mov eax,[300000h] beyond DS's limit
    make(with_handler({0xa1, 0x00, 0x00, 0x30, 0x00}));
    handle(13);
    act([](Vcpu& v) {
        Cpu& cpu = v.machine().cpu();
        cpu.state.segment(Seg::ds).limit = 0x2fffff;
        cpu.mode_changed();
    });
    set({at(kAccess, kCounter), at(kExecute, kHandler)});
    run();
    EXPECT_EQ(eip(), kHandler);
    EXPECT_EQ(counts(), (std::vector<u64>{0, 1}));
}

TEST_P(BreakpointTest, instruction_that_faults_is_met_once_though_it_is_begun_twice) {
    // ud2; handler: move past it and return
    auto guest = with_handler({0x0f, 0x0b, 0x90, 0x90, 0xeb, 0xfe});
    guest.resize(kHandler - kStart);
    guest.insert(guest.end(), {0xcf});  // iret: to ud2 once more
    make(guest);
    handle(6);
    set({at(kExecute, kStart), at(kExecute, kHandler)});
    run();
    EXPECT_EQ(eip(), kHandler);  // past the first, which stood next
    run();
    EXPECT_EQ(eip(), kHandler);  // and it came back with RF set
    EXPECT_EQ(counts(), (std::vector<u64>{0, 2}));
}

TEST_P(BreakpointTest, frame_of_an_interrupt_is_an_access) {
    make(with_handler({0xcd, 0x30}));
    handle(0x30);
    set({at(kWrite, kStack - 12)});
    run();
    EXPECT_EQ(eip(), kHandler);
    EXPECT_EQ(counts(), std::vector<u64>{1});
}

TEST_P(BreakpointTest, interrupt_that_waits_comes_after_the_instruction_passed) {
    make(with_handler({0x90, 0x90, 0xeb, 0xfe}));
    handle(2);
    set({at(kExecute, kStart + 1), at(kExecute, kHandler)});
    run();
    EXPECT_EQ(eip(), kStart + 1);
    act([](Vcpu& v) { v.machine().raise_nmi(); });
    run();
    EXPECT_EQ(eip(), kHandler);
    EXPECT_EQ(instructions(), 2u);
    EXPECT_EQ(counts(), (std::vector<u64>{1, 1}));
}

TEST_P(BreakpointTest, halted_guest_with_a_breakpoint_behind_the_halt_wakes) {
    make(with_handler({0xf4, 0x90, 0xeb, 0xfe}));
    handle(2);
    set({at(kExecute, kStart + 1), at(kExecute, kHandler + 1)});
    step(1);
    EXPECT_EQ(eip(), kStart + 1);
    act([](Vcpu& v) { v.machine().raise_nmi(); });
    run();
    EXPECT_EQ(eip(), kHandler + 1);
}

TEST_P(BreakpointTest, guest_sees_nothing_of_them) {
    make(code::kSpin);
    set({at(kExecute, kStart), at(kAccess, kCounter)});
    run();
    run();
    const auto dr = ask([](Vcpu& v) { return v.machine().cpu().state.dr; });
    EXPECT_EQ(dr, CpuState{}.dr);
    EXPECT_EQ(ask([](Vcpu& v) { return v.machine().cpu().state.eflags & eflags::kRf; }), 0u);
}

TEST_P(BreakpointTest, last_over_a_reset_with_their_counts) {
    make(code::kSpin);
    set({at(kExecute, kStart + 6), at(kWrite, 0x310000)});
    run();
    act([](Vcpu& v) { v.reset(); });
    EXPECT_EQ(counts(), (std::vector<u64>{1, 0}));
    run();
    EXPECT_EQ(spun(), 1u);
    EXPECT_EQ(counts(), (std::vector<u64>{2, 0}));
}

TEST_P(BreakpointTest, access_across_the_end_of_the_address_space_matches_at_both_ends) {
    Breakpoints breakpoints;
    breakpoints.set({at(kRead, 0xffffffff), at(kRead, 0), at(kRead, 2)});
    breakpoints.note_access(LinearAddr{0xfffffffe}, 4, Access::read);
    EXPECT_EQ(breakpoints.take_hits().size(), 2u);
    EXPECT_TRUE(breakpoints.take_hits().empty());
}

INSTANTIATE_TEST_SUITE_P(Engines, BreakpointTest, test::kEngines, test::engine_name);

}  // namespace
}  // namespace ennead::vmcore
