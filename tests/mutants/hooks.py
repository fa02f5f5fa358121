"""Mutants of the webhooks: messages that are not in the job's transaction, bodies that change.

Not here: mutants of the rows of jobs (store.py), of the addresses that are dialled.
"""

from tests.mutants.mutant import BySim, ByTests, Edit, Mutant

_DELIVERER = "jobd/webhooks/deliverer.py"
_TRANSACTION = "jobd/store/transaction.py"
_VIRTUAL = "tests/webhooks/test_schedule.py"

MUTANTS = (
    Mutant(
        "a message is written after the transaction of its event",
        (BySim(),),
        (
            Edit(
                _TRANSACTION,
                "        insert_messages(self._connection, deliveries, body)\n",
                "        late = self.standing.__dict__.setdefault('late', [])\n"
                "        late.append((deliveries, body))\n",
            ),
            Edit(
                _TRANSACTION,
                "        self._history = list[Event]()\n",
                "        self._history = list[Event]()\n"
                "        for late in state.tally.__dict__.pop('late', []):\n"
                "            insert_messages(connection, *late)\n",
            ),
        ),
    ),
    Mutant(
        "a body is rendered anew for a retry",
        (
            BySim(),
            ByTests("tests/webhooks/test_deliverer.py", "test_a_failure_is_sent_again_byte_for"),
        ),
        (
            Edit(
                _DELIVERER,
                "{_key(one): one.body for one in messages if one.body is not None}",
                "{}",
            ),
            Edit(
                _DELIVERER,
                "{_key(one): one for one in messages if one.body is None}",
                "{_key(one): one for one in messages}",
            ),
        ),
    ),
    Mutant(
        "a receiver that fails is asked as often as one that does not",
        (ByTests(_VIRTUAL, "test_one_that_hangs_is_asked_once"),),
        (
            Edit(
                "jobd/domain/breaker.py",
                "self._failures >= self._rules.failures",
                "self._failures < 0",
            ),
        ),
    ),
    Mutant(
        "what is too old waits on behind an open breaker",
        (ByTests(_VIRTUAL, "test_what_is_never_asked_for_is_dead"),),
        (
            Edit(
                "jobd/webhooks/aftermath.py",
                "await self._deliveries.kill_overdue(age_ms, held, save=save)",
                "[]",
            ),
        ),
    ),
)
