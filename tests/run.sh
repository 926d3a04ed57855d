#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the unit test programs given, then (unless UNIT_ONLY is set) every end-to-end test; counts what happened.
# Environment: BUILD, the build folder; ONLY, a word that the end-to-end tests to run have in their names; LONG: run
# tests/long/*.sh instead; STRESS_SECONDS: with UNIT_ONLY, run tests/e2e/stress.sh too, for so long.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
passed=0 failed=0 skipped=0
limit=300 # seconds that a script may take
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

# count STATUS LOG: what became of one end-to-end test.
count() {
    case $1 in
    0) passed=$((passed + 1)) && echo passed ;;
    77) skipped=$((skipped + 1)) && echo "skipped: $(tail -n 1 "$2")" ;;
    *) failed=$((failed + 1)) && echo FAILED && tail -n 60 "$2" ;;
    esac
}

run_script() {
    log=$logs/$(basename "$1" .sh).log
    printf '%s' "== $1 "
    BUILD=$BUILD timeout "$limit" sh "$@" </dev/null >"$log" 2>&1
    count $? "$log"
}

# beside NAME PID LOG: waits for one that ran beside the others.
beside() {
    printf '%s' "== $1 "
    wait "$2"
    count $? "$3"
}

if [ -n "${LONG:-}" ]; then
    # All at once: each keeps one processor busy at most, and waits now and then. First come first told.
    limit=1800 started=
    for script in tests/long/*.sh; do
        case $script in
        *"${ONLY:-}"*) ;;
        *) continue ;;
        esac
        BUILD=$BUILD timeout "$limit" sh "$script" </dev/null >"$logs/$(basename "$script" .sh).log" 2>&1 &
        started="$started $script $!"
    done
    # shellcheck disable=SC2086 # pairs of words
    set -- $started
    while [ $# -gt 0 ]; do
        beside "$1" "$2" "$logs/$(basename "$1" .sh).log"
        shift 2
    done
elif [ -n "${UNIT_ONLY:-}" ]; then
    [ -z "${STRESS_SECONDS:-}" ] || run_script tests/e2e/stress.sh
else
    # Beside the others, which mostly wait: the fuzzer keeps a core busy for about a minute, always with the same cases,
    # so that a failure is a change's (`make fuzz-cpu` looks for new ones); and what has to stand a busy host.
    fuzz=$BUILD/tests/fuzz_cpu fuzzing= clocking= timing= idle=
    if [ -z "${ONLY:-}" ]; then
        if [ -x "$fuzz" ]; then
            "$fuzz" --seed 1 --count "${FUZZ_COUNT:-4000}" >"$logs/fuzz_cpu.log" 2>&1 &
            fuzzing=$!
        fi
        BUILD=$BUILD timeout "$limit" sh tests/e2e/clocks.sh </dev/null >"$logs/clocks.log" 2>&1 &
        clocking=$!
        BUILD=$BUILD timeout "$limit" sh tests/e2e/guest_time.sh busy </dev/null >"$logs/guest_time_busy.log" 2>&1 &
        timing=$! idle=idle
    fi
    for script in tests/*.sh tests/e2e/*.sh tests/guest/*.sh tests/pc/*.sh; do
        case $script in
        tests/run.sh | tests/e2e/lib.sh | */guest_time.sh) continue ;;
        */clocks.sh) [ -z "$clocking" ] || continue ;;
        esac
        case $script in
        *"${ONLY:-}"*) ;;
        *) continue ;;
        esac
        # Tests of the guest's image take what to boot; the others have no arguments.
        case $script in
        tests/guest/*) run_script "$script" "$BUILD/guest/bzImage" "$BUILD/guest/root" ;;
        *) run_script "$script" ;;
        esac
    done
    [ -z "$clocking" ] || beside tests/e2e/clocks.sh "$clocking" "$logs/clocks.log"
    [ -z "$timing" ] || beside "tests/e2e/guest_time.sh busy" "$timing" "$logs/guest_time_busy.log"
    [ -z "$fuzzing" ] || beside "$fuzz" "$fuzzing" "$logs/fuzz_cpu.log"
    # Last and alone, on an idle host.
    case tests/e2e/guest_time.sh in
    *"${ONLY:-}"*) run_script tests/e2e/guest_time.sh $idle ;;
    esac
fi

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
