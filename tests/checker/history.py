"""The history of a run with faults, and what in it breaks a promise. Imports nothing of jobd.

A history is a sequence of objects, its lines. Each has `op`, `who` and `at`: a number that
grows with time, the same clock for all who write (CLOCK_MONOTONIC in nanoseconds between
processes, a counter inside one). Lines of the same `at` may have been in any order.

- `invoke`, before a client's call: `n`, its number there, `call`, and `key` or, if the call is
  about a job, its `job_id`. Calls that are judged: submit, retry, cancel, delete, poll.
- `return`, after it: `n` and `outcome`: ok, fail (it was refused: nothing was done) or unknown
  (no answer, or one that says so). With ok `job_id`, `key` and `status`; the status `missing`
  says that there is no such job, as it does of a delete. Of a retry the job is the new one, and
  its key is one that no other job may have, such as `retry of <job_id>`.
- `start` and `end`, by a handler or whoever plays one: `job_id`, `key`, `run` (never the same
  twice) and `attempt`. A start without its end was ended from outside: its process died.
- `overlap`, by a handler that found another run of its job alive: `job_id`.
- `settled`, by whoever was told that the outcome of an attempt is written: `job_id`, `run`,
  `status`.
- `retire`, when a job that was seen to be over has been kept for as long as was asked: it may
  be gone from now on: `job_id`.
- `final`, one per job that there is when all is over: `job_id`, `key`, `status`, and
  `most_runs`, so many runs that it may have had.

- `owed`, an event that is there when all is over, and who has to be told of it: `event`, any
  value that is only its own, and `to`, receivers, maybe none. `message`, one per message that
  there is then: `event` and `message`. `delivery`, one per delivery: `message`, `receiver`,
  `status`, `attempts`, whether it is `due` once more, the `reason` if it is dead, and `too_old`
  if its schedule is over anyway.
- `received`, by a receiver, whatever it answered: `message`, `receiver`, and `body`, any value
  that stands for it.

Optional everywhere: `key` (null: the job has none), `attempt`, `most_runs`, and `result`, on
lines with a status: any value that stands for what came out.

Not here: promise 9 (told.py), who writes it (tests/kill/clients.py, `test.history` of the
tests' plugin, the simulation), the files it may be in (files.py).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tests.checker.told import untold

TERMINAL = frozenset({"completed", "failed", "cancelled"})
MISSING = "missing"
_MIN_CLIENTS = 2
_MAKES_A_JOB = ("submit", "retry")

Line = dict[str, Any]


class HistoryError(Exception):
    """The history proves nothing: it is empty, has one client, or cannot be read."""


@dataclass(frozen=True)
class Report:
    """What a history shows; each violation is a sentence that names the job or the key."""

    acknowledged: int
    """Jobs that a client was told of."""
    attempts: int
    cut: int
    """Runs that did not end but were ended."""
    unknown: int
    """Calls without an answer."""
    owed: int
    """Events that somebody had to be told of."""
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    guessed: tuple[str, ...]
    changed: tuple[str, ...]
    overlaps: tuple[str, ...]
    endless: tuple[str, ...]
    untold: tuple[str, ...]

    @property
    def violations(self) -> tuple[str, ...]:
        return tuple(said for _name, found in self.by_kind() for said in found)

    def by_kind(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Give each kind of violation and those of it."""
        for field in fields(self):
            found = getattr(self, field.name)
            if isinstance(found, tuple):
                yield field.name, found


def check(lines: Iterable[Line], *, all_over: bool = True) -> Report:
    """Return what the history shows; HistoryError when it proves nothing.

    `all_over=False`: the finals are what was found in a state on which nothing was run since,
    so that jobs need not have ended.
    """
    told = _Told(lines)
    return Report(
        acknowledged=len({one["job_id"] for one in told.answers if one["call"] in _MAKES_A_JOB}),
        attempts=len(told.starts),
        cut=len(told.starts) - len(told.ends),
        unknown=sum(line.get("outcome") == "unknown" for line in told.lines),
        owed=sum(line["op"] == "owed" and bool(line["to"]) for line in told.lines),
        lost=tuple(_lost(told)),
        doubled=tuple(_doubled(told)),
        guessed=tuple(_guessed(told)),
        changed=(*_changed(told), *_came_back(told), *_ran_after(told), *_settled_badly(told)),
        overlaps=(*_overlaps(told), *_numbered_twice(told)),
        endless=(*(_endless(told) if all_over else ()), *_ran_too_often(told)),
        untold=tuple(untold(told.lines)),
    )


