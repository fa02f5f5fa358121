"""Jobs as they stood right after each of the events that are handed in, in their order.

What was found of a job is kept, so that its next event costs no read. An event that is
the first here costs its job's row, read for all such jobs at once; the job's history is
read only when the row is ahead of the event and nothing else tells what was before.

Not here: how a state is folded (domain/history.py), who is told (hub.py, events.py).
"""

from collections.abc import Collection, Mapping, Sequence

from jobd.domain.events import Event
from jobd.domain.history import Moment, after, born, is_birth, unfold
from jobd.domain.jobs import Job
from jobd.store.readers import Readers

MAX_KEPT = 4096
"""Jobs whose state is kept; of more the oldest is read again when it is asked for."""

_PAGE = 1000


async def history_of(readers: Readers, job: Job) -> list[Moment]:
    """Return all that happened to the job, with how it stood then, oldest first."""
    return unfold(job, await events_of(readers, job))


async def events_of(readers: Readers, job: Job) -> list[Event]:
    """Return all that happened to the job, oldest first."""
    events = list[Event]()
    while True:
        newest = events[-1].id if events else 0
        page = await readers.events(job.seq, after=newest, limit=_PAGE)
        events += page
        if len(page) < _PAGE:
            return events


class Following:
    """The states of jobs, event by event; a job whose events do not all come is forgotten."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._states: dict[int, Job] = {}
        self._forgotten = 0

    async def moments(self, events: Sequence[Event]) -> list[Moment]:
        """Return each event with its job; without those whose job has been deleted."""
        forgotten = self._forgotten
        unknown = {event.seq for event in events} - self._states.keys()
        rows = await self._readers.get_many(unknown) if unknown else {}
        moments = list[Moment]()
        states = dict[int, Job]()
        for event in events:
            state = states.get(event.seq) or self._states.get(event.seq)
            if state is not None:
                state = after(state, event)
            elif event.seq in rows:
                state = await self._first(rows[event.seq], event)
            if state is not None:
                states[event.seq] = state
                moments.append((event, state))
        # what was forgotten meanwhile may have gone on without us
        self._keep(states, sure=forgotten == self._forgotten)
        return moments

    async def _first(self, row: Job, event: Event) -> Job | None:
        """Return the job right after `event`; `row` was read after it."""
        if row.event_id == event.id:
            return row
        if is_birth(row, event):
            return born(row, event)
        before = None
        for past, state in await history_of(self._readers, row):
            if past.id > event.id:
                break
            before = state
        if before is None or before.event_id == event.id:
            return before
        return after(before, event)

    def _keep(self, states: Mapping[int, Job], *, sure: bool) -> None:
        for seq, state in states.items():
            self._states.pop(seq, None)
            if sure and not state.done:
                self._states[seq] = state
        while len(self._states) > MAX_KEPT:
            del self._states[next(iter(self._states))]

    def keep_only(self, seqs: Collection[int]) -> None:
        """Forget all other jobs: their events do not come here any more."""
        self._forgotten += 1
        for seq in self._states.keys() - seqs:
            del self._states[seq]
