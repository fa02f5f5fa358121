"""Results and artifacts on their way here.

Invariant: what is handed over is whole, checked against the size and digest that the daemon
stated. One that breaks off goes on where it was, as long as the content is still the same:
while the client waits for the daemon, and in a later `save` of the same content.

Not here: what is said about it (cli/download.py).
"""

import base64
import fcntl
import hashlib
import http.client
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from jobd.client.link import BadAnswer, Link

_CHUNK_BYTES = 256 * 1024
_WORTH_KEEPING_BYTES = 1024 * 1024
_PARTIAL = 206


class Download:
    """A result or an artifact; `chunks` or `save` gets it, once. Use with `with`.

    It has a connection of its own, and is open once this is made. Raises ClientError.
    """

    def __init__(self, link: Link, path: str) -> None:
        self._link = link
        self._path = path
        self._digest = hashlib.sha256()
        self._received = 0
        try:
            self._response = link.patiently(lambda: link.open("GET", path))
        except BaseException:
            link.close()
            raise
        headers = self._response.headers
        length, tag = headers["Content-Length"], headers["ETag"]
        self.size_bytes = None if length is None else int(length)
        self.media_type = headers.get_content_type()
        self._stated = headers["Repr-Digest"]
        # a weak tag does not say that the bytes are the same
        self._tag = tag if tag and tag.startswith('"') else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what has not arrived."""
        self._response.close()
        self._link.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive. BadAnswer at the end if they are not what was sent."""
        before = -1
        while not self._is_whole():
            broke: Exception | None = None
            try:
                while chunk := self._response.read(_CHUNK_BYTES):
                    self._take(chunk)
                    yield chunk
            except (OSError, http.client.HTTPException) as error:
                broke = error
            if self._is_whole() or (self.size_bytes is None and broke is None):
                break
            if not self._can_go_on() or self._received == before:
                raise self._short() if broke is None else self._link.broken(broke)
            before = self._received
            self._go_on()
        self._check()

    def save(self, path: Path) -> None:
        """Put the bytes at `path`, replacing a file there once all of them have arrived.

        OSError when it cannot be written. Then, and after a ClientError, a file at `path` is
        as it was; what had arrived stays in a hidden file beside it, if it was a megabyte,
        and the next call that saves the same content there goes on behind it. A pipe or a
        device is written to, never replaced.
        """
        if path.exists() and not path.is_file():
            with path.open("wb") as device:
                device.writelines(self.chunks())
            return
        target = path.resolve()
        part = _part(target, self._tag if self._can_go_on() else None)
        with part.file as file:
            try:
                self._begin_behind(file)
                file.writelines(self.chunks())
                file.flush()
                os.fsync(file.fileno())
                part.path.replace(target)
            except BaseException as error:
                arrived = self._received >= _WORTH_KEEPING_BYTES and not self._is_whole()
                if isinstance(error, OSError) or not (part.lasts and arrived):
                    part.path.unlink()
                raise

    def _begin_behind(self, part: BinaryIO) -> None:
        """Take what an earlier call left in `part` for received, and ask for the rest."""
        while chunk := part.read(_CHUNK_BYTES):
            self._take(chunk)
        if self._received and not self._is_whole():
            self._go_on()

    def _can_go_on(self) -> bool:
        return self._tag is not None and self.size_bytes is not None

    def _take(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._received += len(chunk)

    def _is_whole(self) -> bool:
        return self.size_bytes is not None and self._received >= self.size_bytes

    def _short(self) -> BadAnswer:
        return BadAnswer(f"the download ended after {self._received} of {self.size_bytes} bytes")

    def _go_on(self) -> None:
        """Ask for what is missing. BadAnswer when the content is another one by now."""
        self.close()
        headers = {"Range": f"bytes={self._received}-", "If-Range": self._tag or ""}
        self._response = self._link.patiently(lambda: self._link.open("GET", self._path, headers))
        if self._response.headers["ETag"] != self._tag:
            raise BadAnswer("the content changed while it was downloaded")
        where = self._response.headers.get("Content-Range", "")
        if self._response.status != _PARTIAL:
            self._skip(self._received)
        elif not where.startswith(f"bytes {self._received}-"):
            raise BadAnswer(f"the daemon sent {where!r} for what follows byte {self._received}")

    def _skip(self, left: int) -> None:
        """Pass over what has arrived before: all of it came again."""
        try:
            while left and (chunk := self._response.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
        except (OSError, http.client.HTTPException) as error:
            raise self._link.broken(error) from error
        if left:
            raise self._short()

    def _check(self) -> None:
        if self.size_bytes not in (None, self._received):
            raise self._short()
        digest = base64.b64encode(self._digest.digest()).decode()
        if self._stated and self._stated != f"sha-256=:{digest}:":
            raise BadAnswer("the download does not have the digest that the daemon stated")


class _Part(NamedTuple):
    file: BinaryIO
    path: Path
    lasts: bool
    """Whether a later call finds it."""


def _part(target: Path, tag: str | None) -> _Part:
    """Open the file beside `target` for what arrives of the content that `tag` names.

    It is locked: of two calls at a time that save the same, one begins with nothing.
    """
    if tag is not None:
        name = hashlib.sha256(os.fsencode(target.name) + tag.encode()).hexdigest()[:16]
        path = target.with_name(f".jobd-{name}.part")
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")
        if _is_ours_alone(file, path):
            return _Part(file, path, lasts=True)
        file.close()
    path = target.with_name(f".jobd-{secrets.token_hex(8)}.part")
    return _Part(path.open("x+b"), path, lasts=False)


def _is_ours_alone(file: BinaryIO, path: Path) -> bool:
    """Lock the file; False when another call has it, or had it, or somebody else made it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened, there = os.fstat(file.fileno()), path.lstat()
    except (BlockingIOError, FileNotFoundError):
        return False
    return os.path.samestat(opened, there) and (opened.st_uid, opened.st_nlink) == (
        os.geteuid(),
        1,
    )
