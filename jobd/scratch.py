"""A daemon for one command: its own folder, its own process, gone when the command ends.

It tells that it is ready by a line on stderr; a thread reads that pipe into a file for as
long as the daemon lives, so that it can never block on its log.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import click

from jobd.cli.options import Environ

READY = b"jobd is ready on "

_START_S = 60.0
_DRAIN_S = 2
_STOP_S = 30.0
_SHOWN_LINES = 20


class ScratchDaemon:
    """`jobd serve` in `folder`. Enter to start it and wait until it is ready.

    Its handlers may open what lies below `sources`, its callbacks go to the socket
    `call_back`. ClickException, with the end of its log, when it does not get ready. Leaving sends
    SIGTERM and waits; `status` is its exit status then.
    """

    def __init__(
        self, folder: Path, sources: Iterable[Path], environ: Environ, *, call_back: str
    ) -> None:
        self.socket = str(folder / "s")
        self.log = folder / "daemon.log"
        self.config = folder / "jobd.toml"
        self.status: int | None = None
        allowed = sorted({str(folder.resolve()), *map(str, sources)})
        self.config.write_text(
            f"[server]\nstate_dir = {_toml(str(folder / 'state'))}\n"
            f"socket = {_toml(self.socket)}\n"
            f"[pool]\ndrain_s = {_DRAIN_S}\n"
            f"[files]\nallow_paths = {_toml(allowed)}\n"
            f"[webhooks]\nallow_unix = {_toml([call_back])}\n"
        )
        self.log.touch()
        # the caller's own settings are about the caller's own daemon
        self._environ = {k: v for k, v in environ.items() if not k.startswith("JOBD_")}
        self._known = threading.Event()
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        process = subprocess.Popen(  # noqa: S603 - this program, with a file of ours
            [sys.executable, "-P", "-m", "jobd", "serve", "--config", self.config],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this command, which then stops the daemon
        )
        self._process = process
        try:
            self._reader = threading.Thread(
                target=self._keep_log, args=(process.stderr,), daemon=True
            )
            self._reader.start()
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait_until_ready(self) -> None:
        self._known.wait(_START_S)
        if not self._ready:
            lines = self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
            raise click.ClickException("\n".join(["the daemon did not start:", *lines]))

    def _keep_log(self, pipe: IO[bytes]) -> None:
        with self.log.open("wb") as log, pipe:
            for line in pipe:
                log.write(line)
                log.flush()
                if line.startswith(READY):
                    self._ready = True
                    self._known.set()
        self._known.set()  # it has ended, ready or not

    def _stop(self) -> None:
        if self._process is None:
            return
        try:
            self._process.send_signal(signal.SIGTERM)
            self.status = self._process.wait(_STOP_S)
        except BaseException:
            self._process.kill()
            self.status = self._process.wait()
            raise
        finally:
            if self._reader is not None:
                self._reader.join(_STOP_S)


def _toml(value: str | list[str]) -> str:
    # a TOML basic string is a JSON string, surrogate escapes apart
    return json.dumps(value, ensure_ascii=False)
