// SPDX-License-Identifier: MIT
// FXSAVE and FXRSTOR: the x87, MMX and SSE state as one image (SDM vol 1 §10.5, table 10-2).
#include <array>
#include <cstring>

#include "vmcore/cpu/interp/fpu_access.h"
#include "vmcore/cpu/interp/fxsave_image.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/simd_operands.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

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
    const fxsave::Image<fxsave::kEnd> image = fxsave::image_of(cpu.state);
    // The operand has 512 bytes, though the last 224 stay as they are.
    if (!cpu.probe_store(insn.segment, offset, fxsave::kSize)) {
        return false;
    }
    if (has_sse(cpu)) {
        return cpu.store(insn.segment, offset, image);
    }
    // SDM vol 2A, FXSAVE: without CR4.OSFXSR the XMM registers need not be saved. Here they are
    // not.
    fxsave::Image<fxsave::kXmm> without_xmm;
    std::memcpy(without_xmm.bytes.data(), image.bytes.data(), fxsave::kXmm);
    return cpu.store(insn.segment, offset, without_xmm);
}

bool exec_fxrstor(Cpu& cpu, const Insn& insn) {
    fxsave::Image<fxsave::kSize> image;
    if (!may_run(cpu, insn) || !cpu.load(insn.segment, cpu.effective_offset(insn), image)) {
        return false;
    }
    if (has_sse(cpu)) {
        const auto value = image.get<u32>(fxsave::kMxcsr);
        if ((value & ~mxcsr::kSupported) != 0) {
            return cpu.raise(Vector::gp, 0);
        }
        cpu.state.mxcsr = value;
        std::memcpy(cpu.state.xmm.data(), image.bytes.data() + fxsave::kXmm, sizeof cpu.state.xmm);
    }
    fxsave::get_x87(cpu.state.x87, image, true);
    update_x87_ferr(cpu);
    return true;
}

}  // namespace ennead::vmcore
