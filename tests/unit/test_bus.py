"""The bus: who sees which event."""

from jobd.bus import Bus
from jobd.domain.events import Event


def event(id_: int, seq: int) -> Event:
    return Event(id_, seq, f"job_{seq}", "job.queued", at_ms=0, attempt=0)


async def test_a_watch_sees_its_own_job_in_order_while_it_is_open() -> None:
    bus = Bus()
    bus.publish([event(1, 7)])

    with bus.watch(7) as watch:
        bus.publish([event(2, 7), event(3, 8), event(4, 7)])
        seen = [await watch.next(), await watch.next()]

    assert [event.id for event in seen] == [2, 4]


async def test_a_watch_is_not_woken_by_what_it_does_not_want() -> None:
    bus = Bus()

    with bus.watch(7, lambda event: event.id == 3) as watch:
        bus.publish([event(1, 7), event(2, 7), event(3, 7)])
        seen = await watch.next()

    assert seen.id == 3


async def test_a_closed_watch_leaves_nothing_behind() -> None:
    bus = Bus()

    with bus.watch(7), bus.watch(7):
        pass

    assert not bus._by_seq  # noqa: SLF001 - the leak is the subject


async def test_a_subscriber_sees_all() -> None:
    bus, seen = Bus(), list[int]()
    bus.subscribe(lambda event: seen.append(event.id))

    bus.publish([event(1, 7), event(2, 8)])

    assert seen == [1, 2]
