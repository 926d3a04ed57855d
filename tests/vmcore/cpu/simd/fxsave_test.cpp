// SPDX-License-Identifier: MIT
// The image of FXSAVE, byte by byte (SDM vol 1, table 10-2), and what FXRSTOR makes of it.
#include <gtest/gtest.h>

#include "tests/vmcore/cpu/simd/simd_machine.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

using test::difference, test::FxImage;

constexpr u32 kData = test::TestMachine::kData;
constexpr std::string_view kFxsave = "0f ae 01", kFxrstor = "0f ae 09";  // [ECX]

class Fxsave : public ::testing::Test {
  protected:
    Fxsave() {
        state_.gpr[kEcx] = kData;
        for (unsigned n = 0; n < 512; ++n) {
            machine_.poke<u8>(kData + n, 0xee);
        }
    }
    void fill() {
        for (unsigned n = 0; n < 8; ++n) {
            const u64 pattern = 0x0101010101010101 * (n + 1);
            x87_.r[n] = {0xa0a0a0a0a0a0a0a0 + pattern, static_cast<u16>(0x7700 + n)};
            state_.xmm[n].set_lane(0, 0xb0b0b0b0b0b0b0b0 + pattern);
            state_.xmm[n].set_lane(1, 0xc0c0c0c0c0c0c0c0 + pattern);
        }
        x87_.control = 0x0a7f;
        x87_.status = 0x2801;  // TOP 5, IE
        x87_.tag = 0b11'00'00'11'11'11'11'00;
        x87_.opcode = 0x0321;
        x87_.instruction_offset = 0x11223344;
        x87_.instruction_selector = 0x5566;
        x87_.operand_offset = 0x778899aa;
        x87_.operand_selector = 0xbbcc;
        state_.mxcsr = 0x9fc1;
    }
    std::optional<GuestFault> run(std::string_view bytes) { return machine_.execute(bytes); }
    u8 byte(u32 at) { return machine_.peek<u8>(kData + at); }

    test::SimdMachine machine_;
    CpuState& state_ = machine_.state;
    X87State& x87_ = machine_.state.x87;
};

TEST_F(Fxsave, every_byte_is_where_the_manual_has_it) {
    fill();
    ASSERT_FALSE(run(kFxsave).has_value());
    std::array<u8, 512> expected{};
    const std::vector<u8> head = test::hex(
        "7f 0a 01 28 61 00 21 03 44 33 22 11 66 55 00 00"
        "aa 99 88 77 cc bb 00 00 c1 9f 00 00 ff ff 00 00");
    std::copy(head.begin(), head.end(), expected.begin());
    for (unsigned i = 0; i < 8; ++i) {
        const unsigned n = (5 + i) % 8;  // ST(i) is R[5 + i]
        std::fill_n(expected.begin() + 32 + 16 * i, 8, static_cast<u8>(0xa0 + n + 1));
        expected[40 + 16 * i] = static_cast<u8>(n);
        expected[41 + 16 * i] = 0x77;
        std::fill_n(expected.begin() + 160 + 16 * i, 8, static_cast<u8>(0xb0 + i + 1));
        std::fill_n(expected.begin() + 168 + 16 * i, 8, static_cast<u8>(0xc0 + i + 1));
    }
    std::fill(expected.begin() + 288, expected.end(), 0xee);  // not written
    for (unsigned n = 0; n < 512; ++n) {
        EXPECT_EQ(byte(n), expected[n]) << "byte " << n;
    }
    EXPECT_EQ(x87_.control, 0x0a7f) << "unlike FNSAVE it changes nothing";
    EXPECT_EQ(x87_.status, 0x2801);
}

TEST_F(Fxsave, fxrstor_takes_back_what_fxsave_stored) {
    fill();
    const FxImage before = machine_.image();
    ASSERT_FALSE(run(kFxsave).has_value());
    x87::init(x87_);
    for (unsigned n = 0; n < 8; ++n) {
        x87_.r[n] = {};
        state_.xmm[n] = {};
    }
    state_.mxcsr = 0;
    ASSERT_FALSE(run(kFxrstor).has_value());
    EXPECT_EQ(difference(machine_.image(), before), "");
    EXPECT_EQ(x87_.opcode, 0x0321);
    EXPECT_EQ(x87_.instruction_offset, 0x11223344u);
    EXPECT_EQ(x87_.instruction_selector, 0x5566);
    EXPECT_EQ(x87_.operand_offset, 0x778899aau);
    EXPECT_EQ(x87_.operand_selector, 0xbbcc);
}

