"""What a command says on stderr when it did not work, and what can be done about it.

Not here: the exit code (exits.py).
"""

import shlex

import click

from jobd.cli.output import plain
from jobd.client import ApiError, ClientError, Unreachable
from jobd.wire.jobs import Job
from jobd.wire.problems import Problem


def say(text: str) -> None:
    """Print one line on stderr."""
    click.echo(text, err=True)


def report(error: ClientError) -> None:
    """Say what went wrong between this command and the daemon."""
    match error:
        case ApiError():
            _problem(error.problem)
        case _:
            say(f"jobd: {plain(str(error))}")
    if isinstance(error.__cause__, PermissionError):
        say("The socket is open to its owner, or its group; see [server] socket_mode.")
    elif isinstance(error, Unreachable) and not error.lost:
        say("Is the daemon running? Start one with: jobd serve")
    if error.idempotency_key is not None:
        outcome_unknown(error.idempotency_key)


def outcome_unknown(idempotency_key: str) -> None:
    """Say that a submission may have been accepted, and how to repeat it without a second job."""
    say("The job may or may not have been accepted; repeat the command, for exactly one job, with")
    say(f"  --idempotency-key {shlex.quote(idempotency_key)}")


def _problem(problem: Problem) -> None:
    say(f"jobd: {problem.code}: {plain(problem.detail)}")
    for error in problem.errors:
        where = error.pointer or error.parameter or error.header or ""
        say(f"  {plain(where)}: {plain(error.detail)}" if where else f"  {plain(error.detail)}")
    say(f"  (HTTP {problem.status}, request {plain(problem.request_id)})")


def unsuccessful(job: Job) -> None:
    """Say that `job` ended failed or cancelled, and why."""
    say(f"jobd: job {job.job_id} ended {job.status}")
    if job.error is None:
        return
    say(f"  code:        {plain(job.error.code)}")
    say(f"  message:     {plain(job.error.message)}")
    if job.error.failed_step is not None:
        say(f"  failed step: {plain(job.error.failed_step)}")
    say(f"  attempt:     {job.attempt} of {job.max_attempts}")
