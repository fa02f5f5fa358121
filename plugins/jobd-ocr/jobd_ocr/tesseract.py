"""The program that reads: which languages it has, and one page read by it.

The pixels go to it through its stdin as they are, and the text comes back line by line, so
nothing is packed, unpacked or written to a disk on the way.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence

import msgspec

from jobd.sdk import Context, Discard, Retry
from jobd_ocr.args import Layout, OcrConfig
from jobd_ocr.pages import Picture

_LIST_TIMEOUT_S = 30
_STDIN = "/dev/stdin"
"""Opened as a file: "stdin" would be read a character at a time."""
_MARGIN_S = 2.0
"""What is left of the attempt's time when its last page is given up: to say so."""
_TIMED_OUT = (124, 137)
"""How timeout(1) says that the time was over; the second, that SIGKILL was needed."""

_MODES: dict[Layout, int] = {
    "page": 3,
    "turned": 1,
    "column": 4,
    "block": 6,
    "line": 7,
    "sparse": 11,
}


class Tesseract(msgspec.Struct, frozen=True):
    """The program as it is installed here."""

    languages: frozenset[str]
    options: tuple[str, ...] = ()


def installed(config: OcrConfig) -> Tesseract | None:
    """Ask the program what it has, once for many jobs; None if there is no such program."""
    program = shutil.which("tesseract")
    if program is None:
        return None
    options = () if config.tessdata is None else ("--tessdata-dir", config.tessdata)
    done = subprocess.run(  # noqa: S603 - the operator's own folder
        [program, *options, "--list-langs"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIST_TIMEOUT_S,
    )
    return Tesseract(frozenset(done.stdout.splitlines()[1:]), options)


def checked(found: Tesseract | None, config: OcrConfig, wanted: Sequence[str]) -> Tesseract:
    """Return what can read these languages; Discard that names the package which is missing."""
    if found is None or not found.languages.issuperset(wanted):
        found = installed(config)  # it may have been installed since
    if found is None:
        message = "There is no program tesseract: install Debian's package tesseract-ocr."
        raise Discard(code="program_missing", message=message)
    missing = [name for name in wanted if name not in found.languages]
    if missing:
        package = f"tesseract-ocr-{missing[0].lower().replace('_', '-').replace('/', '-')}"
        raise Discard(
            code="language_missing",
            message=f"Tesseract has no language {', '.join(missing)}, only "
            f"{', '.join(sorted(found.languages))}: install Debian's package {package}.",
        )
    return found


class Reader:
    """Reads pages for one job."""

    def __init__(
        self,
        ctx: Context,
        tesseract: Tesseract,
        languages: Sequence[str],
        layout: Layout,
        page_timeout_s: float,
    ) -> None:
        self._ctx = ctx
        self._page_timeout_s = page_timeout_s
        self._options = [*tesseract.options, "-l", "+".join(languages)]
        # pages are read one at a time: more threads would take turns, not share the work
        self._environ = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        self._layout = ["--psm", str(_MODES[layout]), "-c", "page_separator="]

    def text(self, picture: Picture) -> str:
        """Return the text of a page; Retry with `ocr_timeout` or `tesseract_failed`."""
        left_s = self._ctx.deadline - time.time() - _MARGIN_S
        limit_s = min(self._page_timeout_s, left_s)
        if limit_s <= 0:
            raise self._timeout(left_s)
        dpi = [] if picture.dpi is None else ["--dpi", str(picture.dpi)]
        # SIGKILL one second later: what does not listen must not take the time to say so
        timeout = ["timeout", "--kill-after=1", f"{limit_s:.3f}"]
        argv = [*timeout, "tesseract", _STDIN, "stdout", *self._options, *dpi, *self._layout]
        lines: list[str] = []

        def heard(stream: str, line: str) -> bool:
            if stream == "stdout":
                lines.append(line)
            return stream == "stdout"

        try:
            self._ctx.subprocess(argv, env=self._environ, input=picture.tiff, on_line=heard)
        except subprocess.CalledProcessError as exc:
            if exc.returncode in _TIMED_OUT:
                raise self._timeout(left_s) from None
            message = f"Tesseract ended with code {exc.returncode}. {exc.stderr}".strip()
            raise Retry(code="tesseract_failed", message=message) from None
        return "\n".join(lines).strip("\n")

    def _timeout(self, left_s: float) -> Retry:
        if left_s < self._page_timeout_s:
            message = "The attempt's time was over before the page was read (timeout_s)."
        else:
            message = f"The page was not read within {self._page_timeout_s:g} s (page_timeout_s)."
        return Retry(code="ocr_timeout", message=message)
