// SPDX-License-Identifier: MIT
// INS and OUTS (SDM vol 1 §19.3). A device must not see a cycle of an iteration that faults, so
// everything that can fault comes first.
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/string_ops.h"

namespace ennead::vmcore {

bool exec_ins(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const Port port{cpu.r16(kEdx)};
        const auto step = [&](bool&) {
            const u32 offset = cursor.get(kEdi);
            if (!cpu.check_port(port, sizeof(T)) || !cpu.probe_store(Seg::es, offset, sizeof(T))) {
                return false;
            }
            if (!cpu.store(Seg::es, offset, static_cast<T>(cpu.port_in(port, sizeof(T))))) {
                return false;
            }
            cursor.advance(kEdi);
            return true;
        };
        return repeat(cpu, insn, cursor, step, no_run);
    });
}

bool exec_outs(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        StringCursor cursor(cpu, insn, sizeof(T));
        const Port port{cpu.r16(kEdx)};
        const auto step = [&](bool&) {
            T value;
            if (!cpu.check_port(port, sizeof(T)) ||
                !cpu.load(insn.segment, cursor.get(kEsi), value)) {
                return false;
            }
            cpu.port_out(port, sizeof(T), value);
            cursor.advance(kEsi);
            return true;
        };
        return repeat(cpu, insn, cursor, step, no_run);
    });
}

}  // namespace ennead::vmcore
