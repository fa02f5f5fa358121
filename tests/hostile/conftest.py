"""One daemon for all that is hostile: it must be as good behind it as before."""

from collections.abc import Iterator

import pytest

from tests.hostile.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The daemon, which must not have found a bug in itself when all is over."""
    house = House(tmp_path_factory.mktemp("h"))
    try:
        yield house
        assert house.alive()
    finally:
        house.close()
    assert house.complaints() == []
