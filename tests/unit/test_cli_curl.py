"""`--curl`: the very call as a command for a shell, and nothing is sent."""

import hashlib
import shlex
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from jobd.cli.curl import NotSent, Printed, command
from jobd.cli.main import cli
from jobd.client import Client

Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]

JSON = "'Content-Type: application/json'"
LIMIT = """'{"concurrency":2}'"""


def test_a_submission_is_printed_and_not_sent(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    code = jobd("submit", "a.b", "--arg", "n=it's", "--idempotency-key", "k 1", "--curl")

    (line,) = capsys.readouterr().out.splitlines()
    assert (code, recorded.requests) == (0, [])
    assert shlex.split(line) == [
        *("curl", "-sS", "--unix-socket", recorded.socket),
        *("-H", "Content-Type: application/json"),
        *("-H", 'Idempotency-Key: "k 1"'),
        *("-H", "Prefer: respond-async"),
        *("--data-raw", '{"kind":"a.b","args":{"n":"it\'s"}}'),
        "http://localhost/v1/jobs",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "job_x"], ["/v1/jobs/job_x"]),
        (["ls", "--status", "failed"], ["'/v1/jobs?status=failed&page_size=50'"]),
        (["wait", "job_x"], ["-H 'Prefer: wait=30; until=done' /v1/jobs/job_x"]),
        (
            ["watch", "job_x", "job_y"],
            [f"-N -H 'Accept: text/event-stream' /v1/jobs/job_{n}/events" for n in "xy"],
        ),
        (["cancel", "job_x"], ["-X POST /v1/jobs/job_x/cancel"]),
        (["retry", "job_x"], ["-X POST /v1/jobs/job_x/retry"]),
        (["rm", "a", "b"], ["-X DELETE /v1/jobs/a", "-X DELETE /v1/jobs/b"]),
        (["result", "job_x", "--artifact", "a b"], ["/v1/jobs/job_x/artifacts/a%20b"]),
        (
            ["logs", "job_x", "-f"],
            ["-N -H 'Accept: application/x-ndjson' '/v1/jobs/job_x/logs?follow=1'"],
        ),
        (["top"], ["/v1/status", "/v1/workers", "'/v1/jobs?status=processing&page_size=200'"]),
        (["version"], ["/v1/status"]),
        (["plugins", "ls"], ["/v1/handlers"]),
        (["plugins", "reload"], ["-X POST /v1/handlers/reload"]),
        (["queues", "ls"], ["/v1/queues"]),
        (["queues", "pause", "mail"], ["-X POST /v1/queues/mail/pause"]),
        (
            ["queues", "set", "mail", "--concurrency", "2"],
            [
                f"-X PATCH -H {JSON} --data-raw {LIMIT} /v1/queues/mail",
            ],
        ),
        (
            ["webhooks", "rotate-secret"],
            ["-X POST /v1/webhook-endpoints/default/rotate-secret"],
        ),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_prints_its_calls(
    recorded: Any, jobd: Jobd, capsys: Capture, words: list[str], expected: list[str]
) -> None:
    code = jobd(*words, "--curl")

    printed = capsys.readouterr().out.replace("http://localhost", "").splitlines()
    start = f"curl -sS --unix-socket {recorded.socket} "
    assert (code, recorded.requests) == (0, [])
    assert printed == [start + rest for rest in expected]


def test_a_file_is_one_call_more(
    recorded: Any, jobd: Jobd, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_bytes(b"abc")

    code = jobd("submit", "a.b", "--file", f"source={tmp_path}/a file", "--curl")

    upload, submit = map(shlex.split, capsys.readouterr().out.splitlines())
    named = {"source": {"$file": f"file_{hashlib.sha256(b'abc').hexdigest()}"}}
    assert (code, recorded.requests) == (0, [])
    assert upload[4:] == [
        *("-X", "POST", "-H", "Content-Type: application/octet-stream"),
        *("-T", f"{tmp_path}/a file", "http://localhost/v1/uploads"),
    ]
    assert msgspec.json.decode(submit[submit.index("--data-raw") + 1])["args"] == named


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for part in group.list_commands(context):
        found = group.get_command(context, part)
        if isinstance(found, click.Group):
            yield from commands(found, f"{name}{part} ")
        elif found is not None:
            yield name + part, found


def test_a_file_of_jobs_is_named_and_not_printed(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text('{"kind":"a.b"}')
    client = Client("/s", dial=partial(Printed, "/s"))

    with pytest.raises(NotSent):
        client.batches.submit(tmp_path / "jobs", idempotency_key="k")

    assert shlex.split(capsys.readouterr().out)[4:] == [
        *("-X", "POST", "-H", "Content-Type: application/x-ndjson"),
        *("-H", 'Idempotency-Key: "k"', "-T", f"{tmp_path}/jobs", "http://localhost/v1/batches"),
    ]


OWN_DAEMON = {
    "serve",
    "dev",
    "demo",
    "service unit",
    "plugins check",
    "plugins new",
    "webhooks listen",
    "webhooks verify",
    "help",
}


def test_no_command_that_calls_the_daemon_lacks_it() -> None:
    without = {
        name for name, found in commands(cli) if "curl" not in {p.name for p in found.params}
    }

    assert without == OWN_DAEMON


def test_a_token_is_never_printed() -> None:
    headers = {"Authorization": "Bearer jdk_secret"}

    line = command("/s", "GET", "/v1/jobs/job_x?a=b&access_token=jdj_secret", headers)

    assert "secret" not in line
    assert '-H "Authorization: Bearer $JOBD_TOKEN"' in line
    assert '"http://localhost/v1/jobs/job_x?a=b&access_token=$JOBD_TOKEN"' in line


def test_dots_of_a_name_are_not_a_way_up() -> None:
    assert "--path-as-is" in command("/s", "GET", "/v1/jobs/..", {})


@pytest.mark.needs("curl")
@pytest.mark.parametrize("length", [10, 300_000], ids=["short", "too-long-for-an-argument"])
def test_the_command_sends_what_the_client_would(
    recorded: Any, jobd: Jobd, job_json: Any, capsys: Capture, length: int
) -> None:
    text = "'\"$HOME\\ é @\n" * (length // 10)
    args = msgspec.json.encode({"text": text}).decode()
    recorded.reply(job_json(), 202)
    recorded.reply(job_json(), 202)
    jobd("submit", "a.b", args, "--idempotency-key", "k")

    jobd("submit", "a.b", args, "--idempotency-key", "k", "--curl")
    line = capsys.readouterr().out.partition("\n")[2]
    subprocess.run(["bash", "-eu"], input=line.encode(), check=True, timeout=20)

    sent, by_curl = recorded.requests
    assert by_curl[:2] == sent[:2]
    assert by_curl.body.rstrip(b"\n") == sent.body
    names = ("Host", "Content-Type", "Idempotency-Key", "Prefer")
    assert [by_curl.headers[name] for name in names] == [sent.headers[name] for name in names]
