"""Its function is no handler."""


def run(ctx: object, args: object) -> None:
    """Lack the decorator."""
