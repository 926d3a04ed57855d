// SPDX-License-Identifier: MIT
// The decoder: SDM vol 2A chapter 2 for the layout of an instruction, tables.h for what each opcode
// takes.
#include "vmcore/cpu/decode/decoder.h"

#include <algorithm>
#include <cstring>

#include "vmcore/cpu/decode/tables.h"

namespace ennead::vmcore {
namespace {

// One decoding under way. Functions that answer bool say false when the bytes ran out.
class Decoder {
  public:
    Decoder(std::span<const u8> bytes, Insn& insn)
        : bytes_(bytes.data()),
          size_(std::min<unsigned>(static_cast<unsigned>(bytes.size()), kMaxInsnLength)),
          insn_(insn) {}

    [[nodiscard]] DecodeStatus run(CodeSize size) {
        // Copied from memory: made in place, it would be read back before its bytes are stored.
        static constexpr Insn kEmpty{};
        insn_ = kEmpty;
        insn_.operand_size = insn_.address_size = static_cast<u8>(size);
        if (!opcode(size)) {
            return ran_out();
        }
        const OpcodeTable::Cell& cell = kOpcodeTables[map_].cells[insn_.opcode];
        if (cell.modrm && !take(insn_.modrm)) {
            return ran_out();
        }
        insn_.has_modrm = cell.modrm;
        insn_.row = cell.rows[insn_.mod() == 3][prefix_column()][insn_.reg()];
        const OpcodeRow& row = opcode_row(insn_.row);
        if (cell.modrm && insn_.mod() != 3 && !row.has(OpcodeRow::kRegistersOnly) && !memory()) {
            return ran_out();
        }
        if (!immediate(row)) {
            return ran_out();
        }
        finish(row);
        return DecodeStatus::ok;
    }

  private:
    [[nodiscard]] DecodeStatus ran_out() const {
        return size_ < kMaxInsnLength ? DecodeStatus::need_more : DecodeStatus::too_long;
    }

    template <class T>
    [[nodiscard]] bool take(T& value) {
        if (size_ - at_ < sizeof(T)) {
            return false;
        }
        std::memcpy(&value, bytes_ + at_, sizeof(T));
        at_ += static_cast<unsigned>(sizeof(T));
        return true;
    }

    // A value of `bytes` bytes (1, 2 or 4), zero-extended.
    [[nodiscard]] bool take_sized(unsigned bytes, u32& value) {
        if (bytes == 4) {
            return take(value);
        }
        u8 low = 0;
        u16 word = 0;
        const bool done = bytes == 2 ? take(word) : take(low);
        value = bytes == 2 ? word : low;
        return done;
    }

    [[nodiscard]] bool take_signed(unsigned bytes, u32& value) {
        if (!take_sized(bytes, value)) {
            return false;
        }
        if (bytes == 1) {
            value = static_cast<u32>(i32{static_cast<i8>(value)});
        } else if (bytes == 2) {
            value = static_cast<u32>(i32{static_cast<i16>(value)});
        }
        return true;
    }

    // Of several prefixes of one group the last counts; 66 and 67 may be repeated without switching
    // back.
    [[nodiscard]] bool opcode(CodeSize size) {
        const u8 other = size == CodeSize::bits32 ? 2 : 4;
        for (;;) {
            if (!take(insn_.opcode)) {
                return false;
            }
            switch (insn_.opcode) {
                case 0x26:
                    override_ = Seg::es;
                    break;
                case 0x2e:
                    override_ = Seg::cs;
                    break;
                case 0x36:
                    override_ = Seg::ss;
                    break;
                case 0x3e:
                    override_ = Seg::ds;
                    break;
                case 0x64:
                    override_ = Seg::fs;
                    break;
                case 0x65:
                    override_ = Seg::gs;
                    break;
                case 0x66:
                    insn_.operand_size = other;
                    operand_prefix_ = true;
                    continue;
                case 0x67:
                    insn_.address_size = other;
                    continue;
                case 0xf0:
                    insn_.lock = true;
                    continue;
                case 0xf2:
                case 0xf3:
                    insn_.rep = insn_.opcode;
                    continue;
                case 0x0f:
                    map_ = 1;
                    return take(insn_.opcode);
                default:
                    return true;
            }
            overridden_ = true;
        }
    }

    // F2 and F3 choose before 66 does, which then means nothing (SDM vol 2A §2.1.2).
    [[nodiscard]] unsigned prefix_column() const {
        const Prefix prefix = insn_.rep == 0xf3   ? Prefix::pf3
                              : insn_.rep == 0xf2 ? Prefix::pf2
                              : operand_prefix_   ? Prefix::p66
                                                  : Prefix::np;
        return static_cast<unsigned>(prefix);
    }

    [[nodiscard]] bool memory() {
        insn_.has_memory = true;
        return insn_.address_size == 4 ? memory32() : memory16();
    }

