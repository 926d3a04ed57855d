#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does random operations in a directory and in a model of it in memory, and compares what both say.

usage: exerciser.py DIR SEED OPERATIONS [unmapped]
           does that, in an empty DIR, which it leaves as it came to be. `unmapped`: files are not mapped, since Linux shows in a
           mapping what was written by another open with cache=loose only
       exerciser.py digest DIR [times]
           one line that tells all of the tree below DIR; with `times`, times of change and extended attributes too

The first prints the digest too, twice: as the machine has it, and again with its caches dropped.
"""

import errno
import hashlib
import mmap
import os
import random
import stat
import sys

MOST_SIZE = 300_000
NAMES = 40


class Node:
    """What the model knows of a file: `kind` is file, dir or link."""

    def __init__(self, kind, mode):
        self.kind, self.mode, self.links = kind, mode, 1
        self.data = bytearray()  # of a file
        self.target = ""  # of a link
        self.names = {}  # of a directory
        self.xattrs = {}
        self.mtime = None  # once set
        self.history = []  # what was done to its contents last

    def done(self, what):
        self.history = self.history[-20:] + [what]


class Difference(Exception):
    pass


def check(what, found, expected, node=None):
    if found != expected:
        if isinstance(found, bytes) and isinstance(expected, bytes):
            at = next((i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), None)
            what += f" (sizes {len(found)} and {len(expected)}, first difference at {at})"
            at = at or 0
            found, expected = found[at:at + 20], expected[at:at + 20]
        def short(value):
            return repr(value)[:200]
        history = "".join(f"\n  {line}" for line in node.history) if node else ""
        raise Difference(f"{what}: {short(found)}, expected {short(expected)}{history}")


class Exerciser:
    def __init__(self, top, seed, maps):
        self.top, self.random, self.maps = top, random.Random(seed), maps
        self.root = Node("dir", 0o755)
        self.open = []  # (descriptor, node, flags)
        self.count = {}

    # --- choosing ---

    def name(self):
        number = self.random.randrange(NAMES)
        if number == 0:
            return "n" * 255
        if number == 1:
            return "ä ö\n'\\" + "x"
        return f"name{number}"

    def directory(self):
        """A random directory: its path, and its node."""
        path, node = self.top, self.root
        while self.random.random() < 0.6:
            below = [n for n, child in node.names.items() if child.kind == "dir"]
            if not below or len(path) - len(self.top) > 1500:
                break
            name = self.random.choice(below)
            path, node = path + "/" + name, node.names[name]
        return path, node

    def entry(self, kind=None):
        """A random name that is there (of that kind): path, parent, name; or nothing."""
        for _ in range(5):
            path, node = self.directory()
            names = [n for n, child in node.names.items() if kind is None or child.kind == kind]
            if names:
                name = self.random.choice(names)
                return path + "/" + name, node, name
        return None, None, None

    def bytes(self, most):
        size = min(most, int(self.random.paretovariate(0.6) * 10))
        return self.random.randbytes(size)

    def offset(self, node):
        return self.random.randrange(min(len(node.data) + 5000, MOST_SIZE) + 1)

    # --- what must fail, fails so ---

    def fails(self, what, error, function, *arguments):
        try:
            function(*arguments)
        except OSError as failure:
            check(f"{what}: errno", errno.errorcode.get(failure.errno), errno.errorcode[error])
            return
        raise Difference(f"{what}: no error, expected {errno.errorcode[error]}")

    # --- operations: each does one thing in both worlds ---

    def create(self):
        path, parent = self.directory()
        name = self.name()
        mode = self.random.choice((0o644, 0o600, 0o755, 0o444))
        flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if self.random.random() < 0.5 else 0)
        flags |= os.O_TRUNC if self.random.random() < 0.2 else 0
        there = parent.names.get(name)
        if there and (flags & os.O_EXCL or there.kind != "file"):
            if flags & os.O_EXCL:
                self.fails("create", errno.EEXIST, os.open, f"{path}/{name}", flags, mode)
            return
        descriptor = os.open(f"{path}/{name}", flags, mode)
        if not there:
            there = parent.names[name] = Node("file", mode)
        elif flags & os.O_TRUNC:
            there.done("open O_TRUNC")
            there.data.clear()
            there.mtime = None
        if len(self.open) < 20:
            self.open.append((descriptor, there))
        else:
            os.close(descriptor)

    def close(self):
        if self.open:
            os.close(self.open.pop(self.random.randrange(len(self.open)))[0])

    def write(self):
        if not self.open:
            return
        descriptor, node = self.random.choice(self.open)
        data, at = self.bytes(60_000), self.offset(node)
        check("pwrite", os.pwrite(descriptor, data, at), len(data))
        if data:
            node.done(f"write {len(data)} at {at} of {len(node.data)}")
            node.data.extend(bytes(max(0, at - len(node.data))))
            node.data[at:at + len(data)] = data
            node.mtime = None

    def append(self):
        path, parent, name = self.entry("file")
        if not path:
            return
        node, data = parent.names[name], self.bytes(20_000)
        if len(node.data) + len(data) > MOST_SIZE:
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        check("append", os.write(descriptor, data), len(data))
        os.close(descriptor)
        node.done(f"append {len(data)} to {len(node.data)}")
        node.data.extend(data)
        if data:
            node.mtime = None

    def read(self):
        if not self.open:
            return
        descriptor, node = self.random.choice(self.open)
        at, size = self.offset(node), self.random.choice((1, 100, 4096, 65536, MOST_SIZE))
        check(f"pread at {at}", os.pread(descriptor, size, at), bytes(node.data[at:at + size]), node)

    def read_all(self):
        path, parent, name = self.entry("file")
        if path:
            with open(path, "rb") as file:
                check("read", file.read(), bytes(parent.names[name].data), parent.names[name])

    def read_mapped(self):
        if not self.open or not self.maps:
            return
        descriptor, node = self.random.choice(self.open)
        if node.data:
            with mmap.mmap(descriptor, len(node.data), prot=mmap.PROT_READ) as memory:
                check("mmap", memory[:], bytes(node.data), node)

    def write_mapped(self):
        if not self.open or not self.maps:
            return
        descriptor, node = self.random.choice(self.open)
        if node.data:
            at = self.random.randrange(len(node.data))
            data = self.bytes(len(node.data) - at)
            with mmap.mmap(descriptor, len(node.data)) as memory:
                memory[at:at + len(data)] = data
                memory.flush()
            node.done(f"map write {len(data)} at {at} of {len(node.data)}")
            node.data[at:at + len(data)] = data
            node.mtime = None

    def truncate(self):
        size = self.random.choice((0, 1, 4095, 4096, 4097, 100_000))
        if self.open and self.random.random() < 0.5:
            descriptor, node = self.random.choice(self.open)
            os.ftruncate(descriptor, size)
        else:
            path, parent, name = self.entry("file")
            if not path:
                return
            node = parent.names[name]
            os.truncate(path, size)
        node.done(f"truncate {len(node.data)} to {size}")
        del node.data[size:]
        node.data.extend(bytes(size - len(node.data)))
        node.mtime = None

    def sync(self):
        if self.open:
            os.fsync(self.random.choice(self.open)[0])

    def mkdir(self):
        path, parent = self.directory()
        name, mode = self.name(), self.random.choice((0o755, 0o700))
        if name in parent.names:
            self.fails("mkdir", errno.EEXIST, os.mkdir, f"{path}/{name}", mode)
            return
        os.mkdir(f"{path}/{name}", mode)
        parent.names[name] = Node("dir", mode)

    def rmdir(self):
        path, parent, name = self.entry()
        if not path:
            return
        node = parent.names[name]
        if node.kind != "dir":
            self.fails("rmdir", errno.ENOTDIR, os.rmdir, path)
        elif node.names:
            self.fails("rmdir", errno.ENOTEMPTY, os.rmdir, path)
        else:
            os.rmdir(path)
            del parent.names[name]

    def unlink(self):
        path, parent, name = self.entry()
        if not path:
            return
        node = parent.names[name]
        if node.kind == "dir":
            self.fails("unlink", errno.EISDIR, os.unlink, path)
            return
        os.unlink(path)
        del parent.names[name]
        node.links -= 1

    def symlink(self):
        path, parent = self.directory()
        name, target = self.name(), self.random.choice(("/nowhere", "..", "t" * 1000, "a b"))
        if name in parent.names:
            self.fails("symlink", errno.EEXIST, os.symlink, target, f"{path}/{name}")
            return
        os.symlink(target, f"{path}/{name}")
        parent.names[name] = Node("link", 0o777)
        parent.names[name].target = target

    def link(self):
        old, parent, name = self.entry("file")
        if not old:
            return
        path, target = self.directory()
        new = self.name()
        if new in target.names:
            self.fails("link", errno.EEXIST, os.link, old, f"{path}/{new}")
            return
        os.link(old, f"{path}/{new}")
        target.names[new] = parent.names[name]
        target.names[new].links += 1

    def rename(self):
        old, parent, name = self.entry()
        if not old:
            return
        path, target = self.directory()
        new = self.name()
        moved, there = parent.names[name], target.names.get(new)
        new_path = f"{path}/{new}"
        if moved.kind == "dir" and (path + "/").startswith(old + "/"):
            self.fails("rename into itself", errno.EINVAL, os.rename, old, new_path)
        elif there is moved:
            os.rename(old, new_path)  # two names of one file: nothing happens
        elif there and there.kind == "dir" and moved.kind != "dir":
            if not (old + "/").startswith(new_path + "/"):
                self.fails("rename", errno.EISDIR, os.rename, old, new_path)
        elif there and there.kind != "dir" and moved.kind == "dir":
            self.fails("rename", errno.ENOTDIR, os.rename, old, new_path)
        elif there and there.kind == "dir" and there.names:
            self.fails("rename", errno.ENOTEMPTY, os.rename, old, new_path)
        else:
            os.rename(old, new_path)
            del parent.names[name]
            target.names[new] = moved
            if there:
                there.links -= 1

    def list(self):
        path, node = self.directory()
        names = os.listdir(path)
        check("listdir: names twice", len(names), len(set(names)))
        check("listdir", set(names), set(node.names))

    def attributes(self):
        path, parent, name = self.entry()
        if not path:
            return
        self.compare(path, parent.names[name], os.lstat(path))

    def attributes_of_open(self):
        if self.open:
            descriptor, node = self.random.choice(self.open)
            self.compare("open file", node, os.fstat(descriptor))

    @staticmethod
    def compare(path, node, status):
        kinds = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "link": stat.S_IFLNK}
        check(f"{path}: type", stat.S_IFMT(status.st_mode), kinds[node.kind])
        check(f"{path}: mode", stat.S_IMODE(status.st_mode), node.mode)
        if node.kind == "file":
            check(f"{path}: size", status.st_size, len(node.data))
            check(f"{path}: links", status.st_nlink, node.links)
        if node.kind == "link":
            check(f"{path}: size", status.st_size, len(node.target))
            check(f"{path}: target", os.readlink(path), node.target)
        if node.mtime is not None:
            check(f"{path}: mtime", status.st_mtime_ns, node.mtime)

    def chmod(self):
        path, parent, name = self.entry()
        if path and parent.names[name].kind != "link":
            mode = self.random.choice((0o700, 0o755, 0o640, 0o1777))
            os.chmod(path, mode)
            parent.names[name].mode = mode

    def utime(self):
        path, parent, name = self.entry("file")
        if path:
            time = self.random.randrange(1_700_000_000_000_000_000)  # tar warns of the future
            os.utime(path, ns=(time, time))
            parent.names[name].mtime = time

    def set_xattr(self):
        path, parent, name = self.entry("file")
        if path:
            key, value = f"user.k{self.random.randrange(4)}", self.bytes(1000)
            os.setxattr(path, key, value)
            parent.names[name].xattrs[key] = value

    def look_at_xattrs(self):
        path, parent, name = self.entry("file")
        if not path:
            return
        known = parent.names[name].xattrs
        check("listxattr", {k for k in os.listxattr(path) if k.startswith("user.k")}, set(known))
        for key, value in known.items():
            check("getxattr", os.getxattr(path, key), value)
        if known and self.random.random() < 0.5:
            key = self.random.choice(sorted(known))
            os.removexattr(path, key)
            del known[key]
            self.fails("getxattr", errno.ENODATA, os.getxattr, path, key)

    def missing(self):
        path, parent = self.directory()
        name = self.name()
        if name not in parent.names:
            self.fails("open", errno.ENOENT, os.open, f"{path}/{name}", os.O_RDONLY)
            self.fails("unlink", errno.ENOENT, os.unlink, f"{path}/{name}")
            self.fails("rename", errno.ENOENT, os.rename, f"{path}/{name}", f"{path}/x")
        self.fails("long name", errno.ENAMETOOLONG, os.mkdir, f"{path}/{'x' * 256}")

    def forget(self):
        if self.random.random() < 0.02:
            forget()

    def run(self, operations):
        todo = [(weight, getattr(self, name)) for name, weight in (
            ("create", 10), ("close", 6), ("write", 14), ("append", 5), ("read", 10), ("read_all", 5),
            ("read_mapped", 2), ("write_mapped", 3), ("truncate", 4), ("sync", 1), ("mkdir", 4), ("rmdir", 3),
            ("unlink", 6), ("symlink", 2), ("link", 3), ("rename", 6), ("list", 4), ("attributes", 8),
            ("attributes_of_open", 4), ("chmod", 2), ("utime", 2), ("set_xattr", 2), ("look_at_xattrs", 2),
            ("missing", 2), ("forget", 1))]
        weights = [weight for weight, _ in todo]
        for number in range(operations):
            operation = self.random.choices(todo, weights)[0][1]
            try:
                operation()
            except (Difference, OSError) as failure:
                sys.exit(f"operation {number}, {operation.__name__}: {failure}")
            self.count[operation.__name__] = self.count.get(operation.__name__, 0) + 1
        for descriptor, _ in self.open:
            os.close(descriptor)

    def compare_all(self):
        stack = [(self.top, self.root)]
        while stack:
            path, node = stack.pop()
            check(f"{path}: names", set(os.listdir(path)), set(node.names))
            for name, child in node.names.items():
                below = f"{path}/{name}"
                self.compare(below, child, os.lstat(below))
                if child.kind == "dir":
                    stack.append((below, child))
                elif child.kind == "file":
                    with open(below, "rb") as file:
                        check(f"{below}: contents", file.read(), bytes(child.data))
                    for key, value in child.xattrs.items():
                        check(f"{below}: {key}", os.getxattr(below, key), value)


def forget():
    """The kernel's caches, where that is ours to say."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3\n")
    except OSError:
        pass


