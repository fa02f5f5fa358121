"""What the API is given by the composition root; nothing here reaches for anything else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from jobd.api.codec import read_json
from jobd.bus import Bus
from jobd.config import Config
from jobd.domain.catalog import Catalog
from jobd.domain.clock import Clock
from jobd.domain.estimates import Estimate, Position
from jobd.domain.jobs import Job, NewJob
from jobd.engine.commands import Commands
from jobd.engine.endings import Endings
from jobd.engine.endpoints import Webhooks
from jobd.files.layout import Layout
from jobd.files.logs import Logs
from jobd.store.readers import Readers
from jobd.store.tally import Tally
from jobd.store.tokens import Tokens
from jobd.wire.status import Check, Slots
from jobd.wire.workers import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The rooms behind the API."""

    config: Config
    clock: Clock
    commands: Commands
    readers: Readers
    bus: Bus
    endings: Endings
    """How jobs end that are waited for."""
    catalog: Callable[[], Catalog | None]
    """The newest catalogue; None until the first one."""
    reload_handlers: Callable[[], Awaitable[None]]
    """Looks the handlers up again, and has what starts from then on run their new code."""
    layout: Layout
    """Where stored files are."""
    logs: Logs
    draining: asyncio.Event
    """Set when the daemon stops: requests that wait are answered at once."""
    slots: Callable[[], Mapping[str, Slots]]
    """Capacity by lane."""
    workers: Callable[[], list[Worker]]
    tokens: Tokens
    """Who may come by a token, and the key that tokens of jobs are made with."""
    webhooks: Webhooks
    """Endpoints, and what was sent to them."""
    ready: Callable[[], Awaitable[Mapping[str, Check]]]
    """The conditions of `/readyz`."""
    instance_id: str
    started_at_ms: int
    sqlite_version: str
    estimate: Callable[[Job, int, Position | None], Estimate]
    """What may be expected of a job at a time (ms); of a queued one little without its position."""
    estimate_new: Callable[[NewJob, int], Estimate]
    """The same of a job that has just been stored."""
    estimated_wait_s: Callable[[], float | None]
    """How long a job submitted now would wait; None if that is not known."""
    tally: Callable[[], Tally]
    """Jobs by what they wait for."""
    storage_full: Callable[[], bool]
    """Whether nothing is claimed because there is no room on disk."""
    body_timeout_s: float = 10.0
    """How long a client may take to send a body."""
    stall_timeout_s: float = 30.0
    """How long it may send nothing of an upload."""
    keep_alive_s: float = 15.0
    """How long a stream may be silent."""
    introduction_timeout_s: float = 5.0
    """How long a client may take to say who it is in its first message."""
    heartbeat_s: float = 30.0
    """How long a WebSocket may be silent before its client is asked whether it is there."""
    progress_interval_s: float = 0.5
    """At most one event in it tells of a job's progress."""

    def read_json(self, request: web.Request) -> Awaitable[bytes]:
        """Return the body of a request that says it is JSON; raises what `codec.read_json` does."""
        limit_bytes = self.config.limits.body_bytes
        return read_json(request, limit_bytes=limit_bytes, timeout_s=self.body_timeout_s)

    @property
    def public_url(self) -> str:
        """What URLs in answers begin with; empty when they are relative."""
        return self.config.server.public_url.rstrip("/")
