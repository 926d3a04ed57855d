// SPDX-License-Identifier: MIT
// The x87 and SSE registers by name: what `fpregs` shows and takes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "vmcore/cpu/interp/cpu.h"
#include "vmcore/result.h"

namespace ennead::vmcore {

// A value of up to 128 bits.
struct WideValue {
    u64 low = 0;
    u64 high = 0;
    bool operator==(const WideValue&) const = default;
};

// One `name 0x…` line each: st0…st7 (80 bits: sign and exponent, then the significand), control,
// status, tag (two bits a physical register, SDM vol 1 §8.1.7), xmm0…xmm7 (128 bits), mxcsr.
[[nodiscard]] std::string fp_registers_text(const Cpu& cpu);

// All of them or none, in whatever order: STn is counted from the TOP that `status` of the same
// assignments has. ES and B of the status word follow from its flags and the control word; of a
// tag, only whether the register is empty counts, the rest follows from its contents. bad_value: no
// such register, or a value that it cannot hold; `fault_index`, if given, is set to the assignment
// at fault. vCPU thread only.
Result<> set_fp_registers(Cpu& cpu,
                          const std::vector<std::pair<std::string, WideValue>>& assignments,
                          std::size_t* fault_index = nullptr);

}  // namespace ennead::vmcore
