"""A synchronous client of the daemon on this machine: its calls.

One client serves one thread, and has one connection. A stream of events has one of its own,
and may be opened and read in another thread. Every call may be repeated without harm and is,
while the daemon may come back, but for `rotate_secret`.

Not here: how a call travels (link.py); the shapes of the answers (wire/).
"""

import http.client
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode

import msgspec

from jobd.client.link import (
    Answer,
    ApiError,
    ClientError,
    Link,
    Unreachable,
    WaitTimedOut,
    answer,
)
from jobd.client.streams import LONGEST_SILENCE_S, EventStream, log_lines
from jobd.client.transfers import Download, Told, upload
from jobd.wire.events import EventList
from jobd.wire.handlers import HandlerList
from jobd.wire.jobs import ArtifactList, JobDetail, JobList
from jobd.wire.logs import LogLine
from jobd.wire.queues import Queue, QueueList, QueuePatch
from jobd.wire.status import Status
from jobd.wire.submission import SubmitRequest
from jobd.wire.webhooks import RotatedEndpoint
from jobd.wire.workers import WorkerList

LONGEST_WAIT_S = 30
"""What one long poll asks for; the daemon may answer sooner."""

_RELOAD_S = 600.0
"""Longer than the imports of plugins take; each may have a minute."""

