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
import socket
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from sqlite3 import sqlite_version
from typing import Any

import msgspec
from aiohttp import web

from jobd.api import app as api
from jobd.api.server import served
from jobd.bus import Bus
from jobd.config import Config
from jobd.daemon import catalog, listening, views
from jobd.daemon.outgoing import Outgoing, check_ops_url
from jobd.daemon.rooms import egress_policy, limits_of, pool_settings
from jobd.domain.backoff import BackoffPolicy
from jobd.domain.clock import Clock
from jobd.domain.deliveries import parse_target
from jobd.domain.errors import Unavailable
from jobd.domain.jobs import Claim
from jobd.engine import recovery
from jobd.engine.commands import Commands
from jobd.engine.dispatcher import Dispatcher
from jobd.engine.endings import Endings
from jobd.engine.endpoints import Webhooks
from jobd.engine.estimates import Estimates
from jobd.engine.kinds import Kinds
from jobd.engine.retention import Retention
from jobd.engine.scheduler import Scheduler
from jobd.engine.sweep import Sweep
from jobd.files.layout import Layout
from jobd.files.logs import Logs
from jobd.files.reserve import Reserve
from jobd.pool.supervisor import Settings, Supervisor
from jobd.store.database import Database, DatabaseUnusable
from jobd.store.deliveries import Deliveries
from jobd.store.delivery_log import DeliveryLog
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.named import Named
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.tokens import Tokens
from jobd.store.writer import Writer
from jobd.systemd import Notifier
from jobd.webhooks import egress
from jobd.webhooks.deliverer import Deliverer

log = logging.getLogger(__name__)

EXIT_IO_ERROR = 74
EXIT_CONFIG = 78

SETTLE_S = 5.0
"""How long a stop waits for outcomes that cannot be written; the next start finds their jobs."""


