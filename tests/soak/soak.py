"""One soak: a daemon, those who use it, who does it harm, and what is looked at meanwhile.

The first quarter or so is the storm, in which the daemon itself is killed and restarted in turns;
after that it lives on, with every other fault going on, and what it uses has to stay flat
over the second half. In the end everything is over, then everything is deleted, and what is
left has to be nothing.

Not here: the command and what it prints (run.py).
"""

import http.client
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checker import files, history
from tests.soak import nemesis, plans, samples
from tests.soak.crowd import Client, Shared
from tests.soak.floods import AT_HAND, Flooder
from tests.soak.house import PATIENCE_S, House, ask
from tests.soak.nemesis import Nemesis
from tests.soak.passers import Filler, Lurker, Watcher
from tests.soak.receiver import Receiver
from tests.soak.samples import Growth, Sample

CLIENTS = 3
_STORM = 0.25
_SWEPT_AFTER_S = 630.0
_SETTLED_AFTER_S = 120.0
"""The first sweep and the first looks of retention, after the start of a daemon."""
_REST_FDS, _REST_THREADS = 6, min(32, (os.cpu_count() or 1) + 4) + 4
"""By how much descriptors and threads at rest may differ from those before all work: the
threads that asyncio and libuv keep for what blocks come with the first such work, and stay."""
_FDS_OF_A_WORKER = 10
_KINDS_AND_WORKERS = 200
"""By how much anything in the daemon's memory may differ: some things are known of each kind, of
each worker, or of each kind in each worker; nothing of a job, a request or a dead worker."""
_MORE_WORKERS = 2
"""Spare ones, which come a while after the start."""
_FLOODED_FROM_S = 300.0
"""From then on there is time for each thing that is done to a flood, on a busy machine too."""
_TOLD_S = 300.0
"""A receiver that was down is asked by one probe, each twice as late as the one before, and gets
what has waited at ten a second first."""
_NO_MORE = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)
_NEVER_SAID = ("Traceback", '"level":"error"', '"level":"critical"')
_MAY_BE_SAID = ("Workers die before they are ready", "A worker wrote: ")
"""When one is killed that has only begun; when a thread of a cancelled handler complains."""


@dataclass
class Result:
    """What a soak came to."""

    seconds: float
    samples: list[Sample]
    growths: list[Growth]
    counts: Counter[str]
    report: history.Report
    wrong: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        return [*self.report.violations, *self.wrong]


