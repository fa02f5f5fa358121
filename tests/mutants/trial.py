"""Runs mutants: each in a copy of the tree, through its method.

Not here: the mutants (store.py, engine.py, ahead.py, hooks.py), the table (run.py).
"""

import compileall
import itertools
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.mutants import ahead, engine, hooks, store
from tests.mutants.mutant import ByTests, Method, Mutant, together

ROOT = Path(__file__).parents[2]
MUTANTS = (*store.MUTANTS, *engine.MUTANTS, *ahead.MUTANTS, *hooks.MUTANTS)
TRIALS = [(mutant, method) for mutant in MUTANTS for method in mutant.methods]
_PATIENCE_S = 400.0
_AT_ONCE = 2
_COPIED = ("jobd", "tests", "config", "systemd", "plugins", "README.md", "pyproject.toml")
_FAILED = 1


class Verdict(NamedTuple):
    """What became of a mutant."""

    caught: bool
    seconds: float
    said: str
    """The command's output, or why it was not run."""


class Tree:
    """A copy of the repository; what runs in it imports jobd and the tests from there."""

    def __init__(self, folder: Path, like: Path = ROOT) -> None:
        self._folder = folder
        folder.mkdir()
        for name in _COPIED:
            if (like / name).is_dir():
                shutil.copytree(like / name, folder / name, ignore=_left_out(like))
            else:
                shutil.copy(like / name, folder / name)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "PYTEST_"))}
        self._scratch = tempfile.mkdtemp(prefix="jobd-m-")  # sockets need short paths
        self._environ = clean | {
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": self._scratch,
        }

    def compile(self) -> None:
        """Compile it: a file that changes is noticed by its hash, not by its second."""
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        for name in ("jobd", "tests"):
            compileall.compile_dir(self._folder / name, quiet=2, invalidation_mode=mode)

    def copy(self, folder: Path) -> "Tree":
        """Return a copy, compiled as this one is."""
        return Tree(folder, self._folder)

    def patch(self, mutant: Mutant) -> None:
        """Apply the edits; ValueError for a text that is not there once."""
        for path, old, new in mutant.edits:
            file = self._folder / path
            text = file.read_text()
            if text.count(old) != 1:
                raise ValueError(f"{path} has {text.count(old)} times: {old!r}")
            file.write_text(text.replace(old, new))

    def run(self, command: Sequence[str], patience_s: float = _PATIENCE_S) -> tuple[int, str]:
        """Run a command in it; return its status (-1: it took too long) and output."""
        output = self._folder / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            status = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = -1
        return status, output.read_text(errors="replace")

    def where(self, module: str) -> Path:
        """Return the file of a module, as workers would import it."""
        shown = f"import {module} as m; print(m.__file__)"
        status, said = self.run([sys.executable, "-P", "-c", shown])
        assert status == 0, said
        return Path(said.strip())

    def remove(self) -> None:
        """Delete it, and what was left by those who ran in it."""
        shutil.rmtree(self._folder)
        shutil.rmtree(self._scratch, ignore_errors=True)  # some may still be at work there


def _left_out(like: Path) -> "shutil._IgnorePatterns | None":  # type: ignore[name-defined]
    """Return what not to copy: what was compiled in place is trusted by its time."""
    caches = ("__pycache__",) if like == ROOT else ()
    return shutil.ignore_patterns(*caches, ".hypothesis", "node_modules")


def judge(mutant: Mutant, method: Method, tree: Tree) -> Verdict:
    """Patch a tree and say whether the method catches it."""
    began_s = time.monotonic()
    try:
        tree.patch(mutant)
    except ValueError as error:
        return Verdict(caught=False, seconds=0, said=f"the patch does not apply: {error}")
    status, said = tree.run(method.command)
    caught = status == _FAILED and method.sign in said
    return Verdict(caught, time.monotonic() - began_s, f"{said}\nended with {status}")


def findings(methods: Sequence[Method], tree: Tree) -> str | None:
    """Return what methods find in a tree as it is: None if nothing, as it has to be."""
    tests = [method for method in methods if isinstance(method, ByTests)]
    trials = [(one, one.command) for one in methods if not isinstance(one, ByTests)]
    if tests:
        trials.insert(0, (tests[0], together(tests)))
    for method, command in trials:
        status, said = tree.run(command)
        if not method.found_nothing(status, said):
            return f"{said}\n{' '.join(command)} ended with {status}"
    return None


class Bench:
    """Where mutants are tried, two at a time."""

    def __init__(self, folder: Path) -> None:
        self.tree = Tree(folder / "whole")
        self.tree.compile()
        self._folder = folder
        self._numbers = itertools.count(1)
        self._threads = ThreadPoolExecutor(_AT_ONCE)

    def begin(self, mutant: Mutant, method: Method) -> Future[Verdict]:
        """Have it tried when it is its turn."""
        return self._threads.submit(self._try, mutant, method)

    def unpatched(self, methods: Sequence[Method]) -> Future[str | None]:
        """Have the findings about the tree as it is."""
        return self._threads.submit(self._find, methods)

    def _try(self, mutant: Mutant, method: Method) -> Verdict:
        with self._copy() as copy:
            return judge(mutant, method, copy)

    def _find(self, methods: Sequence[Method]) -> str | None:
        with self._copy() as copy:
            return findings(methods, copy)

    @contextmanager
    def _copy(self) -> Iterator[Tree]:
        copy = self.tree.copy(self._folder / str(next(self._numbers)))
        try:
            yield copy
        finally:
            copy.remove()

    def close(self) -> None:
        """Wait for what is being tried and begin no more."""
        self._threads.shutdown(cancel_futures=True)
        self.tree.remove()
