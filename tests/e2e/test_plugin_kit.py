"""From `jobd plugins new` to a job that runs the author's change, as its README says.

In an environment of its own, with jobd installed from here as its users install it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBD = str(Path(sys.executable).parent / "jobd")
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "XDG_", "PYTHON"))}

pytestmark = [pytest.mark.timeout(400), pytest.mark.needs("curl")]


class Author:
    """Somebody with a new plugin, and an environment with jobd."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([JOBD, "plugins", "new", "greet", "--into", folder], check=True)
        self.folder = folder
        self.plugin = folder / "jobd-greet"
        self.socket = str(folder / "s")
        installed = self.plugin / ".venv" / "bin"
        self.environ = CLEAN | {
            "HOME": str(folder),
            "JOBD_SOCKET": self.socket,
            "JOBD_STATE_DIR": str(folder / "state"),
            "JOBD_FILES_ALLOW_PATHS": str(folder),
            "PATH": f"{installed}:{CLEAN['PATH']}",
        }

    def does(self, script: str, **environ: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.plugin,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def readme(self, heading: str) -> str:
        """The commands under a heading; only the folder differs from what stands there."""
        section = (self.plugin / "README.md").read_text().split(f"\n## {heading}\n")[1]
        blocks = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
        return "\n".join(blocks).replace("/tmp", str(self.folder))  # noqa: S108 - the README's

    @contextmanager
    def running(self, command: str, ready: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a command until the block ends; enter once it has said that it is ready."""
        program = shutil.which("jobd", path=self.environ["PATH"]) or ""
        running = subprocess.Popen(
            [program, command],
            cwd=self.plugin,
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stderr is not None
        with running, running.stderr as said:
            try:
                assert any(ready in line for line in said)
                yield running
            finally:
                running.send_signal(signal.SIGINT)
                said.read()


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    """Whose plugin has passed its own checks."""
    folder = tmp_path_factory.mktemp("kit")
    author = Author(folder)
    passed = author.does("bash .ci/run", JOBD_SERVER=str(ROOT))
    assert "4 passed" in passed
    return author


def test_the_readme_of_a_new_plugin_is_true(author: Author) -> None:
    author.does("pip uninstall -q -y jobd-greet")

    with author.running("serve", "jobd is ready on"):
        used = author.does(author.readme("Use it"))

    assert "ok    greet.lines  (jobd-greet)" in used
    assert '{"lines":2,"matching":2}' in used
    assert '"status":"completed"' in used


def test_the_lines_of_the_project_s_readme_work(author: Author) -> None:
    section = (ROOT / "README.md").read_text().split("\n## A plugin in ten lines\n")[1]
    (commands,) = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.DOTALL)

    with author.running("serve", "jobd is ready on"):
        said = author.does(f"mkdir ../elsewhere && cd ../elsewhere\n{commands}")

    assert "4 passed" in said
    assert said.count("greet.lines") >= 3


def test_a_change_is_run_by_the_next_job(author: Author) -> None:
    author.does("pip install -q -e .")
    handlers = author.plugin / "jobd_greet" / "handlers.py"
    poem = author.folder / "poem.txt"
    poem.write_text("a rose\n")
    submit = f"jobd submit greet.lines --wait --arg path={poem} --arg word=rose"
    here = {"JOBD_SOCKET": str(author.plugin / ".jobd" / "s")}

    with author.running("dev", "loaded greet.lines") as dev:
        before = author.does(submit, **here)
        handlers.write_text(
            handlers.read_text().replace("counted.lines += 1", "counted.lines += 7")
        )
        assert dev.stderr is not None
        assert any("loaded greet.lines" in line for line in dev.stderr)
        after = author.does(submit, **here)

    assert (before, after) == ('{"lines":1,"matching":1}\n', '{"lines":7,"matching":1}\n')
    assert dev.returncode == 0
