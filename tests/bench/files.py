# SPDX-License-Identifier: MIT
"""Operations on a small file: in the tree of a trivial FUSE server, in ours over FUSE, and in ours over 9P."""

import os
import shutil
import subprocess
import tempfile
import time

OPERATIONS = ("stat", "open-read-close", "open-write-close", "read", "write")
TREES = ("trivial", "Ennead", "9P")
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


def measure(build, scale):
    """[(operation, tree, microseconds)] of one run."""
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
        done = subprocess.run([os.path.join(build, "bench", "files"), trivial, ours, socket,
                               str(max(COUNT * scale // 100, 10))], capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"status {done.returncode}")
        return [(name, tree, float(figure)) for name, tree, figure in map(str.split, done.stdout.splitlines())]
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