class Soak:
    """A run of `seconds` in a folder."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self._seconds = seconds
        self._seed = seed
        self._notes = folder / "history"
        self._notes.mkdir()
        self._house = House(folder)
        self._receiver = Receiver(seed)
        self._shared = Shared(self._house, self._receiver, self._notes)
        self._flooder = Flooder(seed, self._shared, min(max(seconds / 30, 1.0), 6.0))
        self._samples: list[Sample] = []
        self._growths: list[Growth] = []
        self._began_s = time.monotonic()
        self._alone_since_s = 0.0
        """When the daemon was started last."""
        self._planted: list[Path] = []

    def run(self) -> Result:
        """Return what it came to; AssertionError when it did not even work."""
        try:
            self._house.start()
            before, held = self._rested(), self._house.held()
            self._planted = nemesis.plant(self._house.state)
            with ThreadPoolExecutor(16) as threads:
                self._live(threads)
            self._judge_growth(before)
            self._audit()
            self._delete_jobs()
            self._delete_uploads()
            self._judge_rest(before, held)
            assert self._house.stop() == 0, "".join(self._house.log[-50:])
            self._shared.wrong += self._house.left_behind()
        finally:
            self._house.close()
            self._receiver.down()
        self._judge_log()
        report = history.check(files.read(self._notes))
        counts = self._counts()
        seconds = time.monotonic() - self._began_s
        wrong = [*self._shared.wrong, *self._missing(counts)]
        return Result(seconds, self._samples, self._growths, counts, report, wrong)

    def _rested(self) -> Sample:
        """Return a sample of a daemon that has run a job of each lane, and has nothing to do."""
        for kind in ("test.echo", "test.aecho"):
            self._run_one(kind)
        return self._take()

    def _run_one(self, kind: str) -> None:
        body = {"kind": kind, "args": {}}
        headers = {"Prefer": "wait=30; until=done"}
        for _try in range(200):
            reply = ask(self._house.socket, "POST", "/v1/jobs", body, headers)
            if reply.ok:
                assert reply.document["status"] == "completed", reply
                return
            self._shared.stop.wait(0.05)  # handlers are not known at once
        raise AssertionError(reply)

    def _live(self, threads: ThreadPoolExecutor) -> None:
        """Let everybody work for the time given, then until what they have begun is over."""
        every_s = min(max(self._seconds / 60, 0.7), 4.0)
        workers: list[Any] = [Client(n, self._seed, self._shared) for n in range(CLIENTS)]
        workers += [Filler(0, self._seed, self._shared), Lurker(0, self._seed, self._shared)]
        workers += [Watcher(n, self._seed, self._shared) for n in range(2)]
        workers.append(Nemesis(self._seed, self._shared, every_s))
        workers.append(self._flooder)
        going = [threads.submit(worker.run) for worker in workers]
        try:
            self._storm(going)
            self._watch(going, time.monotonic() + self._seconds * (1 - _STORM))
            late_s = time.monotonic() + PATIENCE_S
            while self._missing(self._counts()) and time.monotonic() < late_s:
                self._watch(going, time.monotonic() + 1)  # the machine is busy
        finally:
            self._shared.stop.set()
        self._receiver.get_well()
        nemesis.resume(self._house.socket)
        for one in going:
            one.result()

    def _storm(self, going: list[Future[None]]) -> None:
        """Kill the daemon and restart it, in turns."""
        every_s = min(max(self._seconds / 12, 2.5), 12.0)
        deeds = {"kill the daemon": self._house.kill, "restart the daemon": self._house.restart}
        turn_s = self._began_s + every_s
        end_s = self._began_s + self._seconds * _STORM
        while True:
            for name, deed in deeds.items():
                self._watch(going, turn_s)
                deed()
                self._shared.counts[f"fault: {name}"] += 1
                self._alone_since_s = time.monotonic() - self._began_s
                turn_s = time.monotonic() + every_s
            if turn_s > end_s:
                return

    def _watch(self, going: list[Future[None]], until_s: float) -> None:
        """Take samples until then; raises what a thread has raised."""
        every_s = min(max(self._seconds / 200, 0.25), 2.0)
        while time.monotonic() < until_s:
            self._samples.append(self._take())
            self._shared.stop.wait(min(every_s, max(0, until_s - time.monotonic())))
            for one in going:
                if one.done():
                    one.result()

    def _take(self) -> Sample:
        at_s = time.monotonic() - self._began_s
        counts = dict(self._shared.counts)  # others are counting
        keys = sum(n for name, n in counts.items() if name.startswith("job: "))
        return samples.take(self._house.pid, self._house.state, at_s, keys)

    def _judge_growth(self, before: Sample) -> None:
        half_s = self._samples[-1].at_s - self._seconds / 2
        judged = [sample for sample in self._samples if sample.at_s >= half_s]
        settled = half_s - self._alone_since_s >= _SETTLED_AFTER_S
        self._growths = samples.growths(judged, settled=settled)
        self._shared.wrong += [f"not flat: {one}" for one in self._growths if not one.flat]
        if (most_kb := max(one.wal for one in self._samples)) > samples.MAX_WAL_KB:
            self._shared.wrong.append(f"the WAL had {most_kb} KiB")
        if (
            most_kb := max(one.rss for one in self._samples) - before.rss
        ) > samples.MAX_MORE_RSS_KB:
            self._shared.wrong.append(f"the daemon had {most_kb} KiB more than before all work")
        if lasting := samples.lasting_zombies(self._samples):
            self._shared.wrong.append(f"zombies that nobody collects: {sorted(lasting)}")
        if settled and self._alone_since_s + _SWEPT_AFTER_S < self._samples[-1].at_s:
            left = [str(file) for file in self._planted if file.exists()]
            self._shared.counts["swept"] += len(self._planted) - len(left)
            self._shared.wrong += [f"{file} was not swept" for file in left]
        nemesis.dig_up(self._planted, self._house.state)

    def _audit(self) -> None:
        """Wait until every job that is there is over, and every callback is told."""
        deadline_s = time.monotonic() + PATIENCE_S
        while (left := list(self._unfinished())) and time.monotonic() < deadline_s:
            url = f"/v1/jobs/{left[0]['job_id']}"
            ask(self._house.socket, "GET", url, None, {"Prefer": "wait=5; until=done"})
        self._shared.wrong += [f"{job['job_id']} is {job['status']} in the end" for job in left]
        missing = self._receiver.missing(self._shared.told, _TOLD_S)
        dead = len(self._house.said("A delivery is dead."))
        self._shared.counts["callbacks told"] = len(self._shared.told) - len(missing)
        self._shared.counts["callbacks dead"] = dead
        if len(missing) > dead:
            self._shared.wrong.append(
                f"nobody was told of {len(missing)}, of which {dead} are dead: "
                + "; ".join(map(self._deliveries_of, sorted(missing)[:5]))
            )

    def _deliveries_of(self, job_id: str) -> str:
        """Return what the daemon says of the deliveries of a job."""
        listed = ask(self._house.socket, "GET", f"/v1/webhook-deliveries?job_id={job_id}")
        of_job = listed.document["deliveries"] if listed.ok else listed.document
        return f"{job_id}: {of_job}"

    def _unfinished(self) -> Iterator[dict[str, Any]]:
        query = "status=scheduled&status=queued&status=processing&status=retrying"
        reply = ask(self._house.socket, "GET", f"/v1/jobs?{query}")
        assert reply.ok, reply
        yield from reply.document["jobs"]

    def _delete_jobs(self) -> None:
        while jobs := ask(self._house.socket, "GET", "/v1/jobs?page_size=100").document["jobs"]:
            for job in jobs:
                reply = ask(self._house.socket, "DELETE", f"/v1/jobs/{job['job_id']}")
                assert reply.ok or reply.status in _NO_MORE, reply

    def _delete_uploads(self) -> None:
        for file_id in self._shared.uploads:
            reply = ask(self._house.socket, "DELETE", f"/v1/uploads/{file_id}")
            assert reply.ok, reply

    def _judge_rest(self, before: Sample, held: Counter[str]) -> None:
        """Look whether a daemon that has nothing left is as it was before it had anything."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            wrong = [*self._unlike(before, self._take()), *self._kept(held)]
            if not wrong or time.monotonic() > deadline_s:
                break
            self._run_one("test.echo")  # what ends later than its job does, ends meanwhile
            self._delete_jobs()
        self._shared.wrong += wrong

    def _unlike(self, before: Sample, after: Sample) -> list[str]:
        more_workers = max(0, after.children - before.children)
        most = {
            "fds": before.fds + _REST_FDS + _FDS_OF_A_WORKER * more_workers,
            "threads": before.threads + _REST_THREADS,
            "children": before.children + _MORE_WORKERS,
            "zombies": 0,
            "artifacts": before.artifacts,
            "logs": before.logs,
            # a killed daemon leaves those of its attempts, until they are an hour old
            "scratch": 2 * 200 * self._shared.counts["fault: kill the daemon"],
        }
        return [
            f"{name} at rest: {getattr(after, name)}, and {getattr(before, name)} before all work"
            for name, highest in most.items()
            if getattr(after, name) > highest
        ]

    def _kept(self, before: Counter[str]) -> list[str]:
        """Return what the daemon has in its memory of what is gone."""
        after = self._house.held()
        self._shared.counts["most that memory has more of at rest"] = max(
            (after - before).values(), default=0
        )
        return [
            f"in memory at rest: {count} more of {name}"
            for name, count in (after - before).items()
            if count > _KINDS_AND_WORKERS
        ]

    def _judge_log(self) -> None:
        never = [line for what in _NEVER_SAID for line in self._house.said(what)]
        bad = [line for line in never if not any(may in line for may in _MAY_BE_SAID)]
        self._shared.wrong += [f"the daemon said: {line:.2000}" for line in bad[:5]]

    def _counts(self) -> Counter[str]:
        """Return how often what has happened so far; others may be counting."""
        moods = {f"callback: {mood}": n for mood, n in dict(self._receiver.moods).items()}
        counts = dict(self._shared.counts)
        return Counter(counts) + Counter(moods) + self._house.log_counts()

    def _missing(self, counts: Counter[str]) -> list[str]:
        """Return what has to happen in every soak and did not."""
        faults = [*Nemesis(0, self._shared, 1).deeds]
        faults += ["fault: kill the daemon", "fault: restart the daemon"]
        if self._seconds >= _FLOODED_FROM_S:
            faults += [*self._flooder.deeds, AT_HAND]
        jobs = [f"job: {plan.name}" for plan in (*plans.PLANS, plans.BRIEF)]
        done = ["event", "stream", "callback: ok", "deleted", "retried", "end: cancelled"]
        expected = [*faults, *jobs, *done, "long poll that went away", "call without an answer"]
        return [f"this never happened: {what}" for what in expected if not counts[what]]
