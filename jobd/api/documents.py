"""The document of one job as it is answered: with its version and the time of the next poll.

Everything in one answer is of one moment, and of one estimate. Not here: the fields
(wire/rendering.py), which job and which status (jobs.py).
"""

from typing import NamedTuple

from jobd.api.codec import encode
from jobd.api.services import Services
from jobd.domain.estimates import Estimate, Position, waiting_for
from jobd.domain.job_tokens import issue
from jobd.domain.jobs import Job, NewJob
from jobd.domain.statuses import Status
from jobd.store.rules import rules_of
from jobd.wire.created import render_created
from jobd.wire.rendering import new_retry_after_s, render_detail, retry_after_s


class Document(NamedTuple):
    """A job as it is seen at one moment."""

    job: Job
    now_ms: int
    estimate: Estimate
    position: Position | None

    def version(self) -> dict[str, str]:
        """Return the headers that say which version this is and when to ask for the next."""
        headers = {"ETag": etag(self.job.event_id)}
        poll_s = retry_after_s(self.job, self.now_ms, self.estimate)
        if poll_s is not None:
            headers["Retry-After"] = str(poll_s)
        return headers


class Documents:
    """Makes the documents of single jobs, which were read in detail."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limits = rules_of(services.config).concurrency

    async def of(self, job: Job) -> Document:
        """Return the document of a job that was read; looks up where a queued one stands."""
        if job.status is not Status.QUEUED:
            return self._document(job, None)
        return self._document(job, await self._services.readers.position(job, self._limits))

    def encode_new(self, new: NewJob, now_ms: int) -> tuple[bytes, int]:
        """Return the bytes of a job that has just been stored, with its token; its Retry-After.

        No look is taken at its queue.
        """
        services = self._services
        catalog = services.catalog()
        if new.run_at_ms is not None:
            reason = "run_at"
        elif catalog is not None and new.kind not in catalog.handlers:
            reason = "handler_missing"
        else:
            reason = "storage_full" if services.storage_full() else "slot"
        estimate = services.estimate_new(new, now_ms)
        poll_s = new_retry_after_s(new, now_ms, estimate)
        body = render_created(
            new,
            now_ms,
            poll_s=poll_s,
            estimate=estimate,
            waiting_for=reason,
            public_url=services.public_url,
            job_token=issue(new.job_id, services.tokens.server_key),
        )
        return body, poll_s

    def _document(self, job: Job, position: Position | None) -> Document:
        services = self._services
        now_ms = services.clock.wall_ms()
        return Document(job, now_ms, services.estimate(job, now_ms, position), position)

    def encode(self, document: Document) -> bytes:
        """Return the document's bytes."""
        job, services = document.job, self._services
        catalog = services.catalog()
        return encode(
            render_detail(
                job,
                document.now_ms,
                inline_result_bytes=services.config.limits.inline_result_bytes,
                estimate=document.estimate,
                queue_position=None if document.position is None else document.position.ahead,
                waiting_for=waiting_for(
                    job,
                    document.position,
                    runnable=catalog is None or job.kind in catalog.handlers,
                    storage_full=services.storage_full(),
                ),
                public_url=services.public_url,
            )
        )


def etag(event_id: int) -> str:
    """Return a job's version; weak, as the document also holds what changes with time."""
    return f'W/"{event_id}"'
