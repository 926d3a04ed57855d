#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times the same work on this host and in guests of Ennead, QEMU and v86, side by side. `make bench` calls it.

Environment: BUILD (default build); ONLY, words: parts (programs, integer, float, real, system, shared, boot, micro,
files) or names of
tests; REPS, runs of each (3); SCALE, per cent of the usual work (100); CONF, settings of Ennead's machines
(`engine=interp`); SAVE=1 puts the tables into docs/performance.md; V86=no leaves v86 out.
"""

import datetime
import os
import platform
import re
import shutil
import subprocess
import sys

import files
import report
import shared
from machines import Ennead, Failed, Guest, Native, Qemu, Tree, V86

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD") or "build")
BENCH = os.path.join(BUILD, "bench")
KERNEL = os.path.join(BUILD, "guest", "bzImage")
REPS = int(os.environ.get("REPS") or 3)
SCALE = int(os.environ.get("SCALE") or 100)
V86_VERSION = "0.5.462"
PATIENCE = 300  # seconds for one command
BOOT_PATIENCE = 120

ILLEGAL_INSTRUCTION = 128 + 4  # how a shell reports SIGILL


class Test:
    """One row of a table: `kind` says which bar it counts for, `results` what each competitor reached."""

    def __init__(self, part, kind, name, guest=None, native=None, unit="ms"):
        self.part, self.kind, self.name, self.unit = part, kind, name, unit
        self.native = {"native": native}  # what the host runs (shell), by the column it is for
        self.guest = guest  # what guests run
        self.before = None  # of work on files: what is done first, and not timed
        self.results = {}

    def result(self, competitor):
        return self.results.setdefault(competitor, report.Result())


# --- what is run -------------------------------------------------------------------------------------------------

def programs(part, kind):
    """The programs of one directory. Those of floating point come in two builds, each compared with native code of its
    kind; the compiler's usual code, which is SSE2, is noted beside x87's."""
    for source in sorted(os.listdir(os.path.join(HERE, "programs", kind))):
        name = source.removesuffix(".c")
        native = f"{BENCH}/native/{name} {SCALE}"
        for build in ("-x87", "-sse2") if kind == "float" else ("",):
            test = Test(part, kind, name + build, f"/bench/{name}{build} {SCALE}", native)
            if build == "-x87":
                test.native = {"native": f"{BENCH}/native/{name}-x87 {SCALE}", "native SSE2": native}
            yield test


def real_programs():
    """Programs of Debian's. The host's own, where it has them, are shown beside; they are of other versions."""
    text_size = 40960 * SCALE
    for name, needs, line in (
            ("python-float", "python3", f"python3 {{real}}/float.py {SCALE}"),
            ("python-json", "python3", f"python3 {{real}}/document.py {SCALE}"),
            ("lua-nbody", "lua5.4", f"lua5.4 {{real}}/nbody.lua {SCALE}"),
            ("sqlite", "sqlite3", f"sed s/ROWS/{100 * SCALE}/ {{real}}/memory.sql | sqlite3 :memory:"),
            ("gzip", "gzip", f"head -c {text_size // 4} {{text}} | gzip -9"),
            ("sort", "sort", f"head -c {text_size} {{text}} | LC_ALL=C sort"),
            ("bash-loop", "bash", f"bash {{real}}/loop.bash {SCALE}"),
            ("7zz", "7zz", f"head -c {text_size // 4} {{text}} | 7zz a -txz -mmt1 -md=1m -si -so x")):
        guest = line.format(real="/bench/real", text="/bench/text")
        native = line.format(real=f"{HERE}/real", text=f"{BENCH}/text")
        have = shutil.which(needs, path="/usr/bin:/bin")
        yield Test("real", "real", name, f'/bench/command "{guest}"',
                   f'{BENCH}/native/command "{native}"' if have else None)


def shared_work():
    """With what serves a guest best, and with a guest that keeps nothing (`cache=none`)."""
    for cache, kind in (("loose", "shared"), ("none", "shared-none")):
        for name, line, before in shared.WORK:
            if cache == "loose" and name in shared.UNCACHED_ONLY:
                continue
            test = Test("shared", kind, name if cache == "loose" else f"{name}-uncached", line, line)
            test.before, test.cache, test.is_command = before, cache, name not in shared.NOT_A_COMMAND
            yield test


def every_test():
    yield from programs("programs", "integer")
    yield from programs("programs", "float")
    yield from real_programs()
    yield from programs("system", "system")
    yield from shared_work()
    yield Test("boot", "boot", "boot-to-prompt")
    for name in files.names():
        yield Test("files", "files-apart" if name.endswith("-apart") else "files", name, unit="us")


def selected(tests):
    words = (os.environ.get("ONLY") or "").replace(",", " ").split()
    chosen = [t for t in tests if not words or {t.part, t.kind, t.name, t.name.rpartition("-")[0]} & set(words)]
    micro = not words or "micro" in words
    if not chosen and not micro:
        sys.exit(f"bench: nothing is called {' '.join(words)}")
    return chosen, micro


# --- what it needs -----------------------------------------------------------------------------------------------

def make_root(name, base, extra):
    """A copy of a root, sharing its files by hard links, with the benchmark's own below /bench."""
    root = os.path.join(BENCH, name)
    shutil.rmtree(root, ignore_errors=True)
    if subprocess.run(["cp", "-al", base, root], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", base, root], check=True)
    shutil.copytree(os.path.join(BENCH, "i386"), os.path.join(root, "bench"))
    for source in extra:
        target = os.path.join(root, "bench", os.path.basename(source))
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, target)
    return root


