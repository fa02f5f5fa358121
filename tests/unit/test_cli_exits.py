"""The exit codes: every way in which a call can fail has one that is documented."""

import pytest

from jobd.api.problems import PROBLEMS
from jobd.cli.exits import MEANINGS, Exit, of_status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, 2),
        (401, 5),
        (403, 5),
        (404, 4),
        (409, 6),
        (410, 4),
        (413, 2),
        (415, 2),
        (422, 2),
        (429, 9),
        (500, 1),
        (502, 1),
        (503, 9),
        (507, 9),
    ],
)
def test_a_status_has_its_exit_code(status: int, expected: int) -> None:
    assert of_status(status) == expected


def test_every_refusal_of_the_daemon_has_a_documented_exit_code() -> None:
    codes = {of_status(kind.status) for kind in PROBLEMS.values()}

    assert codes <= MEANINGS.keys()
    assert set(Exit) == MEANINGS.keys()
