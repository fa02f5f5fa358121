"""Each violation of a promise, told by hand, is caught, and nothing else is found beside it."""

import pytest

from tests.checker import history
from tests.checker.story import Story

# promise 1


def test_an_acknowledged_job_that_is_gone_is_lost(story: Story) -> None:
    story.begin()
    story.run_all()
    story.final("job a")

    assert story.violations() == {"lost": ("job b was acknowledged and is not there in the end",)}


def test_a_job_that_ran_and_is_gone_is_lost(story: Story) -> None:
    story.begin()
    story.run_all()
    story.run("job c")
    story.finish()

    assert story.violations() == {"lost": ("job c ran and is not there in the end",)}


def test_an_acknowledged_job_that_was_not_found_once_is_lost(story: Story) -> None:
    story.begin()
    story.call("poll", "job a", history.MISSING)
    story.run_all()
    story.finish()

    assert story.violations() == {"lost": ("job a was acknowledged and a did not find it",)}


def test_a_job_that_is_gone_before_it_was_deleted_is_lost(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("poll", "job a", history.MISSING)
    story.call("delete", "job a", history.MISSING)
    story.final("job b")

    assert story.violations() == {"lost": ("job a was acknowledged and a did not find it",)}


def test_a_job_that_is_gone_though_its_delete_was_refused_is_lost(story: Story) -> None:
    story.begin()
    story.run_all()
    story.without_answer("delete", "fail", job_id="job a")
    story.final("job b")

    assert story.violations() == {"lost": ("job a was acknowledged and is not there in the end",)}


def test_a_retry_that_is_gone_is_lost(story: Story) -> None:
    story.begin()
    story.call("cancel", "job a", "cancelled")
    story.call("retry", "job c", "queued", key="retry of job a")
    story.run("job b")
    story.final("job a", "cancelled")
    story.final("job b")

    assert story.violations() == {"lost": ("job c was acknowledged and is not there in the end",)}


# promise 2


def test_a_key_with_two_acknowledged_jobs_is_caught(story: Story) -> None:
    story.begin()
    story.call("submit", "job b", "queued", key="key of job a")
    story.run_all()
    story.finish()

    assert story.violations() == {"doubled": ("key of job a made 2 jobs: job a, job b",)}


def test_a_second_job_that_nobody_was_told_of_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.finish()
    story.final("job c", key="key of job a")

    assert story.violations() == {"doubled": ("key of job a made 2 jobs: job a, job c",)}


def test_a_job_that_was_retried_twice_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    for copy in ("job c", "job d"):
        story.call("retry", copy, "queued", key="retry of job a")
        story.final(copy, key="retry of job a")
    story.finish()

    assert story.violations() == {"doubled": ("retry of job a made 2 jobs: job c, job d",)}


def test_a_refused_submission_that_made_a_job_is_caught(story: Story) -> None:
    story.begin()
    story.without_answer("submit", "fail", key="key of job c")
    story.run_all()
    story.finish()
    story.final("job c")

    assert story.violations() == {"guessed": ("key of job c was refused and made a job",)}


# promise 3


@pytest.mark.parametrize("later", ["failed", "processing"])
def test_a_terminal_status_that_changed_is_caught(story: Story, later: str) -> None:
    story.begin()
    story.run_all()
    story.call("poll", "job a", "completed")
    story.call("poll", "job a", later, "b")
    story.finish()

    assert story.violations() == {"changed": (f"job a was completed and then {later}",)}


def test_an_end_unlike_the_one_seen_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("cancel", "job a", "cancelled")
    story.finish()

    assert story.violations() == {"changed": ("job a was cancelled and then completed",)}


def test_two_ends_are_caught_even_in_answers_under_way(story: Story) -> None:
    story.begin()
    story.run_all()
    n = story.invoke("poll", "b")
    story.call("poll", "job a", "completed")
    story.answer(n, "job a", "cancelled", "b")
    story.finish()

    assert story.violations() == {"changed": ("job a was completed and then cancelled",)}


def test_a_result_that_changed_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("poll", "job a", "completed", result=1)
    story.final("job a", result=2)
    story.final("job b", result=1)

    assert story.violations() == {"changed": ("job a came to 1 and then to 2",)}


def test_a_run_after_the_end_is_caught(story: Story) -> None:
    story.begin()
    story.call("cancel", "job a", "cancelled")
    story.run_all()
    story.final("job a", "cancelled")
    story.final("job b")

    assert story.violations() == {"changed": ("job a was cancelled and then ran",)}


def test_a_job_that_completed_without_a_run_to_its_end_is_caught(story: Story) -> None:
    story.begin()
    story.ran("start", "job a")
    story.run("job b")
    story.finish()

    said = "job a is completed and none of its runs has ended"
    assert story.violations() == {"changed": (said,)}


def test_a_deleted_job_that_comes_back_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.call("delete", "job a", history.MISSING)
    story.finish()

    assert story.violations() == {"changed": ("job a was gone and then completed",)}


def test_a_second_outcome_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.tell("settled", job_id="job a", run="first", status="completed")
    story.tell("settled", job_id="job a", run="first", status="failed")
    story.finish()

    said = "job a was settled as completed and then as failed"
    assert story.violations() == {"changed": (said,)}


def test_an_outcome_of_a_run_that_has_a_successor_is_caught(story: Story) -> None:
    story.begin()
    story.ran("start", "job a", "cut")
    story.run_all()
    story.tell("settled", job_id="job a", run="cut", status="completed")
    story.finish()

    said = "job a took an outcome of a run that was not its newest"
    assert story.violations() == {"changed": (said,)}


# promise 4


def test_a_lock_that_was_held_is_an_overlap(story: Story) -> None:
    story.begin()
    story.ran("start", "job a")
    story.tell("overlap", who="pid-2", job_id="job a", key="key of job a")
    story.ran("end", "job a")
    story.finish()

    assert story.violations() == {"overlaps": ("job a was started while its lock was held",)}


def test_a_run_that_ends_after_the_next_began_is_an_overlap(story: Story) -> None:
    story.begin()
    story.ran("start", "job a", "first")
    story.ran("start", "job a", "second")
    story.ran("end", "job a", "first")
    story.ran("end", "job a", "second")
    story.finish()

    said = "job a had a run that ended after the next one had started"
    assert story.violations() == {"overlaps": (said,)}


def test_an_attempt_whose_number_is_given_twice_is_caught(story: Story) -> None:
    story.begin()
    story.ran("start", "job a", "cut", attempt=1)
    story.run("job a", attempt=1)
    story.run("job b", attempt=1)
    story.finish()

    assert story.violations() == {"overlaps": ("job a began attempt 1 after attempt 1",)}


# promise 7


def test_a_job_that_does_not_end_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.final("job a")
    story.final("job b", "queued")

    assert story.violations() == {"endless": ("job b is queued in the end",)}


def test_a_job_that_does_not_end_and_that_nobody_knows_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.finish()
    story.final("job c", "retrying")

    assert story.violations() == {"endless": ("job c is retrying in the end",)}


def test_a_job_that_ran_too_often_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.run("job a", "second")
    story.final("job a", most_runs=1)
    story.final("job b", most_runs=1)

    assert story.violations() == {"endless": ("job a ran 2 times",)}


def test_a_cancelled_job_that_goes_on_is_caught(story: Story) -> None:
    story.begin()
    story.call("cancel", "job a", "processing")
    story.run_all()
    story.run("job a", "second")
    story.final("job a", "cancelled")
    story.final("job b")

    assert story.violations() == {"endless": ("job a ran 2 times after it was cancelled",)}
