"""Claims that may not run in just any worker, while they wait for one that suits them.

A job that has crashed before runs in a cpu worker that has run nothing: what an earlier job
left behind there must not be charged to it again. A job that has lost its io worker to its
neighbours too often runs in one alone. Nobody waits for ever: after WAIT_LIMIT_S, and when
the pool takes no more, the claim was not started.

Not here: providing such workers (supervisor.py).
"""

import asyncio
from collections.abc import Callable

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import NotStarted, Outcome
from jobd.pool.attempt import Attempt

ALONE_FROM_RELEASED = 3
WAIT_LIMIT_S = 60.0

Begun = asyncio.Future[Attempt | Outcome]
"""The attempt when it was begun, or why it was not."""


def runs_apart(claim: Claim) -> bool:
    """Whether not any worker of its lane will do."""
    return claim.crashes > 0 if claim.lane == "cpu" else claim.released >= ALONE_FROM_RELEASED


class _Waiting(msgspec.Struct, frozen=True):
    claim: Claim
    begun: Begun
    timer: asyncio.TimerHandle


class Apart:
    """Those that wait, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}

    def count(self, lane: Lane) -> int:
        """Return how many wait in a lane."""
        return sum(waiting.claim.lane == lane for waiting in self._waiting.values())

    def wait(self, claim: Claim) -> Begun:
        """Have a claim wait."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(WAIT_LIMIT_S, self.dismiss, claim.token, NotStarted())
        begun: Begun = loop.create_future()
        self._waiting[claim.token] = _Waiting(claim, begun, timer)
        return begun

    def serve(self, begin: Callable[[Claim], Attempt | None]) -> None:
        """Begin those for which there is a worker now."""
        for waiting in list(self._waiting.values()):
            if attempt := begin(waiting.claim):
                self._leave(waiting, attempt)

    def dismiss(self, token: str, outcome: Outcome) -> bool:
        """End the wait of one without a run; False if it does not wait."""
        waiting = self._waiting.get(token)
        if waiting is None:
            return False
        self._leave(waiting, outcome)
        return True

    def dismiss_all(self) -> None:
        """End every wait: the pool takes no more."""
        for token in list(self._waiting):
            self.dismiss(token, NotStarted())

    def _leave(self, waiting: _Waiting, begun: Attempt | Outcome) -> None:
        del self._waiting[waiting.claim.token]
        waiting.timer.cancel()
        waiting.begun.set_result(begun)
