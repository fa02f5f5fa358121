"""`ctx.heartbeat()` in real workers keeps a silent handler alive, and is sent now and then only."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Failed
from jobd.pool.settings import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import StartPool

MakeClaim = Callable[..., Claim]


@pytest.mark.parametrize(("kind", "lane"), [("test.beat", "cpu"), ("test.abeat", "io")])
async def test_who_beats_lives_until_its_time_is_over(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start_pool(cpu_workers=int(lane == "cpu"), io_workers=int(lane == "io"))
    pool.limits[kind] = AttemptLimits(heartbeat_timeout_s=0.5)

    outcome = await pool.run(claim(kind, lane=lane, timeout_s=1.5))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "timeout"


@pytest.mark.parametrize(("kind", "lane"), [("test.sleep", "cpu"), ("test.asleep", "io")])
async def test_who_does_not_beat_is_ended(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start_pool(cpu_workers=int(lane == "cpu"), io_workers=int(lane == "io"))
    pool.limits[kind] = AttemptLimits(heartbeat_timeout_s=0.5)

    outcome = await asyncio.wait_for(pool.run(claim(kind, {"seconds": 60}, lane=lane)), 30)

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "heartbeat_lost"
