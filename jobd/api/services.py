"""What the API is given by the composition root; nothing here reaches for anything else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobd.bus import Bus
from jobd.config import Config
from jobd.domain.catalog import Catalog
from jobd.domain.clock import Clock
from jobd.engine.commands import Commands
from jobd.store.readers import Readers
from jobd.wire.status import Check, Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The rooms behind the API."""

    config: Config
    clock: Clock
    commands: Commands
    readers: Readers
    bus: Bus
    catalog: Callable[[], Catalog | None]
    """The newest catalogue; None until the first one."""
    artifacts: Path
    """The folder below which stored files lie."""
    draining: asyncio.Event
    """Set when the daemon stops: requests that wait are answered at once."""
    slots: Callable[[], Mapping[str, Slots]]
    """Capacity by lane."""
    ready: Callable[[], Awaitable[Mapping[str, Check]]]
    """The conditions of `/readyz`."""
    instance_id: str
    started_at_ms: int
    sqlite_version: str
    body_timeout_s: float = 10.0
    """How long a client may take to send a body."""
