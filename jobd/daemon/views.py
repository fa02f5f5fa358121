"""What the API shows of the pool and of readiness.

Not here: how it looks on the wire (wire/).
"""

import time

from jobd.domain.catalog import Lane
from jobd.pool.settings import Settings
from jobd.pool.supervisor import Supervisor
from jobd.store.readers import Readers
from jobd.store.writer import Writer
from jobd.wire.status import Check, Slots
from jobd.wire.times import from_ms
from jobd.wire.workers import Worker


def capacity(settings: Settings) -> dict[Lane, int]:
    """Return how many jobs each lane can run at a time."""
    return {"cpu": settings.cpu_workers, "io": settings.io_workers * settings.io_concurrency}


def slots(settings: Settings, pool: Supervisor) -> dict[str, Slots]:
    """Return the capacity of each lane, and what of it is free."""
    total = capacity(settings)
    return {lane: Slots(total[lane], free) for lane, free in pool.free().items()}


async def checks(
    readers: Readers, writer: Writer, pool: Supervisor, *, draining: bool
) -> dict[str, Check]:
    """Return the conditions of being ready. Work is taken while each is ok."""
    began_s = time.monotonic()
    await readers.catalog()
    latency_ms = round((time.monotonic() - began_s) * 1000, 3)
    condition = writer.condition
    full = condition == "storage_full"
    database = Check("ok", latency_ms=latency_ms)
    if condition not in {"ok", "storage_full"}:
        database = Check("unavailable", latency_ms=latency_ms, detail=condition)
    alive = any(worker.state != "starting" for worker in pool.workers())
    return {
        "database": database,
        "disk": Check("unavailable", detail=condition) if full else Check("ok"),
        "workers": Check("ok" if alive else "unavailable"),
        "draining": Check("unavailable" if draining else "ok"),
    }


def workers(pool: Supervisor) -> list[Worker]:
    """Return the workers as they are now."""
    return [
        Worker(
            worker_id=str(worker.worker_id),
            lane=worker.lane,
            pid=worker.pid,
            state=worker.state,
            job_ids=list(worker.job_ids),
            jobs_done=worker.jobs_done,
            rss_bytes=worker.rss_bytes,
            started_at=from_ms(worker.started_at_ms),
        )
        for worker in pool.workers()
    ]
