"""One pipe of a worker, taken apart: which bytes are whose, and where its lines end.

Bytes without a sign belong to the one job that runs, or to the worker itself (number 0)
when none or several do. Where jobs take turns they belong to whom the next sign names, or
to whom `give` says. What is not a whole line yet is kept until it is one, until its
job ends, or until it is MAX_LINE_BYTES long.

Pure. Not here: reading the pipe, and who gets the lines (output.py).
"""

from collections.abc import Callable, Iterator

from jobd.pool.inband import BEGIN, END, HEADER, STREAMS

MAX_LINE_BYTES = 64 * 1024
"""A longer line is cut into several."""

_MAX_CHAR_BYTES = 4
_CONTINUES = 0b1000_0000
_CONTINUES_MASK = 0b1100_0000

Emit = Callable[[int, str, list[str]], None]
"""Takes a job's number, a stream, and whole lines without their ends."""


class Demux:
    """What has come through one pipe so far."""

    def __init__(self, mark: bytes, stream: str, emit: Emit, *, in_turn: bool = False) -> None:
        self._mark, self._stream, self._emit = mark, stream, emit
        self._in_turn = in_turn
        self._unsigned = bytearray()
        self._held = b""
        """The beginning of a sign whose rest has not come."""
        self._running: set[int] = set()
        self._partial: dict[tuple[int, str], bytearray] = {}
        self.ended: set[int] = set()
        """Jobs whose END has come; to be forgotten by who waits for it."""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if self._held:
            data = self._held + data
        at = 0
        while (found := data.find(self._mark, at)) >= 0:
            if found > at:
                self._raw(data[at:found])
                at = found
            text_at = found + len(self._mark) + HEADER.size
            if text_at > len(data):
                break
            kind, number, size_bytes = HEADER.unpack_from(data, text_at - HEADER.size)
            if text_at + size_bytes > len(data):
                break
            at = text_at + size_bytes
            self._sign(kind, number, data[text_at:at])
        else:
            if at < len(data):
                found = self._mark_begins(data, at)
                self._raw(data[at:found])
                at = found
        self._held = data[at:]

    def give(self, number: int) -> None:
        """Give what came without a sign to a job: it is known whose turn it was."""
        if self._unsigned:
            data = bytes(self._unsigned)
            self._unsigned.clear()
            self._text(number, self._stream, data)

    def finish(self, number: int = 0) -> None:
        """Give out what is left: no more will come. `number`: whose turn it was."""
        self._raw(self._held)
        self._held = b""
        self.give(number)
        for one in {one for one, _ in self._partial}:
            self._flush(one)

    def _mark_begins(self, data: bytes, start: int) -> int:
        """Return where at the end of `data` a mark may have begun; its length if nowhere."""
        at = max(start, len(data) - len(self._mark) + 1)
        while (at := data.find(self._mark[:1], at)) >= 0:
            if self._mark.startswith(data[at:]):
                return at
            at += 1
        return len(data)

    def _sign(self, kind: bytes, number: int, text: bytes) -> None:
        self.give(number)
        if kind == BEGIN:
            self._running.add(number)
        elif kind == END:
            self._running.discard(number)
            if self._partial:
                self._flush(number)
            self.ended.add(number)
        elif stream := STREAMS.get(kind):
            self._text(number, stream, text)

    def _raw(self, data: bytes) -> None:
        if self._in_turn:
            self._unsigned += data
        elif data:
            number = next(iter(self._running)) if len(self._running) == 1 else 0
            self._text(number, self._stream, data)

    def _text(self, number: int, stream: str, data: bytes) -> None:
        partial = self._partial.setdefault((number, stream), bytearray())
        partial += data
        end = partial.rfind(b"\n")
        if end >= 0:
            whole = bytes(partial[:end])
            del partial[: end + 1]
            self._emit(number, stream, _decoded(whole))
        while len(partial) > MAX_LINE_BYTES:
            cut = _cut(partial)
            piece = bytes(partial[:cut])
            del partial[:cut]
            self._emit(number, stream, _decoded(piece))

    def _flush(self, number: int) -> None:
        """Give out a job's last lines though they have no end."""
        for key in [key for key in self._partial if key[0] == number]:
            if rest := bytes(self._partial.pop(key)):
                self._emit(*key, _decoded(rest))


def _decoded(whole: bytes) -> list[str]:
    if len(whole) <= MAX_LINE_BYTES:
        return whole.decode("utf-8", "replace").split("\n")
    lines = whole.split(b"\n")
    return [piece.decode("utf-8", "replace") for line in lines for piece in _pieces(line)]


def _pieces(line: bytes) -> Iterator[bytes]:
    while len(line) > MAX_LINE_BYTES:
        cut = _cut(line)
        yield line[:cut]
        line = line[cut:]
    yield line


def _cut(line: bytes | bytearray) -> int:
    """Return where to cut a long line: not within a character, if it is text."""
    for cut in range(MAX_LINE_BYTES, MAX_LINE_BYTES - _MAX_CHAR_BYTES, -1):
        if line[cut] & _CONTINUES_MASK != _CONTINUES:
            return cut
    return MAX_LINE_BYTES