_EAGER_S = 0.5
_LONGEST_PAUSE_S = 1.0


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
        self._link = Link(socket_path, patience_s, pause or threading.Event().wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens one again."""
        self._link.close()

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
            return self._link.json("POST", "/v1/jobs", JobDetail, headers=headers, body=body)
        except ClientError as error:
            if _outcome_unknown(error):
                error.idempotency_key = key
            raise

    def get(self, job_id: str) -> Answer[JobDetail]:
        """Return the job as it is now."""
        return self._link.json("GET", _path(job_id), JobDetail)

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
        return self._link.json("GET", f"/v1/jobs?{urlencode(query)}", JobList)

    def cancel(self, job_id: str) -> Answer[JobDetail]:
        """Cancel the job, or ask for it when it is running; the answer's status tells which."""
        return self._link.json("POST", f"{_path(job_id)}/cancel", JobDetail)

    @contextmanager
    def result(self, job_id: str, *, artifact: str | None = None) -> Iterator[Download]:
        """Open the job's result, or one of the artifacts it left, for reading."""
        path = f"{_path(job_id)}/result"
        if artifact is not None:
            path = f"{_path(job_id)}/artifacts/{quote(artifact, safe='')}"
        response = self._link.patiently(lambda: self._link.open("GET", path))
        try:
            yield Download(response, self._link.broken)
        finally:
            if not response.isclosed():
                self.close()

    def artifacts(self, job_id: str) -> Answer[ArtifactList]:
        """Return which files the job left."""
        return self._link.json("GET", f"{_path(job_id)}/artifacts", ArtifactList)

    def handlers(self) -> Answer[HandlerList]:
        """Return the kinds that can be submitted, and those that did not load."""
        return self._link.json("GET", "/v1/handlers", HandlerList)

    def reload_handlers(self) -> Answer[HandlerList]:
        """Have the plugins loaded again and return what is installed then; takes its time."""
        link = self._link.another(timeout_s=_RELOAD_S)
        try:
            return link.json("POST", "/v1/handlers/reload", HandlerList)
        finally:
            link.close()

    def status(self) -> Answer[Status]:
        """Return what the daemon is and how busy."""
        return self._link.json("GET", "/v1/status", Status)

    def events(
        self,
        job_id: str | None = None,
        *,
        after: int | None = None,
        silence_s: float = LONGEST_SILENCE_S,
    ) -> EventStream:
        """Open the stream of a job's events, or of all that the caller may see.

        A job's begins with how it is now, that of all with what comes next; `after` an id
        either begins with what is newer. After `silence_s` it is taken for lost.
        """
        path = "/v1/events" if job_id is None else f"{_path(job_id)}/events"
        link = self._link.another(timeout_s=silence_s)
        return EventStream(link, path, after=after, of_one_job=job_id is not None)

    def history(self, job_id: str) -> Answer[EventList]:
        """Return the events of a job so far."""
        headers = {"Accept": "application/json"}
        return self._link.json("GET", f"{_path(job_id)}/events", EventList, headers=headers)

    def logs(
        self,
        job_id: str,
        *,
        attempt: int | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> Iterator[LogLine]:
        """Yield the lines of a job's log, or its last ones; following, until the job is done."""
        named = {"attempt": attempt, "tail": tail, "follow": 1 if follow else None}
        query = {name: str(value) for name, value in named.items() if value is not None}
        path = f"{_path(job_id)}/logs"
        link = self._link.another()
        return log_lines(link, path, query, is_done=lambda: self.get(job_id).value.done)

    def retry(self, job_id: str) -> Answer[JobDetail]:
        """Submit a failed or cancelled job again and return the new one."""
        try:
            return self._link.json("POST", f"{_path(job_id)}/retry", JobDetail)
        except ApiError as error:
            if not self._link.repeated or error.problem.code != "job_already_retried":
                raise
            # the answer that was lost was a yes
            new_id = self.get(job_id).value.retried_as
            if new_id is None:
                raise
        return self.get(new_id)

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with all that it left."""
        try:
            self._link.patiently(lambda: self._link.open("DELETE", _path(job_id)).read())
        except ApiError as error:
            if not self._link.repeated or error.problem.code != "job_not_found":
                raise  # else the answer that was lost was a yes

    def upload(self, path: Path, told: Told = lambda *_: None) -> str:
        """Return the id of the file's content, which is sent if the daemon does not have it.

        OSError when the file cannot be read; FileChanged when it does not stay as it is.
        """
        return upload(self._link, path, told)

    def workers(self) -> Answer[WorkerList]:
        """Return the worker processes and what they run."""
        return self._link.json("GET", "/v1/workers", WorkerList)

    def queues(self) -> Answer[QueueList]:
        """Return the queues and how much is in them."""
        return self._link.json("GET", "/v1/queues", QueueList)

    def set_queue(self, name: str, patch: QueuePatch) -> Answer[Queue]:
        """Set or take away a queue's limit, pause or resume it; return it as it is then."""
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode(patch)
        path = f"/v1/queues/{quote(name, safe='')}"
        return self._link.json("PATCH", path, Queue, headers=headers, body=body)

    def pause_queue(self, name: str) -> Answer[Queue]:
        """Start no more jobs of the queue: once this has returned, none does."""
        return self._link.json("POST", f"/v1/queues/{quote(name, safe='')}/pause", Queue)

    def resume_queue(self, name: str) -> Answer[Queue]:
        """Start jobs of the queue again."""
        return self._link.json("POST", f"/v1/queues/{quote(name, safe='')}/resume", Queue)

    def rotate_secret(self) -> Answer[RotatedEndpoint]:
        """Return a new secret for the caller's callbacks; the one before signs for a while too.

        Asked once: a second time would make the first one's secret, which nobody saw, the
        one before.
        """
        self._link.close()  # a connection that was kept may be dead
        path = "/v1/webhook-endpoints/default/rotate-secret"
        try:
            response = self._link.open("POST", path)
            return answer(response, response.read(), RotatedEndpoint)
        except (OSError, http.client.HTTPException) as error:
            raise self._link.broken(error) from error

    def _later(self, job: Answer[JobDetail], wait_s: int, until: str) -> Answer[JobDetail]:
        headers = {"Prefer": f"wait={wait_s}{until}"}
        if job.etag is not None:
            headers["If-None-Match"] = job.etag
        asked_s = time.monotonic()
        answer = self._link.json(
            "GET", _path(job.value.job_id), JobDetail, headers=headers, unchanged=job
        )
        if answer is job and time.monotonic() - asked_s < min(_EAGER_S, wait_s):
            # a draining daemon answers long polls at once: do not ask it in a busy loop
            self._link.pause(_LONGEST_PAUSE_S)
        return answer


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _outcome_unknown(error: ClientError) -> bool:
    match error:
        case ApiError():
            return error.problem.code == "outcome_unknown"
        case Unreachable():
            return error.lost
    return True
