"""Whole commands against a recorded daemon: what is asked, printed, and the exit code."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.cli.main import run
from jobd.domain.errors import FieldError
from jobd.wire.jobs import JobError

JobJson = Callable[..., bytes]
Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]
COMPLETED = {"status": "completed", "done": True, "progress_pct": 100.0}


def test_submit_prints_the_id_alone(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    recorded.reply(job_json(), 202)

    code = jobd("submit", "a.b", "--arg", "n=1", "--priority", "0", "--run-at", "2026-01-02T00:00Z")

    assert code == 0
    assert capsys.readouterr() == ("job_" + "0" * 32 + "\n", "")
    assert msgspec.json.decode(recorded.requests[0].body) == {
        "kind": "a.b",
        "args": {"n": 1},
        "priority": 0,
        "run_at": "2026-01-02T00:00:00Z",
    }


def test_submit_and_wait_prints_the_result_alone(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    recorded.reply(job_json(), 202, ETag='W/"1"')
    recorded.reply(job_json(**COMPLETED, result_url="/r"))
    recorded.reply(b'{"rows":3}', Content_Type="application/json")

    code = jobd("submit", "a.b", "--wait")

    assert code == 0
    assert capsys.readouterr().out == '{"rows":3}\n'
    assert "Prefer" not in recorded.requests[0].headers
    assert recorded.requests[1].headers["Prefer"] == "wait=30; until=done"


def test_a_result_is_saved_whole(
    recorded: Any, jobd: Jobd, job_json: JobJson, tmp_path: Path
) -> None:
    recorded.reply(job_json(**COMPLETED, result_url="/r"))
    recorded.reply(b"\x00\x01", Content_Type="application/octet-stream")

    code = jobd("wait", "job_x", "-O", str(tmp_path / "out"))

    assert code == 0
    assert (tmp_path / "out").read_bytes() == b"\x00\x01"


def test_a_pipe_is_written_to_and_not_replaced(recorded: Any, jobd: Jobd, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    recorded.reply(b"abc")

    code = jobd("result", "job_x", "-O", str(tmp_path / "pipe"))

    assert (code, os.read(reader, 9)) == (0, b"abc")
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_a_link_stays_and_its_target_is_replaced(recorded: Any, jobd: Jobd, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    recorded.reply(b"abc")

    code = jobd("result", "job_x", "-O", str(tmp_path / "link"))

    assert (code, (tmp_path / "target").read_bytes()) == (0, b"abc")
    assert (tmp_path / "link").is_symlink()


def test_a_cut_off_result_leaves_the_file_alone(recorded: Any, jobd: Jobd, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    recorded.reply_cut_off(b"HTTP/1.1 200 -\r\nContent-Length: 9\r\n\r\nabc")

    code = jobd("result", "job_x", "-O", str(tmp_path / "out"))

    assert code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s"]
    assert (tmp_path / "out").read_text() == "before"


def test_an_unwritable_target_is_named(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(b"abc")

    code = jobd("result", "job_x", "-O", "/nonexistent/out")

    assert code == 1
    assert "/nonexistent/out" in capsys.readouterr().err


def test_a_failed_job_exits_7_with_its_error(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    error = JobError("source_missing", "No \x1b[2Jfile.", False, "open", 1, {})
    recorded.reply(job_json(status="failed", done=True, error=error))

    code = jobd("wait", "job_x")

    out, err = capsys.readouterr()
    assert (code, out) == (7, "")
    assert "source_missing" in err
    assert r"No \x1b[2Jfile." in err
    assert "failed step: open" in err


def test_a_wait_that_times_out_exits_8(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    recorded.reply(job_json())

    assert jobd("wait", "job_x", "--timeout", "0") == 8
    assert f"jobd wait job_{'0' * 32}" in capsys.readouterr().err


def test_every_broken_rule_is_printed_with_its_place(
    recorded: Any, jobd: Jobd, capsys: Capture
) -> None:
    errors = (FieldError("is missing", pointer="#/args/source"), FieldError("is old", header="H"))
    recorded.refuse(422, "validation_error", detail="The args are wrong.", errors=errors)

    assert jobd("submit", "a.b") == 2
    assert capsys.readouterr().err.splitlines() == [
        "jobd: validation_error: The args are wrong.",
        "  #/args/source: is missing",
        "  H: is old",
        "  (HTTP 422, request req_1)",
    ]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(404, "job_not_found", 4), (403, "forbidden", 5), (409, "job_failed", 6), (507, "full", 9)],
)
def test_a_refusal_has_its_exit_code(
    recorded: Any, jobd: Jobd, status: int, code: str, expected: int
) -> None:
    recorded.refuse(status, code)

    assert jobd("show", "job_x") == expected


def test_ls_prints_a_table_and_asks_for_what_is_named(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    recorded.reply(b'{"jobs":[' + job_json(message="half") + b'],"next_page_token":"t"}')

    code = jobd("ls", "--status", "queued", "--limit", "1")

    out, err = capsys.readouterr()
    assert code == 0
    assert recorded.requests[0].path == "/v1/jobs?status=queued&page_size=1"
    assert out.splitlines()[1].split()[:5] == ["job_" + "0" * 32, "a.b", "queued", "0", "%"]
    assert "more than these 1" in err


def test_ls_asks_for_everybodys_jobs(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(b'{"jobs": [], "next_page_token": null}')
    recorded.refuse(403, "forbidden", detail="It takes the scope `read`.")

    assert (jobd("ls", "--all"), jobd("ls", "--all")) == (0, 5)
    assert recorded.requests[0].path == "/v1/jobs?all=true&page_size=50"
    assert "forbidden: It takes the scope `read`." in capsys.readouterr().err


def test_ls_json_is_the_body_unchanged(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(b'{"jobs": [], "next_page_token":  null, "new": 1.0}')

    assert jobd("ls", "-o", "json") == 0
    assert capsys.readouterr().out == '{"jobs": [], "next_page_token":  null, "new": 1.0}\n'


@pytest.mark.parametrize(
    ("status", "expected"), [("cancelled", "cancelled"), ("processing", "cancel requested")]
)
def test_cancel_says_what_came_of_it(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture, status: str, expected: str
) -> None:
    recorded.reply(job_json(status=status, done=status == "cancelled"))

    assert jobd("cancel", "job_x") == 0
    assert expected in capsys.readouterr().out
    assert recorded.requests[0].path == "/v1/jobs/job_x/cancel"


def test_plugins_that_did_not_load_are_named(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(
        b'{"handlers":[],"next_page_token":null,"load_errors":[{"kind":"x.y",'
        b'"distribution":"d","target":"m:f","message":"No module named z"}]}'
    )

    assert jobd("plugins", "ls") == 0
    assert "x.y (d, m:f): No module named z" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "a.b", "[1]"],
        ["submit", "a.b", "-O", "out"],
        ["submit", "a.b", "--run-at", "2026-01-02T00:00"],
        ["submit", "a.b", "--run-at", "tomorrow"],
        ["submit", "a.b", "--idempotency-key", 'a"b'],
        ["submit", "a.b", "--priority", "10"],
        ["submit", "a.b", "--arg", "a=\udcff"],
        ["submit", "a.b", "--file", "source"],
        ["submit", "a.b", "--file", "source=/nonexistent"],
        ["submit", "a.b", "--file", "source=/dev/null"],
        ["show", "\udcff"],
        ["watch"],
        ["rm"],
        ["logs", "job_x", "--attempt", "0"],
        ["ls", "--status", "asleep"],
        ["frobnicate"],
        ["help", "frobnicate"],
    ],
    ids=lambda words: " ".join(words).encode(errors="replace").decode(),
)
def test_a_wrong_command_line_exits_2_and_asks_nothing(
    recorded: Any, jobd: Jobd, arguments: list[str]
) -> None:
    assert jobd(*arguments) == 2
    assert recorded.requests == []


def test_no_daemon_exits_3_with_a_hint(capsys: Capture) -> None:
    assert run(["ls", "--socket", "/nonexistent/s"], {}) == 3
    assert "jobd serve" in capsys.readouterr().err


def test_wrong_settings_keep_the_daemon_from_starting(capsys: Capture) -> None:
    assert run(["serve", "--config", "/nonexistent/jobd.toml"], {}) == 78
    assert "/nonexistent/jobd.toml" in capsys.readouterr().err


def test_version_needs_no_daemon(capsys: Capture) -> None:
    assert run(["version", "--socket", "/nonexistent/s"], {}) == 0
    assert capsys.readouterr().out.startswith("jobd 0.")


@pytest.mark.parametrize("topic", ["exit-codes", "submit", "serve", "demo"])
def test_help_has_the_topic(topic: str, capsys: Capture) -> None:
    assert run(["help", topic], {}) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(("no_color", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals_that_want_it(
    recorded: Any, job_json: JobJson, no_color: dict[str, str], coloured: bool
) -> None:
    recorded.reply(b'{"jobs":[' + job_json(**COMPLETED) + b'],"next_page_token":null}')
    ours, theirs = os.openpty()
    program = [sys.executable, "-m", "jobd", "ls", "--socket", recorded.socket]

    subprocess.run(program, env=no_color, stdout=theirs, check=True)

    os.close(theirs)
    assert (b"\x1b[32mcompleted" in os.read(ours, 4096)) == coloured
    os.close(ours)


def test_ctrl_c_in_the_middle_of_a_submission_names_the_key(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        program = [sys.executable, "-m", "jobd", "submit", "a.b", "--socket", str(tmp_path / "s")]
        with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as submit:
            connection, _ = listener.accept()
            with connection:
                sent = connection.recv(65536).decode()
                submit.send_signal(signal.SIGINT)
                _, stderr = submit.communicate()

    key = sent.split('Idempotency-Key: "')[1].split('"')[0]
    assert submit.returncode == 130
    assert f"--idempotency-key {key}" in stderr


@pytest.mark.parametrize("command", [["ls", "-o", "json"], ["result", "job_x"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_it_silently(recorded: Any, command: list[str]) -> None:
    recorded.reply(b'{"jobs":[],"next_page_token":null}')
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "jobd", *command, "--socket", recorded.socket]

    ended = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, check=False)

    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


IMPORTS = """
import sys
from jobd.cli.main import run
assert run([*sys.argv[1:], "--socket", "/nonexistent/s"], {}) == 3
heavy = {"aiohttp", "aiosqlite", "asyncio", "importlib.metadata", "sqlite3", "uvloop"}
print(sorted(heavy & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "command",
    [
        ["ls"],
        ["submit", "a.b"],
        ["wait", "job_x"],
        ["logs", "job_x", "-f"],
        ["watch", "job_x", "job_y"],
        ["retry", "job_x"],
        ["rm", "job_x"],
        ["top"],
        ["webhooks", "rotate-secret"],
    ],
    ids=" ".join,
)
def test_client_commands_import_nothing_heavy(command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTS, *command], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "[]\n"
