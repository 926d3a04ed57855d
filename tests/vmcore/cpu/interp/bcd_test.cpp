// SPDX-License-Identifier: MIT
// Decimal adjustment: 64-bit hosts lack these instructions, so the SDM's pseudo code, written out,
// is the oracle.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::Mode;
using test::TestMachine;
using namespace eflags;

struct Decimal {
    u32 al, ah;
    bool cf, af;
};

// SDM vol 2A, "Operation" of each.
Decimal daa(Decimal s) {
    const u32 old_al = s.al;
    const bool old_cf = s.cf;
    s.cf = false;
    if ((s.al & 0xf) > 9 || s.af) {
        s.cf = old_cf || s.al + 6 > 0xff;
        s.al = (s.al + 6) & 0xff;
        s.af = true;
    } else {
        s.af = false;
    }
    if (old_al > 0x99 || old_cf) {
        s.al = (s.al + 0x60) & 0xff;
        s.cf = true;
    } else {
        s.cf = false;
    }
    return s;
}

Decimal das(Decimal s) {
    const u32 old_al = s.al;
    const bool old_cf = s.cf;
    s.cf = false;
    if ((s.al & 0xf) > 9 || s.af) {
        s.cf = old_cf || s.al < 6;
        s.al = (s.al - 6) & 0xff;
        s.af = true;
    } else {
        s.af = false;
    }
    if (old_al > 0x99 || old_cf) {
        s.al = (s.al - 0x60) & 0xff;
        s.cf = true;
    }
    return s;
}

Decimal aaa(Decimal s) {
    const u32 ax = s.ah << 8 | s.al;
    const bool adjust = (s.al & 0xf) > 9 || s.af;
    const u32 sum = adjust ? ax + 0x106 : ax;
    return {sum & 0xf, sum >> 8 & 0xff, adjust, adjust};
}

Decimal aas(Decimal s) {
    const u32 ax = s.ah << 8 | s.al;
    const bool adjust = (s.al & 0xf) > 9 || s.af;
    const u32 difference = adjust ? ax - 6 - 0x100 : ax;
    return {difference & 0xf, difference >> 8 & 0xff, adjust, adjust};
}

struct DecimalCase {
    const char* name;
    const char* bytes;
    Decimal (*expected)(Decimal);
    bool defines_result_flags;  // SF, ZF, PF
};
constexpr DecimalCase kCases[] = {{"daa", "27", daa, true},
                                  {"das", "2f", das, true},
                                  {"aaa", "37", aaa, false},
                                  {"aas", "3f", aas, false}};

TEST(bcd, adjusts_every_al_with_every_carry) {
    TestMachine machine;
    for (const DecimalCase& each : kCases) {
        for (u32 al = 0; al < 256; ++al) {
            for (const u32 flags : {u32{0}, u32{kCf}, u32{kAf}, u32{kCf | kAf}}) {
                const Decimal expected =
                    each.expected({al, 0x12, (flags & kCf) != 0, (flags & kAf) != 0});
                machine.state.gpr[kEax] = 0xabcd1200 | al;
                machine.state.eflags = kFixed | flags;
                ASSERT_FALSE(machine.execute(each.bytes).has_value());
                const u32 f = machine.state.eflags;
                ASSERT_EQ(machine.state.gpr[kEax], 0xabcd0000 | expected.ah << 8 | expected.al)
                    << each.name << " " << al << " " << flags;
                ASSERT_EQ((f & kCf) != 0, expected.cf) << each.name << " " << al << " " << flags;
                ASSERT_EQ((f & kAf) != 0, expected.af) << each.name << " " << al << " " << flags;
                if (each.defines_result_flags) {
                    ASSERT_EQ((f & kZf) != 0, expected.al == 0);
                    ASSERT_EQ((f & kSf) != 0, (expected.al & 0x80) != 0);
                    ASSERT_EQ((f & kPf) != 0, __builtin_parity(expected.al) == 0);
                }
            }
        }
    }
}

TEST(bcd, aam_divides_and_aad_multiplies_by_any_base) {
    TestMachine machine;
    machine.state.gpr[kEax] = 0x7777004f;
    ASSERT_FALSE(machine.execute("d4 0a").has_value());
    EXPECT_EQ(machine.state.gpr[kEax], 0x77770709u);
    ASSERT_FALSE(machine.execute("d5 0a").has_value());
    EXPECT_EQ(machine.state.gpr[kEax], 0x7777004fu);
    ASSERT_FALSE(machine.execute("d4 10").has_value());
    EXPECT_EQ(machine.state.gpr[kEax], 0x7777040fu);
    machine.state.gpr[kEax] = 0x0000ff80;
    ASSERT_FALSE(machine.execute("d5 80").has_value());
    EXPECT_EQ(machine.state.gpr[kEax], 0u);
    EXPECT_EQ(machine.state.eflags & (kZf | kSf | kPf), u32{kZf | kPf});
}

TEST(bcd, aam_by_zero_is_a_divide_error) {
    TestMachine machine;
    machine.state.gpr[kEax] = 0x1234;
    const auto fault = machine.execute("d4 00");
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::de);
    EXPECT_EQ(machine.state.gpr[kEax], 0x1234u);
}

}  // namespace
}  // namespace ennead::vmcore
