// SPDX-License-Identifier: MIT
// Looks at everything, and changes a few machines that everybody changes. What that comes to
// depends on the others, so only what tree.md allows at all is asked for.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "tests/stress/client.h"

namespace ennead::stress {

class Meddler {
  public:
    // Machines have numbers up to `*last`, or a little above it.
    Meddler(Client& client, std::vector<std::string> victims, const std::atomic<unsigned>& last)
        : client_(client), victims_(std::move(victims)), last_(last) {}

    void step();

  private:
    std::string any_file();
    void look_at_any();
    void stat_any();
    void list_any();
    void call_off();
    void change_victim();
    void write_junk();
    void vanish();

    Client& client_;
    const std::vector<std::string> victims_;
    const std::atomic<unsigned>& last_;
};

}  // namespace ennead::stress
