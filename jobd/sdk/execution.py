"""One call of a handler, from its JSON args to how it ended. Used by the worker and run_handler.

Invariant: whatever the handler does, short of ending the process, an `Ended` comes back, and
every file that it names is on disk.

Not here: time limits and the end of handlers that do not listen (pool/process.py); what
becomes of the job (domain/outcomes.py).
"""

import contextlib
import functools
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from jobd.sdk.context import AsyncContext, Context, record_of, share
from jobd.sdk.endings import DEFAULT_CODE, Cancelled, Discard, Partial, Retry, Snooze
from jobd.sdk.handlers import options_of
from jobd.sdk.outcome import Ended, Error
from jobd.sdk.record import Record
from jobd.sdk.text import clean, shown

MAX_TRACEBACK_CHARS = 8000

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class ResultLimits(msgspec.Struct, frozen=True):
    """How long a JSON result may be: in the reply itself, and at all."""

    inline_result_bytes: int
    result_bytes: int


class _Answer(msgspec.Struct, frozen=True):
    """What the handler returned, encoded but not yet on disk."""

    body: bytes | None
    file: Path | None
    summary: tuple[int, int, int] | None


def _call(fn: Callable[..., Any], ctx: Context, args: object) -> Any:
    return fn(ctx, args)


def run_sync(
    fn: Callable[..., Any],
    ctx: Context,
    args_json: bytes,
    *,
    result_limits: ResultLimits,
    setup: Callable[[], Any] | None = None,
    call: Callable[..., Any] = _call,
) -> Ended:
    """Call a `def` handler, by `call`, and return how it ended. Never raises.

    What `setup` returns becomes `ctx.shared`; its time is not the attempt's.
    """
    began_s = time.monotonic()
    record = record_of(ctx)
    try:
        args = _decoded(fn, args_json)
        if setup is not None:
            began_s = _share(ctx, setup(), began_s)
        answer = _answered(call(fn, ctx, args), result_limits)
    except BaseException as exc:  # noqa: BLE001 - SystemExit and MemoryError end a job too
        ended = _raised(exc, record)
    else:
        ended = _stored(answer, record, result_limits)
    return _timed(ended, record, began_s)


async def run_async(
    fn: Callable[..., Any],
    ctx: AsyncContext,
    args_json: bytes,
    *,
    result_limits: ResultLimits,
    setup: Callable[[], Awaitable[Any]] | None = None,
) -> Ended:
    """Await an `async def` handler and return how it ended. Never raises.

    What `setup` returns becomes `ctx.shared`; its time is not the attempt's.

    To cancel, let the link's `cancelled()` say so and cancel the task that awaits this. Files
    are hashed and fsynced in a thread, so that the loop's other jobs go on; a cancel that
    comes meanwhile is too late.
    """
    import asyncio  # noqa: PLC0415 - 14 ms and 3 MB that a cpu worker need not pay

    async def aside(end: Callable[[], Ended]) -> Ended:
        work = asyncio.ensure_future(asyncio.to_thread(end))
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        return work.result()

    began_s = time.monotonic()
    record = record_of(ctx)
    try:
        args = _decoded(fn, args_json)
        if setup is not None:
            began_s = _share(ctx, await setup(), began_s)
        answer = _answered(await fn(ctx, args), result_limits)
    except BaseException as exc:  # noqa: BLE001 - SystemExit and MemoryError end a job too
        error = exc
        if isinstance(exc, asyncio.CancelledError):
            task = asyncio.current_task()
            if ctx.cancelled or (task is not None and task.cancelling()):
                error = Cancelled()
        failed = functools.partial(_raised, error, record)
        ended = await aside(failed) if record.artifacts.any else failed()
        del error, failed  # they hold this frame
    else:
        end = functools.partial(_stored, answer, record, result_limits)
        ended = await aside(end) if _needs_disk(answer, record, result_limits) else end()
    return _timed(ended, record, began_s)


def _share(ctx: Context | AsyncContext, shared: object, asked_s: float) -> float:
    """Give what the setup gave; return when the attempt began."""
    now_s = time.monotonic()
    share(ctx, shared, now_s - asked_s)
    return now_s


