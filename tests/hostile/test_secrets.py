"""What is secret is in no log, no event and no command's output, and no bug's traceback leaves."""

import ast
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jobd
from tests.e2e.conftest import Daemon
from tests.hostile.house import House
from tests.hostile.wire import exchange, statuses

ARGS = "sesame-args"
KEY = "sesame-key"
SOURCE = Path(jobd.__file__).parent


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, Any]:
    """Have every secret used, and return those that the daemon has made."""
    token = house.ask("POST", "/v1/tokens", {"principal": "other", "scopes": ["read"]})["token"]
    rotated = house.ask("POST", "/v1/webhook-endpoints/default/rotate-secret")
    document = {"kind": "test.echo", "args": {"a": ARGS}}
    job = house.ask("POST", "/v1/jobs", document, Idempotency_Key=KEY, Prefer="wait=10")
    path, job_token = job["poll_url"], job["job_token"]
    for request in (
        f"GET {path}?access_token={job_token} HTTP/1.1\r\nHost: localhost\r\n",
        f"GET {path}/result HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {job_token}\r\n",
        f"GET {path}?access_token={job_token}&x=1 HTTP/1.1\r\nHost: localhost\r\n",
        f"GET /v1/jobs?access_token={job_token} HTTP/1.1\r\nHost: localhost\r\n",
        f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n",
        f"GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}x\r\n",
        f"GET http://[::1{path}?access_token={job_token} HTTP/1.1\r\nHost: localhost\r\n",
        f"GET {path}?access_token={job_token}\x01 HTTP/1.1\r\nHost: localhost\r\n",
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\0\r\n",
    ):
        for address in house.addresses.values():
            exchange(address, [f"{request}Connection: close\r\n\r\n".encode()], leave=False)
    secrets = {"token": token, "job token": job_token, "webhook secret": rotated["secret"]}
    return {"job": job, "secrets": {**secrets, "key": KEY, "args": ARGS}}


@pytest.fixture
def allowed_cores() -> Iterator[None]:
    """Let what is started write cores, as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def children(pid: int) -> list[int]:
    return [
        int(one)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for one in path.read_text().split()
    ]


def test_the_log_says_no_secret(house: House, said: dict[str, Any]) -> None:
    log = "".join(house.daemon.log)

    assert "level" in log
    assert [name for name, secret in said["secrets"].items() if secret in log] == []


def test_events_say_no_secret(house: House, said: dict[str, Any]) -> None:
    path = said["job"]["events_url"]
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    events = exchange(house.addresses["socket"], [request.encode()], leave=False)

    assert b"job.completed" in events
    found = [name for name, secret in said["secrets"].items() if secret.encode() in events]
    assert found == []


@pytest.mark.parametrize("command", ["ls", "ls -o json", "ls -o wide", "show", "show -o json"])
def test_commands_show_no_secret(house: House, said: dict[str, Any], command: str) -> None:
    words = command.split()
    job_id = [said["job"]["job_id"]] if words[0] == "show" else []
    # of one job its args are part of the answer: whose they are asks for them
    shown_to_its_owner = {"args"} if words[0] == "show" else set()

    done = house.daemon.jobd(*words, *job_id)

    assert done.returncode == 0, done.stderr
    found = {name for name, secret in said["secrets"].items() if secret in done.stdout}
    assert found <= shown_to_its_owner


def test_no_process_has_a_secret_in_its_environment(house: House, said: dict[str, Any]) -> None:
    pids = [house.daemon.pid, *children(house.daemon.pid)]
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in pids]

    assert len(pids) > 1
    found = [
        name
        for name, secret in said["secrets"].items()
        for one in environments
        if secret.encode() in one
    ]
    assert found == []


def test_no_core_is_left_of_a_daemon_that_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed_cores: None
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon = Daemon(tmp_path)
    daemon.start()
    pids = [daemon.pid, *children(daemon.pid)]
    limits = [Path(f"/proc/{pid}/limits").read_text() for pid in pids]

    daemon.process.send_signal(signal.SIGABRT)
    assert daemon.process.wait(10) == -signal.SIGABRT
    daemon.kill()

    assert [re.findall(r"Max core file size +(\d+)", text) for text in limits] == [["0"]] * len(
        pids
    )
    assert list(tmp_path.glob("core*")) == []


def test_a_traceback_of_the_daemons_never_leaves(house: House) -> None:
    """A folder where a handler's result was: nothing in jobd expects that."""
    document = {"kind": "test.echo", "args": {"a": "x" * 100_000}}
    job = house.ask("POST", "/v1/jobs", document, Prefer="wait=10")
    folder = house.daemon.state_dir / "artifacts" / job["job_id"]
    (stored,) = (path for path in folder.glob("*/*") if path.is_file())
    stored.unlink()
    stored.mkdir()
    house.expected.append("not a regular file")
    request = f"GET {job['result_url']} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    answer = exchange(house.addresses["socket"], [request.encode()], leave=False)

    assert statuses(answer) == [500]
    assert re.search(rb"Traceback|\.py\b|File |site-packages|regular|artifacts", answer) is None


def _calls(name: str) -> set[str]:
    """Return the files with a call of a function of this name."""
    return {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr == name
    }


def test_secrets_are_compared_in_constant_time() -> None:
    assert _calls("compare_digest") == {
        "domain/tokens.py",
        "domain/job_tokens.py",
        "domain/signing.py",
    }
