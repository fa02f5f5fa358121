"""Where everything is below the state folder.

    jobd.db         the database (and its -wal and -shm)
    jobd.lock       held by the one daemon
    workers.lock    held by every process that a daemon started
    artifacts/      <job_id>/<lease token>/<name>: what attempts left
    scratch/        <lease token>/: gone when its attempt is over

A folder for each lease: two attempts never write into one, so what a lost attempt still
writes reaches nobody. Attempts make their folders themselves, on first use.

Not here: opening what lies in them (open.py).
"""

import os
from pathlib import Path


class Layout:
    """Paths below one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self._state_dir / "jobd.db"

    @property
    def lock(self) -> Path:
        """Locked by the daemon, before anything else is opened."""
        return self._state_dir / "jobd.lock"

    @property
    def workers_lock(self) -> Path:
        """Locked as long as any worker of any daemon lives."""
        return self._state_dir / "workers.lock"

    @property
    def artifacts(self) -> Path:
        """Where the paths in the artifacts table begin."""
        return self._state_dir / "artifacts"

    @property
    def scratch(self) -> Path:
        """Working folders of running attempts."""
        return self._state_dir / "scratch"

    def attempt_artifacts(self, job_id: str, token: str) -> Path:
        """Return the folder of what the attempt under this lease leaves."""
        return self.artifacts / job_id / token

    def attempt_scratch(self, token: str) -> Path:
        """Return the working folder of the attempt under this lease."""
        return self.scratch / token

    def make(self) -> None:
        """Make the folders that are missing, readable by their owner alone, and durable.

        A folder that is there keeps its permissions. Raises OSError.
        """
        missing = [
            folder
            for folder in (*reversed(self._state_dir.parents), self._state_dir)
            if not folder.exists()
        ]
        for folder in [*missing, self.artifacts, self.scratch]:
            folder.mkdir(mode=0o700, exist_ok=True)
            _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Make new names in `folder` survive a power cut: a database in a lost folder is lost."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
