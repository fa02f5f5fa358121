"""Every way a handler can end becomes one Ended, and its files are on disk."""

import asyncio
import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.sdk import Cancelled, Context, Discard, Partial, Retry, Snooze, handler
from jobd.sdk.context import AsyncContext, JobInfo
from jobd.sdk.execution import ResultLimits, run_async, run_sync
from jobd.sdk.outcome import Ended
from jobd.sdk.testing import run_handler

LIMITS = ResultLimits(inline_result_bytes=100, result_bytes=1000)


class Link:
    """A daemon that says `stop` when told to."""

    def __init__(self, *, stop: bool = False) -> None:
        self.stop = stop

    def progress(self, **known: Any) -> None:
        """Nobody looks."""

    def heartbeat(self) -> None:
        """Nobody waits for it."""

    def cancelled(self) -> bool:
        return self.stop

    def held(self) -> nullcontext[None]:
        return nullcontext()

    def checkpoint(self, data: bytes) -> None:
        raise Cancelled  # the lease is lost


class AsyncLink:
    progress = Link.progress
    heartbeat = Link.heartbeat

    def __init__(self, *, stop: bool = False) -> None:
        self.stop = stop

    def cancelled(self) -> bool:
        return self.stop

    async def checkpoint(self, data: bytes) -> None:
        raise asyncio.CancelledError


@pytest.fixture
def info(tmp_path: Path) -> JobInfo:
    return JobInfo(
        job_id="job_1",
        kind="test",
        attempt=1,
        max_attempts=3,
        deadline=0.0,
        metadata={},
        traceparent=None,
        restored_json=None,
        scratch_dir=str(tmp_path / "scratch"),
        artifacts_dir=str(tmp_path / "artifacts" / "job_1" / "token"),
        allow_paths=(),
        artifact_bytes=50,
    )


def run(info: JobInfo, body: Any, args: bytes = b"{}", *, stop: bool = False) -> Ended:
    @handler
    def f(ctx: Context, args: dict[str, Any]) -> Any:
        return body(ctx)

    return run_sync(f, Context(info, Link(stop=stop)), args, result_limits=LIMITS)


async def run_io(info: JobInfo, body: Any, *, stop: bool = False) -> Ended:
    @handler
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> Any:
        return await body(ctx)

    return await run_async(f, AsyncContext(info, AsyncLink(stop=stop)), b"{}", result_limits=LIMITS)


def raising(exc: BaseException) -> Any:
    def body(ctx: Any) -> None:
        raise exc

    return body


def code(ended: Ended) -> tuple[str, bool]:
    assert ended.status == "failed"
    assert ended.error is not None
    return ended.error.code, ended.error.retryable


def test_a_value_is_the_result(info: JobInfo) -> None:
    ended = run(info, lambda ctx: {"n": 1})

    assert (ended.status, ended.result_json, ended.result_artifact) == (
        "completed",
        b'{"n":1}',
        None,
    )
    assert ended.duration_s >= 0


def test_none_is_no_result_and_makes_no_folder(info: JobInfo) -> None:
    ended = run(info, lambda ctx: None)

    assert (ended.status, ended.result_json, ended.result_artifact) == ("completed", None, None)
    assert not Path(info.artifacts_dir).exists()
    assert not Path(info.scratch_dir).exists()


def test_a_long_result_is_a_file(info: JobInfo) -> None:
    ended = run(info, lambda ctx: "x" * 200)

    (left,) = ended.artifacts
    assert ended.result_json is None
    assert ended.result_artifact == left.name == ".result.json"
    assert Path(left.path).read_bytes() == b'"' + b"x" * 200 + b'"'
    assert left.size_bytes == 202


def test_a_longer_result_fails_for_good(info: JobInfo) -> None:
    assert code(run(info, lambda ctx: "x" * 2000)) == ("result_too_large", False)


def _cycle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [object(), "\udc80", {(1, 2): 3}, _cycle(), Path("/etc/hostname")]
)
def test_what_is_not_json_fails_for_good(info: JobInfo, value: Any) -> None:
    assert code(run(info, lambda ctx: value)) == ("result_invalid", False)


def test_partial_says_so_only_when_something_failed(info: JobInfo) -> None:
    some = run(info, lambda ctx: Partial("r", total=3, succeeded=2, failed=1))
    none = run(info, lambda ctx: Partial("r", total=3, succeeded=3, failed=0))

    assert (some.result_json, some.summary) == (b'"r"', (3, 2, 1))
    assert (none.result_json, none.summary) == (b'"r"', None)


