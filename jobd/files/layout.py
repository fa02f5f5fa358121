"""Where everything is below the state folder.

    jobd.db         the database (and its -wal and -shm)
    jobd.lock       held by the one daemon
    workers.lock    held by every process that a daemon started
    reserve         disk space that is given up when the disk is full
    artifacts/      <job_id>/<lease token>/<name>: what attempts left
    scratch/        <lease token>/: gone when its attempt is over
    logs/           <job_id>/<attempt>.ndjson: what attempts wrote
    uploads/        <sha[:2]>/<sha>: files that jobs may name, each content once;
                    incoming/<random>: what is being received

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
    def reserve(self) -> Path:
        """Space held back (reserve.py)."""
        return self._state_dir / "reserve"

    @property
    def artifacts(self) -> Path:
        """Where the paths in the artifacts table begin."""
        return self._state_dir / "artifacts"

    @property
    def scratch(self) -> Path:
        """Working folders of running attempts."""
        return self._state_dir / "scratch"

    @property
    def logs(self) -> Path:
        """What attempts wrote."""
        return self._state_dir / "logs"

    @property
    def uploads(self) -> Path:
        """Uploaded files, by the SHA-256 of their content."""
        return self._state_dir / "uploads"

    @property
    def incoming(self) -> Path:
        """Uploads that are not complete yet; in the same file system as the complete ones."""
        return self.uploads / "incoming"

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
        ours = [self.artifacts, self.scratch, self.logs, self.uploads, self.incoming]
        for folder in [*missing, *ours]:
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a power cut: a database in a lost folder is lost."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
