// SPDX-License-Identifier: MIT
// The host's files under the server: what is granted, remade for each session, and what is not,
// which must be afterwards as it was.
#pragma once

#include <cstdint>
#include <string>

#include "tests/synthfs/host_dir_test_kit.h"

namespace ennead::fuzz9p {

// Below one directory: `share`, granted to be written, with links that lead out; `base`, the lower
// layer of overlays, which nobody may write; `scratch`, for their upper layers; `outside/` and
// `secret`, granted to nobody; `elsewhere`, where the host moves things to.
class Ground {
  public:
    Ground();

    // All as at first, for one more session.
    void restore();
    // The host does something to `share`, one of kDisturbances.
    void disturb(std::uint64_t which);
    static constexpr std::uint64_t kDisturbances = 12;

    // The descriptor of a granted directory, made if it is a scratch layer's.
    [[nodiscard]] int grant(const std::string& name) const;

    // What no reply may have in it: contents and names of what is not granted. Another one in each
    // session, so that the fuzzer cannot learn it.
    [[nodiscard]] const std::string& secret() const { return secret_; }

    // What is wrong outside of what is granted, or in what the guest has left there; empty:
    // nothing.
    [[nodiscard]] std::string complaint() const;

  private:
    [[nodiscard]] std::string state_outside() const;

    const synthfs::test::TempDir top_;
    std::uint64_t sessions_ = 0;
    std::string secret_, outside_;
};

}  // namespace ennead::fuzz9p