    // SDM vol 2A, table 2-1.
    [[nodiscard]] bool memory16() {
        static constexpr u8 kBase[8] = {kEbx, kEbx, kEbp, kEbp, kEsi, kEdi, kEbp, kEbx};
        static constexpr u8 kIndex[8] = {kEsi,        kEdi,        kEsi,        kEdi,
                                         kNoRegister, kNoRegister, kNoRegister, kNoRegister};
        if (insn_.mod() == 0 && insn_.rm() == 6) {
            return take_signed(2, insn_.disp);
        }
        insn_.base = kBase[insn_.rm()];
        insn_.index = kIndex[insn_.rm()];
        return insn_.mod() == 0 || take_signed(insn_.mod() == 1 ? 1 : 2, insn_.disp);
    }

    // SDM vol 2A, tables 2-2 and 2-3.
    [[nodiscard]] bool memory32() {
        u8 base = insn_.rm();
        if (base == 4) {
            if (!take(insn_.sib)) {
                return false;
            }
            base = insn_.sib & 7;
            const u8 index = (insn_.sib >> 3) & 7;
            if (index != 4) {
                insn_.index = index;
                insn_.scale = insn_.sib >> 6;
            }
        }
        if (insn_.mod() == 0 && base == 5) {
            return take(insn_.disp);
        }
        insn_.base = base;
        return insn_.mod() == 0 || take_signed(insn_.mod() == 1 ? 1 : 4, insn_.disp);
    }

    [[nodiscard]] bool immediate(const OpcodeRow& row) {
        switch (row.immediate) {
            case Immediate::none:
                return true;
            case Immediate::byte:
                return take_sized(1, insn_.imm);
            case Immediate::signed_byte:
                return take_signed(1, insn_.imm);
            case Immediate::word:
                return take_sized(2, insn_.imm);
            case Immediate::by_size:
                return take_sized(insn_.operand_size, insn_.imm);
            case Immediate::signed_by_size:
                return take_signed(insn_.operand_size, insn_.imm);
            case Immediate::far_pointer:
                return take_sized(insn_.operand_size, insn_.imm) && take(insn_.imm2);
            case Immediate::enter: {
                u8 level = 0;
                const bool done = take_sized(2, insn_.imm) && take(level);
                insn_.imm2 = level;
                return done;
            }
            case Immediate::offset:
                insn_.has_memory = true;
                return take_sized(insn_.address_size, insn_.disp);
        }
        return true;
    }

    [[nodiscard]] u8 register_number(RegisterIn where) const {
        switch (where) {
            case RegisterIn::nowhere:
                return kNoRegister;
            case RegisterIn::modrm_rm:
                return insn_.has_memory ? kNoRegister : insn_.rm();
            case RegisterIn::modrm_reg:
                return insn_.reg();
            case RegisterIn::opcode:
                return insn_.opcode & 7;
            case RegisterIn::eax:
                return kEax;
            case RegisterIn::ecx:
                return kEcx;
            case RegisterIn::edx:
                return kEdx;
        }
        return kNoRegister;
    }

    // In pieces of a fixed size where there are as many bytes: several times quicker.
    void copy_raw() {
        if (size_ < kMaxInsnLength) {
            std::memcpy(insn_.raw.data(), bytes_, at_);
            return;
        }
        static_assert(kMaxInsnLength == 15);
        u64 low = 0, high = 0;
        std::memcpy(&low, bytes_, 8);
        std::memcpy(&high, bytes_ + 7, 8);
        const unsigned in_low = std::min(at_, 8u), in_high = at_ - in_low;
        low &= ~u64{0} >> (64 - 8 * in_low);
        high = in_high == 0 ? 0 : (high >> 8) & (~u64{0} >> (64 - 8 * in_high));
        std::memcpy(insn_.raw.data(), &low, 8);
        std::memcpy(insn_.raw.data() + 8, &high, 8);
    }

    void finish(const OpcodeRow& row) {
        insn_.length = static_cast<u8>(at_);
        copy_raw();
        insn_.op = row.op;
        insn_.width = row.has(OpcodeRow::kByte) ? 1 : insn_.operand_size;
        insn_.prefix = row.simd.prefix;
        insn_.dst = register_number(row.dst);
        insn_.src = register_number(row.src);
        if (overridden_) {
            insn_.segment = override_;
        } else if (insn_.base == kEbp || insn_.base == kEsp) {
            insn_.segment = Seg::ss;
        }
        // LOCK is for read-modify-write of memory only (SDM vol 2A, LOCK).
        if (insn_.lock && !(row.has(OpcodeRow::kLockable) && insn_.has_memory)) {
            insn_.op = Op::ud;
            insn_.row = kUndefinedRow;
        }
    }

    const u8* bytes_;
    unsigned size_;
    unsigned at_ = 0;
    unsigned map_ = 0;
    Seg override_ = Seg::ds;
    bool overridden_ = false;
    bool operand_prefix_ = false;
    Insn& insn_;
};

}  // namespace

DecodeStatus decode(std::span<const u8> bytes, CodeSize size, Insn& insn) {
    return Decoder(bytes, insn).run(size);
}

}  // namespace ennead::vmcore
