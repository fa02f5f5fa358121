"""`jobd demo`: a daemon of its own, real work through its socket, and what came of it.

Nothing is left behind, whatever happens, unless --keep says so: the daemon is stopped and
waited for, then its folder is removed. Exits 0 only if all of it went as it should.

Not here: what is imported (demo_sources.py) and drawn (demo_pictures.py), the daemon
(jobd/scratch.py), who is called back (demo_receiver.py), what is printed (demo_report.py,
demo_thumbs.py).
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

from jobd.cli import demo_thumbs
from jobd.cli.demo_receiver import Receiver
from jobd.cli.demo_report import Calls, Import, print_commands, print_report
from jobd.cli.demo_sources import Source, installed, named
from jobd.cli.errors import say, unsuccessful
from jobd.cli.exits import Exit
from jobd.cli.options import Environ
from jobd.cli.progress import Bar
from jobd.client import ApiError, Client
from jobd.scratch import DidNotStart, ScratchDaemon, Settings
from jobd.wire.jobs import JobDetail
from jobd.wire.submission import SubmitRequest

_CALLS_S = 20.0
"""How long the last callback may take; the daemon makes them as jobs end."""

_DRAIN_S = 2


@click.command(
    epilog="""\b
Examples:
  jobd demo                      the RECORD files of what is installed, and a picture
  jobd demo sales.csv            your own file, with a header row
  jobd demo --keep sales.csv     and keep the database it went into"""
)
@click.argument(
    "files", nargs=-1, type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@click.option("--keep", is_flag=True, help="Keep the folder: database, artifacts, log.")
@click.pass_obj
def demo(environ: Environ, *, files: tuple[Path, ...], keep: bool) -> int:
    """Import CSV files, and make thumbnails, with a daemon that lives as long as this command.

    It needs the plugin jobd-import, and shows jobd-thumbs if that is there. Each figure is
    printed with where it was read.
    """
    sources = named(files) if files else installed()
    if not sources:
        raise click.UsageError("nothing installed has a RECORD file; name a CSV file")
    with _terminable(), _folder(keep=keep) as folder, Receiver(folder / "app") as receiver:
        say(f"jobd demo: a daemon of its own in {folder}")
        daemon = ScratchDaemon(folder, _settings(folder, sources, receiver), environ)
        try:
            with daemon, Client(daemon.socket) as client:
                as_it_should = _run(client, sources, receiver, folder, kept=keep)
        except DidNotStart as error:
            raise click.ClickException(str(error)) from error
        if daemon.status != 0:
            say(f"jobd: the daemon stopped with exit code {daemon.status}")
            as_it_should = False
    return Exit.OK if as_it_should else Exit.FAILED


def _settings(folder: Path, sources: list[Source], receiver: Receiver) -> Settings:
    """Let its handlers open what the demo names, and its callbacks reach the demo."""
    allowed = {str(folder.resolve()), *(str(source.path.parent) for source in sources)}
    return {
        "pool": {"drain_s": _DRAIN_S},
        "files": {"allow_paths": sorted(allowed)},
        "webhooks": {"allow_unix": [receiver.socket]},
    }


def _run(
    client: Client, sources: list[Source], receiver: Receiver, folder: Path, *, kept: bool
) -> bool:
    """Have all of it done, print what came of it, and return whether that is as it should be."""
    database = folder / "demo.db"
    secret = client.rotate_secret().value.secret
    requests = [
        SubmitRequest(kind="import.csv", args=source.args(database), callback_url=receiver.url)
        for source in sources
    ]
    if demo_thumbs.KIND in {handler.kind for handler in client.handlers().value.handlers}:
        requests.append(demo_thumbs.request(folder, receiver.url))
    jobs = _done(client, requests)
    genuine = receiver.genuine(secret, [job.job_id for job in jobs], _CALLS_S)
    imports = [Import(source, job) for source, job in zip(sources, jobs, strict=False)]
    calls = Calls(len(genuine), receiver.socket)
    good = print_report(client, imports, database, calls)
    if len(jobs) > len(sources):
        good = demo_thumbs.print_thumbs(client, jobs[-1]) and good
    if good:
        print_commands(sources[0], folder, kept=kept)
    if len(genuine) < len(jobs):
        say(f"jobd: {len(jobs)} jobs ended, but {len(genuine)} callbacks came")
    return good and len(genuine) == len(jobs)


def _done(client: Client, requests: list[SubmitRequest]) -> list[JobDetail]:
    """Submit the jobs, follow each to its end, and return how they ended."""
    try:
        jobs = [client.submit(request) for request in requests]
    except ApiError as error:
        if error.problem.code in ("unknown_kind", "handler_unavailable"):
            say("jobd: the demo needs the plugin jobd-import, which is in plugins/ of the sources")
        raise
    ended = []
    with Bar(sys.stderr) as bar:
        for number, job in enumerate(jobs, start=1):
            bar.head = f"{number} of {len(jobs)}"
            for seen in client.watch(client.get(job.value.job_id), changes=bar.live):
                bar.show(seen.value)
            ended.append(seen.value)
    for each in ended:
        if each.status != "completed":
            unsuccessful(each)
    return ended


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
