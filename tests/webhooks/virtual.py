"""Deliveries in virtual time: the real deliverer and store on real rows, receivers made up.

Days take a moment: time goes on only when everybody waits. Not here: what goes wrong with the
disk and the daemon meanwhile (tests/sim).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.domain.deliveries import DeliveryAttempt
from jobd.domain.endpoints import ID_PREFIX, Endpoint, NewEndpoint
from jobd.domain.ids import IdSource
from jobd.domain.signing import new_secret
from jobd.store.deliveries import Deliveries
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.outbox import NewDelivery, insert_messages
from jobd.store.rules import rules_of
from jobd.store.writer import Writer
from jobd.webhooks.aftermath import Aftermath
from jobd.webhooks.deliverer import Deliverer
from jobd.webhooks.egress import Policy
from jobd.webhooks.sender import Sender
from tests.sim.disk import Disk, SimDatabase
from tests.sim.house import CONFIG
from tests.sim.loop import VirtualLoop
from tests.sim.oracle import Oracle
from tests.sim.weather import Machine, SimClock, Weather, pause, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence

    from jobd.domain.deliveries import Message
    from jobd.webhooks.sender import Post

PRINCIPAL = "uid:1000"

Answer = tuple[float, DeliveryAttempt]
"""After how long, and how."""


def attempt(status: int | None = 200, *, error: Any = None, **headers: str) -> DeliveryAttempt:
    """Return the end of an attempt, without its times."""
    if error is None and not 200 <= (status or 0) < 300:
        error = "http_status"
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return DeliveryAttempt(1, 0, 0, status, error, None, dashed)


TAKEN: Answer = (0.001, attempt())
REFUSED: Answer = (0.01, attempt(500))
HANGS: Answer = (20.0, attempt(None, error="timeout"))


def _taken(_: float) -> Answer:
    return TAKEN


class Receivers(Sender):
    """Answers for all receivers, and remembers when each was asked."""

    def __init__(self, clock: SimClock, timeout_s: float) -> None:
        # of the base nothing is used: it is the type that the deliverer asks for
        self.timeout_s = timeout_s
        self._clock = clock
        self.answers: dict[str, Callable[[float], Answer]] = {}
        """By URL: what comes back to an attempt that begins at this time."""
        self.asked: dict[str, list[float]] = {}
        self.under_way: dict[str, int] = {}
        self.most: dict[str, int] = {}
        """Attempts that were under way together."""

    async def send(self, post: Post) -> DeliveryAttempt:
        url, now_s = post.target.url, self._clock.monotonic_s()
        began_ms = self._clock.wall_ms()
        self.asked.setdefault(url, []).append(now_s)
        self.under_way[url] = self.under_way.get(url, 0) + 1
        self.most[url] = max(self.most.get(url, 0), self.under_way[url])
        wait_s, answer = self.answers.get(url, _taken)(now_s)
        await pause(wait_s)
        self.under_way[url] -= 1
        fields = answer.status_code, answer.error, None, answer.response_headers
        took_ms = self._clock.wall_ms() - began_ms
        return DeliveryAttempt(post.attempt, began_ms, took_ms, *fields)

    async def close(self) -> None:
        """Nothing is open."""


class PostOffice:
    """One daemon's deliveries."""

    def __init__(self, seed: int, schedule_s: Sequence[float]) -> None:
        self.loop = VirtualLoop(stream(seed, "loop"))
        self.machine = Machine(self.loop)
        self.clock = SimClock(self.machine)
        oracle = Oracle({}, max_jobs=100, wall_ms=self.machine.wall_ms, note=lambda *_: None)
        self.disk = Disk(Weather(), stream(seed, "disk"), oracle)
        self.receivers = Receivers(self.clock, 20.0)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.reads = 0
        self.deaths: list[BaseException] = []
        self._schedule_s = schedule_s
        self._random = stream(seed, "jitter").random
        self._ids = IdSource()

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Deliver while `work` goes on, to its end."""
        try:
            self.loop.run_until_complete(self._run(work))
        finally:
            self.loop.dispose()
            self.disk.close()
        assert self.deaths == []

    async def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.database = SimDatabase(self.disk, self.deaths.append)
        self.deliveries = Deliveries(self.database, self.clock)
        policy = Policy(allow_http=True)
        self.deliverer = Deliverer(
            self.deliveries,
            self.receivers,
            self.clock,
            render=_render,
            policy=policy,
            schedule_s=self._schedule_s,
            random=self._random,
            died=self.deaths.append,
        )
        around = Around(
            free_slots=dict,
            runnable=lambda: None,
            claimed=lambda _: None,
            publish=lambda _: None,
            messages=self.deliverer.wake,
            died=self.deaths.append,
        )
        self.writer = Writer(GroupCommit(self.database, self.clock, rules_of(CONFIG), around))
        await self.writer.start()
        self.deliverer.start(Aftermath(self.deliveries, self.writer, self.clock, tell=self._tell))
        await work()
        await self.writer.close()
        await self.deliverer.stop(60.0)

    def _tell(self, type_: str, data: Mapping[str, Any]) -> None:
        self.told.append((type_, dict(data)))

    async def endpoint(self, url: str, **fields: Any) -> Endpoint:
        """Register an endpoint."""
        endpoint_id = self._ids.next(ID_PREFIX, self.clock.wall_ms())
        new = {"principal": PRINCIPAL, "secret": new_secret(), "url": url, **fields}
        return await self.writer.add_endpoint(NewEndpoint(endpoint_id=endpoint_id, **new))

    async def tell(self, url: str, count: int = 1, *, endpoint: Endpoint | None = None) -> None:
        """Store so many messages for a receiver, and say so."""
        now_ms = self.clock.wall_ms()
        rows = [
            NewDelivery(
                message_id=self._ids.next("msg_", now_ms),
                delivery_id=self._ids.next("dlv_", now_ms),
                seq=n,
                event_id=n,
                type="job.completed",
                at_ms=now_ms,
                url=url,
                principal=PRINCIPAL,
                endpoint_id=None if endpoint is None else endpoint.endpoint_id,
            )
            for n in range(1, count + 1)
        ]
        await self.database.run(lambda connection: insert_messages(connection, rows))
        self.deliverer.wake({row.receiver for row in rows})

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the file."""
        return self.disk.rows(sql)

    async def over(self, receivers: Collection[str] = ()) -> None:
        """Wait until nothing waits any more, for these receivers or for all."""
        wait_s = 1.0
        while any(
            not receivers or receiver in receivers
            for (receiver,) in self.rows(
                "SELECT receiver FROM deliveries WHERE next_attempt_at IS NOT NULL"
            )
        ):
            await pause(wait_s)
            wait_s = min(1.1 * wait_s, 600)


async def _render(messages: Sequence[Message]) -> list[bytes | None]:
    return [b"{}" for _ in messages]
