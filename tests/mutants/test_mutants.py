"""Every mutant of jobd is caught, and what says so can tell a mutant from what is whole."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.mutants.mutant import ByPower, BySim, ByTests, Edit, Method, Mutant
from tests.mutants.trial import TRIALS, Bench, Tree, Verdict

Trial = tuple[Mutant, Method]

SAMPLE = [(mutant, method) for mutant, method in TRIALS if not isinstance(method, ByPower | BySim)]
"""The others take too long for every day; the command tries them."""

QUICK = ByTests("tests/store/test_settle.py", "test_of_two_outcomes_of_one_attempt")


def named(trial: Trial) -> str:
    return f"{trial[0].name}, by {trial[1]}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("mutants"))
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def verdicts(bench: Bench, request: pytest.FixtureRequest) -> dict[str, Future[Verdict]]:
    """Those of the trials that were asked for: two go on while the first is waited for."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [spec.params["trial"] for spec in specs if spec and "trial" in spec.params]
    return {named(trial): bench.begin(*trial) for trial in asked}


@pytest.fixture
def tree(bench: Bench, tmp_path: Path) -> Iterator[Tree]:
    tree = bench.tree.copy(tmp_path / "tree")
    yield tree
    tree.remove()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("trial", SAMPLE, ids=named)
def test_it_is_caught(verdicts: dict[str, Future[Verdict]], trial: Trial) -> None:
    verdict = verdicts[named(trial)].result()

    assert verdict.caught, verdict.said


def test_the_tests_that_catch_them_find_nothing_in_the_tree_as_it_is(bench: Bench) -> None:
    tests = [method for _, method in TRIALS if isinstance(method, ByTests)]

    assert bench.unpatched(tests).result() is None


def test_what_runs_is_the_copy(tree: Tree, tmp_path: Path) -> None:
    for module in ("jobd", "jobd.pool.child", "tests.checker.history"):
        assert tree.where(module).is_relative_to(tmp_path)


def test_a_change_that_breaks_nothing_survives(bench: Bench) -> None:
    edit = Edit("jobd/store/jobs.py", "def settle(", "# the same\ndef settle(")

    verdict = bench.begin(Mutant("a remark", (), (edit,)), QUICK).result()

    assert not verdict.caught
    assert "1 passed" in verdict.said


def test_a_program_that_does_not_start_is_not_caught(bench: Bench) -> None:
    edit = Edit("jobd/store/jobs.py", "def settle(", "def settle")

    verdict = bench.begin(Mutant("no Python", (), (edit,)), QUICK).result()

    assert not verdict.caught
    assert "SyntaxError" in verdict.said


@pytest.mark.parametrize("old", ["never there", "import"])
def test_a_patch_that_does_not_apply_is_not_caught(bench: Bench, old: str) -> None:
    edit = Edit("jobd/store/jobs.py", old, "new")

    verdict = bench.begin(Mutant("an old one", (), (edit,)), QUICK).result()

    assert not verdict.caught
    assert "the patch does not apply" in verdict.said
