"""Promises 1 to 4 and 7 under kill -9, shown by a short share of the loop."""

from pathlib import Path

import pytest

from tests.kill import loop

CYCLES = 25


@pytest.mark.timeout(180)
def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    result = loop.run(tmp_path, CYCLES, seed=1)

    print(result.table())  # noqa: T201 - shown with a failure
    assert result.report.violations == ()
    assert result.report.acknowledged > CYCLES
    assert result.report.cut > 0
    assert result.report.unknown > 0
