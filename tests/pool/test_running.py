"""What a handler does, as the outcome the daemon sees."""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.jobs import Claim, Progress, Summary
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Failed,
    Interrupted,
    NotStarted,
    Outcome,
    Snoozed,
)

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]
MARK = f"setup{os.getpid()}"


def value_of(outcome: Outcome) -> object:
    assert isinstance(outcome, Completed), outcome
    assert outcome.result is not None
    assert outcome.result.body is not None
    return msgspec.json.decode(outcome.result.body)


async def test_a_def_handler_gets_the_args_and_its_result_comes_back(
    pool: "Pool", claim: MakeClaim
) -> None:
    outcome = await pool.run(claim("test.echo", {"a": [1, "ü"]}))

    assert value_of(outcome) == {"a": [1, "ü"]}
    assert isinstance(outcome, Completed)
    assert outcome.result is not None
    assert outcome.result.size_bytes == len(outcome.result.body or b"")
    assert outcome.evidence["handler"] == "jobd-test-plugin 1.0"
    assert outcome.evidence["cpu_seconds"] > 0


async def test_async_def_handlers_run_at_the_same_time_in_one_worker(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    sleepers = [
        await io_pool.begin(claim("test.asleep", lane="io", timeout_s=60)) for _ in range(9)
    ]

    outcome = await io_pool.run(claim("test.aecho", {"b": 2}, lane="io"))

    assert value_of(outcome) == {"b": 2}
    assert len(io_pool.worker.tokens) == len(sleepers)
    assert io_pool.supervisor.free() == {"cpu": 0, "io": 1}
    await io_pool.supervisor.drain(0)
    assert {type(await sleeper) for sleeper in sleepers} == {Interrupted}


@pytest.mark.parametrize("size_bytes", [60_000, 70_000, 250_000])
@pytest.mark.parametrize(("kind", "lane"), [("test.echo", "cpu"), ("test.aecho", "io")])
async def test_args_of_any_length_arrive(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str, size_bytes: int
) -> None:
    pool = await start_pool(io_workers=1, inline_result_bytes=300_000, result_bytes=300_000)
    text = "x" * size_bytes
    claims = [claim(kind, {"text": text}, lane=lane) for _ in range(10 if lane == "io" else 1)]

    outcomes = await asyncio.gather(*map(pool.run, claims))

    assert [value_of(outcome) for outcome in outcomes] == [{"text": text}] * len(claims)


async def test_a_claim_without_a_free_slot_was_not_started(pool: "Pool", claim: MakeClaim) -> None:
    await pool.begin(running := claim("test.sleep", {"seconds": 60}))

    assert await pool.supervisor.run(claim("test.echo")) == NotStarted()
    assert pool.supervisor.cancel(running.token)


async def test_progress_is_merged_and_steps_are_timed(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(reported := claim("test.progress"))

    shown = [progress for token, progress in pool.listener.shown if token == reported.token]
    assert shown[0] == Progress(pct=25.0, done=1, total=4, message="one")
    assert shown[-1] == Progress(
        pct=100.0, done=1, total=4, step="second", step_index=2, step_count=2, message="one"
    )
    assert isinstance(outcome, Completed)
    assert [step["name"] for step in outcome.evidence["steps"]] == ["second"]


@pytest.mark.parametrize(
    ("kind", "lane", "written"),
    [
        ("test.checkpoint", "cpu", [b'{"row":7}']),
        ("test.acheckpoint", "io", [b'{"row":1}', b'{"row":2}', b'{"row":3}']),
    ],
)
async def test_a_handler_goes_on_when_its_checkpoint_is_durable(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str, written: list[bytes]
) -> None:
    pool = await start_pool(io_workers=1)
    pool.listener.storable.clear()

    task = asyncio.create_task(pool.run(claim(kind, lane=lane)))
    await pool.listener.until(lambda: pool.listener.checkpoints == written)
    waiting = not task.done()
    pool.listener.storable.set()

    assert waiting
    assert isinstance(await task, Completed)


@pytest.mark.parametrize(("kind", "lane"), [("test.checkpoint", "cpu"), ("test.acheckpoint", "io")])
async def test_a_handler_whose_lease_is_lost_ends_at_its_checkpoint(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start_pool(io_workers=1)
    pool.listener.durable = False

    outcome = await pool.run(claim(kind, lane=lane))

    assert isinstance(outcome, Interrupted)


async def test_threads_of_a_handler_may_share_its_context(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.crowd"))

    assert isinstance(outcome, Completed)
    assert len(pool.listener.checkpoints) == 200


async def test_a_later_attempt_finds_the_checkpoint(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.checkpoint", checkpoint=b'{"row":7}'))

    assert value_of(outcome) == {"row": 7}


async def test_artifacts_and_a_file_as_the_result(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(made := claim("test.artifact"))

    assert isinstance(outcome, Completed)
    notes, table = outcome.artifacts
    assert (notes.name, notes.media_type, notes.size_bytes) == ("notes.txt", "text/plain", 6)
    assert notes.path == f"{made.job_id}/{made.token}/notes.txt"
    assert (pool.artifacts / table.path).read_text() == "a,b\n"
    assert outcome.result is not None
    assert (outcome.result.path, outcome.result.filename) == (table.path, "table.csv")
    assert outcome.result.sha256 == table.sha256


async def test_a_long_result_is_a_file_and_no_artifact(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.big", {"bytes": 100_000}))

    assert isinstance(outcome, Completed)
    assert outcome.artifacts == ()
    assert outcome.result is not None
    assert (outcome.result.media_type, outcome.result.filename) == ("application/json", None)
    assert (pool.artifacts / str(outcome.result.path)).stat().st_size == 100_002


async def test_a_partial_result_keeps_its_counts(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.partial"))

    assert isinstance(outcome, Completed)
    assert (outcome.partial, outcome.summary) == (True, Summary(3, 2, 1))


@pytest.mark.parametrize(
    ("kind", "code", "retryable", "retry_in_s"),
    [
        ("test.raise", "handler_error", True, None),
        ("test.retry", "rate_limited", True, 30.0),
        ("test.discard", "source_not_found", False, None),
        ("test.cancelled", "handler_error", True, None),
    ],
)
async def test_failures(
    pool: "Pool",
    claim: MakeClaim,
    kind: str,
    code: str,
    retryable: bool,
    retry_in_s: float | None,
) -> None:
    outcome = await pool.run(claim(kind))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == (code, retryable)
    assert outcome.retry_in_s == retry_in_s


async def test_a_failure_names_its_step_and_keeps_its_traceback(
    pool: "Pool", claim: MakeClaim
) -> None:
    outcome = await pool.run(claim("test.raise"))

    assert isinstance(outcome, Failed)
    assert outcome.error.failed_step == "break"
    assert "as planned" in outcome.evidence["traceback"]


async def test_a_snooze_names_its_wait(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.snooze"))

    assert isinstance(outcome, Snoozed)
    assert outcome.in_s == 5


async def test_the_scratch_folder_is_gone_when_the_pool_is_closed(
    pool: "Pool", claim: MakeClaim
) -> None:
    folder = value_of(await pool.run(done := claim("test.scratch")))
    await pool.supervisor.close()

    assert folder == str(pool.scratch / done.token)
    assert list(pool.scratch.iterdir()) == []


async def test_how_a_worker_is_set_up(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool(mark=f"{MARK}:1")

    found = value_of(await pool.run(claim("test.process")))

    assert isinstance(found, dict)
    assert found["session"] == found["pid"] == pool.worker.pid
    assert found["parent"] == os.getpid()
    assert found["nice"] >= 5
    assert found["oom_score_adj"] == 500
    assert found["environ"]["JOBD_WORKER"] == f"{MARK}:1:1"
    assert found["stdin"] == "/dev/null"
    assert found["threads"] == 1
    assert found["inheritable"] == []


async def test_what_speaks_to_systemd_for_the_daemon_is_not_passed_on(
    start_pool: "StartPool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY")
    for name in names:
        monkeypatch.setenv(name, "1")
    pool = await start_pool()

    found = value_of(await pool.run(claim("test.process")))

    assert isinstance(found, dict)
    assert not set(names) & set(found["environ"])


async def test_a_handler_that_forks_returns_once(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.fork"))
    after = await pool.run(claim("test.echo", {"still": "here"}))

    assert value_of(outcome) != 0
    assert value_of(after) == {"still": "here"}
    assert pool.worker.jobs_done == 2


async def test_a_cancel_of_what_does_not_run_is_refused(pool: "Pool", claim: MakeClaim) -> None:
    await pool.run(done := claim("test.echo"))

    assert not pool.supervisor.cancel(done.token)
    assert not pool.supervisor.cancel("unknown")


async def test_a_caller_that_goes_away_leaves_the_attempt_running(
    pool: "Pool", claim: MakeClaim
) -> None:
    task = await pool.begin(running := claim("test.honour"))
    task.cancel()
    await asyncio.wait([task])

    assert pool.worker.tokens == (running.token,)
    assert pool.supervisor.cancel(running.token)
    await pool.ready()


async def test_a_cancelled_handler_is_reported_as_such(pool: "Pool", claim: MakeClaim) -> None:
    task = await pool.begin(running := claim("test.honour"))
    pid = pool.worker.pid

    pool.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)
    assert pool.worker.pid == pid
