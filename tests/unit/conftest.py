"""A daemon's side of the wire for the tests of the client: it records and replies as told."""

import socketserver
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from jobd.cli.main import run
from jobd.wire.events import JobEvent
from jobd.wire.jobs import Job, JobCreated, JobDetail
from jobd.wire.problems import Problem

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    data: bytes
    hang_up: bool = False


HANG_UP = Reply(b"", hang_up=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep silent: clients that go away in the middle are what some tests are about."""


class Recorded:
    """Listens on a unix socket. Each request takes the next reply; without one, it hangs up."""

    def __init__(self, path: Path) -> None:
        self.socket = str(path)
        self.requests: list[Request] = []
        self.replies: deque[Reply] = deque()
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline()
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                request = Request(self.command, self.path, dict(self.headers), body)
                recorded.requests.append(request)
                reply = recorded.replies.popleft() if recorded.replies else HANG_UP
                self.wfile.write(reply.data)
                self.close_connection = reply.hang_up

        self._server = _Server(self.socket, Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def reply(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.replies.append(Reply("\r\n".join([*lines, "", ""]).encode() + body))

    def reply_cut_off(self, data: bytes) -> None:
        self.replies.append(Reply(data, hang_up=True))

    def stream(self, body: bytes, media_type: str = "text/event-stream") -> None:
        """Reply with what goes on until the connection ends, and end it."""
        head = f"HTTP/1.1 200 -\r\nContent-Type: {media_type}\r\n\r\n"
        self.reply_cut_off(head.encode() + body)

    def refuse(self, status: int, code: str, **fields: Any) -> None:
        headers = fields.pop("headers", {})
        problem = Problem(
            type=f"urn:jobd:problem:{code}",
            title=code,
            status=status,
            detail=fields.pop("detail", "It was refused."),
            instance="urn:uuid:0",
            code=code,
            request_id="req_1",
            **fields,
        )
        self.reply(msgspec.json.encode(problem), status, **headers)

    def hang_up(self) -> None:
        self.replies.append(HANG_UP)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """A listener whose replies the test chooses; every client must be closed by then."""
    listener = Recorded(tmp_path / "s")
    yield listener
    listener.close()


@pytest.fixture
def job_detail() -> Callable[..., JobDetail]:
    """Make a job document: a queued job, but for what is named."""

    def make(**changes: Any) -> JobDetail:
        job_id = "job_" + "0" * 32
        values: dict[str, Any] = dict.fromkeys(JobDetail.__struct_fields__)
        values |= {
            "job_id": job_id,
            "kind": "a.b",
            "queue": "default",
            "status": "queued",
            "done": False,
            "partial": False,
            "poll_url": f"/v1/jobs/{job_id}",
            "cancel_url": f"/v1/jobs/{job_id}/cancel",
            "priority": 5,
            "metadata": {},
            "created_at": MOMENT,
            "updated_at": MOMENT,
            "attempt": 1,
            "max_attempts": 3,
            "cancel_requested": False,
            "progress_pct": 0.0,
            "args": msgspec.Raw(b"{}"),
            "result": msgspec.Raw(b"null"),
            "principal": "uid:0",
            "timeout_seconds": 60.0,
            "retention_seconds": 60,
            "charged_attempts": 0,
            "artifacts_url": f"/v1/jobs/{job_id}/artifacts",
        }
        return JobDetail(**values | changes)

    return make


@pytest.fixture
def job_json(job_detail: Callable[..., JobDetail]) -> Callable[..., bytes]:
    """Make a job document as the daemon would send it, to who submits the job as well."""

    def make(**changes: Any) -> bytes:
        fields = msgspec.structs.asdict(job_detail(**changes))
        return msgspec.json.encode(JobCreated(**fields, job_token=""))

    return make


@pytest.fixture
def frame(job_detail: Callable[..., JobDetail]) -> Callable[..., bytes]:
    """Make a server-sent event about a job as the daemon would send it."""

    def make(id_: int, status: str, **changes: Any) -> bytes:
        done = status in ("completed", "failed", "cancelled")
        job = msgspec.structs.asdict(job_detail(status=status, done=done, **changes))
        plain = Job(**{name: job[name] for name in Job.__struct_fields__})
        data = msgspec.json.encode(JobEvent(f"job.{status}", MOMENT, plain))
        return b"id: %d\nevent: job.%b\ndata: %b\n\n" % (id_, status.encode(), data)

    return make


@pytest.fixture
def jobd(recorded: Any) -> Callable[..., int]:
    """Run a command line in this process, with the recorded daemon's socket."""

    def call(*arguments: str) -> int:
        return run(arguments, {"JOBD_SOCKET": recorded.socket})

    return call
