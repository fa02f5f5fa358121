"""`@handler`: marks a function as a job's handler and carries its options.

The options are checked when the plugin is imported, so that a mistake is a load error of
that kind and never the failure of a job.

Not here: which kind it handles (the name of its entry point, group `jobd.handlers`), and
calling it (execution.py).
"""

import inspect
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, overload

import msgspec

from jobd.sdk.context import AsyncContext, Context

MAX_ATTEMPTS = 100

_QUEUE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_ATTRIBUTE = "__jobd__"

A = TypeVar("A")
R = TypeVar("R")

SyncHandler = Callable[[Context, A], R]
AsyncHandler = Callable[[AsyncContext, A], Coroutine[Any, Any, R]]


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
) -> _Mark[A]: ...
@overload
def handler(
    *,
    args: None = None,
    queue: str = "default",
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    backoff: Backoff | None = None,
) -> _Mark[dict[str, Any]]: ...
def handler(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    args: type[Any] | None = None,
    queue: str = "default",
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    backoff: Backoff | None = None,
) -> Any:
    """Make a function the handler of a kind: `def f(ctx, args)` or `async def f(ctx, args)`.

    A `def` gets a `Context` and has a worker process to itself while it runs; an
    `async def` gets an `AsyncContext` and shares one with other waiting jobs, so it must
    not block. Which kind it handles is the name of its entry point in `jobd.handlers`.

    `args` is a msgspec.Struct: its JSON Schema is what the daemon checks submissions
    against, and the handler gets an instance. Without it any object is taken and the handler
    gets a dict. `queue` and `max_attempts` (1 to 100) are defaults that a submission may
    override; the `timeout_s` of one attempt it may only lower. What is not given, `backoff`
    too, is as the daemon is configured.

    Whatever msgspec can write as JSON may be returned, None for no result, `Partial` when
    some items failed, or a path from `ctx.artifact()` to make that file the result. Raise
    `Retry`, `Discard` or `Snooze` to end otherwise; any other exception fails the attempt,
    which is tried again. A job may run more than once (a crash comes between the work and
    its report): make the work safe to repeat, `ctx.job_id` and `checkpoint` help.

    Raises TypeError or ValueError when the function or an option cannot be used.
    """
    options = Options(args, queue, timeout_s, max_attempts, backoff)
    _check(options)

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        _check_function(function)
        setattr(function, _ATTRIBUTE, options)
        return function

    return mark if fn is None else mark(fn)


def options_of(fn: Callable[..., Any]) -> Options:
    """Return what `@handler` was given; TypeError when `fn` is no handler."""
    options = getattr(fn, _ATTRIBUTE, None)
    if not isinstance(options, Options):
        raise TypeError(f"{fn!r} is not a handler: decorate it with @jobd.sdk.handler")
    return options


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether the handler is an `async def`: it gets an AsyncContext and the io lane."""
    return inspect.iscoroutinefunction(fn)


def _check(options: Options) -> None:
    args, timeout_s, attempts = options.args, options.timeout_s, options.max_attempts
    if args is not None and not (isinstance(args, type) and issubclass(args, msgspec.Struct)):
        raise TypeError(f"args must be a subclass of msgspec.Struct, got {args!r}")
    if not _QUEUE.fullmatch(options.queue):
        raise ValueError(f"queue must match ^{_QUEUE.pattern}$, got {options.queue!r}")
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise ValueError(f"timeout_s must be above 0, got {timeout_s!r}")
    if attempts is not None and not 1 <= attempts <= MAX_ATTEMPTS:
        raise ValueError(f"max_attempts must be 1 to {MAX_ATTEMPTS}, got {attempts!r}")
    if not isinstance(options.backoff, Backoff | None):
        raise TypeError(f"backoff must be a Backoff, got {options.backoff!r}")


def _check_function(function: Callable[..., Any]) -> None:
    if not inspect.isfunction(function):
        raise TypeError(f"a handler is a function, got {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator: calling it would run nothing")
    try:
        inspect.signature(function).bind(object(), object())
    except TypeError:
        raise TypeError(f"{function.__qualname__} must take (ctx, args)") from None