class _Told:
    """The lines, sorted by what they are."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.lines = sorted(lines, key=lambda line: line["at"])
        self.invokes = self._of("invoke")
        self.starts = self._of("start")
        self.ends = self._of("end")
        self.settled = self._of("settled")
        self.runs = self._of("start", "end", "overlap")
        self.answers = list(_answers(self.lines))
        self.finals = [{**line, "invoked_at": line["at"]} for line in self._of("final")]
        self.final = {line["job_id"]: line for line in self.finals}
        self.may_go = self._may_go()
        sightings = sorted([*self.answers, *self.finals], key=lambda line: line["at"])
        self.deleted = {one["job_id"]: one for one in self.answers if one["call"] == "delete"}
        seen = [one for one in sightings if one.get("call") != "delete"]
        self.missed = [one for one in seen if one["status"] == MISSING]
        self.seen = [one for one in seen if one["status"] != MISSING]
        clients = {one["who"] for one in self.answers if one["call"] in _MAKES_A_JOB}
        if len(clients) < _MIN_CLIENTS:
            raise HistoryError(f"{len(clients)} clients had a job acknowledged: no proof")
        if not self.runs:
            raise HistoryError("no handler ran, which proves nothing")

    def _of(self, *ops: str) -> list[Line]:
        return [line for line in self.lines if line["op"] in ops]

    def _may_go(self) -> dict[str, Any]:
        """Return since when a job may be gone: somebody has asked for it, or its time is over."""
        refused = {
            (line["who"], line["n"])
            for line in self.lines
            if line["op"] == "return" and line["outcome"] == "fail"
        }
        since: dict[str, Any] = {}
        for line in self.lines:
            asked = line["op"] == "invoke" and line["call"] == "delete"
            if line["op"] == "retire" or (asked and (line["who"], line["n"]) not in refused):
                since.setdefault(line["job_id"], line["at"])
        return since


def _answers(lines: Sequence[Line]) -> Iterator[Line]:
    """Give the calls that were answered ok, each with its `call` and `invoked_at`."""
    invoked: dict[tuple[str, int], Line] = {}
    for line in lines:
        if line["op"] == "invoke":
            invoked[line["who"], line["n"]] = line
        elif line["op"] == "return":
            call = invoked.pop((line["who"], line["n"]), None)
            if call is None:
                raise HistoryError(f"a return without its invoke: {line}")
            if line["outcome"] == "ok":
                yield {**line, "call": call["call"], "invoked_at": call["at"]}


def _lost(told: _Told) -> Iterator[str]:
    """Promise 1: what was acknowledged, or has run, is there, always."""
    ran = {start["job_id"] for start in told.starts}
    acknowledged = {answer["job_id"] for answer in told.answers}
    for job_id in sorted(acknowledged | ran):
        if job_id not in told.final and job_id not in told.may_go:
            how = "was acknowledged" if job_id in acknowledged else "ran"
            yield f"{job_id} {how} and is not there in the end"
    for missed in told.missed:
        job_id = missed["job_id"]
        if job_id not in told.may_go or told.may_go[job_id] > missed["at"]:
            yield f"{job_id} was acknowledged and {missed['who']} did not find it"


def _doubled(told: _Told) -> Iterator[str]:
    """Promise 2: whoever names a key, in an answer, a run or the end, means the same job."""
    jobs = defaultdict(set)
    for line in (*told.answers, *told.starts, *told.finals):
        if line.get("key") is not None:
            jobs[line["key"]].add(line["job_id"])
    for key, job_ids in sorted(jobs.items()):
        if len(job_ids) > 1:
            yield f"{key} made {len(job_ids)} jobs: {', '.join(sorted(job_ids))}"


def _guessed(told: _Told) -> Iterator[str]:
    """Promise 2: a submission that was refused has made no job; else it should not say so."""
    refused = {(line["who"], line["n"]) for line in told.lines if line.get("outcome") == "fail"}
    tries: dict[str, set[bool]] = defaultdict(set)
    for line in told.invokes:
        if line["call"] == "submit" and line.get("key") is not None:
            tries[line["key"]].add((line["who"], line["n"]) in refused)
    made = {line.get("key") for line in (*told.seen, *told.starts)}
    for key in sorted(key for key, was_refused in tries.items() if was_refused == {True}):
        if key in made:
            yield f"{key} was refused and made a job"


def _changed(told: _Told) -> Iterator[str]:
    """Promise 3: what was seen to be over stays as it was, its result too."""
    ended: dict[str, Line] = {}
    for seen in told.seen:
        if seen["status"] in TERMINAL:
            ended.setdefault(seen["job_id"], seen)
    for seen in told.seen:
        end = ended.get(seen["job_id"])
        if end is None:
            continue
        if seen["status"] != end["status"]:
            # an answer that was under way when the end was seen may be older than the end
            if seen["status"] in TERMINAL or seen["invoked_at"] > end["at"]:
                yield f"{seen['job_id']} was {end['status']} and then {seen['status']}"
        elif "result" in seen and "result" in end and seen["result"] != end["result"]:
            yield f"{seen['job_id']} came to {end['result']!r} and then to {seen['result']!r}"


def _came_back(told: _Told) -> Iterator[str]:
    """Promise 3: what is gone stays gone."""
    gone = dict(told.deleted)
    for missed in told.missed:
        if missed["job_id"] in told.may_go:
            gone.setdefault(missed["job_id"], missed)
    for seen in told.seen:
        since = gone.get(seen["job_id"])
        if since is not None and seen["invoked_at"] > since["at"]:
            yield f"{seen['job_id']} was gone and then {seen['status']}"


def _ran_after(told: _Told) -> Iterator[str]:
    """Promise 3: what is over does not run again, and what ran has completed by a run."""
    over: dict[str, Line] = {}
    for seen in told.seen:
        if seen["status"] in TERMINAL:
            over.setdefault(seen["job_id"], seen)
    for start in told.starts:
        end = over.get(start["job_id"])
        if end is not None and start["at"] > end["at"]:
            yield f"{start['job_id']} was {end['status']} and then ran"
    ended = {end["job_id"] for end in told.ends}
    for job_id in sorted({start["job_id"] for start in told.starts} - ended):
        if job_id in over and over[job_id]["status"] == "completed":
            yield f"{job_id} is completed and none of its runs has ended"


def _settled_badly(told: _Told) -> Iterator[str]:
    """Promise 3: one attempt writes how the job ended, and it is the newest."""
    newest: dict[str, str] = {}
    ended: dict[str, str] = {}
    for line in told.lines:
        job_id = line.get("job_id", "")
        if line["op"] == "start":
            newest[job_id] = line["run"]
        elif line["op"] == "settled":
            if newest.get(job_id, line["run"]) != line["run"]:
                yield f"{job_id} took an outcome of a run that was not its newest"
            if job_id in ended:
                yield f"{job_id} was settled as {ended[job_id]} and then as {line['status']}"
            elif line["status"] in TERMINAL:
                ended[job_id] = line["status"]


def _overlaps(told: _Told) -> Iterator[str]:
    """Promise 4: when a run starts, the one before it has ended or its process is dead."""
    last: dict[str, str] = {}
    for line in told.runs:
        job_id = line["job_id"]
        if line["op"] == "overlap":
            yield f"{job_id} was started while its lock was held"
        elif line["op"] == "start":
            last[job_id] = line["run"]
        elif last.get(job_id) != line["run"]:
            yield f"{job_id} had a run that ended after the next one had started"


def _numbered_twice(told: _Told) -> Iterator[str]:
    """Promise 4: attempts are told apart; a claim that was lost would give its number again."""
    last: dict[str, int] = {}
    for start in told.starts:
        if "attempt" not in start:
            continue
        job_id, attempt = start["job_id"], start["attempt"]
        if attempt <= last.get(job_id, 0):
            yield f"{job_id} began attempt {attempt} after attempt {last[job_id]}"
        last[job_id] = attempt


def _endless(told: _Told) -> Iterator[str]:
    """Promise 7: in the end every job is over, acknowledged or not."""
    for line in told.finals:
        if line["status"] not in TERMINAL:
            yield f"{line['job_id']} is {line['status']} in the end"


def _ran_too_often(told: _Told) -> Iterator[str]:
    """Promise 7: runs are bounded, and a cancelled job has at most the one that was under way."""
    count = Counter(start["job_id"] for start in told.starts)
    for line in told.finals:
        if count[line["job_id"]] > line.get("most_runs", count[line["job_id"]]):
            yield f"{line['job_id']} ran {count[line['job_id']]} times"
    cancelled: dict[str, Any] = {}
    for answer in told.answers:
        if answer["call"] == "cancel" and answer["status"] != MISSING:
            cancelled.setdefault(answer["job_id"], answer["at"])
    after = Counter(
        start["job_id"]
        for start in told.starts
        if start["job_id"] in cancelled and start["at"] > cancelled[start["job_id"]]
    )
    for job_id, runs in sorted(after.items()):
        if runs > 1:
            yield f"{job_id} ran {runs} times after it was cancelled"
