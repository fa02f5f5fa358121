"""What a newcomer does on the first day: files, callbacks, again, away, a unit."""

import json
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import SimpleQueue
from socketserver import UnixStreamServer
from threading import Thread

import pytest
from standardwebhooks import Webhook

from jobd.cli.main import run
from tests.e2e.conftest import Daemon
from tests.support.clock import TOMORROW


def submitted(daemon: Daemon, kind: str, *options: str) -> str:
    done = daemon.jobd("submit", kind, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def failed(daemon: Daemon) -> str:
    """A job that has failed."""
    job_id = submitted(daemon, "test.discard")
    assert daemon.jobd("wait", job_id).returncode == 7
    return job_id


def test_a_failed_job_is_retried_once(daemon: Daemon) -> None:
    job_id = failed(daemon)

    new_id = daemon.jobd("retry", job_id).stdout.strip()

    assert new_id != job_id
    assert json.loads(daemon.jobd("show", new_id, "-o", "json").stdout)["retry_of"] == job_id
    again = daemon.jobd("retry", job_id)
    assert again.returncode == 6
    assert new_id in again.stderr


def test_a_job_that_has_ended_is_deleted_and_gone(daemon: Daemon) -> None:
    job_id = failed(daemon)
    waiting = submitted(daemon, "test.echo", "--run-at", TOMORROW)

    deleted = daemon.jobd("rm", waiting, job_id)

    assert (deleted.returncode, deleted.stdout) == (6, f"{job_id}: deleted\n")
    assert daemon.jobd("show", job_id).returncode == 4
    assert daemon.jobd("show", waiting).returncode == 0


def test_a_file_goes_up_and_what_came_of_it_down_in_one_line(daemon: Daemon) -> None:
    source, out = daemon.folder / "in.txt", daemon.folder / "out.json"
    source.write_text("hello\n" * 100_000)
    command = ("submit", "test.read", "--file", f"source={source}", "--wait", "-O", str(out))

    for _ in range(2):
        assert daemon.jobd(*command).returncode == 0
        assert json.loads(out.read_text()) == source.read_text()

    (stored,) = [path for path in (daemon.state_dir / "uploads").rglob("*") if path.is_file()]
    assert stored.read_bytes() == source.read_bytes()


def test_an_upload_that_is_too_large_is_refused_by_its_name(daemon: Daemon) -> None:
    daemon.config.write_text(daemon.config.read_text() + "[limits]\nupload_bytes = 1000\n")
    daemon.restart()
    (daemon.folder / "large").write_bytes(bytes(10_000_000))

    done = daemon.jobd("submit", "test.read", "--file", f"source={daemon.folder}/large")

    assert done.returncode == 2
    assert "upload_too_large" in done.stderr


Received = tuple[dict[str, str], bytes]


@pytest.fixture
def received(tmp_path: Path) -> Iterator["SimpleQueue[Received]"]:
    """What an app that listens on `<folder>/app` is told."""
    arrived: SimpleQueue[Received] = SimpleQueue()

    class App(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((dict(self.headers), body))
            self.send_response_only(204)
            self.end_headers()

    with UnixStreamServer(str(tmp_path / "app"), App) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield arrived
        server.shutdown()
        thread.join()


def test_a_callback_is_verified_with_the_rotated_secret(
    daemon: Daemon, received: "SimpleQueue[Received]"
) -> None:
    app = daemon.folder / "app"
    daemon.config.write_text(daemon.config.read_text() + f'[webhooks]\nallow_unix = ["{app}"]\n')
    daemon.restart()
    secret = daemon.jobd("webhooks", "rotate-secret").stdout.strip()

    job_id = submitted(daemon, "test.echo", "--callback-url", f"unix:{app}:/done")

    headers, body = received.get(timeout=30)
    told = Webhook(secret).verify(body, {name.lower(): headers[name] for name in headers})
    assert (told["type"], told["data"]["job_id"]) == ("job.completed", job_id)


def test_a_callback_to_a_socket_that_is_not_allowed_is_refused(daemon: Daemon) -> None:
    done = daemon.jobd("submit", "test.echo", "--callback-url", "unix:/run/app.sock:/done")

    assert done.returncode == 2
    assert "callback_url_forbidden" in done.stderr
    assert "#/callback_url" in done.stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("arguments", [[], ["--user"]], ids=["system", "user"])
def test_systemd_has_nothing_to_say_about_the_unit(
    daemon: Daemon, arguments: list[str], tmp_path: Path
) -> None:
    unit = tmp_path / "jobd.service"
    unit.write_text(daemon.jobd("service", "unit", *arguments).stdout)

    verify = ["systemd-analyze", *arguments, "verify", "--recursive-errors=no", "--man=no"]
    said = subprocess.run(
        [*verify, unit],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert f"ExecStart={daemon.program} serve\n" in unit.read_text()


@pytest.mark.needs("systemd-analyze")
def test_the_system_unit_exposes_little(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """2.0 of 10; a unit without any of it has 9.6."""
    assert run(["service", "unit"], {}) == 0
    unit = tmp_path / "jobd.service"
    unit.write_text(capsys.readouterr().out)

    security = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)]
    assert subprocess.run(security, capture_output=True, check=False).returncode == 0
