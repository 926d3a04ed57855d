# SPDX-License-Identifier: MIT
"""Medians, ratios, bars and tables (Markdown, readable in a terminal as it is)."""

import math
import statistics

COMPETITORS = ("native", "Ennead", "QEMU", "v86")
TITLES = {"integer": "Integer programs", "float": "Floating point", "real": "Programs of Debian i386",
          "system": "System", "shared": "Files of the host, each at its best (cache=loose)",
          "shared-none": "Files of the host, nothing kept (cache=none)", "boot": "Boot", "micro": "Micro-figures, bare machine",
          "files": "A small file of the tree, on one processor", "files-apart": "A small file of the tree, the server on another"}
# Whose columns a table has, and which are divided; of the others, what guests are compared with.
TREES = ("trivial", "Ennead", "9P")
OTHER_COMPETITORS = {"files": TREES, "files-apart": TREES}
PAIRS = (("Ennead", "native"), ("QEMU", "Ennead"), ("v86", "Ennead"))
TREE_PAIRS = (("Ennead", "trivial"), ("9P", "Ennead"))
OTHER_PAIRS = {"files": TREE_PAIRS, "files-apart": TREE_PAIRS}
MARK = "<!-- `make bench SAVE=1` writes what follows. -->\n"


class Result:
    """What one competitor reached in one test: times, or what went wrong."""

    def __init__(self):
        self.times, self.sums, self.error, self.odd_clock = [], set(), None, None

    def add(self, time, checksum=None):
        self.times.append(time)
        if checksum:
            self.sums.add(checksum)

    def check_clock(self, wall_ms):
        """A program's own time cannot exceed what the host saw, and falls short of it by a shell's start only."""
        own = self.times[-1]
        if own > 1.05 * wall_ms + 20 or own < 0.7 * wall_ms - 500:
            self.odd_clock = f"{own:.0f} ms by its own clock, {wall_ms:.0f} ms by the host's"

    def median(self):
        return statistics.median(self.times) if self.times and not self.error else None


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def differs(test):
    """Whether the machines disagree about the result. Of Debian's programs the host has other versions."""
    names = [n for n in test.results if not (n == "native" and test.part == "real")]
    return len(set().union(*(test.results[n].sums for n in names))) > 1


def wrong(tests):
    return [t for t in tests if differs(t) or any(r.error == "WRONG" for r in t.results.values())]


def ratio(test, above, below):
    """How many times longer `above` took than `below`."""
    a, b = (test.results[n].median() if n in test.results else None for n in (above, below))
    return a / b if a and b else None


def cell(test, name):
    result = test.results.get(name)
    if result is None or not (result.times or result.error):
        return "-"
    return f"n/a ({result.error})" if result.error else number(result.median())


def line(test):
    """One test's medians, while the others are still to come."""
    cells = (f"{n} {cell(test, n)}" for n in test.results if cell(test, n) != "-")
    return f"{test.name} {test.unit}: " + ", ".join(cells) + (" DIFFERENT RESULTS" if differs(test) else "")


# --- bars: (what, its figure, `<=` or `>=`, the bar) ---------------------------------------------------------------

def ratios(tests, kind, above, below):
    return [r for r in (ratio(t, above, below) for t in tests if t.kind == kind) if r]


