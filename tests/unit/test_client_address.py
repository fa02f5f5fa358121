"""Where the client looks for the daemon, and what it sends there."""

import socketserver
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jobd.cli.main import run
from jobd.client import Client, Unreachable
from jobd.client.address import Address

KNOWN = "jdk_known"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://localhost", "http://HOST"),
        ("localhost:8480", "http://HOST"),
        ("http://", "http://HOST"),
        ("http://me:secret@localhost", "JOBD_TOKEN"),
        ("http://localhost/?a=b", "more than a path"),
        ("http://localhost/#a", "more than a path"),
        ("http://localhost/a b", "characters"),
        ("http://localhost:port", "port"),
        ("http://localhost:99999", "ort"),
    ],
)
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Client(url=url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Other: b", "é"])
def test_a_token_is_one_word(token: str) -> None:
    with pytest.raises(ValueError, match="no token has") as caught:
        Address.of_socket("/s", token)

    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "shown", "token"),
    [
        ({"JOBD_URL": "https://a.example/b", "JOBD_SOCKET": "/s"}, "https://a.example/b", None),
        ({"JOBD_URL": "", "JOBD_SOCKET": "/s", "JOBD_TOKEN": ""}, "/s", None),
        ({"JOBD_SOCKET": "/s", "JOBD_TOKEN": KNOWN}, "/s", KNOWN),
    ],
)
def test_the_environment_says_where_and_as_whom(
    environ: dict[str, str], shown: str, token: str | None
) -> None:
    address = Address.of_environment(environ)

    assert address.shown == shown
    assert address.headers == ({"Authorization": f"Bearer {token}"} if token else {})


def test_a_place_that_is_named_does_not_get_the_token_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBD_TOKEN", KNOWN)
    monkeypatch.setenv("JOBD_URL", "http://a.example")

    assert not Client("/s").has_token
    assert not Client(url="http://b.example").has_token
    assert Client().has_token


def test_each_request_carries_the_token(recorded: Any, job_json: Any) -> None:
    recorded.reply(job_json())
    recorded.reply(job_json())

    with Client(recorded.socket, token=KNOWN) as client:
        client.get("job_x")
        client.cancel("job_x")

    assert [one.headers["Authorization"] for one in recorded.requests] == [f"Bearer {KNOWN}"] * 2


def test_commands_send_the_token_of_the_environment(recorded: Any, job_json: Any) -> None:
    recorded.reply(job_json())

    code = run(("cancel", "job_x"), {"JOBD_SOCKET": recorded.socket, "JOBD_TOKEN": KNOWN})

    assert code == 0
    assert recorded.requests[0].headers["Authorization"] == f"Bearer {KNOWN}"


def test_a_url_that_cannot_be_used_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(("ls",), {"JOBD_URL": "ftp://localhost"})

    assert code == 2
    assert "http://HOST" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (("show", "job_x"), "http://a.example/b/v1/jobs/job_x"),
        (("show", "job_x", "--socket", "http://c.example:1"), "http://c.example:1/v1/jobs/job_x"),
    ],
)
def test_curl_gets_the_url_and_the_name_of_the_token(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], url: str
) -> None:
    environ = {"JOBD_URL": "http://a.example/b/", "JOBD_TOKEN": KNOWN}

    code = run((*arguments, "--curl"), environ)

    assert code == 0
    printed = capsys.readouterr().out
    assert printed == f'curl -sS -H "Authorization: Bearer $JOBD_TOKEN" {url}\n'


def test_curl_uploads_with_the_name_of_the_token(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    environ = {"JOBD_URL": "http://a.example/b/", "JOBD_TOKEN": KNOWN}

    run(("submit", "a.b", "--file", f"source={tmp_path}/f", "--curl"), environ)

    upload, submit = capsys.readouterr().out.splitlines()
    assert KNOWN not in upload + submit
    assert upload.endswith(" http://a.example/b/v1/uploads")
    assert '"Authorization: Bearer $JOBD_TOKEN"' in upload


class Known(BaseHTTPRequestHandler):
    """Says that it has seen the right token."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == f"Bearer {KNOWN}" else 500)
        body = b'{"handlers":[],"load_errors":[]}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Secure(socketserver.ThreadingTCPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep silent: one client that goes away is what the test is about."""


@pytest.mark.needs("openssl")
def test_tls_is_used_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", "key"]
    made += ["-out", "cert", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server = Secure(("127.0.0.1", 0), Known, bind_and_activate=True)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    client = Client(url=f"https://localhost:{server.server_address[1]}", token=KNOWN)

    try:
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            client.handlers()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        assert client.handlers().value.handlers == []
    finally:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()
