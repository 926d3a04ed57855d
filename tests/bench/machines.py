# SPDX-License-Identifier: MIT
"""The competitors: this host, and one booted guest each of Ennead, QEMU and v86. All of them take shell commands."""

import os
import re
import select
import shutil
import subprocess
import tempfile
import time

MEGABYTES = 256
# Ennead's default command line (vm(4)); QEMU has the same devices for it. Ennead's CPUID tells what the TSC is; in the
# others Linux would have to calibrate it, fail at that on a busy host, and count time in ticks of 10 ms. So they are
# told on the command line. Result.check_clock looks whether it is true.
MOUNT_OPTIONS = "trans=virtio,version=9p2000.L,msize=%d,cache=%%s" % 512000  # the most that Linux's transport can do
COMMAND_LINE = (f"earlyprintk=ttyS0 console=hvc0 root=ennead rootfstype=9p rw rootflags={MOUNT_OPTIONS} "
                "init=/init panic=-1 ennead.vm=1")
TSC = " tsc=reliable tsc_early_khz="
# v86 gets its root as an initramfs and has the serial port for its console. Its TSC runs at 1 GHz.
V86_COMMAND_LINE = "console=ttyS0 rdinit=/init panic=-1 ennead.vm=1" + TSC + "1000000"
PROMPT = re.compile(rb"vm\d+:~# |\\w\$ ")  # of BusyBox's shell, of Debian's dash


class Failed(Exception):
    """What a machine could not do; the text goes into the table. `alive`: it can be asked for more."""

    def __init__(self, text, alive=False):
        super().__init__(text)
        self.alive = alive


class Native:
    name = "native"

    def command(self, line, limit):
        start = time.monotonic()
        try:
            done = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, timeout=limit, env={"PATH": "/usr/bin:/bin"})
        except subprocess.TimeoutExpired:
            raise Failed(f"over {limit} s") from None
        return done.returncode, done.stdout.decode(errors="replace"), time.monotonic() - start

    def close(self):
        pass


class Guest:
    """A machine with a console. Subclasses switch it on and set the descriptors: `output` to read from, `input`."""

    switched_on = []  # whose end the benchmark must see to, however it ends itself

    def __init__(self):
        self.received = b""
        self.count = 0

    def boot(self, limit):
        """From power-on to the shell's prompt; gives the seconds that took."""
        start = time.monotonic()
        self.switch_on()
        self.await_output(PROMPT, limit)
        return time.monotonic() - start

    def take_commands(self):
        """From here on the shell neither echoes nor edits nor prompts, and the kernel is silent."""
        # Nothing may be typed ahead of this: the line editor would take it for its own.
        self.send(b"dmesg -n 1; stty -echo; printf '@%s@' ready; while read -r line; do eval \"$line\"; done\n")
        self.await_output(re.compile(rb"@ready@"), 60)

    def command(self, line, limit):
        """Runs one line of shell; gives its status, its output, and the seconds that the host saw go by."""
        self.count += 1
        self.received = b""
        start = time.monotonic()
        # What is typed does not look like the mark, whatever echoes it.
        self.send(f"{line} </dev/null 2>/dev/null; printf '\\n@%d@%d@\\n' $? {self.count}\n".encode())
        mark = self.await_output(re.compile(rb"\n@(\d+)@%d@" % self.count), limit)
        wall = time.monotonic() - start
        return int(mark[1]), self.received[:mark.start()].decode(errors="replace"), wall

    def await_output(self, pattern, limit):
        end = time.monotonic() + limit
        while True:
            self.received = self.received.replace(b"\r", b"")
            found = pattern.search(self.received)
            if found:
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise Failed(f"over {limit} s")
            if select.select([self.output], [], [], left)[0]:
                data = os.read(self.output, 65536)
                if not data:
                    raise Failed("the machine went off")
                self.received += data

    def send(self, data):
        os.write(self.input, data)


class ProcessGuest(Guest):
    """A guest that is a process, its console standard input and output."""

    def switch_on(self):
        self.switched_on.append(self)
        self.log = tempfile.TemporaryFile()
        # A process group of its own: an interrupt from the terminal is ours to handle.
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, start_new_session=True)
        self.output, self.input = self.process.stdout.fileno(), self.process.stdin.fileno()

    def await_output(self, pattern, limit):
        try:
            return super().await_output(pattern, limit)
        except Failed as failure:
            self.log.seek(0)
            words = self.log.read().decode(errors="replace").strip()
            raise Failed(f"{failure}: {words.splitlines()[-1]}" if words else str(failure)) from None

    def close(self):
        self.switched_on.remove(self)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()


