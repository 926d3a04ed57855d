// SPDX-License-Identifier: MIT
// The state to an image and back.
#include "vmcore/cpu/interp/fxsave_image.h"

#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore::fxsave {

Image<kEnd> image_of(const CpuState& state) {
    const X87State& s = state.x87;
    Image<kEnd> image;
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
    image.put(kMxcsr, state.mxcsr);
    image.put(kMxcsrMask, mxcsr::kSupported);
    std::memcpy(image.bytes.data() + kXmm, state.xmm.data(), sizeof state.xmm);
    return image;
}

void get_x87(X87State& s, const Image<kSize>& image, bool pointers) {
    const auto status = image.get<u16>(kStatus);
    s.status = status;  // TOP says where the registers go
    for (u32 i = 0; i < 8; ++i) {
        X87Register& value = x87::st(s, i);
        value.significand = image.get<u64>(kRegisters + i * kRegisterStride);
        value.sign_exponent = image.get<u16>(kRegisters + i * kRegisterStride + 8);
    }
    x87::load_abridged(s, image.get<u16>(kControl), status, image.get<u8>(kTags));
    if (pointers) {
        s.opcode = image.get<u16>(kOpcode) & 0x7ff;
        s.instruction_offset = image.get<u32>(kInstruction);
        s.instruction_selector = image.get<u16>(kInstructionSelector);
        s.operand_offset = image.get<u32>(kOperand);
        s.operand_selector = image.get<u16>(kOperandSelector);
    }
}

}  // namespace ennead::vmcore::fxsave
