"""What the operator is told: stored, signed with their own secret, once for each jam."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from standardwebhooks import Webhook

from jobd.store.tally import Tally
from jobd.store.waits import Waits
from jobd.webhooks.ops import PRINCIPAL, STUCK_S, Jams, Ops, OpsOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.webhooks.conftest import Outbox, Receiver


@contextlib.asynccontextmanager
async def telling(outbox: Outbox, url: str) -> AsyncIterator[Ops]:
    """Tell the operator at this URL."""
    ops = Ops(outbox.clock, OpsOutbox(outbox.database, outbox.clock, url, told=outbox.told_of))
    task = asyncio.create_task(ops.run())
    yield ops
    task.cancel()
    await asyncio.wait([task])


async def test_an_event_arrives_signed(outbox: Outbox, receiver: Receiver) -> None:
    async with outbox.delivering(), telling(outbox, receiver.url) as ops:
        ops.tell("webhook.endpoint_disabled", {"endpoint_id": "whe_1"})
        (request,) = await receiver.received(1)

    ((secret, *_),) = (await outbox.deliveries.secrets_of([PRINCIPAL])).values()
    told = Webhook(secret).verify(request.body, request.headers)
    assert (told["type"], told["data"]) == ("webhook.endpoint_disabled", {"endpoint_id": "whe_1"})
    assert outbox.rendered == []


async def test_a_low_disk_is_told_though_it_is_full(outbox: Outbox, receiver: Receiver) -> None:
    async with outbox.delivering(), telling(outbox, receiver.url) as ops:
        ops.storage_low()
        (request,) = await receiver.received(1)

    assert b'"storage.low"' in request.body


async def test_without_a_url_nothing_is_stored(outbox: Outbox) -> None:
    ops = Ops(outbox.clock, None)
    ops.storage_low()
    await ops.run()

    assert await outbox.rows("SELECT 1 FROM messages") == []


class Queue:
    """One queue with a job that waits, and who watches it."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.told: list[tuple[str, Any]] = []
        self.tally = Tally()
        self.tally.known = True
        self.tally.queued["cpu", "import"] = 1
        self.jams = Jams(
            Waits(outbox.database),
            outbox.clock,
            tally=lambda: self.tally,
            tell=lambda type_, data: self.told.append((type_, dict(data))),
        )

    async def add_job(self) -> None:
        values = (self.outbox.clock.ms, self.outbox.clock.ms)
        await self.outbox.database.run(
            lambda c: c.execute(
                "INSERT INTO jobs (job_id, principal, kind, queue, lane, priority, status,"
                " created_at, updated_at, max_attempts, timeout_ms, retention_ms, event_id)"
                " VALUES ('job_1', 'uid:1', 'a', 'import', 'cpu', 5, 'queued', ?, ?, 1, 1, 1, 1)",
                values,
            )
        )

    async def look_after(self, seconds: float) -> list[str]:
        self.outbox.clock.advance(seconds)
        await self.jams.look()
        return [data["queue"] for _, data in self.told]

    def starts(self) -> None:
        self.jams.claimed([SimpleNamespace(queue="import")])  # type: ignore[list-item]


async def test_a_jam_is_told_once_until_the_queue_moves_again(outbox: Outbox) -> None:
    queue = Queue(outbox)
    await queue.add_job()

    assert await queue.look_after(STUCK_S - 1) == []
    assert await queue.look_after(2) == ["import"]
    assert await queue.look_after(STUCK_S) == ["import"]
    queue.starts()
    assert await queue.look_after(1) == ["import"]
    assert await queue.look_after(STUCK_S) == ["import"] * 2


async def test_a_queue_that_moves_or_is_paused_is_not_jammed(outbox: Outbox) -> None:
    queue = Queue(outbox)
    await queue.add_job()

    outbox.clock.advance(STUCK_S)
    queue.starts()
    assert await queue.look_after(STUCK_S - 1) == []

    await outbox.database.run(
        lambda c: c.execute(
            "INSERT INTO queues (name, concurrency_set, paused) VALUES ('import', 0, 1)"
        )
    )
    assert await queue.look_after(STUCK_S) == []
