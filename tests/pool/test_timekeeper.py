"""The limits of a worker's attempts are kept by one timer, and none is forgotten."""

import asyncio
from collections.abc import Callable

from jobd.domain.jobs import Claim
from jobd.pool.attempt import Attempt
from jobd.pool.settings import AttemptLimits
from jobd.pool.timekeeper import Timekeeper


async def test_limits_are_reached_in_their_order_and_not_by_those_that_ended(
    claim: Callable[..., Claim],
) -> None:
    limits_s = [0.05, 0.001, 0.02, 0.03, 0.001]
    attempts = [
        Attempt(claim("test.echo", timeout_s=limit_s), number, AttemptLimits())
        for number, limit_s in enumerate(limits_s)
    ]
    reached = asyncio.Queue[tuple[int, str]]()
    keeper = Timekeeper(
        None,
        attempts=lambda: attempts,
        read=lambda: None,
        overran=lambda attempt, reason: reached.put_nowait((attempt.number, reason)),
    )

    for attempt in attempts:
        keeper.begin(attempt)
    attempts.pop(3)
    attempts[1].stop_timers()

    assert [await reached.get() for _ in range(3)] == [
        (4, "timeout"),
        (2, "timeout"),
        (0, "timeout"),
    ]
    assert reached.empty()
