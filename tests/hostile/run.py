"""The fuzz as one command: `python tests/hostile/run.py [--minutes N] [--seed N]`.

Sends the corpus's requests, broken by the seed, to a daemon of its own, on its socket and
over TCP. Prints how many of each status came back (0: closed without an answer) and exits 1
if the daemon answered with a 500, hung, logged an error or has grown.

Not here: what is sent (mutator.py), how it is judged (fuzz.py), lies of a worker (test_liar.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.fuzz import MAY_GROW_BYTES, Fuzz
from tests.hostile.house import House


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description="Send broken requests to a daemon.")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder))
        try:
            return _run(house, asked.seed, asked.minutes)
        finally:
            house.close()


def _run(house: House, seed: int, minutes: float) -> int:
    fuzz = Fuzz(house, seed)
    try:
        fuzz.run_for(minutes)
    except AssertionError as broken:
        print(f"seed {seed}, after {fuzz.seen.total()} answers: {broken}")
        return 1
    grown_bytes, descriptors = fuzz.grown()
    print(f"seed {seed}: {fuzz.seen.total()} answers, {dict(fuzz.seen.most_common())}")
    print(f"grown by {grown_bytes >> 10} KiB and {descriptors} descriptors")
    return int(grown_bytes > MAY_GROW_BYTES or descriptors > 0)


if __name__ == "__main__":
    sys.exit(main())
