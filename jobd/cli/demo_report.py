"""What the demo prints: figures, each with where it was read, and how to go on by hand.

No figure is computed from anything but an API answer or a file that stands beside it.
"""

import itertools
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import click
import msgspec

from jobd.cli.demo_sources import Source
from jobd.cli.errors import say
from jobd.cli.jobview import status_text
from jobd.cli.output import Column, duration, plain, print_table
from jobd.client import Client
from jobd.wire.jobs import JobDetail

_SHOWN_FILES = 10
_SHOWN_REJECTS = 5
_SHOWN_LINES = 5
_LONGEST_REJECT = 110
_LONGEST_PAGE = 1000


class ImportResult(msgspec.Struct, frozen=True):
    """What `import.csv` answers, as far as it is printed."""

    rows_imported: int
    rows_rejected: int
    bytes_total: int
    rejects: str | None = None
    """The artifact that holds the rejected rows."""


class Import(NamedTuple):
    """A source and the job that imported it, done."""

    source: Source
    job: JobDetail


class Done(NamedTuple):
    """An import that completed."""

    source: Source
    job: JobDetail
    result: ImportResult


class Calls(NamedTuple):
    """The callbacks that came and were signed as they should be, and where they came."""

    genuine: int
    socket: str


class Figure(NamedTuple):
    """A number, what it counts, and where it stands to be read again."""

    what: str
    value: str
    where: str


_FILES: tuple[Column[Done], ...] = (
    Column("FILE", lambda done: done.source.name),
    Column("STATUS", lambda done: status_text(done.job)),
    Column("IMPORTED", lambda done: f"{done.result.rows_imported:,}", right=True),
    Column("REJECTED", lambda done: f"{done.result.rows_rejected:,}", right=True),
    Column("BYTES", lambda done: f"{done.result.bytes_total:,}", right=True),
    Column("TOOK", lambda done: duration(done.job.started_at, done.job.completed_at), right=True),
    Column("READ FROM", lambda done: f"GET {done.job.poll_url}"),
)

_FIGURES: tuple[Column[Figure], ...] = (
    Column("FIGURE", lambda figure: figure.what),
    Column("VALUE", lambda figure: figure.value, right=True),
    Column("READ FROM", lambda figure: figure.where),
)


def print_report(client: Client, imports: list[Import], database: Path, calls: Calls) -> bool:
    """Print what came of the imports; return whether all jobs completed and the rows are there."""
    done = [
        Done(source, job, msgspec.json.decode(job.result, type=ImportResult))
        for source, job in imports
        if job.status == "completed"
    ]
    done.sort(key=lambda each: -each.result.rows_imported)
    if not done:
        return False
    counts = _counts(done, database)
    _print_files(done)
    print_table(_FIGURES, list(_figures(client, done, counts, database, calls)))
    click.echo()
    _print_course(client, done[0])
    _print_rejects(client, done)
    imported = sum(each.result.rows_imported for each in done)
    counted = sum(counts.values())
    if counted != imported:
        say(f"jobd: {imported} rows were imported, but {counted} are there")
    return len(done) == len(imports) and counted == imported


def _print_files(done: list[Done]) -> None:
    print_table(_FILES, done[:_SHOWN_FILES])
    if done[_SHOWN_FILES:]:
        click.echo(f"… and {len(done) - _SHOWN_FILES} files more")
    click.echo()


