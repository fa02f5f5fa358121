"""What a job writes, however it writes, is its own: whole, in order, and nobody else's."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Completed, Crashed, Failed, NotStarted, Outcome
from jobd.pool.paces import MOST, SAMPLES

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


def said(text: str) -> dict[str, list[str]]:
    """What `test.say` says, by stream."""
    return {
        "stdout": [
            f"{text} print",
            f"{text} descriptor",
            f"{text} c",
            f"{text} program",
            f"{text} c without an end, nor python",
        ],
        "stderr": [f"{text} complaint", f"{text} error"],
        "log": [f"INFO {text} ctx", f"WARNING {text}", "second line"],
    }


def by_stream(pool: "Pool", claim: Claim) -> dict[str, list[str]]:
    return {name: pool.listener.written(claim, name) for name in ("stdout", "stderr", "log")}


async def test_all_that_a_job_writes_is_passed_on_before_its_outcome(
    pool: "Pool", claim: MakeClaim
) -> None:
    await pool.run(made := claim("test.say", {"text": "ä"}))

    assert by_stream(pool, made) == said("ä")


async def test_what_is_logged_keeps_its_place_among_what_is_printed(
    pool: "Pool", claim: MakeClaim
) -> None:
    await pool.run(made := claim("test.say", {"text": "x"}))

    lines = [line for line in pool.listener.written(made) if line not in said("x")["stderr"]]
    assert lines == said("x")["stdout"][:4] + said("x")["log"] + said("x")["stdout"][4:]


async def test_two_jobs_in_a_row_are_not_mixed(pool: "Pool", claim: MakeClaim) -> None:
    claims = [claim("test.say", {"text": text}) for text in "abc"]

    for one in claims:
        await pool.run(one)

    assert [by_stream(pool, one) for one in claims] == [said(text) for text in "abc"]


async def test_jobs_that_are_at_hand_are_not_mixed(pool: "Pool", claim: MakeClaim) -> None:
    await pool.run(claim("test.echo"))
    for worker in pool.supervisor._crew.workers.values():  # noqa: SLF001 - no machine can be told to be quick
        worker.line.learned("test.utter")
    for _ in range(SAMPLES):
        for kind in ("test.echo", "test.utter"):
            pool.supervisor._paces.ran(kind, 0.0)  # noqa: SLF001
    texts = [f"{n}\nno end {n}" * (n % 3) for n in range(MOST)]
    claims = [claim("test.utter", {"hex": text.encode().hex(), "times": 1}) for text in texts]

    outcomes = [pool.supervisor.begin(one) for one in claims]
    await asyncio.wait(outcomes)

    ran = [one for one, end in zip(claims, outcomes, strict=True) if end.result() != NotStarted()]
    told = {one.token: "\n".join(pool.listener.written(one)) for one in ran}
    assert told == {
        one.token: text for one, text in zip(claims, texts, strict=True) if one.token in told
    }
    assert len(ran) > 0


async def test_a_job_that_writes_nothing_has_no_lines(pool: "Pool", claim: MakeClaim) -> None:
    await pool.run(claim("test.echo"))

    assert pool.listener.lines == []


async def test_lines_come_while_the_job_runs(pool: "Pool", claim: MakeClaim) -> None:
    task = await pool.begin(running := claim("test.announce"))

    await pool.listener.until(lambda: pool.listener.written(running) == ["python", "c"])

    assert not task.done()
    pool.supervisor.cancel(running.token)
    await task


async def test_a_job_cannot_take_the_voice_of_the_next(pool: "Pool", claim: MakeClaim) -> None:
    first, second = claim("test.gag"), claim("test.say", {"text": "after"})

    outcomes = [await pool.run(first), await pool.run(second)]

    assert {type(outcome) for outcome in outcomes} == {Completed}
    assert by_stream(pool, first)["log"] == ["INFO still heard"]
    assert by_stream(pool, second) == said("after")


async def test_what_a_forked_copy_writes_is_the_jobs(pool: "Pool", claim: MakeClaim) -> None:
    await pool.run(made := claim("test.spawn"))

    assert by_stream(pool, made) == {"stdout": ["child"], "stderr": [], "log": ["INFO child"]}


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\n\nb", ["a", "", "b"]),
        (b"\xff\xc3\n\0", ["\ufffd\ufffd", "\0"]),
        (b"x" * 200_000 + b"\n", ["x" * 65536] * 3 + ["x" * 3392]),
        ("é".encode() * 40_000, ["é" * 32768, "é" * 7232]),
    ],
    ids=["lines", "no text", "a long line", "a long line of text"],
)
async def test_bytes_become_lines(
    pool: "Pool", claim: MakeClaim, data: bytes, lines: list[str]
) -> None:
    await pool.run(made := claim("test.utter", {"hex": data.hex(), "times": 1}))

    assert pool.listener.written(made) == lines


async def test_a_flood_passes_whole(pool: "Pool", claim: MakeClaim) -> None:
    block = b"0123456789abcde\n" * 4096

    await pool.run(made := claim("test.utter", {"hex": block.hex(), "times": 100}))

    assert pool.listener.written(made) == ["0123456789abcde"] * 409_600


async def test_a_crash_ends_with_where_it_was(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(made := claim("test.die"))

    assert isinstance(outcome, Crashed)
    lines = by_stream(pool, made)
    assert lines["stdout"] == ["last words"]
    assert lines["stderr"][0] == "Fatal Python error: Segmentation fault"
    assert any("in die" in line for line in lines["stderr"])


async def test_the_crash_of_one_of_many_async_jobs_is_told_to_that_one(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    others = [await io_pool.begin(sleeper := claim("test.asleep", lane="io")) for _ in range(3)]

    await io_pool.run(culprit := claim("test.asegfault", lane="io"))
    await asyncio.wait(others)

    lines = by_stream(io_pool, culprit)["stderr"]
    assert lines[0] == "Fatal Python error: Segmentation fault"
    assert any("in fall" in line for line in lines)
    assert by_stream(io_pool, sleeper)["stderr"] == []


async def test_async_jobs_at_the_same_time_are_not_mixed(io_pool: "Pool", claim: MakeClaim) -> None:
    claims = [claim("test.asay", {"name": name}, lane="io") for name in "abcd"]

    await asyncio.gather(*map(io_pool.run, claims))

    assert [by_stream(io_pool, one) for one in claims] == [
        {
            "stdout": [f"{name}{half} {turn}" for turn in range(3) for half in ("", " half")],
            "stderr": [f"{name} thread {turn}" for turn in range(3)],
            "log": [f"INFO {name} {turn}" for turn in range(3)],
        }
        for name in "abcd"
    ]


async def test_raw_bytes_are_an_async_jobs_while_it_runs_alone(
    io_pool: "Pool", claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    io_pool.listener.storable.clear()
    task = asyncio.create_task(io_pool.run(alone := claim("test.araw", lane="io")))
    await io_pool.listener.until(lambda: bool(io_pool.listener.checkpoints))
    await io_pool.begin(other := claim("test.asleep", lane="io"))

    io_pool.listener.storable.set()
    await task

    assert io_pool.listener.written(alone) == ["raw begin"]
    assert io_pool.listener.written(other) == []
    assert "A worker wrote: 'raw end' worker=1 stream=stdout" in caplog.messages


async def test_what_a_worker_writes_itself_goes_to_the_daemons_log(
    start_pool: "StartPool",
    claim: MakeClaim,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = [f"line {number}" for number in range(1000)]
    (tmp_path / "sitecustomize.py").write_text(f"print(*{lines!r}, sep='\\n', flush=True)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    pool = await start_pool()
    await pool.run(made := claim("test.echo"))

    assert pool.listener.written(made) == []
    assert "A worker wrote: 'line 0' worker=1 stream=stdout" in caplog.messages
    assert len(caplog.messages) < 500


async def test_a_stopped_worker_does_not_hold_the_daemon(
    pool: "Pool", claim: MakeClaim, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pipe ends within a sign, for all the daemon knows."""
    caplog.set_level(logging.ERROR)
    task = await pool.begin(made := claim("test.announce"))
    pool.halt()

    os.kill(pool.worker.pid, signal.SIGKILL)

    assert isinstance(await task, Crashed)
    assert pool.listener.written(made) == ["python", "c"]


FILE_ID = "file_" + "ab" * 32


@pytest.mark.parametrize(("kind", "lane"), [("test.read", "cpu"), ("test.aread", "io")])
async def test_a_handler_opens_the_uploads_that_its_args_name(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start_pool(io_workers=1)
    (pool.uploads / "ab").mkdir(parents=True)
    (pool.uploads / "ab" / ("ab" * 32)).write_text("content")

    outcome = await pool.run(claim(kind, {"source": {"$file": FILE_ID}}, lane=lane))

    assert isinstance(outcome, Completed)
    assert outcome.result is not None
    assert outcome.result.body == b'"content"'


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"source": {"$file": FILE_ID}}, "input_missing"),
        ({"source": {"$file": FILE_ID}, "ref": "file_" + "00" * 32}, "file_not_named"),
        ({"source": FILE_ID}, "file_not_named"),
        ({"source": {"$file": "../../jobd.db"}}, "file_not_named"),
        ({"source": {"other": FILE_ID}}, "file_not_named"),
    ],
)
async def test_a_handler_opens_no_other_upload(
    pool: "Pool", claim: MakeClaim, args: dict[str, Any], code: str
) -> None:
    outcome: Outcome = await pool.run(claim("test.read", args))

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == (code, False)
