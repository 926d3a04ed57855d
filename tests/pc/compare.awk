# SPDX-License-Identifier: MIT
# usage: awk -f compare.awk DIFFERENCES EXPECTED QEMU
# Whether QEMU's output is the expected one but for the cases that DIFFERENCES names. Cases that QEMU does not survive
# (`fatal.`) are in EXPECTED only. Names that match nothing any more are told of, and do no harm: QEMU may have learnt.

function name(line,    at) {
    at = index(line, ": ")
    return at ? substr(line, 1, at - 1) : line
}

FILENAME == ARGV[1] {
    if ($0 != "" && substr($0, 1, 1) != "#")
        pattern[++patterns] = $0
    next
}
FILENAME == ARGV[2] {
    if (name($0) !~ /^fatal\./) {
        expected[name($0)] = $0
        order[++cases] = name($0)
    }
    next
}
{
    found[name($0)] = $0
}

function listed(n,    i, p, is) {
    for (i = 1; i <= patterns; i++) {
        p = pattern[i]
        if (p == n || (p ~ /\*$/ && index(n, substr(p, 1, length(p) - 1)) == 1)) {
            used[i] = 1
            is = 1
        }
    }
    return is
}

END {
    for (c = 1; c <= cases; c++) {
        n = order[c]
        if (found[n] == expected[n])
            continue
        differ++
        if (listed(n))
            continue
        bad++
        print "expected: " expected[n]
        print "QEMU:     " (n in found ? found[n] : "(nothing)")
    }
    for (i = 1; i <= patterns; i++)
        if (!(i in used))
            print "no difference any more: " pattern[i]
    print cases " cases, " differ + 0 " differ, " bad + 0 " of them unexplained"
    exit bad != 0
}
