"""A sample of the syscall faults: the daemon serves on, refuses, or ends and says why."""

from pathlib import Path

import pytest

from tests.syscalls import calls
from tests.syscalls.trial import Fault

SAMPLE = (
    Fault("fdatasync", "EIO", 1),  # the first transaction there is
    Fault("fdatasync", "EIO", 24),  # while it serves
    Fault("fsync", "EIO", 7),  # an upload
    Fault("fsync", "EIO", 9),  # the folder it is put into
    Fault("pwrite64", "EIO", 150),
    Fault("pwrite64", "ENOSPC", 100),
    Fault("pread64", "EIO", 35),  # while it starts, behind the opening of the database
    Fault("openat", "EMFILE", 38),  # a result that is asked for
    Fault("write", "ENOSPC", 1),
    Fault("accept4", "EMFILE", 3),
    Fault("clone3", "EAGAIN", 2),
    Fault("clone", "ENOMEM", 1),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calls.build(tmp_path_factory.mktemp("faults"))


@pytest.mark.needs("cc")
@pytest.mark.parametrize("fault", SAMPLE, ids=str)
def test_a_call_that_fails_makes_nobody_lie(fault: Fault, library: Path) -> None:
    outcome = calls.try_one(fault, library)

    assert outcome.wrong == [], outcome.log
    assert outcome.fired


@pytest.mark.needs("cc")
def test_behind_the_last_call_nothing_fails(library: Path) -> None:
    (outcome,) = calls.sweep("write", "ENOSPC", library, 1000)

    assert (outcome.fired, outcome.end, outcome.wrong) == ("", 0, [])
    assert outcome.calls > 0
