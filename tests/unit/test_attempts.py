"""The attempts that a history tells of."""

from typing import Any

from jobd.domain.events import Event
from jobd.wire.attempts import Attempt, render_attempts


def attempts(*happened: tuple[str, int, dict[str, Any]]) -> list[Attempt]:
    events = [
        Event(n, 1, "job_1", f"job.{type_}", at_ms=n * 1000, attempt=attempt, data=data)
        for n, (type_, attempt, data) in enumerate(happened)
    ]
    return render_attempts(events).attempts


ERROR = {"code": "x", "message": "y", "retryable": True, "failed_step": "s", "attempt": 1}


def test_a_failed_attempt_and_the_one_that_runs() -> None:
    evidence = {
        "outcome": "x",
        "cpu_seconds": 0.5,
        "peak_rss_bytes": 7,
        "handler": "jobd-import 0.1.0",
        "steps": [{"name": "s", "started_at_ms": 1500, "duration_s": 0.25}],
        "traceback": "Traceback",
    }
    failed, running = attempts(
        ("queued", 0, {}),
        ("processing", 1, {}),
        ("retrying", 1, {"failures": 1, "error": ERROR, "evidence": evidence}),
        ("queued", 1, {}),
        ("processing", 2, {}),
        ("cancel_requested", 2, {}),
    )

    assert (failed.outcome, failed.charged, failed.cpu_seconds) == ("x", True, 0.5)
    assert failed.error is not None
    assert failed.error.failed_step == "s"
    assert [step.duration_seconds for step in failed.steps] == [0.25]
    assert failed.ended_at is not None
    assert (failed.ended_at - failed.started_at).total_seconds() == 1
    assert (running.attempt, running.outcome, running.ended_at) == (2, None, None)


def test_a_crash_tells_the_signal_and_is_charged() -> None:
    evidence = {"outcome": "worker_crashed", "signal": "SIGSEGV"}

    (crashed,) = attempts(
        ("processing", 1, {}), ("failed", 1, {"crashes": 3, "evidence": evidence})
    )

    assert (crashed.signal, crashed.exit_code, crashed.charged) == ("SIGSEGV", None, True)


def test_an_interruption_is_not_charged() -> None:
    data = {"interrupted": 1, "evidence": {"outcome": "interrupted"}}

    (interrupted,) = attempts(("processing", 1, {}), ("queued", 1, data))

    assert (interrupted.outcome, interrupted.charged) == ("interrupted", False)


def test_what_was_taken_back_before_it_began_is_no_attempt() -> None:
    data = {"evidence": {"outcome": "not_started"}}

    (attempt,) = attempts(
        ("processing", 1, {}), ("queued", 0, data), ("processing", 1, {}), ("completed", 1, {})
    )

    assert attempt.attempt == 1
