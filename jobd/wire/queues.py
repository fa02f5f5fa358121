"""A queue as a client sees it, and what a client may change of it."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from jobd.domain import queues


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and how much is in it."""

    name: str
    concurrency: int | None
    """Jobs of it that run at a time at most; null is as many as there are slots for."""
    paused: bool
    queued: int
    processing: int
    oldest_queued_seconds: float | None
    """How long the longest waiting of the jobs that are first in line is due."""


class QueueList(msgspec.Struct, frozen=True):
    """All queues, by name."""

    queues: list[Queue]
    next_page_token: str | None = None


class QueuePatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `PATCH /v1/queues/{name}` takes; what is left out stays as it is."""

    concurrency: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType | None = UNSET
    """Null takes the limit away, also one of the settings."""
    paused: bool | UnsetType = UNSET


def render_queue(queue: queues.Queue, now_ms: int) -> Queue:
    """Return the document of a queue."""
    since_ms = queue.oldest_since_ms
    return Queue(
        name=queue.name,
        concurrency=queue.concurrency,
        paused=queue.paused,
        queued=queue.queued,
        processing=queue.processing,
        oldest_queued_seconds=None if since_ms is None else max(0, now_ms - since_ms) / 1000,
    )
