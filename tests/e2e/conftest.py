"""The installed `jobd` as a user runs it: a daemon in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

JOBD = str(Path(sys.executable).parent / "jobd")
_PATIENCE_S = 30


class Daemon:
    """`jobd serve` below `folder`, whose files its handlers may open. `start` waits for ready."""

    program = JOBD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = str(folder / "s")
        self.state_dir = folder / "state"
        self.config = folder / "jobd.toml"
        self.config.write_text(f'[files]\nallow_paths = ["{folder}"]\n[pool]\ndrain_s = 5\n')
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "XDG_"))}
        self.environ = clean | {"HOME": str(folder), "JOBD_SOCKET": self.socket}
        self.log: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [JOBD, "serve", "--config", self.config, "--state-dir", self.state_dir],
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self._process, ready))
        self._reader.start()
        assert ready.wait(_PATIENCE_S), "".join(self.log)

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as pipe:
            for line in pipe:
                self.log.append(line)
                if line.startswith("jobd is ready on "):
                    ready.set()

    def _ended(self) -> int:
        status = self.process.wait(_PATIENCE_S)
        self._reader.join(_PATIENCE_S)
        self._process = None
        return status

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self._ended()

    def restart(self) -> None:
        """End it with SIGTERM if it runs, and start it again on the same state."""
        self.close()
        self.start()

    def close(self) -> None:
        if self._process is not None:
            self.stop()

    def jobd(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a client command to its end."""
        return subprocess.run(
            [JOBD, *arguments],
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a client command; the caller ends it."""
        return subprocess.Popen(
            [JOBD, *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is ready."""
    running = Daemon(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.close()
