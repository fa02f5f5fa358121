"""Which queues have queued jobs, by lane, in the order in which they are served next.

Kept in memory so that a claim asks no queue in vain. A queue too many costs one statement;
one too few would starve its jobs, so only a claim that found the queue's end removes it.
A queue that may not start anything, paused or at its limit, is set aside in all lanes, or
the writer would look at it again and again; whatever can change that frees it. A queue whose
next job wants an idle worker keeps its place, and nothing of the cpu lane is claimed ahead
of one until it has been served. That a queue is open, neither paused nor limited, is kept
too: only the writer changes it.

Not here: the claim (claims.py), the look at the start (`queues_with_work` in claims.sql),
whether a queue may start something (queues.py).
"""

from collections.abc import Iterable, Mapping
from typing import Self

from jobd.domain.catalog import Lane

_MOST_OPEN = 100
"""Queues that are known to be open; each transaction has a copy."""


class Ready:
    """Queues with work; a queue that was served goes to the back of its lane."""

    def __init__(
        self,
        queues: Iterable[tuple[Lane, str]] = (),
        aside: Mapping[str, frozenset[Lane]] | None = None,
    ) -> None:
        self._lanes: dict[Lane, dict[str, None]] = {"cpu": {}, "io": {}}
        self._aside = dict(aside or {})
        self._waits = False
        self._open = set[str]()
        for lane, queue in queues:
            self.add(lane, queue)

    def add(self, lane: Lane, queue: str) -> None:
        """Note that the queue has a job; keeps its place if it had one, also aside."""
        if queue in self._aside:
            self._aside[queue] |= {lane}
        else:
            self._lanes[lane].setdefault(queue)

    def served(self, lane: Lane, queue: str, *, empty: bool) -> None:
        """Move a queue that was claimed from to the back, or out if that was its end."""
        if lane == "cpu":
            self._waits = False
        del self._lanes[lane][queue]
        if not empty:
            self._lanes[lane][queue] = None

    def waits(self) -> None:
        """Note that the next job of a queue of the cpu lane wants an idle worker."""
        self._waits = True

    def set_aside(self, queue: str) -> None:
        """Serve the queue in no lane until it is freed."""
        lanes = [lane for lane, queues in self._lanes.items() if queue in queues]
        self._waits = False
        for lane in lanes:
            del self._lanes[lane][queue]
        self._aside[queue] = frozenset(lanes)

    def freed(self, queue: str) -> None:
        """Serve a queue again: call when a job of it stopped running.

        Does nothing for a queue that is not aside, and no harm to one that still may not
        start anything: the next claim sets it aside again.
        """
        for lane in sorted(self._aside.pop(queue, ())):
            self._lanes[lane][queue] = None

    def is_open(self, queue: str) -> bool:
        """Whether a claim found that nothing limits the queue, and its rules are the same."""
        return queue in self._open

    def opened(self, queue: str) -> None:
        """Note that the queue is neither paused nor limited."""
        if len(self._open) >= _MOST_OPEN:
            self._open.clear()
        self._open.add(queue)

    def changed(self, queue: str) -> None:
        """Serve a queue again by the rules that it has now."""
        self._open.discard(queue)
        self.freed(queue)

    def is_aside(self, queue: str) -> bool:
        """Whether a claim found that nothing of the queue may start."""
        return queue in self._aside

    def queues(self, lane: Lane) -> list[str]:
        """Return the lane's queues, the next to be served first."""
        return list(self._lanes[lane])

    @property
    def has_work(self) -> bool:
        """Whether some lane has a queue with work."""
        return bool(self._lanes["cpu"] or self._lanes["io"])

    def claimable(self, free: Mapping[Lane, int], *, ahead: bool = False) -> bool:
        """Whether some lane has both a free slot, or room ahead, and a queue with work."""
        if ahead and self._lanes["cpu"] and not self._waits:
            return True
        return any(n > 0 and self._lanes[lane] for lane, n in free.items())

    @property
    def may_go_ahead(self) -> bool:
        """Whether no queue of the cpu lane waits for an idle worker."""
        return not self._waits

    def copy(self) -> Self:
        """Return one that can change without this one."""
        copy = type(self)(aside=self._aside)
        copy._lanes = {lane: queues.copy() for lane, queues in self._lanes.items()}  # noqa: SLF001
        copy._waits, copy._open = self._waits, self._open.copy()  # noqa: SLF001 - its own kind
        return copy
