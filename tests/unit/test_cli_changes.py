"""The commands that change something beyond a submission: retry, rm, uploads, secrets."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.cli.service import quoted
from jobd.cli.uploading import upload_line

JobJson = Callable[..., bytes]
Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def test_retry_prints_the_id_of_the_new_job(
    recorded: Any, jobd: Jobd, job_json: JobJson, capsys: Capture
) -> None:
    recorded.reply(job_json(job_id="job_new"), 202)

    assert jobd("retry", "job_x") == 0
    assert capsys.readouterr().out == "job_new\n"


def test_rm_deletes_what_it_can_and_says_what_it_cannot(
    recorded: Any, jobd: Jobd, capsys: Capture
) -> None:
    recorded.reply(status=204)
    recorded.refuse(409, "job_active")
    recorded.reply(status=204)

    assert jobd("rm", "job_a", "job_b", "job_c", "job_a") == 6
    out, err = capsys.readouterr()
    assert out == "job_a: deleted\njob_c: deleted\n"
    assert "job_active" in err


@pytest.mark.parametrize(
    ("arguments", "answer", "deleted"),
    [
        (["job_a", "job_b"], b"n\n", 0),
        (["job_a", "job_b"], b"y\n", 2),
        (["job_a", "job_b", "--yes"], b"", 2),
        (["job_a"], b"", 1),
    ],
)
def test_rm_asks_on_a_terminal_before_it_deletes_several(
    recorded: Any, arguments: list[str], answer: bytes, deleted: int
) -> None:
    for _ in range(deleted):
        recorded.reply(status=204)
    ours, theirs = os.openpty()
    os.write(ours, answer)
    command = [sys.executable, "-m", "jobd", "rm", *arguments, "--socket", recorded.socket]

    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)

    os.close(theirs)
    os.close(ours)
    assert done.returncode == (0 if deleted else 130)
    assert len(recorded.requests) == deleted
    assert ("Delete 2 jobs" in done.stderr) == (answer != b"")


def test_submit_uploads_its_files_and_names_them_in_the_args(
    recorded: Any, jobd: Jobd, job_json: JobJson, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"picture")
    file_id = f"file_{hashlib.sha256(b'picture').hexdigest()}"
    recorded.reply(status=404)
    recorded.reply(f'{{"file_id":"{file_id}","size_bytes":7,"expires_at":null}}'.encode(), 201)
    recorded.reply(job_json(), 202)
    url = "unix:/run/app.sock:/done"

    code = jobd(
        "submit", "a.b", "--arg", "n=1", "--file", f"source={tmp_path}/cat.jpg",
        "--callback-url", url,
    )  # fmt: skip

    assert code == 0
    assert msgspec.json.decode(recorded.requests[2].body) == {
        "kind": "a.b",
        "args": {"n": 1, "source": {"$file": file_id}},
        "callback_url": url,
    }


def test_the_line_of_an_upload_says_how_far_it_is() -> None:
    half = "[############------------]  50 %"
    assert upload_line("uploading", "a\n", 512, 1024) == rf"a\n  {half}  uploading 512 B of 1.0 KiB"
    assert "100 %" in upload_line("hashing", "empty", 0, 0)


def test_a_new_secret_is_printed_alone(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(
        b'{"endpoint_id":"whe_1","secret":"whsec_new",'
        b'"previous_secret_expires_at":"2026-01-02T03:04:05Z"}'
    )

    assert jobd("webhooks", "rotate-secret") == 0
    out, err = capsys.readouterr()
    assert out == "whsec_new\n"
    assert "2026-01-02T03:04:05Z" in err
    assert recorded.requests[0].path == "/v1/webhook-endpoints/default/rotate-secret"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/opt/jobd/bin/jobd", "/opt/jobd/bin/jobd"),
        ("/opt/my tools/jobd", '"/opt/my tools/jobd"'),
        ("/opt/100%/jobd", "/opt/100%%/jobd"),
        ('/opt/"a\\b/jobd', '"/opt/\\"a\\\\b/jobd"'),
    ],
)
def test_a_path_is_quoted_as_systemd_reads_it(path: str, expected: str) -> None:
    assert quoted(path) == expected


@pytest.mark.parametrize("arguments", [[], ["--user"]])
def test_the_unit_runs_this_program(
    arguments: list[str], jobd: Jobd, capsys: Capture, recorded: Any
) -> None:
    assert jobd("service", "unit", *arguments) == 0
    out = capsys.readouterr().out
    assert f"ExecStart={sys.executable} -P -m jobd serve\n" in out
    assert "Type=notify\n" in out
    assert recorded.requests == []
