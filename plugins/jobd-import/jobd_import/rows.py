"""What a format makes of a source: chunks, and from a chunk rows and rejects."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from jobd_import.columns import Column
from jobd_import.source import Lines, Source

MAX_CHUNK_BYTES = 16 * 1024 * 1024
"""A chunk ends here even when it has fewer rows than a batch may have."""

Values = tuple[Any, ...]


class Chunk(msgspec.Struct, frozen=True):
    """Whole rows of the source, in order: what one transaction writes."""

    raws: list[bytes]
    """The lines it came from, with their ends."""
    first_line: int
    end_bytes: int
    """Where the next chunk begins in the source."""
    records: list[list[str]] | None = None
    """CSV only: the rows split into fields; None when not all could be."""
    clean: bool = True
    """Whether all is UTF-8 without NUL."""

    @property
    def end_line(self) -> int:
        """How many lines the source has up to here."""
        return self.first_line - 1 + len(self.raws)


class Row(msgspec.Struct, frozen=True):
    """One row with its place in the source: `values`, or the `reason` it was rejected."""

    line: int
    raw: bytes
    values: Values | None = None
    reason: str = ""


class Rows(Protocol):
    """A format: CSV or NDJSON."""

    columns: list[Column]
    header: list[str]
    """Both known once `begin` or `resume` was called."""
    code: str
    """Of the error of a source that is no such file."""

    def begin(self, source: Source) -> Lines:
        """Look at the beginning; return the lines from the first row on.

        Raises Discard when the source is no such file.
        """

    def resume(self, header: list[str]) -> None:
        """Take the column names that an earlier attempt found instead."""

    def chunks(self, lines: Lines, batch_rows: int) -> Iterator[Chunk]:
        """Cut the rest of the source; a chunk has at least one line."""

    def all(self, chunk: Chunk) -> Iterable[Values] | None:
        """Return every row, converted, if none is rejected; else, or if in doubt, None."""

    def each(self, chunk: Chunk) -> Iterator[Row]:
        """Return every row or reject one by one; lines without a row are left out."""
