"""How data is printed: table, wide, json, ndjson or name, always on stdout.

The machine formats are stable: json is the API's body unchanged, ndjson its items one
per line, name one id per line. Tables are for people and may change; `wide` adds columns
behind the others. Text that came from a job is printed without its control characters, so
that it cannot drive the terminal.

Not here: which columns a thing has (jobs.py, plugins.py); errors (errors.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import click
import msgspec

T = TypeVar("T")

FORMATS = ("table", "wide", "json", "ndjson", "name")

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400


class Column(NamedTuple, Generic[T]):
    """One column: its title and what stands in it."""

    title: str
    cell: Callable[[T], str]
    wide: bool = False
    """Shown only by `wide`."""
    right: bool = False
    """For numbers, which stand one below the other."""
    colour: Callable[[T], str | None] = lambda _: None


class View(NamedTuple, Generic[T]):
    """How one kind of thing is printed; `items` is its key in the API's list."""

    items: str
    name: Callable[[T], str]
    columns: tuple[Column[T], ...]

    def print_list(self, things: Sequence[T], body: bytes, output: str) -> None:
        """Print a list that the API answered with `body`."""
        match output:
            case "json":
                click.echo(body)
            case "ndjson":
                listed = msgspec.json.decode(body, type=dict[str, msgspec.Raw])[self.items]
                for item in msgspec.json.decode(listed, type=list[msgspec.Raw]):
                    click.echo(bytes(item))
            case "name":
                for thing in things:
                    click.echo(self.name(thing))
            case _:
                print_table(self.columns, things, wide=output == "wide")

    def print_one(self, thing: T, body: bytes, output: str) -> None:
        """Print one thing that the API answered with `body`; a table has one row."""
        match output:
            case "json" | "ndjson":
                click.echo(body)
            case "name":
                click.echo(self.name(thing))
            case _:
                print_table(self.columns, [thing], wide=output == "wide")


def print_table(columns: Iterable[Column[T]], things: Sequence[T], *, wide: bool = False) -> None:
    """Print one line of titles and one line per thing, columns two spaces apart."""
    for line in table_lines(columns, things, wide=wide):
        click.echo(line)


def table_lines(
    columns: Iterable[Column[T]], things: Sequence[T], *, wide: bool = False
) -> Iterator[str]:
    """Yield the lines of a table."""
    shown = [column for column in columns if wide or not column.wide]
    titles = [column.title for column in shown]
    rows = [[plain(column.cell(thing)) for column in shown] for thing in things]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    colours: list[list[str | None]] = [[None] * len(shown)]
    colours += [[column.colour(thing) for column in shown] for thing in things]
    for cells, fgs in zip([titles, *rows], colours, strict=True):
        placed = zip(shown, cells, widths, fgs, strict=True)
        line = (_place(cell, width, fg, right=column.right) for column, cell, width, fg in placed)
        yield "  ".join(line).rstrip()


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print `name: value` lines, the values below one another; an empty value is left out."""
    told = [(name, plain(value)) for name, value in fields if value]
    width = max((len(name) for name, _ in told), default=0) + 1
    for name, value in told:
        click.echo(f"{name + ':':<{width}} {value}")


def _place(cell: str, width: int, colour: str | None, *, right: bool) -> str:
    space = " " * (width - len(cell))
    text = click.style(cell, fg=colour) if colour else cell
    return space + text if right else text + space


def plain(text: str) -> str:
    """Return `text` on one line, control characters written out as Python would write them."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def now() -> datetime:
    """Return the time that ages are relative to."""
    return datetime.now(UTC)


def age(moment: datetime | None, at: datetime) -> str:
    """Return how long before `at` (or `in …` after it) `moment` is, in its largest unit."""
    if moment is None:
        return ""
    seconds = (at - moment).total_seconds()
    return f"in {_rough(-seconds)}" if seconds < 0 else _rough(seconds)


def _rough(seconds: float) -> str:
    for unit_s, letter in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "m")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)}{letter}"
    return f"{int(seconds)}s"


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return the time between two moments with a precision that fits its length."""
    if start is None or end is None:
        return ""
    return seconds_text((end - start).total_seconds())


def seconds_text(seconds: float) -> str:
    """Return `0.12 s`, `12.3 s`, `2m05s` or `1h02m`."""
    if seconds < _MINUTE_S:
        return f"{seconds:.2f} s" if seconds < _MINUTE_S / 6 else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < _MINUTE_S:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def size_text(size_bytes: int) -> str:
    """Return a size with its unit: `512 B`, `1.5 KiB`, `20.0 MiB`."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - the step between the units
            return f"{size_bytes} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
