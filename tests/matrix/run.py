"""The fault matrix as one command: `python tests/matrix/run.py [--seed 7] [NAME ...]`.

Prints a row for each fault, and exits 1 when one is not as it has to be. With a seed the
faults come in another order; with names only those come.

Not here: what happens in a row (matrix.py), the rows themselves (faults.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.matrix.faults import FAULTS
from tests.matrix.matrix import BYSTANDERS, Matrix, Row

_HEAD = (
    "| fault | ended | after | allowed | bystanders running | completed | charged | ran again |\n"
    "|---|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """Return a row as it is printed."""
    cells = (
        row.fault.name,
        f"`{row.code}`",
        f"{row.seconds:.2f} s",
        f"{row.deadline_s:g} s",
        row.running,
        f"{row.completed} of {BYSTANDERS}",
        row.charged,
        len(row.again),
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Commit every fault, and show what it did.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    faults = [fault for fault in FAULTS if not asked.names or fault.name in asked.names]
    if asked.seed is not None:
        random.Random(asked.seed).shuffle(faults)  # noqa: S311 - a seed to repeat
    folder = Path(tempfile.mkdtemp(prefix="jobd-matrix-"))
    began_s = time.monotonic()
    wrong = []
    matrix = Matrix(folder)
    try:
        print(_HEAD)
        for fault in faults:
            row = matrix.run(fault)
            print(line(row), flush=True)
            wrong += [f"{fault.name}: {what}" for what in row.faults_found()]
        print(f"\n{len(faults)} faults in {time.monotonic() - began_s:.0f} s")
        for what in wrong:
            print(f"WRONG: {what}")
    finally:
        matrix.close()
    shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
