"""A page shared by an io worker and the daemon: the number of the job whose code runs right now.

The worker writes it around every step of a job's tasks, the daemon reads it when the
worker has died: of many jobs in one process, that one is charged. 0 means none. Beside it
stands when the worker's loop last came round while jobs ran: a loop that does not is kept
by the job of that number. Behind the page lies what faulthandler wrote when the worker died
of a fault: that job's last lines.

Not here: who writes when (child_io.py), what follows from it (worker.py).
"""

import faulthandler
import mmap
import os
import time

TICK_S = 0.25
"""How often the loop of a worker says that it goes on, while jobs run in it."""
_NUMBER, _TICK = 0, 1
_REPORT_BYTES = 64 * 1024


class Marker:
    """One side's view of the page. `cell[0]` is the number; plain writes of 8 bytes, no lock."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, mmap.PAGESIZE)
        self.cell = memoryview(self._page).cast("Q")

    @classmethod
    def create(cls) -> "Marker":
        """Return a fresh page; its descriptor is to be given to the worker."""
        fd = os.memfd_create("jobd-marker")
        os.ftruncate(fd, mmap.PAGESIZE)
        return cls(fd)

    @property
    def running(self) -> int:
        """The number of the job whose code runs; 0: none."""
        return self.cell[_NUMBER]

    @property
    def ticked_s(self) -> float:
        """When the loop last came round, on the machine's monotonic clock; 0.0: never."""
        return self.cell[_TICK] / 1e9

    def tick(self) -> None:
        """Say that the loop has come round (the worker's side)."""
        self.cell[_TICK] = time.monotonic_ns()

    def catch_faults(self) -> None:
        """Have faulthandler write behind the page (the worker's side)."""
        os.lseek(self.fd, mmap.PAGESIZE, os.SEEK_SET)
        faulthandler.enable(self.fd)

    def fault(self) -> str:
        """Return what faulthandler wrote; empty if there was no fault."""
        report = os.pread(self.fd, _REPORT_BYTES, mmap.PAGESIZE)
        return report.decode("utf-8", "replace")

    def close(self) -> None:
        """Let go of the page; what the other side sees does not change."""
        self.cell.release()
        self._page.close()
        os.close(self.fd)
