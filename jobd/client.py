"""A synchronous client of the daemon on this machine: HTTP over its unix socket.

Every call may be sent again without harm (a submission carries an idempotency key), so
when a connection breaks or the daemon answers 503, the client tries again until
`patience_s` is over: the daemon may be restarted in the middle of any call. Only the very
first connection is not waited for, so that "no daemon here" is known at once.

One client serves one thread. It imports neither asyncio nor aiohttp; a test holds it to
that, because commands must start fast.

Not here: the shapes of the answers (wire/); what a command prints (cli/).
"""

import base64
import hashlib
import http.client
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from jobd.wire.handlers import HandlerList
from jobd.wire.jobs import ArtifactList, JobDetail, JobList
from jobd.wire.problems import Problem
from jobd.wire.status import Status
from jobd.wire.submission import SubmitRequest

T = TypeVar("T")
R = TypeVar("R")

LONGEST_WAIT_S = 30
"""What one long poll asks for; the daemon may answer sooner."""

_ANSWER_TIMEOUT_S = 60.0
_RECONNECT_S = 0.05
_CHUNK_BYTES = 256 * 1024
_FIRST_ERROR = 400
_NOT_MODIFIED = 304
_EAGER_S = 0.5
_LONGEST_PAUSE_S = 1.0


class ClientError(Exception):
    """A call did not succeed. `idempotency_key` is set when a submission's outcome is unknown."""

    idempotency_key: str | None = None


class Unreachable(ClientError):  # noqa: N818 - named for what happened, as in domain.errors
    """Nothing answers on the socket; `lost` when something did, earlier in this call or client."""

    def __init__(self, socket_path: str, reason: str, *, lost: bool) -> None:
        what = "lost the connection to" if lost else "cannot reach"
        super().__init__(f"{what} the daemon at {socket_path}: {reason}")
        self.lost = lost


class BadAnswer(ClientError):  # noqa: N818
    """What came back is not an answer of jobd, or a download that is not whole."""


class WaitTimedOut(ClientError):  # noqa: N818
    """The time to wait is over; `job` is as it was last seen, and goes on."""

    def __init__(self, job: JobDetail) -> None:
        super().__init__(f"job {job.job_id} is still {job.status}")
        self.job = job


class ApiError(ClientError):
    """The daemon refused, and `problem` says why."""

    def __init__(self, problem: Problem, *, retry_after_s: int | None) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem
        self.status = problem.status
        self.retry_after_s = retry_after_s


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """What the daemon answered: decoded, and as it came."""

    value: T
    body: bytes
    etag: str | None
    retry_after_s: int | None
    replayed: bool = False
    """The idempotency key was known: this is the job that it named before."""


