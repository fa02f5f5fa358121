"""How jobs end that somebody waits for: known from what is written, without reading it back.

Only of the usual case: a new job, one attempt, a short result, and nothing else happened to
it. Of all others nothing is said, and who waits reads the job.

Not here: waiting (api/waiting.py), what is written about an end (store/jobs.py).
"""

from collections import defaultdict
from types import TracebackType
from typing import Self

from jobd.bus import Bus
from jobd.domain.events import Event
from jobd.domain.jobs import Claim, Job, NewJob, Settlement
from jobd.domain.statuses import Status
from jobd.engine.stored import as_completed

_LONGEST_BYTES = 64 * 1024
"""Of a result that is kept until its commit is done."""

_BEGUN = frozenset({"job.queued", "job.processing"})


class Ending:
    """The end of one new job; a context manager, as it must be closed."""

    def __init__(self, of: "Endings", bus: Bus, new: NewJob, seq: int) -> None:
        self._of = of
        self._bus = bus
        self._new = new
        self._seq = seq
        self._attempts: list[tuple[Claim, Settlement]] = []
        self._completed: Event | None = None
        self._is_usual = new.retry_of is None and new.run_at_ms is None

    def __enter__(self) -> Self:
        """Begin: what is published after this is not missed."""
        self._of.add(self._seq, self)
        self._bus.add(self._seq, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bus.remove(self._seq, self._receive)
        self._of.remove(self._seq, self)

    def _receive(self, event: Event) -> None:
        if event.type == "job.completed":
            self._completed = event
        elif event.type not in _BEGUN:
            self._is_usual = False

    def settles(self, claim: Claim, settlement: Settlement) -> None:
        """Note how an attempt ended; it may not be written yet, or never."""
        self._attempts.append((claim, settlement))

    def job(self) -> Job | None:
        """Return the job as it stands in the file, with all its details; None if unknown."""
        event = self._completed
        if event is None or not self._is_usual or len(self._attempts) != 1:
            return None
        ((claim, settlement),) = self._attempts
        if claim.attempt != 1 or event.attempt != 1 or not _is_short(settlement):
            return None
        return as_completed(self._new, claim, settlement, event)


def _is_short(settlement: Settlement) -> bool:
    if settlement.status is not Status.COMPLETED:
        return False
    result = settlement.result
    return result is None or (bool(result.body) and result.size_bytes <= _LONGEST_BYTES)


class Endings:
    """Those of the jobs that somebody waits for."""

    def __init__(self) -> None:
        self._awaited: defaultdict[int, list[Ending]] = defaultdict(list)

    def of(self, new: NewJob, seq: int, bus: Bus) -> Ending:
        """Return a context manager that learns how a job ends that has just been stored."""
        return Ending(self, bus, new, seq)

    def add(self, seq: int, ending: Ending) -> None:
        """Tell it of the job's attempts."""
        self._awaited[seq].append(ending)

    def remove(self, seq: int, ending: Ending) -> None:
        """Stop telling it."""
        awaited = self._awaited[seq]
        awaited.remove(ending)
        if not awaited:
            del self._awaited[seq]

    def settles(self, claim: Claim, settlement: Settlement) -> None:
        """Tell those who wait for the job what is going to be written about an attempt."""
        for ending in self._awaited.get(claim.seq, ()):
            ending.settles(claim, settlement)