def make_text():
    """4 MB of words, some frequent and some rare, the same each time."""
    path = os.path.join(BENCH, "text")
    state, line, lines, size = 1, [], [], 0
    while size < 4096000:
        state = (state * 1103515245 + 12345) & 0x7fffffff
        rank = (state >> 8) % ((state >> 20) % 1500 + 1)  # small ones are the most frequent
        line.append("".join("etaoinshrdlu"[(rank >> 3 * i) * 5 % 12] for i in range(rank % 7 + 2)) + str(rank % 10))
        if len(line) == 12:
            lines.append(" ".join(line) + "\n")
            size += len(lines[-1])
            line = []
    with open(path, "w", encoding="ascii") as file:
        file.writelines(lines)
    return path


def find_v86():
    """The npm package, kept in the cache; None if it is not to be had, which is said."""
    if os.environ.get("V86") == "no":
        return None
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    place = os.path.join(cache, "ennead", f"v86-{V86_VERSION}")
    package = os.path.join(place, "node_modules", "v86")
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            print(f"bench: v86 is skipped: {tool} is not installed")
            return None
    if not os.path.exists(os.path.join(package, "build", "v86.wasm")):
        print(f"bench: fetching v86 {V86_VERSION} from npm")
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix",
                               place, f"v86@{V86_VERSION}"], check=False)
        if done.returncode != 0:
            print("bench: v86 is skipped: npm could not fetch it")
            return None
    return package


def make_initrd(root, path):
    with open(path, "wb") as file:
        subprocess.run(["sh", "-c", "find . | cpio -o -H newc --quiet -R 0:0 | gzip -1"], cwd=root, stdout=file,
                       check=True)
    return path


