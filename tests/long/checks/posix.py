#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What POSIX and Linux promise of files, case by case.

usage: posix.py cases DIR [OPTION...]
           runs each case in an empty directory of its own below DIR, which it makes, and says how it went. `unmapped`: files cannot
           be mapped to be shared (cache=none). `estimated`: the kernel reckons by itself how much is on the disk (cache=loose).
           `granted`: DIR belongs to a host that wants neither device nodes nor set-ID files. `incapable`: the kernel does not ask
           9P for capabilities (CONFIG_9P_FS_SECURITY). `only=CASE`
       posix.py hold FILE UNTIL | wait FILE UNTIL | stop-waiting FILE UNTIL | try FILE
           a record lock on FILE, for machines that share it: had at once, or waited for, and kept until there is a file UNTIL; waited
           for until a signal ends that, with FILE kept open; free or held
       posix.py inodes DIR...
           fails if two files in these directories, or two of these, look like one
"""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

CASES = []


def case(function):
    CASES.append(function)
    return function


class Wrong(Exception):
    pass


def same(what, found, expected):
    if found != expected:
        raise Wrong(f"{what}: {str(found)[:200]}, expected {str(expected)[:200]}")


def holds(what, truth):
    if not truth:
        raise Wrong(f"not so: {what}")


def fails(what, expected, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except OSError as failure:
        same(what, errno.errorcode.get(failure.errno), errno.errorcode[expected])
        return
    raise Wrong(f"{what}: no error, expected {errno.errorcode[expected]}")


def put(path, data=b""):
    with open(path, "wb") as file:
        file.write(data)
    return path


def get(path):
    with open(path, "rb") as file:
        return file.read()


def eventually(what, truth, seconds=20):
    end = time.monotonic() + seconds
    while not truth():
        if time.monotonic() > end:
            raise Wrong(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Child:
    """Runs function in another process; wait() gives whether it returned, and what it said with say()."""

    def __init__(self, function):
        self.said, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                function(lambda text: os.write(tell, text))
                status = 0
            finally:
                os._exit(status)
        os.close(tell)

    def hears(self, text):
        same("what the other process says", os.read(self.said, len(text)), text)

    def wait(self):
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.said)
        return status

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait()


class Options:
    mapped = True
    estimated = False
    granted = False
    capable = True


# --- files that are held ---


@case
def a_file_without_a_name():
    file = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    os.unlink("f")
    same("what is listed", os.listdir(), [])
    same("names", os.fstat(file).st_nlink, 0)
    same("mode", os.fstat(file).st_mode, stat.S_IFREG | 0o640)
    os.write(file, b"x" * 5000)
    same("size", os.fstat(file).st_size, 5000)
    os.ftruncate(file, 100)
    os.fchmod(file, 0o600)
    os.utime(file, ns=(10**18 + 1, 10**18 + 2))
    same("size, mode, time", (os.fstat(file).st_size, os.fstat(file).st_mode & 0o777, os.fstat(file).st_mtime_ns), (100, 0o600, 10**18 + 2))
    fails("it has a name", errno.ENOENT, os.stat, "f")
    os.close(file)
    # v9fs does not know O_TMPFILE, and says so: libraries do the above then.
    try:
        file = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
        same("names", os.fstat(file).st_nlink, 0)
        os.close(file)
    except OSError as failure:
        same("O_TMPFILE", errno.errorcode[failure.errno], errno.errorcode[errno.EOPNOTSUPP])


@case
def a_removed_file_is_used():
    put("f", b"0123456789" * 1000)
    file, other = os.open("f", os.O_RDWR), os.open("f", os.O_RDONLY)
    memory = mmap.mmap(file, 10000, mmap.MAP_SHARED if Options.mapped else mmap.MAP_PRIVATE)
    os.unlink("f")
    put("f", b"another")
    same("read", os.pread(file, 10, 5000), b"0123456789")
    os.pwrite(file, b"written", 4093)
    os.fsync(file)
    same("read by the other", os.pread(other, 7, 4093), b"written")
    holds("mapped", memory[:10] == b"0123456789")
    if Options.mapped:
        memory[8190:8195] = b"there"
        memory.flush()
        same("read of what was mapped", os.pread(other, 5, 8190), b"there")
    same("the new file", get("f"), b"another")
    memory.close()
    os.close(file)
    os.close(other)


@case
def names_below_an_open_directory():
    os.makedirs("d/below")
    directory = os.open("d", os.O_RDONLY | os.O_DIRECTORY)
    put("d/one")
    put("d/two", b"2")
    os.rename("d", "moved")
    os.unlink("one", dir_fd=directory)
    os.rmdir("below", dir_fd=directory)
    os.rename("two", "three", src_dir_fd=directory, dst_dir_fd=directory)
    os.link("three", "four", src_dir_fd=directory, dst_dir_fd=directory)
    os.mkdir("made", dir_fd=directory)
    os.symlink("three", "link", dir_fd=directory)
    same("names", sorted(os.listdir(directory)), ["four", "link", "made", "three"])
    same("names by path", sorted(os.listdir("moved")), ["four", "link", "made", "three"])
    for name in ("three", "four", "link"):
        os.unlink(name, dir_fd=directory)
    os.rmdir("made", dir_fd=directory)
    os.rmdir("moved")
    fails("a file in a removed directory", errno.ENOENT, os.open, "f", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=directory)
    os.close(directory)


@case
def renames_over_open_files():
    put("a", b"A" * 10)
    put("b", b"B" * 10)
    a, b = os.open("a", os.O_RDWR), os.open("b", os.O_RDWR)
    inode = os.fstat(a).st_ino
    os.rename("a", "b")
    same("the file that was there", os.pread(b, 10, 0), b"B" * 10)
    os.pwrite(b, b"more", 10)
    same("its size", os.fstat(b).st_size, 14)
    os.pwrite(a, b"a", 0)
    os.fsync(a)
    same("what has the name now", (get("b"), os.stat("b").st_ino), (b"a" + b"A" * 9, inode))
    os.close(a)
    os.close(b)
    os.mkdir("d")
    put("d/f")
    os.mkdir("e")
    fails("over a directory that is not empty", errno.ENOTEMPTY, os.rename, "e", "d")
    fails("a directory over a file", errno.ENOTDIR, os.rename, "e", "b")
    fails("a file over a directory", errno.EISDIR, os.rename, "b", "e")
    fails("a directory into itself", errno.EINVAL, os.rename, "d", "d/below")
    os.rename("d", "e")
    same("what was in it", os.listdir("e"), ["f"])
    os.link("b", "c")
    os.rename("b", "c")  # one file: nothing happens
    same("two names of one file", sorted(os.listdir()), ["b", "c", "e"])


@case
def appends_do_not_mix():
    def append(name):
        def run(_):
            file = os.open("lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            for number in range(300):
                os.write(file, b"%s %d %s\n" % (name, number, name * 50))
        return run
    children = [Child(append(name)) for name in (b"a", b"b", b"c")]
    same("how they end", [child.wait() for child in children], [0, 0, 0])
    lines = get("lines").splitlines()
    same("lines", sorted(lines), sorted(b"%s %d %s" % (name, number, name * 50) for name in (b"a", b"b", b"c") for number in range(300)))


# --- names ---


@case
def a_listing_while_names_change():
    stay = {f"stays{number}" for number in range(3000)}
    for name in stay:
        put(name)

    def change(_):
        for number in range(1500):
            put(f"comes{number}")
            os.rename(f"comes{number}", f"renamed{number}")
            if number >= 20:
                os.unlink(f"renamed{number - 20}")
    child = Child(change)
    for _ in range(6):
        found = []
        with os.scandir(".") as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) % 500 == 0:
                    time.sleep(0.02)
        stayed = [name for name in found if name in stay]
        same("names that stayed, each once", (len(stayed), set(stayed)), (len(stay), stay))
    same("how the other ends", child.wait(), 0)


@case
def dots_at_roots():
    def identity(path):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    same("/..", identity("/.."), identity("/"))
    same("/../../..", identity("/../../.."), identity("/"))
    os.makedirs("a/b")
    same("a/b/../..", identity("a/b/../.."), identity("."))
    here, top = identity(".."), os.getcwd()
    same("..", here, identity(os.path.dirname(top)))
    first = "/" + top.split("/")[1]  # where something may be bound
    same(f"{first}/..", identity(f"{first}/.."), identity("/"))

    def confined(_):
        os.chroot("a")
        os.chdir("/")
        same("..", identity(".."), identity("/"))
        same("names at ..", os.listdir("/../.."), ["b"])
    same("how a process with its own root ends", Child(confined).wait(), 0)
    for function in (os.rmdir, os.mkdir, os.unlink):
        holds(f"{function.__name__} of dots fails", not succeeds(function, "a/.."))


def succeeds(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return False
    return True


@case
def names_of_255_bytes():
    longest, too_long = "n" * 255, "n" * 256
    put(longest, b"x")
    same("contents", get(longest), b"x")
    same("listed", os.listdir(), [longest])
    os.rename(longest, "m" * 255)
    os.mkdir(longest)
    os.symlink(longest, "s" * 255)
    os.link("m" * 255, "l" * 255)
    utf8 = "ä" * 127 + "x"
    put(utf8)
    holds("not ASCII", utf8 in os.listdir())
    for function, arguments in ((put, (too_long,)), (os.mkdir, (too_long,)), (os.stat, (too_long,)), (os.unlink, (too_long,)),
                                (os.symlink, ("x", too_long)), (os.link, (utf8, too_long)), (os.rename, (utf8, too_long)),
                                (os.mkfifo, (too_long,)), (put, ("ä" * 128,))):
        fails(function.__name__, errno.ENAMETOOLONG, function, *arguments)


@case
def paths_of_4_kib():
    path = os.getcwd()
    while len(path) + 202 < 4095:
        path += "/" + "p" * 200
        os.mkdir(path)
    name = path + "/" + "f" * (4095 - len(path) - 1)
    same("its length", len(name), 4095)
    put(name, b"deep")
    same("contents", get(name), b"deep")
    os.rename(name, name[:-1] + "g")
    same("time", os.stat(name[:-1] + "g").st_size, 4)
    fails("a longer one", errno.ENAMETOOLONG, os.stat, name + "x")
    # Deeper still, for who goes step by step.
    os.chdir(path)
    for _ in range(10):
        os.mkdir("q" * 200)
        os.chdir("q" * 200)
    put("bottom", b"very deep")
    same("contents", get("bottom"), b"very deep")
    # Linux takes a target of 4095 bytes; what of it fits is up to the host's file system.
    os.symlink("t" * 4000, "link")
    same("target", os.readlink("link"), "t" * 4000)
    fails("a target that is too long", errno.ENAMETOOLONG, os.symlink, "t" * 4096, "link2")


# --- contents ---


@case
def files_over_4_gib():
    file = os.open("big", os.O_RDWR | os.O_CREAT, 0o644)
    for at in (2**31 - 3, 2**32 - 3, 2**40 - 3):
        text = b"around %d" % at
        same("written", os.pwrite(file, text, at), len(text))
        same("size", os.fstat(file).st_size, at + len(text))
    for at in (2**31 - 3, 2**32 - 3, 2**40 - 3):
        text = b"around %d" % at
        same("read", os.pread(file, 100, at)[:len(text)], text)
    same("read across 4 GiB in between", os.pread(file, 20, 2**32 - 13), bytes(10) + b"around 429")
    same("lseek", os.lseek(file, -4, os.SEEK_END), 2**40 - 3 + len(text) - 4)
    os.ftruncate(file, 2**32 + 1)
    same("cut", (os.fstat(file).st_size, os.pread(file, 100, 2**32 - 3)), (2**32 + 1, b"arou"))
    os.fsync(file)
    if Options.mapped:
        memory = mmap.mmap(file, 4097, offset=2**32 - 4096)
        memory[4090:4097] = b"MAPPED!"
        memory.flush()
        memory.close()
        same("mapped across 4 GiB", os.pread(file, 100, 2**32 - 6), b"MAPPED!")
    os.close(file)
    same("by name", os.stat("big").st_size, 2**32 + 1)


def takes_little(path):
    """Of the disk. What the kernel only reckons tells nothing: then it is for the host to look."""
    if not Options.estimated:
        size = os.stat(path).st_blocks * 512
        holds(f"it takes little, but something: {size} bytes", 0 < size < 2**20)


@case
def sparse_files():
    file = os.open("sparse", os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(file, b"end", 2**30)
    os.fsync(file)
    takes_little("sparse")
    same("the hole", os.pread(file, 4096, 2**29), bytes(4096))
    same("SEEK_DATA, which may say that all is", os.lseek(file, 0, os.SEEK_DATA) in (0, 2**30), True)
    holds("SEEK_HOLE", os.lseek(file, 0, os.SEEK_HOLE) in (0, 2**30 + 3))
    fails("SEEK_DATA past the end", errno.ENXIO, os.lseek, file, 2**31, os.SEEK_DATA)
    os.ftruncate(file, 2**33)
    os.fsync(file)
    takes_little("sparse")
    os.rename("sparse", "renamed")
    takes_little("renamed")
    os.close(file)


@case
def synced_files():
    file = os.open("f", os.O_RDWR | os.O_CREAT | os.O_SYNC, 0o644)
    os.write(file, b"x" * 10000)
    os.fsync(file)
    os.fdatasync(file)
    directory = os.open(".", os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    os.unlink("f")
    os.fsync(file)
    os.close(file)


@case
def shared_mappings():
    file = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(file, 3 * 4096 + 10)
    if not Options.mapped:
        holds("mapping it to be shared and written fails", not succeeds(mmap.mmap, file, 4096))
        memory = mmap.mmap(file, 4096, mmap.MAP_PRIVATE)
        memory[:3] = b"own"
        same("written to a private mapping only", os.pread(file, 3, 0), bytes(3))
        return
    memory = mmap.mmap(file, 3 * 4096 + 10)

    def other(_):
        here = mmap.mmap(os.open("f", os.O_RDWR), 3 * 4096 + 10)
        here[4090:4100] = b"0123456789"
    same("how the other ends", Child(other).wait(), 0)
    same("what the other has written", memory[4090:4100], b"0123456789")
    memory[3 * 4096 + 5:3 * 4096 + 10] = b"TAIL!"
    memory.flush()
    memory.close()
    os.close(file)
    same("what is read", get("f")[4090:4100] + get("f")[-5:], b"0123456789TAIL!")


# --- attributes ---


@case
def special_files():
    os.mkfifo("fifo", 0o620)
    same("fifo", stat.S_IFMT(os.stat("fifo").st_mode), stat.S_IFIFO)
    child = Child(lambda _: put("fifo", b"through the fifo"))
    same("read", get("fifo"), b"through the fifo")
    same("how the writer ends", child.wait(), 0)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen()
    same("socket", stat.S_IFMT(os.stat("socket").st_mode), stat.S_IFSOCK)
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    client.send(b"hello")
    same("received", server.accept()[0].recv(10), b"hello")
    os.rename("fifo", "fifo2")
    os.link("socket", "socket2")
    for kind, major, minor in ((stat.S_IFCHR, 1, 5), (stat.S_IFBLK, 7, 200)):
        name = f"device{major}"
        if Options.granted:
            fails("a device node", errno.EPERM, os.mknod, name, kind | 0o600, os.makedev(major, minor))
            continue
        os.mknod(name, kind | 0o600, os.makedev(major, minor))
        status = os.stat(name)
        same("device node", (stat.S_IFMT(status.st_mode), status.st_rdev), (kind, os.makedev(major, minor)))
    if not Options.granted:
        # The guest's own /dev/zero.
        file = os.open("device1", os.O_RDONLY)
        same("read", os.read(file, 3), bytes(3))
        os.close(file)
        os.chown("device1", 5, 6)
        same("it stays one", os.stat("device1").st_rdev, os.makedev(1, 5))


@case
def owners_and_modes():
    put("f", b"x")
    os.chown("f", 1234, 4321)
    os.symlink("f", "link")
    os.chown("link", 77, 78, follow_symlinks=False)
    os.mkdir("d", 0o755)
    os.chown("d", 5, 50)
    for name, owner in (("f", (1234, 4321)), ("link", (77, 78)), ("d", (5, 50))):
        status = os.lstat(name)
        same(f"the owners of {name}", (status.st_uid, status.st_gid), owner)
    os.chown("f", -1, 99)
    same("only the group", (os.stat("f").st_uid, os.stat("f").st_gid), (1234, 99))
    for mode in (0o000, 0o777, 0o1644, 0o640):
        os.chmod("f", mode)
        same("mode", stat.S_IMODE(os.stat("f").st_mode), mode)
    os.chmod("d", 0o1777)
    same("mode of a directory", stat.S_IMODE(os.stat("d").st_mode), 0o1777)
    for mode in (0o4755, 0o2755, 0o6711):
        if Options.granted:
            fails("set-ID", errno.EPERM, os.chmod, "f", mode)
        else:
            os.chmod("f", mode)
            same("set-ID", stat.S_IMODE(os.stat("f").st_mode), mode)
    if not Options.granted:
        os.chmod("d", 0o2755)
        os.mkdir("d/below")
        put("d/file")
        same("what a directory hands down", (os.stat("d/below").st_gid, os.stat("d/file").st_gid, os.stat("d/below").st_mode & 0o2000), (50, 50, 0o2000))

    def user(_):
        os.chmod("d", 0o777)
        os.setgroups([])
        os.setgid(2000)
        os.setuid(1000)
        put("d/mine")
        status = os.stat("d/mine")
        same("who owns what a user makes", status.st_uid, 1000)
        fails("what belongs to another", errno.EPERM, os.chmod, "f", 0o600)
        fails("what may not be written", errno.EACCES, put, "f")
        fails("given away", errno.EPERM, os.chown, "d/mine", 0, 0)
        fails("removed", errno.EACCES, os.unlink, "f")
    os.chmod("f", 0o644)
    os.chmod(".", 0o755)
    same("how a user ends", Child(user).wait(), 0)


@case
def times_to_the_nanosecond():
    put("f")
    os.symlink("f", "link")
    os.mkdir("d")
    for name in ("f", "link", "d"):
        os.utime(name, ns=(1_234_567_890_123_456_789, 987_654_321_000_000_001), follow_symlinks=False)
        status = os.lstat(name)
        same(f"times of {name}", (status.st_atime_ns, status.st_mtime_ns), (1_234_567_890_123_456_789, 987_654_321_000_000_001))
    before = os.stat("f").st_ctime_ns
    os.chmod("f", 0o600)
    holds("a change of mode is one of the file's state", os.stat("f").st_ctime_ns > before)
    same("and not of its contents", os.stat("f").st_mtime_ns, 987_654_321_000_000_001)
    file = os.open("f", os.O_WRONLY)
    os.write(file, b"x")
    os.fsync(file)
    os.close(file)
    holds("writing is", os.stat("f").st_mtime_ns > 1_600_000_000 * 10**9)
    os.utime("f", ns=(1, 2))
    os.utime("f")
    holds("now", abs(os.stat("f").st_mtime - time.time()) < 60)
    os.utime("d", ns=(1, 2))
    put("d/f")
    holds("a new name changes its directory", os.stat("d").st_mtime_ns > 2)


@case
def sizes_of_the_file_system():
    status = os.statvfs(".")
    holds(f"sizes that make sense: {status}", 0 < status.f_bavail <= status.f_bfree <= status.f_blocks)
    same("the longest name", status.f_namemax, 255)
    holds("block size", status.f_bsize >= 512 and status.f_frsize >= 512)
    file = os.open("f", os.O_RDWR | os.O_CREAT)
    same("by a descriptor", os.fstatvfs(file).f_blocks, status.f_blocks)
    os.close(file)


CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 1, 0, 0, 0)  # revision 2, effective: CAP_DAC_OVERRIDE


@case
def extended_attributes():
    put("f", b"x")
    os.setxattr("f", "user.one", b"1")
    os.setxattr("f", "user.empty", b"")
    os.setxattr("f", "user.bytes", bytes(range(256)) * 8)
    same("values", [os.getxattr("f", f"user.{name}") for name in ("one", "empty", "bytes")], [b"1", b"", bytes(range(256)) * 8])
    same("names", sorted(name for name in os.listxattr("f") if name.startswith("user.")), ["user.bytes", "user.empty", "user.one"])
    fails("made anew", errno.EEXIST, os.setxattr, "f", "user.one", b"2", os.XATTR_CREATE)
    fails("replaced", errno.ENODATA, os.setxattr, "f", "user.two", b"2", os.XATTR_REPLACE)
    os.setxattr("f", "user.one", b"new", os.XATTR_REPLACE)
    same("replaced", os.getxattr("f", "user.one"), b"new")
    os.removexattr("f", "user.one")
    fails("removed", errno.ENODATA, os.getxattr, "f", "user.one")
    fails("removed twice", errno.ENODATA, os.removexattr, "f", "user.one")
    os.mkdir("d")
    os.setxattr("d", "user.of", b"a directory")
    same("of a directory", os.getxattr("d", "user.of"), b"a directory")
    os.rename("f", "g")
    same("after a rename", os.getxattr("g", "user.empty"), b"")
    same("ours do not show", [name for name in os.listxattr("g") if "ennead" in name], [])


@case
def file_capabilities():
    put("secret", b"for root only")
    os.chmod("secret", 0o600)
    put("cat", get("/bin/cat"))
    os.chmod("cat", 0o755)
    os.chmod(".", 0o755)

    def may_read():
        return subprocess.run(["./cat", "secret"], capture_output=True, user=1000, group=1000, extra_groups=[], check=False).stdout == b"for root only"
    holds("a user may not read it", not may_read())
    if Options.granted or not Options.capable:
        # On the host it would be one of the host's.
        fails("security.capability", errno.EOPNOTSUPP, os.setxattr, "cat", "security.capability", CAPABILITY)
        return
    os.setxattr("cat", "security.capability", CAPABILITY)
    same("security.capability", os.getxattr("cat", "security.capability"), CAPABILITY)
    holds("with the capability a user may", may_read())
    os.removexattr("cat", "security.capability")
    holds("and without it not", not may_read())


# --- record locks ---


FLOCK = "hhqqi0q"  # struct flock with offsets of 64 bits


def lock(file, kind, start=0, length=0):
    fcntl.lockf(file, kind, length, start)


def is_free(path, start=0, length=0):
    """Whether another process could have it."""
    def run(say):
        file = os.open(path, os.O_RDWR)
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB, start, length)
        except OSError as failure:
            same("what a held lock answers", failure.errno in (errno.EAGAIN, errno.EACCES), True)
            say(b"n")
            return
        say(b"y")
    child = Child(run)
    answer = os.read(child.said, 1)
    same("how the other ends", child.wait(), 0)
    return answer == b"y"


@case
def record_locks():
    put("f", b"x" * 100)
    file = os.open("f", os.O_RDWR)
    lock(file, fcntl.LOCK_EX, 10, 10)
    holds("held", not is_free("f", 19, 1))
    holds("before it is free", is_free("f", 0, 10))
    holds("behind it is free", is_free("f", 20, 10))
    lock(file, fcntl.LOCK_UN, 14, 2)
    holds("a part is free", is_free("f", 14, 2) and not is_free("f", 16, 1))
    # Who has it.
    def who(say):
        other = os.open("f", os.O_RDWR)
        flock = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, start, length, pid = struct.unpack(FLOCK, fcntl.fcntl(other, fcntl.F_GETLK, flock))
        say(b"%d %d %d %d" % (kind, start, length, pid))
    child = Child(who)
    same("who has it", os.read(child.said, 100), b"%d 10 4 %d" % (fcntl.F_WRLCK, os.getpid()))
    same("how the other ends", child.wait(), 0)
    another = os.open("f", os.O_RDONLY)
    os.close(another)  # POSIX: closing any of its descriptors ends the process's locks
    holds("released at a close", is_free("f"))
    child = Child(lambda say: (lock(file, fcntl.LOCK_EX), say(b"!"), time.sleep(100)))
    child.hears(b"!")
    holds("held", not is_free("f"))
    child.kill()
    eventually("released at the death of the process", lambda: is_free("f"))
    os.close(file)


@case
def a_lock_that_is_waited_for():
    put("f")
    file = os.open("f", os.O_RDWR)
    lock(file, fcntl.LOCK_EX)
    child = Child(lambda say: (say(b"?"), lock(os.open("f", os.O_RDWR), fcntl.LOCK_EX), say(b"!"), time.sleep(100)))
    child.hears(b"?")
    time.sleep(0.3)
    lock(file, fcntl.LOCK_UN)
    child.hears(b"!")
    child.kill()
    os.close(file)


@case
def a_wait_that_is_interrupted():
    put("f")
    file = os.open("f", os.O_RDWR)
    lock(file, fcntl.LOCK_EX)

    def interrupted(say):
        class Alarm(Exception):
            pass

        def alarm(*_):
            raise Alarm
        signal.signal(signal.SIGALRM, alarm)
        other = os.open("f", os.O_RDWR)
        say(b"?")
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        try:
            lock(other, fcntl.LOCK_EX)
        except Alarm:
            say(b"i")
            time.sleep(100)
        say(b"!")
    child = Child(interrupted)
    child.hears(b"?")
    child.hears(b"i")
    killed = Child(lambda say: (say(b"?"), lock(os.open("f", os.O_RDWR), fcntl.LOCK_EX)))
    killed.hears(b"?")
    time.sleep(0.3)
    killed.kill()
    lock(file, fcntl.LOCK_UN)
    time.sleep(0.5)  # as long as one who asks again takes
    holds("nobody has taken it later", is_free("f"))
    child.kill()
    os.close(file)


@case
def whole_file_locks():
    put("f")
    file = os.open("f", os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX)
    other = os.open("f", os.O_RDWR)
    fails("taken twice", errno.EWOULDBLOCK, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(file)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


# --- what is asked for ---


def run_cases(top, options):
    Options.mapped, Options.estimated = "unmapped" not in options, "estimated" in options
    Options.granted, Options.capable = "granted" in options, "incapable" not in options
    only = [option[5:] for option in options if option.startswith("only=")]
    cases = [function for function in CASES if not only or function.__name__ in only]
    os.umask(0o022)
    os.makedirs(top)
    bad = 0
    for function in cases:
        directory = f"{top}/{function.__name__}"
        os.mkdir(directory)
        os.chdir(directory)
        try:
            function()
            print(f"ok {function.__name__}", flush=True)
        except (Wrong, OSError) as wrong:
            bad += 1
            line = wrong.__traceback__.tb_next.tb_lineno
            print(f"BAD {function.__name__}, line {line}: {wrong}", flush=True)
        os.chdir("/")
    print(f"{len(cases)} cases, {bad} bad")
    return bad


def keep(path, until, waits):
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if waits:
        print("waits", "for", "it", flush=True)  # what is typed to start this looks otherwise
    lock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("got", "the", "lock", flush=True)
    eventually("released", lambda: os.path.exists(until), 120)


def stop_waiting(path, until):
    class Alarm(Exception):
        pass

    def alarm(*_):
        raise Alarm
    signal.signal(signal.SIGALRM, alarm)
    file = os.open(path, os.O_RDWR)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    begun = time.monotonic()
    try:
        try:
            lock(file, fcntl.LOCK_EX)
            print("had", "the", "lock", flush=True)
        except BlockingIOError:  # v9fs says EAGAIN where others say EINTR
            time.sleep(10)  # until the signal's handler has run
    except Alarm:
        print("gave", "up", "after", round(time.monotonic() - begun), flush=True)
    eventually("released", lambda: os.path.exists(until), 120)


def inodes(paths):
    names = {}
    tops = {os.path.realpath(path) for path in paths}
    for name in tops.union(*({os.path.join(top, name) for name in os.listdir(top)} for top in tops)):
        status = os.lstat(name)
        if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode):
            other = names.setdefault((status.st_dev, status.st_ino), name)
            same(f"the file that has {name}'s number", other, name)
    print(f"{len(names)} files, as many numbers")


def main():
    verb, arguments = sys.argv[1], sys.argv[2:]
    if verb == "cases":
        sys.exit(run_cases(os.path.abspath(arguments[0]), arguments[1:]) != 0)
    if verb in ("hold", "wait"):
        keep(*arguments, verb == "wait")
    elif verb == "stop-waiting":
        stop_waiting(*arguments)
    elif verb == "try":
        print("free" if is_free(arguments[0]) else "held")
    elif verb == "inodes":
        inodes(arguments)
    else:
        sys.exit(__doc__)


main()
