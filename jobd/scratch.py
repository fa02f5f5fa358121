"""A daemon for one purpose: its own folder and settings, its own process, gone at the end.

It tells that it is ready by a line on stderr; a thread reads that pipe into a file for as
long as the daemon lives, so that it can never block on its log.

Not here: what is done with it (cli/demo.py, cli/dev.py, testing/daemon.py).
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

READY = b"jobd is ready on "

_START_S = 60.0
_STOP_S = 30.0
_SHOWN_LINES = 20
_SERVE = ("jobd", "serve")

Settings = Mapping[str, Mapping[str, Any]]


class DidNotStart(Exception):  # noqa: N818 - named for what happened
    """The daemon ended, or was not ready in time; the message has the end of its log."""


class ScratchDaemon:
    """`jobd serve` with its state in `folder`. Enter to start it and wait until it is ready.

    `settings` are sections of the settings file, over a socket and a state folder below
    `folder`; of the caller's environment the daemon gets all but `JOBD_…`. Leaving sends
    SIGTERM and waits; `status` is its exit status then. `heard` is called with every line of
    its log, in a thread. Raises DidNotStart.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        module: Sequence[str] = _SERVE,
        heard: Callable[[bytes], object] = lambda _line: None,
    ) -> None:
        self.socket = str(folder / "s")
        self.log = folder / "daemon.log"
        self.config = folder / "jobd.toml"
        self.status: int | None = None
        own = {"server": {"state_dir": str(folder / "state"), "socket": self.socket}}
        self.config.write_text(toml(own | dict(settings)))
        self.log.touch()
        self._module, self._heard = module, heard
        # the caller's own settings are about the caller's own daemon
        self._environ = {k: v for k, v in environ.items() if not k.startswith("JOBD_")}
        self._known = threading.Event()
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running daemon; its stdin and stdout are pipes."""
        if self._process is None:
            raise RuntimeError("the daemon has not been started")
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, on what an earlier start left, and wait until it is ready."""
        self._known.clear()
        self._ready = False
        module, *arguments = self._module
        self._process = process = subprocess.Popen(  # noqa: S603 - this program, with a file of ours
            [sys.executable, "-P", "-m", module, *arguments, "--config", self.config],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the caller, which then stops the daemon
        )
        try:
            self._reader = threading.Thread(
                target=self._keep_log, args=(process.stderr,), daemon=True
            )
            self._reader.start()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Have it drain and end, and wait for that; nothing if it does not run."""
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
            self._forget()

    def kill(self) -> None:
        """SIGKILL it and wait until it is dead."""
        self.process.kill()
        self.status = self.process.wait()
        self._forget()

    def last_lines(self) -> list[str]:
        """Return the end of its log."""
        return self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]

    def _wait_until_ready(self) -> None:
        self._known.wait(_START_S)
        if not self._ready:
            raise DidNotStart("\n".join(["the daemon did not start:", *self.last_lines()]))

    def _keep_log(self, pipe: IO[bytes]) -> None:
        with self.log.open("ab") as log, pipe:
            for line in pipe:
                log.write(line)
                log.flush()
                self._heard(line)
                if line.startswith(READY):
                    self._ready = True
                    self._known.set()
        self._known.set()  # it has ended, ready or not

    def _forget(self) -> None:
        if self._reader is not None:
            self._reader.join(_STOP_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = self._reader = None


def toml(settings: Settings) -> str:
    """Return sections as a settings file."""
    lines: list[str] = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    return "".join(f"{line}\n" for line in lines)


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    # a TOML basic string is a JSON string, surrogate escapes apart; so are numbers and booleans
    return json.dumps(value, ensure_ascii=False)
