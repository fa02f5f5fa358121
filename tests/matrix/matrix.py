"""One daemon, and the faults in it one after the other, each among fifty innocent jobs.

Two cpu workers, one io worker. For each fault: fifty bystanders are submitted, of which all
of the io lane and two of the cpu lane run and wait at a gate. One of the two is let through,
and the faulty job, which is more urgent than the rest, gets its slot. When it has ended the
gate is opened for all. What happened is told by the daemon's events and /proc.

Not here: the faults (faults.py), what /proc shows (traces.py).
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobd.client import Client, ClientError, Seen
from jobd.files.layout import Layout
from jobd.wire.jobs import JobDetail
from jobd.wire.submission import SubmitRequest
from tests.e2e.conftest import Daemon
from tests.matrix import traces
from tests.matrix.faults import MISSING_S, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_S = 1.0
BYSTANDERS = 50
_OF_CPU = 25
_CPU_WORKERS = 2
_PATIENCE_S = 40.0
_HELPING_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""To so many grows the pool of threads that every asyncio loop has, as they are needed."""

CONFIG = f"""
[jobs]
handler_missing_s = {MISSING_S}
[pool]
cpu_workers = {_CPU_WORKERS}
io_workers = 1
io_concurrency = {BYSTANDERS}
kill_grace_s = {GRACE_S}
drain_s = 0
[log]
level = "error"
"""


class Row(NamedTuple):
    """What came of one fault."""

    fault: Fault
    code: str
    seconds: float
    """From the start of the faulty job to its end, by the events."""
    running: int
    """Bystanders that ran when the faulty job began, by the events."""
    completed: int
    charged: int
    again: Sequence[str]
    """The lanes of the bystanders that had to run more than once."""
    left: Sequence[str]
    """What was not as before: processes, descriptors, threads."""

    @property
    def deadline_s(self) -> float:
        return self.fault.limit_s + GRACE_S + 1

    def faults_found(self) -> list[str]:
        """Return what is not as it has to be."""
        wrong = {
            f"it ended {self.code}": self.code != self.fault.code,
            f"it took {self.seconds:.3f} s": self.seconds > self.deadline_s,
            f"{self.running} bystanders ran": self.running < 10,
            f"{self.completed} bystanders completed": self.completed != BYSTANDERS,
            f"{self.charged} bystanders were charged": self.charged > 0,
            f"bystanders ran again: {self.again}": set(self.again) - self._may_run_again,
        }
        return [what for what, is_so in wrong.items() if is_so] + list(self.left)

    @property
    def _may_run_again(self) -> set[str]:
        return {"io"} if self.fault.lane == "io" else set()


class Watch:
    """Every event of the daemon, as it comes."""

    def __init__(self, socket: str) -> None:
        self._seen: dict[str, list[Seen]] = {}
        self._news = threading.Condition()
        self._stream = Client(socket, patience_s=0, pause=lambda _: None).events()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for seen in self._stream:
                with self._news:
                    self._seen.setdefault(seen.job.job_id, []).append(seen)
                    self._news.notify_all()
        except ClientError:  # the daemon is gone
            self._stream.close()

    def of(self, job_id: str, event: str) -> list[Seen]:
        """Return the job's events of one type so far."""
        return [seen for seen in self._seen.get(job_id, ()) if seen.type == event]

    def ended(self, job_id: str) -> Seen | None:
        """Return the job's last event, once it is over."""
        seen = self._seen.get(job_id, [])
        return seen[-1] if seen and seen[-1].job.done else None

    def until(self, met: Callable[[], object]) -> None:
        """Wait for an event that makes the condition true; AssertionError if none comes."""
        with self._news:
            if not self._news.wait_for(met, _PATIENCE_S):
                raise AssertionError(self._unfinished())

    def _unfinished(self) -> str:
        last = [seen[-1] for seen in self._seen.values() if not seen[-1].job.done]
        return f"not over: {[(one.job.kind, one.type, one.job.attempt) for one in last]}"

    def join(self) -> None:
        """Return when nobody reads any more; the daemon has stopped."""
        self._thread.join(_PATIENCE_S)


