"""The commands about endpoints: ls, add, show, set, rm, rotate-secret.

Not here: what was sent to them, and tests (deliveries.py).
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import click
from msgspec import UNSET, UnsetType

from jobd.cli import curl
from jobd.cli.errors import report, say
from jobd.cli.exits import of_error
from jobd.cli.options import (
    Environ,
    connect,
    limit_option,
    of_all_option,
    output_option,
    socket_option,
)
from jobd.cli.output import Column, View, age, now, print_fields
from jobd.cli.receive import secret_of, secret_options
from jobd.client import ApiError
from jobd.client.webhooks import Endpoint, EndpointPatch, EndpointRequest

F = TypeVar("F", bound=Callable[..., Any])

_EVERY = "*"
_DEFAULT_EVENTS = "default"
_ENDED = "ended"
"""How the three events that end a job are shown."""

_ID = "endpoint_id"
"""As many as a principal may have."""
_HIDDEN = "whsec_…"
"""Stands for a secret where a call is only printed."""


def _state(endpoint: Endpoint) -> str:
    if not endpoint.enabled:
        reason = endpoint.disabled_reason
        return "disabled" if reason is None else f"disabled: {reason}"
    return "paused" if endpoint.paused else "open"


def _state_colour(endpoint: Endpoint) -> str | None:
    if not endpoint.enabled:
        return "red"
    return "yellow" if endpoint.paused or endpoint.failing_since else None


def _words(words: list[str] | None, otherwise: str) -> str:
    return otherwise if words is None else " ".join(words)


def _rate(endpoint: Endpoint) -> str:
    return "" if endpoint.rate_per_second is None else f"{endpoint.rate_per_second:g}/s"


VIEW: View[Endpoint] = View(
    items="endpoints",
    name=lambda endpoint: endpoint.endpoint_id,
    columns=(
        Column("ENDPOINT", lambda endpoint: endpoint.endpoint_id),
        Column("URL", lambda endpoint: endpoint.url),
        Column("EVENTS", lambda endpoint: _words(endpoint.events, _ENDED)),
        Column("STATE", _state, colour=_state_colour),
        Column("FAILING", lambda endpoint: age(endpoint.failing_since, now())),
        Column("KINDS", lambda endpoint: _words(endpoint.kinds, _EVERY), wide=True),
        Column("QUEUES", lambda endpoint: _words(endpoint.queues, _EVERY), wide=True),
        Column("PAYLOAD", lambda endpoint: endpoint.payload, wide=True),
        Column("RATE", _rate, wide=True, right=True),
        Column("PRINCIPAL", lambda endpoint: endpoint.principal, wide=True),
        Column("DESCRIPTION", lambda endpoint: endpoint.description, wide=True),
    ),
)


def _fields(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    at = now()
    yield "endpoint", endpoint.endpoint_id
    yield "principal", endpoint.principal
    yield "url", endpoint.url
    yield "description", endpoint.description
    yield "state", _state(endpoint)
    yield "failing for", age(endpoint.failing_since, at)
    yield "events", _words(endpoint.events, "job.completed job.failed job.cancelled")
    yield "kinds", _words(endpoint.kinds, _EVERY)
    yield "queues", _words(endpoint.queues, _EVERY)
    yield "payload", endpoint.payload
    yield "rate", _rate(endpoint)
    yield "secret", endpoint.secret_hint
    yield "created", f"{endpoint.created_at:%Y-%m-%dT%H:%M:%SZ}"
    yield "updated", f"{endpoint.updated_at:%Y-%m-%dT%H:%M:%SZ}"


def _print(endpoint: Endpoint, body: bytes, output: str) -> None:
    if output == "table":
        print_fields(_fields(endpoint))
    else:
        VIEW.print_one(endpoint, body, output)


def _rate_limit(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | UnsetType | None:
    """Return what `--rate` means; None is no limit."""
    if value is None:
        return UNSET
    if value == "none":
        return None
    rate: float = click.FloatRange(min=0, min_open=True)(value, parameter, context)
    return rate


def _told_of(command: F) -> F:
    """Add the options that say what an endpoint is told of, and how."""
    options = (
        click.option(
            "--event",
            "events",
            metavar="TYPE",
            multiple=True,
            help="Tell of this, as job.retrying; repeat. default: how jobs end.",
        ),
        click.option(
            "--kind",
            "kinds",
            metavar="KIND",
            multiple=True,
            help="Of jobs of this kind, or of prefix.*; repeat. *: of all.",
        ),
        click.option(
            "--queue",
            "queues",
            metavar="NAME",
            multiple=True,
            help="Of this queue; repeat. *: all.",
        ),
        click.option(
            "--payload",
            type=click.Choice(["notice", "job"]),
            help="A thin notice, or the job as lists show it.",
        ),
        click.option(
            "--rate",
            metavar="N|none",
            callback=_rate_limit,
            help="At most so many requests a second.",
        ),
        click.option("--description", metavar="TEXT", help="What it is for."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _asked(
    *,
    events: tuple[str, ...],
    kinds: tuple[str, ...],
    queues: tuple[str, ...],
    **others: Any,
) -> dict[str, Any]:
    """Return the fields that were named; a word for all stands for null."""
    fields = {name: value for name, value in others.items() if value not in (None, UNSET)}
    if others["rate_per_second"] is None:
        fields["rate_per_second"] = None
    for name, words, everything in (
        ("events", events, _DEFAULT_EVENTS),
        ("kinds", kinds, _EVERY),
        ("queues", queues, _EVERY),
    ):
        if words:
            fields[name] = None if everything in words else list(words)
    return fields


@click.command(epilog="Example: jobd webhooks ls -o wide")
@of_all_option
@limit_option
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def ls(environ: Environ, *, of_all: bool, limit: int, output: str, socket: str | None) -> None:
    """List your endpoints."""
    with connect(environ, socket) as client:
        answer = client.webhooks.endpoints(all=of_all, page_size=limit)
    VIEW.print_list(answer.value.endpoints, answer.body, output)
    if answer.value.next_page_token is not None and output in ("table", "wide"):
        say(f"There are more than these {limit}; see --limit.")


@click.command(
    epilog="Examples: jobd webhooks add https://app.example/hooks ·"
    " jobd webhooks add unix:/run/app/hooks.sock:/ --kind 'mail.*' --event job.failed"
)
@click.argument("url")
@_told_of
@secret_options
@click.option("--paused", is_flag=True, help="Let what is to be sent wait, for now.")
@output_option("table", "How to print it.")
@socket_option
@click.pass_obj
def add(
    environ: Environ,
    /,
    *,
    url: str,
    secret: str | None,
    secret_file: Any,
    paused: bool,
    output: str,
    socket: str | None,
    rate: float | UnsetType | None,
    **told: Any,
) -> None:
    """Register URL to be told of how your jobs end, or of what the options say.

    The secret that signs is printed: this is the only time it is shown.
    """
    fields = _asked(rate_per_second=rate, **told)
    given = secret_of(secret, secret_file)
    if given is not None and curl.asked():
        given = _HIDDEN
    request = EndpointRequest(url=url, paused=paused, secret=given, **fields)
    with connect(environ, socket) as client:
        answer = client.webhooks.add(request)
    if output != "table":
        VIEW.print_one(answer.value, answer.body, output)
        return
    shown = dict(_fields(answer.value))
    print_fields({**shown, "secret": answer.value.secret}.items())


@click.command(epilog="Example: jobd webhooks show whe_019b…")
@click.argument(_ID, metavar="ENDPOINT")
@output_option("table", "How to print it.")
@socket_option
@click.pass_obj
def show(environ: Environ, *, endpoint_id: str, output: str, socket: str | None) -> None:
    """Show one endpoint: what it is told of, and how it is."""
    with connect(environ, socket) as client:
        answer = client.webhooks.get(endpoint_id)
    _print(answer.value, answer.body, output)


@click.command(
    "set",
    epilog="Examples: jobd webhooks set whe_019b… --pause ·"
    " jobd webhooks set whe_019b… --event job.failed --kind '*' --rate none",
)
@click.argument(_ID, metavar="ENDPOINT")
@click.option("--url", help="Send there from now on, what waits too.")
@_told_of
@click.option("--enable/--disable", "enabled", default=None, help="Send, or drop what waits.")
@click.option("--pause/--resume", "paused", default=None, help="Let it wait, or send again.")
@output_option("table", "How to print it.")
@socket_option
@click.pass_obj
def set_(
    environ: Environ,
    /,
    *,
    endpoint_id: str,
    output: str,
    socket: str | None,
    rate: float | UnsetType | None,
    **asked: Any,
) -> None:
    """Change an endpoint; what you do not name stays.

    A disabled one is sent nothing, and what waited for it is dead; see `redeliver`.
    """
    patch = EndpointPatch(**_asked(rate_per_second=rate, **asked))
    if patch == EndpointPatch():
        raise click.UsageError("say what to change")
    with connect(environ, socket) as client:
        answer = client.webhooks.change(endpoint_id, patch)
    _print(answer.value, answer.body, output)


@click.command(epilog="Example: jobd webhooks rm whe_019b…")
@click.argument("endpoint_ids", metavar="ENDPOINT…", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask, however many they are.")
@socket_option
@click.pass_obj
def rm(environ: Environ, *, endpoint_ids: tuple[str, ...], yes: bool, socket: str | None) -> int:
    """Remove endpoints; what still waited for them is dead.

    On a terminal you are asked before several are removed.
    """
    ids = tuple(dict.fromkeys(endpoint_ids))
    if len(ids) > 1 and not yes and sys.stdin.isatty() and not curl.asked():
        click.confirm(f"Remove {len(ids)} endpoints?", abort=True, err=True)
    code = 0
    with connect(environ, socket) as client:
        if curl.asked():
            curl.each(*(partial(client.webhooks.delete, one) for one in ids))
            return code
        for endpoint_id in ids:
            try:
                client.webhooks.delete(endpoint_id)
            except ApiError as error:
                report(error)
                code = code or of_error(error)
            else:
                click.echo(f"{endpoint_id}: removed")
    return code


@click.command(
    "rotate-secret", epilog="Example: jobd webhooks rotate-secret whe_019b… > /etc/app/secret"
)
@click.argument(_ID, metavar="[ENDPOINT]", default="default")
@click.option(
    "--overlap",
    "overlap_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="The secret before signs too for so long.  [default: a day]",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@socket_option
@click.pass_obj
def rotate_secret(
    environ: Environ,
    *,
    endpoint_id: str,
    overlap_s: float | None,
    output: str,
    socket: str | None,
) -> None:
    """Make a new secret and print it: this is the only time it is shown.

    Without an ENDPOINT it is the one of your jobs' callbacks. The secret before it signs as
    well for a while, so that receivers can change over.
    """
    with connect(environ, socket) as client:
        rotated = client.webhooks.rotate_secret(endpoint_id, overlap_s=overlap_s)
    if output == "json":
        click.echo(rotated.body)
        return
    click.echo(rotated.value.secret)
    until = rotated.value.previous_secret_expires_at
    if until is not None:
        say(f"jobd: the secret before it signs as well until {until:%Y-%m-%dT%H:%M:%SZ}")
