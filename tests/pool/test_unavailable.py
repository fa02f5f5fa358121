"""A handler that cannot be imported is no attempt of its job."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Completed, Failed, HandlerUnavailable

if TYPE_CHECKING:
    from tests.pool.conftest import Pool

MakeClaim = Callable[..., Claim]


@pytest.mark.parametrize("kind", ["test.none", "broken.raises", "test.aecho"])
async def test_what_cannot_be_imported_is_told_and_not_charged(
    pool: "Pool", claim: MakeClaim, kind: str
) -> None:
    outcome = await pool.run(claim(kind))

    assert isinstance(outcome, HandlerUnavailable)
    assert pool.listener.missing == [(kind, outcome.message)]
    assert isinstance(await pool.run(claim("test.echo")), Completed)


async def test_a_handler_that_says_so_itself_has_failed(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.pretend"))

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "handler_unavailable"
    assert pool.listener.missing == []
