"""`jobd_daemon`: a job's whole life in a real daemon, its waits skipped."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobd.client import ApiError
from jobd.testing import JobdDaemon
from jobd.wire.jobs import JobDetail


def running(daemon: JobdDaemon, job: JobDetail) -> None:
    """Return once a worker runs it."""
    for seen in daemon.client.watch(daemon.client.get(job.job_id)):
        if seen.value.step == "grow":
            return


def test_a_job_is_followed_to_its_end(jobd_daemon: JobdDaemon) -> None:
    job = jobd_daemon.run("test.whole", {"steps": ["a"]}, metadata={"colour": "red"})

    assert job.status == "completed"
    assert jobd_daemon.result(job)["metadata"] == {"colour": "red"}
    assert jobd_daemon.artifact(job, "steps.txt") == b"a"
    assert ["in a" in line for line in jobd_daemon.lines(job)] == [True]


@pytest.mark.jobd(jobs={"backoff_base_s": 1000, "backoff_cap_s": 4000})
def test_backoff_takes_no_time(jobd_daemon: JobdDaemon) -> None:
    began_s = time.monotonic()

    job = jobd_daemon.run("test.whole", {"steps": [], "then": "retry"})

    assert (job.status, job.attempt) == ("failed", 4)
    assert time.monotonic() - began_s < 500  # it asked for that long before each attempt


def test_a_delayed_job_starts_when_the_clock_is_there(jobd_daemon: JobdDaemon) -> None:
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)

    job = jobd_daemon.submit("test.echo", run_at=tomorrow)
    done = jobd_daemon.wait(job)

    assert (job.status, done.status) == ("scheduled", "completed")
    assert done.started_at is not None
    assert done.started_at >= tomorrow


def test_what_has_expired_is_gone(jobd_daemon: JobdDaemon) -> None:
    job = jobd_daemon.run("test.echo", retention_seconds=3600)

    jobd_daemon.advance(3601)

    with pytest.raises(ApiError, match="job_expired"):
        jobd_daemon.client.get(job.job_id)


def test_a_daemon_that_is_killed_goes_on_where_it_was(jobd_daemon: JobdDaemon) -> None:
    job = jobd_daemon.submit("test.hog", {"mb": 1})
    running(jobd_daemon, job)

    jobd_daemon.kill()
    jobd_daemon.start()
    running(jobd_daemon, job)
    jobd_daemon.client.cancel(job.job_id)
    done = jobd_daemon.wait(job)

    assert (done.status, done.attempt) == ("cancelled", 2)
    assert jobd_daemon.log.count("jobd is ready on") == 2


def test_files_go_in_and_come_out(jobd_daemon: JobdDaemon, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("ada")

    read = jobd_daemon.run(
        "test.whole", {"steps": [], "file": jobd_daemon.upload(tmp_path / "in.txt")}
    )
    left = jobd_daemon.run("test.artifact")

    assert jobd_daemon.result(read)["file"] == "ada"
    assert jobd_daemon.result(left) == b"a,b\n"
