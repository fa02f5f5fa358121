"""A worker's main that does what a test has planned for it when a step begins.

It dies there by SIGKILL, or waits for the word that its job has been cancelled. All else is
a worker's usual program (pool/child.py).
"""

import os
import signal
import sys
from pathlib import Path

import msgspec

from jobd.pool import child
from jobd.sdk.meter import Meter, Place
from jobd.testing.messages import Plan

PLAN = "JOBD_TESTING_PLAN"
"""The variable that names the folder with the plan and the pipe that the word comes by."""


def plan_in(folder: Path) -> Path:
    """Return where the plan is, if there is one."""
    return folder / "plan.json"


def word_in(folder: Path) -> Path:
    """Return the pipe (a FIFO) by which a waiting worker is told to go on."""
    return folder / "word"


def main(arguments: list[str]) -> None:
    """Serve as a worker, and obey the plan."""
    folder = Path(os.environ[PLAN])
    enter = Meter.enter

    def planned(meter: Meter, place: Place) -> None:
        enter(meter, place)
        _obey(folder, place)

    # the one place where a step is known to begin, whatever the lane; a worker made for tests
    # has no other way in, and the workers of a daemon have no such door
    Meter.enter = planned  # type: ignore[assignment,method-assign]
    child.main(arguments)


def _obey(folder: Path, place: Place) -> None:
    try:
        plan = msgspec.json.decode(plan_in(folder).read_bytes(), type=Plan)
    except FileNotFoundError:
        return
    step, index, _count = place
    if step != plan.step or plan.index not in (None, index):
        return
    plan_in(folder).unlink()
    if plan.crash:
        os.kill(os.getpid(), signal.SIGKILL)
    with word_in(folder).open("rb", buffering=0) as word:
        word.read(1)


if __name__ == "__main__":
    main(sys.argv[1:])
