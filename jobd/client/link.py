"""How a request travels: one connection, patience, answers and refusals.

A call may be sent again without harm, so when a connection breaks or the daemon is too busy
it is, until the patience is over: the daemon may be restarted in the middle of any call.
Only the very first connection is not waited for, so that "no daemon here" is known at once.
Pauses grow, are never shorter than the daemon asked for, and no two clients' are the same.

Not here: which calls there are (calls.py), bytes of files (downloads.py, uploads.py), answers
that go on (streams.py), where the daemon is (address.py).
"""

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, Self, TypeVar

import msgspec

from jobd.client.address import Address
from jobd.wire.jobs import JobDetail
from jobd.wire.problems import Problem

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")

_ANSWER_TIMEOUT_S = 60.0
_RECONNECT_S = 0.05
_LONGEST_RECONNECT_S = 1.0
_BUSY_S = 1.0
_JITTER = 0.25
_DOUBLINGS = 16
_FIRST_ERROR = 400
_NOT_MODIFIED = 304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ClientError(Exception):
    """A call did not succeed. `idempotency_key` is set when a submission's outcome is unknown."""

    idempotency_key: str | None = None


class Unreachable(ClientError):  # noqa: N818 - named for what happened, as in domain.errors
    """Nothing answers there; `lost` when something did, earlier in this call or client."""

    def __init__(self, address: str, reason: str, *, lost: bool) -> None:
        what = "lost the connection to" if lost else "cannot reach"
        super().__init__(f"{what} the daemon at {address}: {reason}")
        self.lost = lost


class BadAnswer(ClientError):  # noqa: N818
    """What came back is not an answer of jobd, or a download that is not whole."""


class WaitTimedOut(ClientError):  # noqa: N818
    """The time to wait is over; `job` is as it was last seen, and goes on."""

    def __init__(self, job: JobDetail) -> None:
        super().__init__(f"job {job.job_id} is still {job.status}")
        self.job = job


class FileChanged(ClientError):  # noqa: N818
    """A file did not stay as it was while it was uploaded."""


class ApiError(ClientError):
    """The daemon refused, and `problem` says why."""

    def __init__(self, problem: Problem, *, retry_after_s: int | None) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem
        self.status = problem.status
        self.retry_after_s = retry_after_s


class Answer(msgspec.Struct, Generic[T_co], frozen=True):
    """What the daemon answered: decoded, and as it came."""

    value: T_co
    body: bytes
    etag: str | None
    retry_after_s: int | None
    replayed: bool = False
    """The idempotency key was known: this is the job that it named before."""


