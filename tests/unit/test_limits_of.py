"""What handlers have declared of their attempts, kept as long as the catalogue is."""

from jobd.daemon.rooms import limits_of
from jobd.domain.catalog import Catalog, HandlerSpec
from jobd.engine.kinds import Kinds
from jobd.pool.settings import AttemptLimits

_MIB = 1024 * 1024


def catalog(memory_mb: int) -> Catalog:
    spec = HandlerSpec("a.b", "cpu", "dist", "1", "m:f", memory_mb=memory_mb)
    return Catalog({spec.kind: spec})


def test_a_new_catalogue_has_new_limits() -> None:
    kinds = Kinds(first_wait_s=60)
    find = limits_of(kinds)
    before = find("a.b")
    kinds.install(catalog(5))
    first, again = find("a.b"), find("a.b")
    kinds.install(catalog(6))

    assert before == AttemptLimits()
    assert first is again
    assert [first.memory_bytes, find("a.b").memory_bytes] == [5 * _MIB, 6 * _MIB]
