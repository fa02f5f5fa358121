"""Loads the named statements of the .sql files beside this module.

A statement begins at `-- name: x` and ends at the next header. `-- part: x` is a piece
that others include as `{x}`. Comments stay in the file: what SQLite prepares is the
statement alone.

An INSERT that ends with one row of VALUES can be had for many (`for_rows`): values of their
own are half the cost of an array that SQLite takes apart, where there are many columns.
"""

import functools
import re
from importlib import resources

_HEADER = re.compile(r"^-- (name|part): (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def load(file: str) -> dict[str, str]:
    """Return the statements of `file` by name."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    parts: dict[str, str] = {}
    statements: dict[str, str] = {}
    _, *sections = _HEADER.split(text)
    for sort, name, body in zip(sections[::3], sections[1::3], sections[2::3], strict=True):
        sql = _COMMENT.sub("", body).strip().rstrip(";")
        for part, piece in parts.items():
            sql = sql.replace("{" + part + "}", piece)
        (parts if sort == "part" else statements)[name] = sql
    return statements


@functools.cache
def for_rows(sql: str, rows: int) -> str:
    """Return a statement that ends with one row of VALUES for so many rows."""
    head, values, row = sql.rpartition("VALUES ")
    return head + values + ", ".join([row] * rows)
