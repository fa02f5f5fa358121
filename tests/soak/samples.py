"""What is measured of a daemon while it works, and whether it stays as it is.

Flat is what grows by no more than its bound over the second half of a run: the slope is the
median of those between all pairs of samples, so that peaks do not count and leaks do.

Not here: when samples are taken (run.py).
"""

import itertools
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

_FOLDERS = ("artifacts", "logs", "scratch", "uploads")
_PAIRED = 120
MAX_WAL_KB = 64 * 1024
MAX_ZOMBIE_S = 3.0
_CACHED_KB = 4 * 1024
"""Above that, the three connections' page caches are full."""
MAX_MORE_RSS_KB = 25 * 1024
"""What the daemon may have beyond what it has at rest, at any time: the page caches of SQLite up
to their limits (12 MB), what waits for the collector of cycles (dead workers, failed dials: 20,000
objects, 5 MB), and what malloc keeps in the arenas of its threads (8 MB were seen)."""


@dataclass(frozen=True)
class Sample:
    """One look. Sizes in KiB; `files` are files and folders below the state folder."""

    at_s: float
    rss: int
    fds: int
    threads: int
    children: int
    zombies: int
    workers_rss: int
    db: int
    wal: int
    artifacts: int
    logs: int
    scratch: int
    uploads: int
    keys: int
    """Idempotency keys used so far: they are remembered for a day."""
    zombie_pids: frozenset[int] = frozenset()


COLUMNS = tuple(field.name for field in fields(Sample) if field.name != "zombie_pids")


class Bound(NamedTuple):
    """How much a quantity may grow over the half that is judged: so much, and by that share."""

    absolute: float
    share: float = 0.0
    settled: bool = False
    """Only once the daemon has run for a while, and retention deletes as much as comes."""
    per_key: float = 0.0
    per_worker: float = 0.0
    """For each worker that there is more of: an io kind has one of its own for an hour after it
    has cost one."""
    per_db: float = 0.0
    """For each KiB by which the database has grown: its pages are cached."""
    by_rate: bool = False
    """What is kept for a while is as much more as jobs come faster, when the machine has time."""
    warming: float = 0.0
    """So much more until then: caches fill, threads and workers come as they are needed."""


BOUNDS = {
    "rss": Bound(4 * 1024, per_db=3, warming=12 * 1024),
    "fds": Bound(8, per_worker=10, warming=64),
    "threads": Bound(2, warming=min(32, (os.cpu_count() or 1) + 4)),
    "children": Bound(3),
    "zombies": Bound(1),
    "workers_rss": Bound(16 * 1024, 0.1, per_worker=40 * 1024, warming=128 * 1024),
    "wal": Bound(4 * 1024, 0.1, warming=12 * 1024),
    "scratch": Bound(10),
    "db": Bound(1024, 0.1, settled=True, per_key=0.5),
    "artifacts": Bound(100, 0.25, settled=True, by_rate=True),
    "logs": Bound(100, 0.25, settled=True, by_rate=True),
}


class Growth(NamedTuple):
    """What became of a quantity."""

    name: str
    median: float
    highest: float
    grew: float
    allowed: float

    @property
    def flat(self) -> bool:
        return self.grew <= self.allowed


def take(pid: int, state: Path, at_s: float, keys: int) -> Sample:
    """Look at a daemon, its children and its files; OSError if it is gone."""
    parents, dead = _processes()
    family = list(_below(pid, parents))
    status = _status(pid)
    counts = {name: _entries(state / name) for name in _FOLDERS}
    return Sample(
        at_s=at_s,
        rss=int(status["VmRSS"]),
        fds=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
        children=len(family),
        zombies=sum(child in dead for child in family),
        workers_rss=sum(_rss(child) for child in family),
        db=_size(state / "jobd.db"),
        wal=_size(state / "jobd.db-wal"),
        keys=keys,
        zombie_pids=frozenset(child for child in family if child in dead),
        **counts,
    )


def growths(samples: Sequence[Sample], *, settled: bool) -> list[Growth]:
    """Judge each quantity over these samples; `settled` says that retention has caught up."""
    changed = _Changed.over(samples)
    judged = [(name, bound) for name, bound in BOUNDS.items() if settled or not bound.settled]
    return [
        _growth(name, samples, changed.allows(bound) + (0 if settled else bound.warming), changed)
        for name, bound in judged
    ]


