// SPDX-License-Identifier: MIT
// Arithmetic, shifts, bits and multiplication against the host's ALU, over edge values and seeded
// random ones.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "tests/vmcore/cpu/interp/host_alu.h"
#include "tests/vmcore/cpu/test_machine.h"

namespace ennead::vmcore {
namespace {

using test::AluState;
using test::TestMachine;
using namespace eflags;

struct HostCase {
    const char* name;
    const char* bytes;  // the guest's encoding, 32-bit code: EAX, EBX, ECX, EDX as the host's
    void (*host)(AluState&);
    u32 compared;  // the flags on which the SDM and all hosts agree
};

constexpr u32 kAll = kArith;
constexpr u32 kNoAf = kArith & ~kAf;
constexpr u32 kNoAfOf = kArith & ~(kAf | kOf);
constexpr u32 kCarryOverflow = kCf | kOf;

// clang-format off
#define OP(name, instruction) ENNEAD_HOST_ALU(host_##name, instruction)
#define BY_WIDTH(name, o8, o16, o32) OP(name##8, o8) OP(name##16, o16) OP(name##32, o32)
#define BINARY(name) BY_WIDTH(name, #name "b %%bl, %%al", #name "w %%bx, %%ax", #name "l %%ebx, %%eax")
#define UNARY(name) BY_WIDTH(name, #name "b %%al", #name "w %%ax", #name "l %%eax")
#define SHIFT(name) BY_WIDTH(name, #name "b %%cl, %%al", #name "w %%cl, %%ax", #name "l %%cl, %%eax")
#define WIDENING(name) BY_WIDTH(name, #name "b %%bl", #name "w %%bx", #name "l %%ebx")
BINARY(add) BINARY(or) BINARY(adc) BINARY(sbb) BINARY(and) BINARY(sub) BINARY(xor) BINARY(cmp) BINARY(test)
UNARY(inc) UNARY(dec) UNARY(neg) UNARY(not)
SHIFT(rol) SHIFT(ror) SHIFT(rcl) SHIFT(rcr) SHIFT(shl) SHIFT(shr) SHIFT(sar)
WIDENING(mul) WIDENING(imul)
OP(imul_r16, "imulw %%bx, %%ax") OP(imul_r32, "imull %%ebx, %%eax")
OP(imul_i16, "imulw $0x1234, %%bx, %%ax") OP(imul_i32, "imull $-7, %%ebx, %%eax")
OP(shld32, "shldl %%cl, %%ebx, %%eax") OP(shrd32, "shrdl %%cl, %%ebx, %%eax")
OP(shld16, "shldw %%cl, %%bx, %%ax") OP(shrd16, "shrdw %%cl, %%bx, %%ax")
OP(bt16, "btw %%bx, %%ax") OP(bt32, "btl %%ebx, %%eax") OP(bts16, "btsw %%bx, %%ax")
OP(bts32, "btsl %%ebx, %%eax") OP(btr32, "btrl %%ebx, %%eax") OP(btc32, "btcl %%ebx, %%eax")
OP(bts_i, "btsl $37, %%eax")
OP(bsf16, "bsfw %%bx, %%ax") OP(bsf32, "bsfl %%ebx, %%eax")
OP(bsr16, "bsrw %%bx, %%ax") OP(bsr32, "bsrl %%ebx, %%eax")
OP(xadd8, "xaddb %%bl, %%al") OP(xadd16, "xaddw %%bx, %%ax") OP(xadd32, "xaddl %%ebx, %%eax")
OP(xadd_same, "xaddl %%eax, %%eax")
OP(xchg8, "xchgb %%bl, %%ah") OP(xchg32, "xchgl %%ebx, %%edx")
OP(cmpxchg8, "cmpxchgb %%cl, %%bl") OP(cmpxchg16, "cmpxchgw %%cx, %%bx") OP(cmpxchg32, "cmpxchgl %%ecx, %%ebx")
OP(movzx, "movzbl %%bh, %%eax") OP(movzx_w, "movzwl %%bx, %%eax")
OP(movsx, "movsbl %%bl, %%eax") OP(movsx16, "movsbw %%bl, %%ax") OP(movsx_w, "movswl %%bx, %%eax")
OP(cbw, "cbtw") OP(cwde, "cwtl") OP(cwd, "cwtd") OP(cdq, "cltd") OP(bswap, "bswap %%eax")
OP(lahf, "lahf") OP(sahf, "sahf") OP(cmc, "cmc") OP(clc, "clc") OP(stc, "stc")
OP(lea, "leal -5(%%eax,%%ebx,4), %%edx") OP(lea16, "leaw 3(%%eax,%%ebx), %%dx")
OP(add_high, "addb %%bh, %%ah") OP(add_imm8, "addl $-2, %%eax") OP(cmp_imm, "cmpw $0x7fff, %%ax")
OP(add_acc, "addl $0x12345678, %%eax")
OP(rol_i, "roll $9, %%eax") OP(shl_1, "shlw $1, %%ax") OP(rcr_1, "rcrb $1, %%al")
#undef WIDENING
#undef SHIFT
#undef UNARY
#undef BINARY
#undef BY_WIDTH
#undef OP

constexpr HostCase kCases[] = {
    {"add8", "00 d8", host_add8, kAll}, {"add16", "66 01 d8", host_add16, kAll}, {"add32", "01 d8", host_add32, kAll},
    {"or8", "08 d8", host_or8, kNoAf}, {"or16", "66 09 d8", host_or16, kNoAf}, {"or32", "09 d8", host_or32, kNoAf},
    {"adc8", "10 d8", host_adc8, kAll}, {"adc16", "66 11 d8", host_adc16, kAll}, {"adc32", "11 d8", host_adc32, kAll},
    {"sbb8", "18 d8", host_sbb8, kAll}, {"sbb16", "66 19 d8", host_sbb16, kAll}, {"sbb32", "19 d8", host_sbb32, kAll},
    {"and8", "20 d8", host_and8, kNoAf}, {"and16", "66 21 d8", host_and16, kNoAf}, {"and32", "21 d8", host_and32, kNoAf},
    {"sub8", "28 d8", host_sub8, kAll}, {"sub16", "66 29 d8", host_sub16, kAll}, {"sub32", "29 d8", host_sub32, kAll},
    {"xor8", "30 d8", host_xor8, kNoAf}, {"xor16", "66 31 d8", host_xor16, kNoAf}, {"xor32", "31 d8", host_xor32, kNoAf},
    {"cmp8", "38 d8", host_cmp8, kAll}, {"cmp16", "66 39 d8", host_cmp16, kAll}, {"cmp32", "39 d8", host_cmp32, kAll},
    {"add8 r,rm", "02 c3", host_add8, kAll}, {"add16 r,rm", "66 03 c3", host_add16, kAll}, {"sbb32 r,rm", "1b c3", host_sbb32, kAll},
    {"test8", "84 d8", host_test8, kNoAf}, {"test16", "66 85 d8", host_test16, kNoAf}, {"test32", "85 d8", host_test32, kNoAf},
    {"inc8", "fe c0", host_inc8, kAll}, {"inc16", "66 40", host_inc16, kAll}, {"inc32", "40", host_inc32, kAll},
    {"inc32 rm", "ff c0", host_inc32, kAll}, {"dec32 rm", "ff c8", host_dec32, kAll},
    {"dec8", "fe c8", host_dec8, kAll}, {"dec16", "66 48", host_dec16, kAll}, {"dec32", "48", host_dec32, kAll},
    {"neg8", "f6 d8", host_neg8, kAll}, {"neg16", "66 f7 d8", host_neg16, kAll}, {"neg32", "f7 d8", host_neg32, kAll},
    {"not8", "f6 d0", host_not8, kAll}, {"not16", "66 f7 d0", host_not16, kAll}, {"not32", "f7 d0", host_not32, kAll},
    {"mul8", "f6 e3", host_mul8, kCarryOverflow}, {"mul16", "66 f7 e3", host_mul16, kCarryOverflow}, {"mul32", "f7 e3", host_mul32, kCarryOverflow},
    {"imul8", "f6 eb", host_imul8, kCarryOverflow}, {"imul16", "66 f7 eb", host_imul16, kCarryOverflow}, {"imul32", "f7 eb", host_imul32, kCarryOverflow},
    {"imul r16", "66 0f af c3", host_imul_r16, kCarryOverflow}, {"imul r32", "0f af c3", host_imul_r32, kCarryOverflow},
    {"imul i16", "66 69 c3 34 12", host_imul_i16, kCarryOverflow}, {"imul i32", "6b c3 f9", host_imul_i32, kCarryOverflow},
    {"bt16", "66 0f a3 d8", host_bt16, kCf | kZf}, {"bt32", "0f a3 d8", host_bt32, kCf | kZf},
    {"bts16", "66 0f ab d8", host_bts16, kCf | kZf}, {"bts32", "0f ab d8", host_bts32, kCf | kZf},
    {"btr32", "0f b3 d8", host_btr32, kCf | kZf}, {"btc32", "0f bb d8", host_btc32, kCf | kZf},
    {"bts imm", "0f ba e8 25", host_bts_i, kCf | kZf},
    {"bsf16", "66 0f bc c3", host_bsf16, kZf}, {"bsf32", "0f bc c3", host_bsf32, kZf},
    {"bsr16", "66 0f bd c3", host_bsr16, kZf}, {"bsr32", "0f bd c3", host_bsr32, kZf},
    {"xadd8", "0f c0 d8", host_xadd8, kAll}, {"xadd16", "66 0f c1 d8", host_xadd16, kAll}, {"xadd32", "0f c1 d8", host_xadd32, kAll},
    {"xadd same", "0f c1 c0", host_xadd_same, kAll},
    {"xchg8", "86 dc", host_xchg8, kAll}, {"xchg32", "87 da", host_xchg32, kAll},
    {"cmpxchg8", "0f b0 cb", host_cmpxchg8, kAll}, {"cmpxchg16", "66 0f b1 cb", host_cmpxchg16, kAll}, {"cmpxchg32", "0f b1 cb", host_cmpxchg32, kAll},
    {"movzx", "0f b6 c7", host_movzx, kAll}, {"movzx w", "0f b7 c3", host_movzx_w, kAll},
    {"movsx", "0f be c3", host_movsx, kAll}, {"movsx16", "66 0f be c3", host_movsx16, kAll}, {"movsx w", "0f bf c3", host_movsx_w, kAll},
    {"cbw", "66 98", host_cbw, kAll}, {"cwde", "98", host_cwde, kAll}, {"cwd", "66 99", host_cwd, kAll}, {"cdq", "99", host_cdq, kAll},
    {"bswap", "0f c8", host_bswap, kAll},
    {"lahf", "9f", host_lahf, kAll}, {"sahf", "9e", host_sahf, kAll},
    {"cmc", "f5", host_cmc, kAll}, {"clc", "f8", host_clc, kAll}, {"stc", "f9", host_stc, kAll},
    {"lea", "8d 54 98 fb", host_lea, kAll}, {"lea16", "66 8d 54 18 03", host_lea16, kAll},
    {"add high", "00 fc", host_add_high, kAll}, {"add imm8", "83 c0 fe", host_add_imm8, kAll},
    {"cmp imm", "66 3d ff 7f", host_cmp_imm, kAll}, {"add acc", "05 78 56 34 12", host_add_acc, kAll},
    {"rol imm", "c1 c0 09", host_rol_i, kAll & ~kOf}, {"shl 1", "66 d1 e0", host_shl_1, kNoAf}, {"rcr 1", "d0 d8", host_rcr_1, kAll},
};

// By CL: OF is defined for a count of one only, AF never, CF not for SHL and SHR by more than the size.
constexpr HostCase kShifts[] = {
    {"rol8", "d2 c0", host_rol8, kAll & ~kOf}, {"rol16", "66 d3 c0", host_rol16, kAll & ~kOf}, {"rol32", "d3 c0", host_rol32, kAll & ~kOf},
    {"ror8", "d2 c8", host_ror8, kAll & ~kOf}, {"ror16", "66 d3 c8", host_ror16, kAll & ~kOf}, {"ror32", "d3 c8", host_ror32, kAll & ~kOf},
    {"rcl8", "d2 d0", host_rcl8, kAll & ~kOf}, {"rcl16", "66 d3 d0", host_rcl16, kAll & ~kOf}, {"rcl32", "d3 d0", host_rcl32, kAll & ~kOf},
    {"rcr8", "d2 d8", host_rcr8, kAll & ~kOf}, {"rcr16", "66 d3 d8", host_rcr16, kAll & ~kOf}, {"rcr32", "d3 d8", host_rcr32, kAll & ~kOf},
    {"shl8", "d2 e0", host_shl8, kNoAfOf}, {"shl16", "66 d3 e0", host_shl16, kNoAfOf}, {"shl32", "d3 e0", host_shl32, kNoAfOf},
    {"shr8", "d2 e8", host_shr8, kNoAfOf}, {"shr16", "66 d3 e8", host_shr16, kNoAfOf}, {"shr32", "d3 e8", host_shr32, kNoAfOf},
    {"sar8", "d2 f8", host_sar8, kNoAfOf}, {"sar16", "66 d3 f8", host_sar16, kNoAfOf}, {"sar32", "d3 f8", host_sar32, kNoAfOf},
    {"shld32", "0f a5 d8", host_shld32, kNoAfOf}, {"shrd32", "0f ad d8", host_shrd32, kNoAfOf},
};
// Undefined results by more than 16: compared up to there.
constexpr HostCase kDoubleShifts16[] = {
    {"shld16", "66 0f a5 d8", host_shld16, kNoAfOf}, {"shrd16", "66 0f ad d8", host_shrd16, kNoAfOf},
};
// clang-format on

constexpr u32 kEdges[] = {0,          1,          2,          0x7f,       0x80,   0x81,
                          0xff,       0x100,      0x7fff,     0x8000,     0xffff, 0x10000,
                          0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0x0f0f, 0x55555555,
                          0xaaaaaaaa, 9,          0x99,       0x1234};

u32 draw(std::mt19937& random) {
    return static_cast<u32>(random());
}

class HostOracle : public testing::Test {
  protected:
    // One operation on both sides, from the same state.
    void compare(const HostCase& each, AluState state, u32 mask) {
        constexpr u32 kHostFlags = kFixed | kIf;
        AluState host = state;
        host.flags |= kHostFlags;
        each.host(host);

        machine_.state.gpr[kEax] = state.a;
        machine_.state.gpr[kEbx] = state.b;
        machine_.state.gpr[kEcx] = state.c;
        machine_.state.gpr[kEdx] = state.d;
        machine_.state.eflags = kFixed | state.flags;
        ASSERT_FALSE(machine_.execute(bytes_).has_value());
        const auto& gpr = machine_.state.gpr;
        const bool same = gpr[kEax] == host.a && gpr[kEbx] == host.b && gpr[kEcx] == host.c &&
                          gpr[kEdx] == host.d &&
                          (machine_.state.eflags & mask) == (host.flags & mask);
        ASSERT_TRUE(same) << each.name << std::hex << " a=" << state.a << " b=" << state.b
                          << " c=" << state.c << " d=" << state.d << " flags=" << state.flags
                          << " host a=" << host.a << " b=" << host.b << " d=" << host.d
                          << " flags=" << (host.flags & mask) << " guest a=" << gpr[kEax]
                          << " b=" << gpr[kEbx] << " d=" << gpr[kEdx]
                          << " flags=" << (machine_.state.eflags & mask);
    }
    void use(const HostCase& each) { bytes_ = test::hex(each.bytes); }

