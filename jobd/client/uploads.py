"""Files on their way to the daemon, each content once.

Invariant: what is handed over is whole: its digest is taken before it is sent, and is its name.

Not here: which jobs use them (a `{"$file": id}` in their args).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from jobd.client.link import FileChanged, Link, answer
from jobd.wire.uploads import Upload

_CHUNK_BYTES = 256 * 1024
_FLUSH_S = 600.0
"""How long the daemon may take to have a long file on disk."""

Told = Callable[[Literal["hashing", "uploading"], int, int], object]
"""Is told what is done, how many bytes are, and of how many."""


def upload(link: Link, path: Path, told: Told) -> str:
    """Return the id of the file's content; it is sent only when the daemon does not have it.

    OSError when the file cannot be read, FileChanged when it does not stay as it is.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        file_id = _id_of(file, size_bytes, told)
        if link.has(f"/v1/uploads/{file_id}"):
            return file_id
        sending = link.another(timeout_s=_FLUSH_S)
        body = FileBody(file, size_bytes, lambda sent: told("uploading", sent, size_bytes))
        try:
            stored = sending.patiently(lambda: _send(sending, body, size_bytes))
        finally:
            sending.close()
    if stored.file_id != file_id:
        raise FileChanged(f"{path} was changed while it was uploaded")
    return file_id


def id_of(path: Path) -> str:
    """Return the id that the file's content has, or would have, at the daemon."""
    with path.open("rb") as file:
        return _id_of(file, os.fstat(file.fileno()).st_size, lambda *_: None)


def _id_of(file: BinaryIO, size_bytes: int, told: Told) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file, size_bytes):
        digest.update(chunk)
        told("hashing", file.tell(), size_bytes)
    return f"file_{digest.hexdigest()}"


class FileBody:
    """The content of a file as the body of a request, from its beginning each time."""

    def __init__(
        self, file: BinaryIO, size_bytes: int, told: Callable[[int], object] = lambda _: None
    ) -> None:
        """Use `told` to hear how many bytes are sent."""
        self.path = Path(file.name)
        self._file, self._size_bytes, self._told = file, size_bytes, told

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        for chunk in _chunks(self._file, self._size_bytes):
            yield chunk
            self._told(self._file.tell())


def _send(link: Link, body: FileBody, size_bytes: int) -> Upload:
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    response = link.open("POST", "/v1/uploads", headers, body)
    return answer(response, response.read(), Upload).value


def _chunks(file: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Yield exactly that many bytes; FileChanged when they are not there, or not readable."""
    left = size_bytes
    while left:
        try:
            chunk = file.read(min(left, _CHUNK_BYTES))
        except OSError as error:  # not to be taken for one of the connection
            raise FileChanged(f"{file.name} cannot be read: {error.strerror}") from error
        if not chunk:
            raise FileChanged(f"{file.name} became shorter while it was uploaded")
        left -= len(chunk)
        yield chunk
