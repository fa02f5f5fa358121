"""CSV: fields in quotes may hold the delimiter, quotes (doubled) and line ends.

Invariant: a chunk ends where a row ends, so reading can go on from there; the csv module
pulls a line only when its row needs it, and the lines are counted as they are pulled.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from jobd.sdk import Discard
from jobd_import.args import CsvArgs
from jobd_import.columns import Column
from jobd_import.rows import MAX_CHUNK_BYTES, Chunk, Row, Values
from jobd_import.source import BOM, Lines, Source, is_text, looks_binary

CODE = "not_csv"

_ROWS_BETWEEN_LOOKS = 64


class Reader(Protocol):
    """A csv.reader, whose type has no public name before Python 3.13."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


class CsvRows:
    """The rows of a CSV file."""

    code = CODE

    def __init__(self, args: CsvArgs) -> None:
        self._args = args
        self._clean = True
        self._width = 0
        self._picks: list[int] = []
        """Where the imported columns stand in a row."""
        self.columns: list[Column] = []
        self.header: list[str] = []

    def begin(self, source: Source) -> Lines:
        """Look at the beginning, read the header; return the lines behind it."""
        block = source.first_block()
        start_bytes = len(BOM) if block.startswith(BOM) else 0
        if looks_binary(block[start_bytes:]):
            raise _not_csv(f"{source.path} is not text in UTF-8.")
        lines = source.lines(start_bytes, 0, CODE)
        self.resume(self._read_header(source, lines) if self._args.header else [])
        return lines

    def resume(self, header: list[str]) -> None:
        """Place the columns by the header's names, or by their order without one."""
        declared = self._args.columns
        if declared is None:
            self.columns = [Column(name, "text", nullable=True) for name in header]
        else:
            self.columns = [Column.parse(name, kind) for name, kind in declared.items()]
        names = [column.name for column in self.columns]
        self.header = header
        self._width = len(header) if self._args.header else len(names)
        self._picks = _places(names, header) if self._args.header else list(range(len(names)))

    def chunks(self, lines: Lines, batch_rows: int) -> Iterator[Chunk]:
        """Cut the rest of the source into chunks of up to `batch_rows` rows."""
        reader = self._reader(self._decoded(lines))
        while True:
            self._clean = True
            records = self._take(reader, lines, batch_rows)
            raws, first_line = lines.cut()
            if not raws:
                return
            clean = self._clean and b"\0" not in b"".join(raws)
            yield Chunk(raws, first_line, lines.at_bytes, records, clean)

    def all(self, chunk: Chunk) -> Iterable[Values] | None:
        """Convert the chunk column by column; None if any row may be wrong."""
        if chunk.records is None or not chunk.clean:
            return None
        records = [record for record in chunk.records if record]
        if not records:
            return ()
        if set(map(len, records)) != {self._width}:
            return None
        fields = list(zip(*records, strict=True))
        try:
            picked = zip(self.columns, self._picks, strict=True)
            values = [column.convert_all(fields[at]) for column, at in picked]
        except ValueError:
            return None
        return zip(*values, strict=True)

    def each(self, chunk: Chunk) -> Iterator[Row]:
        """Read the chunk again row by row."""
        reader = self._reader(raw.decode("utf-8", "surrogateescape") for raw in chunk.raws)
        at = 0
        while True:
            record, reason = [], ""
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                reason = f"not CSV: {exc}"
            raw = b"".join(chunk.raws[at : reader.line_num])
            line, at = chunk.first_line + at, reader.line_num
            if reason:
                yield Row(line, raw, reason=reason)
            elif record:
                yield self._row(line, raw, record)

    def _row(self, line: int, raw: bytes, record: list[str]) -> Row:
        if not is_text(raw):
            return Row(line, raw, reason="not text: a NUL, or bytes that are not UTF-8")
        if len(record) != self._width:
            reason = f"expected {self._width} fields, got {len(record)}"
            return Row(line, raw, reason=reason)
        try:
            picked = zip(self.columns, self._picks, strict=True)
            values = tuple(column.convert(record[at]) for column, at in picked)
        except ValueError as exc:
            return Row(line, raw, reason=str(exc))
        return Row(line, raw, values)

    def _take(self, reader: Reader, lines: Lines, batch_rows: int) -> list[list[str]] | None:
        """Read up to `batch_rows` rows; None when the last one is not CSV."""
        records: list[list[str]] = []
        try:
            while len(records) < batch_rows and lines.taken_bytes < MAX_CHUNK_BYTES:
                some = min(_ROWS_BETWEEN_LOOKS, batch_rows - len(records))
                part = list(islice(reader, some))
                records += part
                if len(part) < some:
                    break
        except csv.Error as exc:
            _refuse_endless_field(exc, lines)
            return None
        return records

    def _read_header(self, source: Source, lines: Lines) -> list[str]:
        try:
            header = next(self._reader(self._decoded(lines)))
        except StopIteration:
            raise _not_csv(f"{source.path} is empty; a header was expected.") from None
        except csv.Error as exc:
            _refuse_endless_field(exc, lines)
            raise _not_csv(f"The header of {source.path} is not CSV: {exc}.") from None
        raws, _ = lines.cut()
        if not is_text(b"".join(raws)):
            raise _not_csv(f"The first line of {source.path} is not text in UTF-8.")
        return header

    def _decoded(self, lines: Lines) -> Iterator[str]:
        for raw in lines:
            try:
                yield raw.decode()
            except UnicodeDecodeError:
                self._clean = False
                yield raw.decode("utf-8", "surrogateescape")

    def _reader(self, texts: Iterable[str]) -> Reader:
        # strict: text behind a closing quote is an error, not part of the field
        return csv.reader(texts, delimiter=self._args.delimiter, strict=True)


def _places(names: list[str], header: list[str]) -> list[int]:
    missing = [name for name in names if name not in header]
    if missing:
        raise _header_mismatch(f"The header lacks {', '.join(missing)}; it has {header}.")
    twice = sorted({name for name in names if header.count(name) > 1})
    if twice:
        raise _header_mismatch(f"The header names {', '.join(twice)} more than once.")
    if not names or not all(names):
        raise _header_mismatch("The header has a column without a name, or none at all.")
    return [header.index(name) for name in names]


def _refuse_endless_field(exc: csv.Error, lines: Lines) -> None:
    if "field limit" in str(exc):
        raise _not_csv(
            f"A field that ends in line {lines.next_line - 1} or later is longer than "
            f"{csv.field_size_limit()} characters; a quote may not be closed."
        ) from None


def _not_csv(message: str) -> Discard:
    return Discard(code=CODE, message=message)


def _header_mismatch(message: str) -> Discard:
    return Discard(code="header_mismatch", message=message)
