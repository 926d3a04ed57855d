# SPDX-License-Identifier: MIT
"""One operation on a file, and what it answers: `ok` or the name of the errno.

usage: call.py write FILE TEXT      one write(2); TEXT as printf's %b has it, `-` for standard input
       call.py read FILE            one read(2)
       call.py nonblock FILE        one read(2) with O_NONBLOCK
       call.py stuff FILE BYTES     writes zeros with O_NONBLOCK until none is taken for a second
       call.py open|trunc|mkdir|rmdir|unlink FILE
       call.py rename FROM TO
"""

import errno
import os
import sys
import time


def write(path, text):
    data = sys.stdin.buffer.read() if text == "-" else text.encode()
    fd = os.open(path, os.O_WRONLY)
    written = os.write(fd, data)
    return "ok" if written == len(data) else f"short: {written}"


def stuff(path, limit):
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    data = bytes(4096)
    taken = 0
    refused_since = None
    while taken < int(limit):
        try:
            taken += os.write(fd, data)
            refused_since = None
        except BlockingIOError:
            refused_since = refused_since or time.monotonic()
            if time.monotonic() - refused_since > 1:
                raise
            time.sleep(0.02)
    return f"took {taken}"


def read(path, flags=0):
    os.read(os.open(path, os.O_RDONLY | flags), 4096)
    return "ok"


def quiet(operation):
    return lambda *arguments: operation(*arguments) and None or "ok"


operations = {
    "write": write,
    "read": read,
    "nonblock": lambda path: read(path, os.O_NONBLOCK),
    "stuff": stuff,
    "open": lambda path: os.close(os.open(path, os.O_RDONLY)) or "ok",
    "trunc": lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)) or "ok",
    "mkdir": quiet(os.mkdir),
    "rmdir": quiet(os.rmdir),
    "unlink": quiet(os.unlink),
    "rename": quiet(os.rename),
}

try:
    print(operations[sys.argv[1]](*sys.argv[2:]))
except OSError as e:
    # One number with two names in Linux; tree.md has this one.
    print("EOPNOTSUPP" if e.errno == errno.EOPNOTSUPP else errno.errorcode[e.errno])
