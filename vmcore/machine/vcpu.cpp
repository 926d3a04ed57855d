// SPDX-License-Identifier: MIT
// Runs guest code, timers and commands in turn; sleeps while the guest halts.
#include "vmcore/machine/vcpu.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace ennead::vmcore {
namespace {

// How much guest code runs between two looks at the clock, so that a timer is late by no more than
// that: as many instructions as took this long the last time, within bounds.
constexpr u64 kSliceNs = 50'000;
constexpr u64 kLeastSlice = 4096, kLongestSlice = 400'000;

u64 next_slice(u64 slice, u64 took_ns) {
    const u64 fitting = slice * kSliceNs / std::max<u64>(took_ns, 1);
    // No more than twice: one slice that did little by chance should not make the next one long.
    return std::clamp(std::min(fitting, slice * 2), kLeastSlice, kLongestSlice);
}

// How many instructions of step() are done between two looks at the clock and at commands; about
// as long as a slice.
constexpr unsigned kStepsAtOnce = 1024;

// vm(4): ten resets in ten seconds are a loop.
constexpr std::size_t kResetLoopCount = 10;
constexpr u64 kResetLoopNs = 10'000'000'000;

}  // namespace

Vcpu::Vcpu(std::unique_ptr<Machine> machine, StateChanged changed, BreakpointTold breakpoint)
    : machine_(std::move(machine)),
      changed_(std::move(changed)),
      breakpoint_(std::move(breakpoint)),
      thread_([this] { loop(); }) {}

Vcpu::~Vcpu() {
    {
        const std::lock_guard lock(mutex_);
        quit_ = true;
    }
    machine_->request_exit();
    wake_.notify_one();
    thread_.join();
}

void Vcpu::post(Command command) {
    {
        const std::lock_guard lock(mutex_);
        commands_.push_back(std::move(command));
    }
    machine_->request_exit();
    wake_.notify_one();
}

void Vcpu::pause() {
    if (run_state_ == RunState::running) {
        machine_->clock().stop();
        run_state_ = RunState::paused;
        steps_left_.reset();
        changed_(run_state_, OffReason::stop);
    }
}

void Vcpu::resume() {
    if (run_state_ == RunState::paused) {
        Cpu& cpu = machine_->cpu();
        cpu.breakpoints.pass(LinearAddr{cpu.state.segment(Seg::cs).base + cpu.state.eip});
        machine_->clock().run();
        run_state_ = RunState::running;
        changed_(run_state_, OffReason::stop);
    }
}

void Vcpu::step(u64 count) {
    if (run_state_ == RunState::paused && count != 0) {
        steps_left_ = count;
        resume();
        (void)run_steps();
    }
}

void Vcpu::switch_off(OffReason reason) {
    if (run_state_ != RunState::off) {
        machine_->clock().stop();
        machine_->finish_output();
        run_state_ = RunState::off;
        steps_left_.reset();
        changed_(run_state_, reason);
    }
}

void Vcpu::reset() {
    machine_->power_cycle();
}

void Vcpu::guest_reset() {
    const u64 now = HostClock::host_ns();
    std::erase_if(recent_resets_, [now](u64 t) { return now - t > kResetLoopNs; });
    recent_resets_.push_back(now);
    if (recent_resets_.size() >= kResetLoopCount) {
        switch_off(OffReason::reset_loop);
    } else {
        reset();
    }
}

u64 Vcpu::cpu_time_ns() const {
    clockid_t id{};
    std::timespec t{};
    // const_cast: pthread functions take the handle by value, but std::thread only gives it out
    // non-const.
    if (pthread_getcpuclockid(const_cast<std::thread&>(thread_).native_handle(), &id) != 0 ||
        clock_gettime(id, &t) != 0) {
        return 0;
    }
    return static_cast<u64>(t.tv_sec) * 1'000'000'000u + static_cast<u64>(t.tv_nsec);
}

void Vcpu::loop() {
    while (true) {
        run_commands();
        {
            const std::lock_guard lock(mutex_);
            if (quit_ && commands_.empty()) {
                return;
            }
        }
        if (run_state_ == RunState::running) {
            run_guest();
        } else {
            sleep_until_needed();
        }
    }
}

void Vcpu::run_commands() {
    std::vector<Command> batch;
    {
        const std::lock_guard lock(mutex_);
        batch.swap(commands_);
    }
    for (Command& command : batch) {
        command(*this);
    }
}

void Vcpu::run_guest() {
    const bool halted = steps_left_ ? run_steps() : run_slice();
    if (halted && run_state_ == RunState::running) {
        sleep_until_needed();
    }
}

// True: the guest halts.
bool Vcpu::run_slice() {
    const u64 before = machine_->clock().now_ns();
    machine_->timers().run_due();
    const ExitReasons why = machine_->engine().run(slice_);
    if (why.budget) {
        slice_ = next_slice(slice_, machine_->clock().now_ns() - before);
    }
    return goes_on(why) && why.halted;
}

// One by one: a run of several that ends early does not tell how many deliveries it did. True: the
// guest halts.
bool Vcpu::run_steps() {
    machine_->timers().run_due();
    ExitReasons why;
    for (unsigned n = 0; n < kStepsAtOnce && *steps_left_ != 0; ++n) {
        why = machine_->engine().run(1);
        if (why.budget || why.shutdown) {
            --*steps_left_;
        }
        // A command that waits (`requested`) has its turn soon enough.
        if (why.halted || why.shutdown || machine_->cpu().breakpoints.hit() ||
            machine_->has_request()) {
            break;
        }
    }
    const bool walked = *steps_left_ == 0;
    const bool halted = goes_on(why) && why.halted;
    if (walked) {
        pause();
    }
    return halted;
}

void Vcpu::tell_breakpoints() {
    const std::vector<BreakpointHit> hits = machine_->cpu().breakpoints.take_hits();
    if (hits.empty()) {
        return;
    }
    for (const BreakpointHit& hit : hits) {
        if (breakpoint_) {
            breakpoint_(hit);
        }
    }
    pause();
}

// What follows a run of guest code. False: the machine was reset, or is off.
bool Vcpu::goes_on(const ExitReasons& why) {
    tell_breakpoints();
    machine_->exchange_bytes();
    if (why.shutdown) {
        // A PC's chipset answers the shutdown cycle with a reset; some guests reboot by it.
        machine_->tell_triple_fault();
        guest_reset();
        return false;
    }
    switch (machine_->take_request()) {
        case MachineRequest::none:
            return true;
        case MachineRequest::power_off:
            switch_off(OffReason::poweroff);
            return false;
        case MachineRequest::panic:
            switch_off(OffReason::panic);
            return false;
        case MachineRequest::reset:
            guest_reset();
            return false;
    }
    return true;
}

void Vcpu::sleep_until_needed() {
    std::unique_lock lock(mutex_);
    const auto needed = [this] { return quit_ || !commands_.empty(); };
    if (run_state_ != RunState::running) {
        wake_.wait(lock, needed);
        return;
    }
    // Input that went in after the guest had halted may have raised an interrupt.
    if (machine_->cpu().state.requests.load(std::memory_order_relaxed) != 0) {
        return;
    }
    const u64 deadline = machine_->timers().next_deadline_ns();
    if (deadline == TimerQueue::kNever) {
        wake_.wait(lock, needed);
        return;
    }
    const std::chrono::steady_clock::time_point until{
        std::chrono::nanoseconds(machine_->clock().host_deadline_ns(deadline))};
    wake_.wait_until(lock, until, needed);
}

}  // namespace ennead::vmcore
