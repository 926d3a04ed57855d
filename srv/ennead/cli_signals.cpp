// SPDX-License-Identifier: MIT
// Counts and notes signals.
#include "srv/ennead/cli_signals.h"

#include <array>

#include "srv/ennead/cli_tree.h"

namespace ennead::srv {
namespace {

volatile std::sig_atomic_t interrupted = 0;
volatile std::sig_atomic_t asked_to_end = 0;
constexpr std::array kEnding{SIGTERM, SIGHUP, SIGQUIT};

}  // namespace

void catch_signals() {
    handle_signal(SIGINT, [](int) { interrupted = interrupted + 1; });
    for (const int number : kEnding) {
        handle_signal(number, [](int which) { asked_to_end = which; });
    }
    handle_signal(SIGPIPE, SIG_IGN);
}

int interrupts() {
    return interrupted;
}

int ending_signal() {
    return asked_to_end;
}

int caught_signal() {
    return asked_to_end != 0 ? asked_to_end : interrupted != 0 ? SIGINT : 0;
}

SignalsHeld::SignalsHeld() {
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    for (const int number : kEnding) {
        sigaddset(&ours, number);
    }
    pthread_sigmask(SIG_BLOCK, &ours, &before_);
}

SignalsHeld::~SignalsHeld() {
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace ennead::srv
