#!/bin/sh
# SPDX-License-Identifier: MIT
# Hard tests of the CPU that others wrote or that the host answers too, in a Debian root, on both engines: every file
# against its package's sum, Python's own tests, gcc, perl, openssl. Takes some minutes; the interpreter, which is some
# thirty times slower, does a part: see `interp` below.
. "$(dirname "$0")/../e2e/lib.sh"
make -s --no-print-directory -C "$here/../.." BUILD="$build" debian-checks-root >&2 ||
    skip "there is no Debian root: its packages could not be had"
programs=$(cd "$here/../bench/programs" && pwd) checks=$here/checks
mount_tree

# machine ENGINE: a new one with the checks at /mnt; sets vm, and out, a name for files of its own.
machine() {
    vm=$(new_vm mem=1G engine="$1" append=quiet root="$build/guest/debian-checks")
    out=$work/$1
    printf '%s\n' "bind -r '$checks' /mnt" "bind -r '$programs' /srv" start >"$mnt/$vm/ctl"
    # shellcheck disable=SC1003
    within 120 has_text "$mnt/$vm/log" '\h:\w$ ' || fail "no prompt with engine $1" # dash expands no prompt
}

# python MODULE…: its own tests pass, in the guest. One program for all, for starting it takes long.
python() {
    guest "$vm" "cd /tmp; python3 -m test $* >python.log 2>&1; tail -n 3 python.log; cd /" 1500 >"$out.python"
    case $(cat "$out.python") in
    *"Tests result: SUCCESS"*) ;;
    *)
        guest "$vm" "grep -E '^(ERROR|FAIL|test .* (failed|crashed)|[A-Za-z]*Error)' /tmp/python.log" >&2
        fail "$1: Python's tests ($*): $(cat "$out.python")"
        ;;
    esac
}

# The same here and there.
sh "$checks/openssl.sh" >"$work/openssl"
perl "$checks/perl.pl" >"$work/perl"
sh "$checks/programs.sh" "$programs" 2 -O2 >"$work/programs"
alike() { # FILE ENGINE COMMAND
    guest "$vm" "$3" 900 >"$out.out"
    cmp -s "$out.out" "$1" || fail "$2: $3: $(diff "$out.out" "$1" | head -n 5)"
}

on_jit() {
    machine jit
    sums=$(cat "$build"/guest/debian-checks/var/lib/dpkg/info/*.md5sums | wc -l)
    same "$(guest "$vm" "sh /mnt/files.sh" 600)" "$sums" "jit: files whose sums are right"
    alike "$work/openssl" jit "sh /mnt/openssl.sh"
    alike "$work/perl" jit "perl /mnt/perl.pl"
    for options in -O0 -O2 "-O3 -funroll-loops -march=pentium4 -mfpmath=sse" "-Os -march=i386"; do
        alike "$work/programs" "jit: gcc $options" "sh /mnt/programs.sh /srv 2 $options"
    done
    python test_int test_long test_operator test_struct test_json test_hashlib test_math test_cmath \
        test_decimal test_float test_complex test_re test_zlib test_threading test_subprocess
    echo poweroff >"$mnt/$vm/cons"
    same "$(ended "$vm")" "poweroff 0" "jit: the machine's end"
}

on_interp() {
    machine interp
    same "$(guest "$vm" "sh /mnt/files.sh libc6 libssl3 libpython3.11-minimal" 600)" \
        "$(cd "$build/guest/debian-checks/var/lib/dpkg/info" && cat libc6.md5sums libssl3.md5sums libpython3.11-minimal.md5sums | wc -l)" \
        "interp: files whose sums are right"
    alike "$work/openssl" interp "sh /mnt/openssl.sh"
    alike "$work/perl" interp "perl /mnt/perl.pl"
    python test_int test_struct test_math test_cmath test_float test_complex
    echo poweroff >"$mnt/$vm/cons"
    same "$(ended "$vm")" "poweroff 0" "interp: the machine's end"
}

# At the same time; what fails says so, and ends its own part.
(on_interp) &
interp=$! jobs="${jobs:-} $!"
on_jit
wait "$interp" || exit 1