TEST_F(Fxsave, fxrstor_derives_full_tags_and_the_summary) {
    x87_.r[0] = {u64{1} << 63, 0x3fff};  // valid
    x87_.r[1] = {0, 0};                  // zero
    x87_.r[2] = {1, 0};                  // special
    x87_.tag = 0;
    ASSERT_FALSE(run(kFxsave).has_value());
    machine_.poke<u8>(kData + 4, 0x07);
    machine_.poke<u16>(kData, 0x037e);      // IM clear
    machine_.poke<u16>(kData + 2, 0x0001);  // IE, without ES
    machine_.poke<u16>(kData + 6, 0xffff);
    ASSERT_FALSE(run(kFxrstor).has_value());
    EXPECT_EQ(x87_.tag, 0b11'11'11'11'11'10'01'00);
    EXPECT_TRUE(x87::pending(x87_));
    EXPECT_EQ(x87_.opcode, 0x07ff);
    EXPECT_FALSE(run(kFxsave).has_value()) << "does not wait";
    EXPECT_FALSE(run(kFxrstor).has_value());
    EXPECT_EQ(run("0f 6f c1")->vector, Vector::mf);
}

TEST_F(Fxsave, reserved_mxcsr_bits_are_refused_and_nothing_is_loaded) {
    fill();
    const FxImage before = machine_.image();
    for (unsigned n = 0; n < 512; ++n) {
        machine_.poke<u8>(kData + n, 0);
    }
    machine_.poke<u32>(kData + 24, 0x10000);
    const auto fault = run(kFxrstor);
    ASSERT_TRUE(fault.has_value());
    EXPECT_EQ(fault->vector, Vector::gp);
    EXPECT_EQ(fault->error_code, 0);
    EXPECT_EQ(difference(machine_.image(), before), "");
}

TEST_F(Fxsave, without_osfxsr_the_xmm_registers_are_left_out) {
    fill();
    state_.cr4 &= ~cr4::kOsfxsr;
    ASSERT_FALSE(run(kFxsave).has_value());
    EXPECT_EQ(byte(159), 0);
    for (unsigned n = 160; n < 512; ++n) {
        ASSERT_EQ(byte(n), 0xee) << n;
    }
    machine_.poke<u32>(kData + 24, 0xffffffff);
    const std::array<Xmm, 8> xmm = state_.xmm;
    ASSERT_FALSE(run(kFxrstor).has_value()) << "MXCSR is not looked at";
    EXPECT_EQ(state_.xmm, xmm);
    EXPECT_EQ(state_.mxcsr, 0x9fc1u);
}

TEST_F(Fxsave, faults_come_before_anything_is_stored_or_loaded) {
    fill();
    const auto expect = [&](Vector vector) {
        for (const std::string_view bytes : {kFxsave, kFxrstor}) {
            const FxImage before = machine_.image();
            const auto fault = run(bytes);
            ASSERT_TRUE(fault.has_value()) << bytes;
            EXPECT_EQ(fault->vector, vector) << bytes;
            EXPECT_EQ(difference(machine_.image(), before), "") << bytes;
            EXPECT_EQ(machine_.peek<u8>(kData), 0xee);
        }
    };
    for (const u32 bit : {cr0::kEm, cr0::kTs}) {
        state_.cr0 |= bit;
        expect(Vector::nm);
        state_.cr0 &= ~bit;
    }
    state_.gpr[kEcx] = kData + 8;
    expect(Vector::gp);
    // The second page of the operand is missing, though beyond what is written.
    machine_.enable_paging();
    machine_.page(kData + kPageSize, 0);
    state_.gpr[kEcx] = kData + kPageSize - 496;
    expect(Vector::pf);
    state_.gpr[kEcx] = kData;
    // Within the limit only in part.
    state_.segment(Seg::ds).limit = kData + 510;
    machine_.cpu.mode_changed();
    expect(Vector::gp);
}

TEST_F(Fxsave, mmx_registers_are_the_st_registers_of_the_image) {
    state_.gpr[kEax] = 0x12345678;
    ASSERT_FALSE(run("0f 6e d8").has_value());  // MOVD MM3, EAX
    ASSERT_FALSE(run(kFxsave).has_value());
    EXPECT_EQ(byte(4), 0xff);
    EXPECT_EQ(machine_.peek<u64>(kData + 32 + 3 * 16), 0x12345678u);
    EXPECT_EQ(machine_.peek<u16>(kData + 40 + 3 * 16), 0xffff);
}

}  // namespace
}  // namespace ennead::vmcore
