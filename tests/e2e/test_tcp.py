"""A daemon that listens over TCP: tokens only, its own hosts only, no foreign pages."""

import http.client
import re
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from jobd.client import BadAnswer, Client, SubmitRequest
from jobd.config import Config, Server
from jobd.daemon.confines import open_files
from tests.e2e.conftest import JOBD, Daemon

APP = "https://app.example"
SECRET = "jdk_secret"  # noqa: S105 - it opens nothing
FEW_FILES = 300
LISTEN = """
[server]
listen = "127.0.0.1:0"
listen_without_tokens = true
allow_hosts = ["jobs.example"]
allow_origins = ["https://app.example"]
"""


class Reply(msgspec.Struct):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(msgspec.json.decode(self.body)["code"])


class Listening:
    """The daemon, its port, and a token of `app`."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        (ready,) = (line for line in daemon.log if line.startswith("jobd is ready on "))
        found = re.search(r" and (http://127\.0\.0\.1:(\d+))$", ready)
        assert found, ready
        self.url, self.port = found[1], int(found[2])
        made = daemon.jobd("token", "create", "app")
        assert made.returncode == 0, made.stderr
        self.token = made.stdout.strip()

    def ask(self, path: str = "/v1/jobs", method: str = "GET", **headers: str) -> Reply:
        """Ask with exactly these headers, a Host of its own included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": "localhost", **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        reply = Reply(response.status, dict(response.headers), response.read())
        connection.close()
        return reply

    def known(self, **headers: str) -> Reply:
        """Ask with the token."""
        return self.ask(Authorization=f"Bearer {self.token}", **headers)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """One daemon for all that only ask."""
    daemon = Daemon(tmp_path_factory.mktemp("tcp"))
    daemon.config.write_text(daemon.config.read_text() + LISTEN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, hard))
    try:
        daemon.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        yield Listening(daemon)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        daemon.close()


def test_nobody_is_known_without_a_token(there: Listening) -> None:
    nobody = there.ask()
    wrong = there.ask(Authorization="Bearer jdk_000000000000_" + "x" * 43)

    assert (nobody.status, nobody.code) == (401, "unauthenticated")
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="jobd"'
    assert (wrong.status, wrong.code) == (401, "invalid_token")
    assert there.ask("/livez").status == 200
    assert there.known().status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8480", 200),
        ("localhost:80", 200),
        ("LocalHost", 200),
        ("[::1]:8480", 200),
        ("jobs.example", 200),
        ("jobs.example:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("jobs.example.evil.example", 421),
        ("localhost.", 421),
        ("", 421),
    ],
)
def test_a_host_is_one_that_is_meant(there: Listening, host: str, status: int) -> None:
    reply = there.known(Host=host)

    assert reply.status == status
    assert status == 200 or reply.code == "host_not_allowed"


