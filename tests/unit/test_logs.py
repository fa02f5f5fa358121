"""A log keeps the start and the end of what an attempt wrote, and shows it while it grows."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from jobd.domain.jobs import Claim
from jobd.engine.logs import AttemptLogs
from jobd.files.log_follower import FOLLOWER_BYTES
from jobd.files.logs import Lagged, LogLine, Logs
from tests.support.claims import CLAIM

JOB = "job_1"


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path, head_bytes=1000, tail_bytes=1000)


@pytest.fixture
def claim() -> Claim:
    return msgspec.structs.replace(CLAIM, job_id=JOB)


def texts(lines: object) -> list[str]:
    assert hasattr(lines, "__iter__")
    return [line.line for line in lines]


def numbered(count: int) -> list[str]:
    return [f"line {number:05}" for number in range(count)]


def test_what_is_written_is_read_and_is_json_lines(logs: Logs, tmp_path: Path) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(7, "stdout", "ä\0", "")
    attempt.append(8, "log", "INFO x")

    attempt.close()

    assert list(logs.read(JOB)) == [
        LogLine(1, 7, "stdout", "ä\0"),
        LogLine(1, 7, "stdout", ""),
        LogLine(1, 8, "log", "INFO x"),
    ]
    file = tmp_path / JOB / "1.ndjson"
    last = file.read_text().splitlines()[-1]
    assert last == '{"attempt":1,"timestamp":8,"stream":"log","line":"INFO x"}'
    assert file.stat().st_mode & 0o777 == 0o600


def test_attempts_come_in_their_order_or_one_alone(logs: Logs) -> None:
    for number in (2, 10, 1):
        attempt = logs.open(JOB, number)
        attempt.append(0, "stdout", f"{number} a", f"{number} b")
        attempt.close()

    assert texts(logs.read(JOB)) == ["1 a", "1 b", "2 a", "2 b", "10 a", "10 b"]
    assert texts(logs.read(JOB, attempt=2)) == ["2 a", "2 b"]
    assert texts(logs.read(JOB, tail=3)) == ["2 b", "10 a", "10 b"]
    assert texts(logs.read(JOB, attempt=3)) == []
    assert texts(logs.read("job_2")) == []


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_of_a_long_log_the_start_and_the_end_are_kept(
    logs: Logs, tmp_path: Path, at_once: int
) -> None:
    lines = numbered(10_000)
    attempt = logs.open(JOB, 1)
    for at in range(0, len(lines), at_once):
        attempt.append(1, "stdout", *lines[at : at + at_once])
    running = texts(logs.read(JOB))

    attempt.close()

    kept = texts(logs.read(JOB))
    gap = next(at for at, line in enumerate(kept) if "left out" in line)
    assert kept[:gap] == lines[:gap]
    assert kept[gap + 1 :] == lines[gap + 1 - len(kept) :]
    assert kept[gap].startswith(f"{10_000 - len(kept) + 1} lines were left out")
    assert sum(map(len, kept[gap + 1 :])) <= 1000
    assert (tmp_path / JOB / "1.ndjson").stat().st_size < 10_000
    assert running == kept


def test_a_log_that_just_fits_says_nothing_of_a_gap(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(1, "stdout", *numbered(25))
    attempt.close()

    assert texts(logs.read(JOB)) == numbered(25)


def test_the_last_line_is_kept_however_long(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(1, "stdout", *numbered(100), "x" * 50_000)
    attempt.close()

    assert texts(logs.read(JOB))[-1] == "x" * 50_000


def test_a_reader_sees_whole_lines_of_the_time_it_asked(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(1, "stdout", "before")
    asked = logs.read(JOB)
    attempt.append(1, "stdout", *numbered(1000))
    attempt.close()

    assert texts(asked) == ["before"]


def test_a_torn_end_is_left_out(logs: Logs, tmp_path: Path) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(1, "stdout", "whole")
    attempt.close()
    with (tmp_path / JOB / "1.ndjson").open("ab") as file:
        file.write(b'{"attempt":1,"timest\0\0\0')

    assert texts(logs.read(JOB)) == ["whole"]


def test_a_disk_that_takes_no_more_costs_lines_and_no_job(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(1, "stdout", "before")

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    attempt.append(1, "stdout", "lost")
    attempt.close()

    assert texts(logs.read(JOB)) == ["before"]
    assert caplog.messages == ["The end of a log was not written."]


def test_a_removed_log_is_gone(logs: Logs, tmp_path: Path) -> None:
    logs.open(JOB, 1).close()

    logs.remove(JOB)
    logs.remove(JOB)

    assert list(tmp_path.iterdir()) == []


async def test_a_follower_misses_nothing_and_sees_nothing_twice(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)
    attempt.append(1, "stdout", "past")

    with logs.follow(JOB) as follower:
        past = logs.read(JOB)
        attempt.append(1, "stdout", *numbered(1000))
        attempt.close()
        again = logs.open(JOB, 2)
        again.append(2, "stderr", "next attempt")
        again.close()
        seen = [await follower.next() for _ in range(1001)]

    assert texts(past) == ["past"]
    assert texts(seen) == [*numbered(1000), "next attempt"]
    assert seen[-1] == LogLine(2, 2, "stderr", "next attempt")


async def test_a_follower_waits_and_is_woken(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)

    with logs.follow(JOB) as follower, logs.follow("job_2") as other:
        waiting = asyncio.ensure_future(follower.next())
        await asyncio.wait([waiting], timeout=0)
        attempt.append(1, "stdout", "now", "and then")
        first = await waiting

        assert first.line == "now"
        assert texts(follower.waiting()) == ["and then"]
        assert follower.waiting() == other.waiting() == []
    attempt.close()


async def test_a_follower_that_lags_is_dropped_and_no_other(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)

    with logs.follow(JOB) as slow, logs.follow(JOB) as quick:
        for _ in range(3):
            attempt.append(1, "stdout", "x" * (FOLLOWER_BYTES // 2))
            assert len(quick.waiting()) == 1
        with pytest.raises(Lagged):
            await slow.next()
    attempt.close()


async def test_who_has_left_is_forgotten(logs: Logs) -> None:
    attempt = logs.open(JOB, 1)
    with logs.follow(JOB) as follower:
        pass

    attempt.append(1, "stdout", "unheard")
    attempt.close()

    assert follower.waiting() == []


def test_an_attempt_has_a_log_from_its_first_line(logs: Logs, tmp_path: Path, claim: Claim) -> None:
    attempts = AttemptLogs(logs)
    before = list(tmp_path.iterdir())

    attempts.write(claim, "stdout", 1, ("a", "b"))
    attempts.close(claim)
    attempts.close(claim)

    assert before == []
    assert texts(logs.read(JOB)) == ["a", "b"]


def test_a_log_that_cannot_be_kept_is_said_once(
    tmp_path: Path, claim: Claim, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    attempts = AttemptLogs(Logs(tmp_path / "file", head_bytes=1000))

    for _ in range(3):
        attempts.write(claim, "stdout", 1, ("a",))
    attempts.close(claim)

    assert caplog.messages == ["The log of an attempt cannot be kept."]
