"""What waits though nothing keeps it from going on: looked for once nothing goes wrong.

Every job ends by its age at the latest, so that it ended proves little; that it was not left
lying does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.domain.catalog import Lane
    from tests.sim.disk import Disk

GRACE_S = 2.9
ATTEMPT_S = 80.0
"""How long two attempts at a receiver that hangs may take, with the breaker's wait between
them, and be recorded."""

_QUEUED = "SELECT seq, event_id, lane, queue FROM jobs WHERE status = 'queued'"
_RUNNING = "SELECT queue FROM jobs WHERE status = 'processing'"
_DUE = "SELECT seq, event_id FROM jobs WHERE status IN ('scheduled', 'retrying') AND run_at < {}"
_DELIVERIES = "SELECT seq, delivery_id, attempt_count FROM deliveries WHERE next_attempt_at < {}"
_LIMITS = "SELECT name, concurrency FROM queues WHERE concurrency_set"


class Neglect:
    """What waits, and since when it was seen to."""

    def __init__(self, disk: Disk, limits: Mapping[str, int]) -> None:
        self._disk = disk
        self._limits = limits
        self._since: dict[tuple[object, ...], float] = {}

    def look(self, free: Mapping[Lane, int], wall_ms: int, now_s: float) -> list[str]:
        """Say what waits as it did GRACE_S ago, or ATTEMPT_S for a callback."""
        waits: dict[tuple[object, ...], float] = {}
        for seq, event_id in [*self._disk.rows(_DUE.format(wall_ms)), *self._startable(free)]:
            waits["job", seq, event_id] = GRACE_S
        for seq, *one in self._disk.rows(_DELIVERIES.format(wall_ms)):
            waits["callback of job", seq, *one] = ATTEMPT_S
        self._since = {one: self._since.get(one, now_s) for one in waits}
        return sorted(
            f"{one[0]} {one[1]} could go on and is left lying"
            for one, most_s in waits.items()
            if now_s - self._since[one] >= most_s
        )

    def _startable(self, free: Mapping[Lane, int]) -> list[tuple[int, int]]:
        limits = {**self._limits, **dict(self._disk.rows(_LIMITS))}
        running = Counter(queue for (queue,) in self._disk.rows(_RUNNING))
        return [
            (seq, event_id)
            for seq, event_id, lane, queue in self._disk.rows(_QUEUED)
            if free.get(lane, 0) and (limits.get(queue) is None or running[queue] < limits[queue])
        ]
