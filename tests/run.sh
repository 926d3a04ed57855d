#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the unit test programs given, then (unless UNIT_ONLY is set) every end-to-end test; counts what happened.
# Environment: BUILD, the build folder; ONLY, a word that the end-to-end tests to run have in their names.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
passed=0 failed=0 skipped=0
logs=$BUILD/test-logs
mkdir -p "$logs"

# GoogleTest's closing lines say how many cases there were; a program that dies counts as a failure of its own.
for program in "$@"; do
    log=$logs/$(basename "$program").log
    printf '%s\n' "== $program"
    "$program" --gtest_brief=1 >"$log" 2>&1
    status=$?
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\{0,1\}\..*/\1/p' "$log" | tail -n 1)
    f=$(sed -n 's/^ *\([0-9]*\) FAILED TESTS\{0,1\}$/\1/p' "$log" | tail -n 1)
    s=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) tests\{0,1\}.*/\1/p' "$log" | tail -n 1)
    if [ $status -ne 0 ] && [ -z "$f" ]; then
        f=1
    fi
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
    if [ $status -ne 0 ]; then
        grep -v '^\[       OK' "$log" | tail -n 60
    else
        grep -A 3 -i 'skipped' "$log" | head -n 12
        tail -n 1 "$log"
    fi
done

if [ -z "${UNIT_ONLY:-}" ]; then
    for script in tests/*.sh tests/e2e/*.sh tests/guest/*.sh; do
        case $script in
        tests/run.sh | tests/e2e/lib.sh) continue ;;
        *"${ONLY:-}"*) ;;
        *) continue ;;
        esac
        name=$(basename "$script" .sh)
        log=$logs/$name.log
        printf '%s' "== $script "
        # Tests of the guest's image take what to boot; the others have no arguments.
        case $script in
        tests/guest/*) set -- "$BUILD/guest/bzImage" "$BUILD/guest/root" ;;
        *) set -- ;;
        esac
        BUILD=$BUILD timeout 300 sh "$script" "$@" </dev/null >"$log" 2>&1
        case $? in
        0) passed=$((passed + 1)) && echo passed ;;
        77) skipped=$((skipped + 1)) && echo "skipped: $(tail -n 1 "$log")" ;;
        *) failed=$((failed + 1)) && echo FAILED && tail -n 40 "$log" ;;
        esac
    done
fi

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
