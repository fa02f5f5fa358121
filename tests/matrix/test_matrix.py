"""Promises 5 and 6: no fault takes anything from another job, and each one ends in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.client import Client
from jobd.wire.submission import SubmitRequest
from tests.matrix import run, traces
from tests.matrix.faults import FAULTS, Fault
from tests.matrix.matrix import Matrix, Watch, started

HELD = ("test.escape", "test.stop", "test.asleep", "test.aignore")
ORPHANS = 3
"""What the first two of them have started, in sessions and a process group of their own."""


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """One daemon for all faults: none may leave anything that is in the way of another."""
    matrix = Matrix(tmp_path_factory.mktemp("matrix"))
    yield matrix
    matrix.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_costs_its_own_job_alone(matrix: Matrix, fault: Fault) -> None:
    row = matrix.run(fault)

    print(run.line(row))  # noqa: T201 - shown with a failure
    assert row.faults_found() == []


def test_no_worker_and_no_helper_outlives_the_start_after_kill_9(tmp_path: Path) -> None:
    daemon = started(tmp_path)
    try:
        watch = Watch(daemon.socket)
        with Client(daemon.socket) as client:
            instance = client.status().value.instance_id
            requests = [SubmitRequest(kind=kind) for kind in HELD]
            jobs = [client.submit(request).value.job_id for request in requests]
        watch.until(lambda: all(watch.of(job_id, "job.progress") for job_id in jobs))
        before = traces.marked(instance)

        daemon.kill()
        daemon.start()
        after = traces.marked(instance)
    finally:
        daemon.close()
        watch.join()

    assert len(before) >= 2 + 1 + ORPHANS  # the workers: cpu, io
    assert after == {}
