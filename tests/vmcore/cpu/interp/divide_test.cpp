// SPDX-License-Identifier: MIT
// DIV and IDIV against C++'s own division, and exactly when they are a divide error (SDM vol 2A,
// DIV and IDIV).
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::TestMachine;

class Divide : public testing::Test {
  protected:
    // EDX:EAX (or DX:AX, AX) by EBX; the encodings for EBX, BX, BL.
    std::optional<GuestFault> run(const char* bytes, u32 high, u32 low, u32 divisor) {
        machine_.state.gpr[kEdx] = high;
        machine_.state.gpr[kEax] = low;
        machine_.state.gpr[kEbx] = divisor;
        return machine_.execute(bytes);
    }
    void expect_error(const char* bytes, u32 high, u32 low, u32 divisor) {
        const auto fault = run(bytes, high, low, divisor);
        ASSERT_TRUE(fault.has_value()) << bytes << " " << high << ":" << low << " / " << divisor;
        EXPECT_EQ(fault->vector, Vector::de);
        EXPECT_EQ(machine_.state.gpr[kEax], low);
        EXPECT_EQ(machine_.state.gpr[kEdx], high);
    }
    TestMachine machine_;
};

TEST_F(Divide, unsigned_32_bits_agree_with_the_host) {
    std::mt19937_64 random(7);
    for (unsigned n = 0; n < 3000; ++n) {
        const u64 dividend = random() >> (random() % 64);
        const u32 divisor = static_cast<u32>(random() >> (32 + random() % 32));
        const u32 high = static_cast<u32>(dividend >> 32), low = static_cast<u32>(dividend);
        if (divisor == 0 || dividend / divisor > std::numeric_limits<u32>::max()) {
            expect_error("f7 f3", high, low, divisor);
        } else {
            ASSERT_FALSE(run("f7 f3", high, low, divisor).has_value());
            ASSERT_EQ(machine_.state.gpr[kEax], dividend / divisor);
            ASSERT_EQ(machine_.state.gpr[kEdx], dividend % divisor);
        }
    }
}

TEST_F(Divide, signed_32_bits_agree_with_the_host) {
    std::mt19937_64 random(8);
    for (unsigned n = 0; n < 3000; ++n) {
        const i64 dividend = static_cast<i64>(random()) >> (random() % 64);
        const i32 divisor = static_cast<i32>(static_cast<i64>(random()) >> (32 + random() % 32));
        const u32 high = static_cast<u32>(static_cast<u64>(dividend) >> 32),
                  low = static_cast<u32>(dividend);
        const bool traps =
            divisor == 0 || (divisor == -1 && dividend == std::numeric_limits<i64>::min());
        if (traps || dividend / divisor != static_cast<i32>(dividend / divisor)) {
            expect_error("f7 fb", high, low, static_cast<u32>(divisor));
        } else {
            ASSERT_FALSE(run("f7 fb", high, low, static_cast<u32>(divisor)).has_value());
            ASSERT_EQ(machine_.state.gpr[kEax], static_cast<u32>(dividend / divisor));
            ASSERT_EQ(machine_.state.gpr[kEdx], static_cast<u32>(dividend % divisor));
        }
    }
}

TEST_F(Divide, limits_of_the_quotient_are_exact) {
    // INT_MIN / -1 does not fit; INT_MIN / 1 does.
    expect_error("f7 fb", 0xffffffff, 0x80000000, 0xffffffff);
    ASSERT_FALSE(run("f7 fb", 0xffffffff, 0x80000000, 1).has_value());
    EXPECT_EQ(machine_.state.gpr[kEax], 0x80000000u);
    expect_error("f7 fb", 0x80000000, 0, 0xffffffff);  // the one that traps on hosts
    expect_error("f7 f3", 1, 0, 1);
    // Bytes: AX / BL, quotient in AL, remainder in AH.
    ASSERT_FALSE(run("f6 f3", 0x55, 0xab0000ff, 0x10).has_value());
    EXPECT_EQ(machine_.state.gpr[kEax], 0xab000f0fu);
    expect_error("f6 f3", 0, 0x1000, 0x10);
    expect_error("f6 fb", 0, 0x0080, 0x01);  // 128 / 1 does not fit a signed byte
    ASSERT_FALSE(run("f6 fb", 0, 0xff80, 0x01).has_value());
    EXPECT_EQ(machine_.state.gpr[kEax], 0x0080u);
    // Words: the upper halves stay.
    ASSERT_FALSE(run("66 f7 f3", 0x11110001, 0x22220000, 0x8000).has_value());
    EXPECT_EQ(machine_.state.gpr[kEax], 0x22220002u);
    EXPECT_EQ(machine_.state.gpr[kEdx], 0x11110000u);
    expect_error("66 f7 fb", 0x0000ffff, 0x8000, 0xffff);
}

}  // namespace
}  // namespace ennead::vmcore
