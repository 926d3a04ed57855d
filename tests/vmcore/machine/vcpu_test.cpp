// SPDX-License-Identifier: MIT
// The machine's thread: states, how a guest ends, commands, resets, and what COM1 carries.
#include "vmcore/machine/vcpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "tests/vmcore/machine/vcpu_fixture.h"
#include "vmcore/machine/registers.h"

namespace ennead::vmcore {
namespace {

using namespace std::chrono_literals;
namespace code = test::code;

using test::VcpuTest;

TEST_F(VcpuTest, is_paused_at_first_and_runs_when_resumed) {
    make(code::kHello);
    EXPECT_EQ(state(), RunState::paused);
    EXPECT_EQ(now_ns(), 0u);
    EXPECT_EQ(told.get(told.com1), "");
    resume();
    EXPECT_EQ(com1(2), "hi");
    EXPECT_EQ(state(), RunState::running);    // and so the thread has told all it had to
    EXPECT_EQ(told.get(told.console), "hi");  // COM1 is the console until virtio speaks
    EXPECT_EQ(told.get(told.com2), "");
}

TEST_F(VcpuTest, each_change_is_told_once) {
    make(code::kHello);
    act([](Vcpu& v) {
        v.pause();  // already so
        v.resume();
        v.resume();
        v.pause();
        v.pause();
        v.switch_off(OffReason::stop);
        v.switch_off(OffReason::poweroff);
        v.resume();  // nothing brings it back
        v.pause();
    });
    const std::lock_guard lock(mutex);
    ASSERT_EQ(changes.size(), 3u);
    EXPECT_EQ(changes[0].state, RunState::running);
    EXPECT_EQ(changes[1].state, RunState::paused);
    EXPECT_EQ(changes[2].state, RunState::off);
    EXPECT_EQ(changes[2].reason, OffReason::stop);
}

TEST_F(VcpuTest, guest_that_enters_s5_is_off) {
    make(code::kPowerOff);
    resume();
    EXPECT_EQ(off_reason(), OffReason::poweroff);
    EXPECT_EQ(state(), RunState::off);
    const u64 stopped = now_ns();
    EXPECT_GT(stopped, 0u);
    EXPECT_EQ(now_ns(), stopped);  // its clock stands still
}

TEST_F(VcpuTest, panic_stops_the_machine_with_its_state_left) {
    make(code::kPanic);
    resume();
    EXPECT_EQ(off_reason(), OffReason::panic);
    // Behind the write to the port, or halted by then.
    const auto eip = ask([](Vcpu& v) { return v.machine().cpu().state.eip; });
    EXPECT_TRUE(eip >= 0x100008 && eip <= 0x10000b) << eip;
}

TEST_F(VcpuTest, tenth_reset_within_ten_seconds_is_a_loop_whatever_resets) {
    for (const auto& reset : {code::kResetByPci, code::kResetByKeyboard, code::kResetByOutputPort,
                              code::kResetByPort92, code::kTripleFault}) {
        told.com1.clear();
        changes.clear();
        auto guest = code::kCountBoots;  // up to its hlt, then a reset
        guest.resize(guest.size() - 3);
        guest.insert(guest.end(), reset.begin(), reset.end());
        make(guest);
        resume();
        EXPECT_EQ(off_reason(), OffReason::reset_loop);
        EXPECT_EQ(com1(10), "0000000000");  // ten boots, each with cleared memory
        vcpu = nullptr;
    }
}

TEST_F(VcpuTest, last_triple_fault_of_a_loop_leaves_everything_to_look_at) {
    make(code::kTripleFault);
    resume();
    EXPECT_EQ(off_reason(), OffReason::reset_loop);
    EXPECT_EQ(ask([](Vcpu& v) { return v.machine().cpu().state.eip; }), 0x100000u);
    EXPECT_NE(told.get(told.log).find("what=triple_fault cs=0x0010 eip=0x00100000"),
              std::string::npos);
}

TEST_F(VcpuTest, resets_from_outside_are_no_loop) {
    make(code::kHello);
    resume();
    for (int i = 0; i < 12; i++) {
        act([](Vcpu& v) { v.reset(); });
    }
    EXPECT_EQ(state(), RunState::running);
}

TEST_F(VcpuTest, reset_clears_memory_time_and_registers_and_runs_on) {
    make(code::kCountBoots);
    resume();
    EXPECT_EQ(com1(1), "0");
    act([](Vcpu& v) {
        v.machine().ram().base()[0x3ff000] = 0x55;
        v.machine().cpu().state.gpr[kEbx] = 7;
    });
    act([](Vcpu& v) { v.reset(); });
    EXPECT_EQ(com1(2), "00");
    EXPECT_EQ(state(), RunState::running);
    EXPECT_EQ(ask([](Vcpu& v) { return v.machine().ram().base()[0x3ff000]; }), 0);
    EXPECT_EQ(ask([](Vcpu& v) { return v.machine().cpu().state.gpr[kEbx]; }), 0u);
}

TEST_F(VcpuTest, reset_while_paused_stays_paused_at_time_zero) {
    make(code::kCountBoots);
    resume();
    EXPECT_EQ(com1(1), "0");
    act([](Vcpu& v) {
        v.pause();
        v.reset();
    });
    EXPECT_EQ(state(), RunState::paused);
    EXPECT_EQ(now_ns(), 0u);
    EXPECT_EQ(ask([](Vcpu& v) { return v.machine().cpu().state.eip; }), 0x100000u);
    resume();
    EXPECT_EQ(com1(2), "00");
}

TEST_F(VcpuTest, pause_stops_the_guest_and_its_clock) {
    make(code::kSpin);
    resume();
    while (spun() == 0) {
    }
    act([](Vcpu& v) { v.pause(); });
    const u32 count = spun();
    const u64 stopped = now_ns();
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(spun(), count);
    EXPECT_EQ(now_ns(), stopped);
    const auto resumed = std::chrono::steady_clock::now();
    resume();
    while (spun() == count) {
    }
    const u64 now = now_ns();
    EXPECT_GT(now, stopped);
    EXPECT_LE(now - stopped,
              static_cast<u64>((std::chrono::steady_clock::now() - resumed).count()));
}

TEST_F(VcpuTest, rtc_goes_with_the_machines_time_from_the_hosts_date_at_power_on) {
    make(code::kSpin);
    const auto hour = [this] {
        return ask([](Vcpu& v) {
            Bus& ports = v.machine().cpu().io.ports;
            ports.write(0x70, 1, 4);
            return static_cast<unsigned>(ports.read(0x71, 1));
        });
    };
    resume();
    EXPECT_EQ(hour(), 0x22u);
    // As after a pause of an hour.
    told.wall_ns += i64{3600} * 1'000'000'000;
    EXPECT_EQ(hour(), 0x22u);
    act([](Vcpu& v) { v.reset(); });
    EXPECT_EQ(hour(), 0x23u);
}

TEST_F(VcpuTest, commands_run_in_order_while_the_guest_is_busy) {
    make(code::kSpin);
    resume();
    auto order = std::make_shared<std::vector<int>>();
    for (int i = 0; i < 100; i++) {
        vcpu->post([order, i](Vcpu&) { order->push_back(i); });
    }
    const auto seen = ask([order](Vcpu&) { return *order; });
    ASSERT_EQ(seen.size(), 100u);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(VcpuTest, commands_wake_a_guest_that_halts_for_ever) {
    make(code::kHello);  // halts with interrupts off
    resume();
    EXPECT_EQ(com1(2), "hi");
    for (int i = 0; i < 50; i++) {
        EXPECT_EQ(state(), RunState::running);
    }
}

TEST_F(VcpuTest, guest_that_halts_for_ever_goes_on_where_eip_is_set) {
    make(code::kHello);
    resume();
    ASSERT_EQ(com1(2), "hi");
    while (!ask([](Vcpu& v) { return v.machine().cpu().state.halted; })) {
        std::this_thread::sleep_for(1ms);
    }
    act([](Vcpu& v) {
        v.pause();
        ASSERT_TRUE(set_registers(v.machine().cpu(), {{"eip", 0x100000}}));
        v.resume();
    });
    EXPECT_EQ(com1(4), "hihi");
}

TEST_F(VcpuTest, halted_guest_uses_next_to_no_time) {
    make(code::kHello);
    resume();
    EXPECT_EQ(com1(2), "hi");
    EXPECT_EQ(state(), RunState::running);
    const u64 before = vcpu->cpu_time_ns();
    EXPECT_GT(before, 0u);
    std::this_thread::sleep_for(100ms);
    EXPECT_LT(vcpu->cpu_time_ns() - before, 20'000'000u);
}

TEST_F(VcpuTest, commands_may_post_commands) {
    make(code::kHello);
    std::promise<void> second;
    vcpu->post([&second](Vcpu& v) { v.post([&second](Vcpu&) { second.set_value(); }); });
    EXPECT_EQ(second.get_future().wait_for(20s), std::future_status::ready);
}

TEST_F(VcpuTest, end_runs_the_commands_posted_before) {
    make(code::kSpin);
    resume();
    int ran = 0;
    for (int i = 0; i < 10; i++) {
        vcpu->post([&ran](Vcpu&) { ++ran; });
    }
    vcpu = nullptr;
    EXPECT_EQ(ran, 10);
}

TEST_F(VcpuTest, input_longer_than_the_fifo_reaches_a_guest_that_waits_for_interrupts) {
    make(code::kEcho);
    resume();
    const auto ready = [](Vcpu& v) { return v.machine().cpu().state.halted; };
    while (!ask(ready)) {
    }
    std::string sent;
    for (int i = 0; i < 100; i++) {
        sent += static_cast<char>('!' + i % 90);
    }
    // Nothing but the input itself wakes this guest: no timer runs.
    EXPECT_EQ(ask([sent](Vcpu& v) {
                  return v.machine().com_input(
                      0, {reinterpret_cast<const u8*>(sent.data()), sent.size()});
              }),
              100u);
    EXPECT_EQ(com1(100), sent);
}

TEST_F(VcpuTest, input_reaches_a_guest_that_has_just_halted_though_no_timer_is_due) {
    auto guest = code::kEcho;
    const u8 fifos_on[] = {0x66, 0xba, 0xfa, 0x03, 0xb0, 0x01};
    const auto at = std::ranges::search(guest, fifos_on);
    ASSERT_FALSE(at.empty());
    at.back() = 0;  // off: a byte at a time, and no timeout interrupt
    make(guest);
    resume();
    while (!ask([](Vcpu& v) { return v.machine().cpu().state.halted; })) {
    }
    const std::string sent = "one by one";
    EXPECT_EQ(ask([sent](Vcpu& v) {
                  return v.machine().com_input(
                      0, {reinterpret_cast<const u8*>(sent.data()), sent.size()});
              }),
              sent.size());
    EXPECT_EQ(com1(sent.size()), sent);
}

TEST_F(VcpuTest, console_input_goes_to_com1_as_long_as_no_virtio_driver_is_there) {
    make(code::kEcho);
    resume();
    const std::string sent = "typed";
    EXPECT_EQ(ask([sent](Vcpu& v) {
                  return v.machine().console_input(
                      {reinterpret_cast<const u8*>(sent.data()), sent.size()});
              }),
              5u);
    EXPECT_EQ(com1(5), "typed");
    EXPECT_EQ(state(), RunState::running);  // and so the thread has told all it had to
    EXPECT_EQ(told.get(told.console), "typed");
}

TEST_F(VcpuTest, input_is_not_lost_to_a_driver_that_only_looks_which_port_this_is) {
    // As Linux's 8250 driver does, with interrupts off, and then throws away what came.
    std::vector<u8> guest = {
        0x66, 0xba, 0xfc, 0x03, 0xb0, 0x0b, 0xee,  // MCR: DTR RTS OUT2
        0x66, 0xba, 0xf9, 0x03, 0xb0, 0x0f, 0xee,  // IER: all that there are
        0xff, 0x05, 0x00, 0x00, 0x30, 0x00,        // 1: inc dword [300000h]
        0x80, 0x3d, 0x04, 0x00, 0x30, 0x00, 0x00,  // cmp byte [300004h],0
        0x74, 0xf1,                                // je 1b
        0x66, 0xba, 0xf8, 0x03, 0xec,              // in al,dx: RBR
        0x66, 0xba, 0xf9, 0x03, 0xb0, 0x00, 0xee,  // IER: none
    };
    guest.insert(guest.end(), code::kEcho.begin(), code::kEcho.end());
    make(guest);
    resume();
    while (spun() == 0) {
    }
    const std::string sent = "typed";
    EXPECT_EQ(ask([sent](Vcpu& v) {
                  return v.machine().console_input(
                      {reinterpret_cast<const u8*>(sent.data()), sent.size()});
              }),
              5u);
    const u32 before = spun();
    while (spun() == before) {
    }
    act([](Vcpu& v) { v.machine().ram().base()[0x300004] = 1; });
    EXPECT_EQ(com1(5), "typed");
}

TEST_F(VcpuTest, input_for_a_guest_that_does_not_listen_waits_up_to_64_kib) {
    make(code::kHello);
    const std::vector<u8> much(100'000, 'x');
    EXPECT_EQ(ask([&](Vcpu& v) { return v.machine().console_input(much); }), 65536u);
    EXPECT_EQ(ask([&](Vcpu& v) { return v.machine().console_input(much); }), 0u);
    EXPECT_EQ(ask([&](Vcpu& v) { return v.machine().com_input(0, much); }), 65536u);
    EXPECT_EQ(ask([&](Vcpu& v) { return v.machine().com_input(1, much); }), 65536u);
}

TEST(MachineCreate, refuses_what_cannot_be_built) {
    test::Told told;
    const auto error = [&](u64 memory, std::vector<u8> kernel, std::string command_line = {}) {
        const auto machine = Machine::create({.memory_bytes = memory,
                                              .kernel = std::move(kernel),
                                              .initrds = {},
                                              .command_line = std::move(command_line)},
                                             test::hooks_into(told));
        return machine ? std::error_code() : machine.error();
    };
    const auto good = test::TinyKernel{.code = code::kHello}.image();
    EXPECT_FALSE(error(4 << 20, good));
    EXPECT_EQ(error(0, good), Error::bad_memory_size);
    EXPECT_EQ(error((4 << 20) + 1, good), Error::bad_memory_size);
    EXPECT_EQ(error(u64{4} << 30, good), Error::bad_memory_size);
    EXPECT_EQ(error(1 << 20, good), Error::image_too_large);
    EXPECT_EQ(error(4 << 20, {}), Error::unknown_kernel);
    EXPECT_EQ(error(4 << 20, good, std::string(300, 'a')), Error::bad_value);
}

}  // namespace
}  // namespace ennead::vmcore
