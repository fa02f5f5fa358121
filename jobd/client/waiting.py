"""Waiting for a job: long polls, and pauses where a poll cannot be long.

Not here: how a lost daemon is waited for (link.py), events as they happen (streams.py).
"""

import time
from collections.abc import Iterator
from urllib.parse import quote

from jobd.client.link import Answer, Link, WaitTimedOut, backoff_s
from jobd.wire.jobs import JobDetail

LONGEST_WAIT_S = 30
"""What one long poll asks for; the daemon may answer sooner."""

_EAGER_S = 0.5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 5.0
"""So long after a restart an end may be seen late."""


def job_path(job_id: str) -> str:
    """Return where the job is."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def watch(
    link: Link,
    job: Answer[JobDetail],
    *,
    timeout_s: float | None,
    tick_s: float,
    changes: bool,
) -> Iterator[Answer[JobDetail]]:
    """Yield `job`, then the job after each change and every `tick_s`, last when it is done.

    Without `changes` only the end and the tick count. WaitTimedOut after `timeout_s`.
    """
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    eager = 0
    while True:
        yield job
        if job.value.done:
            return
        wait_s = min(tick_s, LONGEST_WAIT_S, _left_s(deadline_s))
        if wait_s <= 0:
            raise WaitTimedOut(job.value)
        asked_s, before = time.monotonic(), job
        job = ask(link, job.value.job_id, wait_s=wait_s, until_done=not changes, known=job)
        news = job.value.done or (changes and job.value is not before.value)
        if news or time.monotonic() - asked_s >= min(_EAGER_S, wait_s):
            eager = 0
            continue
        # a draining daemon answers long polls at once: do not ask it in a busy loop
        longest_s = min(job.retry_after_s or _LONGEST_PAUSE_S, _LONGEST_PAUSE_S)
        pause_s = backoff_s(eager, first_s=_FIRST_PAUSE_S, longest_s=longest_s)
        link.pause(min(pause_s, max(0.0, _left_s(deadline_s))))
        eager += 1


def wait(link: Link, job_id: str, *, timeout_s: float | None) -> Answer[JobDetail]:
    """Return the job once it is done. WaitTimedOut after `timeout_s`."""
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    wait_s = min(LONGEST_WAIT_S, _left_s(deadline_s))
    job = ask(link, job_id, wait_s=wait_s, until_done=True)
    left_s = None if deadline_s is None else max(0.0, _left_s(deadline_s))
    for seen in watch(link, job, timeout_s=left_s, tick_s=LONGEST_WAIT_S, changes=False):
        job = seen
    return job


def ask(
    link: Link,
    job_id: str,
    *,
    wait_s: float,
    until_done: bool,
    known: Answer[JobDetail] | None = None,
) -> Answer[JobDetail]:
    """Return the job after at most `wait_s`: at its next change, or its end.

    `known` with the Retry-After of now when nothing has changed.
    """
    headers = {}
    if wait_s > 0:
        until = "; until=done" if until_done else ""
        headers["Prefer"] = f"wait={max(1, round(wait_s))}{until}"
    if known is not None and known.etag is not None:
        headers["If-None-Match"] = known.etag
    return link.json("GET", job_path(job_id), JobDetail, headers=headers, unchanged=known)


def _left_s(deadline_s: float | None) -> float:
    return float("inf") if deadline_s is None else deadline_s - time.monotonic()
