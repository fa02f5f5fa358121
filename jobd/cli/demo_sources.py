"""What the demo imports: installed packages' RECORD files, or files that the user names.

A RECORD is CSV without a header: path, hash, size. Some of its rows have neither hash nor
size, its own for one: real data with real gaps.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

_LONGEST_TABLE = 50


class Source(msgspec.Struct, frozen=True):
    """A CSV file and how it is to be read."""

    name: str
    path: Path
    table: str
    columns: dict[str, str] | None
    """None: those that the header names, as text."""
    header: bool

    def args(self, database: Path) -> dict[str, Any]:
        """Return the args of the `import.csv` job that puts it into `database`."""
        return {
            "source": str(self.path),
            "database": str(database),
            "table": self.table,
            "columns": self.columns,
            "header": self.header,
        }


def installed() -> list[Source]:
    """Return the RECORD files of all distributions that this Python has, by name."""
    from importlib import metadata  # noqa: PLC0415 - 14 ms that no other command should pay

    found = {
        Path(str(file.locate())).resolve()
        for distribution in metadata.distributions()
        for file in distribution.files or ()
        if file.name == "RECORD" and file.parent.suffix == ".dist-info"
    }
    columns = {"path": "text", "hash": "text", "size": "integer"}
    return [
        Source(path.parent.stem, path, "files", columns, header=False)
        for path in sorted(found)
        if path.is_file()
    ]


def named(paths: Sequence[Path]) -> list[Source]:
    """Return the user's files, a table each; their header rows name text columns."""
    sources: list[Source] = []
    for path in paths:
        table = _table(path, {source.table for source in sources})
        sources.append(Source(path.name, path.resolve(), table, None, header=True))
    return sources


def _table(path: Path, taken: set[str]) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    name = f"t_{word}"[:_LONGEST_TABLE]
    number = 1
    while (unique := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    return unique
