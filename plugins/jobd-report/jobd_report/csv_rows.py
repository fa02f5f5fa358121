"""The rows of a CSV file."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager

from jobd.sdk import Context, Discard
from jobd_report.args import File
from jobd_report.source import opened


@contextmanager
def read(
    ctx: Context, named: File, delimiter: str
) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """Open a file; give the names in its first row, and the rows. Discard with `not_csv`."""
    with (
        opened(ctx, named) as (fd, _),
        open(fd, encoding="utf-8-sig", newline="", closefd=False) as file,
    ):
        rows = _rows(csv.reader(file, delimiter=delimiter, strict=True))
        names = next(rows, None)
        if names is None:
            raise Discard(code="not_csv", message="The file is empty: it has no row of names.")
        yield names, _checked(rows, len(names))


def _rows(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    taken = 0
    try:
        for row in reader:
            if row:  # a blank line
                taken += 1
                yield row
    except (csv.Error, UnicodeDecodeError) as exc:
        message = f"The file is no CSV in UTF-8, behind row {taken}: {exc}"
        raise Discard(code="not_csv", message=message) from None


def _checked(rows: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    for number, row in enumerate(rows, 2):
        if len(row) != width:
            message = f"Row {number} has {len(row)} fields, the first one {width}."
            raise Discard(code="not_csv", message=message)
        yield row
