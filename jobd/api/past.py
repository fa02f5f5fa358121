"""What a stream begins with: what has happened, up to where what happens goes on.

Who calls listens already, or is told when to: then nothing is missed between the two.

Not here: the live part (hub.py), the forms in which it is sent (sse.py, ws.py).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from jobd.api.following import Following, history_of
from jobd.domain.events import Event, status_event
from jobd.domain.history import Moment
from jobd.domain.jobs import Job
from jobd.store.readers import Readers

_PAGE = 500


class Past(NamedTuple):
    """What of the past a stream begins with."""

    moments: Sequence[Moment]
    newest_id: int
    """What is not newer is no news behind it."""
    over: bool
    """Whether nothing more will come."""


async def was_given_out(readers: Readers, seen_id: int | None) -> int | None:
    """Return the id, or None if no event has it or one above it."""
    if seen_id is not None and seen_id > await readers.newest_event_id():
        return None
    return seen_id


async def past_of(readers: Readers, job: Job, seen_id: int | None) -> Past:
    """Return what is newer than the event that was seen last, else how the job stands.

    That is told as the move to its status. `job` was read after its listener began to listen.
    """
    moments = await history_of(readers, job)
    if not moments:  # it was deleted between the two
        return Past((), 0, over=True)
    last, state = moments[-1]
    if seen_id is None:
        newer = [(_last_move(moments), state)]
    else:
        newer = [moment for moment in moments if moment[0].id > seen_id]
    return Past(newer, max(last.id, seen_id or 0), last.terminal)


async def newer_of_all(
    readers: Readers, seen_id: int, listen: Callable[[], None], ended: Callable[[], bool]
) -> AsyncIterator[tuple[list[Moment], int]]:
    """Yield what is newer than an event, page by page, with the id that each page goes up to.

    Calls `listen` before it reads the last one, not at the beginning: more may have to be
    caught up with than may wait for a client.
    """
    following = Following(readers)
    listening = False
    while not ended():
        events = await readers.events_of_all(after=seen_id, limit=_PAGE)
        if events:
            seen_id = events[-1].id
            yield await following.moments(events), seen_id
        if len(events) < _PAGE:
            if listening:
                return
            listen()
            listening = True


def _last_move(moments: Sequence[Moment]) -> Event:
    """Return the event by which a job came to the status that it has."""
    type_ = status_event(moments[-1][1].status)
    return next(event for event, _ in reversed(moments) if event.type == type_)
