"""`jobd token`: who may come by TCP, or by the socket as somebody else.

Not here: making one without a daemon (offline.py).
"""

import re
from datetime import datetime
from pathlib import Path

import click
import msgspec

from jobd import config
from jobd.cli.errors import say
from jobd.cli.exits import Exit
from jobd.cli.offline import CannotMake, make_token
from jobd.cli.options import Environ, connect, limit_option, output_option, socket_option
from jobd.cli.output import Column, View, age, now
from jobd.client.tokens import NewToken, Token, TokenRequest

_SCOPES = ("submit", "read", "operate", "worker", "admin")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LIFE = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_FORMS = {
    "principal": "NAME has letters, digits and . _ @ - (the first is one of the former), 100 at "
    "most; or it is uid:NUMBER, a user of this machine.",
    "description": "--description has 200 characters at most, none of them a control character.",
    "expires_in_seconds": "--expires is ten years at most.",
}


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now() else "valid"


def _age_of(moment: datetime | None) -> str:
    return age(moment, now())


VIEW: View[Token] = View(
    items="tokens",
    name=lambda token: token.token_id,
    columns=(
        Column("TOKEN", lambda token: token.token_id),
        Column("PRINCIPAL", lambda token: token.principal),
        Column("SCOPES", lambda token: " ".join(token.scopes)),
        Column("STATE", _state, colour=lambda token: None if _state(token) == "valid" else "red"),
        Column("AGE", lambda token: _age_of(token.created_at), right=True),
        Column("EXPIRES", lambda token: _age_of(token.expires_at), right=True),
        Column("USED", lambda token: _age_of(token.last_used_at), right=True),
        Column("DESCRIPTION", lambda token: token.description, wide=True),
    ),
)


def _life(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return the seconds that `--expires` means."""
    if value is None:
        return None
    form = _LIFE.fullmatch(value)
    if form is None:
        raise click.BadParameter("a number with s, m, h or d behind it: 90d", context, parameter)
    return int(form[1]) * _UNITS_S[form[2]]


def _reason(error: msgspec.ValidationError) -> str:
    """Return what is wrong in the words of the command line."""
    detail, _, where = str(error).partition(" - at `$.")
    return _FORMS.get(where.rstrip("`"), detail)


@click.group()
def token() -> None:
    """Make and revoke tokens; only an admin may."""


@token.command(
    epilog="""\b
Examples:
  jobd token create webapp > webapp.token
  jobd token create ci --scope submit --scope read --expires 90d
  sudo -u jobd jobd token create me --scope admin --offline"""
)
@click.argument("principal", metavar="NAME")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    default=("submit",),
    show_default=True,
    help="What it opens; repeat.",
)
@click.option("--description", default="", help="Where it is used, for people.")
@click.option("--expires", "life_s", metavar="TIME", callback=_life, help="90d, 12h; else never.")
@click.option("--offline", is_flag=True, help="Write it to the database; no daemon may run.")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --offline: the settings file.  [default: $JOBD_CONFIG, yours, the system's]",
)
@click.option("--state-dir", metavar="DIR", help="With --offline: where the database is.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@socket_option
@click.pass_obj
def create(  # noqa: PLR0913 - one parameter per option
    environ: Environ,
    *,
    principal: str,
    scopes: tuple[str, ...],
    description: str,
    life_s: int | None,
    offline: bool,
    config_path: Path | None,
    state_dir: str | None,
    output: str,
    socket: str | None,
) -> int:
    """Make a token for the principal NAME and print it: this is the only time it is shown."""
    asked = {
        "principal": principal,
        "scopes": scopes,
        "description": description,
        "expires_in_seconds": life_s,
    }
    try:
        request = msgspec.convert(asked, TokenRequest)
    except msgspec.ValidationError as error:
        raise click.UsageError(_reason(error)) from None
    if not offline:
        with connect(environ, socket) as client:
            made = client.tokens.create(request)
        _print(made.value, made.body, output)
        return Exit.OK
    overrides = {} if state_dir is None else {"server.state_dir": state_dir}
    try:
        settings = config.load(config_path, environ, overrides)
        new = make_token(Path(settings.server.state_dir), request)
    except (config.ConfigError, CannotMake) as error:
        say(f"jobd: {error}")
        return Exit.UNUSABLE
    _print(new, msgspec.json.encode(new), output)
    return Exit.OK


def _print(new: NewToken, body: bytes, output: str) -> None:
    click.echo(body if output == "json" else new.token)


@token.command(epilog="Example: jobd token ls -o wide")
@limit_option
@output_option("table", "How to print them.")
@socket_option
@click.pass_obj
def ls(environ: Environ, *, limit: int, output: str, socket: str | None) -> None:
    """List the tokens of all principals, newest first."""
    with connect(environ, socket) as client:
        page = client.tokens.list(page_size=limit)
    VIEW.print_list(page.value.tokens, page.body, output)
    if page.value.next_page_token is not None and output in ("table", "wide"):
        say(f"There are more than these {limit}; see --limit.")


@token.command(epilog="Example: jobd token revoke 0123456789ab")
@click.argument("token_id", metavar="TOKEN")
@socket_option
@click.pass_obj
def revoke(environ: Environ, *, token_id: str, socket: str | None) -> None:
    """Have a token open nothing any more: from the next request on."""
    with connect(environ, socket) as client:
        client.tokens.revoke(token_id)
