"""The commands that go on: watch, logs and top against a recorded daemon."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jobd.cli.watch import AT_A_TIME
from jobd.wire.jobs import JobError

JobJson = Callable[..., bytes]
MakeFrame = Callable[..., bytes]
Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]
JOB = "job_" + "0" * 32
AT = "2026-01-02T03:04:05Z"


def test_watch_prints_a_line_for_every_change(
    recorded: Any, jobd: Jobd, job_json: JobJson, frame: MakeFrame, capsys: Capture
) -> None:
    recorded.reply(job_json())
    running = {"progress_pct": 40.0, "step": "load", "step_index": 1, "step_count": 2}
    recorded.stream(
        frame(1, "queued")
        + frame(2, "processing", **running, message="half\x1b[2J", cancel_requested=True)
        + frame(3, "completed", progress_pct=100.0)
    )

    assert jobd("watch", JOB) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{AT}  {JOB}  queued  0 %",
        rf"{AT}  {JOB}  processing  40 %  cancel requested  load (1/2)  half\x1b[2J",
        f"{AT}  {JOB}  completed  100 %",
    ]


def test_watch_exits_7_when_one_ended_unsuccessfully(
    recorded: Any, jobd: Jobd, job_json: JobJson, frame: MakeFrame, capsys: Capture
) -> None:
    error = JobError("source_missing", "No file.", False, "open", 1, {})
    recorded.reply(job_json())
    recorded.stream(frame(1, "failed", error=error))

    assert jobd("watch", JOB) == 7
    assert "source_missing" in capsys.readouterr().err


def test_watch_follows_more_jobs_than_it_has_streams(
    recorded: Any, jobd: Jobd, job_json: JobJson, frame: MakeFrame, capsys: Capture
) -> None:
    ids = [f"job_{number:032}" for number in range(AT_A_TIME + 2)]
    for job_id in ids:
        recorded.reply(job_json(job_id=job_id))
    for job_id in ids:
        recorded.stream(frame(1, "completed", job_id=job_id))

    assert jobd("watch", *ids, ids[0]) == 0
    told = {line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert told == set(ids)


def test_watch_of_a_job_that_is_not_there_exits_4(recorded: Any, jobd: Jobd) -> None:
    recorded.refuse(404, "job_not_found")

    assert jobd("watch", JOB) == 4


def test_watch_ends_when_a_stream_is_refused(recorded: Any, jobd: Jobd, job_json: JobJson) -> None:
    recorded.reply(job_json())
    recorded.refuse(429, "too_many_streams")

    assert jobd("watch", JOB) == 9


LINES = (
    b'{"attempt":1,"timestamp":"2026-01-02T03:04:05Z","stream":"stdout","line":"a\\u001b[2J"}\n'
    b'{"attempt":2,"timestamp":"2026-01-02T03:04:06Z","stream":"log","line":"b"}\n'
)


def test_logs_prints_the_lines_as_they_are(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(LINES)

    assert jobd("logs", JOB, "--tail", "2") == 0
    assert capsys.readouterr() == ("a\x1b[2J\nb\n", "jobd: attempt 2\n")
    assert recorded.requests[0].path == f"/v1/jobs/{JOB}/logs?tail=2"


def test_logs_can_say_where_each_line_is_from(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(LINES)

    assert jobd("logs", JOB, "-o", "ndjson") == 0
    assert capsys.readouterr().out == LINES.decode()


def test_a_log_cannot_drive_the_terminal(recorded: Any) -> None:
    recorded.reply(LINES)
    ours, theirs = os.openpty()

    command = [sys.executable, "-m", "jobd", "logs", JOB, "--socket", recorded.socket]
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=True)

    os.close(theirs)
    assert os.read(ours, 4096) == b"a\\x1b[2J\r\nb\r\n"
    os.close(ours)


STATUS = (
    b'{"version":"1.2","api":"v1","python":"3","sqlite":"3","instance_id":"i",'
    b'"started_at":"2026-01-02T03:04:05Z","accepting":true,"queued":4,"processing":3,'
    b'"worker_slots":{"cpu":{"total":2,"free":1}},"estimated_wait_seconds":null}'
)
WORKERS = (
    b'{"workers":[{"worker_id":"w1","lane":"cpu","pid":7,"state":"busy","job_ids":["job_x"],'
    b'"jobs_done":1200,"rss_bytes":1048576,"started_at":"2026-01-02T03:04:05Z"}],'
    b'"next_page_token":null}'
)


def test_top_says_once_how_things_are(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    running = job_json(status="processing", progress_pct=40.0, step="load")
    recorded.reply(STATUS)
    recorded.reply(WORKERS)
    recorded.reply(b'{"jobs":[' + running + b'],"next_page_token":"t"}')

    assert jobd("top", "--once") == 0
    printed = capsys.readouterr().out.splitlines()
    lines = [line.split() for line in printed]
    assert printed[1] == "queued 4  processing 3  free slots: cpu 1 of 2"
    assert lines[4][:8] == ["w1", "cpu", "7", "busy", "1", "1,200", "1.0", "MiB"]
    assert lines[7] == [JOB, "a.b", "40", "%", "1/3", "load"]
    assert lines[8] == ["…", "and", "2", "more"]
    assert [request.path.split("?")[0] for request in recorded.requests] == [
        "/v1/status",
        "/v1/workers",
        "/v1/jobs",
    ]


def test_top_shows_what_the_caller_may_see(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(STATUS)
    recorded.refuse(403, "forbidden")
    recorded.reply(b'{"jobs":[],"next_page_token":null}')

    assert jobd("top", "--once") == 0
    printed = capsys.readouterr().out
    assert "queued 4  processing 3" in printed
    assert "WORKER" not in printed
    assert "JOB" in printed


def test_top_shows_everybodys_jobs(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    recorded.reply(STATUS)
    recorded.reply(WORKERS)
    recorded.reply(b'{"jobs":[' + job_json(status="processing") + b'],"next_page_token":null}')

    assert jobd("top", "--once", "--all") == 0
    assert JOB in capsys.readouterr().out
    query = sorted(recorded.requests[2].path.partition("?")[2].split("&"))
    assert query == ["all=true", "page_size=200", "status=processing"]
