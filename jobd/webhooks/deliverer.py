"""The loop that delivers: what is due is claimed, rendered, saved, sent, recorded.

Woken when there is something new, when an attempt has ended, and by the next due time; in
between nothing runs. Attempts go on while the loop writes: what has ended meanwhile is
recorded in one transaction. A body is saved before the first dial, so that every attempt
sends the same bytes. What is under way is known here alone: if the daemon dies it is due
again, with the same webhook-id.

Not here: who may be sent to at the moment (receivers.py), the attempt itself (sender.py),
what it means (domain/deliveries.py), what follows from it for
an endpoint and the operator (aftermath.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from jobd.domain.clock import Clock, wait_until
from jobd.domain.deliveries import (
    Attempted,
    Body,
    DeadReason,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    Due,
    Message,
    Payload,
    Policy,
    Verdict,
    age_limit_s,
    next_attempt,
    parse_target,
    pause_s,
    speaks_of_receiver,
)
from jobd.domain.endpoints import ID_PREFIX
from jobd.domain.errors import Invalid, StorageFull, Unavailable
from jobd.store.deliveries import Deliveries
from jobd.webhooks.aftermath import Aftermath
from jobd.webhooks.receivers import AT_ONCE, Line, Lines, Now, Ready, allowance
from jobd.webhooks.sender import Post, Sender

log = logging.getLogger(__name__)

NOT_WRITTEN_WAIT_S = 1.0
"""While the disk is full, or its lock another program's."""

GATHER_S = 0.01
"""How long what has ended may wait to be recorded with more, while a line has enough to go on."""

MERCY_S = 3600.0
"""So long after the start nothing is given up for its age: the daemon itself was away."""

Render = Callable[[Sequence[Message]], Awaitable[Sequence[bytes | None]]]
"""Returns what each message says; None where its job is gone."""

