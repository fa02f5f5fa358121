"""Power cuts as one command: `python tests/power/run.py --minutes 5 [--seed 7]`.

Records a daemon under load and judges random states that a disk may hold after a cut, then
shuts a real file system down under a daemon (as root), and so on until the time is over.
Prints what was tried; exits 1 on a violation, or if something was never tried.
`--states N` makes one recording and so many states of it; `--only` chooses a method.

Not here: the methods (replay.py, ext4.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.power import ext4, load, recording, replay

LIVES = 4
ACKS = 60
STATES = 1000
SERVED = 6
CYCLES = 10

MUST_HAPPEN = (
    "states",
    "states served from",
    "states with all of the unsynced lost",
    "states with none of the unsynced lost",
    "states with some of the unsynced lost",
    "states with torn of the unsynced lost",
    "names dropped",
    "writes dropped",
    "writes torn",
    "recorded syncs of jobd.db",
    "recorded syncs of jobd.db-wal",
    "recorded syncs of uploads",
    "recorded syncs of artifacts",
    "recorded renames",
)
"""What a replay has to have tried; a count of 0 is a failure."""


def replayed(seed: int, states: int = STATES, served: int = SERVED) -> replay.Result:
    """Make a recording and judge so many states."""
    folder = Path(tempfile.mkdtemp(prefix="jobd-power-"))
    told = load.record(folder, recording.build(folder), seed, lives=LIVES, acks=ACKS)
    result = replay.replay(told, seed, states, served=served)
    _tidy(folder, result)
    return result


def shut_down(seed: int, cycles: int = CYCLES) -> replay.Result:
    """Shut a file system down so many times."""
    folder = Path(tempfile.mkdtemp(prefix="jobd-power-"))
    result = ext4.run(folder, seed, cycles)
    _tidy(folder, result)
    return result


def _tidy(folder: Path, result: replay.Result) -> None:
    if result.violations:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)


def untried(result: replay.Result) -> list[str]:
    """Name what a replay has to have tried, and has not."""
    return [what for what in MUST_HAPPEN if not result.counts[what]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut the power, and check what is left.")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--states", type=int, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=("replay", "ext4"), default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    began_s, total, rounds = time.monotonic(), replay.Result(), 0
    while rounds == 0 or (asked.states is None and time.monotonic() - began_s < asked.minutes * 60):
        now = seed + rounds
        rounds += 1
        print(f"seed {now}", flush=True)
        if asked.only != "ext4":
            total.add(replayed(now, asked.states or STATES))
        if asked.only != "replay" and asked.states is None and os.geteuid() == 0:
            total.add(shut_down(now))
    minutes = (time.monotonic() - began_s) / 60
    print(total.table())
    print(
        f"\n{rounds} rounds in {minutes:.1f} min: {total.counts['states'] / minutes:.0f} states/min"
    )
    wrong = total.violations + [
        f"never happened: {what}" for what in (untried(total) if asked.only != "ext4" else ())
    ]
    for what in wrong:
        print(f"WRONG: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
