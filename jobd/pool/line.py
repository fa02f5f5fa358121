"""What one worker was handed and has not ended, in order: who runs, who waits, who may come.

A cpu worker sends its reply to one job before it takes the next: the first in line runs as
soon as its worker takes it, and its time counts from when the one before it had ended. The
others are short jobs, to be at hand. When the first takes longer than OVERRUN_S, or many have
taken as long together, they are not to wait any more: another worker has them if one is idle.

Not here: the sockets (handover.py), limits of time (timekeeper.py), the end of one that runs
(worker.py).
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator

from jobd.domain.catalog import Lane
from jobd.pool.attempt import Attempt
from jobd.pool.handover import Handover

OVERRUN_S = 0.02
"""How long one may run while others wait behind it, and how long these wait at most."""
_WHOLE = 1.0


class Line:
    """One worker's."""

    def __init__(
        self,
        lane: Lane,
        *,
        handover: Handover,
        read: Callable[[], None],
        begun: Callable[[Attempt], None],
        given_back: Callable[[Attempt], None],
        passed_on: Callable[[Attempt], bool],
    ) -> None:
        """Begin with nobody.

        `read` takes in what the worker has said by now, `begun` is called for each attempt
        when its time begins. Those that are taken back are given to `passed_on` if another
        worker may have them, and to `given_back` if none has.
        """
        self._in_order = lane == "cpu"
        self._handover = handover
        self._read, self._begun = read, begun
        self._given_back, self._passed_on = given_back, passed_on
        self._open = True
        self._attempts: dict[str, Attempt] = {}
        self._load = 0.0
        self._late = False
        self._known: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        """Go through them in order; they may change meanwhile."""
        return iter(tuple(self._attempts.values()))

    def get(self, token: str) -> Attempt | None:
        """Return the one that holds this lease, if it is here."""
        return self._attempts.get(token)

    @property
    def first(self) -> Attempt:
        """The one that runs, or is next; there must be one."""
        return next(iter(self._attempts.values()))

    @property
    def room(self) -> float:
        """How much more short work may be here, as a share of what may be at most."""
        return 0.0 if self._late or not self._known else _WHOLE - self._load

    def knows(self, kind: str) -> bool:
        """Whether the worker has run the kind: nothing is to be imported or set up for it."""
        return kind in self._known

    def learned(self, kind: str) -> None:
        """Take note that the worker has run a kind."""
        self._known.add(kind)

    def join(self, attempt: Attempt) -> None:
        """Add one at the end."""
        self._attempts[attempt.claim.token] = attempt
        self._load += _WHOLE if attempt.share is None else attempt.share

    def handed(self, attempt: Attempt) -> None:
        """Take note that the worker can take it now."""
        if self._in_order and attempt is not self.first:
            if self._timer is None:
                self._look_in(OVERRUN_S)
        else:
            self._begun(attempt)

    def leave(self, attempt: Attempt) -> None:
        """Take one out that has ended; if it was the first, the next one begins."""
        was_first = attempt is self.first
        del self._attempts[attempt.claim.token]
        self._load -= _WHOLE if attempt.share is None else attempt.share
        if not self._attempts:
            self._load, self._late = 0.0, False
        elif was_first and self._in_order:
            self._late = False
            self.first.begin()
            if self._open:
                self._begun(self.first)

    def shed(self) -> None:
        """Take back who waits behind the first of a cpu worker; they were not started."""
        if self._open and self._in_order and len(self._attempts) > 1:
            for attempt in self._behind():
                self._given_back(attempt)

    def recall(self, attempt: Attempt) -> bool:
        """Take one back that was not started; False if it was, or its worker leaves."""
        waits = self._open and self._handover.take_out(attempt.claim.token)
        if waits:
            self._given_back(attempt)
        return waits

    def pass_on(self, tokens: Iterable[str]) -> None:
        """Have those that were taken back run elsewhere, at once if a worker is idle."""
        for token in tokens:
            if (attempt := self._attempts.get(token)) and not self._passed_on(attempt):
                self._given_back(attempt)

    def close(self) -> None:
        """Look no more and hand nothing over: the worker is dead, or leaves."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._read()
        if len(self._attempts) > 1:
            # the second has waited since it was handed over
            since_s = min(one.began_s for one in itertools.islice(self._attempts.values(), 2))
            rest_s = since_s + OVERRUN_S - asyncio.get_running_loop().time()
            if rest_s > 0:
                self._look_in(rest_s)
            else:
                self._late = True
                self.pass_on([attempt.claim.token for attempt in self._behind()])

    def _behind(self) -> list[Attempt]:
        """Take back who waits behind the first."""
        tokens = self._handover.take_back(but=self.first.claim.token)
        return [attempt for token in tokens if (attempt := self._attempts.get(token))]
