"""`jobd top`: the daemon, its workers and what they run, on one screen.

What is on the screen was asked for together. It is painted again when an event says that
something has changed, and every few seconds, because memory and time move without one. The
stream of all events is only listened to for one of them: however busy the daemon is, it
writes one event a second for this command.

Not here: how far one job is, as it happens (watch.py).
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterator

import click

from jobd.cli import curl, jobview
from jobd.cli.options import Environ, connect, socket_option
from jobd.cli.output import Column, age, now, plain, size_text, table_lines
from jobd.cli.progress import doing
from jobd.client import ApiError, Client
from jobd.wire.jobs import Job
from jobd.wire.status import Status
from jobd.wire.workers import Worker

_SHORTEST_S = 1.0
_LONGEST_S = 5.0
_JOBS = 200

# the other screen, where lines are cut and nothing blinks; and back
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_TOP, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def _memory(worker: Worker) -> str:
    return "" if worker.rss_bytes is None else size_text(worker.rss_bytes)


_WORKERS: tuple[Column[Worker], ...] = (
    Column("WORKER", lambda worker: worker.worker_id),
    Column("LANE", lambda worker: worker.lane),
    Column("PID", lambda worker: str(worker.pid), right=True),
    Column("STATE", lambda worker: worker.state),
    Column("JOBS", lambda worker: str(len(worker.job_ids)), right=True),
    Column("DONE", lambda worker: f"{worker.jobs_done:,}", right=True),
    Column("MEMORY", _memory, right=True),
    Column("AGE", lambda worker: age(worker.started_at, now()), right=True),
)

_RUNNING: tuple[Column[Job], ...] = (
    Column("JOB", lambda job: job.job_id),
    Column("KIND", lambda job: job.kind),
    Column("DONE", lambda job: f"{job.progress_pct:.0f} %", right=True),
    Column("TOOK", jobview.took, right=True),
    Column("ATTEMPT", lambda job: f"{job.attempt}/{job.max_attempts}", right=True),
    Column("DOING", doing),
)


@click.command(epilog="Example: jobd top --once")
@click.option("--once", is_flag=True, help="Print it once; so it is off a terminal.")
@click.option("--all", "of_all", is_flag=True, help="Everybody's jobs, not only yours.")
@socket_option
@click.pass_obj
def top(environ: Environ, *, once: bool, of_all: bool, socket: str | None) -> None:
    """Show how busy the daemon is, its workers and the jobs they run, until Ctrl-C.

    The workers, and with --all everybody's jobs, are shown to those who may read all.
    """
    with connect(environ, socket) as client:
        if curl.asked():
            curl.each(client.status, client.workers, lambda: _running(client, of_all=of_all))
            return
        if once or not sys.stdout.isatty():
            for line in screen(client, of_all=of_all):
                click.echo(line)
            return
        try:
            _control(_ENTER)
            _keep_painting(client, of_all=of_all)
        except KeyboardInterrupt:
            pass  # this is how it is left
        finally:
            _control(_LEAVE)


def _keep_painting(client: Client, *, of_all: bool) -> None:
    while True:
        began_s = time.monotonic()
        # opened before it is asked how things are: what changes then is an event
        with client.events(all=of_all, silence_s=_LONGEST_S) as events:
            shown = list(screen(client, of_all=of_all))[: shutil.get_terminal_size().lines - 1]
            painted = "".join(f"{line}{_END_OF_LINE}\n" for line in shown)
            _control(f"{_TOP}{painted}{_BELOW}")
            events.news()
        threading.Event().wait(max(0.0, began_s + _SHORTEST_S - time.monotonic()))


def _control(text: str) -> None:
    # NO_COLOR is about colours: click would leave all of it out
    click.echo(text, nl=False, color=True)


def screen(client: Client, *, of_all: bool = False) -> Iterator[str]:
    """Ask how things are and yield the lines that say so."""
    status = client.status().value
    workers = _workers(client)
    running = _running(client, of_all=of_all)
    yield from _summary(status, client.address)
    yield ""
    if workers is not None:
        yield from table_lines(_WORKERS, workers)
        yield ""
    yield from table_lines(_RUNNING, running)
    if status.processing > len(running):
        yield f"… and {status.processing - len(running):,} more"


def _workers(client: Client) -> list[Worker] | None:
    """Return the workers, None if they are not for the caller to see."""
    try:
        return client.workers().value.workers
    except ApiError as error:
        if error.problem.code != "forbidden":
            raise
        return None


def _running(client: Client, *, of_all: bool) -> list[Job]:
    return client.list(statuses=["processing"], all=of_all, page_size=_JOBS).value.jobs


def _summary(status: Status, address: str) -> Iterator[str]:
    accepting = "accepting" if status.accepting else "not accepting"
    yield (
        f"jobd {plain(status.version)} at {plain(address)}, "
        f"up {age(status.started_at, now())}, {accepting}"
    )
    slots = (f"{lane} {slot.free} of {slot.total}" for lane, slot in status.worker_slots.items())
    free = ", ".join(plain(slot) for slot in slots)
    yield f"queued {status.queued:,}  processing {status.processing:,}  free slots: {free}"