def _decoded(fn: Callable[..., Any], args_json: bytes) -> Any:
    wanted = options_of(fn).args
    try:
        if wanted is None:
            return _OBJECT.decode(args_json)
        return msgspec.json.decode(args_json, type=wanted, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise Discard(code="args_invalid", message=shown(exc)) from None


def _answered(value: Any, limits: ResultLimits) -> _Answer:
    summary = None
    if isinstance(value, Partial):
        if value.failed:
            summary = (value.total, value.succeeded, value.failed)
        value = value.result
    if value is None or isinstance(value, Path):
        return _Answer(None, value, summary)
    body = _encoded(value)
    if len(body) > limits.result_bytes:
        raise Discard(
            code="result_too_large",
            message=f"the result has {len(body)} bytes of JSON, over {limits.result_bytes}",
        )
    return _Answer(body, None, summary)


def _needs_disk(answer: _Answer, record: Record, limits: ResultLimits) -> bool:
    return record.artifacts.any or len(answer.body or b"") > limits.inline_result_bytes


def _stored(answer: _Answer, record: Record, limits: ResultLimits) -> Ended:
    try:
        return _completed(answer, record, limits)
    except BaseException as exc:  # noqa: BLE001 - the disk may fail in many ways
        return _raised(exc, record)


def _completed(answer: _Answer, record: Record, limits: ResultLimits) -> Ended:
    artifacts = record.artifacts.collect()
    body, name = answer.body, None
    if answer.file is not None:
        name = record.artifacts.name_of(answer.file)
        if name is None or all(left.name != name for left in artifacts):
            raise Discard(
                code="result_invalid",
                message=f"{shown(answer.file)!r} was returned, and is no file at ctx.artifact()",
            )
    elif body is not None and len(body) > limits.inline_result_bytes:
        left = record.artifacts.write_result(body)
        artifacts, body, name = (*artifacts, left), None, left.name
    return Ended(
        "completed",
        result_json=body,
        result_artifact=name,
        summary=answer.summary,
        artifacts=artifacts,
    )


def _timed(ended: Ended, record: Record, began_s: float) -> Ended:
    msgspec.structs.force_setattr(ended, "duration_s", time.monotonic() - began_s)
    if record.steps:
        msgspec.structs.force_setattr(ended, "steps", tuple(record.steps))
    return ended


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=_as_json)
    except Exception as exc:  # noqa: BLE001 - surrogates, cycles, foreign types: each its own class
        raise Discard(
            code="result_invalid", message=f"the result is not JSON: {shown(exc)}"
        ) from None


def _as_json(value: Any) -> Any:
    """Return a read-only mapping, such as `ctx.metadata`, as what JSON has for it."""
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} is no type of JSON")


def _raised(exc: BaseException, record: Record) -> Ended:
    cause = _sole(exc)
    artifacts = record.artifacts.salvage()
    if isinstance(cause, Cancelled):
        return Ended("cancelled", artifacts=artifacts)
    if isinstance(cause, Snooze):
        return Ended("snoozed", snooze_in_s=cause.in_s)
    planned = isinstance(cause, (Retry, Discard))
    error = Error(
        code=cause.code if isinstance(cause, (Retry, Discard)) else DEFAULT_CODE,
        message=_message(cause),
        retryable=not isinstance(cause, Discard),
        failed_step=record.take_failed_step(exc),
        details={} if planned else {"exception": shown(_type_name(cause))},
        traceback=None if planned and cause.__cause__ is None else _traceback(exc),
    )
    retry_in_s = cause.in_s if isinstance(cause, Retry) else None
    return Ended("failed", error=error, retry_in_s=retry_in_s, artifacts=artifacts)


def _sole(exc: BaseException) -> BaseException:
    """Unwrap groups of one: what a TaskGroup makes of a Discard raised in one of its tasks."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc


def _message(exc: BaseException) -> str:
    if isinstance(exc, (Retry, Discard)):
        return shown(exc.message)
    text = shown(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _type_name(exc: BaseException) -> str:
    return f"{type(exc).__module__}.{type(exc).__qualname__}"


def _traceback(exc: BaseException) -> str:
    try:
        lines = traceback.format_exception(exc, limit=-50)
    except BaseException as broken:  # noqa: BLE001 - an exception's own methods may raise anything
        return f"<traceback that cannot be printed: {type(broken).__name__}>"
    return clean("".join(lines), MAX_TRACEBACK_CHARS, keep_end=True)
