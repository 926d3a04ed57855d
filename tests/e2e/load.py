# SPDX-License-Identifier: MIT
"""Reads, writes and lists random files below a mount, in many threads, until it is killed: load.py MOUNT SEED

Some block at streams, as cat(1) would. Errors are no matter. Says `busy` once every thread has begun.
"""
import os
import random
import sys
import threading

MOUNT, SEED = sys.argv[1], int(sys.argv[2])
THREADS = 12
READ = ("conf", "status", "ns", "log", "regs", "mem", "stats", "map", "error", "jit/stats", "root/etc/profile", "ctl")
STREAMS = ("cons", "com2", "wait", "events")
LINES = (("ctl", b"pause\n"), ("ctl", b"resume\n"), ("ctl", b"nonsense\n"), ("ctl", b"bind '#ram' /t\n"),
         ("ctl", b"unbind /t\n"), ("name", b"two words\n"), ("cons", b"\n"), ("consctl", b"size 25 81\n"))
begun = threading.Barrier(THREADS + 1)


def machines():
    return [name for name in os.listdir(MOUNT) if name.isdigit()]


def act(chance):
    directory = os.path.join(MOUNT, chance.choice(machines()))
    kind = chance.randrange(10)
    if kind < 5:
        fd = os.open(os.path.join(directory, chance.choice(READ)), os.O_RDONLY)
        try:
            for _ in range(4):
                os.read(fd, 65536)
        finally:
            os.close(fd)
    elif kind < 7:
        name, line = chance.choice(LINES)
        fd = os.open(os.path.join(directory, name), os.O_WRONLY)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
    elif kind == 7:
        for name in os.listdir(directory):
            os.stat(os.path.join(directory, name))
    else:
        os.rmdir(os.path.join(MOUNT, open(os.path.join(MOUNT, "new"), encoding="ascii").read().strip()))


def work(number):
    chance = random.Random(SEED * 100 + number)
    begun.wait()
    while True:
        try:
            if number < len(STREAMS):
                with open(os.path.join(MOUNT, machines()[0], STREAMS[number]), "rb", buffering=0) as stream:
                    while stream.read(4096):
                        pass
            else:
                act(chance)
        except (OSError, IndexError, ValueError):
            pass


for thread in range(THREADS):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
begun.wait()
print("busy", flush=True)
threading.Event().wait()
