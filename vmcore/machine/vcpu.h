// SPDX-License-Identifier: MIT
// The thread that owns a machine, and its command queue.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "vmcore/cpu/interp/breakpoints.h"
#include "vmcore/machine/host_clock.h"
#include "vmcore/machine/machine.h"
#include "vmcore/types.h"

namespace ennead::vmcore {

enum class RunState { paused, running, off };

// Why a machine went off by itself, or was switched off.
enum class OffReason { poweroff, stop, reset_loop, panic };

// Owns the machine. Everything that touches it runs on this class's thread: guest code, and the
// commands that other threads post. The machine is paused at first.
class Vcpu {
  public:
    // Called on the vCPU thread when the state changed, whoever changed it. `reason` has meaning
    // with `off`.
    using StateChanged = std::function<void(RunState state, OffReason reason)>;
    using Command = std::function<void(Vcpu&)>;

    // A breakpoint of Cpu::breakpoints was hit; that the machine is paused is told next.
    using BreakpointTold = std::function<void(const BreakpointHit& hit)>;

    // The machine must already be booted (its CPU stands at the first instruction).
    Vcpu(std::unique_ptr<Machine> machine, StateChanged changed, BreakpointTold breakpoint = {});
    ~Vcpu();  // ends the thread, after the commands posted so far
    Vcpu(const Vcpu&) = delete;
    Vcpu& operator=(const Vcpu&) = delete;

    // Any thread. Commands run in order, soon, whatever the state; the guest stands still
    // meanwhile.
    void post(Command command);

    // For commands, on the vCPU thread.
    [[nodiscard]] Machine& machine() { return *machine_; }
    [[nodiscard]] RunState run_state() const { return run_state_; }
    void pause();
    // Goes on. The instruction that stands next is done even if it has a breakpoint.
    void resume();
    // From paused: runs, and pauses again once `count` (at least 1) instructions are done; pause()
    // and breakpoints end it before. Each of these is one: an instruction; a part of a repeated
    // string instruction, where it lets interrupts in; the delivery of an exception or a trap, with
    // nothing else. An interrupt that is due comes first and is none. The interpreter does all of
    // it, whatever the engine. The first ones are done before this returns, so that after a short
    // walk the machine is paused already, unless it halts.
    void step(u64 count);
    void switch_off(OffReason reason);
    // Power-cycles the machine; it runs on (or stays paused) from its reset state.
    void reset();

    // Whether this is called on the vCPU thread; any thread.
    [[nodiscard]] bool here() const { return std::this_thread::get_id() == thread_.get_id(); }
    // CPU time of the vCPU thread in ns; any thread.
    [[nodiscard]] u64 cpu_time_ns() const;

  private:
    void loop();
    void run_commands();
    void run_guest();
    [[nodiscard]] bool run_slice();
    [[nodiscard]] bool run_steps();
    void tell_breakpoints();
    [[nodiscard]] bool goes_on(const ExitReasons& why);
    void sleep_until_needed();
    void guest_reset();

    std::unique_ptr<Machine> machine_;
    StateChanged changed_;
    BreakpointTold breakpoint_;
    RunState run_state_ = RunState::paused;
    std::optional<u64> steps_left_;   // of step()
    u64 slice_ = 4096;                // instructions for the next turn of guest code
    std::vector<u64> recent_resets_;  // host ns

    std::mutex mutex_;  // guards the two below
    std::vector<Command> commands_;
    bool quit_ = false;
    std::condition_variable wake_;
    std::thread thread_;  // last: starts when everything else is there
};

}  // namespace ennead::vmcore
