"""Says at the end how many cells of the matrix were run."""

import pytest

from tests.access import test_matrix


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if test_matrix.asked:
        cells = sum(test_matrix.asked.values())
        operations = len(test_matrix.asked)
        terminalreporter.write_line(f"access: {cells} cells of {operations} operations")
