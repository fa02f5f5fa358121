"""The history of a run with kills, and what in it breaks a promise. Imports nothing of jobd.

The history is a folder of `*.jsonl` files, which clients and handlers append to; each line
is an object with `op`, `who` and `at` (CLOCK_MONOTONIC in nanoseconds, one for the machine):

- `invoke`, before a client's call: `call` (submit, poll, cancel) and `n`, its number there.
- `return`, after it: `n`, `outcome` (ok, fail: it was refused, unknown: no answer came),
  and with ok `job_id`, `key` and `status`; the status `missing` says there is no such job.
- `final`, one per job that there is when all is over: `job_id`, `key`, `status`.
- `start` and `end`, by a handler that holds the lock of its job: `job_id`, `key`, `run`. A
  start without its end is closed by the death of its process, which sets the lock free.
- `overlap`, by a handler that found the lock of its job taken: `job_id`.

Not here: who writes it (clients.py, and `test.history` of the tests' plugin).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TERMINAL = frozenset({"completed", "failed", "cancelled"})
MISSING = "missing"
_MIN_CLIENTS = 2

Line = dict[str, Any]


class HistoryError(Exception):
    """The history proves nothing: it is empty, has one client, or cannot be read."""


@dataclass(frozen=True)
class Report:
    """What a history shows; each violation is a sentence that names the job or the key."""

    acknowledged: int
    attempts: int
    cut: int
    """Runs that did not end but were ended."""
    unknown: int
    """Calls without an answer."""
    lost: tuple[str, ...]
    changed: tuple[str, ...]
    overlaps: tuple[str, ...]
    doubled: tuple[str, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        return self.lost + self.changed + self.overlaps + self.doubled


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


def check(lines: Iterable[Line]) -> Report:
    """Return what the history shows; HistoryError when it proves nothing."""
    history = sorted(lines, key=lambda line: line["at"])
    answers = list(_answers(history))
    clients = {answer["who"] for answer in answers if answer["call"] == "submit"}
    runs = [line for line in history if line["op"] in ("start", "end", "overlap")]
    if len(clients) < _MIN_CLIENTS:
        raise HistoryError(f"{len(clients)} clients had a job acknowledged, which proves nothing")
    if not runs:
        raise HistoryError("no handler ran, which proves nothing")
    starts = [line for line in runs if line["op"] == "start"]
    ends = sum(line["op"] == "end" for line in runs)
    return Report(
        acknowledged=len({answer["job_id"] for answer in answers if answer["call"] == "submit"}),
        attempts=len(starts),
        cut=len(starts) - ends,
        unknown=sum(line.get("outcome") == "unknown" for line in history),
        lost=tuple(_lost(history, answers)),
        changed=tuple(_changed(history, answers, starts)),
        overlaps=tuple(_overlaps(runs)),
        doubled=tuple(_doubled(history, answers, starts)),
    )


def _answers(history: Sequence[Line]) -> Iterator[Line]:
    """Give the calls that were answered ok, each with its `call` and `invoked_at`."""
    invoked: dict[tuple[str, int], Line] = {}
    for line in history:
        if line["op"] == "invoke":
            invoked[line["who"], line["n"]] = line
        elif line["op"] == "return":
            call = invoked.pop((line["who"], line["n"]), None)
            if call is None:
                raise HistoryError(f"a return without its invoke: {line}")
            if line["outcome"] == "ok":
                yield {**line, "call": call["call"], "invoked_at": call["at"]}


def _lost(history: Sequence[Line], answers: Sequence[Line]) -> Iterator[str]:
    """Promise 1: an acknowledged job is there, always, and in the end it is done."""
    final = {line["job_id"]: line["status"] for line in history if line["op"] == "final"}
    for job_id in sorted({answer["job_id"] for answer in answers}):
        if job_id not in final:
            yield f"{job_id} was acknowledged and is not there in the end"
        elif final[job_id] not in TERMINAL:
            yield f"{job_id} was acknowledged and in the end is {final[job_id]}"
    for answer in answers:
        if answer["status"] == MISSING:
            yield f"{answer['job_id']} was acknowledged and {answer['who']} did not find it"


def _changed(
    history: Sequence[Line], answers: Sequence[Line], starts: Sequence[Line]
) -> Iterator[str]:
    """Promise 3: what was seen to be over stays as it was, and does not run again."""
    ended: dict[str, Line] = {}
    finals = [{**line, "invoked_at": line["at"]} for line in history if line["op"] == "final"]
    sightings = sorted([*answers, *finals], key=lambda line: line["at"])
    sightings = [seen for seen in sightings if seen["status"] != MISSING]  # that is lost
    for seen in sightings:
        if seen["status"] in TERMINAL:
            ended.setdefault(seen["job_id"], seen)
    for seen in sightings:
        end = ended.get(seen["job_id"])
        if end is None or seen["status"] == end["status"]:
            continue
        # an answer that was under way when the end was seen may be older than the end
        if seen["status"] in TERMINAL or seen["invoked_at"] > end["at"]:
            yield f"{seen['job_id']} was {end['status']} and then {seen['status']}"
    for start in starts:
        end = ended.get(start["job_id"])
        if end is not None and start["at"] > end["at"]:
            yield f"{start['job_id']} was {end['status']} and then ran"


def _overlaps(runs: Sequence[Line]) -> Iterator[str]:
    """Promise 4: when a run starts, the one before it has ended or its process is dead."""
    last: dict[str, str] = {}
    for line in runs:
        job_id = line["job_id"]
        if line["op"] == "overlap":
            yield f"{job_id} was started while its lock was held"
        elif line["op"] == "start":
            last[job_id] = line["run"]
        elif last.get(job_id) != line["run"]:
            yield f"{job_id} had a run that ended after the next one had started"


def _doubled(
    history: Sequence[Line], answers: Sequence[Line], starts: Sequence[Line]
) -> Iterator[str]:
    """Promise 2: whoever names a key, in an answer, a run or the end, means the same job."""
    jobs = defaultdict(set)
    finals = [line for line in history if line["op"] == "final"]
    for line in (*answers, *starts, *finals):
        jobs[line["key"]].add(line["job_id"])
    for key, job_ids in sorted(jobs.items()):
        if len(job_ids) > 1:
            yield f"{key} made {len(job_ids)} jobs: {', '.join(sorted(job_ids))}"
