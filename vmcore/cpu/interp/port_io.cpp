// SPDX-License-Identifier: MIT
// Ports: who may touch them, and the accesses themselves.
#include "vmcore/cpu/interp/debug.h"
#include "vmcore/cpu/interp/handlers.h"

namespace ennead::vmcore {
namespace {

unsigned size_of(const Insn& insn) {
    return (insn.opcode & 1) == 0 ? 1 : insn.operand_size;
}

bool in(Cpu& cpu, const Insn& insn, Port port) {
    const unsigned size = size_of(insn);
    if (!cpu.check_port(port, size)) {
        return false;
    }
    const u32 value = cpu.port_in(port, size);
    if (size == 1) {
        cpu.set_r8(kEax, static_cast<u8>(value));
    } else if (size == 2) {
        cpu.set_r16(kEax, static_cast<u16>(value));
    } else {
        cpu.set_r32(kEax, value);
    }
    return true;
}

bool out(Cpu& cpu, const Insn& insn, Port port) {
    const unsigned size = size_of(insn);
    if (!cpu.check_port(port, size)) {
        return false;
    }
    const u32 value = cpu.r32(kEax);
    cpu.port_out(port, size, size == 4 ? value : value & ((1u << size * 8) - 1));
    return true;
}

}  // namespace

// SDM vol 1 §19.5: above IOPL, and always in virtual-8086 mode, the TSS's bitmap decides.
bool Cpu::check_port(Port port, unsigned size) {
    if (!state.protected_mode() || (!state.v86() && state.cpl <= state.iopl())) {
        return true;
    }
    const auto refuse = [&] { return raise(Vector::gp, 0); };
    const Segment& tss = state.tr;
    const bool tss32 = (tss.attr & 0xf) == 9 || (tss.attr & 0xf) == 11;
    if ((tss.attr & Segment::kPresent) == 0 || !tss32 || tss.limit < 0x67) {
        return refuse();
    }
    u16 map = 0;
    if (!load_system(LinearAddr{tss.base + 0x66}, map)) {
        return false;
    }
    // Two bytes are read whatever the size, so the map needs a byte of ones behind its last (SDM
    // vol 1 §19.5.2).
    const u32 at = u32{map} + raw(port) / 8;
    if (at + 1 > tss.limit) {
        return refuse();
    }
    u16 bits = 0;
    if (!load_system(LinearAddr{tss.base + at}, bits)) {
        return false;
    }
    const u32 mask = ((1u << size) - 1) << (raw(port) % 8);
    return (bits & mask) == 0 || refuse();
}

u32 Cpu::port_in(Port port, unsigned size) {
    if (port_breakpoints_) {
        pending_debug_ |= match_port_breakpoints(state, port, size);
    }
    const auto value = static_cast<u32>(io.ports.read(raw(port), size));
    if (tracer.ports()) [[unlikely]] {
        tracer.port(port, size, false, value);
    }
    return value;
}

void Cpu::port_out(Port port, unsigned size, u32 value) {
    if (port_breakpoints_) {
        pending_debug_ |= match_port_breakpoints(state, port, size);
    }
    if (tracer.ports()) [[unlikely]] {
        tracer.port(port, size, true, value);
    }
    io.ports.write(raw(port), size, value);
}

bool exec_in_imm(Cpu& cpu, const Insn& insn) {
    return in(cpu, insn, Port{static_cast<u16>(insn.imm & 0xff)});
}
bool exec_in_dx(Cpu& cpu, const Insn& insn) {
    return in(cpu, insn, Port{cpu.r16(kEdx)});
}
bool exec_out_imm(Cpu& cpu, const Insn& insn) {
    return out(cpu, insn, Port{static_cast<u16>(insn.imm & 0xff)});
}
bool exec_out_dx(Cpu& cpu, const Insn& insn) {
    return out(cpu, insn, Port{cpu.r16(kEdx)});
}

}  // namespace ennead::vmcore
