"""The worker processes as a client sees them."""

import msgspec

from jobd.wire.times import Timestamp


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A process that runs handlers."""

    worker_id: str
    lane: str
    pid: int
    state: str
    job_ids: list[str]
    """What it runs now."""
    jobs_done: int
    rss_bytes: int | None
    started_at: Timestamp


class WorkerList(msgspec.Struct, frozen=True):
    """All workers."""

    workers: list[Worker]
    next_page_token: str | None = None
