"""What a handler may declare about itself, and the checks of it.

Invariant: a mistake is an error at import, and so a load error of that kind; never the
failure of a job. Not here: the decorator (handlers.py).
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

MAX_ATTEMPTS = 100
MIN_HEARTBEAT_S = 1.0
"""Heartbeats are sent at most ten times a second, over a connection that may be busy."""
MIN_MEMORY_MB = 64
"""The worker itself counts, and is about half of that."""
SETUP_TIMEOUT_S = 60.0

_QUEUE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,99}")

NO_PROGRAMS: Mapping[str, str] = MappingProxyType({})


class Backoff(msgspec.Struct, frozen=True):
    """How long a failed attempt waits for the next: up to base_s * 2**failures, at most cap_s.

    The wait is drawn from the whole range, so that jobs that failed together do not come
    back together.
    """

    base_s: float = 1.0
    cap_s: float = 3600.0

    def __post_init__(self) -> None:
        if not (0 < self.base_s <= self.cap_s < math.inf):
            raise ValueError(f"expected 0 < base_s <= cap_s, got {self.base_s} and {self.cap_s}")


class Options(msgspec.Struct, frozen=True):
    """What a handler declared about itself; None leaves it to the daemon's settings."""

    args: type[msgspec.Struct] | None = None
    queue: str = "default"
    timeout_s: float | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    heartbeat_timeout_s: float | None = None
    """How long it may give no sign of life: progress, step, checkpoint or `ctx.heartbeat()`."""
    memory_mb: int | None = None
    """How much its worker and its programs may take together. Not for an `async def`, which
    shares its worker: nobody could tell whose memory it is."""
    config: type[msgspec.Struct] | None = None
    """What the table `[plugins.<distribution>]` is read as; one that does not fit is a load
    error. Several handlers may each declare a part of it, if they forbid no unknown fields."""
    setup: Callable[[Any], Any] | None = None
    """For what is dear to make and good for many jobs: a connection, a model.

    `setup(config)` runs once in each worker, before the first job of a kind that names it, and
    what it gives is `ctx.shared`. It may be a generator: what follows its `yield` is run
    when the worker leaves, if it is not killed. For an `async def` handler it may be an `async
    def` too; a plain one runs in a thread there. Handlers that name the same function and
    config share what it gives. If it fails, so does the attempt (`setup_failed`), and the
    next one tries again."""
    setup_timeout_s: float = SETUP_TIMEOUT_S
    """When a setup's worker is ended; the attempt's own time begins behind the setup."""
    programs: Mapping[str, str] = NO_PROGRAMS
    """What it runs besides itself: each program with the Debian package that has it. While
    one is not installed the kind cannot run, and whoever asks for it is told the package."""


def check(options: Options) -> None:
    """Raise TypeError or ValueError if an option cannot be, whatever the function."""
    attempts, heartbeat_s = options.max_attempts, options.heartbeat_timeout_s
    for name in ("args", "config"):
        wanted = getattr(options, name)
        if wanted is not None and not _is_struct(wanted):
            raise TypeError(f"{name} must be a subclass of msgspec.Struct, got {wanted!r}")
    if not _QUEUE.fullmatch(options.queue):
        raise ValueError(f"queue must match ^{_QUEUE.pattern}$, got {options.queue!r}")
    for name in ("timeout_s", "setup_timeout_s"):
        limit_s = getattr(options, name)
        if limit_s is not None and not 0 < limit_s < math.inf:
            raise ValueError(f"{name} must be above 0, got {limit_s!r}")
    if attempts is not None and not 1 <= attempts <= MAX_ATTEMPTS:
        raise ValueError(f"max_attempts must be 1 to {MAX_ATTEMPTS}, got {attempts!r}")
    if not isinstance(options.backoff, Backoff | None):
        raise TypeError(f"backoff must be a Backoff, got {options.backoff!r}")
    if heartbeat_s is not None and not MIN_HEARTBEAT_S <= heartbeat_s < math.inf:
        raise ValueError(
            f"heartbeat_timeout_s must be {MIN_HEARTBEAT_S:g} or more, got {heartbeat_s!r}"
        )
    _check_memory(options.memory_mb)
    _check_programs(options.programs)


def check_function(options: Options, function: Callable[..., Any]) -> None:
    """Raise TypeError or ValueError if a function cannot be a handler with these options."""
    if not inspect.isfunction(function):
        raise TypeError(f"a handler is a function, got {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator: calling it would run nothing")
    _check_takes(function, "(ctx, args)", 2)
    is_async = inspect.iscoroutinefunction(function)
    if is_async and options.memory_mb is not None:
        raise ValueError(
            "memory_mb cannot be kept for an async def, which shares its worker with other "
            "jobs: nobody can tell whose memory it is. Make it a def, or leave memory_mb out."
        )
    if options.setup is not None:
        _check_setup(options.setup, function, is_async=is_async)


def _check_memory(memory_mb: int | None) -> None:
    if memory_mb is None:
        return
    if not isinstance(memory_mb, int) or isinstance(memory_mb, bool):
        raise TypeError(f"memory_mb must be a whole number, got {memory_mb!r}")
    if memory_mb < MIN_MEMORY_MB:
        raise ValueError(
            f"memory_mb must be {MIN_MEMORY_MB} or more (the worker counts), got {memory_mb}"
        )


def _check_programs(programs: Mapping[str, str]) -> None:
    if not isinstance(programs, Mapping):
        raise TypeError(f"programs must be a dict of program to package, got {programs!r}")
    for name in (*programs, *programs.values()):
        if not isinstance(name, str) or not _PROGRAM.fullmatch(name):
            raise ValueError(f"programs must match ^{_PROGRAM.pattern}$, got {name!r}")


def _check_setup(
    setup: Callable[[Any], Any], function: Callable[..., Any], *, is_async: bool
) -> None:
    if not inspect.isfunction(setup):
        raise TypeError(f"a setup is a function, got {setup!r}")
    _check_takes(setup, "(config)", 1)
    if not is_async and (inspect.iscoroutinefunction(setup) or inspect.isasyncgenfunction(setup)):
        raise TypeError(
            f"the setup {setup.__qualname__} is an async def and {function.__qualname__} is a "
            "def, whose worker has no event loop: make both of one kind"
        )


def _check_takes(function: Callable[..., Any], what: str, count: int) -> None:
    try:
        inspect.signature(function).bind(*[object()] * count)
    except TypeError:
        raise TypeError(f"{function.__qualname__} must take {what}") from None


def _is_struct(wanted: object) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)
