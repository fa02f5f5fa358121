"""`jobd demo`: a daemon of its own, real work through its socket, and what came of it.

Nothing is left behind, whatever happens, unless --keep says so: the daemon is stopped and
waited for, then its folder is removed. Exits 0 only if all of it went as it should.

Not here: what is imported (demo_sources.py), the daemon (demo_daemon.py), what is printed
(demo_report.py).
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from jobd.cli.demo_daemon import ScratchDaemon
from jobd.cli.demo_report import Import, print_report
from jobd.cli.demo_sources import Source, installed, named
from jobd.cli.errors import say, unsuccessful
from jobd.cli.exits import Exit
from jobd.cli.options import Environ
from jobd.cli.progress import Bar
from jobd.client import ApiError, Client
from jobd.wire.submission import SubmitRequest


@click.command(
    epilog="""\b
Examples:
  jobd demo                      the RECORD files of what is installed
  jobd demo sales.csv            your own file, with a header row
  jobd demo --keep sales.csv     and keep the database it went into"""
)
@click.argument(
    "files", nargs=-1, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@click.option("--keep", is_flag=True, help="Keep the folder: database, artifacts, log.")
@click.pass_obj
def demo(environ: Environ, *, files: tuple[Path, ...], keep: bool) -> int:
    """Import CSV files into SQLite with a daemon that lives as long as this command.

    It needs the plugin jobd-import. Each figure is printed with where it was read.
    """
    sources = named(files) if files else installed()
    if not sources:
        raise click.UsageError("nothing installed has a RECORD file; name a CSV file")
    with _terminable(), _folder(keep=keep) as folder:
        say(f"jobd demo: a daemon of its own in {folder}")
        database = folder / "demo.db"
        daemon = ScratchDaemon(folder, [source.path.parent for source in sources], environ)
        with daemon, Client(daemon.socket) as client:
            imports = _run(client, sources, database)
            as_it_should = print_report(client, imports, database, kept=keep)
        if daemon.status != 0:
            say(f"jobd: the daemon stopped with exit code {daemon.status}")
            as_it_should = False
    return Exit.OK if as_it_should else Exit.FAILED


def _run(client: Client, sources: list[Source], database: Path) -> list[Import]:
    """Submit one job per source, follow each to its end, and return how they ended."""
    try:
        jobs = [client.submit(_request(source, database)) for source in sources]
    except ApiError as error:
        if error.problem.code in ("unknown_kind", "handler_unavailable"):
            say("jobd: the demo needs the plugin jobd-import, which is in plugins/ of the sources")
        raise
    ended = []
    with Bar(sys.stderr) as bar:
        for number, (source, job) in enumerate(zip(sources, jobs, strict=True), start=1):
            bar.head = f"{number} of {len(jobs)}"
            for seen in client.watch(client.get(job.value.job_id), changes=bar.live):
                bar.paint(seen.value)
            ended.append(Import(source, seen.value))
    for each in ended:
        if each.job.status != "completed":
            unsuccessful(each.job)
    return ended


def _request(source: Source, database: Path) -> SubmitRequest:
    return SubmitRequest(kind="import.csv", args=source.args(database))


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jobd-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: unwind, so that everything is cleaned up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