_Key = tuple[str, Payload]


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
        self._age_limit_ms = round(1000 * age_limit_s(schedule_s, sender.timeout_s))
        self._random = random
        self._died = died
        self._lines = Lines()
        self._kept_back: dict[str, None] = {}
        """Receivers that could be sent to if not so much were under way."""
        self._under_way: set[asyncio.Task[None] | None] = set()
        self._ended: list[tuple[Due, Attempted]] = []
        self._wakened = asyncio.Event()
        self._gathering = False
        self._stopping = False
        self._grace_s = 0.0
        self._overdue_ms = 0
        """When to look for what has become too old."""
        self._aftermath: Aftermath
        self._attempts: asyncio.TaskGroup
        self._task: asyncio.Task[None] | None = None

    def start(self, aftermath: Aftermath, lines: Lines | None = None) -> None:
        """Begin, with what is due already: what was under way when the daemon died, too.

        Receivers are kept apart in `lines`; None: with breakers as they are by default.
        """
        self._lines = self._lines if lines is None else lines
        self._aftermath = aftermath
        self._task = asyncio.create_task(self._run(), name="deliverer")

    def wake(self, receivers: Collection[str] = ()) -> None:
        """Look at these: call after the commit of messages for them, or of their endpoints."""
        now_ms = self._clock.wall_ms()
        for receiver in receivers:
            self._lines.of(receiver).due_at(now_ms)
            self._lines.touch(receiver)
        self._wakened.set()

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more; wait up to `grace_s` for what is under way, and record it.

        What takes longer is dropped, and due again at the next start.
        """
        self._grace_s = grace_s
        self._stopping = True
        self._wakened.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as self._attempts:
                await self._serve()
                await self._finish()
        except Exception as error:
            log.critical("The deliverer has died.", exc_info=error)
            self._died(error)

    async def _serve(self) -> None:
        self._overdue_ms = self._clock.wall_ms() + round(MERCY_S * 1000)
        for receiver, due_ms in (await self._deliveries.receivers()).items():
            self._lines.of(receiver).due_at(due_ms)
            self._lines.touch(receiver)
        while not self._stopping:
            self._wakened.clear()
            try:
                look_ms = await self._turn()
            except (StorageFull, Unavailable) as error:
                log.error("Deliveries wait.", extra={"reason": error.detail})  # noqa: TRY400 - no bug to trace
                look_ms = self._clock.wall_ms() + round(NOT_WRITTEN_WAIT_S * 1000)
            if look_ms is None:
                await self._wakened.wait()
            elif not self._wakened.is_set():
                await wait_until(self._clock, look_ms, self._wakened)

    async def _turn(self) -> int | None:
        """Record what is over, claim and begin what is due; return when to look again."""
        await self._record()
        await self._aftermath.settle()
        await self._bury()
        lines = list(self._lines.to_look_at(self._clock.wall_ms()))
        try:
            for line in lines:
                if line.receiver.startswith(ID_PREFIX):
                    await self._go_by_endpoint(line)
            await self._claim(lines)
        finally:
            for line in lines:
                self._begin(line)
                self._lines.looked_at(line, self._now())
        look_ms = self._lines.next_look_ms()
        if len(self._lines):
            return min(look_ms, self._overdue_ms) if look_ms is not None else self._overdue_ms
        return look_ms

    def _now(self) -> Now:
        return Now(self._clock.wall_ms(), self._clock.monotonic_s())

    # claiming

    async def _claim(self, lines: Sequence[Line]) -> None:
        """Fill the lines that want more."""
        now = self._now()
        wanting = {line: wanted for line in lines if (wanted := line.wants(now))}
        if not wanting:
            return
        for line in wanting:
            line.next_due_ms = None  # what is told meanwhile must not be lost
        try:
            await self._fill(wanting, now)
        except BaseException:
            for line in wanting:
                line.due_at(now.wall_ms)
            raise

    async def _fill(self, wanting: Mapping[Line, int], now: Now) -> None:
        claimed: list[tuple[Line, list[Due]]] = []
        emptied = []
        for line, wanted in wanting.items():
            due = await self._deliveries.due(line.receiver, wanted, line.held)
            if len(due) == wanted:
                line.due_at(now.wall_ms)
            else:
                emptied.append(line)
            claimed.append((line, due))
        await self._load(claimed)
        if emptied:
            asked = [line.receiver for line in emptied]
            held = [delivery_id for line in emptied for delivery_id in line.held]
            later = await self._deliveries.next_due(asked, held)
            for line in emptied:
                due_ms = later.get(line.receiver)
                if due_ms is not None:
                    line.due_at(due_ms)

    async def _go_by_endpoint(self, line: Line) -> None:
        """Have a line be as its endpoint is now; what waits for one that is no more is dead."""
        endpoint = self._aftermath.endpoint(line.receiver)
        reason: DeadReason | None = None
        if endpoint is None:
            reason = "endpoint_deleted"
        elif not endpoint.enabled:
            reason = "endpoint_disabled"
        line.goes_by(endpoint, self._now())
        if reason is None:
            return
        line.next_due_ms = None  # what is told meanwhile must not be lost
        try:
            await self._aftermath.end(line.receiver, reason, line.held, self._bodies)
        except BaseException:
            line.due_at(self._clock.wall_ms())
            raise

    async def _load(self, claimed: Sequence[tuple[Line, Sequence[Due]]]) -> None:
        """Give the lines what is due to them, with bodies and secrets."""
        due = [one for _, some in claimed for one in some]
        if not due:
            return
        bodies = await self._bodies([one.message for one in due])
        callbacks = {one.delivery.principal for one in due if one.endpoint is None}
        secrets = await self._deliveries.secrets_of(callbacks) if callbacks else {}
        now_ms = self._clock.wall_ms()
        for line, some in claimed:
            line.claim(
                Ready(
                    one,
                    bodies[_key(one.message)],
                    one.endpoint.secrets(now_ms)
                    if one.endpoint
                    else secrets[one.delivery.principal],
                )
                for one in some
                if _key(one.message) in bodies
            )

    async def _bodies(self, messages: Sequence[Message]) -> dict[_Key, bytes]:
        """Return what to send, all of it saved; drop what has lost its job."""
        saved = {_key(one): one.body for one in messages if one.body is not None}
        fresh = list({_key(one): one for one in messages if one.body is None}.values())
        if not fresh:
            return saved
        bodies = await self._render(fresh)
        rendered = {
            _key(one): body for one, body in zip(fresh, bodies, strict=True) if body is not None
        }
        if rendered:
            await self._deliveries.save_bodies([Body(*key, body) for key, body in rendered.items()])
        if gone := {one.seq for one in fresh if _key(one) not in rendered}:
            await self._deliveries.delete(gone)
        return saved | rendered

    # attempting

    def _begin(self, line: Line) -> None:
        """Begin what may begin to this receiver."""
        now = self._now()
        line.kept_back = False
        while line.may_begin(now) and not self._stopping:
            if line.under_way >= allowance(len(self._under_way)):
                line.kept_back = True
                self._kept_back[line.receiver] = None
                return
            turn, ready = line.begin(now)
            task = self._attempts.create_task(self._attempt(line, turn, ready))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _begin_kept_back(self) -> None:
        for receiver in list(self._kept_back):
            if len(self._under_way) >= AT_ONCE:
                return
            del self._kept_back[receiver]
            line = self._lines.get(receiver)
            if line is not None:
                self._begin(line)

    async def _attempt(self, line: Line, turn: int, ready: Ready) -> None:
        attempted = await self._attempted(ready)
        self._under_way.discard(asyncio.current_task())
        line.under_way -= 1
        self._judge(line, turn, attempted.attempt)
        self._ended.append((ready.due, attempted))
        self._begin_kept_back()
        self._begin(line)
        self._lines.touch(line.receiver)
        if line.low:
            self._wakened.set()
        elif not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_later(GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._gathering = False
        self._wakened.set()

    def _judge(self, line: Line, turn: int, attempt: DeliveryAttempt) -> None:
        """Tell the line what the attempt says of its receiver."""
        now = self._now()
        if attempt.error is None:
            line.arrived(turn, now)
        elif speaks_of_receiver(attempt):
            line.failed(turn, now, pause_s(attempt))
        else:
            line.breaker.undecided(turn)

    async def _attempted(self, ready: Ready) -> Attempted:
        delivery = ready.due.delivery
        try:
            target = parse_target(delivery.url, self._policy)
        except Invalid as refused:
            return self._refused(delivery, refused)
        attempt = await self._sender.send(
            Post(
                target=target,
                message_id=delivery.message_id,
                attempt=delivery.attempt_count + 1,
                body=ready.body,
                secrets=ready.secrets,
                traceparent=ready.due.message.traceparent,
            )
        )
        verdict = next_attempt(
            self._schedule_s, attempt, self._random, earlier=delivery.earlier_attempts
        )
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

    # recording

    async def _record(self) -> None:
        ended = list(self._ended)
        if not ended:
            return
        await self._deliveries.record([attempted for _, attempted in ended])
        del self._ended[: len(ended)]
        now_ms = self._clock.wall_ms()
        for due, attempted in ended:
            line = self._lines.of(due.delivery.receiver)
            line.held.pop(attempted.delivery_id, None)
            self._lines.touch(line.receiver)
            if attempted.verdict.delay_s is not None:
                line.due_at(now_ms + round(1000 * attempted.verdict.delay_s))
        self._aftermath.attempted(ended)

    async def _bury(self) -> None:
        """Give up what is older than any schedule, whatever keeps its receiver from being asked."""
        now_ms = self._clock.wall_ms()
        if now_ms < self._overdue_ms:
            return
        held = [delivery_id for line in self._lines for delivery_id in line.held]
        self._overdue_ms = await self._aftermath.bury(self._age_limit_ms, held, self._bodies)

    async def _finish(self) -> None:
        under_way = [task for task in self._under_way if task is not None]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=self._grace_s)
            for task in late:
                task.cancel()
        try:
            await self._record()
        except (StorageFull, Unavailable) as error:
            log.error("Attempts will be made again.", extra={"reason": error.detail})  # noqa: TRY400 - no bug to trace


def _key(message: Message) -> _Key:
    return message.message_id, message.payload