class Daemon:
    """One run of the daemon."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], layout: Layout, clock: Clock
    ) -> None:
        self._config = config
        self._environ = environ
        self._layout = layout
        self._clock = clock
        self._bus = Bus()
        self._kinds = Kinds()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._asked_to_reload = asyncio.Event()
        self._status = 0
        self._logs = Logs(layout.logs, head_bytes=config.limits.log_bytes)
        self._endings = Endings()
        self._dispatcher = Dispatcher(
            self._kinds,
            self._logs,
            layout=layout,
            default_backoff=BackoffPolicy(config.jobs.backoff_base_s, config.jobs.backoff_cap_s),
            random=random.random,
            endings=self._endings,
        )
        self._started_at_ms = self._clock.wall_ms()
        self._notifier = Notifier(environ)
        self._egress = egress_policy(config.webhooks, config.server.socket)
        self._reserve = Reserve(layout.reserve, min_free_bytes=config.files.min_free_bytes)
        self._estimates: Estimates

    async def run(self) -> int:
        """Start, serve, stop; return the exit status."""
        try:
            return await self._run()
        except Exception:
            if not self._status:
                raise
            return self._status  # it broke while it started, which has been logged

    async def _run(self) -> int:
        self._handle_signals()
        server = self._config.server
        async with contextlib.AsyncExitStack() as stack:
            listeners = stack.enter_context(listening.listeners(server))
            self._egress = egress.without(self._egress, listeners[1:])
            check_ops_url(self._config, self._egress)
            database = await self._database(stack)
            identity = database.identity
            workers_lock = await recovery.collect_old_workers(
                self._layout.workers_lock, identity.database_id, identity.start_number
            )
            stack.callback(os.close, workers_lock)
            readers = Readers(database)
            tokens = await self._tokens(stack, database)
            outgoing = Outgoing(
                self._config,
                self._clock,
                self._egress,
                database=database,
                died=self._database_broke,
            )
            stack.push_async_callback(outgoing.close)
            mark = f"{identity.database_id}:{identity.start_number}"
            settings = pool_settings(self._config, self._environ, mark)
            writer = self._writer(database, outgoing, settings)
            await writer.start()
            stack.push_async_callback(writer.close)
            outgoing.start(writer)
            recovered = await writer.recover()
            log.info("Leases of an older start are void.", extra=msgspec.structs.asdict(recovered))
            await catalog.use_stored(self._kinds, readers)
            pool = self._pool(settings, workers_lock)
            await pool.start()
            stack.push_async_callback(pool.close)
            self._dispatcher.start(pool, writer)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            commands = self._commands(writer, readers)
            handlers = catalog.Handlers(
                self._kinds,
                writer,
                settings,
                workers_lock=workers_lock,
                renew_workers=pool.renew,
            )
            background = self._background(database, writer, readers, commands, handlers)
            for work in (*background, *outgoing.background()):
                stack.callback(tasks.create_task(self._to_the_end(work)).cancel)
            app = self._app(
                database, writer, commands, pool, settings, handlers, tokens, outgoing.deliverer
            )
            await stack.enter_async_context(self._served(app, listeners))
            _spare_the_collector()
            sys.stderr.write(f"jobd is ready on {listening.places(server, listeners)}\n")
            sys.stderr.flush()
            self._notifier.ready("Serving.")
            await self._stop.wait()
            self._notifier.stopping("Draining.")
            await self._drain(pool)
        return self._status

    def _served(
        self, app: web.Application, listeners: Sequence[socket.socket]
    ) -> contextlib.AbstractAsyncContextManager[object]:
        limit, proxies = self._config.limits.connections, self._config.auth.proxy_uids
        return served(app, listeners, self._clock, connections=limit, proxy_uids=proxies)

    async def _database(self, stack: contextlib.AsyncExitStack) -> Database:
        database = await Database.open(
            self._layout.database,
            synchronous=self._config.store.synchronous,
            make_room=self._reserve.give_up,
            broken=self._database_broke,
        )
        stack.push_async_callback(database.close)
        return database

    async def _tokens(self, stack: contextlib.AsyncExitStack, database: Database) -> Tokens:
        tokens = Tokens(database, self._clock)
        await tokens.load()
        stack.push_async_callback(tokens.close)
        listening.check_tokens(self._config.server, tokens)
        return tokens

    def _background(
        self,
        database: Database,
        writer: Writer,
        readers: Readers,
        commands: Commands,
        handlers: catalog.Handlers,
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """Return what runs beside the requests until the daemon stops."""
        yield Scheduler(writer, self._bus, self._clock).run()
        yield handlers.load()
        yield self._reload_when_asked(handlers)
        yield self._notifier.feed_watchdog(database.alive)
        yield self._learn(writer, readers)
        retention = Retention(
            self._config.retention,
            self._clock,
            writer=writer,
            database=database,
            uploads=commands.uploads,
            layout=self._layout,
            bus=self._bus,
            finished=lambda: writer.tally.finished if writer.tally.known else None,
        )
        yield retention.run()
        yield Sweep(Named(database), commands.uploads, self._layout, self._clock).run()

    async def _learn(self, writer: Writer, readers: Readers) -> None:
        """Find out what takes too long to be known at the start."""
        await writer.count()
        await self._estimates.learn_from_past(readers)

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        """See a task to its end; one that fails ends the daemon, and not by an exception group."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, the daemon is not whole without
            self._database_broke(error)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)

        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload.set)

    async def _reload_when_asked(self, handlers: catalog.Handlers) -> None:
        """Load the handlers again at each SIGHUP."""
        while await self._asked_to_reload.wait():
            self._asked_to_reload.clear()
            try:
                await handlers.reload()
            except Unavailable as failure:
                log.error("The handlers stay as they are.", extra={"reason": failure.detail})  # noqa: TRY400 - what it says is all that is known

    def _asked_to_stop(self) -> None:
        """Drain; asked a second time, do not wait for what runs."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _writer(self, database: Database, outgoing: Outgoing, settings: Settings) -> Writer:
        def claimed(claims: list[Claim]) -> None:
            outgoing.claimed(claims)
            self._estimates.claimed(claims)
            self._dispatcher.claimed(claims)

        around = Around(
            publish=self._bus.publish,
            free_slots=self._dispatcher.free_slots,
            ahead=self._dispatcher.ahead,
            claimed=claimed,
            died=self._database_broke,
            messages=outgoing.deliverer.wake,
            storage_low=outgoing.ops.storage_low,
            runnable=lambda: self._kinds.lanes,
        )
        rules = rules_of(self._config)
        writer = Writer(GroupCommit(database, self._clock, rules, around, ballast=self._reserve))
        self._estimates = Estimates(
            self._clock,
            self._bus,
            slots=views.capacity(settings),
            free=self._dispatcher.free_slots,
            tally=lambda: writer.tally,
        )
        return writer

    def _pool(self, settings: Settings, workers_lock: int) -> Supervisor:
        return Supervisor(
            settings,
            scratch=self._layout.scratch,
            artifacts=self._layout.artifacts,
            uploads=self._layout.uploads,
            listener=self._dispatcher,
            workers_lock_fd=workers_lock,
            limits_of=limits_of(self._kinds),
        )

    def _database_broke(self, error: BaseException) -> None:
        if self._status:
            return  # what fails now fails because of the first
        log.critical("The daemon cannot go on: it stops.", exc_info=error)
        self._status = EXIT_CONFIG if isinstance(error, DatabaseUnusable) else EXIT_IO_ERROR
        self._hurry.set()
        self._stop.set()

    def _commands(self, writer: Writer, readers: Readers) -> Commands:
        return Commands(
            self._config,
            self._clock,
            kinds=self._kinds,
            writer=writer,
            readers=readers,
            running=self._dispatcher,
            layout=self._layout,
            check_callback=lambda url: parse_target(url, self._egress),
        )

    def _app(
        self,
        database: Database,
        writer: Writer,
        commands: Commands,
        pool: Supervisor,
        settings: Settings,
        handlers: catalog.Handlers,
        tokens: Tokens,
        deliverer: Deliverer,
    ) -> web.Application:
        readers = Readers(database)
        services = api.Services(
            config=self._config,
            clock=self._clock,
            commands=commands,
            readers=readers,
            bus=self._bus,
            endings=self._endings,
            catalog=lambda: self._kinds.catalog,
            reload_handlers=handlers.reload,
            layout=self._layout,
            logs=self._logs,
            workers=lambda: views.workers(pool),
            tokens=tokens,
            webhooks=self._webhook_commands(database, writer, deliverer),
            draining=self._stop,
            slots=lambda: views.slots(settings, pool),
            ready=lambda: views.checks(readers, writer, pool, draining=self._stop.is_set()),
            estimate=self._estimates.of_job,
            estimate_new=self._estimates.of_new,
            estimated_wait_s=self._estimates.wait_s,
            tally=lambda: writer.tally,
            storage_full=lambda: writer.storage_full,
            instance_id=settings.mark,
            started_at_ms=self._started_at_ms,
            sqlite_version=sqlite_version,
        )
        return api.build(services)

    def _webhook_commands(
        self, database: Database, writer: Writer, deliverer: Deliverer
    ) -> Webhooks:
        return Webhooks(
            writer,
            DeliveryLog(database, self._clock, due=deliverer.wake),
            self._clock,
            policy=self._egress,
            rotate=Deliveries(database, self._clock).rotate,
            changed=lambda endpoint_id: deliverer.wake([endpoint_id]),
        )

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
        await self._dispatcher.settled(SETTLE_S)


def _spare_the_collector() -> None:
    """Have the garbage collector leave alone what the imports made, and look less often.

    A request's objects die by their reference counts; walking the modules for cycles after
    every few hundred of them was 6 % of a submission. Dead workers and dials that failed are
    cycles: what of them has outlived one look must not wait for the twentieth, hours later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 2, 2)
