"""What the checker of histories must not complain of, and what it must not judge at all."""

import json
from pathlib import Path

import pytest

from tests.checker import files, history
from tests.checker.story import Story


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
    story.ran("start", "job a", "cut", attempt=1)
    story.run("job a", attempt=2)
    story.run("job b")
    story.finish()

    assert story.report().violations == ()
    assert story.report().cut == 1


def test_a_submission_without_an_answer_may_be_nowhere(story: Story) -> None:
    story.begin()
    story.without_answer("submit", key="key of job c")
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


def test_a_deleted_job_may_be_gone(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("poll", "job a", "completed")
    story.call("delete", "job a", history.MISSING)
    story.call("poll", "job a", history.MISSING)
    story.final("job b")

    assert story.report().violations == ()


def test_a_delete_without_an_answer_may_have_been_done_or_not(story: Story) -> None:
    story.begin()
    story.run_all()
    story.without_answer("delete", job_id="job a")
    story.without_answer("delete", job_id="job b")
    story.final("job b")

    assert story.report().violations == ()


def test_a_job_whose_time_is_over_may_be_gone(story: Story) -> None:
    story.begin()
    story.run_all()
    story.tell("retire", job_id="job a")
    story.call("poll", "job a", history.MISSING)
    story.final("job b")

    assert story.report().violations == ()


def test_a_submission_that_was_refused_may_be_repeated(story: Story) -> None:
    story.begin()
    story.without_answer("submit", "fail", key="key of job c")
    n = story.invoke("submit", key="key of job c")
    story.answer(n, "job c", "queued")
    story.run_all()
    story.finish()
    story.final("job c")

    assert story.report().violations == ()


def test_a_run_may_begin_while_its_job_is_cancelled(story: Story) -> None:
    story.begin()
    story.call("cancel", "job a", "processing")
    story.run_all()
    story.final("job a", "cancelled")
    story.final("job b")

    assert story.report().violations == ()


def test_jobs_without_keys_are_not_one_job(story: Story) -> None:
    story.call("submit", "job a", "queued", "a", key=None)
    story.call("submit", "job b", "queued", "b", key=None)
    story.tell("start", job_id="job a", run="first")
    story.tell("end", job_id="job a", run="first")
    story.final("job a", key=None)
    story.final("job b", "cancelled", key=None)

    assert story.report().violations == ()


def test_a_state_on_which_nothing_ran_has_jobs_that_are_not_over(story: Story) -> None:
    story.begin()
    story.run_all()
    story.final("job a")
    story.final("job b", "processing")

    assert history.check(story.lines, all_over=False).violations == ()


def test_an_empty_history_is_an_error(story: Story) -> None:
    with pytest.raises(history.HistoryError, match="0 clients"):
        story.report()


def test_a_history_of_one_client_is_an_error(story: Story) -> None:
    story.call("submit", "job a", "queued")
    story.run("job a")
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
        files.read(tmp_path)