class Makers:
    """Makes guests of each competitor, for one of the roots or for a kernel that needs none."""

    def __init__(self, tree, v86):
        self.tree, self.v86, self.settings = tree, v86, os.environ.get("CONF") or ""
        self.tsc_khz = int(subprocess.check_output([os.path.join(BENCH, "native", "tsc")]))
        self.roots, self.initrds = {}, {}

    def root(self, kind):
        """`plain`, the guest's own; `busybox`, the same with the programs; `debian`, with programs and their input."""
        guest = os.path.join(BUILD, "guest")
        if kind == "plain":
            return os.path.join(guest, "root")
        if kind not in self.roots:
            if kind == "busybox":
                base, extra = self.root("plain"), []
            else:
                subprocess.run([os.path.join(TOP, "guest", "build-debian-root.sh"), guest], check=True)
                base, extra = os.path.join(guest, "debian"), [os.path.join(HERE, "real"), make_text()]
            self.roots[kind] = make_root(f"{kind}-root", base, extra)
        return self.roots[kind]

    def guests(self, kind):
        """{name: function that makes a guest}. v86 takes its root into memory, so only the small ones."""
        root = self.root(kind)
        makers = {"Ennead": lambda: Ennead(self.tree, KERNEL, root, self.settings),
                  "QEMU": lambda: Qemu(KERNEL, root, self.tsc_khz)}
        if self.v86 and kind != "debian":
            if kind not in self.initrds:
                self.initrds[kind] = make_initrd(root, os.path.join(BENCH, f"{kind}-initrd.gz"))
            makers["v86"] = lambda: V86(self.v86, KERNEL, self.initrds[kind])
        return makers

    def with_share(self, name, share, cache):
        root = self.root("debian")
        if name == "QEMU":
            return Qemu(KERNEL, root, self.tsc_khz, share, cache)
        return Ennead(self.tree, KERNEL, root, self.settings, share, cache)

    def micro(self):
        kernel = os.path.join(BENCH, "micro.bin")
        makers = {"Ennead": lambda: Ennead(self.tree, kernel, None, self.settings), "QEMU": lambda: Qemu(kernel)}
        if self.v86:
            makers["v86"] = lambda: V86(self.v86, kernel)
        return makers


# --- running -----------------------------------------------------------------------------------------------------

def measure(machine, line, result):
    """One run of a program; what it says goes into the result."""
    status, output, wall = machine.command(line, PATIENCE)
    if status == ILLEGAL_INSTRUCTION:
        raise Failed("illegal instruction", alive=True)
    said = re.search(r"^([\d.]+) ([0-9a-f]{8})$", output, re.MULTILINE)
    if status != 0 or not said:
        raise Failed(f"status {status}", alive=True)
    result.add(float(said[1]), said[2])
    result.check_clock(wall * 1e3)


def boot_for_commands(make, results):
    machine = make()
    try:
        machine.boot(BOOT_PATIENCE)
        machine.take_commands()
        return machine
    except Failed as failure:
        print(f"bench: {machine.name} does not boot: {failure}")
        for result in results:
            result.error = "does not boot"
        machine.close()
        return None


def run_programs(tests, makers):
    """Every guest stays up and waits, halted, for its next turn, so that the competitors take turns closely."""
    machines = {"native": Native(), "native SSE2": Native()}
    for name, make in makers.items():
        machines[name] = boot_for_commands(make, [t.result(name) for t in tests])
    for test in tests:
        for _ in range(REPS):
            for name, machine in machines.items():
                line, result = test.guest if name in makers else test.native.get(name), test.result(name)
                if not line or result.error:
                    continue
                try:
                    measure(machine, line, result)
                except Failed as failure:
                    result.error = str(failure)
                    if name in makers and not failure.alive:
                        machine.close()  # it hangs or is gone; the next test gets a new one
                        machines[name] = boot_for_commands(makers[name], [t.result(name) for t in tests])
        say(test)
    for machine in machines.values():
        if machine:
            machine.close()


def run_shared_work(tests, makers):
    """One cache mode. A competitor has a directory of its own: a guest that keeps what it has seen must be alone there."""
    share = shared.Share(os.path.join(BENCH, "share"))
    cache = tests[0].cache
    places, machines = {}, {}
    try:
        for name in ("native", "Ennead", "QEMU"):
            directory = share.directory(name)
            if name == "native":
                machines[name] = Native()
                places[name] = {"s": directory, "usr": os.path.join(BUILD, "guest", "debian", "usr"), "forget": "true",
                                "shared": f"{BENCH}/native/shared", "command": f"{BENCH}/native/command"}
                continue
            machines[name] = boot_for_commands(lambda name=name: makers.with_share(name, directory, cache),
                                               [t.result(name) for t in tests])
            if machines[name]:
                places[name] = {"s": machines[name].share, "usr": "/usr", "shared": "/bench/shared",
                                "forget": "sync; echo 3 > /proc/sys/vm/drop_caches", "command": "/bench/command"}
        for test in tests:
            for _ in range(REPS):
                for name, place in places.items():
                    run_one(test, machines[name], place, test.result(name))
            say(test)
    finally:
        for machine in machines.values():
            if machine:
                machine.close()
        share.close()


