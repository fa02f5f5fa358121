"""The webhooks of a daemon that is installed: whom it calls, whom it never does, what it tells."""

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from tests.e2e.conftest import Daemon

TOLD_S = 20.0
OPEN = """
[webhooks]
allow_http = true
allow_private = ["127.0.0.0/8", "::1/128"]
schedule_s = []
"""


class Told:
    """What a receiver was sent; it answers as the path says: /410."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.came = threading.Condition()

    def wait_for(self, path: str) -> tuple[dict[str, str], bytes]:
        """Return the first request to that path, when it is there."""

        def found() -> tuple[dict[str, str], bytes] | None:
            return next(((h, b) for at, h, b in self.requests if at == path), None)

        with self.came:
            request = self.came.wait_for(found, TOLD_S)
        assert request is not None, [at for at, *_ in self.requests]
        return request


@contextlib.contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Told]:
    """Listen on 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = self.path.strip("/")
            self.send_response(int(status) if status.isdigit() else 204)
            self.end_headers()
            headers = {name.lower(): value for name, value in self.headers.items()}
            with told.came:
                told.requests.append((self.path, headers, body))
                told.came.notify_all()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        told = Told(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Told]:
    """A receiver on 127.0.0.1."""
    with receiving() as told:
        yield told


def configured(daemon: Daemon, text: str) -> Daemon:
    """Start it again with these settings beside its own."""
    with daemon.config.open("a") as config:
        config.write(text)
    daemon.restart()
    return daemon


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0", "[::]"])  # noqa: S104 - of this host
def test_it_never_calls_itself(daemon: Daemon, receiver: Told, listen: str) -> None:
    """Though the operator has opened all of this host: at its own port nothing is called."""
    configured(daemon, f'{OPEN}[server]\nlisten = "{listen}:0"\nlisten_without_tokens = true\n')
    *_, ready = (line for line in daemon.log if line.startswith("jobd is ready on "))
    port = ready.rstrip().rpartition(":")[2]

    literal = daemon.jobd("webhooks", "add", f"http://127.0.0.1:{port}/v1/jobs")
    assert (literal.returncode, "callback_url_forbidden" in literal.stderr) == (2, True)
    named = daemon.jobd("webhooks", "add", f"http://localhost:{port}/", "-o", "name")
    tried = daemon.jobd("webhooks", "test", named.stdout.strip())
    assert "blocked_address" in tried.stdout, tried
    other = daemon.jobd("webhooks", "add", f"http://localhost:{receiver.port}/", "-o", "name")
    assert daemon.jobd("webhooks", "test", other.stdout.strip()).returncode == 0


def test_the_operator_is_told(daemon: Daemon, receiver: Told) -> None:
    configured(daemon, f'{OPEN}ops_url = "http://127.0.0.1:{receiver.port}/ops"\n')
    secret = daemon.jobd("webhooks", "rotate-secret", "ops").stdout.strip()
    gone = daemon.jobd(
        "webhooks", "add", f"http://127.0.0.1:{receiver.port}/410", "-o", "name"
    ).stdout.strip()

    assert daemon.jobd("webhooks", "test", gone).returncode == 1
    headers, body = receiver.wait_for("/ops")

    said = Webhook(secret).verify(body, headers)
    assert said["type"] == "webhook.endpoint_disabled"
    assert said["data"]["endpoint_id"] == gone
    assert "disabled: gone" in daemon.jobd("webhooks", "show", gone).stdout
    assert secret not in "".join(daemon.log)


@pytest.mark.needs("openssl")
def test_a_receiver_that_shows_who_it_is_is_told_over_tls(daemon: Daemon, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    subject = ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *subject, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    daemon.environ["SSL_CERT_FILE"] = str(certificate)
    configured(daemon, OPEN)

    with receiving(tls) as receiver:
        job = f"https://127.0.0.1:{receiver.port}/hook"
        daemon.jobd("submit", "test.echo", "--callback-url", job, "--wait")
        headers, body = receiver.wait_for("/hook")

    assert headers["webhook-id"].startswith("msg_")
    assert msgspec.json.decode(body)["type"] == "job.completed"


def test_a_receiver_on_a_unix_socket_is_told(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "hook.sock"
    configured(daemon, f'[webhooks]\nallow_unix = ["{path}"]\nschedule_s = []\n')
    url = f"unix:{path}:/hook"
    added = daemon.jobd("webhooks", "add", url, "-o", "json")
    endpoint = msgspec.json.decode(added.stdout)
    secret = tmp_path / "secret"
    secret.write_text(endpoint["secret"])

    with daemon.begin(
        "webhooks", "listen", "--unix", str(path), "--secret-file", str(secret), "--count", "1"
    ) as listening:
        assert listening.stderr is not None
        assert "listening on" in listening.stderr.readline()
        tested = daemon.jobd("webhooks", "test", endpoint["endpoint_id"])
        heard, _ = listening.communicate(timeout=TOLD_S)

    assert tested.returncode == 0, tested
    assert "204  genuine  webhook.test" in heard
    assert not path.exists()


def test_an_ops_url_that_may_not_be_called_ends_the_start(daemon: Daemon) -> None:
    daemon.close()
    with daemon.config.open("a") as config:
        config.write('[webhooks]\nops_url = "http://127.0.0.1:9/"\n')

    refused = daemon.jobd("serve", "--config", str(daemon.config))

    assert refused.returncode == 78
    assert "webhooks.ops_url" in refused.stderr
