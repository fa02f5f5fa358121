"""`jobd plugins new`: a plugin's distribution, written so that its checks pass at once.

Not here: its text (skeleton/, with `{distribution}`, `{package}` and `{kind}` to be filled in).
"""

import re
from pathlib import Path

import click

from jobd.cli.errors import say
from jobd.cli.exits import Exit

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "jobd-"
_TAKEN = {"server", "import", "thumbs", "ocr", "video", "report"}

_SKELETON = Path(__file__).parent / "skeleton"
_FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md.in",
    ".gitignore": "gitignore.in",
    ".ci/run": "ci_run.in",
    ".github/workflows/checks.yml": "workflow.yml.in",
    "{package}/__init__.py": "package_init.py.in",
    "{package}/handlers.py": "handlers.py.in",
    "{package}/py.typed": None,
    "tests/test_handlers.py": "test_handlers.py.in",
}


@click.command(epilog="Example: jobd plugins new greet && cd jobd-greet && pip install -e .")
@click.argument("name")
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to make its folder.  [default: here]",
)
def new(*, name: str, into: Path) -> int:
    """Write the distribution jobd-NAME: a handler with typed args, tests, README and CI.

    Nothing that is there is overwritten.
    """
    name = name.removeprefix(_PREFIX)
    if _NAME.fullmatch(name) is None:
        raise click.UsageError(f"NAME must match ^{_NAME.pattern}$, such as greet or word-count")
    if name in _TAKEN:
        raise click.UsageError(
            f"{_PREFIX}{name} is a distribution of jobd's own: take another name"
        )
    folder = into / f"{_PREFIX}{name}"
    names = {
        "distribution": f"{_PREFIX}{name}",
        "package": f"jobd_{name.replace('-', '_')}",
        "kind": f"{name}.lines",
    }
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        say(f"jobd: {folder} is there already")
        return Exit.CONFLICT
    except OSError as error:
        say(f"jobd: cannot make {folder}: {error.strerror}")
        return Exit.FAILED
    for place, source in _FILES.items():
        _write(folder / place.format(**names), source, names)
    click.echo(f"{folder} has the kind {names['kind']}. Next, in jobd's environment:")
    click.echo(f"  cd {folder} && pip install -e '.[dev]' && pytest")
    click.echo("  jobd plugins reload")
    return Exit.OK


def _write(path: Path, source: str | None, names: dict[str, str]) -> None:
    text = "" if source is None else (_SKELETON / source).read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(**names))
    if text.startswith("#!"):
        path.chmod(0o755)
