"""Break jobd on purpose: `python tests/mutants/run.py [--only TEXT] [--minutes N]`.

Each mutant is a copy of the tree with a few texts changed, and is run through the command that
must notice. Prints a row for each; exits 1 when one survives, or its patch no longer applies,
or when a command complains of the tree as it is. `--minutes` begins again, with the commands'
seeds moved on, until the time is over.

Not here: what is changed (store.py, engine.py, ahead.py, hooks.py), how it is run (trial.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants import trial
from tests.mutants.mutant import ByKill, ByPower, Method, Mutant

_HEAD = "| mutant | caught by | in |\n|---|---|---|"


def main() -> int:
    parser = argparse.ArgumentParser(description="Break jobd and see that it is noticed.")
    parser.add_argument("--only", default="", help="mutants whose name or method has this in it")
    parser.add_argument("--minutes", type=float, default=0)
    asked = parser.parse_args()
    trials = [
        (mutant, method)
        for mutant, method in trial.TRIALS
        if asked.only in mutant.name or asked.only in str(method)
    ]
    began_s = time.monotonic()
    survived = rounds = 0
    with tempfile.TemporaryDirectory(prefix="jobd-mutants-") as name:
        bench = trial.Bench(Path(name))
        found = bench.unpatched(list(dict.fromkeys(method for _, method in trials))).result()
        while found is None and (not rounds or time.monotonic() - began_s < asked.minutes * 60):
            survived += _round(bench, [(m, _moved_on(how, rounds)) for m, how in trials])
            rounds += 1
        bench.close()
    if found is not None:
        print(f"The tree as it is is complained of:\n{found}")
    count = len(trials) * rounds
    print(f"\n{count} trials in {time.monotonic() - began_s:.0f} s, {survived} survived")
    return 1 if survived or not count else 0


def _moved_on(method: Method, rounds: int) -> Method:
    if isinstance(method, ByKill | ByPower):
        return method._replace(seed=method.seed + rounds)
    return method


def _round(bench: trial.Bench, trials: Sequence[tuple[Mutant, Method]]) -> int:
    """Try each, print a row for each, return how many survived."""
    survived = 0
    print(_HEAD, flush=True)
    for mutant, method, future in [(*one, bench.begin(*one)) for one in trials]:
        verdict = future.result()
        how = f"{verdict.seconds:.1f} s" if verdict.caught else "SURVIVED"
        print(f"| {mutant.name} | {method} | {how} |", flush=True)
        if not verdict.caught:
            survived += 1
            print("\n".join(verdict.said.splitlines()[-40:]), flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main())
