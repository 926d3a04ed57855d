#!/bin/sh
# SPDX-License-Identifier: MIT
# Fifty readers and writers, over the mount and over 9P, at 200 machines of which 20 run: no wrong
# answer, no descriptor too many, nothing stuck. STRESS_SECONDS: for so long.
. "$(dirname "$0")/lib.sh"
test -x "$build/tests/stress" || skip "tests/stress is not built"

# Under a sanitizer everything takes longer: two to four times on the average.
limit=1000
case $build in
*asan | *ubsan) limit=2000 ;;
*tsan) limit=4000 ;;
esac
timeout 280 "$build/tests/stress" --seed "${SEED:-1}" --seconds "${STRESS_SECONDS:-10}" --limit $limit "$build"
