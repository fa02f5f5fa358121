"""A job that takes more memory than it may is ended at once; what it only maps is not counted."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Failed, Interrupted
from jobd.pool import memory
from jobd.pool.supervisor import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]

LIMIT = AttemptLimits(memory_bytes=150 << 20, handler="jobd-test-plugin 1.0")


@pytest.mark.parametrize(("kind", "step"), [("test.hog", "grow"), ("test.litter", None)])
async def test_a_job_that_takes_too_much_memory_is_ended(
    pool: "Pool", claim: MakeClaim, kind: str, step: str | None
) -> None:
    pool.limits[kind] = LIMIT

    outcome = await pool.run(claim(kind, {"mb": 200}))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("memory_limit", True)
    assert outcome.error.message == "The attempt used more than its 150 MiB of memory."
    assert outcome.evidence["peak_rss_bytes"] > 150 << 20
    assert outcome.evidence["signal"] == "SIGKILL"
    assert outcome.evidence["handler"] == LIMIT.handler
    assert outcome.error.failed_step == step


async def test_what_is_mapped_and_not_touched_is_left_alone(pool: "Pool", claim: MakeClaim) -> None:
    pool.limits["test.reserve"] = LIMIT

    outcome = await pool.run(claim("test.reserve", {"seconds": 0.7}))

    assert isinstance(outcome, Completed)


async def test_one_that_was_cancelled_and_still_grows_is_ended_as_cancelled(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(kill_grace_s=30)
    pool.limits["test.grandchild"] = AttemptLimits(memory_bytes=10 << 20)
    task = await pool.begin(running := claim("test.grandchild"))

    pool.supervisor.cancel(running.token)

    async with asyncio.timeout(10):
        assert isinstance(await task, CancelledByRequest)


async def test_nobody_looks_while_no_job_has_a_limit(
    pool: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(memory, "tree_rss_bytes", looks.append)
    task = await pool.begin(claim("test.sleep", {"seconds": 0.6}))

    await task

    assert looks == []


def test_the_memory_of_a_tree_is_that_of_all_in_it() -> None:
    hog = "import sys; kept = b'x' * (50 << 20); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hog],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        own, both = memory.rss_bytes(os.getpid()), memory.tree_rss_bytes(os.getpid())
        listed, searched = memory.listed_children(os.getpid()), memory.searched_children()

    assert own is not None
    assert both >= own + (50 << 20)
    assert sorted(listed) == sorted(searched(os.getpid()))
    assert child.pid in listed


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    gone = 2**22 + 1  # above the highest pid there can be

    assert memory.rss_bytes(gone) is None
    assert memory.tree_rss_bytes(gone) == 0
    assert memory.peak_rss_bytes(gone) is None
    assert memory.cpu_seconds(gone) is None


async def test_the_drain_ends_a_job_with_a_limit_as_any_other(
    pool: "Pool", claim: MakeClaim
) -> None:
    pool.limits["test.hog"] = LIMIT
    task = await pool.begin(claim("test.hog", {"mb": 20}))

    await pool.supervisor.drain(0)

    assert isinstance(await task, Interrupted)
