#!/bin/sh
# SPDX-License-Identifier: MIT
# Random programs on the interpreter and the JIT in step, for FUZZ_SECONDS.
set -eu
cd "$(dirname "$0")/.."
exec "${BUILD:-build}/tests/fuzz_cpu" --seconds "${FUZZ_SECONDS:-60}"
