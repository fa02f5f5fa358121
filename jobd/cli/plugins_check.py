"""`jobd plugins check`: imports each plugin in a child, says what is wrong, and how to mend it.

Works without a daemon. Not here: the import (offline.py), what a daemon found (plugins.py).
"""

import difflib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec

from jobd import config
from jobd.cli.errors import say
from jobd.cli.exits import Exit
from jobd.cli.offline import CannotLook, installed_handlers
from jobd.cli.options import Environ
from jobd.cli.output import plain
from jobd.wire.handlers import Handler, HandlerList, LoadError

_STRANGER = re.compile(r"jobd\b(?![-_.])", re.IGNORECASE)
"""The name of somebody else's distribution; ours is jobd-server."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about one kind."""

    kind: str
    distribution: str
    ok: bool
    problem: str | None = None
    fix: str | None = None
    advice: list[str] = []
    """What would make it better; it runs without."""


@click.command(
    epilog="""\b
Examples:
  jobd plugins check
  jobd plugins check jobd-ocr
  jobd plugins check ocr.pdf -o json"""
)
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print what was found.",
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The settings file, for [plugins].  [default: $JOBD_CONFIG, yours, the system's]",
)
@click.pass_obj
def check(environ: Environ, *, name: str | None, output: str, config_path: Path | None) -> int:
    """Load each plugin, or that of NAME (a kind or a distribution), and say what is wrong."""
    try:
        tables = config.load(config_path, environ, {}).plugins
        found = installed_handlers(tables)
    except (config.ConfigError, CannotLook) as error:
        say(f"jobd: {error}")
        return Exit.UNUSABLE
    findings = list(_findings(found))
    if name is not None:
        known = {known for finding in findings for known in (finding.kind, finding.distribution)}
        findings = [finding for finding in findings if name in (finding.kind, finding.distribution)]
        if not findings:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            say(f"jobd: no installed plugin is or has {plain(name)}.{hint}")
            return Exit.NOT_FOUND
    if output == "json":
        click.echo(msgspec.json.encode(findings))
    else:
        _print(findings)
    return Exit.OK if all(finding.ok for finding in findings) else Exit.FAILED


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        word = click.style("ok  ", fg="green") if finding.ok else click.style("FAIL", fg="red")
        click.echo(f"{word}  {plain(finding.kind)}  ({plain(finding.distribution)})")
        if finding.problem is not None:
            click.echo(f"      {plain(finding.problem)}")
        if finding.fix is not None:
            click.echo(f"      to mend it: {plain(finding.fix)}")
        for advice in finding.advice:
            click.echo(f"      better: {plain(advice)}")
    if not findings:
        click.echo("No plugin is installed. `jobd plugins new NAME` writes one.")


def _findings(found: HandlerList) -> Iterator[Finding]:
    for broken in found.load_errors:
        yield Finding(
            kind=broken.kind,
            distribution=broken.distribution,
            ok=False,
            problem=broken.message,
            fix=fix(broken),
        )
    for handler in found.handlers:
        yield Finding(
            kind=handler.kind,
            distribution=handler.distribution,
            ok=True,
            advice=list(_advice(handler)),
        )


def _advice(handler: Handler) -> Iterator[str]:
    if not handler.description:
        yield "give the handler a docstring: its first line is what `jobd plugins ls` shows"
    if handler.args_schema is None:
        yield "declare args=Struct: then bad args are refused at submit, not at run"
    elif not _is_strict(handler.args_schema):
        yield "declare the args' Struct with forbid_unknown_fields=True: misspelt ones pass now"
    if _depends_on_a_stranger(handler.distribution):
        yield "depend on jobd-server: the distribution `jobd` on the index is somebody else's"


def _is_strict(schema: dict[str, object]) -> bool:
    named = str(schema.get("$ref", "")).rpartition("/")[2]
    definitions = schema.get("$defs")
    top = definitions.get(named, schema) if isinstance(definitions, dict) else schema
    return isinstance(top, dict) and top.get("additionalProperties") is False


def _depends_on_a_stranger(distribution: str) -> bool:
    import importlib.metadata  # noqa: PLC0415 - 14 ms that no other command shall pay

    try:
        needs = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return False
    return any(_STRANGER.match(need) for need in needs)


_Advise = Callable[[re.Match[str], LoadError], str]

_FIXES: tuple[tuple[str, _Advise], ...] = (
    (r"(apt-get install .*)$", lambda at, _: at[1]),
    (
        r"No module named '([^']+)'",
        lambda at, error: (
            f"install what provides the module {at[1]} ({sys.prefix}/bin/pip install …), "
            f"and list it in the dependencies of {error.distribution}"
        ),
    ),
    (
        r"(lib[^\s:]+): cannot open shared object file",
        lambda at, _: f"install the Debian package that has {at[1]} (apt-file search {at[1]})",
    ),
    (
        r"has no attribute",
        lambda _, error: f"the entry point says {error.target}: name a function that is there",
    ),
    (
        r"is not a handler",
        lambda _, error: f"decorate {error.target} with @handler from jobd.sdk",
    ),
    (r"Uninstall all but one", lambda _, __: f"{sys.prefix}/bin/pip uninstall one of them"),
    (
        r"settings in (\[plugins\.[^\]]+\])",
        lambda at, _: f"correct {at[1]} in the settings file",
    ),
    (
        r"ended the process|took longer",
        lambda _, error: (
            f"python -X faulthandler -c 'import {error.target.partition(':')[0]}' shows where"
        ),
    ),
    (
        r"SyntaxError|IndentationError",
        lambda _, error: f"python -m py_compile shows the line in {error.target.partition(':')[0]}",
    ),
)


def fix(error: LoadError) -> str:
    """Return how a plugin that did not load is mended, as far as its error tells."""
    for pattern, advise in _FIXES:
        if at := re.search(pattern, error.message):
            return advise(at, error)
    module = error.target.partition(":")[0]
    return f"python -c 'import {module}' shows the whole traceback"
