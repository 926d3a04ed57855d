// SPDX-License-Identifier: MIT
// Matches accesses against DR0 to DR3 as DR7 arms them.
#include "vmcore/cpu/interp/debug.h"

namespace ennead::vmcore {
namespace {

// R/Wn of DR7, SDM vol 3B §17.2.4.
enum class Condition : u8 { execute, write, port, read_write };

bool enabled(const CpuState& state, unsigned n) {
    return (state.dr[7] >> (2 * n) & 3) != 0;
}

Condition condition(const CpuState& state, unsigned n) {
    return static_cast<Condition>(state.dr[7] >> (16 + 4 * n) & 3);
}

u32 length(const CpuState& state, unsigned n) {
    // LENn: 0, 1, 3 are 1, 2, 4 bytes; 2 is 8 bytes where there is 64-bit mode, and as undefined
    // acts as 1 here.
    constexpr u32 kBytes[] = {1, 2, 1, 4};
    return kBytes[state.dr[7] >> (18 + 4 * n) & 3];
}

// The breakpoint covers an aligned block (the address's low bits are ignored).
bool covers(const CpuState& state, unsigned n, u32 address, u32 size) {
    const u32 start = state.dr[n] & ~(length(state, n) - 1);
    // Distances in wrapping arithmetic, so that an access across 4 GiB matches as well.
    return address - start < length(state, n) || start - address < size;
}

}  // namespace

BreakpointKinds armed_breakpoints(const CpuState& state) {
    BreakpointKinds kinds;
    if ((state.dr[7] & debug::kDr7Enables) == 0) {
        return kinds;
    }
    for (unsigned n = 0; n < 4; ++n) {
        if (!enabled(state, n)) {
            continue;
        }
        switch (condition(state, n)) {
            case Condition::execute:
                kinds.instruction = true;
                break;
            case Condition::port:
                // Undefined without CR4.DE; matches nothing then.
                kinds.port |= (state.cr4 & cr4::kDe) != 0;
                break;
            case Condition::write:
            case Condition::read_write:
                kinds.data = true;
                break;
        }
    }
    return kinds;
}

u32 match_data_breakpoints(const CpuState& state, LinearAddr address, u32 size, Access access) {
    u32 hits = 0;
    for (unsigned n = 0; n < 4; ++n) {
        const Condition when = condition(state, n);
        if (enabled(state, n) &&
            (when == Condition::read_write ||
             (when == Condition::write && access == Access::write)) &&
            covers(state, n, raw(address), size)) {
            hits |= 1u << n;
        }
    }
    return hits;
}

u32 match_port_breakpoints(const CpuState& state, Port port, u32 size) {
    u32 hits = 0;
    for (unsigned n = 0; n < 4; ++n) {
        if (enabled(state, n) && condition(state, n) == Condition::port &&
            (state.cr4 & cr4::kDe) != 0 && covers(state, n, raw(port), size)) {
            hits |= 1u << n;
        }
    }
    return hits;
}

u32 match_instruction_breakpoints(const CpuState& state, LinearAddr address) {
    u32 hits = 0;
    for (unsigned n = 0; n < 4; ++n) {
        if (enabled(state, n) && condition(state, n) == Condition::execute &&
            state.dr[n] == raw(address)) {
            hits |= 1u << n;
        }
    }
    return hits;
}

}  // namespace ennead::vmcore
