# SPDX-License-Identifier: MIT
"""Runs a command in a terminal of 30 rows and 100 columns, which answers as terminals do.

usage: terminal.py KEYS COMMAND…

What is read from the file KEYS is typed; what the terminal shows goes to standard output. When
asked where its cursor is, the terminal types that it is in column 8 of row 3, where a prompt of seven
characters leaves it, and each time a line goes to standard error.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

QUESTION = b"\033[6n"
ANSWER = b"\033[3;8R"

child, terminal = pty.fork()
if child == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell's background job ignores
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))

shown = b""
keys = os.open(sys.argv[1], os.O_RDONLY)
sources = [terminal, keys]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:  # EIO: the last program on the terminal has ended
            data = b""
        if not data:
            sources.remove(source)
        elif source == keys:
            os.write(terminal, data)
        else:
            shown += data
            while QUESTION in shown:
                before, shown = shown.split(QUESTION, 1)
                os.write(1, before)
                os.write(terminal, ANSWER)
                os.write(2, b"asked\n")
            keep = next(n for n in (3, 2, 1, 0) if shown.endswith(QUESTION[:n]))
            os.write(1, shown[: len(shown) - keep])
            shown = shown[len(shown) - keep :]
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(status if status >= 0 else 128 - status)
