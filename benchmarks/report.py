"""What a table says besides its rows: the machine, the versions, the change since the last one.

Not here: what is measured (run.py and its rows).
"""

import json
import math
import os
import platform
import sqlite3
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import Row

NOISE = 0.05
"""So much differs between two runs of the same on a quiet machine."""


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    names = ("aiohttp", "aiosqlite", "uvloop", "msgspec", "jsonschema-rs")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": f"Linux {platform.release().split('-')[0]} {platform.machine()}",
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "synchronous": os.environ.get("JOBD_STORE_SYNCHRONOUS", "full").upper(),
        **{name: version(name) for name in names},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def sentence(known: dict[str, Any]) -> str:
    """Return the machine as a line of text."""
    libraries = ", ".join(f"{name} {known[name]}" for name in ("aiohttp", "uvloop", "msgspec"))
    return (
        f"{known['cpu']}, {known['cores']} cores, {known['kernel']}, Python {known['python']}, "
        f"SQLite {known['sqlite']}, {libraries}, synchronous={known['synchronous']}, "
        f"load average at the start {known['load'][0]:.1f}"
    )


def change(row: Row, old: dict[str, Any] | None) -> str:
    """Return how much better or worse a row is than it was, with `!` if worse than noise."""
    if old is None or not math.isfinite(row.value) or not old["value"]:
        return ""
    ratio = row.value / old["value"] - 1
    gain = -ratio if row.less else ratio
    noise = max(NOISE, row.spread, old["spread"])
    return f"{ratio:+.0%}{' !' if gain < -noise else ''}"


def table(rows: Sequence[Row], last: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a markdown table; the last column only if there is a last run."""
    changes = [change(row, last.get(row.what)) for row in rows]
    more = any(changes)
    lines = ["| what | measured | budget | |" + (" change |" if more else "")]
    lines.append("|---|---|---|---|" + ("---|" if more else ""))
    for row, changed in zip(rows, changes, strict=True):
        verdict = "" if not row.budget else "met" if row.met else "MISSED"
        line = f"| {row.what} | {row.measured} | {row.budget} | {verdict} |"
        lines.append(line + (f" {changed} |" if more else ""))
    return lines


def last_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a file of results by what they measure, none if there is no such file."""
    if not path.exists():
        return {}
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return {row["what"]: row for row in rows}


def save(path: Path, known: dict[str, Any], rows: Sequence[Row], peers: dict[str, Any]) -> None:
    """Write the results; rows and peers that were not measured now stay as they were."""
    old = json.loads(path.read_text()) if path.exists() else {"rows": [], "peers": {}}
    fresh = {row.what: row._asdict() for row in rows}
    kept = [fresh.pop(row["what"], row) for row in old["rows"]]
    found = {"machine": known, "rows": [*kept, *fresh.values()], "peers": peers or old["peers"]}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
