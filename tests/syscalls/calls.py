"""Which calls fail with what, and the sweep over the n-th of each.

Not here: one trial (trial.py), the command (run.py).
"""

import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.syscalls.trial import Fault, Means, Outcome, run

KINDS: Sequence[Fault] = (
    Fault("fdatasync", "EIO", 0),
    Fault("fsync", "EIO", 0),
    Fault("pwrite64", "EIO", 0),
    Fault("pwrite64", "ENOSPC", 0),
    Fault("pread64", "EIO", 0),
    Fault("pread64", "EIO", 0, lasts=True),
    Fault("write", "ENOSPC", 0),
    Fault("openat", "EMFILE", 0),
    Fault("openat_proc", "EMFILE", 0),
    Fault("ftruncate", "EIO", 0),
    Fault("accept4", "EMFILE", 0),
    Fault("accept4", "ENOMEM", 0),
    Fault("clone3", "EAGAIN", 0),
    Fault("clone", "ENOMEM", 0),
)
"""clone3 makes a thread, clone a process; accept, open and their like count as one.

openat_proc is an open of a file of a process."""

BY_STRETCH = {"pwrite64"}
"""While it serves, some of those between two syncs are tried: hundreds, which are alike."""

BY_PLACE = {"openat_proc"}
"""Kinds that depend on what else runs on the machine: thousands, of a few sorts of file."""

OF_A_STRETCH = 4
OF_A_PLACE = 8
"""So many are tried, the first and the last among them."""

AT_ONCE = 3
"""A daemon waits more than it works."""


def build(folder: Path) -> Path:
    """Compile the faults and return where they are."""
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def try_one(fault: Fault, means: Means) -> Outcome:
    """Try a fault in a folder of its own, which is kept if something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="jobd-fault-"))
    outcome = run(fault, means, folder)
    if outcome.wrong:
        outcome.log += f"\nkept: {folder}"
    else:
        shutil.rmtree(folder)
    return outcome


@dataclass(frozen=True)
class Made:
    """The calls of a run without a fault."""

    calls: Sequence[tuple[str, str]]
    """In order: which it was and what about."""
    starting: int
    """How many of them were before it served."""

    def count(self, call: str) -> int:
        """Return how many there were of a kind."""
        return sum(name == call for name, _ in self.calls)

    def numbers(self, call: str) -> list[int]:
        """Return which of a kind are to be tried."""
        if call in BY_PLACE:
            sorts: dict[str, list[int]] = {}
            for at, (_, about) in enumerate((c for c in self.calls if c[0] == call), start=1):
                sorts.setdefault(place(about), []).append(at)
            return _some_of_each(sorts.values(), OF_A_PLACE)
        if call in BY_STRETCH:
            return _some_of_each(self._stretches(call), OF_A_STRETCH)
        return list(range(1, self.count(call) + 1))

    def _stretches(self, call: str) -> Iterable[list[int]]:
        """Return the numbers between two syncs together; before it serves each alone."""
        found: dict[tuple[int, int], list[int]] = {}
        at = syncs = 0
        for index, (name, _) in enumerate(self.calls):
            syncs += name == "fdatasync"
            if name == call:
                at += 1
                key = (0, at) if index < self.starting else (1, syncs)
                found.setdefault(key, []).append(at)
        return found.values()


def made(means: Means) -> Made:
    """Count the calls of a run without a fault."""
    outcome = try_one(Fault("", "EIO", 0), means)
    assert outcome.made, outcome.log
    assert not outcome.wrong, outcome.wrong
    return Made(outcome.made, outcome.made_starting)


def nth(kind: Fault, at: int) -> Fault:
    """Return the fault of the n-th call of a kind."""
    return Fault(kind.call, kind.error, at, kind.lasts)


def sweep(kind: Fault, means: Means, start: int = 1, at_once: int = 1) -> Iterator[Outcome]:
    """Give the trials for n = start, start + 1, … up to the first in which nothing failed.

    Those that run beside it are given too.
    """
    over = False

    def numbered() -> Iterator[Fault]:
        for at in count(start):
            if over:
                return
            yield nth(kind, at)

    for outcome in together(numbered(), means, at_once):
        over = over or not outcome.fired
        yield outcome


def together(faults: Iterable[Fault], means: Means, at_once: int) -> Iterator[Outcome]:
    """Give what comes of faults, so many tried at once, in their order."""
    left = iter(faults)
    running: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        while True:
            while len(running) < at_once and (fault := next(left, None)) is not None:
                running.append(pool.submit(try_one, fault, means))
            if not running:
                return
            yield running.popleft().result()


def place(about: str) -> str:
    """Return what sort of file it is: neither which process nor which job matters."""
    _, state, inside = about.partition("/state/")
    if state:
        return inside.partition("/")[0]
    return re.sub(r"\d+", "N", about if about.startswith("/proc") else Path(about).name)


def _some_of_each(groups: Iterable[list[int]], many: int) -> list[int]:
    return sorted(group[n - 1] for group in groups for n in spread(len(group), many))


def spread(total: int, many: int) -> list[int]:
    """Return so many numbers from 1 to `total`, the first and the last among them."""
    if total <= many:
        return list(range(1, total + 1))
    return sorted({1 + round(n * (total - 1) / (many - 1)) for n in range(many)})
