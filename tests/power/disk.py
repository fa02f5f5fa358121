"""A disk without power: what of the recorded writes it holds may be there or not.

What an fsync has covered stays. Of the rest, each write to a file is kept, dropped, or torn
at sectors of 512 bytes; each change of a name in a folder whose fsync has not covered it is
kept or dropped, those of one name in their order. Nothing else orders them: a rename may
come before the content, or the second write without the first.

Not here: where the records come from (recording.py), what must hold (judge.py).
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.recording import SKIPPED, Record

SECTOR_BYTES = 512


@dataclass(slots=True)
class Change:
    """A write at an offset, or (`size`) a cut or growth to it."""

    index: int
    at: int
    data: bytes
    size: int | None = None

    def apply(self, content: bytearray, sectors: Callable[[], bool] | None = None) -> None:
        """Do it to the content; with `sectors` only those for which that says so."""
        if self.size is not None:
            del content[self.size :]
            content.extend(bytes(self.size - len(content)))
            return
        begin, end = self.at, self.at + len(self.data)
        while begin < end:
            stop = end if sectors is None else min(end, begin - begin % SECTOR_BYTES + SECTOR_BYTES)
            if sectors is None or sectors():
                content.extend(bytes(max(0, begin - len(content))))
                content[begin:stop] = self.data[begin - self.at : stop - self.at]
            begin = stop


@dataclass(slots=True, eq=False)
class File:
    """A file: what is durable of it, and the changes that may be lost."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def content(self) -> bytearray:
        """Return what a reader sees while the power is on."""
        content = bytearray(self.durable)
        for change in self.pending:
            change.apply(content)
        return content

    def sync(self, before: int) -> None:
        """Make durable what was done before the record of that index."""
        while self.pending and self.pending[0].index < before:
            self.pending.pop(0).apply(self.durable)


@dataclass(slots=True, eq=False)
class Folder:
    """A folder: its durable names, and the changes of names that may be lost."""

    durable: dict[str, "Entry"] = field(default_factory=dict)
    names: dict[str, "Entry"] = field(default_factory=dict)
    pending: list[tuple[int, str, "Entry | None"]] = field(default_factory=list)

    def set(self, index: int, name: str, entry: "Entry | None") -> None:
        """Give the name to the entry, or take it away."""
        self.pending.append((index, name, entry))
        _put(self.names, name, entry)

    def sync(self, before: int) -> None:
        """Make durable what was done before the record of that index."""
        while self.pending and self.pending[0][0] < before:
            _, name, entry = self.pending.pop(0)
            _put(self.durable, name, entry)


Entry = File | Folder


def _put(names: dict[str, Entry], name: str, entry: Entry | None) -> None:
    if entry is None:
        names.pop(name, None)
    else:
        names[name] = entry


