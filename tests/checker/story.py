"""A history told by hand, for the tests of the checker."""

import itertools
from typing import Any

from tests.checker import history


class Story:
    """A history in the order in which it is told: two clients, a job each, done and well."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._clock = itertools.count(1)
        self._numbers = itertools.count(1)

    def tell(self, op: str, **line: Any) -> None:
        self.lines.append({"op": op, "who": "audit", "at": next(self._clock), **line})

    def invoke(self, call: str, who: str = "a", **about: Any) -> int:
        n = next(self._numbers)
        self.tell("invoke", who=who, n=n, call=call, **about)
        return n

    def answer(self, n: int, job_id: str, status: str, who: str = "a", **more: Any) -> None:
        seen = {"job_id": job_id, "key": f"key of {job_id}", "status": status}
        self.tell("return", who=who, n=n, outcome="ok", **{**seen, **more})

    def call(self, call: str, job_id: str, status: str, who: str = "a", **more: Any) -> None:
        self.answer(self.invoke(call, who, job_id=job_id), job_id, status, who, **more)

    def without_answer(self, call: str, outcome: str = "unknown", **about: Any) -> None:
        n = self.invoke(call, **about)
        self.tell("return", who="a", n=n, outcome=outcome)

    def ran(self, op: str, job_id: str, run: str = "first", **more: Any) -> None:
        self.tell(op, who="pid-1", job_id=job_id, key=f"key of {job_id}", run=run, **more)

    def run(self, job_id: str, run: str = "first", **more: Any) -> None:
        self.ran("start", job_id, run, **more)
        self.ran("end", job_id, run)

    def final(self, job_id: str, status: str = "completed", **more: Any) -> None:
        self.tell("final", **{"job_id": job_id, "key": f"key of {job_id}", "status": status} | more)

    def begin(self) -> None:
        for who in ("a", "b"):
            self.call("submit", f"job {who}", "queued", who)

    def run_all(self) -> None:
        self.run("job a")
        self.run("job b")

    def finish(self) -> None:
        for job_id in ("job a", "job b"):
            self.final(job_id)

    def report(self) -> history.Report:
        return history.check(self.lines)

    def violations(self) -> dict[str, tuple[str, ...]]:
        return {kind: found for kind, found in self.report().by_kind() if found}
