# SPDX-License-Identifier: MIT
# usage: document.py PERCENT. A document is printed and parsed again and again.
import json
import sys

people = [{"id": i, "name": f"name {i * 7919 % 1000}", "tags": ["a", "bc", "def"][: i % 4], "score": i / 8,
           "more": {"left": i * i, "right": None, "on": i % 2 == 0}} for i in range(200)]
size = 0
for _ in range(max(1, 60 * int(sys.argv[1]) // 100)):
    text = json.dumps(people, sort_keys=True, indent=None)
    people = json.loads(text)
    size += len(text)
print(size, people[-1]["name"])
