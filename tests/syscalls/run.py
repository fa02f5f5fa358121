"""Syscall faults as one command: `python tests/syscalls/run.py [CALL …] [--minutes N]`.

For each kind of call the first fails, then the second, … until a run in which none has
failed: its n is printed. Of some kinds a part is tried (calls.BY_STRETCH, BY_PLACE), and then
one run with an n that no call has.
With `--minutes` as many as fit: every kind in turn, its numbers in an order that `--seed`
gives. Exits 1 if a daemon lied, hung or did not say why it ended, or a kind never failed.

Not here: the kinds (calls.py), what is right (trial.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.syscalls import calls, nursery
from tests.syscalls.trial import Fault, Means, Outcome

_HEAD = (
    "call",
    "calls of a run",
    "to be tried",
    "failed",
    "while it started",
    "a run without a fault at",
    "served on",
    "ended 74",
    "ended 78",
)


class Row:
    """What was tried of a kind."""

    def __init__(self) -> None:
        self.failed: set[int] = set()
        self.starting: set[int] = set()
        self.passed: set[int] = set()
        """Numbers of runs with fewer calls: nothing failed."""
        self.ends: Counter[int] = Counter()
        self.places: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        at = outcome.fault.at
        if not outcome.fired:
            self.passed.add(at)
            return
        self.failed.add(at)
        if outcome.starting:
            self.starting.add(at)
        self.ends[outcome.end] += 1
        self.places[calls.place(outcome.fired)] += 1


class Table:
    """What was tried, by kind."""

    def __init__(self, made: calls.Made) -> None:
        self._made = made
        self.rows: dict[str, Row] = {}
        self._calls: dict[str, str] = {}
        self.wrong: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """Count a trial, and say at once what is wrong with it."""
        fault = outcome.fault
        self._calls[fault.kind] = fault.call
        self.rows.setdefault(fault.kind, Row()).add(outcome)
        for what in outcome.wrong:
            self.wrong.append(f"{fault} ({outcome.fired}): {what}")
            print(f"WRONG: {self.wrong[-1]}", flush=True)
        if outcome.wrong:
            print(outcome.log[-3000:], flush=True)

    def failed_of(self, kind: Fault) -> int:
        return len(self.rows[kind.kind].failed) if kind.kind in self.rows else 0

    @property
    def failed(self) -> int:
        return sum(len(row.failed) for row in self.rows.values())

    def __str__(self) -> str:
        lines = [_HEAD, ("---",) * len(_HEAD)]
        for kind, row in self.rows.items():
            call = self._calls[kind]
            wanted = self._made.count(call), len(self._made.numbers(call))
            counts = (*wanted, len(row.failed), len(row.starting), min(row.passed, default="-"))
            ends = (row.ends[status] for status in (0, 74, 78))
            lines.append((kind, *map(str, (*counts, *ends))))
        table = [f"| {' | '.join(line)} |" for line in lines]
        return "\n".join([*table, "", *self._places()])

    def _places(self) -> Iterator[str]:
        for kind, row in self.rows.items():
            where = ", ".join(f"{name} {n}" for name, n in row.places.most_common(8))
            yield f"{kind}: {where}"


def every(
    kinds: Sequence[Fault], means: Means, made: calls.Made, at_once: int
) -> Iterator[Outcome]:
    """Give all of each kind, and the first run without a fault."""
    for kind in kinds:
        if kind.call in calls.BY_PLACE | calls.BY_STRETCH:
            faults = [calls.nth(kind, at) for at in numbers(kind, made)]
            yield from calls.together(faults, means, at_once)
        else:
            yield from calls.sweep(kind, means, at_once=at_once)


def numbers(kind: Fault, made: calls.Made) -> list[int]:
    """Return what is to be tried of a kind, and a number that no call should have."""
    return [*made.numbers(kind.call), 2 * made.count(kind.call)]


def some(kinds: Sequence[Fault], made: calls.Made, seed: int, stop_s: float) -> Iterator[Fault]:
    """Give what is to be tried until the time is over; every kind comes before any comes again."""
    chance = random.Random(seed)  # noqa: S311 - a seed to repeat
    left = []
    for kind in kinds:
        *order, none = numbers(kind, made)
        chance.shuffle(order)
        left.append([calls.nth(kind, at) for at in (*order, none)])
    first = True
    while any(left) and (first or time.monotonic() < stop_s):
        for faults in left:
            if faults and (first or time.monotonic() < stop_s):
                yield faults.pop(0)
        first = False


def main() -> int:
    parser = argparse.ArgumentParser(description="Have the n-th call of each kind fail.")
    parser.add_argument("calls", nargs="*")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--at-once", type=int, default=calls.AT_ONCE)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    kinds = [kind for kind in calls.KINDS if not asked.calls or kind.call in asked.calls]
    library = calls.build(Path(tempfile.mkdtemp(prefix="jobd-faults-")))
    with nursery.opened(library) as path:
        return _told(asked, kinds, seed, Means(library, path))


def _told(asked: argparse.Namespace, kinds: Sequence[Fault], seed: int, means: Means) -> int:
    began_s, made = time.monotonic(), calls.made(means)
    table = Table(made)
    if asked.minutes is None:
        tried = every(kinds, means, made, asked.at_once)
    else:
        print(f"seed {seed}", flush=True)
        faults = some(kinds, made, seed, began_s + asked.minutes * 60)
        tried = calls.together(faults, means, asked.at_once)
    for outcome in tried:
        table.add(outcome)
    print(table)
    print(f"\n{table.failed} faults in {time.monotonic() - began_s:.0f} s")
    never = [kind for kind in kinds if not table.failed_of(kind)]
    for kind in never:
        print(f"WRONG: never happened: {kind.kind}")
    return 1 if table.wrong or never else 0


if __name__ == "__main__":
    sys.exit(main())
