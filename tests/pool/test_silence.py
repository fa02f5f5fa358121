"""An attempt that says nothing for too long, and a setup that does not come to its end."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Bystander, Completed, Failed, NotStarted
from jobd.pool.supervisor import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


@pytest.mark.parametrize(
    ("kind", "lane"), [("test.sleep", "cpu"), ("test.ignore_term", "cpu"), ("test.asleep", "io")]
)
async def test_an_attempt_that_falls_silent_is_ended(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start_pool(cpu_workers=int(lane == "cpu"), io_workers=int(lane == "io"))
    pool.limits[kind] = AttemptLimits(heartbeat_timeout_s=0.3)

    outcome = await pool.run(claim(kind, {"seconds": 60}, lane=lane))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("heartbeat_lost", True)
    assert outcome.error.message == "Nothing was heard of the attempt for 0.3 s."


async def test_an_attempt_that_says_something_goes_on(pool: "Pool", claim: MakeClaim) -> None:
    pool.limits["test.chat"] = AttemptLimits(heartbeat_timeout_s=1)

    outcome = await pool.run(claim("test.chat", {"turns": 8, "seconds": 0.2}))

    assert isinstance(outcome, Completed)


async def test_a_worker_that_takes_nothing_while_it_should_speak_is_replaced(
    pool: "Pool", claim: MakeClaim
) -> None:
    pool.limits["test.echo"] = AttemptLimits(heartbeat_timeout_s=0.1)
    first = pool.worker
    pool.halt()

    outcome = await pool.run(claim("test.echo"))
    await pool.ready()

    assert outcome == NotStarted()
    assert pool.worker.worker_id == first.worker_id + 1


async def test_a_setup_has_a_limit_of_its_own(pool: "Pool", claim: MakeClaim) -> None:
    pool.limits["test.stuck"] = AttemptLimits(setup_timeout_s=0.3)

    outcome = await pool.run(claim("test.stuck"))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("setup_timeout", True)
    assert outcome.error.message == "The handler was not set up within 0.3 s."


async def test_a_setup_takes_nothing_of_the_attempts_own_time(
    pool: "Pool", claim: MakeClaim
) -> None:
    pool.limits["test.slow"] = AttemptLimits(heartbeat_timeout_s=0.4)

    outcome = await pool.run(claim("test.slow", timeout_s=0.4))

    assert isinstance(outcome, Completed)


async def test_a_setup_that_hangs_in_an_io_worker_costs_its_neighbours_nothing(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    io_pool.limits["test.astuck"] = AttemptLimits(setup_timeout_s=0.3)
    other = await io_pool.begin(claim("test.asleep", lane="io"))

    outcome = await io_pool.run(claim("test.astuck", lane="io"))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "setup_timeout"
    async with asyncio.timeout(10):
        assert isinstance(await other, Bystander)
