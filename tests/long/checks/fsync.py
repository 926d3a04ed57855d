#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: fsync.py FILE: appends records for ever, and says `synced N` once N of them are on the disk."""

import os
import sys

file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
number = 0
while True:
    for _ in range(10):
        number += 1
        os.write(file, f"{number} {'r' * 100}\n".encode())
    os.fsync(file)
    print(f"synced {number}", flush=True)
