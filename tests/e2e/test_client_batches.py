"""Batches as a program submits and follows them, against a daemon."""

from pathlib import Path

import pytest

from jobd.client import ApiError, Client, SubmitRequest
from jobd.client.batches import BatchDetail
from tests.e2e.conftest import Daemon

FAILING = SubmitRequest(kind="test.raise", max_attempts=1)


def ended(client: Client, batch: BatchDetail) -> BatchDetail:
    return client.batches.wait(batch.batch_id, timeout_s=30).value


def test_many_jobs_are_submitted_and_followed_as_one(daemon: Daemon) -> None:
    jobs = [SubmitRequest(kind="test.echo", args={"n": n}) for n in range(100)]
    with Client(daemon.socket) as client:
        first = client.batches.submit(jobs, idempotency_key="hundred")
        again = client.batches.submit(jobs, idempotency_key="hundred")
        batch = ended(client, first.value)
        listed = {job.job_id for job in client.jobs(batch_id=batch.batch_id, page_size=30)}

    assert (again.replayed, again.value.batch_id) == (True, batch.batch_id)
    assert (batch.jobs.completed, batch.partial, batch.errors) == (100, False, [])
    assert set(batch.job_ids) == listed


def test_lines_that_are_wrong_keep_no_other_back(daemon: Daemon, tmp_path: Path) -> None:
    lines = tmp_path / "jobs.ndjson"
    lines.write_text('{"kind":"test.echo"}\n\n{"kind":"test.slep"}\n{"kind":"test.echo"}')
    with Client(daemon.socket) as client:
        batch = ended(client, client.batches.submit(lines).value)
        with pytest.raises(ApiError, match="batch_rejected"):
            client.batches.submit(lines, atomic=True)

    assert (batch.total, batch.accepted, batch.rejected, batch.partial) == (3, 2, 1, True)
    assert [(error.line, error.code) for error in batch.errors] == [(3, "unknown_kind")]


def test_what_failed_of_a_batch_is_retried_as_another(daemon: Daemon) -> None:
    jobs = [FAILING, SubmitRequest(kind="test.echo"), FAILING]
    with Client(daemon.socket) as client:
        batch = ended(client, client.batches.submit(jobs).value)
        retried = client.batches.retry(batch.batch_id).value
        with pytest.raises(ApiError, match="nothing_to_retry"):
            client.batches.retry(batch.batch_id)
        newest = next(client.batches.all(page_size=1))
        again = ended(client, retried)

    assert (batch.jobs.failed, batch.jobs.completed) == (2, 1)
    assert (again.total, again.retry_of, newest.batch_id) == (2, batch.batch_id, again.batch_id)


def test_a_batch_is_cancelled(daemon: Daemon) -> None:
    jobs = [SubmitRequest(kind="test.sleep", args={"seconds": 60}) for _ in range(20)]
    with Client(daemon.socket) as client:
        batch = client.batches.submit(jobs).value
        client.batches.cancel(batch.batch_id)

        assert ended(client, batch).jobs.cancelled == 20
