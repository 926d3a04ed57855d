#!/bin/sh
# SPDX-License-Identifier: MIT
# Debian's own i386 programs compute the same in the guest as on the host, and stress-ng's verifiers
# find nothing. Takes half a minute, and longer the first time, for the root comes from Debian.
. "$(dirname "$0")/../e2e/lib.sh"
make -s --no-print-directory -C "$here/../.." BUILD="$build" debian-root >&2 ||
    skip "there is no Debian root: its packages could not be had"
mount_tree
vm=$(new_vm mem=512M append=quiet root="$build/guest/debian")
echo start >"$mnt/$vm/ctl"
# shellcheck disable=SC1003
await "$mnt/$vm/log" '\h:\w$ ' # dash expands no prompt

# agrees WHAT COMMAND: the same output here and in the guest. What it computes depends on no library.
agrees() {
    same "$(guest "$vm" "$2" 240)" "$(sh -c "$2")" "$1"
}
# On one line each: what is typed at a terminal ends with the line.
agrees "python3: integers and decimals" "python3 -c 'import decimal; decimal.getcontext().prec = 60; print(3 ** 500 % 10 ** 40, pow(7, 10 ** 6, 2 ** 89 - 1), decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 97)'"
agrees "python3: digests" "python3 -c 'import hashlib, zlib; print(hashlib.sha512(bytes(range(256)) * 999).hexdigest(), hashlib.md5(b\"\").hexdigest(), zlib.crc32(b\"x\" * 77777))'"
agrees "python3: JSON" "python3 -c 'import hashlib, json; print(hashlib.sha256(json.dumps({str(n): [n / 8, -n, n / 7, None] for n in range(5000)}).encode()).hexdigest())'"
agrees "python3: doubles" "python3 -c 'print([round(0.1 * n, 17).hex() for n in range(9)], float(\"1e-320\").hex(), 2.5 // 0.7, 1e308 * 10, 1 / 3)'"
agrees "perl" "perl -e 'my (\$s, %h) = 0; for (1 .. 200000) { \$s = (\$s * 31 + \$_) % 1000003; \$h{\$s % 97}++ } print \"\$s \", join(\",\", map { \"\$_=\$h{\$_}\" } sort { \$a <=> \$b } keys %h), \"\\n\"'"
agrees "bash" "bash -c 's=0; for ((i = 0; i < 30000; i++)); do ((s = (s * 31 + i) % 1000003)); done; echo \$s \${BASH_VERSINFO[0]}'"
agrees "sha256sum, sort, sed, awk" "seq 1 40000 | sed 's/\\(.\\)\\(.\\)/\\2\\1/' | LC_ALL=C sort | sha256sum"
agrees "gzip both ways" "seq 1 40000 | gzip -9 | gunzip | sha256sum"
agrees "xz both ways" "seq 1 40000 | xz -6 | unxz | sha256sum"
# The host need not have these.
same "$(guest "$vm" "openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f -iv 0 -nosalt -in /etc/passwd 2>/dev/null | openssl enc -d -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f -iv 0 2>/dev/null | sha256sum")" \
    "$(guest "$vm" "sha256sum < /etc/passwd")" "openssl both ways"
same "$(guest "$vm" "printf abc | openssl dgst -sha1 -r | cut -d ' ' -f 1")" \
    a9993e364706816aba3e25717850c26c9cd0d89d "openssl's SHA-1 of abc (FIPS 180)"
same "$(guest "$vm" "sqlite3 :memory: 'create table t(a, b); with recursive c(x) as (values(1) union all select x + 1 from c where x < 20000) insert into t select x, x * x % 97 from c; create index i on t(b); select count(*), sum(a), sum(b), (select count(*) from t where b = 2) from t;'")" \
    "$(python3 -c 'b = [x * x % 97 for x in range(1, 20001)]; print(len(b), sum(range(1, 20001)), sum(b), b.count(2), sep="|")')" "sqlite3"
same "$(guest "$vm" "lua5.4 -e 'local s = 0; for i = 1, 300000 do s = (s * 31 + i) % 1000003 end; print(s, 7 // 2, 2 ^ 53, 1 / 3)'" 240)" \
    "$(python3 -c '
s = 0
for i in range(1, 300001):
    s = (s * 31 + i) % 1000003
print(s, 3, "9.007199254741e+15", "0.33333333333333", sep="\t")')" "lua"

# verified WHAT: stress-ng ran it and found nothing.
verified() {
    out=$(guest "$vm" "stress-ng $* 2>&1 | tail -n 4" 280)
    case $out in
    *"successful run completed"*) ;;
    *) fail "stress-ng $*: $out" ;;
    esac
}
verified --cpu 1 --cpu-method all --verify --cpu-ops 240
verified --memcpy 1 --memcpy-method all --verify --memcpy-ops 30
verified --str 1 --str-method all --verify --str-ops 200
verified --wcs 1 --wcs-method all --verify --wcs-ops 200
verified --matrix 1 --matrix-method all --matrix-size 32 --verify --matrix-ops 500
verified --vm 1 --vm-bytes 4M --vm-method all --verify --vm-ops 3000
verified --bsearch 1 --verify --bsearch-ops 20
verified --qsort 1 --qsort-size 16384 --verify --qsort-ops 10
