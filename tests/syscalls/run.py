"""Syscall faults as one command: `python tests/syscalls/run.py [CALL …] [--minutes N]`.

For each kind of call the first fails, then the second, … until a run in which none has
failed: its n is printed. With `--minutes` as many as fit, spread over all of a kind, in an
order that `--seed` gives. Exits 1 if a daemon lied, hung or did not say why it ended.

Not here: the kinds (calls.py), what is right (trial.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.syscalls import calls
from tests.syscalls.trial import Fault, Outcome


class Table:
    """What was tried, by kind."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.ends: dict[str, Counter[int]] = {}
        self.clean_at: dict[str, int] = {}
        self.wrong: list[str] = []

    def add(self, outcome: Outcome) -> None:
        fault = outcome.fault
        kind = f"{fault.call} {fault.error}"
        if not outcome.fired and not outcome.wrong:
            self.clean_at[kind] = fault.at
            return
        self.tried[kind] += 1
        self.ends.setdefault(kind, Counter())[outcome.end] += 1
        for what in outcome.wrong:
            self.wrong.append(f"{fault} ({outcome.fired}): {what}")
            print(f"WRONG: {self.wrong[-1]}", flush=True)
        if outcome.wrong:
            print(outcome.log[-3000:], flush=True)

    def _ends(self, kind: str) -> str:
        return " | ".join(str(self.ends[kind][status]) for status in (0, 74, 78))

    def __str__(self) -> str:
        head = "| call | tried | first n without a fault | served on | ended 74 | ended 78 |"
        rows = [
            f"| {kind} | {tried} | {self.clean_at.get(kind, '')} | {self._ends(kind)} |"
            for kind, tried in self.tried.items()
        ]
        return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def every(kinds: list[tuple[str, str]], library: Path) -> Iterator[Outcome]:
    for call, error in kinds:
        yield from calls.sweep(call, error, library)


def some(
    kinds: list[tuple[str, str]], library: Path, seed: int, stop_s: float
) -> Iterator[Outcome]:
    """Give as many as fit into the time; every kind comes before any comes again."""
    chance = random.Random(seed)  # noqa: S311 - a seed to repeat
    left = {}
    for call, error in kinds:
        numbers = list(range(1, calls.count(call, library) + 1))
        chance.shuffle(numbers)
        left[call, error] = numbers
    while time.monotonic() < stop_s and any(left.values()):
        for (call, error), numbers in left.items():
            if numbers and time.monotonic() < stop_s:
                yield calls.try_one(Fault(call, error, numbers.pop()), library)


def main() -> int:
    parser = argparse.ArgumentParser(description="Have the n-th call of each kind fail.")
    parser.add_argument("calls", nargs="*")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    kinds = [kind for kind in calls.KINDS if not asked.calls or kind[0] in asked.calls]
    library = calls.build(Path(tempfile.mkdtemp(prefix="jobd-faults-")))
    began_s, table = time.monotonic(), Table()
    if asked.minutes is None:
        tried = every(kinds, library)
    else:
        print(f"seed {seed}", flush=True)
        tried = some(kinds, library, seed, began_s + asked.minutes * 60)
    for outcome in tried:
        table.add(outcome)
    print(table)
    print(f"\n{sum(table.tried.values())} faults in {time.monotonic() - began_s:.0f} s")
    never = [kind for call, error in kinds if not table.tried[kind := f"{call} {error}"]]
    for kind in never:
        print(f"WRONG: never happened: {kind}")
    return 1 if table.wrong or never else 0


if __name__ == "__main__":
    sys.exit(main())