def test_args_that_do_not_fit_fail_for_good_and_say_where(info: JobInfo) -> None:
    class Args(msgspec.Struct):
        n: int

    @handler(args=Args)
    def f(ctx: Context, args: Args) -> int:
        return args.n

    ended = run_sync(f, Context(info, Link()), b'{"n": "1"}', result_limits=LIMITS)

    assert code(ended) == ("args_invalid", False)
    assert ended.error is not None
    assert "$.n" in ended.error.message


@pytest.mark.parametrize("args", [b"[]", b"{", b'"\xff"'])
def test_args_must_be_an_object(info: JobInfo, args: bytes) -> None:
    assert code(run(info, lambda ctx: None, args)) == ("args_invalid", False)


@pytest.mark.parametrize(
    "exc", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), MemoryError(), GeneratorExit()]
)
def test_any_exception_is_a_handler_error(info: JobInfo, exc: BaseException) -> None:
    ended = run(info, raising(exc))

    assert code(ended) == ("handler_error", True)
    assert ended.error is not None
    assert type(exc).__name__ in ended.error.message
    assert "in body" in (ended.error.traceback or "")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


def test_an_exception_that_cannot_be_printed_breaks_nothing(info: JobInfo) -> None:
    ended = run(info, raising(UnprintableError()))

    assert code(ended) == ("handler_error", True)
    msgspec.msgpack.encode(ended)


def test_a_message_with_undecodable_bytes_can_be_sent(info: JobInfo) -> None:
    ended = run(info, raising(OSError("caf\udce9.csv" * 1000)))

    assert ended.error is not None
    assert len(ended.error.message) < 10_000
    msgspec.msgpack.encode(ended)


def test_endless_recursion_is_a_handler_error(info: JobInfo) -> None:
    def forever(ctx: Any) -> Any:
        return forever(ctx)

    assert code(run(info, forever)) == ("handler_error", True)


def test_retry_discard_snooze_cancelled(info: JobInfo) -> None:
    retry = run(info, raising(Retry(5, code="busy", message="later")))
    discard = run(info, raising(Discard(code="bad_source", message="never")))
    snooze = run(info, raising(Snooze(7)))
    cancelled = run(info, raising(Cancelled()))

    assert (code(retry), retry.retry_in_s) == (("busy", True), 5)
    assert (code(discard), discard.retry_in_s) == (("bad_source", False), None)
    assert (snooze.status, snooze.snooze_in_s, snooze.error) == ("snoozed", 7, None)
    assert (cancelled.status, cancelled.error) == ("cancelled", None)


def test_the_cause_of_a_discard_is_shown(info: JobInfo) -> None:
    def body(ctx: Any) -> None:
        try:
            int("x")
        except ValueError as exc:
            raise Discard(code="bad_number") from exc

    ended = run(info, body)

    assert ended.error is not None
    assert "invalid literal" in (ended.error.traceback or "")


def test_a_lost_lease_ends_the_attempt_through_except_exception(info: JobInfo) -> None:
    def body(ctx: Context) -> None:
        try:
            ctx.checkpoint(1)
        except Exception:  # noqa: BLE001 - what a careless plugin does
            pytest.fail("swallowed")

    assert run(info, body).status == "cancelled"


def test_check_cancelled_raises_once_the_daemon_says_so(info: JobInfo) -> None:
    assert run(info, lambda ctx: ctx.check_cancelled(), stop=True).status == "cancelled"
    assert run(info, lambda ctx: ctx.check_cancelled()).status == "completed"


def test_the_failed_step_is_the_innermost(info: JobInfo) -> None:
    def body(ctx: Context) -> None:
        with ctx.step("outer"), ctx.step("inner", 1, 2):
            raise ValueError

    ended = run(info, body)

    assert ended.error is not None
    assert ended.error.failed_step == "inner"
    assert [name for name, _, _ in ended.steps] == ["inner", "outer"]


def test_a_failure_that_was_got_over_is_not_the_failed_step(info: JobInfo) -> None:
    def body(ctx: Context) -> None:
        try:
            with ctx.step("first try"):
                int("x")
        except ValueError:
            ctx.progress(message="not so")
        raise KeyError

    ended = run(info, body)

    assert ended.error is not None
    assert ended.error.failed_step is None


