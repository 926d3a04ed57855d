#!/bin/sh
# SPDX-License-Identifier: MIT
# Every file and every errno of the tree, over the mount and over 9P: tests/rows/table.cpp.
. "$(dirname "$0")/lib.sh"
test -x "$build/tests/rows" || skip "tests/rows is not built"
timeout 120 "$build/tests/rows" "$build"
