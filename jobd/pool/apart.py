"""Claims that may not run in just any worker, while they wait for one that suits them.

A job that has crashed before runs in a cpu worker that has run nothing: what an earlier job
left behind there must not be charged to it again. A job that has lost its io worker to its
neighbours too often runs in one alone. A kind that has cost an io worker runs for an hour
in one of its own. Nobody waits for ever: after WAIT_LIMIT_S, and when the pool takes no
more, the claim was not started.

Not here: providing such workers (supervisor.py, crew.py).
"""

import asyncio
from collections.abc import Callable

import msgspec

from jobd.domain.ahead import ALONE_FROM_RELEASED
from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import NotStarted, Outcome
from jobd.pool.attempt import Attempt

WAIT_LIMIT_S = 60.0
QUARANTINE_S = 3600.0

Begun = asyncio.Future[Attempt | Outcome]
"""The attempt when it was begun, or why it was not."""


class Room(msgspec.Struct, frozen=True):
    """What sort of worker a claim has to have; an io worker may be open to one sort alone."""

    lane: Lane
    kind: str | None = None
    """In the io lane: whose jobs share the worker; None: nobody shares it."""


FRESH = Room("cpu")
ALONE = Room("io")


class _Waiting(msgspec.Struct, frozen=True):
    claim: Claim
    room: Room
    begun: Begun
    timer: asyncio.TimerHandle


class Apart:
    """Those that wait, oldest first, and the kinds that are kept from others."""

    def __init__(self, *, changed: Callable[[], None]) -> None:
        """Begin with nobody; `changed` is called when a kind may be among the others again."""
        self._waiting: dict[str, _Waiting] = {}
        self._kept_apart: dict[str, asyncio.TimerHandle] = {}
        self._changed = changed

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def room_of(self, claim: Claim) -> Room | None:
        """Return what a claim has to have; None: any worker of its lane will do."""
        if claim.lane == "cpu":
            return FRESH if claim.crashes > 0 else None
        if claim.released >= ALONE_FROM_RELEASED:
            return ALONE
        return Room("io", claim.kind) if claim.kind in self._kept_apart else None

    def keep(self, kind: str) -> None:
        """Keep an io kind from others for a while."""
        if known := self._kept_apart.get(kind):
            known.cancel()
        loop = asyncio.get_running_loop()
        self._kept_apart[kind] = loop.call_later(QUARANTINE_S, self._forgive, kind)

    def needs(self, room: Room) -> bool:
        """Whether a worker that is open to one sort alone has anything to stay for."""
        waited_for = any(waiting.room == room for waiting in self._waiting.values())
        return waited_for or room.kind in self._kept_apart

    def count(self, lane: Lane) -> int:
        """Return how many wait in a lane."""
        return sum(waiting.room.lane == lane for waiting in self._waiting.values())

    def wait(self, room: Room, claim: Claim) -> Begun:
        """Have a claim wait."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(WAIT_LIMIT_S, self.dismiss, claim.token, NotStarted())
        begun: Begun = loop.create_future()
        self._waiting[claim.token] = _Waiting(claim, room, begun, timer)
        return begun

    def serve(self, begin: Callable[[Room, Claim], Attempt | None]) -> None:
        """Begin those for which there is a worker now."""
        for waiting in list(self._waiting.values()):
            if attempt := begin(waiting.room, waiting.claim):
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
        for timer in self._kept_apart.values():
            timer.cancel()
        self._kept_apart.clear()

    def _forgive(self, kind: str) -> None:
        del self._kept_apart[kind]
        self._changed()

    def _leave(self, waiting: _Waiting, begun: Attempt | Outcome) -> None:
        del self._waiting[waiting.claim.token]
        waiting.timer.cancel()
        waiting.begun.set_result(begun)
