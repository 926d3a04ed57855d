// SPDX-License-Identifier: MIT
// Disassembles guest and host code, and puts each piece of the latter where it belongs.
#include "vmcore/cpu/jit/listing.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>

#include "vmcore/cpu/jit/names.h"

namespace ennead::vmcore::jit {
namespace {

// --- instructions --------------------------------------------------------------------------------

struct Text {
    unsigned length = 1;  // bytes
    std::string mnemonic, whole;
    std::optional<u64> target;    // of a relative jump or call
    std::optional<u64> state_at;  // offset of a memory operand from R15
    bool indexed = false;         // and a register is added
};

class Disassembler {
  public:
    Disassembler(ZydisMachineMode mode, ZydisStackWidth width) {
        ZydisDecoderInit(&decoder_, mode, width);
        ZydisFormatterInit(&formatter_, ZYDIS_FORMATTER_STYLE_INTEL);
        ZydisFormatterSetProperty(&formatter_, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
        for (const auto padding :
             {ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_FORMATTER_PROP_DISP_PADDING,
              ZYDIS_FORMATTER_PROP_IMM_PADDING}) {
            ZydisFormatterSetProperty(&formatter_, padding, ZYDIS_PADDING_DISABLED);
        }
    }

    // The instruction that `bytes` begin with, as it is at `address`.
    [[nodiscard]] Text decode(std::span<const u8> bytes, u64 address) const {
        Text text;
        ZydisDecodedInstruction insn;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeFull(&decoder_, bytes.data(), bytes.size(), &insn, operands))) {
            text.whole = text.mnemonic = "(no instruction)";
            return text;
        }
        text.length = insn.length;
        text.mnemonic = ZydisMnemonicGetString(insn.mnemonic);
        char whole[256] = "";
        ZydisFormatterFormatInstruction(&formatter_, &insn, operands, insn.operand_count_visible,
                                        whole, sizeof whole, address, nullptr);
        text.whole = whole;
        for (const ZydisDecodedOperand& operand : std::span(operands, insn.operand_count_visible)) {
            if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative) {
                text.target = address + insn.length + static_cast<u64>(operand.imm.value.s);
            } else if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
                       operand.mem.base == ZYDIS_REGISTER_R15) {
                text.state_at = static_cast<u64>(operand.mem.disp.value);
                text.indexed = operand.mem.index != ZYDIS_REGISTER_NONE;
            }
        }
        return text;
    }

  private:
    ZydisDecoder decoder_;
    ZydisFormatter formatter_;
};

std::string hex_bytes(std::span<const u8> bytes) {
    std::string text;
    for (const u8 byte : bytes) {
        char digits[4];
        std::snprintf(digits, sizeof digits, "%02x", byte);
        text += digits;
    }
    return text;
}

// --- a block -------------------------------------------------------------------------------------

class Listing {
  public:
    Listing(const BlockCache& cache, const Block& block, const BlockSource& source)
        : cache_(cache), block_(block) {
        replay_block(cache, block, source, replay_);
    }

    std::string text() {
        head();
        if (!replay_.comparable) {
            for (unsigned n = 0; n < replay_.plan.count; ++n) {
                guest_line(n);
            }
            host_lines(0, block_.code_size, ' ');
        } else {
            for (std::size_t n = 0; n < replay_.pieces.size() && !replay_.pieces[n].aside; ++n) {
                piece(n);
            }
        }
        return std::move(out_);
    }

  private:
    __attribute__((format(printf, 2, 3))) void line(const char* format, ...) {
        char buffer[512];
        std::va_list args;
        va_start(args, format);
        std::vsnprintf(buffer, sizeof buffer, format, args);
        va_end(args);
        out_ += buffer;
        while (out_.ends_with(' ')) {
            out_.pop_back();
        }
        out_ += '\n';
    }

    void head() {
        line("# block 0x%08x, physical 0x%08llx, %s%s%s: %u bytes, %u instructions", block_.eip,
             static_cast<unsigned long long>(raw(block_.address)),
             block_.user ? "user" : "supervisor", block_.is_plain ? ", plain" : "",
             block_.second_page != Block::kNoPage ? ", straddles" : "", unsigned{block_.length},
             unsigned{block_.count});
        line("# host code 0x%012llx, %u bytes: %s",
             static_cast<unsigned long long>(reinterpret_cast<u64>(block_.code)), block_.code_size,
             state_of_code().c_str());
    }

