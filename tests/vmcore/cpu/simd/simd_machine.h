// SPDX-License-Identifier: MIT
// A test machine with SSE switched on, and operands worth trying.
#pragma once

#include <array>
#include <iterator>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "tests/vmcore/cpu/simd/host_simd.h"
#include "tests/vmcore/cpu/test_machine.h"
#include "vmcore/cpu/decode/tables.h"

namespace ennead::vmcore::test {

class SimdMachine : public TestMachine {
  public:
    explicit SimdMachine(Mode mode = Mode::flat32) : TestMachine(mode) { enable(); }

    void enable() {
        state.cr0 |= cr0::kNe;
        state.cr4 |= cr4::kOsfxsr | cr4::kOsxmmexcpt;
        state.x87 = X87State{};
        engine.flush();
    }

    // The state that FXSAVE would store, put together by the test.
    [[nodiscard]] FxImage image() const {
        const X87State& s = state.x87;
        const unsigned top = s.status >> 11 & 7;
        FxImage out;
        out.put<u16>(0, s.control);
        out.put<u16>(2, s.status);
        out.put<u32>(24, state.mxcsr);
        for (unsigned n = 0; n < 8; ++n) {
            const X87Register& value = s.r[(top + n) & 7];
            out.put<u64>(32 + 16 * n, value.significand);
            out.put<u16>(40 + 16 * n, value.sign_exponent);
            out.bytes[4] |= static_cast<u8>((s.tag >> (2 * n) & 3) != 3 ? 1u << n : 0);
            out.put(160 + 16 * n, state.xmm[n].bytes);
        }
        return out;
    }
};

// A file's worth of state: what `a` and `b` differ in, or nothing.
[[nodiscard]] inline std::string difference(const FxImage& a, const FxImage& b) {
    const auto same = [&](unsigned at, unsigned size) {
        return std::memcmp(a.bytes.data() + at, b.bytes.data() + at, size) == 0;
    };
    std::string text;
    const auto note = [&](const std::string& name, unsigned at, unsigned size) {
        if (same(at, size)) {
            return;
        }
        text += name + ":";
        for (const FxImage* image : {&a, &b}) {
            char digits[4];
            for (unsigned n = size; n-- > 0;) {
                std::snprintf(digits, sizeof digits, "%02x", image->bytes[at + n]);
                text += digits;
            }
            text += image == &a ? " instead of " : "; ";
        }
    };
    note("FCW ", 0, 2);
    note("FSW ", 2, 2);
    note("FTW ", 4, 1);
    note("MXCSR ", 24, 4);
    for (unsigned n = 0; n < 8; ++n) {
        note("st" + std::to_string(n) + " ", 32 + 16 * n, 10);
        note("xmm" + std::to_string(n) + " ", 160 + 16 * n, 16);
    }
    return text;
}

// Sixteen bytes of singles, doubles or integers, special ones as often as random ones.
class Operands {
  public:
    explicit Operands(unsigned seed) : random(seed) {}

    Xmm next() {
        Xmm value;
        switch (random() % 3) {
            case 0:
                for (unsigned n = 0; n < 4; ++n) {
                    value.set_lane(n, single());
                }
                break;
            case 1:
                value.set_lane(0, wide());
                value.set_lane(1, wide());
                break;
            default:
                for (unsigned n = 0; n < 8; ++n) {
                    value.set_lane(n, word());
                }
                break;
        }
        return value;
    }

    u32 single() {
        // Zeros, denormals, the ends of the range, infinities, NaNs, the limits of 32-bit integers,
        // halves for rounding.
        static constexpr u32 kSpecial[] = {
            0,          1,          0x007fffff, 0x00400000, 0x00800000, 0x00ffffff,
            0x3f800000, 0x3f000000, 0x3effffff, 0x3fc00000, 0x40200000, 0x7f7fffff,
            0x7f000000, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff,
            0x4effffff, 0x4f000000, 0x4f800000, 0x3eaaaaab, 0x33800000, 0x4b000001};
        const u32 sign = static_cast<u32>(random()) & 0x80000000;
        return random() % 3 == 0 ? static_cast<u32>(random())
                                 : sign ^ kSpecial[random() % std::size(kSpecial)];
    }
    u64 wide() {
        static constexpr u64 kSpecial[] = {
            0,
            1,
            0x000fffffffffffff,
            0x0008000000000000,
            0x0010000000000000,
            0x3ff0000000000000,
            0x3fe0000000000000,
            0x3ff8000000000000,
            0x7fefffffffffffff,
            0x7ff0000000000000,
            0x7ff0000000000001,
            0x7ff8000000000000,
            0x41dfffffffc00000,
            0x41dfffffffe00000,
            0x41e0000000000000,
            0x41e0000000100000,
            0x47efffffe0000000,
            0x47efffffefffffff,
            0x47effffff0000000,
            0x3810000000000000,
            0x380fffffffffffff,
            0x380fffffe0000000,
            0x36a0000000000000,
            0x3690000000000000,
            0x3ff5555555555555,
        };
        const u64 sign = u64{random()} << 63;
        return random() % 3 == 0 ? u64{random()} << 32 | random()
                                 : sign ^ kSpecial[random() % std::size(kSpecial)];
    }
    u16 word() {
        static constexpr u16 kSpecial[] = {0,      1,      0x7f,   0x80, 0xff, 0x100,
                                           0x7fff, 0x8000, 0xffff, 15,   16};
        return random() % 2 == 0 ? static_cast<u16>(random())
                                 : kSpecial[random() % std::size(kSpecial)];
    }

    std::mt19937 random;
};

// One encoding of an instruction with operands that both the guest and the host can use: registers,
// or [ECX].
struct Encoding {
    std::vector<u8> bytes;
    Insn insn;
};

// Every encoding among 0F 10…0F FF, with each mandatory prefix, that `wanted(form, insn)` takes:
// register and memory form, operand registers and immediates chosen at random.
template <class Wanted>
std::vector<Encoding> encodings(std::mt19937& random, Wanted wanted) {
    std::vector<Encoding> found;
    const auto try_one = [&](std::vector<u8> bytes, u8 modrm) {
        bytes.push_back(modrm);
        bytes.push_back(static_cast<u8>(random() % 3 == 0 ? random() : random() % 8));
        Insn insn;
        if (decode(bytes, CodeSize::bits32, insn) != DecodeStatus::ok) {
            return;
        }
        const SimdForm& form = opcode_row(insn.row).simd;
        const auto general = [](SimdForm::File file) { return file == SimdForm::File::general; };
        // ESP is the host's stack, and ECX the address.
        const bool unusable = (general(form.reg) &&
                               (insn.reg() == kEsp || (insn.has_memory && insn.reg() == kEcx))) ||
                              (general(form.rm) && !insn.has_memory && insn.rm() == kEsp);
        if (form.present && !unusable && wanted(form, insn)) {
            bytes.resize(insn.length);
            found.push_back({bytes, insn});
        }
    };
    for (unsigned opcode = 0x10; opcode <= 0xff; ++opcode) {
        for (const u8 prefix : {0x00, 0x66, 0xf3, 0xf2}) {
            std::vector<u8> bytes;
            if (prefix != 0) {
                bytes.push_back(prefix);
            }
            bytes.push_back(0x0f);
            bytes.push_back(static_cast<u8>(opcode));
            for (unsigned reg = 0; reg < 8; ++reg) {
                try_one(bytes, static_cast<u8>(0xc0 | reg << 3 | random() % 8));
                try_one(bytes, static_cast<u8>(reg << 3 | kEcx));
            }
        }
    }
    return found;
}

}  // namespace ennead::vmcore::test
