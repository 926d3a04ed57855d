# SPDX-License-Identifier: MIT
"""Makes an initramfs for a kernel with modules: a root as it is, and over it an /early that loads the modules, then
becomes the root's /init, or, with `early.root=9p` on the kernel's command line, that of the 9P root.

usage: initramfs.py OUT ROOT_DIR MODULES_DIR MODULE...

MODULES_DIR is searched for NAME.ko of each MODULE and of those that they depend on.
"""

import os
import re
import stat
import sys

EARLY = """#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module.ko" || echo "early: $module: not loaded"
done </modules/order
case $(cat /proc/cmdline) in
*early.root=9p*)
    mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,locktimeout=1 ennead /mnt || exec sh
    umount /proc
    exec switch_root /mnt /init
    ;;
esac
umount /proc
exec /init
"""


def archive(entries):
    """Format `newc` of cpio: entries are (name, mode, contents)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def tree(directory):
    for path, directories, files in os.walk(directory):
        for name in sorted(directories + files):
            full = os.path.join(path, name)
            mode = os.lstat(full).st_mode
            data = b""
            if stat.S_ISLNK(mode):
                data = os.readlink(full).encode()
            elif stat.S_ISREG(mode):
                with open(full, "rb") as file:
                    data = file.read()
            yield os.path.relpath(full, directory), mode, data


def in_order(directory, names):
    """The modules, those first that others need (`depends=` in their section .modinfo): (name, contents)."""
    # A file's name may have a hyphen where the module's has an underscore.
    files = {}
    for path, _, found in os.walk(directory):
        for name in found:
            if name.endswith(".ko"):
                files[name[:-3].replace("-", "_")] = os.path.join(path, name)
    done = {}

    def add(name):
        name = name.replace("-", "_")
        if name in done:
            return
        if name not in files:
            sys.exit(f"initramfs.py: no module {name} in {directory}")
        with open(files[name], "rb") as file:
            contents = file.read()
        depends = re.search(rb"\0depends=([^\0]*)\0", contents)
        for other in depends.group(1).decode().split(",") if depends and depends.group(1) else []:
            add(other)
        done[name] = contents

    for name in names:
        add(name)
    return list(done.items())


def main(out, root, directory, *names):
    modules = in_order(directory, names)
    order = "".join(f"{name}\n" for name, _ in modules)
    entries = list(tree(root))
    entries += [("early", 0o100755, EARLY.encode()), ("modules", 0o40755, b""), ("modules/order", 0o100644, order.encode())]
    entries += [(f"modules/{name}.ko", 0o100644, contents) for name, contents in modules]
    with open(out, "wb") as file:
        file.write(archive(entries))


main(*sys.argv[1:])
