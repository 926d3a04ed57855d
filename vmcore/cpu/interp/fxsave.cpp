// SPDX-License-Identifier: MIT
// FXSAVE and FXRSTOR: the x87, MMX and SSE state as one image (SDM vol 1 §10.5, table 10-2).
#include <array>
#include <cstring>

#include "vmcore/cpu/interp/fpu_access.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/simd_operands.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

// Where things are in the image. Beyond the XMM registers FXSAVE writes nothing.
constexpr u32 kControl = 0, kStatus = 2, kTags = 4, kOpcode = 6, kInstruction = 8,
              kInstructionSelector = 12, kOperand = 16, kOperandSelector = 20, kMxcsr = 24,
              kMxcsrMask = 28, kRegisters = 32, kXmm = 160, kEnd = 288, kSize = 512;
constexpr u32 kRegisterStride = 16;

template <std::size_t kBytes>
struct Image {
    std::array<u8, kBytes> bytes{};

    template <class T>
    void put(u32 at, T value) {
        std::memcpy(bytes.data() + at, &value, sizeof(T));
    }
    template <class T>
    [[nodiscard]] T get(u32 at) const {
        T value;
        std::memcpy(&value, bytes.data() + at, sizeof(T));
        return value;
    }
};

template <std::size_t kBytes>
void put_x87(const X87State& s, Image<kBytes>& image) {
    image.put(kControl, s.control);
    image.put(kStatus, s.status);
    image.put(kTags, x87::abridged_tags(s));
    image.put(kOpcode, s.opcode);
    image.put(kInstruction, s.instruction_offset);
    image.put(kInstructionSelector, s.instruction_selector);
    image.put(kOperand, s.operand_offset);
    image.put(kOperandSelector, s.operand_selector);
    for (u32 i = 0; i < 8; ++i) {
        const X87Register& value = x87::st(s, i);
        image.put(kRegisters + i * kRegisterStride, value.significand);
        image.put(kRegisters + i * kRegisterStride + 8, value.sign_exponent);
    }
}

void get_x87(X87State& s, const Image<kSize>& image) {
    const auto status = image.get<u16>(kStatus);
    s.status = status;  // TOP says where the registers go
    for (u32 i = 0; i < 8; ++i) {
        X87Register& value = x87::st(s, i);
        value.significand = image.get<u64>(kRegisters + i * kRegisterStride);
        value.sign_exponent = image.get<u16>(kRegisters + i * kRegisterStride + 8);
    }
    x87::load_abridged(s, image.get<u16>(kControl), status, image.get<u8>(kTags));
    s.opcode = image.get<u16>(kOpcode) & 0x7ff;
    s.instruction_offset = image.get<u32>(kInstruction);
    s.instruction_selector = image.get<u16>(kInstructionSelector);
    s.operand_offset = image.get<u32>(kOperand);
    s.operand_selector = image.get<u16>(kOperandSelector);
}

// SDM vol 2A, FXSAVE: #NM for CR0.EM too, and no wait for an x87 exception.
bool may_run(Cpu& cpu, const Insn& insn) {
    return check_x87(cpu) && check_aligned_16(cpu, insn.segment, cpu.effective_offset(insn));
}

bool has_sse(const Cpu& cpu) {
    return (cpu.state.cr4 & cr4::kOsfxsr) != 0;
}

}  // namespace

bool exec_fxsave(Cpu& cpu, const Insn& insn) {
    if (!may_run(cpu, insn)) {
        return false;
    }
    const u32 offset = cpu.effective_offset(insn);
    Image<kEnd> image;
    put_x87(cpu.state.x87, image);
    image.put(kMxcsr, cpu.state.mxcsr);
    image.put(kMxcsrMask, mxcsr::kSupported);
    std::memcpy(image.bytes.data() + kXmm, cpu.state.xmm.data(), sizeof cpu.state.xmm);
    // The operand has 512 bytes, though the last 224 stay as they are.
    if (!cpu.probe_store(insn.segment, offset, kSize)) {
        return false;
    }
    if (has_sse(cpu)) {
        return cpu.store(insn.segment, offset, image);
    }
    // SDM vol 2A, FXSAVE: without CR4.OSFXSR the XMM registers need not be saved. Here they are
    // not.
    Image<kXmm> without_xmm;
    std::memcpy(without_xmm.bytes.data(), image.bytes.data(), kXmm);
    return cpu.store(insn.segment, offset, without_xmm);
}

bool exec_fxrstor(Cpu& cpu, const Insn& insn) {
    Image<kSize> image;
    if (!may_run(cpu, insn) || !cpu.load(insn.segment, cpu.effective_offset(insn), image)) {
        return false;
    }
    if (has_sse(cpu)) {
        const auto value = image.get<u32>(kMxcsr);
        if ((value & ~mxcsr::kSupported) != 0) {
            return cpu.raise(Vector::gp, 0);
        }
        cpu.state.mxcsr = value;
        std::memcpy(cpu.state.xmm.data(), image.bytes.data() + kXmm, sizeof cpu.state.xmm);
    }
    get_x87(cpu.state.x87, image);
    update_x87_ferr(cpu);
    return true;
}

}  // namespace ennead::vmcore
