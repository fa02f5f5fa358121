"""A whole daemon on what a power cut has left: every job ends, and every promise was kept.

Not here: what holds before anything runs on it (judge.py).
"""

import http
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.checker import files
from tests.checker.history import HistoryError, check
from tests.kill.clients import answer_of, ask, audit
from tests.power.judge import told_before
from tests.power.load import Served, Told

_RUNS = ("start", "end", "overlap")


def serve(told: Told, folder: Path, cut_ns: int) -> list[str]:
    """Return what is wrong with what a daemon makes of `folder`/state, when it is done."""
    notes = folder / "history"
    notes.mkdir()
    began_ns = time.monotonic_ns()
    victim = Served(folder, {})
    try:
        victim.begin()
        victim.wait_ready()
        audit(victim.socket, notes)
        wrong = list(missing_uploads(victim.socket, told.uploads, cut_ns))
        status = victim.stop()
    finally:
        victim.close()
    # handlers write where their args tell them to, as they did before the cut
    runs = [line for line in files.read(told.notes) if line["op"] in _RUNS]
    later = [line for line in runs if line["at"] >= began_ns]
    try:
        lines = [*told_before(told.lines, cut_ns), *later, *files.read(notes)]
        wrong += check(lines).violations
    except HistoryError:  # too early: nobody was told enough to prove anything
        pass
    return wrong if status == 0 else [*wrong, f"the daemon ended with {status}"]


def missing_uploads(path: str, uploads: Sequence[tuple[int, str]], cut_ns: int) -> Iterator[str]:
    """Name the uploads that were acknowledged before the cut and are not known any more."""
    for at_ns, file_id in uploads:
        status, _ = answer_of(ask(path, "GET", f"/v1/uploads/{file_id}", {}))
        if at_ns <= cut_ns and status != http.HTTPStatus.OK:
            yield f"the upload {file_id} was acknowledged and is answered {status}"
