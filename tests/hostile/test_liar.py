"""What a worker says is not believed: whatever it is, its job ends, and nothing else breaks."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.statuses import TERMINAL, Status
from jobd.pool.supervisor import Settings, Supervisor
from tests.engine.conftest import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobd.domain.jobs import Job
    from tests.engine.conftest import Engine

JOBS = 130
"""Of the first of them the plain lies are told, of the others any."""
_WARM = 60
GROWTH_BYTES = 16 * 1024 * 1024
"""Two of the longest lies may be under way; what they need is kept by malloc."""


@pytest.fixture
async def deceived(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with two workers that lie."""
    async with opened(tmp_path) as engine:
        engine.know_kinds()
        lock = os.open(tmp_path / "workers.lock", os.O_RDWR | os.O_CREAT)
        supervisor = Supervisor(
            Settings(
                cpu_workers=2,
                io_workers=0,
                io_concurrency=1,
                kill_grace_s=0.5,
                allow_paths=(),
                inline_result_bytes=65536,
                result_bytes=200_000,
                artifact_bytes=1_000_000,
                log_level="info",
                mark=f"liar{os.getpid()}:1",
                program="tests.hostile.liar",
            ),
            scratch=engine.layout.scratch,
            artifacts=engine.layout.artifacts,
            uploads=engine.layout.uploads,
            listener=engine.dispatcher,
            workers_lock_fd=lock,
        )
        await supervisor.start()
        engine.dispatcher.start(supervisor, engine.writer)
        yield engine
        engine.dispatcher.pause()
        await supervisor.drain(0)
        assert await engine.dispatcher.settled(5)
        await supervisor.close()
        os.close(lock)


async def ended(engine: Engine, seed: int) -> str:
    """Run a job of which the worker says what this seed makes it say; return how it ended."""
    return (await run(engine, {"seed": seed})).status


async def run(engine: Engine, args: dict[str, Any]) -> Job:
    """Run a job with a time limit of a second; return what has become of it."""
    job = await engine.submit("test.echo", args=args, max_attempts=1, timeout_s=1)
    with engine.bus.watch(job.seq) as watch:
        while (job := await engine.job(job.job_id)).status not in TERMINAL:
            if job.status is Status.RETRYING:  # it has snoozed, perhaps for years
                await engine.commands.cancel(job.job_id)
            else:
                await watch.next()
    return job


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def memory_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(20)
async def test_a_setup_that_begins_again_and_again_prolongs_no_limit(deceived: Engine) -> None:
    job = await run(deceived, {"never_ends": True})

    assert (job.status, job.error and job.error.code) == ("failed", "timeout")


@pytest.mark.timeout(120)
async def test_every_job_ends_whatever_its_worker_says(
    deceived: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broken: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))

    how = [await ended(deceived, seed) for seed in range(_WARM)]
    before, memory_before = descriptors(), memory_bytes()
    how += [await ended(deceived, seed) for seed in range(_WARM, JOBS)]
    how += [await ended(deceived, seed) for seed in range(_WARM)]

    assert memory_bytes() - memory_before < GROWTH_BYTES
    assert descriptors() <= before + 2  # a worker may be on its way out, another one in
    assert broken == []
    assert [r for r in caplog.records if r.exc_info or r.levelno > logging.WARNING] == []
    assert {"completed", "failed"} <= set(how)
