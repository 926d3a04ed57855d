// SPDX-License-Identifier: MIT
// The wires between chips: interrupt lines and message-signalled interrupts.
#pragma once

#include <functional>

#include "vmcore/types.h"

namespace ennead::vmcore {

// Drives one interrupt input to a level (true: asserted). Calling it again with the same level
// changes nothing. vCPU thread only.
using IrqLine = std::function<void(bool asserted)>;

// Delivers a message-signalled interrupt: a 32-bit write of `data` to `address` (0xfeexxxxx), SDM
// vol 3A §10.11.
using MsiSink = std::function<void(u64 address, u32 data)>;

}  // namespace ennead::vmcore
