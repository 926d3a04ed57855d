// SPDX-License-Identifier: MIT
// The x87 escapes as text (SDM vol 2D, appendix A.5).
#include <array>

#include "vmcore/cpu/decode/print.h"

namespace ennead::vmcore {
namespace {

struct MemoryForm {
    const char* name;
    const char* size;
};

constexpr const char* kSingle = "DWORD PTR ";
constexpr const char* kDouble = "QWORD PTR ";
constexpr const char* kExtended = "TBYTE PTR ";
constexpr const char* kWord = "WORD PTR ";

// clang-format off
// By escape byte, then ModRM's /reg.
constexpr MemoryForm kMemory[8][8] = {
    {{"fadd", kSingle}, {"fmul", kSingle}, {"fcom", kSingle}, {"fcomp", kSingle},
     {"fsub", kSingle}, {"fsubr", kSingle}, {"fdiv", kSingle}, {"fdivr", kSingle}},
    {{"fld", kSingle}, {"(bad)", ""}, {"fst", kSingle}, {"fstp", kSingle},
     {"fldenv", ""}, {"fldcw", kWord}, {"fnstenv", ""}, {"fnstcw", kWord}},
    {{"fiadd", kSingle}, {"fimul", kSingle}, {"ficom", kSingle}, {"ficomp", kSingle},
     {"fisub", kSingle}, {"fisubr", kSingle}, {"fidiv", kSingle}, {"fidivr", kSingle}},
    {{"fild", kSingle}, {"fisttp", kSingle}, {"fist", kSingle}, {"fistp", kSingle},
     {"(bad)", ""}, {"fld", kExtended}, {"(bad)", ""}, {"fstp", kExtended}},
    {{"fadd", kDouble}, {"fmul", kDouble}, {"fcom", kDouble}, {"fcomp", kDouble},
     {"fsub", kDouble}, {"fsubr", kDouble}, {"fdiv", kDouble}, {"fdivr", kDouble}},
    {{"fld", kDouble}, {"fisttp", kDouble}, {"fst", kDouble}, {"fstp", kDouble},
     {"frstor", ""}, {"(bad)", ""}, {"fnsave", ""}, {"fnstsw", kWord}},
    {{"fiadd", kWord}, {"fimul", kWord}, {"ficom", kWord}, {"ficomp", kWord},
     {"fisub", kWord}, {"fisubr", kWord}, {"fidiv", kWord}, {"fidivr", kWord}},
    {{"fild", kWord}, {"fisttp", kWord}, {"fist", kWord}, {"fistp", kWord},
     {"fbld", kExtended}, {"fild", kDouble}, {"fbstp", kExtended}, {"fistp", kDouble}},
};

enum class Stack : unsigned char { none, i, st_i, i_st };  // operands: none; st(i); st,st(i); st(i),st

struct RegisterForm {
    const char* name;
    Stack operands;
};

constexpr RegisterForm kBad = {"(bad)", Stack::none};
constexpr RegisterForm kRegister[8][8] = {
    {{"fadd", Stack::st_i}, {"fmul", Stack::st_i}, {"fcom", Stack::i}, {"fcomp", Stack::i},
     {"fsub", Stack::st_i}, {"fsubr", Stack::st_i}, {"fdiv", Stack::st_i}, {"fdivr", Stack::st_i}},
    {{"fld", Stack::i}, {"fxch", Stack::i}, kBad, kBad, kBad, kBad, kBad, kBad},
    {{"fcmovb", Stack::st_i}, {"fcmove", Stack::st_i}, {"fcmovbe", Stack::st_i}, {"fcmovu", Stack::st_i},
     kBad, kBad, kBad, kBad},
    {{"fcmovnb", Stack::st_i}, {"fcmovne", Stack::st_i}, {"fcmovnbe", Stack::st_i}, {"fcmovnu", Stack::st_i},
     kBad, {"fucomi", Stack::st_i}, {"fcomi", Stack::st_i}, kBad},
    {{"fadd", Stack::i_st}, {"fmul", Stack::i_st}, {"fcom", Stack::i}, {"fcomp", Stack::i},
     {"fsubr", Stack::i_st}, {"fsub", Stack::i_st}, {"fdivr", Stack::i_st}, {"fdiv", Stack::i_st}},
    {{"ffree", Stack::i}, {"fxch", Stack::i}, {"fst", Stack::i}, {"fstp", Stack::i},
     {"fucom", Stack::i}, {"fucomp", Stack::i}, kBad, kBad},
    {{"faddp", Stack::i_st}, {"fmulp", Stack::i_st}, {"fcomp", Stack::i}, kBad,
     {"fsubrp", Stack::i_st}, {"fsubp", Stack::i_st}, {"fdivrp", Stack::i_st}, {"fdivp", Stack::i_st}},
    {{"ffreep", Stack::i}, {"fxch", Stack::i}, {"fstp", Stack::i}, {"fstp", Stack::i},
     kBad, {"fucomip", Stack::st_i}, {"fcomip", Stack::st_i}, kBad},
};

// D9 D0…D9 FF but for D9 D8…DF: no operands.
constexpr std::array<const char*, 8> kD9_2 = {"fnop", nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
constexpr std::array<const char*, 8> kD9_4 = {"fchs", "fabs", nullptr, nullptr, "ftst", "fxam", nullptr, nullptr};
constexpr std::array<const char*, 8> kD9_5 = {"fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz", nullptr};
constexpr std::array<const char*, 8> kD9_6 = {"f2xm1", "fyl2x", "fptan", "fpatan", "fxtract", "fprem1", "fdecstp", "fincstp"};
constexpr std::array<const char*, 8> kD9_7 = {"fprem", "fyl2xp1", "fsqrt", "fsincos", "frndint", "fscale", "fsin", "fcos"};
constexpr std::array<const char*, 8> kDb_4 = {"fneni(8087 only)", "fndisi(8087 only)", "fnclex", "fninit", "fnsetpm(287 only)", "frstpm(287 only)", nullptr, nullptr};
// clang-format on

// The forms that ModRM's r/m tells apart.
const char* plain_name(unsigned escape, unsigned reg, unsigned rm) {
    switch (escape << 4 | reg) {
        case 0x12:
            return kD9_2[rm];
        case 0x14:
            return kD9_4[rm];
        case 0x15:
            return kD9_5[rm];
        case 0x16:
            return kD9_6[rm];
        case 0x17:
            return kD9_7[rm];
        case 0x25:
            return rm == 1 ? "fucompp" : nullptr;
        case 0x34:
            return kDb_4[rm];
        case 0x63:
            return rm == 1 ? "fcompp" : nullptr;
        case 0x74:
            return rm == 0 ? "fnstsw ax" : nullptr;
        default:
            return nullptr;
    }
}

}  // namespace

std::string print_x87(const Insn& insn) {
    const unsigned escape = insn.opcode & 7;
    if (insn.has_memory) {
        const MemoryForm& form = kMemory[escape][insn.reg()];
        if (*form.name == '(') {
            return form.name;
        }
        return std::string(form.name) + " " + form.size + print_address(insn);
    }
    if (const char* name = plain_name(escape, insn.reg(), insn.rm())) {
        return name;
    }
    const RegisterForm& form = kRegister[escape][insn.reg()];
    const std::string sti = "st(" + std::to_string(insn.rm()) + ")";
    switch (form.operands) {
        case Stack::none:
            return form.name;
        case Stack::i:
            return std::string(form.name) + " " + sti;
        case Stack::st_i:
            return std::string(form.name) + " st," + sti;
        case Stack::i_st:
            return std::string(form.name) + " " + sti + ",st";
    }
    return form.name;
}

}  // namespace ennead::vmcore