    [[nodiscard]] std::string state_of_code() const {
        if (!replay_.comparable) {
            return "made anew it has " + std::to_string(replay_.code.size()) +
                   ", so what belongs to which instruction is not known";
        }
        std::string text = std::to_string(replay_.linked) + " of " +
                           std::to_string(replay_.links.size()) + " links lead to their targets";
        if (replay_.differences != 0) {
            text += "; made anew, " + std::to_string(replay_.differences) +
                    " bytes differ: take what follows with care";
        }
        return text;
    }

    void piece(std::size_t number) {
        const EmittedPiece& each = replay_.pieces[number];
        if (each.what != nullptr) {
            line("%s:", each.what);
        } else {
            guest_line(each.step);
        }
        host_lines(each.offset, end_of(number), ' ');
        if (each.what != nullptr) {
            return;
        }
        for (std::size_t n = 0; n < replay_.pieces.size(); ++n) {
            if (replay_.pieces[n].aside && replay_.pieces[n].step == each.step) {
                host_lines(replay_.pieces[n].offset, end_of(n), '~');
            }
        }
    }

    [[nodiscard]] u32 end_of(std::size_t number) const {
        return number + 1 < replay_.pieces.size() ? replay_.pieces[number + 1].offset
                                                  : block_.code_size;
    }

    void guest_line(unsigned step) {
        const BlockPlan::Step& at = replay_.plan.steps[step];
        const std::span<const u8> bytes(at.insn.raw.data(), at.insn.length);
        const Text text = guest_.decode(bytes, at.eip);
        std::string what = text.whole;
        if (text.target) {
            char target[16];
            std::snprintf(target, sizeof target, " 0x%08x", static_cast<u32>(*text.target));
            what = text.mnemonic + target;
        }
        line("0x%08x  %-22s  %s", at.eip, hex_bytes(bytes).c_str(), what.c_str());
    }

    void host_lines(u32 from, u32 to, char mark) {
        while (from < to) {
            const std::span<const u8> bytes(block_.code + from, to - from);
            Text text = host_.decode(bytes, reinterpret_cast<u64>(block_.code) + from);
            std::string what = text.whole;
            if (text.target) {
                what = text.mnemonic + ' ' + label(reinterpret_cast<const u8*>(*text.target));
            }
            const std::string note = note_at(from, text);
            line("   %c+%04x  %-22s  %-*s%s%s", mark, from,
                 hex_bytes(bytes.first(text.length)).c_str(), note.empty() ? 0 : 44, what.c_str(),
                 note.empty() ? "" : "  ; ", note.c_str());
            from += text.length;
        }
    }

    [[nodiscard]] std::string label(const u8* target) const {
        if (target < block_.code || target >= block_.code + block_.code_size) {
            return target_name(cache_, target);
        }
        char text[16];
        std::snprintf(text, sizeof text, "+%04x", static_cast<u32>(target - block_.code));
        return text;
    }

    [[nodiscard]] std::string note_at(u32 offset, const Text& text) const {
        if (text.state_at) {
            return state_name(*text.state_at, text.indexed);
        }
        const auto holds = [&](u32 place) {
            return place >= offset && place < offset + text.length;
        };
        for (const EmittedLink& each : replay_.links) {
            const Link& link = cache_.link(each.number);
            if (replay_.comparable && (holds(each.place) || each.stub == offset)) {
                char note[64];
                std::snprintf(note, sizeof note, "link %u to 0x%08x %s", each.number, link.eip,
                              entry_name(link.entry));
                return note;
            }
        }
        return replay_.comparable && std::ranges::any_of(replay_.pointers, holds)
                   ? "the instruction, for the interpreter"
                   : "";
    }

    const BlockCache& cache_;
    const Block& block_;
    Replay replay_;
    Disassembler guest_{ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32};
    Disassembler host_{ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64};
    std::string out_;
};

}  // namespace

std::string block_listing(const BlockCache& cache, const Block& block, const BlockSource& source) {
    return Listing(cache, block, source).text();
}

}  // namespace ennead::vmcore::jit
