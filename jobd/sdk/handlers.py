"""`@handler`: marks a function as a job's handler and carries its options.

Not here: the options' checks (options.py), which kind it handles (the name of its entry
point, group `jobd.handlers`), and calling it (execution.py).
"""

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar, overload

from jobd.sdk.context import AsyncContext, Context
from jobd.sdk.options import (
    NO_PROGRAMS,
    SETUP_TIMEOUT_S,
    Backoff,
    Options,
    check,
    check_function,
)

_ATTRIBUTE = "__jobd__"

A = TypeVar("A")
R = TypeVar("R")

SyncHandler = Callable[[Context, A], R]
AsyncHandler = Callable[[AsyncContext, A], Coroutine[Any, Any, R]]
Setup = Callable[[Any], Any]


class _Mark(Protocol[A]):
    """The decorator: gives the function back, of the type it had."""

    @overload
    def __call__(self, fn: AsyncHandler[A, R], /) -> AsyncHandler[A, R]: ...
    @overload
    def __call__(self, fn: SyncHandler[A, R], /) -> SyncHandler[A, R]: ...


@overload
def handler(fn: AsyncHandler[dict[str, Any], R], /) -> AsyncHandler[dict[str, Any], R]: ...
@overload
def handler(fn: SyncHandler[dict[str, Any], R], /) -> SyncHandler[dict[str, Any], R]: ...
@overload
def handler(
    *,
    args: type[A],
    queue: str = "default",
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    backoff: Backoff | None = None,
    heartbeat_timeout_s: float | None = None,
    memory_mb: int | None = None,
    config: type[Any] | None = None,
    setup: Setup | None = None,
    setup_timeout_s: float = SETUP_TIMEOUT_S,
    programs: Mapping[str, str] = NO_PROGRAMS,
) -> _Mark[A]: ...
@overload
def handler(
    *,
    args: None = None,
    queue: str = "default",
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    backoff: Backoff | None = None,
    heartbeat_timeout_s: float | None = None,
    memory_mb: int | None = None,
    config: type[Any] | None = None,
    setup: Setup | None = None,
    setup_timeout_s: float = SETUP_TIMEOUT_S,
    programs: Mapping[str, str] = NO_PROGRAMS,
) -> _Mark[dict[str, Any]]: ...
def handler(  # noqa: PLR0913 - one name for each option
    fn: Callable[..., Any] | None = None,
    /,
    *,
    args: type[Any] | None = None,
    queue: str = "default",
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    backoff: Backoff | None = None,
    heartbeat_timeout_s: float | None = None,
    memory_mb: int | None = None,
    config: type[Any] | None = None,
    setup: Setup | None = None,
    setup_timeout_s: float = SETUP_TIMEOUT_S,
    programs: Mapping[str, str] = NO_PROGRAMS,
) -> Any:
    """Make a function the handler of a kind: `def f(ctx, args)` or `async def f(ctx, args)`.

    A `def` gets a `Context` and has a worker process to itself while it runs; an
    `async def` gets an `AsyncContext` and shares one with other waiting jobs, so it must
    not block. Which kind it handles is the name of its entry point in `jobd.handlers`.

    `args` is a msgspec.Struct: its JSON Schema is what submissions are checked against, and
    the handler gets an instance; without it, a dict. `config` is one for `ctx.config`.
    `queue` and `max_attempts` (1 to 100) are defaults that a submission may override;
    `timeout_s` only an operator may raise. What is not given is as the daemon is configured.

    An attempt that gives no sign of life for `heartbeat_timeout_s` (1 or more) is ended, and
    tried again; so is one whose worker and programs together take more than `memory_mb` (64
    or more; for a `def` only). `setup` makes `ctx.shared`, within `setup_timeout_s`.
    `programs={"tesseract": "tesseract-ocr"}` names what must be installed, with its Debian
    package. Options (options.py) says more of each.

    Whatever msgspec can write as JSON may be returned, None for no result, `Partial` when
    some items failed, or a path from `ctx.artifact()` to make that file the result. Raise
    `Retry`, `Discard` or `Snooze` to end otherwise; any other exception fails the attempt,
    which is tried again. A job may run more than once (a crash comes between the work and
    its report): make the work safe to repeat, `ctx.job_id` and `checkpoint` help.

    Raises TypeError or ValueError when the function or an option cannot be used.
    """
    options = Options(
        args,
        queue,
        timeout_s,
        max_attempts,
        backoff,
        heartbeat_timeout_s,
        memory_mb,
        config,
        setup,
        setup_timeout_s,
        programs,
    )
    check(options)
    mark = functools.partial(_marked, options)
    return mark if fn is None else mark(fn)


def _marked(options: Options, function: Callable[..., Any]) -> Callable[..., Any]:
    check_function(options, function)
    setattr(function, _ATTRIBUTE, options)
    return function


def options_of(fn: Callable[..., Any]) -> Options:
    """Return what `@handler` was given; TypeError when `fn` is no handler."""
    options = getattr(fn, _ATTRIBUTE, None)
    if not isinstance(options, Options):
        raise TypeError(f"{fn!r} is not a handler: decorate it with @jobd.sdk.handler")
    return options


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether the handler is an `async def`: it gets an AsyncContext and the io lane."""
    return inspect.iscoroutinefunction(fn)
