"""Every method that tries to break jobd, for as long as you like: the counts, and no violation.

`.venv/bin/python tests/long.py --minutes 30 [--seed N]` gives each method its share of the
time, one after the other, prints what each of them prints, and at the end one line for each.
Exits 1 if one of them found something. Not here: the methods (the folders beside this file).
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent

CYCLE_S = 1.0
"""About how long a cycle of the kill loop takes."""


class Method(NamedTuple):
    """One way to break it, and its share of the time."""

    name: str
    script: str
    share: float


METHODS = (
    Method("simulation", "sim/run.py", 0.30),
    Method("kill -9", "kill/loop.py", 0.15),
    Method("power cuts", "power/run.py", 0.20),
    Method("failing calls", "syscalls/run.py", 0.15),
    Method("soak", "soak/run.py", 0.20),
)
MUTANTS = Method("mutants", "mutants/run.py", 0.0)
"""All of them, whatever they take: a count of caught mutants is no matter of time."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--without-mutants", action="store_true")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4))
    say(f"seed {seed}")
    methods = METHODS if options.without_mutants else (*METHODS, MUTANTS)
    lines = [run(method, options.minutes, seed) for method in methods]
    say("\n| method | minutes | |\n|---|---|---|")
    for name, took_s, status in lines:
        say(f"| {name} | {took_s / 60:.1f} | {'nothing found' if status == 0 else 'FAILED'} |")
    return int(any(status for _, _, status in lines))


def run(method: Method, minutes: float, seed: int) -> tuple[str, float, int]:
    """Run one method to its end; return its name, how long it took and its exit status."""
    say(f"\n## {method.name}\n")
    command = [sys.executable, str(TESTS / method.script)]
    mine = minutes * method.share
    if method.script == "kill/loop.py":
        command += ["--cycles", str(max(1, round(mine * 60 / CYCLE_S)))]
    elif mine:
        command += ["--minutes", f"{mine:.2f}"]
    if method is not MUTANTS:
        command += ["--seed", str(seed)]
    began_s = time.monotonic()
    status = subprocess.run(command, check=False).returncode
    return method.name, time.monotonic() - began_s, status


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
