"""Deterministic simulation as one command: `python tests/sim/run.py --seeds 1..500`.

With `--minutes N` it makes new seeds until the time is over. It prints how often each move,
fault, kill and call happened, and exits 1 when a promise was broken or when something never
happened. Of a seed that failed it prints the command that makes the same run again.

`--digests` prints one line a seed instead: two processes with different hash seeds
(PYTHONHASHSEED) must print the same.

Not here: what a run is (world.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import gc
import itertools
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from jobd.domain.statuses import INITIAL, MOVES
from tests.sim.child import BEHAVIOURS
from tests.sim.receiver import ANSWERS
from tests.sim.weather import Strike
from tests.sim.world import Outcome, simulate

BREAKER_MOVES = ("closed → open", "open → half-open", "half-open → open", "half-open → closed")

NEEDED = frozenset(
    [f"move: new → {status}" for status in INITIAL]
    + [f"move: {old} → {new}" for old, news in MOVES.items() for new in news]
    + [f"move: {gone}" for gone in ("deleted", "expired and gone", "too many and gone")]
    + [f"fault: worker {how}" for how in BEHAVIOURS]
    + [f"fault: receiver {how}" for how in ANSWERS]
    + [f"fault: {strike}" for strike in get_args(Strike)]
    + [f"fault: {what}" for what in ("locked", "full", "nearly full", "EIO of a read")]
    + [f"fault: {what}" for what in ("clock forward", "clock back", "plugin gone")]
    + [
        f"fault: {what} {how} refused"
        for what in ("settle", "report")
        for how in ("twice", "beside its successor")
    ]
    + ["fault: callback succeeded", "fault: callback dead", "fault: worker ignores a cancel"]
    + [f"fault: breaker {move}" for move in BREAKER_MOVES]
    + [f"fault: endpoint {reason}" for reason in ("gone",)]
    + ["fault: the operator is told of webhook.endpoint_disabled"]
    + [f"killed: ({how})" for how in ("killed", "broke", "drains")]
    + [
        f"killed: {where}"
        for where in (
            "while it starts",
            "while it recovers",
            "while it stops",
            "before a commit was applied",
            "with a commit that nobody knows of",
            "with attempts running",
            "with jobs at hand",
            "with deliveries under way",
            "with requests open",
        )
    ]
    + [
        f"at hand: {what}"
        for what in (
            "claimed ahead",
            "passed on to an idle worker",
            "left behind a crash",
            "begun without a daemon",
            *(
                f"recalled by {who}"
                for who in (
                    "a cancel",
                    "a pause",
                    "a limit",
                    "an overrun",
                    "a drain",
                    "the end of the one in front",
                    "the worker's death",
                    "its worker's wear",
                )
            ),
        )
    ]
    + [
        f"call: {call} {outcome}"
        for call in ("submit", "poll", "cancel", "retry", "delete", "queue")
        for outcome in ("ok", "unknown")
    ]
)
"""What has to happen in a run of many seeds, or it has not tried what it says."""

PRUNE_EVERY = 25


def outcomes(seeds: Iterable[int]) -> Iterator[Outcome]:
    """Make the runs of these seeds, one after the other."""
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    # when the collector ends what a kill has left must not be part of a run
    gc.disable()
    with tempfile.TemporaryDirectory(prefix="jobd-sim-") as folder:
        try:
            for number, seed in enumerate(seeds, 1):
                yield simulate(seed, Path(folder))
                if number % PRUNE_EVERY == 0:
                    gc.collect()
        finally:
            gc.enable()
            logging.disable(logging.NOTSET)


def replay(outcome: Outcome) -> str:
    """Return what a run has broken, and how to make it again."""
    command = f".venv/bin/python tests/sim/run.py --seeds {outcome.seed}"
    return "\n".join([f"seed {outcome.seed}: {command}", *(f"  {v}" for v in outcome.violations)])


def main() -> int:
    """Run as the command line says."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", default="", help="one, or from..to")
    arguments.add_argument("--minutes", type=float, default=0.0)
    arguments.add_argument("--digests", action="store_true")
    arguments.add_argument("--first", action="store_true", help="end with the first that fails")
    asked = arguments.parse_args()
    first, _, last = asked.seeds.partition("..")
    begin = int(first) if first else time.time_ns() // 1_000_000
    seeds: Iterable[int] = range(begin, int(last or first or begin + 1) + 1)
    began_s = time.monotonic()
    if asked.minutes:
        until_s = began_s + asked.minutes * 60
        seeds = itertools.takewhile(lambda _: time.monotonic() < until_s, itertools.count(begin))
    if asked.digests:
        for outcome in outcomes(seeds):
            print(outcome.seed, outcome.digest)
        return 0
    whole = bool(asked.minutes or last)
    return _report(seeds, began_s, whole=whole, first=asked.first)


def _report(seeds: Iterable[int], began_s: float, *, whole: bool, first: bool) -> int:
    counts: Counter[str] = Counter()
    runs = failed = 0
    virtual_s = 0.0
    for outcome in outcomes(seeds):
        runs += 1
        virtual_s += outcome.virtual_s
        counts.update(outcome.counts)
        if outcome.violations:
            failed += 1
            print(replay(outcome), flush=True)
            if first:
                return 1
    missing = sorted(NEEDED - counts.keys()) if whole else []
    for what in sorted(counts):
        print(f"{counts[what]:9,}  {what}")
    for what in missing:
        print(f"        0  {what}: never happened")
    seconds = time.monotonic() - began_s
    print(
        f"{runs:,} runs of {virtual_s / 3600:,.0f} virtual hours"
        f" in {seconds:.0f} s: {failed} failed"
    )
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
