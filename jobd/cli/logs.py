"""`jobd logs`: what a job's handler wrote."""

import sys

import click
import msgspec

from jobd.cli.errors import say
from jobd.cli.exits import Exit
from jobd.cli.jobs import job_argument
from jobd.cli.options import Environ, connect, socket_option
from jobd.cli.output import plain


@click.command(
    epilog="Examples: jobd logs job_019b… -f · jobd logs job_019b… --attempt 1 --tail 20"
)
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is done.")
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="Of this attempt.  [default: all]"
)
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "ndjson"]),
    default="text",
    show_default=True,
    help="ndjson says when, by which attempt and where each line was written.",
)
@socket_option
@click.pass_obj
def logs(
    environ: Environ,
    *,
    job_id: str,
    follow: bool,
    attempt: int | None,
    tail: int | None,
    output: str,
    socket: str | None,
) -> None:
    """Print what a job's attempts wrote: stdout, stderr and logging, in order.

    Following, Ctrl-C stops the printing, not the job.
    """
    shown = plain if sys.stdout.isatty() else str
    before = 1
    try:
        with connect(environ, socket) as client:
            for line in client.logs(job_id, attempt=attempt, tail=tail, follow=follow):
                if output == "ndjson":
                    click.echo(msgspec.json.encode(line))
                    continue
                if line.attempt != before and attempt is None:
                    say(f"jobd: attempt {line.attempt}")
                before = line.attempt
                # click would leave colours out of a pipe: a log is printed as it is
                click.echo(shown(line.line), color=True)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
