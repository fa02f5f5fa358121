"""A claim is given back only while it waits: once its worker has it, it runs."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, NotStarted

if TYPE_CHECKING:
    from tests.pool.conftest import Pool

MakeClaim = Callable[..., Claim]


async def test_one_that_runs_is_not_recalled(pool: "Pool", claim: MakeClaim) -> None:
    running = claim("test.honour")
    outcome = await pool.begin(running)

    recalled = pool.supervisor.recall(running.token)
    going_on = not outcome.done()
    pool.supervisor.cancel(running.token)

    assert (recalled, going_on) == (False, True)
    assert isinstance(await outcome, CancelledByRequest)


async def test_one_that_no_worker_has_taken_is_recalled(pool: "Pool", claim: MakeClaim) -> None:
    pool.halt()
    waiting = claim("test.echo")
    outcome = pool.supervisor.begin(waiting)

    recalled = pool.supervisor.recall(waiting.token)
    await asyncio.wait([outcome])

    assert (recalled, outcome.result()) == (True, NotStarted())
