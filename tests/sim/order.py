"""Who was handed over before whom: what a claim has put in front stays in front.

Claims of one batch and of one after another come in the order of their queue. In one worker
nobody overtakes. Over two of them it may be that a later one finds an idle worker while an
earlier one waits behind a job that takes longer than was thought: but not for longer than
such a one may keep those behind it.

Not here: the order of the claims themselves (oracle.py).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from jobd.domain.ahead import stands_alone
from jobd.pool.line import OVERRUN_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.domain.jobs import Claim

OVERTAKEN_S = OVERRUN_S + 0.05
"""That, and the time in which the jobs in front of one may each be a little slow."""


class _Waiting(NamedTuple):
    claim: Claim
    number: int
    """Which one of all that were handed over."""
    key: tuple[int, int]
    worker: int
    since_s: list[float]
    """When it was overtaken, if it was."""


class Order:
    """Of the claims of one daemon."""

    def __init__(self, wrong: Callable[[str], None], time: Callable[[], float]) -> None:
        self._wrong, self._time = wrong, time
        self._waiting: dict[str, _Waiting] = {}
        self._numbers = itertools.count(1)

    def handed(self, claim: Claim, priority: int, worker: int) -> None:
        """Note that a worker was handed a claim, perhaps one that another had before."""
        known = self._waiting.get(claim.token)
        if known is not None:
            self._waiting[claim.token] = known._replace(worker=worker)
        elif claim.lane == "cpu" and not stands_alone(claim):
            key = priority, claim.seq
            self._waiting[claim.token] = _Waiting(claim, next(self._numbers), key, worker, [])

    def began(self, token: str) -> None:
        """Note that a worker has begun one, and judge who was in front of it."""
        one = self._left(token)
        if one is None:
            return
        for earlier in self._waiting.values():
            in_front = earlier.number < one.number and earlier.key < one.key
            if not in_front or earlier.claim.queue != one.claim.queue:
                continue
            if earlier.worker == one.worker:
                self._wrong(f"job {one.claim.seq} began before {earlier.claim.seq} in one worker")
            earlier.since_s.append(self._time())

    def given_back(self, token: str) -> None:
        """Note that one did not begin."""
        self._left(token)

    def _left(self, token: str) -> _Waiting | None:
        one = self._waiting.pop(token, None)
        if one is not None and one.since_s:
            waited_s = self._time() - one.since_s[0]
            if waited_s > OVERTAKEN_S:
                self._wrong(f"job {one.claim.seq} was overtaken for {waited_s:.3f} s")
        return one