class _Changed(NamedTuple):
    """What may explain that something is more in the end: last quarter against first."""

    keys: float
    workers: float
    db: float
    rate: float
    """How many times as fast jobs came."""

    @classmethod
    def over(cls, samples: Sequence[Sample]) -> "_Changed":
        quarter = max(2, len(samples) // 4)
        first, last = samples[:quarter], samples[-quarter:]
        workers = _median(last, "children") - _median(first, "children")
        rates = [(p[-1].keys - p[0].keys) / (p[-1].at_s - p[0].at_s) for p in (first, last)]
        return cls(
            keys=samples[-1].keys - samples[0].keys,
            workers=min(max(0.0, workers), BOUNDS["children"].absolute),
            db=min(max(0.0, _median(last, "db") - _median(first, "db")), _CACHED_KB),
            rate=max(1.0, rates[1] / rates[0]) if rates[0] else 1.0,
        )

    def allows(self, bound: Bound) -> float:
        """Return how much more than its bound a quantity may grow for that."""
        by_worker = bound.per_worker * self.workers
        return bound.per_key * self.keys + by_worker + bound.per_db * self.db


def _median(samples: Sequence[Sample], name: str) -> float:
    return float(statistics.median(getattr(sample, name) for sample in samples))


def _growth(name: str, samples: Sequence[Sample], more: float, changed: _Changed) -> Growth:
    """Judge one quantity, which may grow by so much more than its bound has it."""
    values = [float(getattr(sample, name)) for sample in samples]
    median = statistics.median(values)
    allowed = BOUNDS[name].absolute + BOUNDS[name].share * median + more
    if BOUNDS[name].by_rate:
        allowed += median * (changed.rate - 1)
    lasted_s = samples[-1].at_s - samples[0].at_s
    grew = slope([sample.at_s for sample in samples], values) * lasted_s
    return Growth(name, median, max(values), grew, allowed)


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Return the median slope between all pairs, of a part of them when there are many."""
    step = max(1, len(values) // _PAIRED)
    points = list(zip(at, values, strict=True))[::step]
    return statistics.median(
        (b - a) / (t - s) for (s, a), (t, b) in itertools.combinations(points, 2)
    )


def lasting_zombies(samples: Sequence[Sample]) -> set[int]:
    """Return the dead children that were still there at every look for longer than allowed."""
    lasting = set()
    since: dict[int, float] = {}
    for sample in samples:
        since = {pid: since.get(pid, sample.at_s) for pid in sample.zombie_pids}
        lasting |= {pid for pid, at_s in since.items() if sample.at_s - at_s > MAX_ZOMBIE_S}
    return lasting


def table(samples: Sequence[Sample], rows: int = 24) -> str:
    """Return samples from all over the run, as lines of a table."""
    step = max(1, len(samples) // rows)
    shown = [*samples[::step], samples[-1]]
    lines = [" ".join(f"{name:>11}" for name in COLUMNS)]
    lines += [" ".join(f"{getattr(sample, name):>11.0f}" for name in COLUMNS) for sample in shown]
    return "\n".join(lines)


def _processes() -> tuple[dict[int, int], set[int]]:
    """Return every process's parent, and which of them are zombies."""
    parents, dead = {}, set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            text = Path(entry.path, "stat").read_text()
        except OSError:
            continue  # gone meanwhile
        state, parent = text.rpartition(")")[2].split()[:2]
        parents[int(entry.name)] = int(parent)
        if state == "Z":
            dead.add(int(entry.name))
    return parents, dead


def _below(pid: int, parents: dict[int, int]) -> Iterator[int]:
    for child in [one for one, parent in parents.items() if parent == pid]:
        yield child
        yield from _below(child, parents)


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: value.split()[0] for name, value in pairs if value.strip()}


def _rss(pid: int) -> int:
    try:
        return int(_status(pid).get("VmRSS", 0))
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size // 1024
    except OSError:
        return 0


def _entries(folder: Path) -> int:
    return sum(len(folders) + len(files) for _root, folders, files in os.walk(folder))
