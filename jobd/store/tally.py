"""How many jobs wait, and for what, kept by adding up what transactions change.

Counting a million rows takes a good part of a second; a limit on each submission and an
estimate in each answer cannot wait for that. Each transaction notes what it moves; what
was there before the daemon started is counted once, beside its work (`Writer.count`).

Not here: the limits (rules.py), where they are held against it (admission.py).
"""

from collections import Counter
from collections.abc import Hashable
from typing import Self, TypeVar

from jobd.domain.catalog import Lane
from jobd.domain.statuses import TERMINAL, Status

K = TypeVar("K", bound=Hashable)


class Counts(Counter[K]):
    """An empty Counter, at a part of what one costs to make: each transaction makes three."""

    def __init__(self) -> None:
        """Take nothing in."""


_WAITING = frozenset({Status.SCHEDULED, Status.QUEUED, Status.RETRYING})


class Tally:
    """Counts, or what one transaction changes in them.

    Until it is `known` it holds the changes since the start only, and they may be negative.
    """

    def __init__(self) -> None:
        self.known = False
        """Whether what was there before the start is in it."""
        self.waiting = Counts[str]()
        """Jobs that neither run nor are over, by principal."""
        self.queued = Counts[tuple[Lane, str]]()
        """By lane and queue."""
        self.statuses = Counts[Status]()
        """Jobs that are not over, by status."""
        self.finished = 0

    def moved(
        self,
        principal: str,
        lane: Lane,
        queue: str,
        old: Status | None,
        new: Status | None,
        *,
        jobs: int = 1,
    ) -> None:
        """Note the move of a job, or of some; None is before the insert and after the deletion."""
        if old is not None:
            self.there_are(-jobs, principal, lane, queue, old)
        if new is not None:
            self.there_are(jobs, principal, lane, queue, new)

    def there_are(self, more: int, principal: str, lane: Lane, queue: str, status: Status) -> None:
        """Note that `more` jobs, or fewer, have this status."""
        if status in TERMINAL:
            self.finished += more
            return
        self.statuses[status] += more
        if status in _WAITING:
            self.waiting[principal] += more
        if status is Status.QUEUED:
            self.queued[lane, queue] += more

    @property
    def all_waiting(self) -> int:
        """Jobs that neither run nor are over."""
        of = self.statuses
        return of[Status.SCHEDULED] + of[Status.QUEUED] + of[Status.RETRYING]

    def add(self, other: "Tally") -> None:
        """Take the changes, or the counts, of another one in."""
        self._take(other, 1)

    def subtract(self, other: "Tally") -> None:
        """Take the changes of another one out again."""
        self._take(other, -1)

    def copy(self) -> Self:
        """Return one that can change without this one."""
        other = type(self)()
        other.known = self.known
        other.add(self)
        return other

    def _take(self, other: "Tally", sign: int) -> None:
        _sum(self.waiting, other.waiting, sign)
        _sum(self.queued, other.queued, sign)
        _sum(self.statuses, other.statuses, sign)
        self.finished += sign * other.finished


def _sum(counts: Counts[K], changes: Counts[K], sign: int) -> None:
    for key, change in changes.items():
        counts[key] += sign * change
        if not counts[key]:  # of principals and queues that are gone nothing stays
            del counts[key]
