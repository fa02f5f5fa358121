"""A daemon under strace: the tracer hears of each child's death before the daemon can."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import JOBD, Daemon


@pytest.mark.needs("strace")
def test_children_that_die_while_they_are_traced_are_collected(tmp_path: Path) -> None:
    stopped = Daemon(tmp_path)
    tracer = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync", "-o", "/dev/null"]
    serve: list[str | Path] = [
        JOBD,
        "serve",
        "--config",
        stopped.config,
        "--state-dir",
        stopped.state_dir,
    ]
    with subprocess.Popen(
        [*tracer, *serve], env=stopped.environ, stderr=subprocess.PIPE, text=True
    ) as tracing:
        assert tracing.stderr is not None
        ready = any("jobd is ready" in line for line in tracing.stderr)
        # known only when the catalogue's child has been collected
        done = stopped.jobd("submit", "test.echo", "{}", "--wait")
        children = Path(f"/proc/{tracing.pid}/task/{tracing.pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGTERM)
        _, log = tracing.communicate()

    assert ready
    assert done.returncode == 0, log
    assert tracing.returncode == 0
