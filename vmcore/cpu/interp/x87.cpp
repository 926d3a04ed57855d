// SPDX-License-Identifier: MIT
// The escape opcodes D8…DF and WAIT: decoding of their ModRM byte, memory operands, #NM and #MF
// (SDM vol 2A).
#include <array>

#include "vmcore/cpu/interp/fpu_access.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/x87_ops.h"
#include "vmcore/cpu/interp/x87_registers.h"

namespace ennead::vmcore {
namespace {

using x87::Arith;

// SDM vol 1 §8.1.8: where the last instruction that was not a control instruction was, and its
// operand.
void record(Cpu& cpu, const Insn& insn) {
    X87State& s = cpu.state.x87;
    s.instruction_offset = cpu.state.eip;
    s.instruction_selector = cpu.state.segment(Seg::cs).selector;
    s.opcode = static_cast<u16>(((insn.opcode & 7u) << 8) | insn.modrm);
    if (insn.has_memory) {
        s.operand_offset = cpu.effective_offset(insn);
        s.operand_selector = cpu.state.segment(insn.segment).selector;
    }
}

bool real_addressing(const Cpu& cpu) {
    return !cpu.state.protected_mode() || cpu.state.v86();
}

// --- memory operands ---

template <class T>
bool load_operand(Cpu& cpu, const Insn& insn, X87Register& bytes) {
    T value = 0;
    if (!cpu.load(insn.segment, cpu.effective_offset(insn), value)) {
        return false;
    }
    bytes = X87Register{.significand = value};
    return true;
}

bool load_operand80(Cpu& cpu, const Insn& insn, X87Register& bytes) {
    const u32 offset = cpu.effective_offset(insn);
    return cpu.load(insn.segment, offset, bytes.significand) &&
           cpu.load(insn.segment, offset + 8, bytes.sign_exponent);
}

template <class T>
bool exec_arith_memory(Cpu& cpu, const Insn& insn, x87::Operand kind) {
    X87Register bytes;
    if (!load_operand<T>(cpu, insn, bytes)) {
        return false;
    }
    record(cpu, insn);
    x87::arith_memory(cpu.state.x87, static_cast<Arith>(insn.reg()), kind,
                      static_cast<u32>(bytes.significand),
                      static_cast<u32>(bytes.significand >> 32));
    return true;
}

template <class T>
bool exec_load(Cpu& cpu, const Insn& insn, x87::LoadFormat format) {
    X87Register bytes;
    if (!load_operand<T>(cpu, insn, bytes)) {
        return false;
    }
    record(cpu, insn);
    x87::load(cpu.state.x87, format, bytes);
    return true;
}

template <class T>
bool exec_store(Cpu& cpu, const Insn& insn, const x87::Store& store, bool pop) {
    if (store.stored && !cpu.store(insn.segment, cpu.effective_offset(insn),
                                   static_cast<T>(store.bytes.significand))) {
        return false;
    }
    record(cpu, insn);
    x87::commit_store(cpu.state.x87, store, pop);
    return true;
}

template <class T>
bool exec_store(Cpu& cpu, const Insn& insn, x87::StoreFormat format, bool pop) {
    return exec_store<T>(cpu, insn, x87::prepare_store(cpu.state.x87, format), pop);
}

// FISTTP, which came with SSE3 but needs nothing of it.
template <class T>
bool exec_store_truncated(Cpu& cpu, const Insn& insn, x87::StoreFormat format) {
    return exec_store<T>(cpu, insn, x87::prepare_store_truncated(cpu.state.x87, format), true);
}

// FSTP m80 and FBSTP.
bool exec_store80(Cpu& cpu, const Insn& insn, const x87::Store& store) {
    const u32 offset = cpu.effective_offset(insn);
    if (store.stored && !(cpu.probe_store(insn.segment, offset, 10) &&
                          cpu.store(insn.segment, offset, store.bytes.significand) &&
                          cpu.store(insn.segment, offset + 8, store.bytes.sign_exponent))) {
        return false;
    }
    record(cpu, insn);
    x87::commit_store(cpu.state.x87, store, true);
    return true;
}

// --- environment ---

template <class T>
bool store_environment(Cpu& cpu, const Insn& insn, u32 offset) {
    const x87::Environment words =
        x87::environment(cpu.state.x87, sizeof(T) == 4, real_addressing(cpu));
    for (u32 i = 0; i < words.size(); ++i) {
        if (!cpu.store(insn.segment, offset + static_cast<u32>(i * sizeof(T)),
                       static_cast<T>(words[i]))) {
            return false;
        }
    }
    return true;
}

template <class T>
bool fetch_environment(Cpu& cpu, const Insn& insn, u32 offset, x87::Environment& words) {
    for (u32 i = 0; i < words.size(); ++i) {
        T value = 0;
        if (!cpu.load(insn.segment, offset + static_cast<u32>(i * sizeof(T)), value)) {
            return false;
        }
        words[i] = value;
    }
    return true;
}

template <class T>
bool exec_fnstenv(Cpu& cpu, const Insn& insn) {
    const u32 offset = cpu.effective_offset(insn);
    if (!cpu.probe_store(insn.segment, offset, 7 * sizeof(T)) ||
        !store_environment<T>(cpu, insn, offset)) {
        return false;
    }
    x87::mask_exceptions(cpu.state.x87);
    update_x87_ferr(cpu);
    return true;
}

template <class T>
bool exec_fldenv(Cpu& cpu, const Insn& insn) {
    x87::Environment words{};
    if (!fetch_environment<T>(cpu, insn, cpu.effective_offset(insn), words)) {
        return false;
    }
    x87::load_environment(cpu.state.x87, words, sizeof(T) == 4, real_addressing(cpu));
    update_x87_ferr(cpu);
    return true;
}

// The registers follow in the order ST(0)…ST(7), ten bytes each; moved by 16-bit words, whose
// alignment holds wherever that of the environment does.
template <class T>
bool exec_fnsave(Cpu& cpu, const Insn& insn) {
    const u32 offset = cpu.effective_offset(insn);
    constexpr u32 kEnvironment = 7 * sizeof(T);
    if (!cpu.probe_store(insn.segment, offset, kEnvironment + 80) ||
        !store_environment<T>(cpu, insn, offset)) {
        return false;
    }
    for (u32 i = 0; i < 8; ++i) {
        const X87Register& value = x87::st(cpu.state.x87, i);
        for (u32 word = 0; word < 5; ++word) {
            const u16 bits =
                word < 4 ? static_cast<u16>(value.significand >> (16 * word)) : value.sign_exponent;
            if (!cpu.store(insn.segment, offset + kEnvironment + 10 * i + 2 * word, bits)) {
                return false;
            }
        }
    }
    x87::init(cpu.state.x87);
    update_x87_ferr(cpu);
    return true;
}

template <class T>
bool exec_frstor(Cpu& cpu, const Insn& insn) {
    const u32 offset = cpu.effective_offset(insn);
    constexpr u32 kEnvironment = 7 * sizeof(T);
    x87::Environment words{};
    if (!fetch_environment<T>(cpu, insn, offset, words)) {
        return false;
    }
    std::array<X87Register, 8> registers{};
    for (u32 i = 0; i < 8; ++i) {
        for (u32 word = 0; word < 5; ++word) {
            u16 bits = 0;
            if (!cpu.load(insn.segment, offset + kEnvironment + 10 * i + 2 * word, bits)) {
                return false;
            }
            if (word < 4) {
                registers[i].significand |= u64{bits} << (16 * word);
            } else {
                registers[i].sign_exponent = bits;
            }
        }
    }
    x87::load_environment(cpu.state.x87, words, sizeof(T) == 4, real_addressing(cpu));
    for (unsigned i = 0; i < 8; ++i) {
        x87::restore_register(cpu.state.x87, i, registers[i]);
    }
    update_x87_ferr(cpu);
    return true;
}

// --- control instructions that do not wait ---

// FNSTCW, FNSTENV (D9), FNSAVE, FNSTSW (DD).
bool exec_control_store(Cpu& cpu, const Insn& insn) {
    const X87State& s = cpu.state.x87;
    const bool wide = insn.operand_size == 4;
    if (insn.reg() == 6) {
        if (insn.opcode == 0xd9) {
            return wide ? exec_fnstenv<u32>(cpu, insn) : exec_fnstenv<u16>(cpu, insn);
        }
        return wide ? exec_fnsave<u32>(cpu, insn) : exec_fnsave<u16>(cpu, insn);
    }
    return cpu.store(insn.segment, cpu.effective_offset(insn),
                     insn.opcode == 0xd9 ? s.control : s.status);
}

// FLDCW, FLDENV, FRSTOR: these wait.
bool exec_control_load(Cpu& cpu, const Insn& insn) {
    const bool wide = insn.operand_size == 4;
    if (insn.opcode == 0xd9 && insn.reg() == 5) {
        u16 value = 0;
        if (!cpu.load(insn.segment, cpu.effective_offset(insn), value)) {
            return false;
        }
        x87::load_control(cpu.state.x87, value);
        update_x87_ferr(cpu);
        return true;
    }
    if (insn.opcode == 0xd9) {
        return wide ? exec_fldenv<u32>(cpu, insn) : exec_fldenv<u16>(cpu, insn);
    }
    return wide ? exec_frstor<u32>(cpu, insn) : exec_frstor<u16>(cpu, insn);
}

bool is_control_store(const Insn& insn) {
    return (insn.opcode == 0xd9 || insn.opcode == 0xdd) && insn.reg() >= 6;
}

bool is_control_load(const Insn& insn) {
    return (insn.opcode == 0xd9 && (insn.reg() == 4 || insn.reg() == 5)) ||
           (insn.opcode == 0xdd && insn.reg() == 4);
}

// --- forms with a memory operand ---

bool exec_d9_memory(Cpu& cpu, const Insn& insn) {
    switch (insn.reg()) {
        case 0:
            return exec_load<u32>(cpu, insn, x87::LoadFormat::real32);
        case 2:
            return exec_store<u32>(cpu, insn, x87::StoreFormat::real32, false);
        case 3:
            return exec_store<u32>(cpu, insn, x87::StoreFormat::real32, true);
        default:
            return cpu.raise(Vector::ud);
    }
}

bool exec_db_memory(Cpu& cpu, const Insn& insn) {
    X87Register bytes;
    switch (insn.reg()) {
        case 0:
            return exec_load<u32>(cpu, insn, x87::LoadFormat::int32);
        case 1:
            return exec_store_truncated<u32>(cpu, insn, x87::StoreFormat::int32);
        case 2:
            return exec_store<u32>(cpu, insn, x87::StoreFormat::int32, false);
        case 3:
            return exec_store<u32>(cpu, insn, x87::StoreFormat::int32, true);
        case 5:
            if (!load_operand80(cpu, insn, bytes)) {
                return false;
            }
            record(cpu, insn);
            x87::load_real80(cpu.state.x87, bytes);
            return true;
        case 7:
            return exec_store80(cpu, insn, x87::prepare_store_real80(cpu.state.x87));
        default:
            return cpu.raise(Vector::ud);
    }
}

bool exec_dd_memory(Cpu& cpu, const Insn& insn) {
    switch (insn.reg()) {
        case 0:
            return exec_load<u64>(cpu, insn, x87::LoadFormat::real64);
        case 1:
            return exec_store_truncated<u64>(cpu, insn, x87::StoreFormat::int64);
        case 2:
            return exec_store<u64>(cpu, insn, x87::StoreFormat::real64, false);
        case 3:
            return exec_store<u64>(cpu, insn, x87::StoreFormat::real64, true);
        default:
            return cpu.raise(Vector::ud);
    }
}

bool exec_df_memory(Cpu& cpu, const Insn& insn) {
    X87Register bytes;
    switch (insn.reg()) {
        case 0:
            return exec_load<u16>(cpu, insn, x87::LoadFormat::int16);
        case 1:
            return exec_store_truncated<u16>(cpu, insn, x87::StoreFormat::int16);
        case 2:
            return exec_store<u16>(cpu, insn, x87::StoreFormat::int16, false);
        case 3:
            return exec_store<u16>(cpu, insn, x87::StoreFormat::int16, true);
        case 4:
            if (!load_operand80(cpu, insn, bytes)) {
                return false;
            }
            record(cpu, insn);
            x87::load(cpu.state.x87, x87::LoadFormat::bcd, bytes);
            return true;
        case 5:
            return exec_load<u64>(cpu, insn, x87::LoadFormat::int64);
        case 6:
            return exec_store80(cpu, insn,
                                x87::prepare_store(cpu.state.x87, x87::StoreFormat::bcd));
        case 7:
            return exec_store<u64>(cpu, insn, x87::StoreFormat::int64, true);
        default:
            return cpu.raise(Vector::ud);
    }
}

bool exec_memory(Cpu& cpu, const Insn& insn) {
    switch (insn.opcode) {
        case 0xd8:
            return exec_arith_memory<u32>(cpu, insn, x87::Operand::real32);
        case 0xd9:
            return exec_d9_memory(cpu, insn);
        case 0xda:
            return exec_arith_memory<u32>(cpu, insn, x87::Operand::int32);
        case 0xdb:
            return exec_db_memory(cpu, insn);
        case 0xdc:
            return exec_arith_memory<u64>(cpu, insn, x87::Operand::real64);
        case 0xdd:
            return exec_dd_memory(cpu, insn);
        case 0xde:
            return exec_arith_memory<u16>(cpu, insn, x87::Operand::int16);
        default:
            return exec_df_memory(cpu, insn);
    }
}

// DB E0…E4 and DF E0: control instructions without an operand in memory. They do not wait.
bool exec_control(Cpu& cpu, const Insn& insn) {
    X87State& s = cpu.state.x87;
    if (insn.opcode == 0xdf) {
        cpu.set_r16(kEax, s.status);  // FNSTSW AX
        return true;
    }
    if (insn.modrm == 0xe2) {
        x87::clear_exceptions(s);
    } else if (insn.modrm == 0xe3) {
        x87::init(s);
    }
    // FNENI, FNDISI and FNSETPM mean nothing since the 80387.
    update_x87_ferr(cpu);
    return true;
}

bool is_control(const Insn& insn) {
    return (insn.opcode == 0xdb && insn.modrm >= 0xe0 && insn.modrm <= 0xe4) ||
           (insn.opcode == 0xdf && insn.modrm == 0xe0);
}

bool exec_escape_memory(Cpu& cpu, const Insn& insn) {
    if (is_control_store(insn)) {
        return exec_control_store(cpu, insn);
    }
    if (!check_x87_pending(cpu)) {
        return false;
    }
    if (is_control_load(insn)) {
        return exec_control_load(cpu, insn);
    }
    if (!exec_memory(cpu, insn)) {
        return false;
    }
    update_x87_ferr(cpu);
    return true;
}

bool exec_escape(Cpu& cpu, const Insn& insn) {
    if (!check_x87(cpu)) {
        return false;
    }
    if (insn.has_memory) {
        return exec_escape_memory(cpu, insn);
    }
    if (is_control(insn)) {
        return exec_control(cpu, insn);
    }
    if (!check_x87_pending(cpu)) {
        return false;
    }
    if (!x87::exec_registers(cpu.state, insn.opcode, insn.modrm)) {
        return cpu.raise(Vector::ud);
    }
    record(cpu, insn);
    update_x87_ferr(cpu);
    return true;
}

}  // namespace

bool exec_fpu_d8(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_d9(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_da(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_db(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_dc(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_dd(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_de(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}
bool exec_fpu_df(Cpu& cpu, const Insn& insn) {
    return exec_escape(cpu, insn);
}

bool exec_fwait(Cpu& cpu, const Insn& /*insn*/) {
    // SDM vol 3A, table 2-2: WAIT looks at TS only if MP is set, and not at EM.
    if ((cpu.state.cr0 & (cr0::kMp | cr0::kTs)) == (cr0::kMp | cr0::kTs)) {
        return cpu.raise(Vector::nm);
    }
    return check_x87_pending(cpu);
}

}  // namespace ennead::vmcore
