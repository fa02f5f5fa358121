"""jobd as it is, with a clock around each act of its writing thread.

`python benchmarks/timed.py serve …` writes the times in seconds, one a line, to the file that
BENCH_HELD names when the daemon ends: statements, COMMIT and checkpoints alike. It replaces a
private method, so that what is timed is the daemon and no copy of it.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobd.cli.main import main
from jobd.store.database import Database

HELD_S: list[float] = []
_write = Database._write  # noqa: SLF001


async def _timed(self: Database, act: Callable[[sqlite3.Connection], Any]) -> Any:
    def timed(connection: sqlite3.Connection) -> Any:
        began_s = time.perf_counter()
        try:
            return act(connection)
        finally:
            HELD_S.append(time.perf_counter() - began_s)

    return await _write(self, timed)


if __name__ == "__main__":
    Database._write = _timed  # type: ignore[method-assign]  # noqa: SLF001
    try:
        main()
    finally:
        Path(os.environ["BENCH_HELD"]).write_text("\n".join(map(str, HELD_S)))
