"""Waiting for a job's end with a bar on stderr, and handing over what came of it.

Not here: the long poll (client/calls.py), the bar's look (progress.py).
"""

import shlex
import sys
from pathlib import Path

import click

from jobd.cli import jobview
from jobd.cli.download import print_download, save_download
from jobd.cli.errors import say, unsuccessful
from jobd.cli.exits import Exit
from jobd.cli.progress import Bar
from jobd.client import LONGEST_WAIT_S, Answer, Client, WaitTimedOut
from jobd.wire.jobs import JobDetail

_TICK_S = 1.0


def follow(
    client: Client,
    job: Answer[JobDetail],
    *,
    timeout_s: float | None,
    socket: str | None,
    submitted: bool = False,
) -> Answer[JobDetail]:
    """Wait until the job is done and return it as it then is; `submitted` first says its id.

    Ctrl-C and a timeout leave the job alone; they say how to go on, and exit.
    """
    bar = Bar(sys.stderr)
    # a bar shows changes, and that time goes by; without one only the end is of interest
    tick_s = _TICK_S if bar.live else LONGEST_WAIT_S
    again = f" --socket {shlex.quote(socket)}" if socket else ""
    job_id = job.value.job_id
    try:
        if submitted:
            say(f"jobd: submitted {job_id}")
        with bar:
            for seen in client.watch(job, timeout_s=timeout_s, tick_s=tick_s, changes=bar.live):
                job = seen
                bar.show(job.value)
    except KeyboardInterrupt:
        say(f"jobd: job {job_id} goes on. Cancel it: jobd cancel {job_id}{again}")
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    except WaitTimedOut:
        say(f"jobd: the wait timed out, job {job_id} goes on. More: jobd wait {job_id}{again}")
        raise click.exceptions.Exit(Exit.WAIT_TIMED_OUT) from None
    return job


def hand_over(
    client: Client, job: Answer[JobDetail], *, output: str | None, save_as: Path | None
) -> None:
    """Print or save what the job ended with; exits 7 when it ended failed or cancelled."""
    if output is not None:
        jobview.VIEW.print_one(job.value, job.body, output)
    if job.value.status != "completed":
        unsuccessful(job.value)
        raise click.exceptions.Exit(Exit.JOB_UNSUCCESSFUL)
    if job.value.result_url is not None and (save_as or output is None):
        with client.result(job.value.job_id) as download:
            if save_as is None:
                print_download(download)
            else:
                save_download(download, save_as)
    if job.value.partial and job.value.result_summary is not None:
        summary = job.value.result_summary
        say(f"jobd: partial: {summary.failed} of {summary.total} items failed")
