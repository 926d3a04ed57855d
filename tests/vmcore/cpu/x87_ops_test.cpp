// SPDX-License-Identifier: MIT
// The x87 stack and its exceptions, checked against the manual's words rather than against a
// processor.
#include "vmcore/cpu/interp/x87_ops.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace ennead::vmcore {
namespace {

using namespace x87;

constexpr X87Register kOne{u64{1} << 63, 0x3fff};
constexpr X87Register kTwo{u64{1} << 63, 0x4000};
constexpr X87Register kThree{u64{3} << 62, 0x4000};
constexpr X87Register kZero{0, 0};
constexpr X87Register kInfinity{u64{1} << 63, 0x7fff};
constexpr X87Register kIndefinite{u64{3} << 62, 0xffff};
constexpr X87Register kSignalling{(u64{1} << 63) | 1, 0x7fff};
constexpr X87Register kQuiet{(u64{3} << 62) | 1, 0x7fff};
constexpr X87Register kDenormal{1, 0};
constexpr X87Register kUnnormal{1, 0x3fff};
constexpr X87Register kLargest{~u64{0}, 0x7ffe};

bool same(const X87Register& a, const X87Register& b) {
    return a.significand == b.significand && a.sign_exponent == b.sign_exponent;
}

class X87OpsTest : public ::testing::Test {
  protected:
    X87OpsTest() { init(s); }
    void unmask(u16 exceptions) { load_control(s, static_cast<u16>(s.control & ~exceptions)); }
    void push_all(std::initializer_list<X87Register> values) {
        for (const X87Register& value : values) {
            load_real80(s, value);
        }
    }
    [[nodiscard]] u16 conditions() const { return s.status & (kC0 | kC1 | kC2 | kC3); }
    [[nodiscard]] u16 flags() const { return s.status & (kExceptions | kSf | kEs); }

