"""What the operator is told by webhook: dead letters, disabled endpoints, a full disk, a jam.

They go to `[webhooks] ops_url` as messages like any other, of a principal of their own, and
are about no job. What becomes of them causes no others.

Not here: how they are delivered (deliverer.py), what is told of deliveries (aftermath.py).
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

from jobd.domain.clock import Clock, wait_until
from jobd.domain.endpoints import OPS
from jobd.domain.errors import StorageFull, Unavailable
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Claim
from jobd.store.database import Database
from jobd.store.outbox import NewDelivery, insert_messages
from jobd.store.tally import Tally
from jobd.store.waits import Waits
from jobd.store.writes import write
from jobd.wire.webhooks import encode_daemon

log = logging.getLogger(__name__)

PRINCIPAL = OPS
"""Whose default secret signs them."""

OpsType = Literal[
    "webhook.delivery_exhausted", "webhook.endpoint_disabled", "storage.low", "jobs.stuck"
]

Tell = Callable[[OpsType, Mapping[str, Any]], None]
"""Tells the operator; returns at once, and is for callers that cannot wait."""

MAX_UNWRITTEN = 1000
"""Events that wait for room on disk; the oldest are dropped beyond that."""

NOT_WRITTEN_WAIT_S = 10.0

STUCK_S = 3600.0
LOOK_S = 300.0
"""How often queues are looked at, while anything is queued."""


class OpsEvent(NamedTuple):
    """An event, as it is sent."""

    type: OpsType
    at_ms: int
    body: bytes


class OpsOutbox:
    """Where events become messages to the operator.

    They are written beside the writer: that refuses what adds while the disk is full, and
    of that the operator is to be told.
    """

    def __init__(
        self, database: Database, clock: Clock, url: str, *, told: Callable[[Collection[str]], None]
    ) -> None:
        """Call `told` with the receiver when there is something for it."""
        self._database = database
        self._clock = clock
        self._url = url
        self._told = told
        self._new_id = IdSource().next

    async def put(self, event: OpsEvent) -> None:
        """Store the message of an event, for delivery; raises StorageFull or Unavailable."""
        now_ms = self._clock.wall_ms()
        message = NewDelivery(
            message_id=self._new_id("msg_", now_ms),
            delivery_id=self._new_id("dlv_", now_ms),
            seq=0,
            event_id=0,
            type=event.type,
            at_ms=event.at_ms,
            url=self._url,
            principal=PRINCIPAL,
        )
        await write(self._database, lambda c: insert_messages(c, [message], event.body))
        self._told([message.receiver])


class Ops:
    """Tells the operator what happened, once it is stored."""

    def __init__(self, clock: Clock, outbox: OpsOutbox | None) -> None:
        """Without `outbox` nobody wants to know."""
        self._clock = clock
        self._outbox = outbox
        self._unwritten = deque[OpsEvent](maxlen=MAX_UNWRITTEN)
        self._wakened = asyncio.Event()

    def tell(self, type_: OpsType, data: Mapping[str, Any]) -> None:
        """Have this told."""
        if self._outbox is None:
            return
        at_ms = self._clock.wall_ms()
        self._unwritten.append(OpsEvent(type_, at_ms, encode_daemon(type_, at_ms, data)))
        self._wakened.set()

    def storage_low(self) -> None:
        """Tell that the disk is full, or nearly: call when that begins."""
        self.tell("storage.low", {})

    async def run(self) -> None:
        """Store what is to be told, for ever; ends by cancellation."""
        while self._outbox is not None:
            if not self._unwritten:
                self._wakened.clear()
                await self._wakened.wait()
            event = self._unwritten[0]
            try:
                await self._outbox.put(event)
            except (StorageFull, Unavailable) as error:
                log.error("The operator is not told yet.", extra={"reason": error.detail})  # noqa: TRY400 - no bug to trace
                await self._clock.wait_until(
                    self._clock.wall_ms() + round(NOT_WRITTEN_WAIT_S * 1000)
                )
            else:
                with contextlib.suppress(ValueError):  # dropped meanwhile, for newer ones
                    self._unwritten.remove(event)


class Jams:
    """Watches that of each queue with jobs that could start, one does now and then."""

    def __init__(
        self, waits: Waits, clock: Clock, *, tally: Callable[[], Tally], tell: Tell
    ) -> None:
        self._waits = waits
        self._clock = clock
        self._tally = tally
        self._tell = tell
        self._began_s = clock.monotonic_s()
        self._started_s: dict[str, float] = {}
        self._told: set[str] = set()

    def claimed(self, claims: Collection[Claim]) -> None:
        """Note that these jobs start."""
        now_s = self._clock.monotonic_s()
        for queue in {claim.queue for claim in claims}:
            self._started_s[queue] = now_s

    async def run(self) -> None:
        """Look again and again, for ever; ends by cancellation."""
        never = asyncio.Event()
        while True:
            at_ms = self._clock.wall_ms() + round(LOOK_S * 1000)
            while self._clock.wall_ms() < at_ms:
                await wait_until(self._clock, at_ms, never)
            with contextlib.suppress(Unavailable):  # the daemon is stopping
                await self.look()

    async def look(self) -> None:
        """Tell of each queue that stands still, once until it moves again."""
        tally = self._tally()
        # before all are counted the numbers are those since the start, and may be negative
        queues = {queue for (_, queue), jobs in tally.queued.items() if jobs or not tally.known}
        since = await self._waits.since(queues) if queues else {}
        self._started_s = {q: at_s for q, at_s in self._started_s.items() if q in since}
        now_ms, now_s = self._clock.wall_ms(), self._clock.monotonic_s()
        stuck = set()
        for queue, since_ms in since.items():
            waited_s = (now_ms - since_ms) / 1000
            still_s = now_s - self._started_s.get(queue, self._began_s)
            if min(waited_s, still_s) > STUCK_S:
                stuck.add(queue)
                if queue not in self._told:
                    data = {"queue": queue, "oldest_waits_seconds": round(waited_s)}
                    self._tell("jobs.stuck", data)
        self._told = stuck
