"""Which calls fail with what, and the sweep over the n-th of each.

Not here: one trial (trial.py), the command (run.py).
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.syscalls.trial import Fault, Outcome, run

KINDS: Sequence[tuple[str, str]] = (
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("pread64", "EIO"),
    ("write", "ENOSPC"),
    ("openat", "EMFILE"),
    ("openat_proc", "EMFILE"),
    ("ftruncate", "EIO"),
    ("accept4", "EMFILE"),
    ("accept4", "ENOMEM"),
    ("clone3", "EAGAIN"),
    ("clone", "ENOMEM"),
)
"""clone3 makes a thread, clone a process; accept, open and their like count as one.

openat_proc is an open of a file of a process: as many as there are processes."""

MOST = {"openat_proc": 30}
"""So many of a kind are swept at most: how many there are differs from run to run."""

Tell = Callable[[Outcome], None]


def build(folder: Path) -> Path:
    """Compile the faults and return where they are."""
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def try_one(fault: Fault, library: Path) -> Outcome:
    """Try a fault in a folder of its own, which is kept if something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="jobd-fault-"))
    outcome = run(fault, library, folder)
    if outcome.wrong:
        outcome.log += f"\nkept: {folder}"
    else:
        shutil.rmtree(folder)
    return outcome


def count(call: str, library: Path) -> int:
    """Return how many calls of the kind a run without a fault makes."""
    outcome = try_one(Fault(call, "EIO", 0), library)
    assert outcome.calls, outcome.log
    assert not outcome.wrong, outcome.wrong
    return outcome.calls


def sweep(call: str, error: str, library: Path, start: int = 1) -> Iterator[Outcome]:
    """Give the trials for n = start, start + 1, … up to the first in which nothing failed."""
    at = start
    while True:
        outcome = try_one(Fault(call, error, at), library)
        yield outcome
        if not outcome.fired or at == MOST.get(call):
            return
        at += 1


def spread(total: int, many: int) -> list[int]:
    """Return so many numbers from 1 to `total`, the first and the last among them."""
    if total <= many:
        return list(range(1, total + 1))
    return (
        sorted({1 + round(n * (total - 1) / (many - 1)) for n in range(many)}) if many > 1 else [1]
    )
