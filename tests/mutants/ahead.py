"""Mutants of what lies between a claim and its start: jobs at hand, and what takes them back.

Not here: mutants of the claims themselves (store.py).
"""

from tests.mutants.mutant import BySim, ByTests, Edit, Mutant

_PREFETCH = "tests/pool/test_prefetch.py"

MUTANTS = (
    Mutant(
        "a recall does not ask whether the worker has begun",
        (ByTests("tests/pool/test_recall.py", "test_one_that_runs_is_not_recalled"), BySim()),
        (
            Edit(
                "jobd/pool/line.py",
                "        waits = self._open and self._handover.take_out(attempt.claim.token)\n",
                "        self._handover.take_out(attempt.claim.token)\n        waits = True\n",
            ),
        ),
    ),
    Mutant(
        "a job is passed on to a worker of another lane",
        (ByTests("tests/pool/test_recall.py", "test_what_a_dead_io_worker_had"), BySim()),
        (
            Edit(
                "jobd/pool/supervisor.py",
                "self._idlest(attempt.claim.lane)",
                'self._idlest("cpu")',
            ),
        ),
    ),
    Mutant(
        "a worker gets a second job while another is idle",
        (ByTests(_PREFETCH, "test_no_second_job_for_one_while_another_is_idle"),),
        (
            Edit(
                "jobd/pool/supervisor.py",
                "worker = self._idlest(claim.lane) or self._taker(claim, share)",
                """workers = self._crew.workers.values()
            busy = [w for w in workers if share and not w.idle and w.room_ahead > 0]
            worker = busy[0] if busy else self._idlest(claim.lane) or self._taker(claim, share)""",
            ),
        ),
    ),
    Mutant(
        "a crash is charged to all that the worker had at hand",
        (ByTests(_PREFETCH, "test_a_crash_charges_only_the_job_that_ran"), BySim()),
        (
            Edit(
                "jobd/pool/worker.py",
                "        self.line.pass_on(self._handover.take_back())\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a queue with a limit is claimed ahead of",
        (ByTests("tests/store/test_ahead.py", "test_of_a_queue_with_a_limit_nothing"),),
        (
            Edit(
                "jobd/store/claims.py",
                "None if limited or stands_alone(job) else",
                "None if stands_alone(job) else",
            ),
        ),
    ),
    Mutant(
        "a pause forgets what is at hand",
        (
            ByTests("tests/engine/test_queues.py", "test_a_pause_takes_back_what_has_no_worker"),
            BySim(),
        ),
        (
            Edit(
                "jobd/engine/queues.py",
                "            self._running.paused(change.name)\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "a cancel does not reach what is at hand",
        (ByTests(_PREFETCH, "test_a_cancel_takes_out_one_that_waits"), BySim()),
        (
            Edit(
                "jobd/pool/worker.py",
                "        if not taken:\n            self._end(attempt, not_started(attempt))\n"
                "        elif not",
                "        if not",
            ),
        ),
    ),
    Mutant(
        "who waits behind one that overruns goes on waiting",
        (BySim(),),
        (
            Edit(
                "jobd/pool/line.py",
                "self.pass_on([attempt.claim.token for attempt in self._behind()])",
                "pass",
            ),
        ),
    ),
    Mutant(
        "what was not started keeps the number of its attempt",
        (ByTests("tests/unit/test_domain.py", "test_an_outcome_decides_the_status"), BySim()),
        (
            Edit(
                "jobd/domain/outcomes.py",
                'Status.QUEUED, attempt_delta=-1, evidence={"outcome": "not_started"}',
                'Status.QUEUED, evidence={"outcome": "not_started"}',
            ),
        ),
    ),
    Mutant(
        "an unknown outcome is said to be a refusal",
        (ByTests("tests/engine/test_written.py", "test_a_retry_that_cannot_be_shown"), BySim(60)),
        (
            Edit(
                "jobd/engine/written.py",
                'raise OutcomeUnknown("outcome_unknown", detail, retryable=True) from error',
                "raise",
            ),
        ),
    ),
)
