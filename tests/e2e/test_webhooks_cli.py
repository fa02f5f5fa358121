"""The README's receiver, and its way from a dead letter to its redelivery, as they stand."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest

from jobd.client import Client
from tests.e2e.conftest import JOBD, Daemon
from tests.e2e.test_readme import blocks


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


@pytest.fixture
def open_daemon(daemon: Daemon) -> Daemon:
    """A daemon that may call this machine, and gives up after one attempt."""
    with daemon.config.open("a") as config:
        config.write('[webhooks]\nallow_http = true\nallow_private = ["127.0.0.1/32"]\n')
        config.write("schedule_s = []\n")
    daemon.restart()
    return daemon


class Shell:
    """Runs single lines of the README, with their variables, in one shell."""

    def __init__(self, daemon: Daemon, port: int) -> None:
        self._folder, self._port = str(daemon.folder), str(port)
        self.environ = daemon.environ | {"PATH": f"{Path(JOBD).parent}:{os.environ['PATH']}"}

    def here(self, line: str) -> str:
        return line.replace("/tmp/jobd", self._folder).replace("8899", self._port)  # noqa: S108 - the README's

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", self.here(line)],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        if match := re.match(r"(\w+)=\$\((.*)\)", line):
            self.environ[match[1]] = self.run(match[2]).stdout.strip()
        return done


def test_from_a_dead_letter_to_its_redelivery(open_daemon: Daemon, port: int) -> None:
    add, rotate, try_it, dead, listen, redeliver = blocks("Webhooks", "sh")[0].splitlines()
    shell = Shell(open_daemon, port)

    shell.run(add)
    assert shell.environ["endpoint"].startswith("whe_")
    assert shell.run(rotate).returncode == 0
    tried = shell.run(try_it)
    assert (tried.returncode, "connect" in tried.stdout) == (1, True), tried.stderr
    listed = shell.run(dead).stdout
    assert "webhook.test" in listed
    assert "exhausted" in listed
    with subprocess.Popen(
        ["bash", "-c", "exec " + shell.here(listen).removesuffix("&")],
        env=shell.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as listening:
        assert listening.stderr is not None
        assert "listening on" in listening.stderr.readline()
        assert "1 will be sent again" in shell.run(redeliver).stdout
        try:
            heard, _ = listening.communicate(timeout=20)
        finally:
            listening.kill()

    assert "204  genuine  webhook.test" in heard
    assert listening.returncode == 0
    left = shell.run(dead).stdout
    assert "webhook.test" not in left


@pytest.fixture
def receiver(port: int) -> Iterator[HTTPServer]:
    """The README's receiver, listening."""
    (source,) = blocks("Webhooks", "python")
    *lines, last = source.replace("8899", str(port)).splitlines()
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile("\n".join(lines), "receiver.py", "exec"), names)  # noqa: S102 - the README's own code
    with eval(last.removesuffix(".serve_forever()"), names) as server:  # noqa: S307 - the same
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_receiver_of_the_readme_takes_what_is_genuine(
    open_daemon: Daemon,
    receiver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    added = open_daemon.jobd("webhooks", "add", f"http://127.0.0.1:{receiver.server_port}/")
    endpoint, secret = (
        re.findall(rf"^{name}: +(\S+)$", added.stdout, re.MULTILINE)[0]
        for name in ("endpoint", "secret")
    )
    monkeypatch.setenv("SECRET", secret)

    assert open_daemon.jobd("webhooks", "test", endpoint).returncode == 0
    assert "webhook.test" in capsys.readouterr().out

    open_daemon.jobd("submit", "test.echo", "--wait")
    with Client(open_daemon.socket) as client:
        (told,) = (
            one
            for one in client.webhooks.all_deliveries(endpoint_id=endpoint)
            if one.event_type == "job.completed"
        )
        client.webhooks.tried(told.delivery_id, timeout_s=30)
    assert f"'job_id': '{told.job_id}'" in capsys.readouterr().out

    open_daemon.jobd("webhooks", "rotate-secret", endpoint, "--overlap", "0")
    assert open_daemon.jobd("webhooks", "test", endpoint).returncode == 1
