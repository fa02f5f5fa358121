"""`jobd watch`: how far several jobs are, as it happens.

Each job has a stream of its own, read by a thread of its own: a stream of all events would
cost the daemon as much as there is going on, however little of it is watched.

Not here: what keeps a stream going over a restart of the daemon (client/streams.py).
"""

import queue
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import partial

import click

from jobd.cli import curl
from jobd.cli.errors import say, unsuccessful
from jobd.cli.exits import Exit
from jobd.cli.options import Environ, connect, socket_option
from jobd.cli.output import now
from jobd.cli.progress import Block, doing, line
from jobd.client import Client, ClientError, Seen
from jobd.wire.jobs import Job

AT_A_TIME = 16
"""The daemon gives a principal 20 streams by default."""

_TICK_S = 1.0
_TAIL_CHARS = 6


@click.command(epilog="Example: jobd watch $(jobd ls --status processing -o name)")
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@socket_option
@click.pass_obj
def watch(environ: Environ, *, job_ids: tuple[str, ...], socket: str | None) -> None:
    """Follow jobs to their ends: bars on a terminal, else a line for every change.

    Exits 7 when one of them ended failed or cancelled. Ctrl-C stops the watching, not the
    jobs. Of many jobs 16 are followed at a time.
    """
    with connect(environ, socket) as client:
        if curl.asked():
            curl.each(*(partial(client.events, job_id) for job_id in job_ids))
            return
        jobs: dict[str, Job] = {
            job_id: client.get(job_id).value for job_id in dict.fromkeys(job_ids)
        }
    try:
        _follow(client, jobs)
    except KeyboardInterrupt:
        say("jobd: the jobs go on.")
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    bad = [job for job in jobs.values() if job.status != "completed"]
    for job in bad:
        unsuccessful(job)
    if bad:
        raise click.exceptions.Exit(Exit.JOB_UNSUCCESSFUL)


def _follow(client: Client, jobs: dict[str, Job]) -> None:
    """Keep `jobs` as they are, and show them, until all are done."""
    with Block(sys.stdout) as block:
        block.paint(_lines(jobs.values()))
        for seen in news(client, jobs, tick_s=_TICK_S if block.live else None):
            if seen is not None:
                jobs[seen.job.job_id] = seen.job
                if not block.live:
                    click.echo(change(seen))
            block.paint(_lines(jobs.values()))


def news(
    client: Client, job_ids: Collection[str], *, tick_s: float | None
) -> Iterator[Seen | None]:
    """Yield the events of the jobs until each has ended; None when `tick_s` brought none.

    Raises the ClientError that ended a stream before its job.
    """
    waiting = deque(job_ids)
    arrived: queue.SimpleQueue[Seen | ClientError | None] = queue.SimpleQueue()
    readers = min(len(waiting), AT_A_TIME)
    for _ in range(readers):
        threading.Thread(target=_read, args=(client, waiting, arrived), daemon=True).start()
    while readers:
        try:
            item = arrived.get(timeout=tick_s)
        except queue.Empty:
            yield None
            continue
        if isinstance(item, ClientError):
            raise item
        if item is None:
            readers -= 1
        else:
            yield item


def _read(
    client: Client,
    waiting: deque[str],
    arrived: "queue.SimpleQueue[Seen | ClientError | None]",
) -> None:
    """Put the events of one waiting job after the other, then None or what went wrong."""
    try:
        while True:
            with client.events(waiting.popleft()) as events:
                for event in events:
                    arrived.put(event)
    except IndexError:  # none waits
        arrived.put(None)
    except ClientError as error:
        arrived.put(error)


def _lines(jobs: Collection[Job]) -> list[str]:
    heads = [f"{job.kind} …{job.job_id[-_TAIL_CHARS:]}" for job in jobs]
    width = max(map(len, heads))
    at = now()
    return [
        line(job, elapsed_s=_elapsed_s(job, at), head=f"{head:{width}}")
        for job, head in zip(jobs, heads, strict=True)
    ]


def _elapsed_s(job: Job, at: datetime) -> float:
    if job.started_at is None:
        return 0.0
    return max(0.0, ((job.completed_at or at) - job.started_at).total_seconds())


def change(seen: Seen) -> str:
    """Return the line for an event."""
    job = seen.job
    parts = [
        f"{seen.timestamp:%Y-%m-%dT%H:%M:%SZ}",
        job.job_id,
        job.status,
        f"{job.progress_pct:.0f} %",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
        "cancel requested" if job.cancel_requested and not job.done else "",
        doing(job),
    ]
    return "  ".join(part for part in parts if part)
