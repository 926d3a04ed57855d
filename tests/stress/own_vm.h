// SPDX-License-Identifier: MIT
// A machine that one client alone changes: so that client knows what every file of it must say.
#pragma once

#include <set>
#include <string>

#include "tests/stress/client.h"

namespace ennead::stress {

class OwnVm {
  public:
    // What its guest does: says hi and halts, sends back what is typed, or counts for ever.
    enum class Guest { hello, echo, spin };

    // Makes it. `label` is part of its names; `running`: it is to run most of the time.
    OwnVm(Client& client, std::string label, Guest guest, const std::string& kernel, bool running);

    [[nodiscard]] unsigned number() const { return number_; }
    // One random operation, and everything that it should have changed.
    void step();
    // All that is known of it, once more.
    void verify();
    void destroy();

  private:
    enum class State { off, running, paused };

    [[nodiscard]] std::string file(const char* name);  // by its number or its name
    void become(State state);                          // through ctl
    void await_status(const std::string& words);

    void change_setting();
    void change_name();
    void change_namespace();
    void mistake();
    void read_ctl();
    void look();
    void wait_in_vain();
    void follow_events();
    void make_again();
    void change_state();
    void registers();
    void memory();
    void type();

    Client& client_;
    const std::string label_;
    const Guest guest_;
    const std::string kernel_;
    const bool running_;

    unsigned number_ = 0;
    std::string name_;  // its number while it has none
    State state_ = State::off;
    std::string status_ = "new - -";  // while off
    std::string memory_ = "24M";
    std::string append_;
    std::set<unsigned> binds_;
    unsigned names_given_ = 0, typed_ = 0;
};

}  // namespace ennead::stress
