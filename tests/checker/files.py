"""A history in a folder of `*.jsonl` files, which clients and handlers append to.

Not here: what its lines mean and what is wrong with them (history.py).
"""

import json
from pathlib import Path

from tests.checker.history import HistoryError, Line


def read(folder: Path) -> list[Line]:
    """Return every line of a folder; HistoryError names one that is torn."""
    lines = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, text in enumerate(path.read_text().splitlines(), 1):
            try:
                lines.append(json.loads(text))
            except ValueError as error:
                raise HistoryError(f"{path}:{number}: {error}: {text!r}") from error
    return lines
