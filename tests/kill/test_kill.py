"""Promises 1 to 4 under kill -9, and that the checker of the history catches each violation."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.kill import history, loop

CYCLES = 25


def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    result = loop.run(tmp_path, CYCLES, seed=1)

    print(result.table())  # noqa: T201 - shown with a failure
    assert result.report.violations == ()
    assert result.report.acknowledged > CYCLES
    assert result.report.cut > 0
    assert result.report.unknown > 0


class Story:
    """A history in the order in which it is told: two clients, a job each, done and well."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._clock = itertools.count(1)
        self._numbers = itertools.count(1)

    def tell(self, op: str, **line: Any) -> None:
        self.lines.append({"op": op, "who": "audit", "at": next(self._clock), **line})

    def invoke(self, call: str, who: str = "a") -> int:
        n = next(self._numbers)
        self.tell("invoke", who=who, n=n, call=call)
        return n

    def answer(self, n: int, job_id: str, status: str, who: str = "a", key: str = "") -> None:
        seen = {"job_id": job_id, "key": key or f"key of {job_id}", "status": status}
        self.tell("return", who=who, n=n, outcome="ok", **seen)

    def call(self, call: str, job_id: str, status: str, who: str = "a", key: str = "") -> None:
        self.answer(self.invoke(call, who), job_id, status, who, key)

    def ran(self, op: str, job_id: str, run: str = "first") -> None:
        self.tell(op, who="pid-1", job_id=job_id, key=f"key of {job_id}", run=run)

    def final(self, job_id: str, status: str = "completed", key: str = "") -> None:
        self.tell("final", job_id=job_id, key=key or f"key of {job_id}", status=status)

    def begin(self) -> None:
        for who in ("a", "b"):
            self.call("submit", f"job {who}", "queued", who)

    def run_all(self) -> None:
        for job_id in ("job a", "job b"):
            self.ran("start", job_id)
            self.ran("end", job_id)

    def finish(self) -> None:
        for job_id in ("job a", "job b"):
            self.final(job_id)

    def report(self) -> history.Report:
        return history.check(self.lines)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_good_history_has_no_violation(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("poll", "job a", "completed")
    story.finish()

    report = story.report()

    assert report.violations == ()
    assert (report.acknowledged, report.attempts, report.cut, report.unknown) == (2, 2, 0, 0)


def test_a_run_that_died_may_be_followed_by_another(story: Story) -> None:
    story.begin()
    story.ran("start", "job a", "cut")
    story.run_all()
    story.finish()

    assert story.report().violations == ()
    assert story.report().cut == 1


def test_a_submission_without_an_answer_may_be_nowhere(story: Story) -> None:
    story.begin()
    n = story.invoke("submit")
    story.tell("return", who="a", n=n, outcome="unknown")
    story.run_all()
    story.finish()

    assert story.report().violations == ()
    assert story.report().unknown == 1


def test_an_answer_under_way_may_be_older_than_the_end(story: Story) -> None:
    story.begin()
    story.run_all()
    n = story.invoke("poll", "b")
    story.call("poll", "job a", "completed")
    story.answer(n, "job a", "processing", "b")
    story.finish()

    assert story.report().violations == ()


def test_an_acknowledged_job_that_is_gone_is_lost(story: Story) -> None:
    story.begin()
    story.run_all()
    story.final("job a")

    assert story.report().lost == ("job b was acknowledged and is not there in the end",)


def test_an_acknowledged_job_that_never_ends_is_lost(story: Story) -> None:
    story.begin()
    story.run_all()
    story.final("job a")
    story.final("job b", "queued")

    assert story.report().lost == ("job b was acknowledged and in the end is queued",)


def test_an_acknowledged_job_that_was_not_found_once_is_lost(story: Story) -> None:
    story.begin()
    story.call("poll", "job a", history.MISSING)
    story.run_all()
    story.finish()

    assert story.report().lost == ("job a was acknowledged and a did not find it",)


@pytest.mark.parametrize("later", ["failed", "processing"])
def test_a_terminal_status_that_changed_is_caught(story: Story, later: str) -> None:
    story.begin()
    story.run_all()
    story.call("poll", "job a", "completed")
    story.call("poll", "job a", later, "b")
    story.finish()

    assert story.report().changed == (f"job a was completed and then {later}",)


def test_an_end_unlike_the_one_seen_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("cancel", "job a", "cancelled")
    story.finish()

    assert story.report().changed == ("job a was cancelled and then completed",)


def test_two_ends_are_caught_even_in_answers_under_way(story: Story) -> None:
    story.begin()
    story.run_all()
    n = story.invoke("poll", "b")
    story.call("poll", "job a", "completed")
    story.answer(n, "job a", "cancelled", "b")
    story.finish()

    assert story.report().changed == ("job a was completed and then cancelled",)


def test_a_run_after_the_end_is_caught(story: Story) -> None:
    story.begin()
    story.call("cancel", "job a", "cancelled")
    story.run_all()
    story.final("job a", "cancelled")
    story.final("job b")

    assert story.report().changed == ("job a was cancelled and then ran",)


def test_a_lock_that_was_held_is_an_overlap(story: Story) -> None:
    story.begin()
    story.ran("start", "job a")
    story.tell("overlap", who="pid-2", job_id="job a", key="key of job a")
    story.ran("end", "job a")
    story.finish()

    assert story.report().overlaps == ("job a was started while its lock was held",)


def test_a_run_that_ends_after_the_next_began_is_an_overlap(story: Story) -> None:
    story.begin()
    story.ran("start", "job a", "first")
    story.ran("start", "job a", "second")
    story.ran("end", "job a", "first")
    story.ran("end", "job a", "second")
    story.finish()

    said = "job a had a run that ended after the next one had started"
    assert story.report().overlaps == (said,)


def test_a_key_with_two_acknowledged_jobs_is_caught(story: Story) -> None:
    story.begin()
    story.call("submit", "job b", "queued", key="key of job a")
    story.run_all()
    story.finish()

    assert story.report().doubled == ("key of job a made 2 jobs: job a, job b",)


def test_a_second_job_that_nobody_was_told_of_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.finish()
    story.final("job c", key="key of job a")

    assert story.report().doubled == ("key of job a made 2 jobs: job a, job c",)


def test_an_empty_history_is_an_error(story: Story) -> None:
    with pytest.raises(history.HistoryError, match="0 clients"):
        story.report()


def test_a_history_of_one_client_is_an_error(story: Story) -> None:
    story.call("submit", "job a", "queued")
    story.ran("start", "job a")
    story.ran("end", "job a")
    story.final("job a")

    with pytest.raises(history.HistoryError, match="1 clients"):
        story.report()


def test_a_history_without_a_run_is_an_error(story: Story) -> None:
    story.begin()
    story.finish()

    with pytest.raises(history.HistoryError, match="no handler ran"):
        story.report()


def test_a_return_without_its_invoke_is_an_error(story: Story) -> None:
    story.answer(99, "job a", "queued")

    with pytest.raises(history.HistoryError, match="without its invoke"):
        story.report()


def test_a_torn_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"op": "invoke"}) + '\n{"op": "ret')

    with pytest.raises(history.HistoryError, match=r"a\.jsonl:2"):
        history.read(tmp_path)
