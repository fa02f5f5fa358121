"""`jobd_worker`: what a plugin's author sees of one attempt in a real worker."""

from pathlib import Path

import pytest

from jobd.testing import JobdWorker

KINDS = pytest.mark.parametrize("kind", ["test.whole", "test.awhole"])


@KINDS
def test_a_result_comes_with_what_was_done_on_the_way(jobd_worker: JobdWorker, kind: str) -> None:
    run = jobd_worker.run(kind, {"steps": ["a", "b"]}, metadata={"colour": "red"})

    assert (run.status, run.result["done"]) == ("completed", ["a", "b"])
    assert run.result["metadata"] == {"colour": "red"}
    assert {shown.step for shown in run.progress if shown.step} == {"a", "b"}
    assert ["in a" in line for line in run.lines] == [True, False]
    assert run.checkpoints == [["a"], ["a", "b"]]
    assert run.evidence["duration_s"] >= 0
    assert Path(run.artifacts["steps.txt"]).read_text() == "a\nb"


@KINDS
def test_a_worker_is_killed_where_a_step_begins_and_the_next_attempt_goes_on(
    jobd_worker: JobdWorker, kind: str
) -> None:
    args = {"steps": ["a", "b", "c"]}

    first = jobd_worker.run(kind, args, crash_at="b")
    second = jobd_worker.run(kind, args, attempt=2, restored=first.restored)

    assert (first.status, first.code, first.failed_step) == ("crashed", "worker_crashed", "b")
    assert first.evidence["signal"] == "SIGKILL"
    assert first.restored == ["a"]
    assert second.status == "completed"
    assert second.checkpoints == [["a", "b"], ["a", "b", "c"]]


def test_a_step_is_named_by_its_index_too(jobd_worker: JobdWorker) -> None:
    run = jobd_worker.run("test.whole", {"steps": ["page", "page"]}, crash_at=("page", 2))

    assert run.status == "crashed"
    assert run.checkpoints == [["page"]]


@KINDS
def test_a_job_is_cancelled_where_a_step_begins(jobd_worker: JobdWorker, kind: str) -> None:
    run = jobd_worker.run(kind, {"steps": ["a", "b", "c"]}, cancel_at="b")

    assert run.status == "cancelled"
    assert run.checkpoints[0] == ["a"]
    assert ["a", "b", "c"] not in run.checkpoints


def test_limits_are_those_of_a_daemon(jobd_worker: JobdWorker) -> None:
    slow = jobd_worker.run("test.spin", timeout_s=0.2)
    greedy = jobd_worker.run("test.hog", {"mb": 200}, memory_mb=100)

    assert (slow.status, slow.code, slow.retryable) == ("failed", "timeout", True)
    assert (greedy.status, greedy.code, greedy.failed_step) == ("failed", "memory_limit", "grow")


@KINDS
def test_other_ends_are_told(jobd_worker: JobdWorker, kind: str) -> None:
    asked = jobd_worker.run(kind, {"steps": [], "then": "retry"})
    final = jobd_worker.run(kind, {"steps": [], "then": "discard"})
    later = jobd_worker.run(kind, {"steps": [], "then": "snooze"})
    some = jobd_worker.run(kind, {"steps": ["a"], "then": "partial"})

    assert (asked.code, asked.retryable, asked.retry_in_s) == ("not_yet", True, 500)
    assert (final.code, final.retryable, final.message) == ("no_use", False, "never")
    assert (later.status, later.snooze_in_s) == ("snoozed", 300)
    assert (some.status, some.partial, some.summary) == ("completed", True, (2, 1, 1))


@KINDS
def test_files_go_in_and_come_out(jobd_worker: JobdWorker, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in.txt").write_text("ada")
    named = {"file": jobd_worker.upload(tmp_path / "in.txt"), "path": str(tmp_path / "in.txt")}

    run = jobd_worker.run(kind, {"steps": [], **named})
    left = jobd_worker.run("test.artifact")

    assert (run.result["file"], run.result["path"]) == ("ada", "in.txt")
    assert Path(left.result_file or "").read_text() == "a,b\n"


def test_a_kind_that_cannot_run_is_said(jobd_worker: JobdWorker) -> None:
    with pytest.raises(LookupError, match=r"did you mean test\.whole"):
        jobd_worker.run("test.whol")
    with pytest.raises(LookupError, match="no licence found"):
        jobd_worker.run("broken.raises")


@pytest.mark.jobd(plugins={"jobd-test-plugin": {"colour": "green"}})
def test_the_marker_gives_a_plugin_its_settings(jobd_worker: JobdWorker) -> None:
    run = jobd_worker.run("test.whole", {"steps": []})

    assert (run.result["colour"], run.result["shared"]) == ("green", ["green"])


@pytest.mark.jobd(allow_paths=[])
def test_the_marker_says_what_may_be_opened(jobd_worker: JobdWorker) -> None:
    run = jobd_worker.run("test.whole", {"steps": [], "path": "/etc/hostname"})

    assert (run.status, run.retryable) == ("failed", False)
