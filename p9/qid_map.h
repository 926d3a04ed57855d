// SPDX-License-Identifier: MIT
// (source, path) pairs folded into the 64 bits of a qid's path, uniquely for one connection.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>

namespace ennead::p9 {

// The upper 16 bits number the source in order of appearance, the lower 48 are the path: file
// systems rarely count higher. A path that is larger, or a source past the 65,534th, goes through a
// table, whose entries have 0xffff above. So the first source's paths, which are nearly all there
// are, come out unchanged.
class QidMap {
  public:
    [[nodiscard]] std::uint64_t fold(std::uint64_t source, std::uint64_t path);

  private:
    std::unordered_map<std::uint64_t, std::uint64_t> sources_;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> large_;
};

}  // namespace ennead::p9
