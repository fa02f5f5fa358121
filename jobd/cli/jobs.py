"""The commands about jobs that are there: ls, show, wait, cancel, retry, rm, result."""

import sys
from functools import partial
from pathlib import Path

import click

from jobd.cli import curl, jobview
from jobd.cli.download import print_download, save_download
from jobd.cli.errors import report, say
from jobd.cli.exits import of_error
from jobd.cli.follow import follow, hand_over
from jobd.cli.options import (
    Environ,
    connect,
    limit_option,
    of_all_option,
    output_option,
    save_option,
    socket_option,
)
from jobd.cli.output import print_fields, print_table
from jobd.client import ApiError

_STATUSES = ("scheduled", "queued", "processing", "retrying", "completed", "failed", "cancelled")

job_argument = click.argument("job_id", metavar="JOB")


@click.command(epilog="Example: jobd ls --status failed --status retrying -o wide")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(_STATUSES), help="Only these; repeat."
)
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--queue", help="Only jobs of this queue.")
@of_all_option
@limit_option
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def ls(
    environ: Environ,
    *,
    statuses: tuple[str, ...],
    kind: str | None,
    queue: str | None,
    of_all: bool,
    limit: int,
    output: str,
    socket: str | None,
) -> None:
    """List your jobs, newest first."""
    with connect(environ, socket) as client:
        page = client.list(statuses=statuses, kind=kind, queue=queue, all=of_all, page_size=limit)
    jobview.VIEW.print_list(page.value.jobs, page.body, output)
    if page.value.next_page_token is not None and output in ("table", "wide"):
        say(f"There are more than these {limit}; see --limit.")


@click.command(epilog="Example: jobd show job_019b… -o json")
@job_argument
@output_option("table", "How to print it.")
@socket_option
@click.pass_obj
def show(environ: Environ, *, job_id: str, output: str, socket: str | None) -> None:
    """Show one job: what was asked, how far it is, what came of it."""
    with connect(environ, socket) as client:
        job = client.get(job_id)
        if output not in ("table", "wide"):
            jobview.VIEW.print_one(job.value, job.body, output)
            return
        artifacts = client.artifacts(job_id).value.artifacts
    print_fields(jobview.fields(job.value))
    if artifacts:
        click.echo()
        print_table(jobview.ARTIFACT_COLUMNS, artifacts)


@click.command(epilog="Example: jobd wait job_019b… --timeout 60 -O out.json")
@job_argument
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Stop waiting after so long (exit 8); the job goes on.",
)
@save_option
@output_option(None, "Print the job in place of its result.")
@socket_option
@click.pass_obj
def wait(
    environ: Environ,
    *,
    job_id: str,
    timeout_s: float | None,
    save_as: Path | None,
    output: str | None,
    socket: str | None,
) -> None:
    """Wait until a job is done, with a progress bar, and print its result.

    Exits 7 when the job ended failed or cancelled. Ctrl-C stops the wait, not the job.
    """
    with connect(environ, socket) as client:
        if curl.asked():
            client.wait(job_id, timeout_s=timeout_s)
        job = follow(client, client.get(job_id), timeout_s=timeout_s, socket=socket)
        hand_over(client, job, output=output, save_as=save_as)


@click.command(epilog="Example: jobd cancel job_019b…")
@job_argument
@output_option(None, "Print the job.")
@socket_option
@click.pass_obj
def cancel(environ: Environ, *, job_id: str, output: str | None, socket: str | None) -> None:
    """Cancel a job: at once if it waits; if it runs, its process is asked, then killed."""
    with connect(environ, socket) as client:
        job = client.cancel(job_id)
    if output is not None:
        jobview.VIEW.print_one(job.value, job.body, output)
        return
    state = "cancelled" if job.value.done else "cancel requested, it is still running"
    click.echo(f"{job.value.job_id}: {state}")


@click.command(epilog="Example: jobd watch $(jobd retry job_019b…)")
@job_argument
@output_option("name", "How to print the new job.")
@socket_option
@click.pass_obj
def retry(environ: Environ, *, job_id: str, output: str, socket: str | None) -> None:
    """Submit a failed or cancelled job again and print the id of the new job."""
    with connect(environ, socket) as client:
        job = client.retry(job_id)
    jobview.VIEW.print_one(job.value, job.body, output)


@click.command(epilog="Example: jobd ls --status failed -o name | xargs jobd rm")
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask, however many they are.")
@socket_option
@click.pass_obj
def rm(environ: Environ, *, job_ids: tuple[str, ...], yes: bool, socket: str | None) -> int:
    """Delete jobs that have ended, with their results, artifacts and logs.

    On a terminal you are asked before several are deleted. One that cannot be deleted does
    not keep the others; the exit code is then its own.
    """
    ids = tuple(dict.fromkeys(job_ids))
    if len(ids) > 1 and not yes and sys.stdin.isatty() and not curl.asked():
        click.confirm(f"Delete {len(ids)} jobs and all that they left?", abort=True, err=True)
    code = 0
    with connect(environ, socket) as client:
        if curl.asked():
            curl.each(*(partial(client.delete, job_id) for job_id in ids))
            return code
        for job_id in ids:
            try:
                client.delete(job_id)
            except ApiError as error:
                report(error)
                code = code or of_error(error)
            else:
                click.echo(f"{job_id}: deleted")
    return code


@click.command(
    epilog="Examples: jobd result job_019b… -O out.json · jobd result job_019b… --artifact log.txt"
)
@job_argument
@click.option(
    "--artifact", metavar="NAME", help="A file that the job left; `jobd show` names them."
)
@save_option
@socket_option
@click.pass_obj
def result(
    environ: Environ,
    *,
    job_id: str,
    artifact: str | None,
    save_as: Path | None,
    socket: str | None,
) -> None:
    """Print the result of a completed job, or save it."""
    with connect(environ, socket) as client, client.result(job_id, artifact=artifact) as download:
        if save_as is not None:
            save_download(download, save_as)
        else:
            print_download(download)