def test_a_foreign_host_learns_nothing_of_tokens(there: Listening) -> None:
    assert there.ask(Host="evil.example").code == "host_not_allowed"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": APP}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost:8480", "Host": "localhost:8480"}, 200),
        ({"Origin": "https://jobs.example", "Host": "jobs.example"}, 200),
        ({"Origin": "http://localhost:3000", "Host": "localhost:8480"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://app.example.evil.example"}, 403),
        ({"Origin": "http://app.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": APP}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
    ids=str,
)
def test_a_page_is_of_a_site_that_is_meant(
    there: Listening, headers: dict[str, str], status: int
) -> None:
    reply = there.known(**headers)

    assert reply.status == status
    assert status == 200 or reply.code == "origin_not_allowed"


def test_a_page_of_an_allowed_site_sees_answers_and_refusals(there: Listening) -> None:
    for reply in (there.known(Origin=APP), there.ask(Origin=APP)):
        assert reply.headers["Access-Control-Allow-Origin"] == APP
        assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]
        assert "Origin" in reply.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in reply.headers


def test_no_other_page_is_let_in(there: Listening) -> None:
    for origin in ("https://evil.example", "http://localhost"):
        reply = there.known(Origin=origin)
        assert not [name for name in reply.headers if name.startswith("Access-Control-")]
        assert "Origin" in reply.headers["Vary"]


def test_a_browser_may_ask_first_from_an_allowed_site_alone(there: Listening) -> None:
    wanted = {"Access-Control-Request-Method": "POST"}

    allowed = there.ask(method="OPTIONS", Origin=APP, **wanted)
    own = there.ask(method="OPTIONS", Origin="http://localhost", **wanted)
    evil = there.ask(method="OPTIONS", Origin="https://evil.example", **wanted)

    assert (allowed.status, allowed.body) == (204, b"")
    assert allowed.headers["Access-Control-Allow-Origin"] == APP
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert (own.status, "Access-Control-Allow-Methods" in own.headers) == (204, False)
    assert (evil.status, evil.code) == (403, "origin_not_allowed")


def test_the_socket_looks_at_neither_host_nor_origin(there: Listening) -> None:
    connection = http.client.HTTPConnection("evil.example")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(there.daemon.socket)

    connection.request("GET", "/v1/jobs", headers={"Origin": "https://evil.example"})

    response = connection.getresponse()
    assert response.status == 200
    assert not [name for name in response.headers if name.startswith("Access-Control-")]
    connection.close()


def test_the_client_works_by_url_and_token(there: Listening) -> None:
    with Client(url=there.url, token=there.token) as client:
        job = client.submit(SubmitRequest(kind="test.echo", args={"n": 1})).value
        done = client.wait(job.job_id, timeout_s=30).value

    assert (done.status, done.principal) == ("completed", "app")


def test_commands_go_where_the_environment_says(there: Listening) -> None:
    remote = {"JOBD_URL": there.url, "JOBD_TOKEN": there.token}
    environ = {**there.daemon.environ, **remote}

    done = subprocess.run(
        [JOBD, "submit", "test.echo", '{"n": 2}', "--wait"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    without = subprocess.run(
        [JOBD, "ls"],
        env={**environ, "JOBD_TOKEN": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    assert without.returncode == 5
    assert "unauthenticated" in without.stderr


def test_the_daemon_may_open_what_the_settings_need_and_workers_what_they_had(
    there: Listening,
) -> None:
    pid = there.daemon.pid
    (worker, *_) = _children(pid)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    needed = open_files(Config(server=Server(listen="127.0.0.1:0")))

    assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0
    assert soft == min(needed, hard) > FEW_FILES
    assert resource.prlimit(worker, resource.RLIMIT_NOFILE) == (FEW_FILES, hard)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def serve(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to refuse."""
    stopped = Daemon(folder)
    return subprocess.run(
        [JOBD, "serve", "--config", stopped.config, "--state-dir", stopped.state_dir, *arguments],
        env={**stopped.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("127.0.0.1:0", "jobd token create NAME"),
        ("127.0.0.1:99999", "65535"),
        ("no.such.host.invalid:1", "no.such.host.invalid"),
        ("192.0.2.1:8480", "192.0.2.1"),
        ("8480", "server.listen"),
    ],
)
def test_what_it_cannot_listen_on_exits_78(tmp_path: Path, listen: str, said: str) -> None:
    refused = serve(tmp_path, "--listen", listen)

    assert refused.returncode == 78
    assert said in refused.stderr


def test_a_port_that_is_taken_exits_75(tmp_path: Path, there: Listening) -> None:
    refused = serve(tmp_path, "--listen", f"127.0.0.1:{there.port}", "--listen-without-tokens")

    assert refused.returncode == 75
    assert f"another program listens on 127.0.0.1:{there.port}" in refused.stderr


def test_without_the_parser_in_c_it_exits_78(tmp_path: Path) -> None:
    refused = serve(tmp_path, AIOHTTP_NO_EXTENSIONS="1")

    assert refused.returncode == 78
    assert "C parser" in refused.stderr


def test_with_a_token_made_offline_it_listens(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.config.write_text('[server]\nlisten = "127.0.0.1:0"\n')
    made = daemon.jobd(
        *("token", "create", "first", "--offline", "--config", str(daemon.config)),
        *("--state-dir", str(daemon.state_dir)),
    )
    assert made.returncode == 0, made.stderr
    daemon.start()

    try:
        there = Listening(daemon)
        assert there.ask(Authorization=f"Bearer {made.stdout.strip()}").status == 200
    finally:
        daemon.close()


class Elsewhere(BaseHTTPRequestHandler):
    """Sends whoever asks to itself, and notes what came with it."""

    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(307)
        self.send_header("Location", f"http://{self.headers['Host']}/else")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_token_does_not_follow_a_redirect() -> None:
    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/behind"

    with Client(url=url, token=SECRET) as client, pytest.raises(BadAnswer, match="307"):
        client.status()

    server.shutdown()
    thread.join()
    server.server_close()
    assert Elsewhere.seen == [("/behind/v1/status", f"Bearer {SECRET}")]
