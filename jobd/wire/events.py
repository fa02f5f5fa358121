"""Events on the wire: one envelope for streams and webhooks, and the history of one job.

Not here: the frames of a stream (api/), what a webhook says of a job (webhooks.py).
"""

import msgspec

from jobd.wire.jobs import Job
from jobd.wire.times import Timestamp


class JobEvent(msgspec.Struct, frozen=True):
    """What the data of a server-sent event holds; its id is the frame's."""

    type: str
    timestamp: Timestamp
    data: Job
    """The job as it was right after the event."""


class PastEvent(msgspec.Struct, frozen=True):
    """One event of a history."""

    id: str
    type: str
    timestamp: Timestamp
    data: Job


class EventList(msgspec.Struct, frozen=True):
    """The history of one job, oldest first."""

    events: list[PastEvent]
    next_page_token: str | None = None
