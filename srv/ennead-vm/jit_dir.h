// SPDX-License-Identifier: MIT
// jit/: what the JIT has translated.
#pragma once

#include <functional>

#include "synthfs/fault.h"
#include "synthfs/node.h"
#include "vmcore/cpu/translations.h"

namespace ennead::srv {

// Looks at the translations on the vCPU thread (null: the engine makes none), and gives what is to
// be done with that on the I/O thread.
using TranslationsWork = std::function<std::function<void()>(const vmcore::Translations*)>;

// The files stats and blocks, and block/ with a file for each linear address that a block begins
// at. `ask` sees to the work; the guest stands still meanwhile, so it is short.
[[nodiscard]] synthfs::NodePtr make_jit_dir(std::function<void(TranslationsWork)> ask,
                                            synthfs::ErrorSink errors);

}  // namespace ennead::srv
