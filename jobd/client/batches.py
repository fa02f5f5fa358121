"""Jobs that are submitted together.

Not here: the jobs themselves, and lists of them (calls.py).
"""

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from jobd.client.link import (
    Answer,
    ApiError,
    ClientError,
    Link,
    jittered,
    outcome_unknown,
)
from jobd.client.uploads import FileBody
from jobd.wire.batches import Batch, BatchDetail, BatchLine, BatchList
from jobd.wire.submission import SubmitRequest

__all__ = ["Batch", "BatchCalls", "BatchDetail", "BatchLine", "BatchTimedOut"]

_BATCHES = "/v1/batches"
_IMPORT_S = 600.0
"""Longer than the daemon takes for the longest batch."""

_POLL_S = 1


class BatchTimedOut(ClientError):  # noqa: N818 - named for what happened, as in link.py
    """The time to wait is over; `batch` is as it was last seen, and goes on."""

    def __init__(self, batch: BatchDetail) -> None:
        super().__init__(f"batch {batch.batch_id} is still {batch.status}")
        self.batch = batch


class BatchCalls:
    """`client.batches`: submit jobs by the thousand, and follow them as one."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def submit(
        self,
        jobs: Iterable[SubmitRequest] | bytes | Path,
        *,
        atomic: bool = False,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[BatchDetail]:
        """Submit jobs together: each exactly once, also when the request had to be sent again.

        `jobs` may be lines of JSON, or a file of them; a BatchLine has a key of its own. Lines
        that are wrong are named in `errors`, and the others are queued; `atomic`, for at most
        1,000 lines, queues all or none. ApiError (`batch_rejected`) when none was queued.
        FileChanged or OSError when the file cannot be read to its end.
        """
        key = idempotency_key or secrets.token_hex(16)
        named = {"atomic": "true" if atomic else None, "callback_url": callback_url}
        query = urlencode({name: value for name, value in named.items() if value is not None})
        url = f"{_BATCHES}?{query}" if query else _BATCHES
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f'"{key}"'}
        if not isinstance(jobs, Path):
            body = jobs if isinstance(jobs, bytes) else b"".join(map(_line, jobs))
            return self._submit(url, headers, body, key)
        with jobs.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            headers["Content-Length"] = str(size_bytes)
            return self._submit(url, headers, FileBody(file, size_bytes), key)

    def _submit(
        self, url: str, headers: dict[str, str], body: bytes | FileBody, key: str
    ) -> Answer[BatchDetail]:
        link = self._link.another(timeout_s=_IMPORT_S)
        try:
            return link.json("POST", url, BatchDetail, headers=headers, body=body)
        except ClientError as error:
            if outcome_unknown(error):
                error.idempotency_key = key
            raise
        finally:
            link.close()

    def get(self, batch_id: str) -> Answer[BatchDetail]:
        """Return the batch as it is now."""
        return self._link.json("GET", _path(batch_id), BatchDetail)

    def wait(self, batch_id: str, *, timeout_s: float | None = None) -> Answer[BatchDetail]:
        """Return the batch once all its jobs have ended, however they did.

        BatchTimedOut, with the batch as it was last seen, after `timeout_s`; it goes on.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        batch = self.get(batch_id)
        while not batch.value.done:
            pause_s = jittered(batch.retry_after_s or _POLL_S)
            if deadline_s is not None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise BatchTimedOut(batch.value)
                pause_s = min(pause_s, left_s)
            self._link.pause(pause_s)
            headers = {} if batch.etag is None else {"If-None-Match": batch.etag}
            batch = self._link.json(
                "GET", _path(batch_id), BatchDetail, headers=headers, unchanged=batch
            )
        return batch

    def all(
        self,
        *,
        page_size: int | None = None,
        all: bool = False,  # noqa: A002 - as the API calls it
    ) -> Iterator[Batch]:
        """Yield the caller's batches, or `all`, newest first; pages are asked for when needed."""
        query = {"all": "true"} if all else {}
        if page_size is not None:
            query["page_size"] = str(page_size)
        while True:
            url = f"{_BATCHES}?{urlencode(query)}" if query else _BATCHES
            page = self._link.json("GET", url, BatchList).value
            yield from page.batches
            if not page.next_page_token:
                return
            query["page_token"] = page.next_page_token

    def cancel(self, batch_id: str) -> Answer[Batch]:
        """Cancel what has not ended of the batch, or ask for it where it is running."""
        return self._link.json("POST", f"{_path(batch_id)}/cancel", Batch)

    def retry(self, batch_id: str, *, statuses: Sequence[str] = ("failed",)) -> Answer[BatchDetail]:
        """Submit the jobs that ended so again, those that were not before; return the new batch."""
        query = urlencode([("status", status) for status in statuses])
        try:
            return self._link.json("POST", f"{_path(batch_id)}/retry?{query}", BatchDetail)
        except ApiError as error:
            if not self._link.repeated or error.problem.code != "nothing_to_retry":
                raise
            # the answer that was lost was a yes, unless there is none
            found = next((one for one in self.all() if one.retry_of == batch_id), None)
            if found is None:
                raise
        return self.get(found.batch_id)


def _line(job: SubmitRequest) -> bytes:
    return msgspec.json.encode(job) + b"\n"


def _path(batch_id: str) -> str:
    return f"{_BATCHES}/{quote(batch_id, safe='')}"