    std::vector<u8> bytes_;
    TestMachine machine_;
};

TEST_F(HostOracle, arithmetic_agrees_on_edges_and_random_values) {
    std::mt19937 random(1);
    for (const HostCase& each : kCases) {
        use(each);
        for (const u32 a : kEdges) {
            for (const u32 b : kEdges) {
                for (const u32 flags : {u32{0}, u32{kArith}}) {
                    compare(each, {a, b, b ^ 0x5a5a, a + 1, flags}, each.compared);
                }
            }
        }
        for (unsigned n = 0; n < 300; ++n) {
            compare(each,
                    {draw(random), draw(random), draw(random), draw(random), draw(random) & kArith},
                    each.compared);
        }
    }
}

TEST_F(HostOracle, shifts_agree_for_every_count) {
    std::mt19937 random(2);
    for (const HostCase& each : kShifts) {
        use(each);
        for (u32 count = 0; count < 64; ++count) {
            // A count of zero keeps every flag; of one defines OF too.
            const unsigned masked = count & 31;
            const u32 mask = masked == 0 ? kAll : masked == 1 ? each.compared | kOf : each.compared;
            for (const u32 a : kEdges) {
                for (const u32 flags : {u32{0}, u32{kArith}}) {
                    compare(each, {a, ~a * 77, count, 0, flags}, mask);
                }
            }
            for (unsigned n = 0; n < 20; ++n) {
                compare(each, {draw(random), draw(random), count, 0, draw(random) & kArith}, mask);
            }
        }
    }
}

TEST_F(HostOracle, sixteen_bit_double_shifts_agree_where_defined) {
    std::mt19937 random(3);
    for (const HostCase& each : kDoubleShifts16) {
        use(each);
        for (u32 count = 0; count <= 16; ++count) {
            const u32 mask = count == 0 ? kAll : count == 1 ? each.compared | kOf : each.compared;
            for (unsigned n = 0; n < 100; ++n) {
                compare(each, {draw(random), draw(random), count, 0, draw(random) & kArith}, mask);
            }
        }
    }
}

// Conditions: SETcc, CMOVcc and Jcc against the definition in SDM vol 1, appendix B.
TEST_F(HostOracle, conditions_follow_the_flags) {
    for (u32 bits = 0; bits < 64; ++bits) {
        u32 flags = 0;
        constexpr u32 kEach[] = {kCf, kPf, kAf, kZf, kSf, kOf};
        for (unsigned n = 0; n < 6; ++n) {
            flags |= (bits >> n & 1) != 0 ? kEach[n] : 0;
        }
        const bool cf = flags & kCf, pf = flags & kPf, zf = flags & kZf, sf = flags & kSf,
                   of = flags & kOf;
        const bool holds[8] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};
        for (unsigned condition = 0; condition < 16; ++condition) {
            const bool expected = holds[condition / 2] != (condition % 2 == 1);
            machine_.state.eflags = kFixed | flags;
            machine_.state.gpr[kEbx] = 0x11111111;
            machine_.state.gpr[kEcx] = 0x22222222;
            const u8 low = static_cast<u8>(condition);
            ASSERT_FALSE(
                machine_.execute(std::vector<u8>{0x0f, static_cast<u8>(0x90 | low), 0xc2}));
            EXPECT_EQ(machine_.state.gpr[kEdx] & 0xff, expected ? 1u : 0u);
            ASSERT_FALSE(
                machine_.execute(std::vector<u8>{0x0f, static_cast<u8>(0x40 | low), 0xd9}));
            EXPECT_EQ(machine_.state.gpr[kEbx], expected ? 0x22222222u : 0x11111111u);
            ASSERT_FALSE(machine_.execute(std::vector<u8>{static_cast<u8>(0x70 | low), 0x10}));
            EXPECT_EQ(machine_.state.eip, TestMachine::kCode + 2 + (expected ? 0x10 : 0));
        }
    }
}

}  // namespace
}  // namespace ennead::vmcore
