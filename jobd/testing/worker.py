"""`jobd_worker`: one attempt in a real worker process, with the daemon's own limits and kills.

Not here: the process that has the worker (host.py), a handler in the test's own process
(jobd.sdk.testing).
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jobd.testing.messages import Answer, Folders, Request, Run

At = str | tuple[str, int]
"""A step: its name, or its name and its index."""


class JobdWorker:
    """Runs attempts of the installed kinds, one at a time. Starts a process; `close` ends it.

    `allow_paths` is what handlers may open, `plugins` the tables of `[plugins]`, by
    distribution. A worker lives on for the next run, unless the last one took it down.
    """

    def __init__(
        self,
        folder: Path,
        *,
        allow_paths: Sequence[str] = ("/",),
        plugins: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobd.testing.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._send(Folders(str(folder), tuple(allow_paths), dict(plugins or {})))

    def run(  # noqa: PLR0913 - one name for each thing that a test may want
        self,
        kind: str,
        args: object = None,
        *,
        attempt: int = 1,
        max_attempts: int = 3,
        restored: object = None,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
        metadata: Mapping[str, str] | None = None,
        crash_at: At | None = None,
        cancel_at: At | None = None,
    ) -> Run:
        """Run one attempt of a kind to its end, and return how it ended; never raises for it.

        `args` is a Struct or a dict. `restored` is what an earlier attempt checkpointed
        (`run.restored`). `timeout_s` and `memory_mb` stand in for what the handler declares.
        `crash_at` has the worker killed (SIGKILL) when that step begins, `cancel_at` has the
        job cancelled there: a `def` goes on only once it has been told, an `async def` is told
        at its next await.

        Raises LookupError when no installed plugin handles the kind, or it did not load.
        """
        request = Request(
            kind=kind,
            args=_raw({} if args is None else args),
            attempt=attempt,
            max_attempts=max(attempt, max_attempts),
            restored=None if restored is None else msgspec.json.encode(restored),
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            metadata=dict(metadata or {}),
            crash_at=_place(crash_at),
            cancel_at=_place(cancel_at),
        )
        self._send(request)
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker's process ended with status {self._process.wait()}")
        answer = msgspec.json.decode(line, type=Answer)
        if answer.run is None:
            raise LookupError(answer.impossible)
        return answer.run

    def upload(self, path: Path) -> dict[str, str]:
        """Have a file count as uploaded, and return what names it in args: `{"$file": …}`."""
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        place = self._folder / "uploads" / sha256[:2] / sha256
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        return {"$file": f"file_{sha256}"}

    def close(self) -> None:
        """End the worker, whatever it runs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _send(self, message: msgspec.Struct) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(msgspec.json.encode(message) + b"\n")
        self._process.stdin.flush()


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _place(at: At | None) -> tuple[str, int | None] | None:
    return (at, None) if isinstance(at, str) else at
