// SPDX-License-Identifier: MIT
// The decoder and the printer against another disassembler's output, and against the properties of
// the encoding.
#include "vmcore/cpu/decode/decoder.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/vmcore/cpu/test_machine.h"
#include "vmcore/cpu/decode/print.h"
#include "vmcore/cpu/decode/tables.h"

#ifndef ENNEAD_TEST_DATA
#error "the build says where the tests' data is: -DENNEAD_TEST_DATA=\"…/tests\""
#endif

namespace ennead::vmcore {
namespace {

using test::hex;

Insn decode_all(std::string_view bytes, CodeSize size = CodeSize::bits32) {
    Insn insn;
    EXPECT_EQ(decode(hex(bytes), size, insn), DecodeStatus::ok) << bytes;
    return insn;
}

std::string text(std::string_view bytes, CodeSize size = CodeSize::bits32) {
    return print(decode_all(bytes, size), 0);
}

void compare_with_file(const std::string& name, CodeSize size) {
    std::ifstream file(std::string(ENNEAD_TEST_DATA) + "/vmcore/cpu/decode/" + name);
    ASSERT_TRUE(file) << name;
    std::string line;
    unsigned compared = 0;
    while (std::getline(file, line)) {
        if (line.starts_with("#")) {
            continue;
        }
        const std::size_t first = line.find(" ; "), second = line.find(" ; ", first + 3);
        ASSERT_NE(second, std::string::npos) << line;
        const u32 eip = static_cast<u32>(std::stoul(line.substr(0, first), nullptr, 16));
        const std::vector<u8> bytes = hex(line.substr(first + 3, second - first - 3));
        Insn insn;
        ASSERT_EQ(decode(bytes, size, insn), DecodeStatus::ok) << line;
        EXPECT_EQ(insn.length, bytes.size()) << line;
        EXPECT_EQ(print(insn, eip), line.substr(second + 3)) << line;
        ++compared;
    }
    EXPECT_GT(compared, 500u);
}

TEST(decoder, agrees_with_a_disassembler_on_32_bit_code) {
    compare_with_file("code32.txt", CodeSize::bits32);
}

TEST(decoder, agrees_with_a_disassembler_on_16_bit_code) {
    compare_with_file("code16.txt", CodeSize::bits16);
}

TEST(decoder, the_last_prefix_of_a_group_counts) {
    EXPECT_EQ(decode_all("26 64 8b 00").segment, Seg::fs);
    EXPECT_EQ(decode_all("64 26 8b 00").segment, Seg::es);
    EXPECT_EQ(decode_all("f3 f2 a4").rep, 0xf2);
    EXPECT_EQ(decode_all("f2 f3 a4").rep, 0xf3);
}

TEST(decoder, a_repeated_size_prefix_does_not_switch_back) {
    const Insn insn = decode_all("66 66 67 67 8b 07");
    EXPECT_EQ(insn.operand_size, 2);
    EXPECT_EQ(insn.address_size, 2);
    EXPECT_EQ(insn.base, kEbx);
    EXPECT_EQ(insn.length, 6);
}

TEST(decoder, sixteen_bytes_are_too_long_and_fifteen_are_not) {
    Insn insn;
    EXPECT_EQ(decode(hex("66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"), CodeSize::bits32, insn),
              DecodeStatus::ok);
    EXPECT_EQ(insn.length, 15);
    EXPECT_EQ(
        decode(hex("66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"), CodeSize::bits32, insn),
        DecodeStatus::too_long);
    // Too long by its immediate, though all prefixes and the opcode are within 15 bytes.
    EXPECT_EQ(
        decode(hex("3e 3e 3e 3e 3e 3e 3e 3e 3e 3e 3e b8 01 02 03 04"), CodeSize::bits32, insn),
        DecodeStatus::too_long);
}

TEST(decoder, the_default_segment_follows_the_base) {
    EXPECT_EQ(decode_all("8b 45 00").segment, Seg::ss);
    EXPECT_EQ(decode_all("8b 04 24").segment, Seg::ss);
    EXPECT_EQ(decode_all("8b 05 00 00 00 00").segment, Seg::ds);     // mod 0, rm 5: no EBP
    EXPECT_EQ(decode_all("8b 04 6d 00 00 00 00").segment, Seg::ds);  // EBP as index only
    EXPECT_EQ(decode_all("8b 42 00", CodeSize::bits16).segment, Seg::ss);
    EXPECT_EQ(decode_all("8b 06 00 00", CodeSize::bits16).segment, Seg::ds);
    EXPECT_EQ(decode_all("3e 8b 45 00").segment, Seg::ds);
}

TEST(decoder, lock_is_undefined_but_for_memory_destinations) {
    EXPECT_EQ(decode_all("f0 01 00").op, Op::add);
    EXPECT_EQ(decode_all("f0 01 c0").op, Op::ud);
    EXPECT_EQ(decode_all("f0 03 00").op, Op::ud);
    EXPECT_EQ(decode_all("f0 39 00").op, Op::ud);  // CMP does not write
    EXPECT_EQ(decode_all("f0 0f c7 08").op, Op::cmpxchg8b);
    EXPECT_EQ(decode_all("0f c7 c8").op, Op::ud);
    EXPECT_EQ(decode_all("f0 0f a3 00").op, Op::ud);
    EXPECT_EQ(decode_all("f0 0f ab 00").op, Op::bts);
    EXPECT_EQ(decode_all("f0 87 00").op, Op::xchg);
    EXPECT_EQ(decode_all("f0 90").op, Op::ud);
}

TEST(decoder, memory_only_operands_refuse_registers) {
    for (const char* bytes : {"8d c0", "62 c0", "c4 c0", "c5 c0", "0f b2 c0", "0f b4 c0",
                              "0f b5 c0", "ff d8", "ff e8", "0f 01 c0", "0f 01 f8"}) {
        EXPECT_EQ(decode_all(bytes).op, Op::ud) << bytes;
    }
}

TEST(decoder, mandatory_prefixes_choose_the_instruction) {
    EXPECT_EQ(text("0f 58 c1"), "addps xmm0,xmm1");
    EXPECT_EQ(text("66 0f 58 c1"), "addpd xmm0,xmm1");
    EXPECT_EQ(text("f3 0f 58 c1"), "addss xmm0,xmm1");
    EXPECT_EQ(text("f2 0f 58 c1"), "addsd xmm0,xmm1");
    // F2 and F3 count before 66, and the last of them.
    EXPECT_EQ(text("66 f2 0f 58 c1"), "addsd xmm0,xmm1");
    EXPECT_EQ(text("f2 66 f3 0f 58 c1"), "addss xmm0,xmm1");
    // In 16-bit code 66 is the same prefix.
    EXPECT_EQ(text("66 0f fc c1", CodeSize::bits16), "paddb xmm0,xmm1");
    EXPECT_EQ(text("0f fc c1", CodeSize::bits16), "paddb mm0,mm1");
    EXPECT_EQ(text("0f 6e c1", CodeSize::bits16), "movd mm0,ecx");
    EXPECT_EQ(decode_all("66 0f 58 c1").prefix, 0x66);
    EXPECT_EQ(decode_all("66 f2 0f 58 c1").prefix, 0xf2);
    EXPECT_EQ(decode_all("0f 58 c1").prefix, 0);
    EXPECT_EQ(decode_all("66 01 c1").prefix, 0);
    EXPECT_EQ(text("f2 0f f0 3f"), "lddqu xmm7,XMMWORD PTR [edi]");
}

TEST(decoder, reserved_media_encodings_are_undefined) {
    for (const char* bytes :
         {"f3 0f fc c1", "f2 0f fc c1", "66 0f 77",    "f3 0f 28 c1", "0f e6 c1",    "0f d6 c1",
          "66 0f c3 00", "0f c3 c0",    "66 0f ae 00", "f3 0f ae 00", "0f ae c0",    "0f ae d0",
          "0f ae 20",    "0f ae 28",    "0f ae 30",    "66 0f ae 38", "66 0f ae e8", "0f ae e0",
          "0f 2b c1",    "0f 50 00",    "0f d7 00",    "0f 71 10 01", "0f 71 c1",    "0f 73 f9",
          "66 0f 16 c1", "66 0f 12 c1", "0f 13 c1",    "f0 0f 58 00", "f0 0f ae 10"}) {
        EXPECT_EQ(decode_all(bytes).op, Op::ud) << bytes;
    }
    for (const char* bytes : {"0f ae e9", "0f ae f7", "0f ae ff"}) {
        EXPECT_NE(decode_all(bytes).op, Op::ud) << bytes << ": fences ignore r/m";
    }
}

const SimdForm& form_of(std::string_view bytes) {
    return opcode_row(decode_all(bytes).row).simd;
}

TEST(decoder, media_rows_tell_how_to_execute_them_elsewhere) {
    using File = SimdForm::File;
    EXPECT_FALSE(form_of("01 c1").present);
    const SimdForm& movaps = form_of("0f 29 00");
    EXPECT_TRUE(movaps.present && movaps.sse && movaps.aligned && movaps.plain);
    EXPECT_TRUE(movaps.to_rm && movaps.writes_memory && !movaps.reads_memory);
    EXPECT_EQ(movaps.memory_bytes, 16);
    EXPECT_FALSE(form_of("0f 10 00").aligned);
    EXPECT_TRUE(form_of("0f 10 00").reads_memory);
    const SimdForm& convert = form_of("f3 0f 2a c1");
    EXPECT_EQ(convert.rm, File::general);
    EXPECT_EQ(convert.reg, File::xmm);
    EXPECT_EQ(convert.memory_bytes, 4);
    EXPECT_EQ(convert.prefix, 0xf3);
    EXPECT_TRUE(convert.mxcsr);
    EXPECT_EQ(form_of("66 0f c5 c1 03").reg, File::general);
    EXPECT_EQ(form_of("66 0f c4 c1 03").memory_bytes, 2);
    EXPECT_EQ(form_of("0f 7e c1").rm, File::general);
    EXPECT_FALSE(form_of("0f 7e c1").sse);
    EXPECT_TRUE(form_of("0f 7e c1").uses_mmx(false));
    EXPECT_TRUE(form_of("0f 2a c1").uses_mmx(false));
    EXPECT_FALSE(form_of("0f 2a 00").uses_mmx(true));
    EXPECT_TRUE(form_of("0f 2e c1").eflags);
    EXPECT_TRUE(form_of("0f 71 d1 04").to_rm);
    EXPECT_EQ(form_of("0f 71 d1 04").reg, File::none);
    EXPECT_TRUE(form_of("0f ae 10").reads_memory && !form_of("0f ae 10").plain);
    EXPECT_TRUE(form_of("0f ae 18").writes_memory);
    EXPECT_FALSE(form_of("0f f7 c1").plain);
    EXPECT_TRUE(form_of("0f c3 08").writes_memory && !form_of("0f c3 08").sse);
    EXPECT_EQ(decode_all("0f c3 08").src, kEcx);
    EXPECT_EQ(decode_all("66 0f 6e c3").src, kEbx);
}

TEST(decoder, control_and_debug_register_moves_ignore_mod) {
    const Insn insn = decode_all("0f 20 45");
    EXPECT_EQ(insn.op, Op::mov_r_cr);
    EXPECT_EQ(insn.length, 3);
    EXPECT_FALSE(insn.has_memory);
    EXPECT_EQ(decode_all("0f 22 c8").op, Op::ud);  // CR1
    EXPECT_EQ(decode_all("0f 21 24").op, Op::mov_r_dr);
}

TEST(decoder, aliases_and_undocumented_encodings) {
    EXPECT_EQ(text("82 c1 7f"), "add cl,0x7f");
    EXPECT_EQ(text("c1 f0 03"), "shl eax,0x3");
    EXPECT_EQ(text("f6 c8 07"), "test al,0x7");
    EXPECT_EQ(text("f7 0f 04 03 02 01"), "test DWORD PTR [edi],0x1020304");
    EXPECT_EQ(decode_all("d6").op, Op::salc);
    EXPECT_EQ(decode_all("f1").op, Op::int1);
    EXPECT_EQ(decode_all("0f 1f 84 00 00 00 00 00").op, Op::nop);
    EXPECT_EQ(decode_all("f3 0f 1e fb").op, Op::nop);
    EXPECT_EQ(decode_all("f3 0f bc c1").op, Op::bsf);  // TZCNT to newer parts
    EXPECT_EQ(decode_all("8e c8").op, Op::ud);         // MOV CS
    EXPECT_EQ(decode_all("8c f0").op, Op::ud);
    EXPECT_EQ(decode_all("0f 0b").op, Op::ud);
    EXPECT_EQ(decode_all("0f b9 05 00 00 00 00").length, 7);
}

TEST(decoder, operand_registers_are_named_whatever_encodes_them) {
    const Insn pushed = decode_all("53");
    EXPECT_EQ(pushed.dst, kEbx);
    const Insn loaded = decode_all("a1 44 33 22 11");
    EXPECT_EQ(loaded.dst, kEax);
    EXPECT_EQ(loaded.src, kNoRegister);
    EXPECT_TRUE(loaded.has_memory);
    EXPECT_EQ(loaded.disp, 0x11223344u);
    const Insn byte = decode_all("88 e6");
    EXPECT_EQ(byte.dst, 6);
    EXPECT_EQ(byte.src, 4);
    EXPECT_EQ(byte.width, 1);
}

TEST(decoder, far_pointers_and_enter_have_two_immediates) {
    const Insn far = decode_all("ea 78 56 34 12 08 00");
    EXPECT_EQ(far.imm, 0x12345678u);
    EXPECT_EQ(far.imm2, 8);
    const Insn narrow = decode_all("66 9a 34 12 78 56");
    EXPECT_EQ(narrow.imm, 0x1234u);
    EXPECT_EQ(narrow.imm2, 0x5678);
    const Insn enter = decode_all("c8 34 12 1f");
    EXPECT_EQ(enter.imm, 0x1234u);
    EXPECT_EQ(enter.imm2, 0x1f);
}

// Over random bytes with many prefixes: every proper beginning asks for more, what follows is not
// looked at, and the bytes are kept.
TEST(decoder, decodes_the_same_from_any_longer_span) {
    constexpr unsigned kSeed = 4711;
    std::mt19937 random(kSeed);
    constexpr std::array<u8, 11> kPrefixes = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                              0x66, 0x67, 0xf0, 0xf2, 0xf3};
    for (unsigned round = 0; round < 40000; ++round) {
        std::array<u8, 32> bytes{};
        for (u8& byte : bytes) {
            byte = static_cast<u8>(random());
        }
        for (unsigned n = 0; n < round % 4; ++n) {
            bytes[n] = kPrefixes[random() % kPrefixes.size()];
        }
        const CodeSize size = round % 2 == 0 ? CodeSize::bits32 : CodeSize::bits16;
        Insn insn;
        if (decode(bytes, size, insn) != DecodeStatus::ok) {
            continue;  // sixteen or more bytes of prefixes
        }
        ASSERT_GE(insn.length, 1);
        ASSERT_LE(insn.length, kMaxInsnLength);
        ASSERT_TRUE(std::equal(bytes.begin(), bytes.begin() + insn.length, insn.raw.begin()));
        ASSERT_FALSE(print(insn, 0x1000).empty());
        for (unsigned length = 0; length < insn.length; ++length) {
            Insn partial;
            ASSERT_EQ(decode(std::span(bytes).first(length), size, partial),
                      DecodeStatus::need_more)
                << "seed " << kSeed << " round " << round << " " << print(insn, 0);
        }
        Insn exact;
        ASSERT_EQ(decode(std::span(bytes).first(insn.length), size, exact), DecodeStatus::ok);
        ASSERT_EQ(print(exact, 0), print(insn, 0));
    }
}

}  // namespace
}  // namespace ennead::vmcore