class Download:
    """A result or an artifact on its way; `chunks` gives its bytes."""

    def __init__(
        self, response: http.client.HTTPResponse, broken: Callable[[Exception], ClientError]
    ) -> None:
        self._response = response
        self._broken = broken
        length = response.headers["Content-Length"]
        self.size_bytes = None if length is None else int(length)
        self.media_type = response.headers.get_content_type()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive. BadAnswer at the end if they are not what was sent."""
        digest, received = hashlib.sha256(), 0
        while chunk := self._read():
            digest.update(chunk)
            received += len(chunk)
            yield chunk
        if self.size_bytes not in (None, received):
            raise BadAnswer(f"the download ended after {received} of {self.size_bytes} bytes")
        stated = self._response.headers["Repr-Digest"]
        if stated and stated != f"sha-256=:{base64.b64encode(digest.digest()).decode()}:":
            raise BadAnswer("the download does not have the digest that the daemon stated")

    def _read(self) -> bytes:
        try:
            return self._response.read(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over the socket at a path."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Calls to the daemon behind one socket. Every method raises ClientError."""

    def __init__(
        self,
        socket_path: str,
        *,
        patience_s: float = 15.0,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.socket_path = socket_path
        self._patience_s = patience_s
        self._pause = pause or threading.Event().wait
        self._connection: _UnixConnection | None = None
        self._met = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens one again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def submit(
        self,
        request: SubmitRequest,
        *,
        idempotency_key: str | None = None,
        prefer: str | None = "respond-async",
    ) -> Answer[JobDetail]:
        """Submit a job: exactly one, also when the request had to be sent again.

        If that stays unknown, the error carries the key with which to ask again. `prefer`
        None lets the daemon wait a moment for a job that ends at once.
        """
        key = idempotency_key or secrets.token_hex(16)
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
        if prefer is not None:
            headers["Prefer"] = prefer
        body = msgspec.json.encode(request)
        try:
            return self._json("POST", "/v1/jobs", JobDetail, headers=headers, body=body)
        except ClientError as error:
            if _outcome_unknown(error):
                error.idempotency_key = key
            raise

    def get(self, job_id: str) -> Answer[JobDetail]:
        """Return the job as it is now."""
        return self._json("GET", _path(job_id), JobDetail)

    def watch(
        self,
        job: Answer[JobDetail],
        *,
        timeout_s: float | None = None,
        tick_s: float = LONGEST_WAIT_S,
        changes: bool = True,
    ) -> Iterator[Answer[JobDetail]]:
        """Yield `job`, then the job after each change and every `tick_s`, last when it is done.

        Without `changes` only the end and the tick count. WaitTimedOut after `timeout_s`.
        """
        until = "" if changes else "; until=done"
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            yield job
            if job.value.done:
                return
            wait_s = min(tick_s, LONGEST_WAIT_S)
            if deadline_s is not None:
                wait_s = min(wait_s, deadline_s - time.monotonic())
                if wait_s <= 0:
                    raise WaitTimedOut(job.value)
            job = self._later(job, max(1, round(wait_s)), until)

    def list(
        self,
        *,
        statuses: Sequence[str] = (),
        kind: str | None = None,
        queue: str | None = None,
        page_size: int | None = None,
    ) -> Answer[JobList]:
        """Return the newest jobs that match, one page of them."""
        query: list[tuple[str, str]] = [("status", status) for status in statuses]
        named = {"kind": kind, "queue": queue, "page_size": page_size}
        query += [(name, str(value)) for name, value in named.items() if value is not None]
        return self._json("GET", f"/v1/jobs?{urlencode(query)}", JobList)

    def cancel(self, job_id: str) -> Answer[JobDetail]:
        """Cancel the job, or ask for it when it is running; the answer's status tells which."""
        return self._json("POST", f"{_path(job_id)}/cancel", JobDetail)

    @contextmanager
    def result(self, job_id: str, *, artifact: str | None = None) -> Iterator[Download]:
        """Open the job's result, or one of the artifacts it left, for reading."""
        path = f"{_path(job_id)}/result"
        if artifact is not None:
            path = f"{_path(job_id)}/artifacts/{quote(artifact, safe='')}"
        response = self._patiently(lambda: self._open("GET", path, {}, None))
        try:
            yield Download(response, self._broken)
        finally:
            if not response.isclosed():
                self.close()

    def artifacts(self, job_id: str) -> Answer[ArtifactList]:
        """Return which files the job left."""
        return self._json("GET", f"{_path(job_id)}/artifacts", ArtifactList)

    def handlers(self) -> Answer[HandlerList]:
        """Return the kinds that can be submitted, and those that did not load."""
        return self._json("GET", "/v1/handlers", HandlerList)

    def status(self) -> Answer[Status]:
        """Return what the daemon is and how busy."""
        return self._json("GET", "/v1/status", Status)

    def _later(self, job: Answer[JobDetail], wait_s: int, until: str) -> Answer[JobDetail]:
        headers = {"Prefer": f"wait={wait_s}{until}"}
        if job.etag is not None:
            headers["If-None-Match"] = job.etag
        asked_s = time.monotonic()
        answer = self._json(
            "GET", _path(job.value.job_id), JobDetail, headers=headers, unchanged=job
        )
        if answer is job and time.monotonic() - asked_s < min(_EAGER_S, wait_s):
            # a draining daemon answers long polls at once: do not ask it in a busy loop
            self._pause(_LONGEST_PAUSE_S)
        return answer

    def _json(
        self,
        method: str,
        path: str,
        shape: type[T],
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        unchanged: Answer[T] | None = None,
    ) -> Answer[T]:
        """Send, read and decode; a 304 stands for `unchanged`."""

        def attempt() -> Answer[T]:
            response = self._open(method, path, headers or {}, body)
            data = response.read()
            if response.status == _NOT_MODIFIED and unchanged is not None:
                return unchanged
            return _answer(response, data, shape)

        return self._patiently(attempt)

    def _open(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> http.client.HTTPResponse:
        """Send one request and return its answer, the body unread. ApiError if it is a refusal."""
        if self._connection is None:
            self._connection = _UnixConnection(self.socket_path)
        if self._connection.sock is None:
            self._connection.connect()
            self._met = True
        self._connection.request(method, path, body=body, headers=headers)
        response = self._connection.getresponse()
        if response.status >= _FIRST_ERROR:
            raise _refusal(response, response.read())
        return response

    def _patiently(self, attempt: Callable[[], R]) -> R:
        until_s = time.monotonic() + self._patience_s
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException) as error:
                failure: ClientError = self._broken(error)
            except ApiError as error:
                failure = error
            wait_s = _pause_before_retry(failure)
            if wait_s is None or time.monotonic() + wait_s > until_s:
                raise failure
            self._pause(wait_s)

    def _broken(self, error: Exception) -> Unreachable:
        self.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        # a full backlog refuses (EAGAIN) although a daemon is there
        lost = self._met or isinstance(error, BlockingIOError)
        failure = Unreachable(self.socket_path, reason, lost=lost)
        failure.__cause__ = error
        return failure


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _retry_after_s(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Retry-After", "")
    return int(text) if text.isdecimal() else None


def _answer(response: http.client.HTTPResponse, body: bytes, shape: type[T]) -> Answer[T]:
    try:
        value = msgspec.json.decode(body, type=shape)
    except ValueError as error:  # no JSON, no UTF-8, or another shape
        raise BadAnswer(f"the daemon's answer cannot be read: {error}") from error
    return Answer(
        value,
        body,
        etag=response.headers["ETag"],
        retry_after_s=_retry_after_s(response),
        replayed=response.headers["Idempotent-Replayed"] == "true",
    )


def _refusal(response: http.client.HTTPResponse, body: bytes) -> ClientError:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except ValueError:
        return BadAnswer(f"HTTP {response.status} without a problem document")
    return ApiError(problem, retry_after_s=_retry_after_s(response))


def _pause_before_retry(failure: ClientError) -> float | None:
    """Return how long to wait before asking again; None: asking again would not help."""
    match failure:
        case Unreachable(lost=True):
            return _RECONNECT_S
        case ApiError(status=503) if failure.problem.retryable is not False:
            return failure.retry_after_s or 1.0
    return None


def _outcome_unknown(error: ClientError) -> bool:
    match error:
        case ApiError():
            return error.problem.code == "outcome_unknown"
        case Unreachable():
            return error.lost
    return True
