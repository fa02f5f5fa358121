"""NDJSON: one JSON object a line. Blank lines are no rows; other keys are ignored.

Invariant: the types of JSON are kept apart: `"1"` is no integer and `1` no text.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jobd.sdk import Discard
from jobd_import.args import NdjsonArgs
from jobd_import.columns import MAX_INTEGER, MIN_INTEGER, Column
from jobd_import.rows import MAX_CHUNK_BYTES, Chunk, Row, Values
from jobd_import.source import BOM, Lines, Source, looks_binary

CODE = "not_ndjson"

_WRONG = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding a line may raise; UnicodeDecodeError is a ValueError."""

_TYPES: dict[str, Any] = {
    "text": str,
    "integer": Annotated[int, Meta(ge=MIN_INTEGER, le=MAX_INTEGER)],
    "real": float,
    "boolean": bool,
    "date": str,
}


class NdjsonRows:
    """The rows of an NDJSON file."""

    code = CODE

    def __init__(self, args: NdjsonArgs) -> None:
        self.header: list[str] = []
        self.columns = [Column.parse(name, kind) for name, kind in args.columns.items()]
        self._decode = msgspec.json.Decoder(_object_type(self.columns)).decode
        # in JSON an empty text is not null, so no nullable column takes one for it
        self._texts = [
            (at, msgspec.structs.replace(column, nullable=False))
            for at, column in enumerate(self.columns)
            if column.type in ("text", "date")
        ]

    def begin(self, source: Source) -> Lines:
        """Look at the beginning; return the lines."""
        block = source.first_block()
        start_bytes = len(BOM) if block.startswith(BOM) else 0
        block = block[start_bytes:]
        filled = [line for line in block.split(b"\n") if line.strip()]
        if looks_binary(block) or 2 * sum(map(_is_object, filled)) < len(filled):
            raise Discard(
                code=CODE, message=f"{source.path} does not have one JSON object in each line."
            )
        return source.lines(start_bytes, 0, CODE)

    def resume(self, header: list[str]) -> None:
        """Nothing to take: the columns are in the args."""

    def chunks(self, lines: Lines, batch_rows: int) -> Iterator[Chunk]:
        """Cut the rest of the source into chunks of up to `batch_rows` lines."""
        for _ in lines:
            if len(lines.taken) >= batch_rows or lines.taken_bytes >= MAX_CHUNK_BYTES:
                yield _chunk(lines)
        if lines.taken:
            yield _chunk(lines)

    def all(self, chunk: Chunk) -> Iterable[Values] | None:
        """Decode every line; None if one is blank or may be wrong."""
        try:
            objects = map(self._decode, chunk.raws)
            rows: list[Values] = list(map(msgspec.structs.astuple, objects))
            for at, column in self._texts:
                _check_texts({row[at] for row in rows}, column)
        except _WRONG:
            return None
        return rows

    def each(self, chunk: Chunk) -> Iterator[Row]:
        """Decode line by line."""
        for line, raw in enumerate(chunk.raws, chunk.first_line):
            if not raw.strip():
                continue
            try:
                values = msgspec.structs.astuple(self._decode(raw))
                for at, column in self._texts:
                    _check_texts({values[at]}, column)
            except _WRONG as exc:
                yield Row(line, raw, reason=str(exc))
            else:
                yield Row(line, raw, values)


def _object_type(columns: list[Column]) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for at, column in enumerate(columns):
        kind = _TYPES[column.type]
        fields.append((f"c{at}", kind | None, None) if column.nullable else (f"c{at}", kind))
    names = {f"c{at}": column.name for at, column in enumerate(columns)}
    return msgspec.defstruct("Row", fields, rename=names, kw_only=True)


def _check_texts(values: set[Any], column: Column) -> None:
    for value in values - {None}:
        if "\0" in value:
            raise ValueError(f"{column.name}: holds a NUL")
        column.convert(value)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except _WRONG:
        return False


def _chunk(lines: Lines) -> Chunk:
    raws, first_line = lines.cut()
    return Chunk(raws, first_line, lines.at_bytes)
