"""`jobd submit -f` against a recorded daemon: what is sent, printed, and the exit code."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.wire.batches import BatchDetail, BatchError, JobCounts
from jobd.wire.times import from_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Jobd = Callable[..., int]
    Capture = pytest.CaptureFixture[str]

LINES = b'{"kind": "a.b"}\n{"kind": "c.d"}\n'
BATCH_ID = "bat_" + "0" * 32
URL = f"/v1/batches/{BATCH_ID}"


def batch(**changes: Any) -> BatchDetail:
    values: dict[str, Any] = {
        "batch_id": BATCH_ID,
        "status": "processing",
        "done": False,
        "partial": False,
        "poll_url": URL,
        "cancel_url": f"{URL}/cancel",
        "retry_url": f"{URL}/retry",
        "jobs_url": f"/v1/jobs?batch_id={BATCH_ID}",
        "callback_url": None,
        "created_at": from_ms(0),
        "completed_at": None,
        "expires_at": None,
        "total": 2,
        "accepted": 2,
        "rejected": 0,
        "replayed": 0,
        "jobs": JobCounts(0, 2, 0, 0, 0, 0, 0),
        "retry_of": None,
        "job_ids": [],
        "errors": [],
        "errors_truncated": False,
    }
    return BatchDetail(**values | changes)


def reply(recorded: Any, **changes: Any) -> None:
    recorded.reply(msgspec.json.encode(batch(**changes)))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "jobs.ndjson"
    path.write_bytes(LINES)
    return str(path)


def test_a_file_is_sent_and_the_id_printed(
    recorded: Any, jobd: Jobd, capsys: Capture, file: str
) -> None:
    reply(recorded)

    code = jobd("submit", "-f", file, "--atomic", "--idempotency-key", "k")

    assert (code, capsys.readouterr().out) == (0, f"{BATCH_ID}\n")
    assert recorded.requests[0][:2] == ("POST", "/v1/batches?atomic=true")


def test_stdin_is_sent(
    recorded: Any, jobd: Jobd, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES)))
    reply(recorded)

    assert jobd("submit", "-f", "-", "-o", "json") == 0
    assert capsys.readouterr().out.encode() == msgspec.json.encode(batch()) + b"\n"


def test_what_was_rejected_is_said_and_exits_2(
    recorded: Any, jobd: Jobd, capsys: Capture, file: str
) -> None:
    error = BatchError(2, "unknown_kind", "'c.d' is not an installed kind", "#/kind")
    reply(recorded, accepted=1, rejected=1, errors=[error])

    assert jobd("submit", "-f", file) == 2
    assert capsys.readouterr().err == (
        "jobd: 1 of 2 lines were rejected\n"
        "  line 2 #/kind: unknown_kind: 'c.d' is not an installed kind\n"
    )


@pytest.mark.parametrize(("partial", "code"), [(False, 0), (True, 7)])
def test_wait_prints_how_the_batch_ended(
    recorded: Any, jobd: Jobd, capsys: Capture, file: str, partial: bool, code: int
) -> None:
    reply(recorded)
    done = JobCounts(0, 0, 0, 0, 2 - partial, int(partial), 0)
    reply(recorded, status="completed", done=True, partial=partial, jobs=done)

    assert jobd("submit", "-f", file, "--wait") == code
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == [
        BATCH_ID,
        "completed",
        "2",
        "0",
        "0",
        "0",
        str(2 - partial),
        str(int(partial)),
        "0",
    ]


def test_a_wait_that_times_out_exits_8(recorded: Any, jobd: Jobd, file: str) -> None:
    reply(recorded)
    reply(recorded)

    assert jobd("submit", "-f", file, "--wait", "--wait-timeout", "0") == 8


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.b", "-f", "x"),
        ("-f", "x", "--arg", "a=1"),
        ("-f", "x", "--priority", "5"),
        ("-f", "x", "-O", "out"),
        ("a.b", "--atomic"),
        (),
    ],
)
def test_what_makes_no_sense_together_exits_2(jobd: Jobd, arguments: tuple[str, ...]) -> None:
    assert jobd("submit", *arguments) == 2


def test_a_file_that_is_not_there_exits_2(jobd: Jobd, capsys: Capture) -> None:
    assert jobd("submit", "-f", "nowhere/jobs.ndjson") == 2
    assert "No such file" in capsys.readouterr().err