def test_an_exception_raised_from_a_step_s_keeps_its_step(info: JobInfo) -> None:
    def body(ctx: Context) -> None:
        try:
            with ctx.step("read"):
                Path("/nowhere/at/all").read_bytes()
        except OSError as exc:
            raise Discard(code="unreadable") from exc

    ended = run(info, body)

    assert ended.error is not None
    assert ended.error.failed_step == "read"


def test_artifacts_are_hashed_and_a_returned_path_is_the_result(info: JobInfo) -> None:
    def body(ctx: Context) -> Path:
        ctx.artifact("never-written.txt")
        ctx.artifact("notes.txt").write_bytes(b"hi")
        out = ctx.artifact("out.csv")
        out.write_bytes(b"a,b\n")
        return out

    ended = run(info, body)

    notes, out = ended.artifacts
    assert (notes.name, notes.media_type, out.name) == ("notes.txt", "text/plain", "out.csv")
    assert out.sha256 == hashlib.sha256(b"a,b\n").hexdigest()
    assert (out.size_bytes, ended.result_artifact) == (4, "out.csv")


def test_artifacts_of_a_failed_attempt_are_kept(info: JobInfo) -> None:
    def body(ctx: Context) -> None:
        ctx.artifact("log.txt").write_bytes(b"it was like this")
        ctx.artifact("link.txt").symlink_to("/etc/hostname")
        raise ValueError

    ended = run(info, body)

    assert [left.name for left in ended.artifacts] == ["log.txt"]


def _symlink(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_symlink, "result_invalid"),
        (Path.mkdir, "result_invalid"),
        (lambda path: path.write_bytes(b"x" * 51), "result_too_large"),
    ],
)
def test_an_artifact_that_is_no_small_file_fails_for_good(
    info: JobInfo, make: Any, expected: str
) -> None:
    assert code(run(info, lambda ctx: make(ctx.artifact("a")))) == (expected, False)


async def test_an_async_handler_ends_the_same_ways(info: JobInfo) -> None:
    async def value(ctx: AsyncContext) -> int:
        return 1

    async def fails(ctx: AsyncContext) -> None:
        raise Discard(code="no_way")

    async def leaves_a_file(ctx: AsyncContext) -> Path:
        path = ctx.artifact("a.txt")
        path.write_bytes(b"hi")
        return path

    async def group(ctx: AsyncContext) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails(ctx))

    assert (await run_io(info, value)).result_json == b"1"
    assert code(await run_io(info, fails)) == ("no_way", False)
    assert (await run_io(info, leaves_a_file)).result_artifact == "a.txt"
    assert code(await run_io(info, group)) == ("no_way", False)


async def test_a_long_result_of_an_async_handler_is_a_file(info: JobInfo) -> None:
    async def body(ctx: AsyncContext) -> str:
        return "x" * 200

    ended = await run_io(info, body)

    assert ended.result_artifact == ".result.json"


async def test_cancelling_the_task_cancels_the_attempt(info: JobInfo) -> None:
    started = asyncio.Event()

    async def body(ctx: AsyncContext) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run_io(info, body))
    await started.wait()
    task.cancel()

    assert (await task).status == "cancelled"


async def test_check_cancelled_and_a_lost_lease_end_an_async_attempt(info: JobInfo) -> None:
    async def checks(ctx: AsyncContext) -> None:
        ctx.check_cancelled()

    async def stores(ctx: AsyncContext) -> None:
        await ctx.checkpoint(1)

    assert (await run_io(info, checks, stop=True)).status == "cancelled"
    assert (await run_io(info, stores, stop=True)).status == "cancelled"


async def test_a_cancelled_error_that_nobody_asked_for_is_a_failure(info: JobInfo) -> None:
    async def body(ctx: AsyncContext) -> None:
        raise asyncio.CancelledError

    assert code(await run_io(info, body)) == ("handler_error", True)


def test_a_read_only_mapping_is_a_result() -> None:
    """`ctx.metadata` is one, and handlers like to give it back."""

    @handler
    def f(ctx: Context, args: dict[str, Any]) -> Any:
        return ctx.metadata

    assert run_handler(f, {}, metadata={"a": "b"}).result == {"a": "b"}
