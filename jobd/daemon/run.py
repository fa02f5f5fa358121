"""The composition root: what is built, in which order it starts, in which order it stops.

Start: lock, database, end the old workers, writer, void the old leases, workers, socket,
ready. Nothing waits for a plugin's import. Stop: no more claims, wait for what runs, end
the rest, let waiting requests answer, close the socket, the writer, the database.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from sqlite3 import sqlite_version

import msgspec
from aiohttp import web

from jobd.api import app as api
from jobd.api.server import bound, served
from jobd.bus import Bus
from jobd.clock import SystemClock
from jobd.config import Config, allowed_paths
from jobd.daemon import views
from jobd.daemon.rooms import egress_policy
from jobd.domain.backoff import BackoffPolicy
from jobd.domain.deliveries import Message, parse_target
from jobd.engine import recovery
from jobd.engine.commands import Commands
from jobd.engine.dispatcher import Dispatcher
from jobd.engine.kinds import Kinds, decode_catalog
from jobd.engine.scheduler import Scheduler
from jobd.files.layout import Layout
from jobd.files.logs import Logs
from jobd.pool.catalog import CatalogFailed, load_catalog
from jobd.pool.supervisor import Settings, Supervisor
from jobd.store.database import Database
from jobd.store.deliveries import Deliveries
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.writer import Writer
from jobd.systemd import Notifier
from jobd.webhooks.deliverer import Deliverer
from jobd.webhooks.sender import Sender
from jobd.wire.status import Check
from jobd.wire.webhooks import encode_notice

log = logging.getLogger(__name__)

EXIT_IO_ERROR = 74
EXIT_CONFIG = 78

WEBHOOKS_GRACE_S = 5.0
"""How long attempts under way may go on when the daemon stops; they are made again."""


class Daemon:
    """One run of the daemon."""

    def __init__(self, config: Config, environ: Mapping[str, str], layout: Layout) -> None:
        self._config = config
        self._environ = environ
        self._layout = layout
        self._clock = SystemClock()
        self._bus = Bus()
        self._kinds = Kinds()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._status = 0
        self._logs = Logs(layout.logs, head_bytes=config.limits.log_bytes)
        self._dispatcher = Dispatcher(
            self._kinds,
            self._logs,
            layout=layout,
            default_backoff=BackoffPolicy(config.jobs.backoff_base_s, config.jobs.backoff_cap_s),
            random=random.random,
        )
        self._started_at_ms = self._clock.wall_ms()
        self._notifier = Notifier(environ)
        self._egress = egress_policy(config.webhooks)

    async def run(self) -> int:
        """Start, serve, stop; return the exit status."""
        self._handle_signals()
        server = self._config.server
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(bound(server.socket, int(server.socket_mode, 8)))
            database = await Database.open(
                self._layout.database, synchronous=self._config.store.synchronous
            )
            stack.push_async_callback(database.close)
            identity = database.identity
            readers = Readers(database)
            workers_lock = await recovery.collect_old_workers(
                self._layout.workers_lock, identity.database_id, identity.start_number
            )
            stack.callback(os.close, workers_lock)
            deliverer = await stack.enter_async_context(self._webhooks(database, readers))
            writer = self._writer(database, deliverer)
            await writer.start()
            stack.push_async_callback(writer.close)
            recovered = await writer.recover()
            log.info("Leases of an older start are void.", extra=msgspec.structs.asdict(recovered))
            settings = self._settings(f"{identity.database_id}:{identity.start_number}")
            pool = Supervisor(
                settings,
                scratch=self._layout.scratch,
                artifacts=self._layout.artifacts,
                uploads=self._layout.uploads,
                listener=self._dispatcher,
                workers_lock_fd=workers_lock,
            )
            await pool.start()
            stack.push_async_callback(pool.close)
            self._dispatcher.start(pool, writer)
            await self._use_stored_catalog(readers)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for work in (
                Scheduler(writer, self._bus).run(),
                self._load_catalog(writer, settings.mark, workers_lock),
                self._notifier.feed_watchdog(database.alive),
            ):
                stack.callback(tasks.create_task(work).cancel)
            app = self._app(database, writer, readers, pool, settings)
            await stack.enter_async_context(served(app, listener))
            _spare_the_collector()
            sys.stderr.write(f"jobd is ready on {self._config.server.socket}\n")
            sys.stderr.flush()
            self._notifier.ready("Serving.")
            await self._stop.wait()
            self._notifier.stopping("Draining.")
            await self._drain(pool)
        return self._status

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)

    def _asked_to_stop(self) -> None:
        """Drain; asked a second time, do not wait for what runs."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _writer(self, database: Database, deliverer: Deliverer) -> Writer:
        return Writer(
            GroupCommit(
                database,
                self._clock,
                rules_of(self._config),
                Around(
                    publish=self._bus.publish,
                    free_slots=self._dispatcher.free_slots,
                    claimed=self._dispatcher.claimed,
                    died=self._writer_died,
                    messages=deliverer.wake,
                    runnable=lambda: self._kinds.lanes,
                ),
            )
        )

    @contextlib.asynccontextmanager
    async def _webhooks(self, database: Database, readers: Readers) -> AsyncIterator[Deliverer]:
        """Deliver what is due, until the end of the block."""
        webhooks = self._config.webhooks

        async def render(message: Message) -> bytes | None:
            jobs = await readers.get_many([message.seq])
            return encode_notice(message, jobs[message.seq]) if jobs else None

        sender = Sender(self._egress, self._clock, timeout_s=webhooks.timeout_s)
        deliverer = Deliverer(
            Deliveries(database, self._clock),
            sender,
            self._clock,
            render=render,
            policy=self._egress,
            schedule_s=webhooks.schedule_s,
            random=random.random,
            died=self._writer_died,
        )
        deliverer.start()
        try:
            yield deliverer
        finally:
            await deliverer.stop(WEBHOOKS_GRACE_S)
            await sender.close()

    def _writer_died(self, error: BaseException) -> None:
        log.critical("The database cannot be written: jobd stops.", exc_info=error)
        self._status = EXIT_IO_ERROR
        self._hurry.set()
        self._stop.set()

    def _settings(self, mark: str) -> Settings:
        pool, limits = self._config.pool, self._config.limits
        return Settings(
            cpu_workers=pool.cpu_workers or len(os.sched_getaffinity(0)),
            io_workers=pool.io_workers,
            io_concurrency=pool.io_concurrency,
            kill_grace_s=pool.kill_grace_s,
            allow_paths=allowed_paths(self._config, self._environ),
            inline_result_bytes=limits.inline_result_bytes,
            result_bytes=limits.result_bytes,
            artifact_bytes=limits.artifact_bytes,
            log_level=self._config.log.level,
            mark=mark,
        )

    async def _use_stored_catalog(self, readers: Readers) -> None:
        """Know the kinds of the last start at once: ready waits for no plugin's import."""
        stored = await readers.catalog()
        catalog = decode_catalog(stored) if stored else None
        if catalog is not None:
            self._kinds.install(catalog)

    async def _load_catalog(self, writer: Writer, mark: str, workers_lock: int) -> None:
        try:
            catalog = await load_catalog(mark, workers_lock)
        except (CatalogFailed, OSError) as failure:
            log.critical(
                "The handlers could not be looked up: those of the last start stay known.",
                extra={"reason": str(failure)},
            )
            return
        self._kinds.install(catalog)
        await writer.save_catalog(msgspec.json.encode(catalog))
        for error in catalog.errors.values():
            about = {"kind": error.kind, "distribution": error.distribution}
            log.warning("A handler did not load.", extra=about | {"reason": error.message})

    def _app(
        self,
        database: Database,
        writer: Writer,
        readers: Readers,
        pool: Supervisor,
        settings: Settings,
    ) -> web.Application:
        commands = Commands(
            self._config,
            self._clock,
            kinds=self._kinds,
            writer=writer,
            readers=readers,
            running=self._dispatcher,
            layout=self._layout,
            check_callback=lambda url: parse_target(url, self._egress),
        )
        services = api.Services(
            config=self._config,
            clock=self._clock,
            commands=commands,
            readers=readers,
            bus=self._bus,
            catalog=lambda: self._kinds.catalog,
            layout=self._layout,
            logs=self._logs,
            workers=lambda: views.workers(pool),
            rotate_secret=Deliveries(database, self._clock).rotate,
            draining=self._stop,
            slots=lambda: views.slots(settings, pool),
            ready=lambda: self._checks(readers, pool),
            instance_id=settings.mark,
            started_at_ms=self._started_at_ms,
            sqlite_version=sqlite_version,
        )
        return api.build(services)

    async def _checks(self, readers: Readers, pool: Supervisor) -> dict[str, Check]:
        began_s = self._clock.monotonic_s()
        await readers.catalog()
        latency_ms = round((self._clock.monotonic_s() - began_s) * 1000, 3)
        alive = any(worker.state != "starting" for worker in pool.workers())
        return {
            "database": Check("ok", latency_ms=latency_ms),
            "workers": Check("ok" if alive else "unavailable"),
            "draining": Check("unavailable" if self._stop.is_set() else "ok"),
        }

    async def _drain(self, pool: Supervisor) -> None:
        """Let running jobs end, then end them; submissions are taken till the very end."""
        log.info("jobd drains.")
        self._dispatcher.pause()
        drain_s = 0.0 if self._hurry.is_set() else self._config.pool.drain_s
        draining = asyncio.create_task(pool.drain(drain_s))
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not draining.done():
            await pool.drain(0.0)
        await draining
        await self._dispatcher.settled()


def _spare_the_collector() -> None:
    """Have the garbage collector leave alone what the imports made, and look less often.

    A request's objects die by their reference counts; walking the modules for cycles after
    every few hundred of them was 6 % of a submission.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
