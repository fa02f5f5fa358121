"""A job is with the daemon or with the worker, never with both, never with neither."""

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from jobd.pool.child_job import take
from jobd.pool.handover import Handover
from jobd.pool.protocol import Job


def job(token: str, folder: Path, size_bytes: int = 10) -> Job:
    return Job(
        token=token,
        number=1,
        job_id="job_1",
        kind="test.echo",
        attempt=1,
        max_attempts=3,
        timeout_s=1.0,
        args=b"x" * size_bytes,
        metadata={},
        traceparent=None,
        restored=None,
        scratch_dir=str(folder / token),
        artifacts_dir=str(folder),
    )


@pytest.fixture
async def handover() -> AsyncIterator[Handover]:
    handover = Handover()
    yield handover
    handover.close()


@pytest.fixture
def worker(handover: Handover) -> socket.socket:
    """The worker's end; the handover fixture closes the daemon's copy of it."""
    return socket.socket(fileno=os.dup(handover.worker_fd()))


def taken(worker: socket.socket) -> list[Job]:
    jobs: list[Job] = []
    with worker:
        while True:
            try:
                found = take(worker, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return jobs
            if found is None:
                return jobs
            jobs.append(found)


async def test_what_the_worker_took_cannot_be_taken_back(
    handover: Handover, worker: socket.socket, tmp_path: Path
) -> None:
    jobs = [job(token, tmp_path) for token in "abc"]
    for one in jobs:
        handover.send(one)

    first = take(worker)

    assert first == jobs[0]
    assert list(handover.take_back()) == ["b", "c"]
    assert taken(worker) == []


async def test_what_was_taken_back_can_be_given_again(
    handover: Handover, worker: socket.socket, tmp_path: Path
) -> None:
    handover.send(job("a", tmp_path))
    handover.give_again(handover.take_back().values())

    assert taken(worker) == [job("a", tmp_path)]


async def test_a_full_pair_keeps_the_rest_here_in_order(
    handover: Handover, worker: socket.socket, tmp_path: Path
) -> None:
    tokens = [f"{number:03}" for number in range(50)]
    for token in tokens:
        handover.send(job(token, tmp_path, size_bytes=50_000))

    assert list(handover.take_back()) == tokens
    assert taken(worker) == []


@pytest.mark.parametrize("size_bytes", [60_000, 65_536, 1_000_000])
async def test_a_long_job_goes_through_a_file(
    handover: Handover, worker: socket.socket, tmp_path: Path, size_bytes: int
) -> None:
    handover.send(sent := job("a", tmp_path, size_bytes))

    assert taken(worker) == [sent]
    assert (tmp_path / "a").exists() == (size_bytes > 60_000)


async def test_the_end_comes_behind_the_last_job(
    handover: Handover, worker: socket.socket, tmp_path: Path
) -> None:
    handover.send(sent := job("a", tmp_path))
    handover.finish()

    assert take(worker) == sent
    assert take(worker) is None
    worker.close()


async def test_metadata_counts_as_well(
    handover: Handover, worker: socket.socket, tmp_path: Path
) -> None:
    sent = msgspec.structs.replace(job("a", tmp_path), metadata={"note": "x" * 100_000})

    handover.send(sent)

    assert taken(worker) == [sent]