def digest(top, times=False):
    sums = []
    for path, directories, files in os.walk(top):
        for name in directories + files:
            full = os.path.join(path, name)
            status = os.lstat(full)
            line = [os.path.relpath(full, top), oct(status.st_mode)]
            if stat.S_ISREG(status.st_mode):
                with open(full, "rb") as file:
                    line.append(hashlib.sha256(file.read()).hexdigest())
                line.append(str(status.st_nlink))
            elif stat.S_ISLNK(status.st_mode):
                line.append(os.readlink(full))
            if times:
                line.append(str(status.st_mtime_ns))
                if stat.S_ISREG(status.st_mode):
                    line += [f"{key}={os.getxattr(full, key).hex()}" for key in sorted(os.listxattr(full))
                             if key.startswith("user.k")]
            sums.append("\0".join(line))
    return f"{len(sums)} {hashlib.sha256(chr(1).join(sorted(sums)).encode('utf-8', 'surrogateescape')).hexdigest()}"


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "digest":
        print(digest(sys.argv[2], sys.argv[3:] == ["times"]))
        return
    top, seed, operations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.umask(0)
    exerciser = Exerciser(top, seed, sys.argv[4:] != ["unmapped"])
    exerciser.run(operations)
    try:
        exerciser.compare_all()
        print(digest(top))
        forget()
        exerciser.compare_all()
        print(digest(top))
    except (Difference, OSError) as failure:
        sys.exit(f"at the end: {failure}")


main()
