// SPDX-License-Identifier: MIT
// An Offload for tests: nothing happens until they say so.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "synthfs/offload.h"

namespace ennead::synthfs::test {

class Kept final : public Offload {
  public:
    void run(std::function<void()> work, std::function<void()> then) override {
        jobs_.emplace_back(std::move(work), std::move(then));
    }
    [[nodiscard]] std::size_t jobs() const { return jobs_.size(); }
    // Those that there are now; not those that they lead to.
    void do_all() {
        for (auto& [work, then] : std::exchange(jobs_, {})) {
            work();
            then();
        }
    }

  private:
    std::vector<std::pair<std::function<void()>, std::function<void()>>> jobs_;
};

}  // namespace ennead::synthfs::test
