"""Bytes of a program's stream, cut into lines as they come.

A line ends with a newline, a carriage return or both: programs redraw one with the second.
"""

import codecs
import io

MAX_LINE_CHARS = 64 * 1024
"""A longer line is given in pieces."""


class Lines:
    """One stream."""

    def __init__(self) -> None:
        utf8 = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` ends, without their ends."""
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        if len(self._rest) > MAX_LINE_CHARS:
            lines.append(self._rest)
            self._rest = ""
        return lines

    def finish(self) -> list[str]:
        """Return what is left, though it has no end."""
        text = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        return text.removesuffix("\n").split("\n") if text else []