    X87State s;
};

TEST_F(X87OpsTest, init_is_what_finit_leaves) {
    push_all({kOne});
    unmask(kExceptions);
    init(s);
    EXPECT_EQ(s.control, 0x037f);
    EXPECT_EQ(s.status, 0);
    EXPECT_EQ(s.tag, 0xffff);
    EXPECT_TRUE(same(s.r[7], kOne)) << "contents stay";
}

TEST_F(X87OpsTest, pushes_move_top_down_and_tag) {
    push_all({kOne, kZero, kInfinity, kDenormal, kUnnormal});
    EXPECT_EQ(top(s), 3u);
    // R7 valid, R6 zero, R5, R4, R3 special, the rest empty.
    EXPECT_EQ(s.tag, 0b00'01'10'10'10'11'11'11);
    EXPECT_TRUE(empty(s, 5));
    EXPECT_FALSE(empty(s, 4));
}

TEST_F(X87OpsTest, ninth_push_overflows) {
    for (int i = 0; i < 8; ++i) {
        push_all({kOne});
    }
    EXPECT_EQ(flags(), 0);
    push_all({kTwo});
    EXPECT_EQ(flags(), kIe | kSf);
    EXPECT_EQ(conditions(), kC1);
    EXPECT_TRUE(same(st(s, 0), kIndefinite));
    EXPECT_EQ(top(s), 7u);
}

TEST_F(X87OpsTest, unmasked_overflow_of_the_stack_changes_nothing) {
    for (int i = 0; i < 8; ++i) {
        push_all({kOne});
    }
    unmask(kIe);
    push_all({kTwo});
    EXPECT_EQ(flags(), kIe | kSf | kEs);
    EXPECT_EQ(top(s), 0u);
    EXPECT_TRUE(same(st(s, 0), kOne));
    EXPECT_TRUE(pending(s));
    clear_exceptions(s);
    EXPECT_FALSE(pending(s));
}

TEST_F(X87OpsTest, underflow_clears_c1_and_gives_the_indefinite) {
    s.status |= kC1;
    push_all({kOne});
    s.status |= kC1;
    arith(s, Arith::add, 1, 0, false);
    EXPECT_EQ(flags(), kIe | kSf);
    EXPECT_EQ(conditions() & kC1, 0);
    EXPECT_TRUE(same(st(s, 0), kIndefinite));
}

TEST_F(X87OpsTest, one_third_rounds_as_control_says) {
    struct Case {
        u16 control;
        u64 significand;
        u16 c1;
    };
    // clang-format off
    constexpr Case kCases[] = {
        {0x037f, 0xaaaaaaaaaaaaaaab, kC1},  // 64 bits, to nearest: up
        {0x077f, 0xaaaaaaaaaaaaaaaa, 0},    // down
        {0x0b7f, 0xaaaaaaaaaaaaaaab, kC1},  // up
        {0x0f7f, 0xaaaaaaaaaaaaaaaa, 0},    // to zero
        {0x027f, 0xaaaaaaaaaaaaa800, 0},    // 53 bits
        {0x007f, 0xaaaaab0000000000, kC1},  // 24 bits
    };
    // clang-format on
    for (const Case& c : kCases) {
        init(s);
        load_control(s, c.control);
        push_all({kThree, kOne});
        arith(s, Arith::div, 1, 0, false);
        EXPECT_EQ(st(s, 0).significand, c.significand) << std::hex << c.control;
        EXPECT_EQ(st(s, 0).sign_exponent, 0x3ffd);
        EXPECT_EQ(conditions() & kC1, c.c1) << std::hex << c.control;
        EXPECT_EQ(flags(), kPe);
    }
}

TEST_F(X87OpsTest, operand_order_of_the_reversed_forms) {
    const auto result = [this](Arith op, unsigned dst) {
        init(s);
        push_all({kTwo, kThree});  // ST(1) = 2, ST(0) = 3
        arith(s, op, 1, dst, false);
        return st(s, dst);
    };
    EXPECT_TRUE(same(result(Arith::sub, 0), kOne));
    EXPECT_TRUE(same(result(Arith::sub, 1), kOne)) << "DC E0+i: ST(i) = ST(0) - ST(i)";
    const X87Register minus_one{kOne.significand, 0xbfff};
    EXPECT_TRUE(same(result(Arith::subr, 0), minus_one));
    EXPECT_TRUE(same(result(Arith::subr, 1), minus_one));
}

TEST_F(X87OpsTest, memory_operands_of_all_kinds) {
    const auto add = [this](Operand kind, u32 low, u32 high) {
        init(s);
        push_all({kOne});
        arith_memory(s, Arith::add, kind, low, high);
        return st(s, 0);
    };
    EXPECT_TRUE(same(add(Operand::real32, 0x3f800000, 0), kTwo));
    EXPECT_TRUE(same(add(Operand::real64, 0, 0x40000000), kThree));
    EXPECT_TRUE(same(add(Operand::int32, 2, 0), kThree));
    EXPECT_TRUE(same(add(Operand::int16, 0xffff, 0), kZero));
    EXPECT_TRUE(same(add(Operand::real32, 0x7f800001, 0), X87Register{0xc000010000000000, 0x7fff}));
    EXPECT_EQ(flags(), kIe);
}

TEST_F(X87OpsTest, unmasked_invalid_keeps_operands_and_stack) {
    unmask(kIe);
    push_all({kSignalling, kOne});
    arith(s, Arith::mul, 1, 1, true);
    EXPECT_EQ(flags(), kIe | kEs);
    EXPECT_EQ(top(s), 6u);
    EXPECT_TRUE(same(st(s, 0), kOne));
    EXPECT_TRUE(same(st(s, 1), kSignalling));
}

TEST_F(X87OpsTest, zero_divide_masked_and_not) {
    push_all({kZero, kOne});
    arith(s, Arith::div, 1, 0, false);
    EXPECT_TRUE(same(st(s, 0), kInfinity));
    EXPECT_EQ(flags(), kZe);
    init(s);
    unmask(kZe);
    push_all({kZero, kOne});
    arith(s, Arith::div, 1, 0, false);
    EXPECT_TRUE(same(st(s, 0), kOne));
    EXPECT_EQ(flags(), kZe | kEs);
}

TEST_F(X87OpsTest, unmasked_overflow_and_underflow_adjust_the_exponent_by_24576) {
    unmask(kOe | kUe);
    push_all({kTwo, kLargest});
    arith(s, Arith::mul, 1, 0, false);
    EXPECT_EQ(st(s, 0).sign_exponent, 0x7fff - 24576);
    EXPECT_EQ(st(s, 0).significand, ~u64{0});
    EXPECT_EQ(flags(), kOe | kEs);
    init(s);
    unmask(kOe | kUe);
    push_all({kTwo, X87Register{u64{1} << 63, 1}});
    arith(s, Arith::div, 1, 0, false);
    EXPECT_EQ(st(s, 0).sign_exponent, 24576);
    EXPECT_EQ(flags(), kUe | kEs);
}

TEST_F(X87OpsTest, comparisons_set_c3_c2_c0) {
    const auto result = [this](const X87Register& st1, const X87Register& st0, bool unordered) {
        init(s);
        push_all({st1, st0});
        compare(s, 1, unordered, 2);
        EXPECT_EQ(s.tag, 0xffff);
        return static_cast<unsigned>(conditions());
    };
    EXPECT_EQ(result(kOne, kTwo, false), 0u);
    EXPECT_EQ(result(kTwo, kOne, false), kC0);
    EXPECT_EQ(result(kOne, kOne, false), kC3);
    EXPECT_EQ(result(kOne, kQuiet, true), static_cast<unsigned>(kC0 | kC2 | kC3));
    EXPECT_EQ(flags(), 0) << "FUCOM accepts a QNaN";
    EXPECT_EQ(result(kOne, kQuiet, false), static_cast<unsigned>(kC0 | kC2 | kC3));
    EXPECT_EQ(flags(), kIe);
}

TEST_F(X87OpsTest, comparison_to_flags) {
    u32 eflags = eflags::kIf | eflags::kOf | eflags::kSf | eflags::kAf;
    push_all({kTwo, kOne});
    compare_to_flags(s, 1, false, true, eflags);
    EXPECT_EQ(eflags, eflags::kIf | eflags::kCf);
    EXPECT_EQ(top(s), 7u);
    compare_to_flags(s, 0, false, false, eflags);
    EXPECT_EQ(eflags, eflags::kIf | eflags::kZf);
    compare_to_flags(s, 1, true, false, eflags);
    EXPECT_EQ(eflags, eflags::kIf | eflags::kZf | eflags::kPf | eflags::kCf);
    EXPECT_EQ(flags(), kIe | kSf);
}

TEST_F(X87OpsTest, examine_tells_the_class) {
    const auto result = [this](const X87Register& value) {
        init(s);
        push_all({value});
        xam(s);
        return static_cast<unsigned>(conditions());
    };
    EXPECT_EQ(result(kUnnormal), 0u);
    EXPECT_EQ(result(kQuiet), kC0);
    EXPECT_EQ(result(kOne), kC2);
    EXPECT_EQ(result({kOne.significand, 0xbfff}), static_cast<unsigned>(kC2 | kC1));
    EXPECT_EQ(result(kInfinity), static_cast<unsigned>(kC2 | kC0));
    EXPECT_EQ(result({0, 0x8000}), static_cast<unsigned>(kC3 | kC1));
    EXPECT_EQ(result(kDenormal), static_cast<unsigned>(kC3 | kC2));
    init(s);
    xam(s);
    EXPECT_EQ(conditions() & ~kC1, kC3 | kC0);
}

TEST_F(X87OpsTest, constants_have_64_bits) {
    // clang-format off
    constexpr struct { Constant which; X87Register value; } kCases[] = {
        {Constant::one,  {0x8000000000000000, 0x3fff}}, {Constant::l2t, {0xd49a784bcd1b8afe, 0x4000}},
        {Constant::l2e,  {0xb8aa3b295c17f0bc, 0x3fff}}, {Constant::pi,  {0xc90fdaa22168c235, 0x4000}},
        {Constant::lg2,  {0x9a209a84fbcff799, 0x3ffd}}, {Constant::ln2, {0xb17217f7d1cf79ac, 0x3ffe}},
        {Constant::zero, {0, 0}},
    };
    // clang-format on
    for (const auto& c : kCases) {
        init(s);
        load_constant(s, c.which);
        EXPECT_TRUE(same(st(s, 0), c.value)) << static_cast<unsigned>(c.which);
    }
}

TEST_F(X87OpsTest, loads_convert_exactly) {
    const auto result = [this](LoadFormat format, u64 bits, u16 high = 0) {
        init(s);
        load(s, format, {bits, high});
        return st(s, 0);
    };
    EXPECT_TRUE(same(result(LoadFormat::real32, 0xc0000000), {kTwo.significand, 0xc000}));
    EXPECT_TRUE(same(result(LoadFormat::real64, 0x3ff0000000000000), kOne));
    EXPECT_TRUE(same(result(LoadFormat::int16, 0x8000), {u64{1} << 63, 0xc00e}));
    EXPECT_TRUE(same(result(LoadFormat::int32, 3), kThree));
    EXPECT_TRUE(same(result(LoadFormat::int64, ~u64{0} >> 1), {~u64{0} - 1, 0x403d}));
    EXPECT_TRUE(same(result(LoadFormat::bcd, 0x12, 0x8000), {u64{3} << 62, 0xc002}));
    EXPECT_TRUE(same(result(LoadFormat::real32, 1), {u64{1} << 63, 0x3f6a}));
    EXPECT_EQ(flags(), kDe);
    EXPECT_TRUE(same(result(LoadFormat::real32, 0xff800001), {0xc000010000000000, 0xffff}));
    EXPECT_EQ(flags(), kIe);
}

TEST_F(X87OpsTest, stores_round_and_report) {
    const auto result = [this](const X87Register& value, StoreFormat format) {
        init(s);
        push_all({value});
        const Store store = prepare_store(s, format);
        EXPECT_TRUE(store.stored);
        commit_store(s, store, true);
        EXPECT_EQ(s.tag, 0xffff);
        return store.bytes;
    };
    const X87Register two_and_a_half{u64{5} << 61, 0x4000};
    EXPECT_EQ(result(two_and_a_half, StoreFormat::real32).significand, 0x40200000u);
    EXPECT_EQ(result(two_and_a_half, StoreFormat::int32).significand, 2u);
    EXPECT_EQ(flags(), kPe);
    EXPECT_EQ(result(kLargest, StoreFormat::int16).significand, 0x8000u);
    EXPECT_EQ(flags(), kIe);
    EXPECT_EQ(result(kLargest, StoreFormat::int64).significand, u64{1} << 63);
    EXPECT_EQ(result(kLargest, StoreFormat::real64).significand, 0x7ff0000000000000u);
    EXPECT_EQ(flags(), kOe | kPe);
    const X87Register bcd = result({u64{3} << 62, 0xc002}, StoreFormat::bcd);
    EXPECT_EQ(bcd.significand, 0x12u);
    EXPECT_EQ(bcd.sign_exponent, 0x8000);
}

TEST_F(X87OpsTest, store_of_nothing_gives_the_indefinite_of_the_format) {
    EXPECT_EQ(prepare_store(s, StoreFormat::real32).bytes.significand, 0xffc00000u);
    EXPECT_EQ(prepare_store(s, StoreFormat::real64).bytes.significand, 0xfff8000000000000u);
    EXPECT_EQ(prepare_store(s, StoreFormat::int32).bytes.significand, 0x80000000u);
    const X87Register bcd = prepare_store(s, StoreFormat::bcd).bytes;
    EXPECT_EQ(bcd.significand, 0xc000000000000000u);
    EXPECT_EQ(bcd.sign_exponent, 0xffff);
    EXPECT_EQ(prepare_store(s, StoreFormat::int16).status, kIe | kSf);
    EXPECT_TRUE(same(prepare_store_real80(s).bytes, kIndefinite));
    unmask(kIe);
    EXPECT_FALSE(prepare_store_real80(s).stored);
    EXPECT_FALSE(prepare_store(s, StoreFormat::int16).stored);
}

TEST_F(X87OpsTest, unmasked_overflow_prevents_a_store_and_the_pop) {
    unmask(kOe);
    push_all({kLargest});
    const Store store = prepare_store(s, StoreFormat::real32);
    EXPECT_FALSE(store.stored);
    commit_store(s, store, true);
    EXPECT_EQ(top(s), 7u);
    EXPECT_EQ(flags() & (kOe | kEs), kOe | kEs);
}

TEST_F(X87OpsTest, tangent_pushes_one_or_says_out_of_range) {
    push_all({kZero});
    push(s, Push::tan);
    EXPECT_TRUE(same(st(s, 0), kOne));
    EXPECT_TRUE(same(st(s, 1), kZero));
    init(s);
    push_all({kLargest});
    push(s, Push::tan);
    EXPECT_EQ(conditions() & kC2, kC2);
    EXPECT_EQ(top(s), 7u);
    EXPECT_TRUE(same(st(s, 0), kLargest));
}

TEST_F(X87OpsTest, extract_splits_and_remainder_tells_the_quotient) {
    push_all({kThree});
    push(s, Push::xtract);
    EXPECT_TRUE(same(st(s, 1), kOne));
    EXPECT_TRUE(same(st(s, 0), {u64{3} << 62, 0x3fff}));
    init(s);
    push_all({kTwo, X87Register{u64{7} << 61, 0x4001}});  // 7 by 2: quotient 3
    binary(s, Binary::prem);
    EXPECT_TRUE(same(st(s, 0), kOne));
    EXPECT_EQ(conditions(), kC3 | kC1);
}

TEST_F(X87OpsTest, exchange_fills_empty_registers) {
    push_all({kOne});
    exchange(s, 3);
    EXPECT_EQ(flags(), kIe | kSf);
    EXPECT_TRUE(same(st(s, 0), kIndefinite));
    EXPECT_TRUE(same(st(s, 3), kOne));
    EXPECT_FALSE(empty(s, 3));
}

TEST_F(X87OpsTest, rotation_moves_top_only) {
    push_all({kOne});
    rotate(s, -1);
    EXPECT_EQ(top(s), 6u);
    EXPECT_EQ(s.tag, 0x3fff);
    rotate(s, 1);
    rotate(s, 1);
    EXPECT_EQ(top(s), 0u);
}

TEST_F(X87OpsTest, environment_round_trips_and_tags_are_derived) {
    push_all({kOne, kZero, kInfinity});
    s.opcode = 0x5aa;
    s.instruction_offset = 0x12345678;
    s.instruction_selector = 0x73;
    s.operand_offset = 0xcafe0000;
    s.operand_selector = 0x7b;
    const X87State before = s;
    Environment words = environment(s, true, false);
    words[2] &= 0xffff0000u | 0x03ff;  // claims that all of R5…R7 are valid
    init(s);
    load_environment(s, words, true, false);
    EXPECT_EQ(s.control, before.control);
    EXPECT_EQ(s.status, before.status);
    EXPECT_EQ(s.tag, before.tag);
    EXPECT_EQ(s.opcode, before.opcode);
    EXPECT_EQ(s.instruction_offset, before.instruction_offset);
    EXPECT_EQ(s.operand_selector, before.operand_selector);
}

TEST_F(X87OpsTest, environment_with_an_unmasked_flag_is_pending) {
    Environment words = environment(s, true, false);
    words[0] = 0x0300;
    words[1] = kZe;
    load_environment(s, words, true, false);
    EXPECT_TRUE(pending(s));
    words[1] = kEs | kBusy;  // a summary without a cause
    load_environment(s, words, true, false);
    EXPECT_FALSE(pending(s));
}

}  // namespace
}  // namespace ennead::vmcore
