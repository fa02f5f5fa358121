"""Bytes of files between here and the daemon: results and artifacts come, uploads go.

Invariant: what is handed over is whole. A download is checked against the size and digest
that the daemon stated, an upload against the digest that was taken before it.

Not here: where a download is saved (cli/download.py).
"""

import base64
import hashlib
import http.client
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from jobd.client.link import BadAnswer, ClientError, FileChanged, Link, answer
from jobd.wire.uploads import Upload

_CHUNK_BYTES = 256 * 1024
_FLUSH_S = 600.0
"""How long the daemon may take to have a long file on disk."""

Told = Callable[[Literal["hashing", "uploading"], int, int], object]
"""Is told what is done, how many bytes are, and of how many."""


class Download:
    """A result or an artifact on its way; `chunks` gives its bytes."""

    def __init__(
        self, response: http.client.HTTPResponse, broken: Callable[[Exception], ClientError]
    ) -> None:
        self._response = response
        self._broken = broken
        length = response.headers["Content-Length"]
        self.size_bytes = None if length is None else int(length)
        self.media_type = response.headers.get_content_type()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive. BadAnswer at the end if they are not what was sent."""
        digest, received = hashlib.sha256(), 0
        while chunk := self._read():
            digest.update(chunk)
            received += len(chunk)
            yield chunk
        if self.size_bytes not in (None, received):
            raise BadAnswer(f"the download ended after {received} of {self.size_bytes} bytes")
        stated = self._response.headers["Repr-Digest"]
        if stated and stated != f"sha-256=:{base64.b64encode(digest.digest()).decode()}:":
            raise BadAnswer("the download does not have the digest that the daemon stated")

    def _read(self) -> bytes:
        try:
            return self._response.read(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error


def upload(link: Link, path: Path, told: Told) -> str:
    """Return the id of the file's content; it is sent only when the daemon does not have it.

    OSError when the file cannot be read, FileChanged when it does not stay as it is.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256()
        for chunk in _chunks(file, size_bytes):
            digest.update(chunk)
            told("hashing", file.tell(), size_bytes)
        file_id = f"file_{digest.hexdigest()}"
        if link.has(f"/v1/uploads/{file_id}"):
            return file_id
        sending = link.another(timeout_s=_FLUSH_S)
        try:
            stored = sending.patiently(lambda: _send(sending, file, size_bytes, told))
        finally:
            sending.close()
    if stored.file_id != file_id:
        raise FileChanged(f"{path} was changed while it was uploaded")
    return file_id


def _send(link: Link, file: BinaryIO, size_bytes: int, told: Told) -> Upload:
    file.seek(0)

    def body() -> Iterator[bytes]:
        for chunk in _chunks(file, size_bytes):
            yield chunk
            told("uploading", file.tell(), size_bytes)

    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    response = link.open("POST", "/v1/uploads", headers, body())
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
