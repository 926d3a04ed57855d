#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: together.py DIR NAME COUNT
Appends COUNT lines to DIR/lines and makes COUNT files in DIR/files while others do the same; counts up DIR/counter 200 times
under a record lock."""

import fcntl
import os
import sys

top, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(f"{top}/files", exist_ok=True)
lines = os.open(f"{top}/lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
counter = os.open(f"{top}/counter", os.O_RDWR | os.O_CREAT, 0o666)
for number in range(count):
    line = f"{name} {number} {'x' * (number % 50 + 1)}\n".encode()
    if os.write(lines, line) != len(line):
        sys.exit("a line was written in part")
    with open(f"{top}/files/{name}-{number}", "x", encoding="ascii") as file:
        file.write(name)
    if number % (count // 200) == 0:
        fcntl.lockf(counter, fcntl.LOCK_EX)
        value = int(os.pread(counter, 20, 0) or b"0")
        os.pwrite(counter, b"%d" % (value + 1), 0)
        fcntl.lockf(counter, fcntl.LOCK_UN)
if len([n for n in os.listdir(f"{top}/files") if n.startswith(name + "-")]) != count:
    sys.exit("own files are missing")
