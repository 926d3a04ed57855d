// SPDX-License-Identifier: MIT
// The table of x87 and SSE registers: name, width, how to read and write each.
#include "vmcore/machine/fp_registers.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include "vmcore/cpu/interp/fpu_access.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

// What the registers hold; a write works on a copy.
struct FpState {
    X87State x87;
    std::array<Xmm, 8> xmm;
    u32 mxcsr;
};

struct FpRegister {
    std::string name;
    unsigned bits;
    std::function<WideValue(const FpState&)> get;
    std::function<void(FpState&, WideValue)> set;
    // Those that say where and how others are kept come first: control and status (TOP), then the
    // contents, then the tags, which follow from them.
    unsigned turn;
};

std::vector<FpRegister> make_table() {
    std::vector<FpRegister> table;
    for (unsigned i = 0; i < 8; ++i) {
        table.push_back({"st" + std::to_string(i), 80,
                         [i](const FpState& s) {
                             const X87Register& value = x87::st(s.x87, i);
                             return WideValue{value.significand, value.sign_exponent};
                         },
                         [i](FpState& s, WideValue v) {
                             x87::st(s.x87, i) = {v.low, static_cast<u16>(v.high)};
                         },
                         1});
    }
    table.push_back({"control", 16, [](const FpState& s) { return WideValue{s.x87.control}; },
                     [](FpState& s, WideValue v) { s.x87.control = static_cast<u16>(v.low); }, 0});
    table.push_back({"status", 16, [](const FpState& s) { return WideValue{s.x87.status}; },
                     [](FpState& s, WideValue v) { s.x87.status = static_cast<u16>(v.low); }, 0});
    table.push_back({"tag", 16, [](const FpState& s) { return WideValue{x87::tag_word(s.x87)}; },
                     [](FpState& s, WideValue v) { s.x87.tag = static_cast<u16>(v.low); }, 2});
    for (unsigned i = 0; i < 8; ++i) {
        table.push_back({"xmm" + std::to_string(i), 128,
                         [i](const FpState& s) {
                             return WideValue{s.xmm[i].lane<u64>(0), s.xmm[i].lane<u64>(1)};
                         },
                         [i](FpState& s, WideValue v) {
                             s.xmm[i].set_lane(0, v.low);
                             s.xmm[i].set_lane(1, v.high);
                         },
                         1});
    }
    table.push_back({"mxcsr", 32, [](const FpState& s) { return WideValue{s.mxcsr}; },
                     [](FpState& s, WideValue v) { s.mxcsr = static_cast<u32>(v.low); }, 0});
    return table;
}

const std::vector<FpRegister>& fp_registers() {
    static const std::vector<FpRegister> table = make_table();
    return table;
}

FpState state_of(const CpuState& state) {
    return {state.x87, state.xmm, state.mxcsr};
}

bool fits(const FpRegister& r, WideValue v) {
    if (r.name == "mxcsr") {
        return v.high == 0 && (v.low & ~u64{mxcsr::kSupported}) == 0;
    }
    return r.bits == 128 ||
           (r.bits == 80 ? v.high >> 16 == 0 : v.high == 0 && v.low >> r.bits == 0);
}

}  // namespace

std::string fp_registers_text(const Cpu& cpu) {
    const FpState state = state_of(cpu.state);
    std::string text;
    char line[64];
    for (const FpRegister& r : fp_registers()) {
        const WideValue v = r.get(state);
        if (r.bits > 64) {
            std::snprintf(line, sizeof line, "%s 0x%0*llx%016llx\n", r.name.c_str(),
                          static_cast<int>((r.bits - 64) / 4),
                          static_cast<unsigned long long>(v.high),
                          static_cast<unsigned long long>(v.low));
        } else {
            std::snprintf(line, sizeof line, "%s 0x%0*llx\n", r.name.c_str(),
                          static_cast<int>(r.bits / 4), static_cast<unsigned long long>(v.low));
        }
        text += line;
    }
    return text;
}

Result<> set_fp_registers(Cpu& cpu,
                          const std::vector<std::pair<std::string, WideValue>>& assignments,
                          std::size_t* fault_index) {
    struct Target {
        const FpRegister* at;
        WideValue value;
    };
    std::vector<Target> targets;
    for (std::size_t i = 0; i < assignments.size(); ++i) {
        const auto& [name, value] = assignments[i];
        const auto& all = fp_registers();
        const auto found =
            std::ranges::find_if(all, [&](const FpRegister& r) { return r.name == name; });
        if (found == all.end() || !fits(*found, value)) {
            if (fault_index != nullptr) {
                *fault_index = i;
            }
            return Error::bad_value;
        }
        targets.push_back({&*found, value});
    }
    std::ranges::stable_sort(targets, {}, [](const Target& t) { return t.at->turn; });
    FpState state = state_of(cpu.state);
    for (const Target& t : targets) {
        t.at->set(state, t.value);
    }
    x87::load_control(state.x87, state.x87.control);  // derives ES and B too
    state.x87.tag = x87::tag_word(state.x87);
    cpu.state.x87 = state.x87;
    cpu.state.xmm = state.xmm;
    cpu.state.mxcsr = state.mxcsr;
    update_x87_ferr(cpu);
    return success();
}

}  // namespace ennead::vmcore
