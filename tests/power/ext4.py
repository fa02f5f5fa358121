"""Power cuts by the kernel: an ext4 file system is shut down under a daemon that works.

The file system lies in a file, on a loop device. Its shutdown loses what no sync has written,
as a power cut would; then it is mounted again and the daemon goes on with what is left.
An fsync under way may still be answered as done after the shutdown, as on no real machine:
what was said between the shutdown and the next start does not count.

Not here: the load (load.py), what must hold (tests/checker, judge.py).
"""

import contextlib
import fcntl
import os
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.checker.history import MISSING, Line, check
from tests.kill.clients import audit
from tests.kill.loop import Crowd
from tests.power.judge import judge
from tests.power.load import Errands, Served, Told, wait_for_kinds, work
from tests.power.replay import Result

_SIZE_BYTES = 512 * 1024 * 1024
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_MAX_ACKS = 30
_MAX_NAP_S = 0.05

Window = tuple[int, int]


class Mount:
    """A file system of its own below `folder`; `close` it, or the device stays."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state"
        self.path.mkdir(mode=0o700)
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        found = subprocess.run(
            ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
        )
        self._device = found.stdout.strip()
        self._mounted = False

    def attach(self) -> None:
        subprocess.run(["mount", self._device, self.path], check=True)
        self._mounted = True

    def detach(self) -> None:
        subprocess.run(["umount", self.path], check=True)
        self._mounted = False

    def cut(self) -> None:
        """Cut it off: nothing more reaches the device."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def close(self) -> None:
        if self._mounted:
            self.detach()
        subprocess.run(["losetup", "--detach", self._device], check=True)


class OnMount(Served):
    """A daemon whose lock of workers can be waited for when no file can be opened any more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {})
        self._lock = -1

    def hold(self) -> None:
        """Open the lock while that is possible."""
        self._lock = os.open(self.state / "workers.lock", os.O_RDWR | os.O_CLOEXEC)

    def kill(self) -> None:
        super(Served, self).kill()
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.close(self._lock)


def run(folder: Path, seed: int, cycles: int) -> Result:
    """Cut so many times, let all jobs end, and check."""
    told, windows = Told(folder), []
    chance = random.Random(f"{seed}-ext4")  # noqa: S311 - a seed to repeat
    with contextlib.ExitStack() as stack:
        mount = Mount(folder)
        stack.callback(mount.close)
        mount.attach()
        victim = OnMount(folder)

        def live(crowd: Crowd, errands: Errands) -> None:
            for cycle in range(cycles):
                window = _cycle(victim, mount, crowd, errands, chance, first=cycle == 0)
                windows.append(window)
            victim.begin()
            victim.wait_ready()
            crowd.tell_up()
            crowd.finish()
            audit(victim.socket, told.notes)

        work(victim, seed, told, live)
        result = _result(told, windows)
        end_ns = time.monotonic_ns()
        uploads = [one for one in told.uploads if not _within(one[0], windows)]
        result.violations += judge(mount.path, [], uploads, end_ns)
    result.counts["power cuts"] = cycles
    return result


def _cycle(
    victim: OnMount,
    mount: Mount,
    crowd: Crowd,
    errands: Errands,
    chance: random.Random,
    *,
    first: bool,
) -> Window:
    victim.begin()
    victim.wait_ready()
    if first:
        wait_for_kinds(victim.socket)
    crowd.tell_up()
    errands.up()
    crowd.wait_acks(chance.randint(1, _MAX_ACKS))
    threading.Event().wait(chance.uniform(0, _MAX_NAP_S))
    victim.hold()
    cut_ns = time.monotonic_ns()
    mount.cut()
    errands.down()
    victim.kill()
    mount.detach()
    mount.attach()
    return cut_ns, time.monotonic_ns()


def _result(told: Told, windows: Sequence[Window]) -> Result:
    lines = list(_that_count(told.lines, windows))
    report = check(lines)
    result = Result(violations=list(report.violations))
    result.counts["acknowledged jobs"] = report.acknowledged
    result.counts["acknowledged uploads"] = len(told.uploads)
    result.counts["attempts"] = report.attempts
    result.counts["attempts cut short"] = report.cut
    result.counts["answers that do not count"] = sum(
        line["op"] == "return" and _within(line["at"], windows) for line in told.lines
    )
    return result


def _that_count(lines: Sequence[Line], windows: Sequence[Window]) -> Iterator[Line]:
    """Give the lines without what was said of a disk that was cut off already."""
    said = [line for line in lines if line.get("outcome") == "ok"]
    truly = {
        line["job_id"]
        for line in said
        if not _within(line["at"], windows) and line["status"] != MISSING
    }
    for line in lines:
        if line["op"] != "invoke" and _within(line["at"], windows):
            continue
        if line.get("status") == MISSING and line["job_id"] not in truly:
            continue  # only a disk that was cut off has ever had it
        yield line


def _within(at_ns: int, windows: Sequence[Window]) -> bool:
    return any(begin <= at_ns <= end for begin, end in windows)
