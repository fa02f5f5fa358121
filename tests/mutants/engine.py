"""Mutants of what stands around the store: starts, charges, files.

Not here: mutants of the store (store.py), of what is at hand (ahead.py).
"""

from tests.mutants.mutant import ByKill, ByPower, ByTests, Edit, Mutant

_OUTCOMES = "jobd/domain/outcomes.py"
_RECOVERY = "jobd/engine/recovery.py"

MUTANTS = (
    Mutant(
        "orphans are queued before their workers are dead",
        (ByTests("tests/kill/test_outlived.py", "test_a_run_that_outlives_its_daemon"),),
        (
            Edit(
                _RECOVERY,
                "ended = await tree.end_predecessors(database_id, start_number)",
                "ended = 0",
            ),
            Edit(_RECOVERY, "fcntl.flock(fd, fcntl.LOCK_EX)\n", "pass\n"),
            Edit("jobd/pool/child_setup.py", "    linux.die_with_parent()\n", ""),
        ),
    ),
    Mutant(
        "a start begins by deleting the write-ahead log",
        (ByKill("lost"),),
        (
            Edit(
                "jobd/daemon/run.py",
                "        database = await Database.open(\n",
                """        log_path = self._layout.database.with_name("jobd.db-wal")
        log_path.unlink(missing_ok=True)
        database = await Database.open(
""",
            ),
        ),
    ),
    Mutant(
        "a drained job is charged with a crash",
        (ByTests("tests/unit/test_domain.py", "test_an_outcome_decides_the_status"),),
        (
            Edit(
                _OUTCOMES,
                "        interrupted_delta=1,\n",
                "        crashes_delta=1,\n",
            ),
        ),
    ),
    Mutant(
        "a crash is charged to nobody",
        (ByTests("tests/unit/test_domain.py", "test_an_outcome_decides_the_status"),),
        (Edit(_OUTCOMES, "crashes_delta=int(crashed)", "crashes_delta=0"),),
    ),
    Mutant(
        "uploads are not synced",
        (ByPower("uploads/"),),
        (
            Edit(
                "jobd/files/uploads.py",
                "        with room():\n            os.fsync(self._fd)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "artifacts are not synced",
        (ByPower("artifacts/"),),
        (
            Edit(
                "jobd/sdk/artifacts.py",
                ".hexdigest()\n            os.fsync(file.fileno())\n",
                ".hexdigest()\n",
            ),
        ),
    ),
    Mutant(
        "the folders of artifacts are not synced",
        (ByPower("artifacts/"),),
        (Edit("jobd/sdk/artifacts.py", "for folder in self._made:", "for folder in ():"),),
    ),
)
