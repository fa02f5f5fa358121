"""One simulated daemon: the real rooms, joined as jobd/daemon/run.py joins them.

Real: writer, group commit, dispatcher, kinds, commands, scheduler, retention, deliverer, and
the pool. Made up: the database's thread, the workers' processes, the receivers, the clocks.

Not here: when it is killed (chaos.py), what its clients ask (clients.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from jobd.bus import Bus
from jobd.config import Config, Jobs, Limits, Queue, Webhooks
from jobd.config import Retention as Keeping
from jobd.domain.backoff import BackoffPolicy
from jobd.domain.breaker import BreakerRules
from jobd.domain.catalog import Catalog, HandlerSpec, Lane
from jobd.domain.deliveries import parse_target
from jobd.domain.endpoints import EndpointChange, NewEndpoint
from jobd.domain.errors import JobdError
from jobd.engine.commands import Commands
from jobd.engine.dispatcher import Dispatcher
from jobd.engine.kinds import Kinds
from jobd.engine.queues import unpark
from jobd.engine.retention import Retention
from jobd.engine.scheduler import Scheduler
from jobd.files.logs import Logs
from jobd.store.deliveries import Deliveries
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.writer import Writer
from jobd.webhooks import egress
from jobd.webhooks.aftermath import Aftermath
from jobd.webhooks.deliverer import Deliverer
from jobd.webhooks.receivers import Lines
from jobd.wire.webhooks import encode_notice
from tests.sim.child import SHORT
from tests.sim.disk import Disk, SimDatabase
from tests.sim.pool import SimPool
from tests.sim.receiver import SimSender
from tests.sim.weather import SimClock, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from jobd.domain.breaker import BreakerState
    from jobd.domain.deliveries import Message
    from jobd.domain.events import Event
    from jobd.domain.jobs import Claim
    from jobd.files.layout import Layout
    from tests.sim.hands import Hands
    from tests.sim.loop import Life
    from tests.sim.receiver import Received
    from tests.sim.weather import Machine

CONFIG = Config(
    jobs=Jobs(timeout_s=30, max_age_s=150, handler_missing_s=120, backoff_cap_s=20),
    limits=Limits(queued_jobs=16, queued_jobs_per_principal=10),
    queues={"narrow": Queue(concurrency=1)},
    retention=Keeping(default_s=90, max_jobs=20),
    webhooks=Webhooks(schedule_s=(2, 10, 30)),
)
KINDS: dict[str, Lane] = {
    "sim.cpu": "cpu",
    SHORT: "cpu",
    "sim.io": "io",
    "sim.moves": "cpu",
}
ENDPOINT = NewEndpoint(
    endpoint_id="whe_1",
    principal="uid:0",
    url="https://endpoint.example/hook",
    secret="whsec_" + "A" * 32,
    kinds=("sim.cpu", "sim.io"),
)
BREAKER = BreakerRules(failures=3, first_wait_s=5, longest_wait_s=20)
SETTLE_S = 5.0
WEBHOOKS_GRACE_S = 5.0


class House:
    """A daemon between its start and its end."""

    def __init__(
        self,
        life: Life,
        disk: Disk,
        machine: Machine,
        *,
        seed: int,
        layout: Layout,
        died: Callable[[BaseException], None],
        received: Received,
    ) -> None:
        self.life = life
        self.serving = False
        self.recovering = False
        self.connections: set[asyncio.Future[Any]] = set()
        self.clock = SimClock(machine)
        self.kinds = Kinds()
        self.bus = Bus()
        self._disk = disk
        self._died = died
        self._layout = layout
        self._random = stream(seed, life.name).random
        self._tasks: list[asyncio.Task[None]] = []
        self.dispatcher = Dispatcher(
            self.kinds,
            Logs(layout.logs, head_bytes=1000),
            layout=layout,
            default_backoff=BackoffPolicy(CONFIG.jobs.backoff_base_s, CONFIG.jobs.backoff_cap_s),
            random=self._random,
        )
        self.sender = SimSender(
            self.clock, stream(seed, f"receivers of {life.name}"), disk.weather, received
        )

    async def start(self, hands: Hands, lanes: dict[str, Lane]) -> None:
        """Begin as the daemon does, with these kinds; the workers of older ones are dead."""
        self.database = SimDatabase(self._disk, self._died)
        self.readers = Readers(self.database)
        self.deliverer = self._deliverer()
        self.writer = self._writer()
        await self.writer.start()
        self.deliverer.start(
            Aftermath(
                Deliveries(self.database, self.clock), self.writer, self.clock, tell=self._tell
            ),
            Lines(BREAKER, self._breaker_moved),
        )
        self.recovering = True
        await self.writer.recover()
        self.recovering = False
        self.pool = SimPool(self.dispatcher, hands)
        await self.pool.start()
        self.dispatcher.start(self.pool, self.writer)
        self.commands = self._commands()
        self.begin(Scheduler(self.writer, self.bus, self.clock).run())
        self.begin(self.writer.count())
        self.begin(self._retention().run())
        self.begin(self.install(lanes))
        self.begin(self._keep_endpoint())
        self.serving = True

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Have this go on beside the requests until the daemon stops."""
        context = self.life.context
        task = asyncio.get_running_loop().create_task(self._to_the_end(work), context=context)
        self._tasks.append(task)

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - it ends the daemon
            self._died(error)

    async def _keep_endpoint(self) -> None:
        """Register an endpoint, or enable it again if it has been disabled."""
        with contextlib.suppress(JobdError):
            mine = self.writer.endpoints.of(ENDPOINT.principal)
            if not mine:
                await self.writer.add_endpoint(ENDPOINT)
            elif not mine[0].enabled:
                self._disk.weather.counts[f"endpoint {mine[0].disabled_reason}"] += 1
                change = EndpointChange(
                    endpoint_id=ENDPOINT.endpoint_id, principal=ENDPOINT.principal, enabled=True
                )
                await self.writer.change_endpoint(change)

    async def install(self, lanes: dict[str, Lane]) -> None:
        """Have these kinds, and no other."""
        self.kinds.install(
            Catalog({k: HandlerSpec(k, lane, "dist", "1", "m:f") for k, lane in lanes.items()})
        )
        self.writer.wake()
        await unpark(self.writer)

    def _writer(self) -> Writer:
        around = Around(
            free_slots=self.dispatcher.free_slots,
            ahead=self.dispatcher.ahead,
            runnable=lambda: self.kinds.lanes,
            claimed=self._claimed,
            publish=self._publish,
            messages=self.deliverer.wake,
            died=self._died,
        )
        return Writer(
            GroupCommit(self.database, self.clock, rules_of(CONFIG), around, ballast=self._disk)
        )

    def _claimed(self, claims: list[Claim]) -> None:
        for claim in claims:
            row = self._disk.oracle.jobs.get(claim.seq)
            if row is None or row.token != claim.token:
                self._disk.oracle.wrong(f"job {claim.seq} is handed over and its claim not stored")
        self.dispatcher.claimed(claims)

    def _publish(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.type != "job.progress" and event.id > self._disk.oracle.newest_event:
                self._disk.oracle.wrong(f"event {event.id} is published and not stored")
        self.bus.publish(events)

    def _deliverer(self) -> Deliverer:
        async def render(messages: Sequence[Message]) -> list[bytes | None]:
            jobs = await self.readers.get_many([one.seq for one in messages])
            return [
                encode_notice(one, jobs[one.seq]) if one.seq in jobs else None for one in messages
            ]

        return Deliverer(
            Deliveries(self.database, self.clock),
            self.sender,
            self.clock,
            render=render,
            policy=_POLICY,
            schedule_s=CONFIG.webhooks.schedule_s,
            random=self._random,
            died=self._died,
        )

    def _breaker_moved(self, _: str, old: BreakerState, new: BreakerState) -> None:
        self._disk.weather.counts[f"breaker {old} → {new}"] += 1

    def _tell(self, type_: str, _: Mapping[str, Any]) -> None:
        self._disk.weather.counts[f"the operator is told of {type_}"] += 1

    def _commands(self) -> Commands:
        return Commands(
            CONFIG,
            self.clock,
            kinds=self.kinds,
            writer=self.writer,
            readers=self.readers,
            running=self.dispatcher,
            layout=self._layout,
            check_callback=lambda url: parse_target(url, _POLICY),
        )

    def _retention(self) -> Retention:
        return Retention(
            CONFIG.retention,
            self.clock,
            writer=self.writer,
            database=self.database,
            uploads=self.commands.uploads,
            layout=self._layout,
            bus=self.bus,
            finished=lambda: self.writer.tally.finished if self.writer.tally.known else None,
        )

    async def stop(self, drain_s: float) -> None:
        """Drain and end, in the daemon's order."""
        self.dispatcher.pause()
        await self.pool.drain(drain_s)
        await self.dispatcher.settled(SETTLE_S)
        self.serving = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pool.close()
        await self.writer.close()
        await self.deliverer.stop(WEBHOOKS_GRACE_S)

    def tally(self) -> dict[str, Any]:
        """Return what the writer counts, of what the rows say too."""
        tally = self.writer.tally
        counted = {status.value: n for status, n in tally.statuses.items()}
        return {"known": tally.known, "finished": tally.finished, **counted}


_POLICY = egress.policy(allow_http=False, allow_private=(), allow_unix=())
