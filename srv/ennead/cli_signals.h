// SPDX-License-Identifier: MIT
// Signals of `run` and `exec`, which have something to leave in order.
#pragma once

#include <csignal>

namespace ennead::srv {

// From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT only interrupt what waits, and SIGPIPE is
// ignored.
void catch_signals();
// How often SIGINT came since.
[[nodiscard]] int interrupts();
// Which of the other three came last, or 0.
[[nodiscard]] int ending_signal();
// Any of the four, or 0.
[[nodiscard]] int caught_signal();

// While this lives none of the four is handled, but in a ppoll that is given before().
class SignalsHeld {
  public:
    SignalsHeld();
    ~SignalsHeld();
    SignalsHeld(const SignalsHeld&) = delete;
    SignalsHeld& operator=(const SignalsHeld&) = delete;
    [[nodiscard]] const sigset_t& before() const { return before_; }

  private:
    sigset_t before_{};
};

}  // namespace ennead::srv
