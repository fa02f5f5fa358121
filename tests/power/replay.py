"""Power cuts by replay: a recording, cut at random points into states that a disk may hold.

Not here: the recording (load.py), the disk (disk.py), what must hold (judge.py).
"""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.disk import Cut, Disk, Loss
from tests.power.judge import judge
from tests.power.load import Told
from tests.power.recording import Record, read
from tests.power.serving import serve

_MEMORY = Path("/dev/shm")  # noqa: S108 - states that are looked at once need no disk
_NEAR = 4
"""So close to a sync is near: there the most is at stake."""


@dataclass
class Result:
    """What a replay came to."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.counts += other.counts
        self.violations += other.violations

    def table(self) -> str:
        rows = sorted(self.counts.items())
        return "\n".join(["| what | count |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows)])


def points(records: list[Record], count: int, chance: random.Random) -> list[int]:
    """Return so many positions in a recording, half of them near a sync, in their order."""
    syncs = [index for index, record in enumerate(records) if record.op in "BS"]
    found = []
    for number in range(count):
        if number % 2:
            found.append(chance.randrange(len(records)))
        else:
            near = chance.choice(syncs) + chance.randint(-_NEAR, _NEAR)
            found.append(min(max(near, 0), len(records) - 1))
    return sorted(found)


def positions(told: Told) -> list[Record]:
    """Return all records, and check that with them the folder comes to be what it was.

    Where the daemon was killed a few calls may be without their record; they are made up for.
    """
    records: list[Record] = []
    disk, start = Disk(), 0
    for stop, copy, killed in told.ends:
        for record in _between(told, start, stop):
            records.append(record)
            disk.apply(record)
        missed = disk.reconcile(copy)
        assert missed <= (4 if killed else 0), f"{missed} files of {copy} are not as recorded"
        records.append(Record("E", str(copy), 0, 0, 0, b""))
        start = stop
    return records


def _between(told: Told, start: int, stop: int) -> Iterator[Record]:
    with tempfile.NamedTemporaryFile(dir=told.log.parent) as part:
        with told.log.open("rb") as log:
            log.seek(start)
            part.write(log.read(stop - start))
        part.flush()
        yield from read(Path(part.name), told.root)


def replay(told: Told, seed: int, count: int, *, served: int = 0) -> Result:
    """Judge so many states, each of another point and with other losses.

    Of these `served`, spread over all, are also served from until every job has ended.
    """
    records = positions(told)
    chance = random.Random(f"{seed}-points")  # noqa: S311 - a seed to repeat
    disk, result, done = Disk(), Result(), 0
    result.counts = _of_records(records)
    for number, point in enumerate(points(records, count, chance)):
        for record in records[done:point]:
            if record.op == "E":
                disk.reconcile(Path(record.path))
            else:
                disk.apply(record)
        done = point
        cut_ns = _cut_ns(records, point)
        serve = (number + 1) * served // count > number * served // count
        _judge_one(told, disk, Point(f"{seed}:{number}", cut_ns, serve), result)
    return result


def _of_records(records: list[Record]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for record in records:
        where = record.path.split("/")[0]
        match record.op:
            case "W":
                counts[f"recorded writes to {where}"] += 1
            case "S":
                counts[f"recorded syncs of {where or 'the state folder'}"] += 1
            case "R":
                counts["recorded renames"] += 1
    return counts


def _cut_ns(records: list[Record], point: int) -> int:
    """Return a time before which everything that had been told was in the records before."""
    while records[point].op == "E":  # all that the killed daemon has said it said before
        point -= 1
    return records[point].at_ns


@dataclass(frozen=True)
class Point:
    """Where the power is cut."""

    name: str
    """Of it all losses follow."""
    cut_ns: int
    serve: bool


def _judge_one(told: Told, disk: Disk, point: Point, result: Result) -> None:
    chance = random.Random(point.name)  # noqa: S311 - a seed to repeat
    loss = Loss.choose(chance)
    folder = Path(tempfile.mkdtemp(prefix="jobd-cut-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        cut = Cut(disk, loss, chance)
        cut.write(folder / "state")
        wrong = judge(folder / "state", told.lines, told.uploads, point.cut_ns)
        if point.serve:
            wrong += serve(told, folder, point.cut_ns)
    finally:
        shutil.rmtree(folder)
    result.counts += cut.counts
    result.counts["states"] += 1
    result.counts[f"states with {loss.name} of the unsynced lost"] += 1
    result.counts["states served from"] += point.serve
    result.counts["states with a violation"] += bool(wrong)
    result.violations += [f"state {point.name} ({loss.name}): {what}" for what in wrong[:3]]
