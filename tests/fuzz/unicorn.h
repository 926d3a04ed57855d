// SPDX-License-Identifier: MIT
// The Unicorn library as a CPU that can be put into any state of a case.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "tests/fuzz/case.h"
#include "vmcore/cpu/state.h"

namespace ennead::vmcore::fuzz {

// The registers that are compared.
struct Registers {
    std::array<u32, 8> gpr{};
    u32 eip = 0, eflags = 0, cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
    std::array<u16, kSegCount> selectors{};
};

class Unicorn {
  public:
    static constexpr u32 kOwnPage = 0xfd000;  // of RAM that is not the case's

    struct Outcome {
        enum class Kind {
            done,        // all steps, and it stands before what comes after them
            fault,       // `vector`, which nothing delivers
            elsewhere,   // it went to `eip` after the first `reached` steps
            unanswered,  // there is no memory where it looked, or it gave up
        };
        Kind kind{};
        std::size_t reached = 0;  // steps begun
        unsigned vector = 0;
        u32 eip = 0;
    };

    Unicorn();  // aborts if there is no Unicorn
    ~Unicorn();
    Unicorn(const Unicorn&) = delete;
    Unicorn& operator=(const Unicorn&) = delete;

    // What linear addresses lead to. Unicorn's own page walks check rights and set bits, but take
    // linear for physical addresses.
    struct Piece {
        u32 linear = 0, physical = 0, size = 0;
        bool code = false;
        bool operator==(const Piece&) const = default;
    };
    void map(std::vector<Piece> pieces);
    // The state and memory that the next run starts from. `new_code`: not that of the last time.
    void enter(const CpuState& state, const u8* ram, bool new_code);
    // Instructions at `steps`, then one at `after`, which is not begun.
    [[nodiscard]] Outcome run(std::span<const u32> steps, u32 after);

    [[nodiscard]] Registers registers();
    [[nodiscard]] const u8* ram() const { return ram_; }

  private:
    struct Engine;

    void forget_code();
    void put(u32 address, u32 value);

    std::unique_ptr<Engine> engine_;
    u8* ram_ = nullptr;
    u32 begin_ = 0;
    std::vector<Piece> pieces_;
    bool remapped_ = false;
};

}  // namespace ennead::vmcore::fuzz
