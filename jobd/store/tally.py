"""How many jobs wait, and for what, kept by adding up what transactions change.

Counting a million rows takes a good part of a second; a limit on each submission and an
estimate in each answer cannot wait for that. Each transaction notes what it moves.

Not here: the limits (rules.py), where they are held against it (jobs.py).
"""

from collections import Counter

from jobd.domain.catalog import Lane
from jobd.domain.statuses import TERMINAL, Status

_WAITING = frozenset({Status.SCHEDULED, Status.QUEUED, Status.RETRYING})


class Tally:
    """Counts, or what one transaction changes in them."""

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        """Jobs that neither run nor are over, by principal."""
        self.queued: Counter[tuple[Lane, str]] = Counter()
        """By lane and queue."""
        self.finished = 0

    def moved(
        self, principal: str, lane: Lane, queue: str, old: Status | None, new: Status | None
    ) -> None:
        """Note a job's move; None is before its insert and after its deletion."""
        change = (new in _WAITING) - (old in _WAITING)
        if change:
            self.waiting[principal] += change
        change = (new is Status.QUEUED) - (old is Status.QUEUED)
        if change:
            self.queued[lane, queue] += change
        self.finished += (new in TERMINAL) - (old in TERMINAL)
