# SPDX-License-Identifier: MIT
# usage: float.py PERCENT. A loop of floating-point arithmetic in the interpreter.
import sys

x, total = 0.5, 0.0
for i in range(6000 * int(sys.argv[1])):
    x = 0.75 * x + 1.0 / (i + 1.0)
    total += x * x
print(f"{total:.6f}")