class Disk:
    """The folder as the records so far have left it; `root` itself is durable."""

    def __init__(self) -> None:
        self.root = Folder()
        self._files: dict[int, File] = {}
        self._begun: dict[int, int] = {}
        self._index = 0

    def apply(self, record: Record) -> None:
        """Take the next record."""
        self._index += 1
        match record.op:
            case "O":
                self._open(record)
            case "W":
                self._change(record, Change(self._index, record.number, record.data))
            case "T":
                self._change(record, Change(self._index, 0, b"", record.number))
            case "B":
                self._begun[record.number] = self._index
            case "S":
                self._sync(record, self._begun.pop(record.number))
            case _:
                self._name(record)

    def _name(self, record: Record) -> None:
        folder, name = self._place(record.path)
        if record.op == "M":
            folder.set(self._index, name, Folder())
        elif record.op == "U":
            folder.set(self._index, name, None)
        else:
            target, new = self._place(record.data.decode())
            target.set(self._index, new, folder.names[name])
            if record.op == "R":
                folder.set(self._index, name, None)

    def _open(self, record: Record) -> None:
        folder, name = self._place(record.path)
        file = folder.names.get(name)
        if file is None:
            file = File()
            folder.set(self._index, name, file)
        assert isinstance(file, File), record.path
        self._files[record.inode] = file
        if record.number:
            file.pending.append(Change(self._index, 0, b"", 0))

    def _change(self, record: Record, change: Change) -> None:
        self._files[record.inode].pending.append(change)

    def _sync(self, record: Record, before: int) -> None:
        file = self._files.get(record.inode)
        entry = self.entry(record.path)
        if isinstance(entry, Folder):
            entry.sync(before)
        elif file is not None:
            file.sync(before)

    def entry(self, path: str) -> Entry | None:
        """Return what has that name now."""
        entry: Entry | None = self.root
        for part in path.split("/") if path else []:
            entry = entry.names.get(part) if isinstance(entry, Folder) else None
        return entry

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self.entry(parent)
        assert isinstance(folder, Folder), path
        return folder, name

    def reconcile(self, real: Path) -> int:
        """Take over what was done but not recorded: the killed had no time for it.

        Returns how many files and folders were not as recorded.
        """
        return self._reconcile(self.root, real)

    def _reconcile(self, folder: Folder, real: Path) -> int:
        self._index += 1
        there = {path.name: path for path in real.iterdir() if path.name not in SKIPPED}
        found = 0
        for name in set(folder.names) - set(there):
            folder.set(self._index, name, None)
            found += 1
        for name, path in there.items():
            entry = folder.names.get(name)
            if entry is None:
                entry = Folder() if path.is_dir() else File()
                folder.set(self._index, name, entry)
                found += 1
            if isinstance(entry, Folder):
                found += self._reconcile(entry, path)
            else:
                self._files[path.stat().st_ino] = entry
                found += self._rewrite(entry, path.read_bytes())
        return found

    def _rewrite(self, file: File, content: bytes) -> int:
        if file.content() == content:
            return 0
        file.pending.append(Change(self._index, 0, content))
        file.pending.append(Change(self._index, 0, b"", len(content)))
        return 1


@dataclass(frozen=True)
class Loss:
    """How much of what is not durable is lost: shares from 0 to 1."""

    name: str
    dropped: float
    torn: float

    @classmethod
    def choose(cls, chance: random.Random) -> "Loss":
        """Return a way to lose."""
        ways = (
            cls("all", 1, 0),
            cls("none", 0, 0),
            cls("some", chance.random(), 0),
            cls("torn", chance.random() * 0.5, chance.random()),
        )
        return chance.choice(ways)


class Cut:
    """One state that a disk may be in when the power is back."""

    def __init__(self, disk: Disk, loss: Loss, chance: random.Random) -> None:
        self._disk, self._loss, self._chance = disk, loss, chance
        self.counts: Counter[str] = Counter()
        """Changes that were kept, dropped and torn."""

    def write(self, target: Path) -> None:
        """Make the folder at `target` as the disk holds it."""
        self._write(self._disk.root, target)

    def _write(self, folder: Folder, target: Path) -> None:
        target.mkdir(mode=0o700)
        for name, entry in self._names(folder).items():
            if isinstance(entry, Folder):
                self._write(entry, target / name)
            else:
                (target / name).write_bytes(self._content(entry))

    def _names(self, folder: Folder) -> dict[str, Entry]:
        names = dict(folder.durable)
        stopped = set()
        for _, name, entry in folder.pending:
            if name in stopped or self._lost():
                stopped.add(name)  # what comes later for this name was not done either
                self.counts["names dropped"] += 1
            else:
                _put(names, name, entry)
                self.counts["names kept"] += 1
        return names

    def _content(self, file: File) -> bytes:
        content = bytearray(file.durable)
        for change in file.pending:
            if self._lost():
                self.counts["writes dropped"] += 1
            elif self._chance.random() < self._loss.torn and len(change.data) > SECTOR_BYTES:
                change.apply(content, lambda: self._chance.random() < 1 / 2)
                self.counts["writes torn"] += 1
            else:
                change.apply(content)
                self.counts["writes kept"] += 1
        return bytes(content)

    def _lost(self) -> bool:
        return self._chance.random() < self._loss.dropped
