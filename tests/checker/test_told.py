"""What the checker says of webhooks: promise 9."""

from typing import Any

import pytest

from tests.checker.story import Story

HOOK = "https://a.example"


@pytest.fixture
def told(story: Story) -> Story:
    """Tell of a job whose end is owed to one receiver, and of nothing yet that came of it."""
    story.begin()
    story.run_all()
    story.finish()
    story.tell("owed", event="end of job a", to=[HOOK])
    return story


def message(story: Story, name: str = "msg 1", **delivery: Any) -> None:
    story.tell("message", event="end of job a", message=name)
    about = {"receiver": HOOK, "status": "succeeded", "attempts": 1, "due": False}
    story.tell("delivery", message=name, **{**about, **delivery})


def received(story: Story, receiver: str = HOOK, body: str = "body") -> None:
    story.tell("received", message="msg 1", receiver=receiver, body=body)


def test_a_message_that_arrived_is_well(told: Story) -> None:
    message(told)
    received(told)
    received(told)

    assert told.violations() == {}


@pytest.mark.parametrize(
    "delivery",
    [
        {"status": "retrying", "due": True},
        {"status": "pending", "attempts": 0, "due": True},
        {"status": "dead", "reason": "exhausted", "attempts": 10},
        {"status": "dead", "reason": "exhausted", "attempts": 0, "too_old": True},
        {"status": "dead", "reason": "endpoint_disabled", "attempts": 0},
    ],
)
def test_one_that_is_due_or_dead_for_a_reason_is_well(
    told: Story, delivery: dict[str, Any]
) -> None:
    message(told, **delivery)

    assert told.violations() == {}


def test_an_event_without_its_message_is_caught(told: Story) -> None:
    said = "end of job a has 0 messages, for 1 receivers"
    assert told.violations() == {"untold": (said,)}


def test_an_event_with_two_messages_is_caught(told: Story) -> None:
    message(told, status="retrying", due=True)
    message(told, "msg 2", status="retrying", due=True)

    said = "end of job a has 2 messages, for 1 receivers"
    assert told.violations() == {"untold": (said,)}


def test_a_message_that_nobody_is_to_be_told_is_caught(story: Story) -> None:
    story.begin()
    story.run_all()
    story.finish()
    story.tell("owed", event="end of job a", to=[])
    message(story, status="retrying", due=True)

    said = "end of job a has 1 messages, for 0 receivers"
    assert story.violations() == {"untold": (said,)}


def test_a_message_to_somebody_else_is_caught(told: Story) -> None:
    message(told, receiver="https://b.example", status="retrying", due=True)

    said = "end of job a is told to ['https://b.example'], and should be to ['https://a.example']"
    assert told.violations() == {"untold": (said,)}


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        ({}, "succeeded and has not arrived"),
        ({"status": "dead", "attempts": 1}, "is dead without a reason"),
        (
            {"status": "dead", "reason": "exhausted", "attempts": 0},
            "is dead as exhausted and was never tried",
        ),
        ({"status": "retrying"}, "is retrying and will not be tried again"),
    ],
)
def test_a_delivery_that_came_to_nothing_is_caught(
    told: Story, delivery: dict[str, Any], said: str
) -> None:
    message(told, **delivery)

    assert told.violations() == {"untold": (f"msg 1 to {HOOK} {said}",)}


def test_a_body_that_was_rendered_anew_is_caught(told: Story) -> None:
    message(told)
    received(told)
    received(told, body="another")

    said = f"msg 1 came to {HOOK} as 2 different bodies"
    assert told.violations() == {"untold": (said,)}


def test_a_message_at_a_stranger_is_caught(told: Story) -> None:
    message(told)
    received(told)
    received(told, "https://b.example")

    said = "msg 1 came to https://b.example, and was not for it"
    assert told.violations() == {"untold": (said,)}
