"""A synchronous client of a daemon: its calls.

One client serves one thread, and has one connection. Streams of events, logs and downloads
have one of their own each, and may be opened and read in another thread. Every call may be
repeated without harm and is, while the daemon may come back, but for `webhooks.add` and
`webhooks.rotate_secret`.

Not here: how a call travels (link.py); the shapes of the answers (wire/).
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack
from urllib.parse import quote, urlencode

import msgspec

from jobd.client import waiting
from jobd.client.address import Address, Dial
from jobd.client.downloads import Download
from jobd.client.link import Answer, ApiError, ClientError, Link, outcome_unknown
from jobd.client.listing import Filters, query_of
from jobd.client.streams import LONGEST_SILENCE_S, EventStream, log_lines
from jobd.client.uploads import Told, upload
from jobd.client.waiting import LONGEST_WAIT_S
from jobd.client.waiting import job_path as _path
from jobd.wire.events import EventList
from jobd.wire.handlers import HandlerList
from jobd.wire.jobs import ArtifactList, Job, JobCreated, JobDetail, JobList
from jobd.wire.logs import LogLine
from jobd.wire.queues import Queue, QueueList, QueuePatch
from jobd.wire.status import Status
from jobd.wire.submission import SubmitRequest
from jobd.wire.workers import WorkerList

if TYPE_CHECKING:
    from jobd.client.batches import BatchCalls
    from jobd.client.tokens import TokenCalls
    from jobd.client.webhooks import WebhookCalls
    from jobd.wire.attempts import AttemptList
    from jobd.wire.endpoints import RotatedEndpoint

_RELOAD_S = 600.0
"""Longer than the imports of plugins take; each may have a minute."""


class Client:
    """Calls to the daemon behind one socket or URL. Every method raises ClientError.

    TypeError or ValueError for arguments that cannot be sent: no JSON, no header, no zone.
    Without a path and a URL it is $JOBD_URL, else $JOBD_SOCKET, with $JOBD_TOKEN; else the
    user's daemon if there is one, else the system's. For `patience_s` a daemon that was there
    and does not answer is waited for. `pause` waits for so many seconds, and `dial` makes
    connections; both are for tests.
    """

    def __init__(
        self,
        socket_path: str | None = None,
        *,
        url: str | None = None,
        token: str | None = None,
        patience_s: float = 15.0,
        pause: Callable[[float], object] | None = None,
        dial: Dial | None = None,
    ) -> None:
        if socket_path is not None:
            there = Address.of_socket(socket_path, token, dial)
        elif url is not None:
            there = Address.of_url(url, token, dial)
        else:
            environ = os.environ if token is None else {**os.environ, "JOBD_TOKEN": token}
            there = Address.of_environment(environ, dial=dial)
        self.address = there.shown
        """The socket's path or the URL, for people."""
        self.has_token = bool(there.headers)
        self._link = Link(there, patience_s, pause or threading.Event().wait)

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
        traceparent: str | None = None,
    ) -> Answer[JobCreated]:
        """Submit a job: exactly one, also when the request had to be sent again.

        If that stays unknown, the error carries the key with which to ask again; a key that
        was used before leads to its job, and the answer is `replayed`. `prefer` "wait=10"
        answers when the job is done, or after so many seconds; None lets the daemon wait a
        moment for a job that ends at once. The handler's trace goes on from `traceparent`.
        `job_token` reads and cancels the job, and nothing else, for whoever has it.
        """
        key = idempotency_key or secrets.token_hex(16)
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
        if prefer is not None:
            headers["Prefer"] = prefer
        if traceparent is not None:
            headers["traceparent"] = traceparent
        body = msgspec.json.encode(request)
        try:
            return self._link.json("POST", "/v1/jobs", JobCreated, headers=headers, body=body)
        except ClientError as error:
            if outcome_unknown(error):
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
        return waiting.watch(self._link, job, timeout_s=timeout_s, tick_s=tick_s, changes=changes)

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Answer[JobDetail]:
        """Return the job once it is done, however it ended.

        WaitTimedOut, with the job as it was last seen, after `timeout_s`; the job goes on.
        """
        return waiting.wait(self._link, job_id, timeout_s=timeout_s)

    def list(
        self,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        **filters: Unpack[Filters],
    ) -> Answer[JobList]:
        """Return the newest jobs that match, one page of them, or the page of `page_token`."""
        query = query_of(filters)
        if page_size is not None:
            query.append(("page_size", str(page_size)))
        if page_token is not None:
            query.append(("page_token", page_token))
        return self._link.json("GET", f"/v1/jobs?{urlencode(query)}", JobList)

    def jobs(self, *, page_size: int | None = None, **filters: Unpack[Filters]) -> Iterator[Job]:
        """Yield all jobs that match, newest first; a page is asked for when it is needed."""
        token: str | None = None
        while True:
            page = self.list(page_size=page_size, page_token=token, **filters).value
            yield from page.jobs
            token = page.next_page_token
            if not token:
                return

    def cancel(self, job_id: str) -> Answer[JobDetail]:
        """Cancel the job, or ask for it when it is running; the answer's status tells which."""
        return self._link.json("POST", f"{_path(job_id)}/cancel", JobDetail)

    def result(self, job_id: str, *, artifact: str | None = None) -> Download:
        """Open the job's result, or one of the artifacts it left, for reading. Use with `with`."""
        path = f"{_path(job_id)}/result"
        if artifact is not None:
            path = f"{_path(job_id)}/artifacts/{quote(artifact, safe='')}"
        return Download(self._link.another(), path)

    def download(self, job_id: str, path: Path, *, artifact: str | None = None) -> None:
        """Put the job's result, or one of its artifacts, at `path`: whole, or not at all.

        OSError when it cannot be written. One that broke off goes on where it was, also when
        it is called again.
        """
        with self.result(job_id, artifact=artifact) as download:
            download.save(path)

    def attempts(self, job_id: str) -> "Answer[AttemptList]":
        """Return how each run of the job went, oldest first."""
        from jobd.wire.attempts import AttemptList  # noqa: PLC0415 - it brings much of domain/

        return self._link.json("GET", f"{_path(job_id)}/attempts", AttemptList)

    @property
    def batches(self) -> "BatchCalls":
        """The calls about batches: jobs that are submitted together."""
        from jobd.client.batches import BatchCalls  # noqa: PLC0415 - most commands have none

        return BatchCalls(self._link)

    @property
    def tokens(self) -> "TokenCalls":
        """The calls about tokens, for an admin."""
        from jobd.client.tokens import TokenCalls  # noqa: PLC0415 - most commands have none

        return TokenCalls(self._link)

    @property
    def webhooks(self) -> "WebhookCalls":
        """The calls about webhooks: endpoints, and what was sent to them."""
        from jobd.client.webhooks import WebhookCalls  # noqa: PLC0415 - most commands send none

        return WebhookCalls(self._link)

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
        all: bool = False,  # noqa: A002 - as the API calls it
        silence_s: float = LONGEST_SILENCE_S,
    ) -> EventStream:
        """Open the stream of a job's events, or of the caller's jobs, or of `all` jobs.

        A job's begins with how it is now, that of all with what comes next; `after` an id
        either begins with what is newer. After `silence_s` it is taken for lost.
        """
        path = "/v1/events?all=true" if all else "/v1/events"
        if job_id is not None:
            path = f"{_path(job_id)}/events"
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

    def rotate_secret(self) -> "Answer[RotatedEndpoint]":
        """Return a new secret for the caller's callbacks; the one before signs for a while too."""
        return self.webhooks.rotate_secret()
