# SPDX-License-Identifier: MIT
"""usage: clocks.py VM_DIR SECONDS

Compares the clocks that tests/pc/clocks.asm prints with the host's, over SECONDS and across a pause."""
import os
import select
import sys
import time

VM, SECONDS = sys.argv[1], int(sys.argv[2])
ALLOWED = 0.001
# Name, ticks a second, where it wraps, whether it counts down.
COUNTERS = [("PM timer", 3579545, 1 << 24, False), ("PIT", 3579545 / 3, 1 << 16, True), 
            ("APIC timer", 10**9, (1 << 32) - 1, True)]
TSC_HZ = 10**9

fd = os.open(VM + "/com1", os.O_RDWR | os.O_NONBLOCK)


def read_some():
    text = b""
    try:
        while piece := os.read(fd, 65536):
            text += piece
    except BlockingIOError:
        pass
    return text


class Sample:
    """One line of the guest's; `host` lies within `doubt` seconds of it."""

    def __init__(self, before, after, line):
        numbers = [int(word, 16) for word in line.split()]
        self.host, self.doubt = (before + after) / 2, (after - before) / 2
        self.tsc, tsc_behind = numbers[0], numbers[4]
        self.counts = numbers[1:4]
        self.span = (tsc_behind - self.tsc) / TSC_HZ  # while the counters were read
        self.edges, self.edge_before, self.edge_behind = numbers[5:8]


def ask():
    read_some()
    before = time.monotonic()
    while True:
        try:
            os.write(fd, b"s")
            break
        except BlockingIOError:  # the file's other end is not open yet
            select.select([], [fd], [], 1)
            if time.monotonic() - before > 60:
                sys.exit("com1 takes nothing")
    text = b""
    while b"\n" not in text:
        if time.monotonic() - before > 60:
            sys.exit(f"no answer: {text!r}")
        select.select([fd], [], [], 1)
        text += read_some()
    return Sample(before, time.monotonic(), text)


class Unwrapped:
    """Counters as seconds since the first sample. Between two samples the TSC tells how often one has wrapped, which
    leaves its own pace as it is as long as they do not differ by half a period: 27 ms for the PIT."""

    def __init__(self, first):
        self.last, self.total = first, [0] * len(COUNTERS)

    def add(self, sample):
        passed = (sample.tsc - self.last.tsc) / TSC_HZ
        for i, (_, hz, wrap, down) in enumerate(COUNTERS):
            delta = sample.counts[i] - self.last.counts[i]
            delta = (-delta if down else delta) % wrap
            delta += round((passed * hz - delta) / wrap) * wrap
            self.total[i] += delta
        self.last = sample


def good():
    """A sample that was taken in one go: the host may have run something else in between."""
    best = None
    for _ in range(200):
        sample = ask()
        if sample.span < 0.0005 and (best is None or sample.doubt < best.doubt):
            best = sample
            if best.doubt < 0.005:
                break
        elif best is not None and _ > 20:
            break
    if best is None:
        sys.exit("the machine never read its clocks within half a millisecond")
    return best


bad = 0


def judge(name, guest, host, doubt):
    global bad
    wrong = abs(guest - host) - doubt > ALLOWED * host
    bad += wrong
    print(f"{name:10} {guest:.4f} s, not {host:.4f} s, is off by {(guest / host - 1) * 100:+.4f} %"
          f" (doubt {doubt * 1000:.1f} ms){' WRONG' if wrong else ''}")


# --- a minute ---
first = good()
clocks = Unwrapped(first)
edges = []  # of the RTC's seconds: number, TSC, its uncertainty in seconds
end = first.host + SECONDS
last = first
while last.host < end:
    time.sleep(0.2)
    last = ask()
    if last.span < 0.0005:
        clocks.add(last)
    if last.edges != (edges[-1][0] if edges else 0):
        edges.append((last.edges, (last.edge_before + last.edge_behind) / 2 / TSC_HZ,
                      (last.edge_behind - last.edge_before) / 2 / TSC_HZ))
last = good()
clocks.add(last)
host = last.host - first.host
doubt = first.doubt + last.doubt
print(f"over {host:.2f} s:")
judge("TSC", (last.tsc - first.tsc) / TSC_HZ, host, doubt)
for (name, hz, _, _), total in zip(COUNTERS, clocks.total):
    judge(name, total / hz, host, doubt + 0.001)
sharp = [edge for edge in edges if edge[2] < 0.005]
if len(sharp) < 2 or sharp[-1][0] - sharp[0][0] < SECONDS // 2:
    sys.exit(f"too few seconds of the RTC were seen to begin: {edges}")
# Its seconds are measured by the TSC, which has been judged.
judge("RTC", sharp[-1][0] - sharp[0][0], sharp[-1][1] - sharp[0][1], sharp[0][2] + sharp[-1][2])

# --- a pause ---
PAUSE = 5


def state():
    with open(VM + "/status") as status:
        return status.read().split()[0]


def control(verb, wanted):
    with open(VM + "/ctl", "w") as ctl:
        ctl.write(verb + "\n")
    until = time.monotonic() + 60
    while state() != wanted:
        if time.monotonic() > until:
            sys.exit(f"{verb}: still {state()}")
        time.sleep(0.01)


before = good()
clocks = Unwrapped(before)
start = time.monotonic()
control("pause", "paused")
paused = time.monotonic()
time.sleep(PAUSE)
resumed = time.monotonic()
control("resume", "running")
after = good()
clocks.add(after)
# What is no pause for certain, and the most that can have been.
most = after.host - before.host - (resumed - paused) + before.doubt + after.doubt + 0.001
print(f"across a pause of {resumed - paused:.2f} s, clocks may go on by {most * 1000:.1f} ms:")
for name, went in [("TSC", (after.tsc - before.tsc) / TSC_HZ)] + [
        (name, total / hz) for (name, hz, _, _), total in zip(COUNTERS, clocks.total)]:
    wrong = not 0 <= went <= most
    bad += wrong
    print(f"{name:10} went on by {went * 1000:.1f} ms{' WRONG' if wrong else ''}")
# The RTC has changed its second as often as the TSC says, give or take the one that had begun.
time.sleep(2.5)
later = good()
seconds, by_tsc = later.edges - before.edges, (later.tsc - before.tsc) / TSC_HZ
wrong = abs(seconds - by_tsc) > 1
bad += wrong
print(f"RTC        went on by {seconds} s in {by_tsc:.2f} s{' WRONG' if wrong else ''}")
sys.exit(bad != 0)
