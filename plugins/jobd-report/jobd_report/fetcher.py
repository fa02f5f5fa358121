"""What a report may load: pictures inside itself, and files of the operator's one folder.

Invariant: nothing else is opened, no name is looked up, no connection made. One refusal ends the
job: a report in which something is silently missing is worse than none.
"""

import mimetypes
import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from PIL import ImageFile
from weasyprint.urls import (  # type: ignore[import-untyped]
    FatalURLFetchingError,
    URLFetcher,
    URLFetcherResponse,
)

# WeasyPrint has Pillow take pictures that are cut off, in the whole process: other handlers,
# to which such a picture is an error, run in this worker too
ImageFile.LOAD_TRUNCATED_IMAGES = False

MAX_FILE_BYTES = 32 * 1024 * 1024
_SHOWN_CHARS = 200


class Refused(FatalURLFetchingError):  # type: ignore[misc] # noqa: N818 - as Discard
    """A URL that is not allowed; WeasyPrint gives up because of it."""


class Fetcher(URLFetcher):  # type: ignore[misc]
    """Given to WeasyPrint for everything that it loads."""

    def __init__(self, assets: str | None) -> None:
        super().__init__(allowed_protocols=("data",), allow_redirects=False)
        self._assets = None if assets is None else Path(os.path.realpath(assets))
        self.refused: list[str] = []
        """Also what WeasyPrint went on after, as it does inside SVG."""

    @property
    def base_url(self) -> str | None:
        """Where relative URLs begin."""
        return None if self._assets is None else f"{self._assets.as_uri()}/"

    def fetch(self, url: str, headers: Any = None) -> URLFetcherResponse:
        """Return what a URL stands for, or raise Refused."""
        scheme = urlsplit(url).scheme.lower()
        if scheme == "data":
            return super().fetch(url, headers)
        if scheme != "file" or self._assets is None:
            raise self._refusal(url)
        return self._file(url, self._assets)

    def _file(self, url: str, assets: Path) -> URLFetcherResponse:
        path = Path(os.path.realpath(unquote(urlsplit(url).path)))
        if not path.is_relative_to(assets):
            raise self._refusal(url)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise self._refusal(url) from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
            os.close(fd)
            raise self._refusal(url)
        with os.fdopen(fd, "rb") as file:
            body = file.read(MAX_FILE_BYTES)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return URLFetcherResponse(url, body, {"Content-Type": kind})

    def _refusal(self, url: str) -> Refused:
        self.refused.append(url[:_SHOWN_CHARS])
        return Refused(url[:_SHOWN_CHARS])
