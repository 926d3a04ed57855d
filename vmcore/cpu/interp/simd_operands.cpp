// SPDX-License-Identifier: MIT
// Register files by name, memory operands by size.
#include "vmcore/cpu/interp/simd_operands.h"

#include "vmcore/cpu/interp/fpu_access.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

using File = SimdForm::File;

Xmm read_register(const CpuState& state, File file, unsigned n) {
    Xmm value;
    switch (file) {
        case File::general:
            value.set_lane(0, state.gpr[n]);
            break;
        case File::mmx:
            value.set_lane(0, state.x87.r[n].significand);
            break;
        case File::xmm:
            value = state.xmm[n];
            break;
        case File::none:
            break;
    }
    return value;
}

void write_register(CpuState& state, File file, unsigned n, const Xmm& value) {
    switch (file) {
        case File::general:
            state.gpr[n] = value.lane<u32>(0);
            break;
        case File::mmx:
            // SDM vol 3A §12.2: bits 64…79 become ones.
            state.x87.r[n].significand = value.lane<u64>(0);
            state.x87.r[n].sign_exponent = 0xffff;
            break;
        case File::xmm:
            state.xmm[n] = value;
            break;
        case File::none:
            break;
    }
}

template <class T>
bool load_lane(Cpu& cpu, Seg segment, u32 offset, Xmm& out) {
    T value{};
    if (!cpu.load(segment, offset, value)) {
        return false;
    }
    out.set_lane(0, value);
    return true;
}

bool load_memory(Cpu& cpu, const Insn& insn, const SimdForm& form, Xmm& out) {
    const u32 offset = cpu.effective_offset(insn);
    if (form.aligned && !check_aligned_16(cpu, insn.segment, offset)) {
        return false;
    }
    switch (form.memory_bytes) {
        case 2:
            return load_lane<u16>(cpu, insn.segment, offset, out);
        case 4:
            return load_lane<u32>(cpu, insn.segment, offset, out);
        case 8:
            return load_lane<u64>(cpu, insn.segment, offset, out);
        default:
            return cpu.load(insn.segment, offset, out);
    }
}

bool store_memory(Cpu& cpu, const Insn& insn, const SimdForm& form, const Xmm& value) {
    const u32 offset = cpu.effective_offset(insn);
    if (form.aligned && !check_aligned_16(cpu, insn.segment, offset)) {
        return false;
    }
    switch (form.memory_bytes) {
        case 4:
            return cpu.store(insn.segment, offset, value.lane<u32>(0));
        case 8:
            return cpu.store(insn.segment, offset, value.lane<u64>(0));
        default:
            return cpu.store(insn.segment, offset, value);
    }
}

void finish(Cpu& cpu, const Insn& insn, const SimdForm& form) {
    if (form.uses_mmx(insn.has_memory)) {
        x87::enter_mmx(cpu.state.x87);
    }
}

}  // namespace

bool check_aligned_16(Cpu& cpu, Seg segment, u32 offset) {
    return ((cpu.state.segment(segment).base + offset) & 15) == 0 || cpu.raise(Vector::gp, 0);
}

bool load_simd(Cpu& cpu, const Insn& insn, SimdOperands& operands) {
    const SimdForm& form = opcode_row(insn.row).simd;
    if ((form.sse && !check_sse(cpu)) || (form.uses_mmx(insn.has_memory) && !check_mmx(cpu))) {
        return false;
    }
    operands.form = &form;
    operands.reg = read_register(cpu.state, form.reg, insn.reg());
    if (!insn.has_memory) {
        operands.rm = read_register(cpu.state, form.rm, insn.rm());
        return true;
    }
    return !form.reads_memory || load_memory(cpu, insn, form, operands.rm);
}

void store_simd_reg(Cpu& cpu, const Insn& insn, const SimdForm& form, const Xmm& value) {
    write_register(cpu.state, form.reg, insn.reg(), value);
    finish(cpu, insn, form);
}

bool store_simd_rm(Cpu& cpu, const Insn& insn, const SimdForm& form, const Xmm& value) {
    if (!insn.has_memory) {
        write_register(cpu.state, form.rm, insn.rm(), value);
    } else if (!store_memory(cpu, insn, form, value)) {
        return false;
    }
    finish(cpu, insn, form);
    return true;
}

}  // namespace ennead::vmcore
