"""`jobd_daemon`: a real daemon on a socket of its own, its clock in the test's hands.

Not here: its process (jobd/scratch.py), its clock (clock.py).
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from jobd.client import Client
from jobd.scratch import ScratchDaemon, Settings
from jobd.wire.jobs import JobDetail
from jobd.wire.submission import SubmitRequest

_PATIENCE_S = 60.0
_SMALL: Settings = {"pool": {"cpu_workers": 1, "io_workers": 1, "drain_s": 1, "kill_grace_s": 1}}
_JSON = "application/json"


class JobdDaemon:
    """A daemon and a client of it; `socket` and `client` are for whatever is not here.

    `settings` are sections of the settings file; handlers may open any path unless they say
    otherwise. A job's wait for its next attempt takes no time: `run` and `wait` move the clock.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        sections: Settings = {"files": {"allow_paths": ["/"]}, **_SMALL} | dict(settings or {})
        self._daemon = ScratchDaemon(folder, sections, os.environ, module=("jobd.testing.serve",))
        self._daemon.start()
        self.socket = self._daemon.socket
        self.client = Client(self.socket)

    def submit(self, kind: str, args: object = None, **options: Any) -> JobDetail:
        """Submit a job and return it; `options` are fields of the request, such as `queue`.

        Raises jobd.client.ApiError, with the daemon's problem document, when it is refused.
        """
        plain = msgspec.to_builtins({} if args is None else args)
        request = SubmitRequest(kind=kind, args=plain, **options)
        return self.client.submit(request).value

    def wait(self, job: JobDetail, *, timeout_s: float = _PATIENCE_S) -> JobDetail:
        """Return the job once it is done; while it waits for a time, move the clock there.

        Raises jobd.client.WaitTimedOut after `timeout_s` of real time.
        """
        for seen in self.client.watch(self.client.get(job.job_id), timeout_s=timeout_s):
            due = seen.value.next_attempt_at or seen.value.run_at
            if seen.value.status in ("retrying", "scheduled") and due is not None:
                self.advance_to(due)
        return seen.value

    def run(self, kind: str, args: object = None, **options: Any) -> JobDetail:
        """Submit a job and return it once it is done, all its attempts included."""
        return self.wait(self.submit(kind, args, **options))

    def advance(self, seconds: float) -> None:
        """Let so much time have passed for the daemon: for backoff, schedules and retention.

        Time limits of what runs are real time and do not move.
        """
        self._say(f"+{seconds:f}")

    def advance_to(self, moment: datetime) -> None:
        """Let it be that moment for the daemon, if it is still ahead."""
        self._say(f"={moment.timestamp():f}")

    def result(self, job: JobDetail) -> Any:
        """Return what the job returned: the JSON value, or the bytes of the file."""
        with self.client.result(job.job_id) as download:
            body = b"".join(download.chunks())
        return msgspec.json.decode(body) if download.media_type == _JSON else body

    def artifact(self, job: JobDetail, name: str) -> bytes:
        """Return the bytes of a file that the job left."""
        with self.client.result(job.job_id, artifact=name) as download:
            return b"".join(download.chunks())

    def upload(self, path: Path) -> dict[str, str]:
        """Upload a file, and return what names it in args: `{"$file": …}`."""
        return {"$file": self.client.upload(path)}

    def lines(self, job: JobDetail) -> list[str]:
        """Return what the job logged and printed."""
        return [line.line for line in self.client.logs(job.job_id)]

    @property
    def log(self) -> str:
        """The daemon's own log so far."""
        return self._daemon.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL the daemon, as a crash does; `start` begins where it was."""
        self._daemon.kill()

    def start(self) -> None:
        """Start it again, on what is on disk. Its clock begins with the machine's time."""
        self._daemon.start()

    def close(self) -> None:
        """Stop it, and wait until it is gone."""
        self.client.close()
        self._daemon.stop()

    def _say(self, line: str) -> None:
        stdin, stdout = self._daemon.process.stdin, self._daemon.process.stdout
        assert stdin is not None  # noqa: S101 - pipes were asked for
        assert stdout is not None  # noqa: S101
        stdin.write(f"{line}\n".encode())
        stdin.flush()
        stdout.readline()
