"""The folder of files that an attempt leaves with its job.

Invariant: what is reported is on disk: the file's bytes, its name in the folder, and the
folders that it or an earlier attempt made for it are fsynced before a `Left` exists.
"""

import contextlib
import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from jobd.sdk.endings import Discard
from jobd.sdk.outcome import Left

RESULT_NAME = ".result.json"
"""A long JSON result; no artifact can have this name."""

# of its own, so that a type does not depend on what the host has in /etc/mime.types
_TYPES = mimetypes.MimeTypes()
for _ending, _type in (
    (".webp", "image/webp"),
    (".avif", "image/avif"),
    (".ndjson", "application/x-ndjson"),
    (".md", "text/markdown"),
):
    _TYPES.add_type(_type, _ending)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Artifacts:
    """The artifacts of one attempt."""

    __slots__ = ("_made", "_max_bytes", "_names", "_where")

    def __init__(self, folder: str | Path, max_bytes: int) -> None:
        self._where = folder
        self._max_bytes = max_bytes
        self._names: dict[str, None] = {}
        self._made: list[Path] = []

    @property
    def _folder(self) -> Path:
        return Path(self._where)  # made here: most jobs have no use for it

    def path(self, name: str) -> Path:
        """Return where the artifact `name` is to be written; ValueError for a bad name."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"an artifact's name must match ^{_NAME.pattern}$, got {name!r}")
        self._make_folder()
        self._names[name] = None
        return self._folder / name

    @property
    def any(self) -> bool:
        """Whether a path was asked for."""
        return bool(self._names)

    def name_of(self, path: Path) -> str | None:
        """Return the name that `path()` gave this path for; None if it gave none."""
        return path.name if path.parent == self._folder and path.name in self._names else None

    def write_result(self, body: bytes) -> Left:
        """Store a long JSON result."""
        self._make_folder()
        path = self._folder / RESULT_NAME
        with path.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        self._sync_folders()
        digest = hashlib.sha256(body).hexdigest()
        return Left(RESULT_NAME, str(path), "application/json", len(body), digest)

    def collect(self) -> tuple[Left, ...]:
        """Return the files that were written, each fsynced.

        Raises Discard when one is too large or no regular file.
        """
        left = tuple(found for name in self._names if (found := self._kept(name)))
        if left:
            self._sync_folders()
        return left

    def salvage(self) -> tuple[Left, ...]:
        """Return what can be kept of a failed attempt; never raises for a bad file."""
        left = []
        for name in self._names:
            with contextlib.suppress(Discard, OSError):
                if found := self._kept(name):
                    left.append(found)
        with contextlib.suppress(OSError):
            if left:
                self._sync_folders()
            return tuple(left)
        return ()

    def _kept(self, name: str) -> Left | None:
        path = self._folder / name
        with _opened(path) as file:
            if file is None:
                return None
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > self._max_bytes:
                raise Discard(
                    code="result_too_large",
                    message=f"artifact {name} has {size_bytes} bytes, over {self._max_bytes}",
                )
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        return Left(name, str(path), media_type(name), size_bytes, digest)

    def _make_folder(self) -> None:
        if self._made:
            return
        folder = self._folder
        # also if they are there: an earlier attempt may have died before it had synced them
        self._made += [folder, folder.parent, folder.parent.parent]
        folder = folder.parent.parent
        while not folder.exists():
            folder = folder.parent
            self._made.append(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _sync_folders(self) -> None:
        for folder in self._made:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def media_type(name: str) -> str:
    """Return the media type that the name's ending stands for."""
    guessed, encoding = _TYPES.guess_type(name)
    if encoding is not None:  # foo.csv.gz is a gzip file, not a CSV file
        return f"application/{encoding}" if encoding == "gzip" else "application/octet-stream"
    return guessed or "application/octet-stream"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader | None]:
    """Open a regular file that is no link; None if there is nothing of that name."""
    if not os.path.lexists(path):
        yield None
        return
    try:
        # O_NONBLOCK: a fifo of that name must not hold the worker
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        raise Discard(code="result_invalid", message=f"artifact {path.name}: {exc}") from exc
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Discard(code="result_invalid", message=f"artifact {path.name} is no regular file")
        with open(fd, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(fd)
