"""A sample of the syscall faults: the daemon serves on, refuses, or ends and says why."""

from pathlib import Path

import pytest

from tests.syscalls import calls, nursery
from tests.syscalls.trial import Fault, Means

SAMPLE = (
    Fault("fdatasync", "EIO", 1),  # the first transaction there is
    Fault("fdatasync", "EIO", 24),  # while it serves
    Fault("fsync", "EIO", 7),  # the folder of the database
    Fault("fsync", "EIO", 8),  # an upload
    Fault("fsync", "EIO", 10),  # the folder it is put into
    Fault("pwrite64", "EIO", 150),
    Fault("pwrite64", "ENOSPC", 100),
    Fault("pread64", "EIO", 35),  # while it starts, behind the opening of the database
    Fault("openat", "EMFILE", 40),  # a result that is asked for
    Fault("write", "ENOSPC", 1),
    Fault("accept4", "EMFILE", 3),
    Fault("clone3", "EAGAIN", 2),
    Fault("clone", "ENOMEM", 1),
)


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Means:
    return Means(calls.build(tmp_path_factory.mktemp("faults")))


@pytest.mark.needs("cc")
@pytest.mark.parametrize("fault", SAMPLE, ids=str)
def test_a_call_that_fails_makes_nobody_lie(fault: Fault, means: Means) -> None:
    outcome = calls.try_one(fault, means)

    assert outcome.wrong == [], outcome.log
    assert outcome.fired


@pytest.mark.needs("cc")
def test_the_wal_that_cannot_be_read_is_an_io_error_and_no_damage(means: Means) -> None:
    outcome = calls.try_one(Fault("pread64", "EIO", 60, lasts=True), means)

    assert outcome.wrong == [], outcome.log
    assert (Path(outcome.fired).name, outcome.end) == ("jobd.db-wal", 74)


@pytest.mark.needs("cc")
def test_a_nursery_forks_daemons_that_fail_alike(means: Means) -> None:
    fault = Fault("fsync", "EIO", 7)
    with nursery.opened(means.library) as path:
        forked = calls.try_one(fault, Means(means.library, path))

    assert (Path(forked.fired).name, forked.starting, forked.end) == ("state", True, 74)
    assert forked.wrong == []


@pytest.mark.needs("cc")
def test_behind_the_last_call_nothing_fails(means: Means) -> None:
    (outcome,) = calls.sweep(Fault("write", "ENOSPC", 0), means, 1000)

    assert (outcome.fired, outcome.end, outcome.wrong) == ("", 0, [])
    assert outcome.calls > 0
