"""Text from plugins, made safe to send: valid UTF-8, bounded, whatever __str__ does."""

MAX_MESSAGE_CHARS = 2000


def clean(value: str, limit_chars: int = MAX_MESSAGE_CHARS, *, keep_end: bool = False) -> str:
    """Return `value` without lone surrogates (undecodable file names), cut to the limit."""
    if len(value) > limit_chars:
        value = "…" + value[1 - limit_chars :] if keep_end else value[: limit_chars - 1] + "…"
    return value.encode("utf-8", "backslashreplace").decode()


def shown(value: object, limit_chars: int = MAX_MESSAGE_CHARS) -> str:
    """Return str(value), cleaned; the type's name when it cannot be printed."""
    try:
        return clean(str(value), limit_chars)
    except BaseException:  # noqa: BLE001 - a plugin's __str__ may raise anything at all
        return f"<{type(value).__name__} that cannot be printed>"
