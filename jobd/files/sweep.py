"""Finds on disk what may be nobody's: what lies there since an hour and looks like jobd's.

What rows name is asked afterwards (engine/sweep.py). A crash between a commit and an
unlink, a lost attempt, an upload that broke off with the daemon leave such files. Names
that jobd does not give are somebody else's and stay; links are neither followed nor taken
for what they point to.

Not here: removing (remove.py).
"""

import contextlib
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from jobd.domain.ids import JOB_ID
from jobd.files.layout import Layout

_TOKEN = re.compile(r"[0-9a-f]{32}(?!\n)")
_SHA256 = re.compile(r"[0-9a-f]{64}(?!\n)")
_FIRST_TWO = re.compile(r"[0-9a-f]{2}(?!\n)")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Old:
    """What was changed last before `before_ms` (wall time, as files have it). Reads block."""

    def __init__(self, layout: Layout, before_ms: int) -> None:
        self._layout = layout
        self._before_s = before_ms / 1000

    def jobs(self) -> Iterator[str]:
        """Yield the ids of jobs that have a folder; of artifacts and of logs, so maybe twice."""
        for folder in (self._layout.artifacts, self._layout.logs):
            yield from self._names(_entries(folder), JOB_ID)

    def attempts(self, job_id: str) -> Iterator[str]:
        """Yield the tokens of a job's attempts that have a folder of artifacts."""
        yield from self._names(_entries(self._layout.artifacts, job_id), _TOKEN)

    def scratch(self) -> Iterator[str]:
        """Yield the tokens of attempts that have a working folder."""
        yield from self._names(_entries(self._layout.scratch), _TOKEN)

    def incoming(self) -> Iterator[str]:
        """Yield the names of files that are being received."""
        yield from self._names(_entries(self._layout.incoming), _TOKEN)

    def uploads(self) -> Iterator[str]:
        """Yield the ids of files that are in place."""
        for folder in _entries(self._layout.uploads):
            if _FIRST_TWO.fullmatch(folder.name):
                files = _entries(self._layout.uploads, folder.name)
                yield from (f"file_{name}" for name in self._names(files, _SHA256))

    def _names(
        self, entries: Iterator[os.DirEntry[str]], pattern: re.Pattern[str]
    ) -> Iterator[str]:
        for entry in entries:
            with contextlib.suppress(OSError):  # gone meanwhile
                changed_s = entry.stat(follow_symlinks=False).st_mtime
                if changed_s < self._before_s and pattern.fullmatch(entry.name):
                    yield entry.name


def part(names: Iterator[str], size: int = 500) -> list[str]:
    """Return the next names, at most `size`; none is left when it returns none. Blocks."""
    return list(islice(names, size))


def _entries(root: Path, below: str = ".") -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder; nothing if it is not there, or `below` is a link."""
    with contextlib.ExitStack() as stack:
        try:
            at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, at)
            fd = os.open(below, _FOLDER, dir_fd=at)
        except OSError:
            return
        stack.callback(os.close, fd)
        yield from stack.enter_context(os.scandir(fd))