def bars(tests):
    def mean(kind, above, below):
        return geomean(ratios(tests, kind, above, below))

    def least(kind, above, below):
        return min(ratios(tests, kind, above, below), default=None)

    rows = []
    kinds = {t.kind for t in tests}
    if "integer" in kinds:
        rows += [("integer programs: time, of native's (geomean)", mean("integer", "Ennead", "native"), "<=", 1.8),
                 ("integer programs: speed, of QEMU's (geomean)", mean("integer", "QEMU", "Ennead"), ">=", 3),
                 ("integer programs: speed, of v86's (geomean)", mean("integer", "v86", "Ennead"), ">=", 6)]
    if "float" in kinds:
        rows += [("floating point: time, of native's (geomean)", mean("float", "Ennead", "native"), "<=", 2.2),
                 ("floating point: speed, of QEMU's (geomean)", mean("float", "QEMU", "Ennead"), ">=", 15)]
    if "real" in kinds:
        rows += [("Debian's programs: speed, of QEMU's (geomean)", mean("real", "QEMU", "Ennead"), ">=", 4),
                 ("Debian's programs: speed, of QEMU's (the slowest)", least("real", "QEMU", "Ennead"), ">=", 1)]
    for test in tests:
        if test.kind == "system":
            rows.append((f"{test.name}: speed, of QEMU's", ratio(test, "QEMU", "Ennead"), ">=", 2.5))
        if test.part == "shared":
            rows.append((f"{test.name}: speed, of QEMU's", ratio(test, "QEMU", "Ennead"), ">=", 2))
        if test.name in ("read-128M-uncached", "stream-1G-uncached"):
            rows.append((f"{test.name}: speed, of the host's own", ratio(test, "native", "Ennead"), ">=", 0.6))
        if test.part == "files":
            rows += [(f"{test.name}: time, of a trivial FUSE server's", ratio(test, "Ennead", "trivial"), "<=", 1.3),
                     (f"{test.name} over 9P: time, of FUSE's", ratio(test, "9P", "Ennead"), "<=", 1)]
        if test.kind == "boot":
            rows.append(("power-on to prompt: time, of QEMU's", ratio(test, "Ennead", "QEMU"), "<=", 0.5))
    return rows


def met(figure, relation, bar):
    if figure is None:
        return "-"
    return "yes" if (figure <= bar if relation == "<=" else figure >= bar) else "no"


# --- tables --------------------------------------------------------------------------------------------------------

def table(head, rows):
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    lines = ("| " + " | ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]) + " |\n"
             for row in (head, rule, *rows))
    return "".join(lines)


def kind_table(kind, tests):
    tests = [t for t in tests if t.kind == kind]
    shown = [c for c in OTHER_COMPETITORS.get(kind, COMPETITORS) if any(cell(t, c) != "-" for t in tests)]
    pairs = [(a, b) for a, b in OTHER_PAIRS.get(kind, PAIRS) if {a, b} <= set(shown)]
    rows = [[t.name + (" (DIFFERENT RESULTS)" if differs(t) else "")] + [cell(t, c) for c in shown]
            + [number(ratio(t, a, b)) for a, b in pairs] for t in tests]
    if len(tests) > 1 and kind != "micro":
        means = [number(geomean(ratios(tests, kind, a, b))) for a, b in pairs]
        rows.append(["geometric mean"] + [""] * len(shown) + means)
    head = [TITLES[kind]] + [f"{c} {tests[0].unit}" for c in shown] + [f"{a} / {b}" for a, b in pairs]
    return table(head, rows)


def notes(tests):
    for test in tests:
        sse2 = test.results.get("native SSE2")
        if sse2 and sse2.median():
            yield f"{test.name}: what the host's compiler makes by itself, SSE2 code, takes {number(sse2.median())} ms."
        for name, result in test.results.items():
            if result.odd_clock:
                yield f"{test.name}: the clock of {name} is not the host's: {result.odd_clock}."
        if differs(test):
            sums = (f"{n} {' '.join(sorted(r.sums))}" for n, r in test.results.items() if r.sums)
            yield f"{test.name}: different checksums: " + ", ".join(sums)


def everything(tests, circumstances):
    parts = ["".join(f"- {c}\n" for c in circumstances)]
    summary = bars(tests)
    if summary:
        parts.append(table(["Bar", "figure", "wanted", "met"],
                           [[what, number(f), f"{rel} {bar:g}", met(f, rel, bar)] for what, f, rel, bar in summary]))
    parts += [kind_table(k, tests) for k in TITLES if any(t.kind == k for t in tests)]
    said = list(notes(tests))
    if said:
        parts.append("".join(f"- {n}\n" for n in said))
    return "\n".join(parts)


def save(path, text):
    with open(path, encoding="utf-8") as file:
        kept = file.read().partition(MARK)[0]
    with open(path, "w", encoding="utf-8") as file:
        file.write(kept + MARK + "\n" + text)
