"""The loop that delivers: what is due is rendered, saved, sent, recorded.

Woken when there is something new, and by the next due time; in between nothing runs. A
body is saved before the first dial, so that every attempt sends the same bytes. What is
under way is known here alone: if the daemon dies it is due again, with the same webhook-id.

Not here: the attempt itself (sender.py), what it means (domain/deliveries.py).
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from jobd.domain.clock import Clock, wait_until
from jobd.domain.deliveries import (
    Attempted,
    DeadReason,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    Due,
    Message,
    Policy,
    Verdict,
    next_attempt,
    parse_target,
)
from jobd.domain.errors import Invalid, StorageFull, Unavailable
from jobd.store.deliveries import Deliveries
from jobd.webhooks.sender import Post, Sender

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 64

NOT_WRITTEN_WAIT_S = 1.0
"""While the disk is full, or its lock another program's."""

Render = Callable[[Message], Awaitable[bytes | None]]
"""Returns what a message says; None if its job is gone."""


class Deliverer:
    """Attempts every delivery until it is over, many at a time."""

    def __init__(
        self,
        deliveries: Deliveries,
        sender: Sender,
        clock: Clock,
        *,
        render: Render,
        policy: Policy,
        schedule_s: Sequence[float],
        random: Callable[[], float],
        died: Callable[[BaseException], None],
    ) -> None:
        self._deliveries = deliveries
        self._sender = sender
        self._clock = clock
        self._render = render
        self._policy = policy
        self._schedule_s = schedule_s
        self._random = random
        self._died = died
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._ended: list[Attempted] = []
        self._wakened = asyncio.Event()
        self._stopping = False
        self._grace_s = 0.0
        self._task: asyncio.Task[None]

    def start(self) -> None:
        """Begin, with what is due already: what was under way when the daemon died, too."""
        self._task = asyncio.create_task(self._run(), name="deliverer")

    def wake(self) -> None:
        """Look for what is due: call after the commit of a message."""
        self._wakened.set()

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more; wait up to `grace_s` for what is under way, and record it.

        What takes longer is dropped, and due again at the next start.
        """
        self._grace_s = grace_s
        self._stopping = True
        self._wakened.set()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as attempts:
                await self._serve(attempts)
                await self._finish()
        except Exception as error:
            log.critical("The deliverer has died.", exc_info=error)
            self._died(error)

    async def _serve(self, attempts: asyncio.TaskGroup) -> None:
        while not self._stopping:
            self._wakened.clear()
            try:
                wait_s = await self._turn(attempts)
            except (StorageFull, Unavailable) as error:
                log.error("Deliveries wait.", extra={"reason": error.detail})  # noqa: TRY400 - no bug to trace
                wait_s = NOT_WRITTEN_WAIT_S
            await self._wait(wait_s)

    async def _turn(self, attempts: asyncio.TaskGroup) -> float | None:
        """Record what is over, begin what is due; return when to look again unless woken."""
        await self._record()
        if room := MAX_IN_FLIGHT - len(self._in_flight):
            await self._begin(attempts, await self._deliveries.due(room, self._in_flight))
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return None
        return await self._deliveries.next_due_s(self._in_flight)

    async def _wait(self, wait_s: float | None) -> None:
        if wait_s is None:
            await self._wakened.wait()
            return
        at_ms = self._clock.wall_ms() + math.ceil(wait_s * 1000)
        await wait_until(self._clock, at_ms, self._wakened)

    async def _begin(self, attempts: asyncio.TaskGroup, due: Sequence[Due]) -> None:
        if not due:
            return
        bodies = await self._bodies([one.message for one in due])
        secrets = await self._deliveries.secrets_of({one.delivery.principal for one in due})
        for one in due:
            delivery = one.delivery
            if body := bodies.get(delivery.message_id):
                attempt = self._attempt(one, body, secrets[delivery.principal])
                self._in_flight[delivery.delivery_id] = attempts.create_task(attempt)

    async def _bodies(self, messages: Sequence[Message]) -> dict[str, bytes]:
        """Return what to send, by message id, all of it saved; drop what has lost its job."""
        saved = {one.message_id: one.body for one in messages if one.body is not None}
        fresh = list({one.message_id: one for one in messages if one.body is None}.values())
        bodies = await asyncio.gather(*map(self._render, fresh))
        rendered = {
            one.message_id: body
            for one, body in zip(fresh, bodies, strict=True)
            if body is not None
        }
        if rendered:
            await self._deliveries.save_bodies(rendered)
        if gone := {one.seq for one in fresh if one.message_id not in rendered}:
            await self._deliveries.delete(gone)
        return saved | rendered

    async def _attempt(self, due: Due, body: bytes, secrets: tuple[str, ...]) -> None:
        self._ended.append(await self._attempted(due, body, secrets))
        self._wakened.set()

    async def _attempted(self, due: Due, body: bytes, secrets: tuple[str, ...]) -> Attempted:
        delivery = due.delivery
        try:
            target = parse_target(delivery.url, self._policy)
        except Invalid as refused:
            return self._refused(delivery, refused)
        attempt = await self._sender.send(
            Post(
                target=target,
                message_id=delivery.message_id,
                attempt=delivery.attempt_count + 1,
                body=body,
                secrets=secrets,
                traceparent=due.message.traceparent,
            )
        )
        verdict = next_attempt(self._schedule_s, attempt, self._random)
        return Attempted(delivery.delivery_id, attempt, verdict)

    def _refused(self, delivery: Delivery, refused: Invalid) -> Attempted:
        """Return the end of a delivery that the operator has come to forbid since its submit."""
        blocked = refused.errors[0].code == "blocked_address"
        reason: DeadReason = "blocked_address" if blocked else "callback_not_allowed"
        attempt = DeliveryAttempt(
            attempt=delivery.attempt_count + 1,
            started_at_ms=self._clock.wall_ms(),
            duration_ms=0,
            error="blocked_address",
        )
        verdict = Verdict(DeliveryStatus.DEAD, dead_reason=reason)
        return Attempted(delivery.delivery_id, attempt, verdict)

    async def _record(self) -> None:
        ended = list(self._ended)
        if not ended:
            return
        await self._deliveries.record(ended)
        del self._ended[: len(ended)]
        for one in ended:
            del self._in_flight[one.delivery_id]
            if one.verdict.status is DeliveryStatus.DEAD:
                # no URL here: it may hold a receiver's secret
                log.warning(
                    "A delivery is dead.",
                    extra={"delivery_id": one.delivery_id, "reason": one.verdict.dead_reason},
                )

    async def _finish(self) -> None:
        under_way = list(self._in_flight.values())
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=self._grace_s)
            for task in late:
                task.cancel()
        try:
            await self._record()
        except (StorageFull, Unavailable) as error:
            log.error("Attempts will be made again.", extra={"reason": error.detail})  # noqa: TRY400 - no bug to trace
