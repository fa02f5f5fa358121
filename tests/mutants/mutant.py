"""What a mutant is, and the methods that are to catch it.

A method is one of the repository's own commands, in a short form. It has caught a mutant when
it ends with status 1 and says what it must: a tree that does not even start is not caught.

Not here: the mutants (store.py, engine.py, ahead.py, hooks.py), running them (trial.py).
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Method(Protocol):
    """How a mutant is caught."""

    @property
    def command(self) -> list[str]:
        """To run in the root of a tree."""

    @property
    def sign(self) -> str:
        """What it says when it has caught what it was to catch."""

    def found_nothing(self, status: int, said: str) -> bool:
        """Whether it has ended so on a tree in which all is well."""


class ByTests(NamedTuple):
    """ByTests by name: those of one file whose names begin so."""

    file: str
    name: str

    @property
    def command(self) -> list[str]:
        return together([self])

    @property
    def sign(self) -> str:
        return f"FAILED {self.file}::{self.name}"

    def found_nothing(self, status: int, said: str) -> bool:
        return status == 0

    def __str__(self) -> str:
        return f"`{self.file}` {self.name}"


def together(methods: Sequence[ByTests]) -> list[str]:
    """Return the one command that runs the tests of all."""
    names = " or ".join(dict.fromkeys(method.name for method in methods))
    files = dict.fromkeys(method.file for method in methods)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-k", names]
    return [sys.executable, "-m", "pytest", *options, *files]


class ByKill(NamedTuple):
    """The kill -9 loop, and the kind of violation that it must find."""

    kind: str
    cycles: int = 5
    seed: int = 1
    long: float = 0.04

    @property
    def command(self) -> list[str]:
        options = ["--cycles", str(self.cycles), "--seed", str(self.seed), "--long", str(self.long)]
        return [sys.executable, "tests/kill/loop.py", *options]

    @property
    def sign(self) -> str:
        return f"\n{self.kind}: "

    def found_nothing(self, status: int, said: str) -> bool:
        return status == 0

    def __str__(self) -> str:
        return f"kill -9, {self.cycles} cycles: {self.kind}"


class BySim(NamedTuple):
    """Seeds of the simulation; in the run of one of them a promise must be broken."""

    seeds: int = 24
    seed: int = 1

    @property
    def command(self) -> list[str]:
        seeds = f"{self.seed}..{self.seed + self.seeds - 1}"
        return [sys.executable, "tests/sim/run.py", "--first", "--seeds", seeds]

    @property
    def sign(self) -> str:
        return "tests/sim/run.py --seeds "  # how to make the run again

    def found_nothing(self, status: int, said: str) -> bool:
        return status == 0 or " 0 failed" in said  # so few seeds do not try everything

    def __str__(self) -> str:
        return f"simulation, {self.seeds} seeds"


class ByPower(NamedTuple):
    """States that a power cut may leave, and what must be wrong in one of them."""

    says: str
    states: int = 300
    seed: int = 1

    @property
    def command(self) -> list[str]:
        options = ["--only", "replay", "--states", str(self.states), "--seed", str(self.seed)]
        return [sys.executable, "tests/power/run.py", *options]

    @property
    def sign(self) -> str:
        return self.says

    def found_nothing(self, status: int, said: str) -> bool:
        return status == 0

    def __str__(self) -> str:
        return f"power cuts, {self.states} states: {self.says}"


class Edit(NamedTuple):
    """A text of a file, which is there once, and what stands there instead."""

    path: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A change to the program that breaks a promise, and what must notice it."""

    name: str
    methods: tuple[Method, ...]
    """Each of which has to."""
    edits: tuple[Edit, ...]
