// SPDX-License-Identifier: MIT
// The MMX registers and the x87 they live in (SDM vol 3A §12.2).
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/simd/simd_machine.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

constexpr u32 kData = test::TestMachine::kData;

class Mmx : public ::testing::Test {
  protected:
    void run(std::string_view bytes) { EXPECT_FALSE(machine_.execute(bytes).has_value()) << bytes; }

    test::SimdMachine machine_;
    CpuState& state_ = machine_.state;
    X87State& x87_ = machine_.state.x87;
};

TEST_F(Mmx, a_write_sets_the_exponent_and_makes_the_whole_stack_valid) {
    run("d9 e8");  // FLD1: R7
    ASSERT_EQ(x87::top(x87_), 7u);
    state_.gpr[kEax] = 0x89abcdef;
    run("0f 6e d0");  // MOVD MM2, EAX
    EXPECT_EQ(x87_.r[2].significand, 0x89abcdefu);
    EXPECT_EQ(x87_.r[2].sign_exponent, 0xffff);
    EXPECT_EQ(x87_.r[7].significand, u64{1} << 63);
    EXPECT_EQ(x87_.r[7].sign_exponent, 0x3fff) << "others keep their exponents";
    EXPECT_EQ(x87::top(x87_), 0u);
    EXPECT_EQ(x87::abridged_tags(x87_), 0xff);
}

TEST_F(Mmx, a_read_makes_the_stack_valid_and_changes_no_register) {
    run("d9 e8");
    x87_.r[3] = {0x1122334455667788, 0x4321};
    run("0f 7e d8");  // MOVD EAX, MM3
    EXPECT_EQ(state_.gpr[kEax], 0x55667788u);
    EXPECT_EQ(x87_.r[3].sign_exponent, 0x4321);
    EXPECT_EQ(x87::top(x87_), 0u);
    EXPECT_EQ(x87::abridged_tags(x87_), 0xff);
}

TEST_F(Mmx, emms_empties_the_stack_and_keeps_the_contents) {
    state_.gpr[kEax] = 0x1234;
    run("0f 6e c0");
    run("0f 77");
    EXPECT_EQ(x87_.tag, 0xffff);
    EXPECT_EQ(x87::top(x87_), 0u);
    EXPECT_EQ(x87_.r[0].significand, 0x1234u);
    run("d9 e8");
    EXPECT_EQ(x87_.status & x87::kIe, 0) << "room for a push";
}

TEST_F(Mmx, a_push_after_mmx_without_emms_overflows) {
    run("0f ef c0");  // PXOR MM0, MM0
    run("d9 e8");
    EXPECT_EQ(x87_.status & (x87::kIe | x87::kSf | x87::kC1), x87::kIe | x87::kSf | x87::kC1);
}

TEST_F(Mmx, stored_tags_follow_from_the_contents) {
    run("d9 e8");     // R7 = 1
    run("d9 ee");     // R6 = 0
    run("0f ef c0");  // MM0 = 0, exponent all ones: special
    run("d9 71 00");  // FNSTENV, where ECX points
    const u16 tag = machine_.peek<u16>(state_.gpr[kEcx] + 8);
    EXPECT_EQ(tag, 0b00'01'01'01'01'01'01'10);
}

TEST_F(Mmx, an_x87_register_is_read_as_its_significand) {
    run("d9 e8");     // FLD1 into R7
    run("0f 7f 39");  // MOVQ [ECX], MM7
    EXPECT_EQ(machine_.peek<u64>(state_.gpr[kEcx]), u64{1} << 63);
}

TEST_F(Mmx, sse2_moves_between_the_files_zero_extend) {
    x87_.r[1].significand = 0x1122334455667788;
    state_.xmm[0].bytes.fill(0xff);
    run("f3 0f d6 c1");  // MOVQ2DQ XMM0, MM1
    EXPECT_EQ(state_.xmm[0].lane<u64>(0), 0x1122334455667788u);
    EXPECT_EQ(state_.xmm[0].lane<u64>(1), 0u);
    run("f2 0f d6 d0");  // MOVDQ2Q MM2, XMM0
    EXPECT_EQ(x87_.r[2].significand, 0x1122334455667788u);
    EXPECT_EQ(x87_.r[2].sign_exponent, 0xffff);
}

TEST_F(Mmx, reset_clears_the_registers) {
    machine_.state.reset();
    EXPECT_EQ(state_.mxcsr, 0x1f80u);
    for (unsigned n = 0; n < 8; ++n) {
        EXPECT_EQ(state_.xmm[n], Xmm{});
        EXPECT_EQ(x87_.r[n].significand, 0u);
    }
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(state_.xmm.data()) % 16, 0u);
}

// FISTTP rounds to zero under any rounding control; the oracle tests of the x87 cover the rest.
TEST_F(Mmx, fisttp_truncates) {
    state_.gpr[kEcx] = kData;
    for (const u16 rounding : {0x037f, 0x077f, 0x0b7f, 0x0f7f}) {
        x87::init(x87_);
        x87::load_control(x87_, rounding);
        x87::load_real80(x87_, {0xe000000000000000, 0xc000});  // -3.5
        run("db 09");
        EXPECT_EQ(machine_.peek<u32>(kData), static_cast<u32>(-3));
        EXPECT_EQ(x87_.status & (x87::kPe | x87::kC1), x87::kPe);
        EXPECT_EQ(x87_.tag, 0xffff) << "popped";
        EXPECT_EQ(x87_.control, rounding);
    }
}

}  // namespace
}  // namespace ennead::vmcore
