"""Mutants of the store: what is written, when, and who is told.

The status in the WHERE of a settle, and of the statement behind a pick, has no mutant of its
own: a CHECK of the table ties a lease to the status, and nobody writes between the two.

Not here: mutants of the rest (engine.py).
"""

from tests.mutants.mutant import ByKill, ByPower, BySim, ByTests, Edit, Mutant

_JOBS = "jobd/store/jobs.py"
_JOBS_SQL = "jobd/store/jobs.sql"
_MOVES = "jobd/store/moves.py"
_MOVES_SQL = "jobd/store/moves.sql"
_CLAIMS_SQL = "jobd/store/claims.sql"
_COMMIT = "jobd/store/group_commit.py"
_BATCH = "jobd/store/batch.py"
_FENCE = "jobs.lease_token = ended.token AND jobs.status = 'processing'"

MUTANTS = (
    Mutant(
        "commits are not synced (synchronous=NORMAL)",
        (
            ByTests("tests/store/test_database.py", "test_the_writing_connection_is_set_up"),
            ByPower("was acknowledged and is not there"),
        ),
        (Edit("jobd/store/connection.py", '"full": 2}', '"full": 1}'),),
    ),
    Mutant(
        "submissions are answered before the commit",
        (ByKill("lost"),),
        (
            Edit(_BATCH, "import asyncio\n", "import asyncio\nimport threading\n"),
            Edit(
                _BATCH,
                "        return self._finish(tx, answers)\n\n    def one_by_one",
                """        committed = self._finish(tx, answers)
        for item, outcome in answers:
            if not getattr(outcome, "replayed", True):
                loop = item.answer.get_loop()
                loop.call_soon_threadsafe(item.answer.set_result, outcome)
        threading.Event().wait(0.02)  # a slow disk
        return committed

    def one_by_one""",
            ),
        ),
    ),
    Mutant(
        "events are published before the commit",
        (ByTests("tests/store/test_writer.py", "test_after_an_io_error_nothing_is_vouched"),),
        (
            Edit(
                _COMMIT,
                "            return await self._database.run(batch.together)\n",
                """            loop = asyncio.get_running_loop()
            def early(connection):
                committed = batch.together(connection)
                loop.call_soon_threadsafe(self._around.publish, committed.events)
                return committed
            return await self._database.run(early)
""",
            ),
        ),
    ),
    Mutant(
        "the writer goes on after an I/O error",
        (ByTests("tests/store/test_writer.py", "test_after_an_io_error_nothing_is_vouched"),),
        (
            Edit(
                _COMMIT,
                "            else:\n                raise\n            return\n",
                "            else:\n                self._refuse(batch.items, _full)\n"
                "            return\n",
            ),
        ),
    ),
    Mutant(
        "settlements are dropped on a full disk",
        (ByTests("tests/store/test_disk_full.py", "test_what_adds_is_refused_and_what_ends"),),
        (
            Edit(
                _COMMIT,
                "        self._waiting.put_back(ends)\n",
                "        self._refuse(ends, _full)\n",
            ),
        ),
    ),
    Mutant(
        "a settle asks for no token",
        (
            ByTests("tests/store/test_settle.py", "test_a_stale_token_changes_nothing"),
            BySim(),
        ),
        (Edit(_JOBS_SQL, _FENCE, "jobs.status = 'processing'"),),
    ),
    Mutant(
        "a settle asks for neither token nor status",
        (
            ByTests("tests/store/test_settle.py", "test_a_stale_token_changes_nothing"),
            BySim(),
        ),
        (Edit(_JOBS_SQL, _FENCE, "true"),),
    ),
    Mutant(
        "a lost lease is answered as written",
        (
            ByTests("tests/store/test_settle.py", "test_of_two_outcomes_of_one_attempt"),
            BySim(),
        ),
        (
            Edit(
                _JOBS,
                "return [None if id(one) in written else lease_lost() for one in settlements]",
                "return [None for one in settlements]",
            ),
        ),
    ),
    Mutant(
        "a stale worker's checkpoint is kept",
        (ByTests("tests/store/test_attempts.py", "test_of_checkpoints_in_one_batch"),),
        (
            Edit(
                "jobd/store/attempts.py",
                "for one in checkpoints if one.token in held}",
                "for one in checkpoints}",
            ),
        ),
    ),
    Mutant(
        "events come from what was asked instead of from what was written",
        (
            ByTests("tests/store/test_settle.py", "test_a_stale_token_changes_nothing"),
            BySim(),
        ),
        (
            Edit(
                _JOBS,
                "    written = _complete(tx, plain) | _end(tx, others)\n",
                """    written = _complete(tx, plain) | _end(tx, others)
    for one in first.values():
        if id(one) not in written:
            event_id, type_ = tx.next_event_id(), status_event(one.status)
            tx.happened(Event(event_id, one.seq, "job", type_, tx.now_ms, 0, {}), 0)
""",
            ),
        ),
    ),
    Mutant(
        "a move that the file refused counts as made",
        (ByTests("tests/store/test_settle.py", "test_a_stale_token_changes_nothing"),),
        (
            Edit(
                "jobd/store/transaction.py",
                "        if cursor.rowcount == len(moves):\n",
                "        if cursor.rowcount <= len(moves):\n",
            ),
        ),
    ),
    Mutant(
        "the progress of an attempt is forgotten before its end",
        (
            ByTests(
                "tests/store/test_settle.py", "test_nothing_is_left_to_resume_of_a_job_that_is_done"
            ),
        ),
        (
            Edit(
                "jobd/store/leases.py",
                "return claim.checkpoint is not None or claim.token in self._marked",
                "return False",
            ),
        ),
    ),
    Mutant(
        "a queue is open for good",
        (ByTests("tests/store/test_queues.py", "test_a_pause_holds_for_a_queue"),),
        (
            Edit(
                "jobd/store/ready.py",
                "        self._open.discard(queue)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a cancel does not win over a retry",
        (ByTests("tests/store/test_settle.py", "test_a_job_whose_cancel_came_first"), BySim(60)),
        (
            Edit(
                _JOBS_SQL,
                "iif(jobs.cancel_requested AND ended.again, 'cancelled', ended.status)",
                "ended.status",
            ),
        ),
    ),
    Mutant(
        "a claim does not ask for `queued`",
        (ByTests("tests/store/test_claims.py", "test_no_job_is_claimed_twice"),),
        (
            Edit(
                _CLAIMS_SQL,
                "WHERE jobs.status = 'queued' AND jobs.parked_at IS NULL\n",
                "WHERE jobs.parked_at IS NULL\n",
            ),
            Edit(_CLAIMS_SQL, "leased.seq AND jobs.status = 'queued';\n", "leased.seq;\n"),
        ),
    ),
    Mutant(
        "rowids instead of AUTOINCREMENT",
        (ByTests("tests/store/test_restart.py", "test_ids_never_come_again"),),
        (
            Edit(
                "jobd/store/migrations/0001_jobs.sql",
                "  seq INTEGER PRIMARY KEY AUTOINCREMENT,",
                "  seq INTEGER PRIMARY KEY,",
            ),
            Edit(
                "jobd/store/meta.sql",
                "(SELECT seq FROM sqlite_sequence WHERE name = 'jobs')",
                "(SELECT max(seq) FROM jobs)",
            ),
        ),
    ),
    Mutant(
        "idempotency keys are not looked up",
        (ByKill("doubled"), BySim()),
        (
            Edit(
                "jobd/store/idempotency.py",
                "    keyed = {seq: job for seq, job in jobs.items() if job.idempotency}\n",
                "    keyed = {}\n",
            ),
        ),
    ),
    Mutant(
        "a key is written in another transaction than its job",
        (ByTests("tests/store/test_writer.py", "test_an_item_that_cannot_be_written_gets_its"),),
        (
            Edit(
                "jobd/store/idempotency.py",
                "    return keyed.keys() - {seq for (seq,) in taken}\n",
                """    tx.rows("COMMIT")
    tx.rows("BEGIN IMMEDIATE")
    return keyed.keys() - {seq for (seq,) in taken}
""",
            ),
        ),
    ),
    Mutant(
        "promote does not look at deadlines",
        (ByTests("tests/store/test_deadlines.py", "test_what_is_due_too_late_is_failed"),),
        (Edit(_MOVES, "code = deadlines.doom(tx, **one.times)", "code = None"),),
    ),
    Mutant(
        "promote does not look at the status",
        (ByTests("tests/store/test_deadlines.py", "test_a_clock_that_is_set_back_queues_nothing"),),
        (
            Edit(
                _MOVES_SQL,
                "WHERE status IN ('scheduled', 'retrying') AND run_at <= :now\n",
                "WHERE run_at <= :now\n",
            ),
            Edit(
                _MOVES_SQL,
                "WHERE jobs.seq = due.seq AND jobs.status IN ('scheduled', 'retrying')\n",
                "WHERE jobs.seq = due.seq\n",
            ),
        ),
    ),
    Mutant(
        "a start gives the numbers of cut attempts again",
        (ByKill("overlaps"), BySim()),
        (
            Edit(
                _MOVES_SQL,
                "  interrupted = interrupted + 1,\n",
                "  interrupted = interrupted + 1,\n  attempt = attempt - 1,\n",
            ),
        ),
    ),
    Mutant(
        "interruptions are not bounded",
        (ByTests("tests/store/test_moves.py", "test_a_job_interrupted_too_often_fails"),),
        (Edit(_MOVES_SQL, "    WHEN interrupted >= :most THEN 'failed'\n", ""),),
    ),
    Mutant(
        "retention does not wait for deliveries",
        (
            ByTests(
                "tests/store/test_retention.py", "test_a_job_stays_until_its_callbacks_are_told"
            ),
        ),
        (
            Edit(
                "jobd/store/retention.sql",
                """  AND status IN ('completed', 'failed', 'cancelled')
  AND NOT EXISTS (
    SELECT 1 FROM deliveries
    WHERE deliveries.seq = jobs.seq AND deliveries.next_attempt_at IS NOT NULL
  )
""",
                "  AND status IN ('completed', 'failed', 'cancelled')\n",
            ),
        ),
    ),
)
