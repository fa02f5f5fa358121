"""The README's commands, run as they stand, and its plugin, called."""

import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import JOBD, Daemon

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(heading: str, language: str) -> list[str]:
    """Return the fenced blocks of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return found


def commands() -> str:
    """What a newcomer types in the second terminal."""
    _, *rest = blocks("First steps", "sh")
    return "\n".join(rest)


def test_the_readme_is_short_and_its_two_lines_are_lines() -> None:
    assert len(README.splitlines()) <= 250
    assert [len(blocks(name, "sh")) for name in ("Try it", "Run the tests")] == [1, 1]
    assert all(len(blocks(name, "sh")[0].splitlines()) == 1 for name in ("Try it", "Run the tests"))


@pytest.mark.needs("curl")
def test_the_first_steps_work_as_they_stand(daemon: Daemon) -> None:
    """Only the folder differs: the README's is in /tmp, for all to see."""
    script = commands().replace("/tmp/jobd/jobd.sock", daemon.socket)  # noqa: S108 - the README's
    script = script.replace("/tmp/jobd", str(daemon.folder))  # noqa: S108
    path = f"{Path(JOBD).parent}:{Path(shutil.which('curl') or '').parent}:/usr/bin:/bin"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=daemon.environ | {"PATH": path},
        cwd=daemon.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"rows_imported":2,"rows_rejected":1' in done.stdout
    assert '"status":"completed"' in done.stdout
    assert "import.csv" in done.stdout


def test_the_first_daemon_of_the_readme_is_one_line() -> None:
    assert blocks("First steps", "sh")[0].startswith("JOBD_FILES_ALLOW_PATHS=/tmp jobd serve ")


def test_a_token_opens_tcp_as_the_readme_says(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    here = Daemon(tmp_path)
    here.state_dir.parent.mkdir(exist_ok=True)
    (block,) = blocks("Security", "sh")
    block = block.replace("8480", port).replace("/tmp/jobd", str(tmp_path))  # noqa: S108 - the README's
    make, serve, ask = block.splitlines()
    path = f"{Path(JOBD).parent}:/usr/bin:/bin"
    environ = here.environ | {"PATH": path}

    subprocess.run(["bash", "-c", make], env=environ, check=True, timeout=30)
    with subprocess.Popen(
        shlex.split(serve.removesuffix("&")), env=environ, stderr=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stderr is not None
        assert any(line.startswith("jobd is ready on ") for line in daemon.stderr)
        asked = subprocess.run(
            ["bash", "-c", ask],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        daemon.send_signal(signal.SIGTERM)
        daemon.stderr.read()

    assert (asked.returncode, asked.stderr) == (0, "")


def test_the_plugin_of_the_readme_runs(tmp_path: Path) -> None:
    from jobd.sdk.testing import run_handler  # noqa: PLC0415 - beside its use

    (source,) = blocks("A plugin in ten lines", "python")
    names: dict[str, Any] = {"__name__": "my_plugin"}

    exec(compile(source, "my_plugin.py", "exec"), names)  # noqa: S102 - the README's own code
    outcome = run_handler(names["greet"], {"name": "Ada"})

    assert outcome.result == {"greeting": "Hello, Ada!"}
