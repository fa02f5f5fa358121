"""What the checker's tests tell their histories with."""

import pytest

from tests.checker.story import Story


@pytest.fixture
def story() -> Story:
    return Story()