def run_one(test, machine, place, result):
    if result.error:
        return
    try:
        status, _, _ = machine.command(test.before.format(**place), PATIENCE)
        if status != 0:
            raise Failed("what comes before fails")
        line = test.guest.format(**place)
        measure(machine, f'{place["command"]} "{line}"' if test.is_command else line, result)
    except Failed as failure:
        result.error = str(failure)


def run_boots(test, makers):
    for _ in range(REPS):
        for name, make in makers.items():
            if test.result(name).error:
                continue
            machine = make()
            try:
                test.result(name).add(machine.boot(BOOT_PATIENCE) * 1e3)
            except Failed as failure:
                test.result(name).error = str(failure)
            machine.close()
    say(test)


def run_files(tests):
    for _ in range(REPS if tests else 0):
        try:
            for name, competitor, time in files.measure(BUILD, SCALE):
                for test in tests:
                    if test.name == name:
                        test.result(competitor).add(time)
        except files.Failed as failure:
            for test in tests:
                for competitor in files.TREES:
                    test.result(competitor).error = str(failure)
    for test in tests:
        say(test)


def run_micro(makers):
    """The micro kernel prints all of its figures at each boot; gives a test for each."""
    tests = {}
    for _ in range(REPS):
        for name, make in makers.items():
            machine = make()
            try:
                machine.switch_on()
                machine.await_output(re.compile(rb"^end", re.MULTILINE), BOOT_PATIENCE)
            except Failed as failure:
                print(f"bench: micro kernel in {name}: {failure}")
            for line in re.finditer(rb"^(\S+) ([\d.]+)( wrong)?\n", machine.received, re.MULTILINE):
                test = tests.setdefault(line[1], Test("micro", "micro", line[1].decode(), unit="ns"))
                test.result(name).add(float(line[2]))
                if line[3]:
                    test.result(name).error = "WRONG"
            machine.close()
    for test in tests.values():
        say(test)
    return list(tests.values())


def say(test):
    print(report.line(test), flush=True)


# --- all of it ---------------------------------------------------------------------------------------------------

def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    except OSError:
        return "none"


def circumstances(makers, load_before):
    with open("/proc/cpuinfo", encoding="ascii") as info:
        model = re.search(r"model name\s*: (.*)", info.read())[1]
    engine = Ennead(makers.tree, KERNEL, None, makers.settings).setting("engine")
    return [
        f"{datetime.date.today()}, {os.cpu_count()} x {model}, load {load_before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after the run",
        f"Ennead at {first_line(['git', '-C', TOP, 'describe', '--always', '--dirty'])}, engine {engine}; "
        f"{first_line(['qemu-system-i386', '--version'])}, -accel tcg -cpu max; "
        + (f"v86 {V86_VERSION} on node {first_line(['node', '--version'])}; " if makers.v86 else "no v86; ")
        + f"native {first_line(['gcc', '--version'])}, Linux {platform.release()}",
        f"medians of {REPS} runs, {SCALE} % of the usual work",
    ]


def main():
    sys.stdout.reconfigure(line_buffering=True)
    if os.environ.get("SAVE") and os.environ.get("ONLY"):
        sys.exit("bench: SAVE wants a whole run, without ONLY")
    tests, micro = selected(every_test())
    load_before = os.getloadavg()[0]
    tree = Tree(BUILD)
    try:
        makers = Makers(tree, find_v86())
        for kind, parts in (("busybox", ("programs", "system")), ("debian", ("real",))):
            session = [t for t in tests if t.part in parts]
            if session:
                run_programs(session, makers.guests(kind))
        for kind in ("shared", "shared-none"):
            session = [t for t in tests if t.kind == kind]
            if session:
                run_shared_work(session, makers)
        for test in tests:
            if test.part == "boot":
                run_boots(test, makers.guests("plain"))
        run_files([t for t in tests if t.part == "files"])
        if micro:
            tests += run_micro(makers.micro())
        text = report.everything(tests, circumstances(makers, load_before))
    finally:
        for machine in list(Guest.switched_on):
            machine.close()
        tree.close()
    print("\n" + text)
    if os.environ.get("SAVE"):
        report.save(os.path.join(TOP, "docs", "performance.md"), text)
    sys.exit(1 if report.wrong(tests) else 0)


if __name__ == "__main__":
    main()
