// SPDX-License-Identifier: MIT
// Machine time never goes back and misses what passes while it is stopped.
#include "vmcore/machine/host_clock.h"

#include <gtest/gtest.h>

namespace ennead::vmcore {
namespace {

void let_host_time_pass(u64 ns) {
    for (const u64 end = HostClock::host_ns() + ns; HostClock::host_ns() < end;) {
    }
}

TEST(HostClock, starts_stopped_at_zero) {
    HostClock clock;
    let_host_time_pass(100'000);
    EXPECT_EQ(clock.now_ns(), 0u);
}

TEST(HostClock, runs_as_fast_as_the_host) {
    HostClock clock;
    const u64 before = HostClock::host_ns();
    clock.run();
    let_host_time_pass(2'000'000);
    const u64 now = clock.now_ns();
    const u64 after = HostClock::host_ns();
    EXPECT_GE(now, 2'000'000u);
    EXPECT_LE(now, after - before);
}

TEST(HostClock, stands_still_while_stopped_and_goes_on_from_there) {
    HostClock clock;
    clock.run();
    let_host_time_pass(1'000'000);
    clock.stop();
    const u64 stopped = clock.now_ns();
    let_host_time_pass(5'000'000);
    EXPECT_EQ(clock.now_ns(), stopped);
    const u64 resumed = HostClock::host_ns();
    clock.run();
    const u64 now = clock.now_ns();
    EXPECT_GE(now, stopped);
    EXPECT_LE(now - stopped, HostClock::host_ns() - resumed);
}

TEST(HostClock, never_goes_back_over_many_pauses) {
    HostClock clock;
    u64 last = 0;
    for (int i = 0; i < 1000; i++) {
        if (i % 3 == 0) {
            clock.run();
        } else if (i % 3 == 1) {
            clock.stop();
        }
        const u64 now = clock.now_ns();
        EXPECT_GE(now, last);
        last = now;
    }
}

TEST(HostClock, run_and_stop_twice_are_as_once) {
    HostClock clock;
    clock.run();
    let_host_time_pass(1'000'000);
    clock.run();
    EXPECT_GE(clock.now_ns(), 1'000'000u);
    clock.stop();
    const u64 stopped = clock.now_ns();
    clock.stop();
    EXPECT_EQ(clock.now_ns(), stopped);
}

TEST(HostClock, restart_goes_back_to_zero_and_keeps_running_or_not) {
    HostClock clock;
    clock.run();
    let_host_time_pass(3'000'000);
    const u64 before = HostClock::host_ns();
    clock.restart();
    const u64 now = clock.now_ns();
    EXPECT_LE(now, HostClock::host_ns() - before);
    let_host_time_pass(100'000);
    EXPECT_GE(clock.now_ns(), 100'000u);
    clock.stop();
    clock.restart();
    EXPECT_EQ(clock.now_ns(), 0u);
}

TEST(HostClock, deadline_is_the_host_time_of_a_machine_time) {
    HostClock clock;
    clock.run();
    clock.stop();
    let_host_time_pass(1'000'000);
    clock.run();
    const u64 now = clock.now_ns();
    EXPECT_LE(clock.host_deadline_ns(now), HostClock::host_ns());
    EXPECT_EQ(clock.host_deadline_ns(now + 500), clock.host_deadline_ns(now) + 500);
}

}  // namespace
}  // namespace ennead::vmcore