class Link:
    """One connection to the daemon, made when it is needed and again when it was lost."""

    def __init__(
        self,
        address: Address,
        patience_s: float,
        pause: Callable[[float], object],
        *,
        timeout_s: float = _ANSWER_TIMEOUT_S,
        met: threading.Event | None = None,
    ) -> None:
        self._address = address
        self.pause = pause
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._met = met or threading.Event()
        self.repeated = False
        """Whether the last call was sent more than once."""

    def another(self, *, timeout_s: float = _ANSWER_TIMEOUT_S) -> Self:
        """Return a second link to the same daemon, met or not, for a call that takes its time."""
        return type(self)(
            self._address, self._patience_s, self.pause, timeout_s=timeout_s, met=self._met
        )

    def close(self) -> None:
        """Close the connection; the next call opens one again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def json(
        self,
        method: str,
        path: str,
        shape: type[T],
        *,
        headers: dict[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        unchanged: Answer[T] | None = None,
    ) -> Answer[T]:
        """Send, read and decode; a 304 stands for `unchanged`, with its own Retry-After."""

        def attempt() -> Answer[T]:
            response = self.open(method, path, headers, body)
            data = response.read()
            if response.status == _NOT_MODIFIED and unchanged is not None:
                return msgspec.structs.replace(unchanged, retry_after_s=_retry_after_s(response))
            return answer(response, data, shape)

        return self.patiently(attempt)

    def has(self, path: str) -> bool:
        """Return whether a HEAD finds something; whatever else it says, another call will too."""

        def attempt() -> bool:
            response = self._exchange("HEAD", path, None, None)
            response.read()
            return response.status < _FIRST_ERROR

        return self.patiently(attempt)

    def open(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> http.client.HTTPResponse:
        """Send one request and return its answer, the body unread. ApiError if it is a refusal.

        Raises OSError or HTTPException when the connection breaks: see `patiently`.
        """
        response = self._exchange(method, path, headers, body)
        if response.status >= _FIRST_ERROR:
            raise _refusal(response, response.read())
        if response.status in _REDIRECTS:
            self.close()
            where = response.headers.get("Location", "nowhere")
            raise BadAnswer(f"HTTP {response.status}, to {where}: redirects are not followed")
        return response

    def _exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None,
        body: bytes | Iterable[bytes] | None,
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = self._address.dial(self._timeout_s)
        if self._connection.sock is None:
            self._connection.connect()
            self._met.set()
        try:
            self._connection.request(
                method,
                self._address.prefix + path,
                body=body,
                headers={**self._address.headers, **(headers or {})},
            )
        except (BrokenPipeError, ConnectionResetError):
            if body is None:
                raise
            # a refusal does not wait for the whole body: then the answer is there already
        return self._connection.getresponse()

    def patiently(self, attempt: Callable[[], R]) -> R:
        """Return what `attempt` does, made again while the daemon may come back."""
        until_s = time.monotonic() + self._patience_s
        self.repeated = False
        failures = 0
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException) as error:
                failure: ClientError = self.broken(error)
            except ApiError as error:
                failure = error
            wait_s = _pause_before_retry(failure, failures)
            if wait_s is None or time.monotonic() + wait_s > until_s:
                raise failure
            self.pause(wait_s)
            self.repeated = True
            failures += 1

    def broken(self, error: Exception) -> Unreachable:
        """Give the connection up and return what to raise for it."""
        self.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        # a full backlog refuses (EAGAIN) although a daemon is there
        lost = self._met.is_set() or isinstance(error, BlockingIOError)
        failure = Unreachable(self._address.shown, reason, lost=lost)
        failure.__cause__ = error
        return failure


def outcome_unknown(error: ClientError) -> bool:
    """Return whether a submission that ended so may have been accepted."""
    match error:
        case ApiError():
            return error.problem.code == "outcome_unknown"
        case Unreachable():
            return error.lost
    return True


def answer(response: http.client.HTTPResponse, body: bytes, shape: type[T]) -> Answer[T]:
    """Decode the body of an answer. BadAnswer when it has another shape."""
    return Answer(
        decode(body, shape),
        body,
        etag=response.headers["ETag"],
        retry_after_s=_retry_after_s(response),
        replayed=response.headers["Idempotent-Replayed"] == "true",
    )


def decode(body: bytes, shape: type[T]) -> T:
    """Return the document in `body`. BadAnswer when it is no JSON, no UTF-8, or another shape."""
    try:
        return msgspec.json.decode(body, type=shape)
    except ValueError as error:
        raise BadAnswer(f"the daemon's answer cannot be read: {error}") from error


def _retry_after_s(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Retry-After", "")
    return int(text) if text.isdecimal() else None


def _refusal(response: http.client.HTTPResponse, body: bytes) -> ClientError:
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except ValueError:
        return BadAnswer(f"HTTP {response.status} without a problem document")
    return ApiError(problem, retry_after_s=_retry_after_s(response))


def _pause_before_retry(failure: ClientError, failures: int) -> float | None:
    """Return how long to wait before asking again; None: asking again would not help."""
    match failure:
        case Unreachable(lost=True):
            return backoff_s(failures, first_s=_RECONNECT_S, longest_s=_LONGEST_RECONNECT_S)
        case ApiError(status=503) if failure.problem.retryable is not False:
            return jittered(failure.retry_after_s or _BUSY_S)
        case ApiError(status=429) if failure.problem.code == "rate_limited":
            return jittered(failure.retry_after_s or _BUSY_S)
        case ApiError(status=409) if failure.problem.code == "idempotency_in_progress":
            # the daemon has not noticed yet that the connection was lost
            return jittered(failure.retry_after_s or _BUSY_S)
    return None


def backoff_s(failures: int, *, first_s: float, longest_s: float) -> float:
    """Return the pause after so many more failures than one: it doubles each time."""
    return jittered(min(first_s * 2 ** min(failures, _DOUBLINGS), longest_s))


def jittered(seconds: float) -> float:
    """Return as long, or up to a quarter longer, so that clients do not come back together."""
    return seconds * random.uniform(1, 1 + _JITTER)  # noqa: S311 - nothing is guarded by it