class Qemu(ProcessGuest):
    name = "QEMU"

    def __init__(self, kernel, root=None, tsc_khz=None, share=None, cache="loose"):  # the host's: TCG hands its TSC on
        super().__init__()
        self.share, self.cache = "/tmp/share" if share else None, cache
        console = ["-serial", "stdio"] if root is None else [
            "-append", f"{COMMAND_LINE % cache}{TSC}{tsc_khz}", "-serial", "null", "-device", "virtio-rng-pci",
            "-chardev", "stdio,id=console,signal=off", "-device", "virtio-serial-pci",
            "-device", "virtconsole,chardev=console",
            "-fsdev", f"local,id=root,path={root},security_model=none,readonly=on",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=ennead"]
        if share:
            console += ["-fsdev", f"local,id=share,path={share},security_model=none",
                        "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        self.arguments = ["qemu-system-i386", "-M", "pc", "-cpu", "max", "-accel", "tcg", "-m", str(MEGABYTES),
                          "-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot",
                          "-kernel", kernel, *console]

    def take_commands(self):
        super().take_commands()
        if self.share:
            options = MOUNT_OPTIONS % self.cache
            status, _, _ = self.command(f"mkdir {self.share} && mount -t 9p -o {options} share {self.share}", 30)
            if status != 0:
                raise Failed("the shared directory cannot be mounted")


class V86(ProcessGuest):
    name = "v86"

    def __init__(self, package, kernel, initrd=None):
        super().__init__()
        bridge = os.path.join(os.path.dirname(os.path.abspath(__file__)), "v86.mjs")
        self.arguments = ["node", bridge, package, kernel, str(MEGABYTES), V86_COMMAND_LINE]
        if initrd:
            self.arguments.append(initrd)


class Tree:
    """An Ennead server with a tree of its own, for as long as the benchmark runs."""

    def __init__(self, build):
        self.path = tempfile.mkdtemp(prefix="ennead-bench.", dir="/var/tmp")  # scratch layers need xattrs
        self.top = os.path.join(self.path, "vm")
        os.mkdir(self.top)
        subprocess.run([os.path.join(build, "ennead"), "--log", os.path.join(self.path, "log"), self.top],
                       check=True, env={**os.environ, "TMPDIR": self.path})

    def close(self):
        with open(os.path.join(self.top, "ctl"), "w", encoding="ascii") as ctl:
            ctl.write("quit\n")
        # The server unmounts before it ends; until then the directory is busy.
        end = time.monotonic() + 10
        while True:
            try:
                os.rmdir(self.top)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        shutil.rmtree(self.path)


class Ennead(Guest):
    name = "Ennead"

    def __init__(self, tree, kernel, root=None, settings="", share=None, cache=None):
        super().__init__()
        self.share = "/share" if share else None
        if cache:
            settings += f" 'append=rootflags={MOUNT_OPTIONS % cache}'"
        words = f"mem={MEGABYTES}M kernel={kernel} {'root=' + root if root else ''} {settings}"
        new = os.open(os.path.join(tree.top, "new"), os.O_RDWR)
        try:
            os.write(new, f"{words}\n".encode())
            self.directory = os.path.join(tree.top, os.read(new, 32).decode().strip())
        except OSError as error:
            with open(os.path.join(tree.top, "error"), encoding="utf-8") as text:
                raise SystemExit(f"Ennead refuses '{words}': {error.strerror}\n{text.read()}") from None
        finally:
            os.close(new)
        self.output = self.input = None
        if share:
            self.write("ctl", f"bind {share} {self.share}\n".encode())

    def file(self, name):
        return os.path.join(self.directory, name)

    def switch_on(self):
        self.switched_on.append(self)
        self.write("ctl", b"start\n")
        self.output = os.open(self.file("cons"), os.O_RDONLY | os.O_NONBLOCK)
        self.input = os.open(self.file("cons"), os.O_WRONLY)

    def write(self, name, data):
        descriptor = os.open(self.file(name), os.O_WRONLY)
        try:
            os.write(descriptor, data)
        except OSError as error:
            with open(self.file("error"), encoding="utf-8") as text:
                raise Failed(f"{error.strerror}: {text.read().strip()}") from None
        finally:
            os.close(descriptor)

    def setting(self, key):
        with open(self.file("conf"), encoding="utf-8") as conf:
            return dict(line.rstrip("\n").partition(" ")[::2] for line in conf)[key]

    def close(self):
        self.switched_on.remove(self)
        for descriptor in (self.output, self.input):
            if descriptor is not None:
                os.close(descriptor)
        self.output = self.input = None
        self.write("ctl", b"destroy\n")