def _figures(
    client: Client, done: list[Done], counts: dict[str, int], database: Path, calls: Calls
) -> Iterator[Figure]:
    results = ".result of all GET /v1/jobs/{id}"
    path = f"/v1/jobs?status=completed&page_size={_LONGEST_PAGE}"
    completed = client.list(statuses=["completed"], page_size=_LONGEST_PAGE).value.jobs
    yield Figure("jobs completed", f"{len(completed):,}", f"GET {path}")
    imported = sum(each.result.rows_imported for each in done)
    yield Figure("rows imported", f"{imported:,}", f"sum of rows_imported in {results}")
    for table, count in counts.items():
        yield Figure(f"rows in table {table}", f"{count:,}", f"select count(*) in {database}")
    rejected = sum(each.result.rows_rejected for each in done)
    yield Figure("rows rejected", f"{rejected:,}", f"sum of rows_rejected in {results}")
    bytes_total = sum(each.result.bytes_total for each in done)
    yield Figure("bytes", f"{bytes_total:,}", f"sum of bytes_total in {results}")
    where = f"POST to {calls.socket}, signed with the secret of rotate-secret"
    yield Figure("callbacks verified", f"{calls.genuine:,}", where)
    first = min(job.started_at for job in completed if job.started_at)
    last = max(job.completed_at for job in completed if job.completed_at)
    yield Figure("from first to last", duration(first, last), f"started_at, completed_at in {path}")


def _counts(done: list[Done], database: Path) -> dict[str, int]:
    """Count the rows of each table in the target itself."""
    import sqlite3  # noqa: PLC0415 - no other command should load it

    tables = dict.fromkeys(each.source.table for each in done)
    connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
    try:
        return {
            table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608
            for table in tables
        }
    finally:
        connection.close()


def _print_course(client: Client, one: Done) -> None:
    """Print what happened to one job, and what its handler wrote meanwhile."""
    job = one.job
    events = client.history(job.job_id).value.events
    click.echo(f"What happened to {plain(one.source.name)}, from GET {job.events_url}:")
    for event in events:
        click.echo(f"  {event.timestamp:%H:%M:%S.%f}"[:-3] + f"  {event.type}")
    click.echo()
    click.echo(f"What it logged, from GET {job.logs_url}:")
    for line in client.logs(job.job_id, tail=_SHOWN_LINES):
        click.echo(f"  {line.stream}: {plain(line.line)}")
    click.echo()


def _print_rejects(client: Client, done: list[Done]) -> None:
    most = max(done, key=lambda each: each.result.rows_rejected)
    if most.result.rejects is None:
        return
    url = f"{most.job.artifacts_url}/{most.result.rejects}"
    click.echo(f"Rejected rows of {plain(most.source.name)}, from GET {url}:")
    with client.result(most.job.job_id, artifact=most.result.rejects) as download:
        text = next(download.chunks(), b"").decode(errors="replace")
    for line in itertools.islice(text.splitlines(), _SHOWN_REJECTS):
        click.echo(f"  {plain(line)[:_LONGEST_REJECT]}")
    click.echo()


def print_commands(source: Source, folder: Path, *, kept: bool) -> None:
    """Print command lines that work when they are typed after this command has ended."""
    program = _program()
    if kept:
        click.echo(f"Kept: {folder}. Go on by hand:")
        serve = f"{program} serve --config {shlex.quote(str(folder / 'jobd.toml'))} &"
    else:
        folder = Path(tempfile.gettempdir()) / f"jobd-by-hand-{os.getuid()}"
        click.echo("Go on by hand:")
        allowed = shlex.quote(f"{source.path.parent}:{folder}")
        serve = (
            f"JOBD_FILES_ALLOW_PATHS={allowed} {program} serve "
            f"--state-dir {shlex.quote(str(folder))} --socket {shlex.quote(str(folder / 's'))} &"
        )
    socket = shlex.quote(str(folder / "s"))
    args = msgspec.json.encode(source.args(folder / "by-hand.db")).decode()
    body = {"kind": "import.csv", "args": source.args(folder / "curl.db")}
    submission = shlex.quote(msgspec.json.encode(body).decode())
    curl = f"curl --unix-socket {socket} http://localhost/v1/jobs"
    for command in (
        serve,
        f"{program} submit import.csv {shlex.quote(args)} --wait --socket {socket}",
        f"{program} ls --socket {socket}",
        f"{curl} -H 'Prefer: wait=10' -H 'Content-Type: application/json' -d {submission}",
        curl,
        f"{program} top --once --socket {socket}",
        "kill $!",
    ):
        click.echo(f"  {command}")


def _program() -> str:
    """Return how this program was called, to be called again."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m jobd"
    return shlex.quote(sys.argv[0])
