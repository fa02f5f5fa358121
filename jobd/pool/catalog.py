"""The catalogue child as the daemon sees it: which kinds can run, without importing a plugin.

The child announces each import. If it dies in one, or does not come back from it, that
kind is an error of the catalogue, and another child goes on behind it.

Not here: the child's side (child_catalog.py); keeping what it says (the engine).
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jobd.domain.catalog import Catalog, HandlerSpec, LoadError
from jobd.pool import linux
from jobd.pool.process import Exit, Process
from jobd.pool.protocol import CatalogDone, Importing, Loaded, NotLoaded, Tables, Up

_MODULE = "jobd.pool.child_catalog"
_CHILD = "catalog"
"""In the place of a worker's number in the mark."""

IMPORT_LIMIT_S = 60.0
_NO_TABLES: Mapping[str, dict[str, Any]] = MappingProxyType({})


class CatalogFailed(Exception):  # noqa: N818 - named for what happened
    """The catalogue child died, and no plugin can be blamed for it."""


async def load_catalog(
    mark: str,
    workers_lock_fd: int,
    *,
    import_limit_s: float = IMPORT_LIMIT_S,
    config: Mapping[str, dict[str, Any]] = _NO_TABLES,
) -> Catalog:
    """Return all installed kinds, each loaded or with the reason why it is not.

    A kind whose table in `config`, the tables of `[plugins]`, does not fit is not loaded.
    Takes as long as the plugins' imports, at most `import_limit_s` each. Raises
    CatalogFailed, or OSError when no child can be started. Leaves no process behind, also
    when it is cancelled.
    """
    linux.become_subreaper()
    reading = _Reading(import_limit_s)
    while not reading.complete:
        process = Process(
            _MODULE,
            [reading.settled],
            owner=reading,
            mark=f"{mark}:{_CHILD}",
            give=[workers_lock_fd],
        )
        reading.begin(process)
        try:
            process.send(Tables(dict(config)))
            how = await process.gone()
        except BaseException:
            process.kill()
            await process.gone()
            raise
        reading.blame(how)
    return Catalog(handlers=reading.handlers, errors=reading.errors)


class _Reading:
    """What the children have said so far (the Owner of each)."""

    def __init__(self, import_limit_s: float) -> None:
        self.handlers: dict[str, HandlerSpec] = {}
        self.errors: dict[str, LoadError] = {}
        self.complete = False
        self._import_limit_s = import_limit_s
        self._importing: Importing | None = None
        self._too_slow = False
        self._process: Process | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def settled(self) -> int:
        """How many kinds are settled, one way or the other: the next child skips them."""
        return len(self.handlers) + len(self.errors)

    def begin(self, process: Process) -> None:
        """Listen to another child."""
        self._process = process
        self._importing, self._too_slow = None, False
        self._restart_timer()

    def received(self, frame: Up, /) -> None:
        """Take what the child says."""
        match frame:
            case Importing():
                self._importing = frame
            case Loaded():
                self.handlers[frame.spec.kind] = frame.spec
                self._importing = None
            case NotLoaded():
                self._error(frame, frame.message)
                self._importing = None
            case CatalogDone():
                self.complete = True
                self._kill()  # a thread that a plugin left must not hold it
            case _:
                self._kill()
        self._restart_timer()

    def died(self, _how: Exit, /) -> None:
        """Take note that the child is dead."""
        if self._timer is not None:
            self._timer.cancel()

    def blame(self, how: Exit) -> None:
        """Settle the kind that took the child down, if it did not come to its end."""
        if self.complete:
            return
        if self._importing is None:
            raise CatalogFailed(f"The catalogue child {how} before it could import a plugin.")
        if self._too_slow:
            message = f"Importing it took longer than {self._import_limit_s:g} s."
        else:
            message = f"Importing it ended the process: it {how}."
        self._error(self._importing, message)

    def _error(self, at: Importing | NotLoaded, message: str) -> None:
        self.errors[at.kind] = LoadError(at.kind, at.distribution, at.target, message)

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._import_limit_s, self._give_up)

    def _give_up(self) -> None:
        self._too_slow = True
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
