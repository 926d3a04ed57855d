# SPDX-License-Identifier: MIT
"""Operations on a small file: in the tree of a trivial FUSE server, in ours over FUSE, and in ours over 9P.

Where client and server run is fixed: a call to another processor that sleeps takes several times as long as one on the same,
and left to itself the scheduler places one server here and another there, and keeps them there.
"""

import os
import shutil
import subprocess
import tempfile
import time

OPERATIONS = ("stat", "open-read-close", "open-write-close", "read", "write")
TREES = ("trivial", "Ennead", "9P")
# What follows the operation's name, and whether the servers have a processor of their own.
PLACEMENTS = {"": False, "-apart": True}
COUNT = 10000  # of each operation in each tree
PATIENCE = 120


class Failed(Exception):
    pass


def await_file(path):
    until = time.monotonic() + 10
    while not os.path.exists(path):
        if time.monotonic() > until:
            raise Failed(f"no {os.path.basename(path)}")
        time.sleep(0.01)


def processors():
    """The client's and another; None for that if there is one only."""
    here, *others = sorted(os.sched_getaffinity(0))
    return here, others[0] if others else None


def names():
    return [name + suffix for suffix, apart in PLACEMENTS.items() if not apart or processors()[1] is not None
            for name in OPERATIONS]


def place_at(processor, pid):
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {processor})


def measure(build, scale):
    """[(operation and placement, tree, microseconds)] of one run."""
    place = tempfile.mkdtemp(prefix="ennead-bench-")
    trivial, ours = os.path.join(place, "trivial"), os.path.join(place, "vm")
    socket = os.path.join(place, "socket")
    os.mkdir(trivial)
    os.mkdir(ours)
    servers = []
    try:
        servers.append(subprocess.Popen([os.path.join(build, "bench", "trivial"), trivial]))
        servers.append(subprocess.Popen([os.path.join(build, "ennead"), "-f", "--log", "/dev/null", "--listen",
                                         f"unix!{socket}", ours]))
        await_file(os.path.join(trivial, "1", "conf"))
        await_file(os.path.join(ours, "version"))
        await_file(socket)
        with open(os.path.join(ours, "new"), encoding="ascii") as new:
            new.read()
        here, other = processors()
        figures = []
        for suffix, apart in PLACEMENTS.items():
            if apart and other is None:
                continue
            for server in servers:
                place_at(other if apart else here, server.pid)
            done = subprocess.run([os.path.join(build, "bench", "files"), trivial, ours, socket,
                                   str(max(COUNT * scale // 100, 10))], capture_output=True, text=True,
                                  timeout=PATIENCE, check=False,
                                  preexec_fn=lambda: os.sched_setaffinity(0, {here}))
            if done.returncode != 0:
                raise Failed(f"status {done.returncode}")
            figures += [(name + suffix, tree, float(figure))
                        for name, tree, figure in map(str.split, done.stdout.splitlines())]
        return figures
    except subprocess.TimeoutExpired as failure:
        raise Failed("no end") from failure
    finally:
        for directory in (trivial, ours):
            subprocess.run(["fusermount3", "-u", "-z", directory], stderr=subprocess.DEVNULL, check=False)
        for server in servers:
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
        shutil.rmtree(place, ignore_errors=True)
