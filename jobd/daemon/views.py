"""What the API shows of the pool.

Not here: how it looks on the wire (wire/).
"""

from jobd.pool.settings import Settings
from jobd.pool.supervisor import Supervisor
from jobd.wire.status import Slots
from jobd.wire.times import from_ms
from jobd.wire.workers import Worker


def slots(settings: Settings, pool: Supervisor) -> dict[str, Slots]:
    """Return the capacity of each lane."""
    total = {"cpu": settings.cpu_workers, "io": settings.io_workers * settings.io_concurrency}
    return {lane: Slots(total[lane], free) for lane, free in pool.free().items()}


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