class Matrix:
    """The daemon, and what was seen of it."""

    def __init__(self, folder: Path) -> None:
        """Start it. AssertionError when it does not come to rest."""
        self._folder = folder
        self._numbers = count()
        self.daemon = started(folder)
        self._client = Client(self.daemon.socket)
        self._watch = Watch(self.daemon.socket)
        self._instance = self._client.status().value.instance_id
        self._until(lambda: self._client.handlers().value.handlers)
        self._at_first = self._rest()
        self.run(Fault("warm-up", "test.segfault", "worker_crashed"))

    def close(self) -> None:
        """Stop the daemon; AssertionError if it does not stop as it should."""
        self._client.close()
        status = self.daemon.stop()
        self._watch.join()
        assert status == 0, "".join(self.daemon.log)
        assert traces.marked(self._instance) == {}

    def run(self, fault: Fault) -> Row:
        """Run one fault among bystanders and return what came of it."""
        before = self._rest()
        with self._gate() as (gate, open_gate), self._gate() as (door, open_door):
            gates = [door] + [gate] * (BYSTANDERS - 1)
            crowd = [self._bystander(number, gate) for number, gate in enumerate(gates)]
            first = [crowd[0], crowd[1], *crowd[_OF_CPU:]]
            self._watch.until(lambda: all(self._begun(job_id) for job_id in first))
            request = SubmitRequest(
                kind=fault.kind,
                args=fault.args,
                priority=0,
                timeout_seconds=fault.timeout_s,
                max_attempts=1,
            )
            culprit = self._client.submit(request).value.job_id
            open_door()
            self._watch.until(lambda: self._watch.ended(culprit))
            open_gate()
            self._watch.until(lambda: all(self._watch.ended(job_id) for job_id in crowd))
        after = self._rest()
        return self._row(fault, culprit, crowd, [*self._strangers(), *self._more(before, after)])

    def _row(self, fault: Fault, culprit: str, crowd: list[str], left: Sequence[str]) -> Row:
        began, ended = self._watch.of(culprit, "job.processing")[0], self._watch.ended(culprit)
        assert ended is not None
        jobs = [self._client.get(job_id).value for job_id in crowd]
        return Row(
            fault,
            code=ended.job.status if ended.job.error is None else ended.job.error.code,
            seconds=(ended.timestamp - began.timestamp).total_seconds(),
            running=sum(self._ran_at(began, job_id) for job_id in crowd),
            completed=sum(_did_its_work(number, job) for number, job in enumerate(jobs)),
            charged=sum(job.charged_attempts > 0 for job in jobs),
            again=[_lane(number) for number, job in enumerate(jobs) if job.attempt > 1],
            left=left,
        )

    def _bystander(self, number: int, gate: Path) -> str:
        kind = "test.errand" if _lane(number) == "cpu" else "test.aerrand"
        args = {"gate": str(gate), "number": number}
        return self._client.submit(SubmitRequest(kind=kind, args=args)).value.job_id

    def _begun(self, job_id: str) -> bool:
        return bool(self._watch.of(job_id, "job.processing"))

    def _ran_at(self, moment: Seen, job_id: str) -> bool:
        """Whether a job was running at an event: it had begun before, and went on after it."""
        began = [seen.id for seen in self._watch.of(job_id, "job.processing")]
        ended = [
            seen.id
            for name in ("completed", "failed", "queued", "retrying")
            for seen in self._watch.of(job_id, f"job.{name}")
        ]
        return began[0] < moment.id < min(id_ for id_ in ended if id_ > began[0])

    @contextmanager
    def _gate(self) -> "Iterator[tuple[Path, Callable[[], None]]]":
        """Give a gate that is closed, and what opens it; at the end it is open in any case."""
        path = self._folder / f"gate-{next(self._numbers)}"
        os.mkfifo(path)
        ends = [os.open(path, os.O_RDWR)]

        def open_it() -> None:
            while ends:
                os.close(ends.pop())

        try:
            yield path, open_it
        finally:
            open_it()

    def _rest(self) -> traces.Held:
        """Return what the daemon holds when nothing runs and all its workers are ready."""
        self._until(self._is_at_rest)
        return traces.held(self.daemon.pid)

    def _is_at_rest(self) -> bool:
        workers = self._client.workers().value.workers
        states = sorted((worker.lane, worker.state) for worker in workers if not worker.job_ids)
        wanted = [("cpu", "ready")] * _CPU_WORKERS + [("cpu", "spare"), ("io", "ready")]
        settled = states == wanted == sorted((worker.lane, worker.state) for worker in workers)
        # what cut attempts have left is removed behind their end, with descriptors of its own
        return settled and not any(Layout(self._folder / "state").scratch.iterdir())

    def _until(self, met: Callable[[], object]) -> None:
        """Ask again and again: no event tells of a worker that stands by."""
        pause, deadline_s = threading.Event(), time.monotonic() + _PATIENCE_S
        while not met():
            assert time.monotonic() < deadline_s, self._client.workers().value
            pause.wait(0.01)

    def _strangers(self) -> list[str]:
        """Return the processes that no living worker answers for."""
        seen, children = traces.marked(self._instance), traces.children(self.daemon.pid)
        workers = {worker.worker_id: worker.pid for worker in self._client.workers().value.workers}
        strangers = [
            f"process {pid} of worker {of}" for pid, of in seen.items() if of not in workers
        ]
        return strangers + [f"child {pid}" for pid in children - set(workers.values())]

    def _more(self, before: traces.Held, after: traces.Held) -> list[str]:
        """Return what the daemon holds now and should not."""
        more = []
        if after.descriptors > before.descriptors:
            more.append(f"{before.descriptors} descriptors before, {after.descriptors} after")
        if after.threads > self._at_first.threads + _HELPING_THREADS:
            more.append(f"{self._at_first.threads} threads at first, {after.threads} after")
        return more


def started(folder: Path) -> Daemon:
    """Start a daemon that has the few workers and the short limits."""
    daemon = Daemon(folder)
    daemon.config.write_text(CONFIG)
    daemon.start()
    return daemon


def _lane(number: int) -> str:
    return "cpu" if number < _OF_CPU else "io"


def _did_its_work(number: int, job: JobDetail) -> bool:
    return job.status == "completed" and bytes(job.result) == str(number).encode()
