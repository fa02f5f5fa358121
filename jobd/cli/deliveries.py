"""The commands about what was sent: deliveries, dead, redeliver, test.

What a receiver answered is printed without its control characters. Not here: who is told
(endpoints.py).
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import click

from jobd.cli import curl
from jobd.cli.errors import report, say
from jobd.cli.exits import Exit, of_error
from jobd.cli.options import (
    Environ,
    connect,
    limit_option,
    of_all_option,
    output_option,
    socket_option,
)
from jobd.cli.output import Column, View, age, now, print_fields, print_table
from jobd.client import ApiError, Client
from jobd.client.webhooks import Delivery, DeliveryAttempt, DeliveryDetail, RedeliverRequest

F = TypeVar("F", bound=Callable[..., Any])

_STATUSES = ("pending", "retrying", "succeeded", "dead")
_COLOURS = {"succeeded": "green", "dead": "red", "retrying": "yellow"}
_AGE = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def outcome(attempt: DeliveryAttempt | None) -> str:
    """Return what came of an attempt: `204`, `503 http_status`, `timeout`; empty if none was."""
    if attempt is None:
        return ""
    said = (attempt.status_code, attempt.error)
    return " ".join(str(word) for word in said if word is not None)


def _colour(delivery: Delivery) -> str | None:
    return _COLOURS.get(delivery.status)


VIEW: View[Delivery] = View(
    items="deliveries",
    name=lambda delivery: delivery.delivery_id,
    columns=(
        Column("DELIVERY", lambda delivery: delivery.delivery_id),
        Column("EVENT", lambda delivery: delivery.event_type),
        Column("STATUS", lambda delivery: delivery.status, colour=_colour),
        Column("REASON", lambda delivery: delivery.dead_reason or ""),
        Column("TRIED", lambda delivery: str(delivery.attempt_count), right=True),
        Column("LAST", lambda delivery: outcome(delivery.last_attempt)),
        Column("AGE", lambda delivery: age(delivery.created_at, now())),
        Column("JOB", lambda delivery: delivery.job_id or ""),
        Column("URL", lambda delivery: delivery.url, wide=True),
        Column("ENDPOINT", lambda delivery: delivery.endpoint_id or "", wide=True),
        Column("PRINCIPAL", lambda delivery: delivery.principal, wide=True),
        Column("NEXT", lambda delivery: age(delivery.next_attempt_at, now()), wide=True),
    ),
)


def _answer(attempt: DeliveryAttempt) -> str:
    """Return how the answer began, on one line, and when it asked to be asked again."""
    after = attempt.response_headers.get("retry-after")
    said = " ".join((attempt.response_excerpt or "").split())
    return " ".join(part for part in (f"(retry-after: {after})" if after else "", said) if part)


_ATTEMPTS: tuple[Column[DeliveryAttempt], ...] = (
    Column("ATTEMPT", lambda attempt: str(attempt.attempt), right=True),
    Column("STARTED", lambda attempt: f"{attempt.started_at:%Y-%m-%dT%H:%M:%SZ}"),
    Column("TOOK", lambda attempt: f"{attempt.duration_ms} ms", right=True),
    Column("CAME TO", outcome),
    Column("ANSWER", _answer),
)


def _since(_ctx: click.Context, _param: click.Parameter, text: str | None) -> datetime | None:
    """Return the moment that `--since` means: RFC 3339, or how long ago."""
    if text is None:
        return None
    if match := _AGE.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is neither a time nor an age like 2h") from error
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text} has no zone; put a Z behind it for UTC")
    return moment


def _which(command: F) -> F:
    """Add the options that say which deliveries."""
    options = (
        click.option("--endpoint", "endpoint_id", metavar="ENDPOINT", help="To this endpoint."),
        click.option("--job", "job_id", metavar="JOB", help="That tell of this job."),
        click.option(
            "--since",
            metavar="TIME|AGE",
            callback=_since,
            help="Made from then on: RFC 3339, or an age like 2h.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "deliveries",
    epilog="Examples: jobd webhooks deliveries --job job_019b… ·"
    " jobd webhooks deliveries dlv_019b…",
)
@click.argument("delivery_id", metavar="[DELIVERY]", required=False)
@click.option("--status", type=click.Choice(_STATUSES), help="Only these.")
@_which
@of_all_option
@limit_option
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def ls(
    environ: Environ, /, *, delivery_id: str | None, output: str, socket: str | None, **asked: Any
) -> None:
    """List what was sent to endpoints and callback URLs, newest first; or show one DELIVERY."""
    with connect(environ, socket) as client:
        if delivery_id is None:
            _list(client, output, **asked)
            return
        answer = client.webhooks.delivery(delivery_id)
    if output not in ("table", "wide"):
        VIEW.print_one(answer.value, answer.body, output)
        return
    print_fields(_fields(answer.value))
    if answer.value.attempts:
        click.echo()
        print_table(_ATTEMPTS, answer.value.attempts)


@click.command(epilog="Example: jobd webhooks dead --since 2d -o wide")
@_which
@of_all_option
@limit_option
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def dead(environ: Environ, /, *, output: str, socket: str | None, **asked: Any) -> None:
    """List what was given up, and why: the dead letters. See `redeliver`."""
    with connect(environ, socket) as client:
        _list(client, output, status="dead", **asked)


def _list(client: Client, output: str, *, limit: int, of_all: bool, **filters: Any) -> None:
    answer = client.webhooks.deliveries(page_size=limit, all=of_all, **filters)
    VIEW.print_list(answer.value.deliveries, answer.body, output)
    if answer.value.next_page_token is not None and output in ("table", "wide"):
        say(f"There are more than these {limit}; see --limit.")


def _fields(delivery: DeliveryDetail) -> Iterator[tuple[str, str]]:
    yield "delivery", delivery.delivery_id
    yield "webhook-id", delivery.message_id
    yield "event", delivery.event_type
    yield "job", delivery.job_id or ""
    yield "principal", delivery.principal
    yield "endpoint", delivery.endpoint_id or ""
    yield "url", delivery.url
    yield "status", delivery.status
    yield "reason", delivery.dead_reason or ""
    yield "created", f"{delivery.created_at:%Y-%m-%dT%H:%M:%SZ}"
    yield "due", age(delivery.next_attempt_at, now())


@click.command(
    epilog="Examples: jobd webhooks redeliver dlv_019b… ·"
    " jobd webhooks redeliver --endpoint whe_019b… --since 2d"
)
@click.argument("delivery_ids", metavar="[DELIVERY…]", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that are dead.")
@click.option("--others", is_flag=True, help="What is others' too; it takes the right to operate.")
@click.option(
    "--status",
    type=click.Choice(["dead", "succeeded"]),
    default="dead",
    show_default=True,
    help="Of those that are named by options.",
)
@_which
@socket_option
@click.pass_obj
def redeliver(
    environ: Environ,
    /,
    *,
    delivery_ids: tuple[str, ...],
    every: bool,
    others: bool,
    status: Any,
    socket: str | None,
    **which: Any,
) -> int:
    """Send again what was given up: single deliveries, or all that the options name.

    A receiver sees the webhook-id that it may know; the schedule begins anew.
    """
    named = every or any(value is not None for value in which.values())
    if named == bool(delivery_ids):
        raise click.UsageError("name deliveries, or say which by --all, --endpoint, --job, --since")
    if others and delivery_ids:
        raise click.UsageError("--others is for what options name")
    with connect(environ, socket) as client:
        if delivery_ids:
            return _each(client, tuple(dict.fromkeys(delivery_ids)))
        request = RedeliverRequest(status=status, all=others, **which)
        answer = client.webhooks.redeliver_all(request)
    click.echo(f"{answer.value.redelivered} will be sent again")
    return Exit.OK


def _each(client: Client, delivery_ids: tuple[str, ...]) -> int:
    if curl.asked():
        curl.each(*(partial(client.webhooks.redeliver, one) for one in delivery_ids))
        return Exit.OK
    code = 0
    for delivery_id in delivery_ids:
        try:
            client.webhooks.redeliver(delivery_id)
        except ApiError as error:
            report(error)
            code = code or of_error(error)
        else:
            click.echo(f"{delivery_id}: will be sent again")
    return code


@click.command(epilog="Example: jobd webhooks test whe_019b…")
@click.argument("endpoint_id", metavar="ENDPOINT")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Wait so long for the first attempt.",
)
@socket_option
@click.pass_obj
def test(environ: Environ, *, endpoint_id: str, timeout_s: float, socket: str | None) -> int:
    """Send a webhook.test to an endpoint and say whether it has arrived.

    Exits 1 when it has not, 8 when it was not tried in time; either way it is tried on.
    """
    with connect(environ, socket) as client:
        delivery_id = client.webhooks.test(endpoint_id).value.delivery_id
        tried = client.webhooks.tried(delivery_id, timeout_s=timeout_s)
    last = tried.last_attempt
    if last is None and tried.dead_reason is None:
        say(f"jobd: {delivery_id} still waits for its first attempt")
        return Exit.WAIT_TIMED_OUT
    print_fields(_fields(tried))
    if last is not None:
        click.echo()
        print_table(_ATTEMPTS, [last])
    return Exit.OK if tried.status == "succeeded" else Exit.FAILED
