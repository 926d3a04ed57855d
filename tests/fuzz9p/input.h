// SPDX-License-Identifier: MIT
// A fuzzer's input as a row of choices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ennead::fuzz9p {

// A choice takes as many bytes as it needs to reach each answer, little-endian; past the end all
// are 0.
class Input {
  public:
    explicit Input(std::span<const std::uint8_t> bytes) : left_(bytes) {}

    [[nodiscard]] bool empty() const { return left_.empty(); }

    std::uint8_t byte() {
        if (left_.empty()) {
            return 0;
        }
        const std::uint8_t first = left_.front();
        left_ = left_.subspan(1);
        return first;
    }
    std::uint64_t below(std::uint64_t limit) {
        std::uint64_t value = 0;
        int shift = 0;
        for (std::uint64_t rest = limit - 1; rest != 0; rest >>= 8, shift += 8) {
            value |= std::uint64_t{byte()} << shift;
        }
        return value % limit;
    }
    std::span<const std::uint8_t> take(std::size_t most) {
        const auto taken = left_.first(most < left_.size() ? most : left_.size());
        left_ = left_.subspan(taken.size());
        return taken;
    }

  private:
    std::span<const std::uint8_t> left_;
};

}  // namespace ennead::fuzz9p
