"""From rows to pages: the template that comes along, one's own, and what none may do."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFile

from jobd_report import template

from .reports import csv, made, pages, refused

pytestmark = pytest.mark.filterwarnings(
    "ignore:HarfBuzz-Subset:DeprecationWarning"
)  # an old Debian

INSIDE_SVG = (
    '<img src=\'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" width="9" '
    'height="9"><image href="URL" width="9" height="9"/></svg>\'>'
)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return csv(tmp_path)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that nobody may come to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_many_rows_take_many_pages_each_with_the_names(tmp_path: Path) -> None:
    text = "number,word\n" + "".join(f"{n},row{n}\n" for n in range(120))

    outcome = made(csv=csv(tmp_path, text), page="A5", totals=["number"])

    found = pages(outcome)
    assert len(found) == outcome.result["pages"] > 2
    assert all("number word" in page for page in found)
    assert [f"row{n}" for page in found for n in range(120) if f" row{n} " in page] == [
        f"row{n}" for n in range(120)
    ]
    assert "7140" in found[-1]
    assert found[1].endswith(f"2 / {len(found)}")


def test_progress_goes_by_rows_and_pages(tmp_path: Path) -> None:
    text = "number\n" + "".join(f"{n}\n" for n in range(600))

    outcome = made(csv=csv(tmp_path, text))

    shown = [report.pct for report in outcome.progress if report.pct is not None]
    assert shown == sorted(shown)
    assert shown[-1] == 100
    said = [report.message for report in outcome.progress]
    assert {"500 rows", "600 rows", "page 1", "page 2"} < set(said)
    assert [name for name, *_ in outcome.steps] == ["rows", "template", "layout"]


def test_no_rows_are_a_report_too(tmp_path: Path) -> None:
    assert "0 rows" in pages(made(csv=csv(tmp_path, "a,b\n"), totals=["b"]))[0]


def test_a_template_of_one_s_own(tmp_path: Path, rows: str) -> None:
    own = "{% for row in rows %}{{ row.name }}={{ row['price'] }};{% endfor %}{{ values.by }}"
    (tmp_path / "own.html").write_text(own)

    from_file = made(csv=rows, template=str(tmp_path / "own.html"), values={"by": "<ada>"})
    from_text = made(csv=rows, html=own, values={"by": "<ada>"})

    wanted = ["Tea & <Biscuits>=4.10;Coffee=15.80;Water=0.10;<ada>"]
    assert pages(from_file) == pages(from_text) == wanted


@pytest.mark.parametrize(
    ("html", "code"),
    [
        ("{% for %}", "template_invalid"),
        ("{{ nothing }}", "template_failed"),
        ("{{ 1 / 0 }}", "template_failed"),
        ("{% include '/etc/passwd' %}", "template_failed"),
        ("{% extends '/etc/passwd' %}", "template_failed"),
        ("{% import '/etc/passwd' as p %}", "template_failed"),
        ("{{ ''.__class__.__mro__ }}", "template_failed"),
        ("{{ rows.__class__.__base__.__subclasses__() }}", "template_failed"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "template_failed"),
        ("{{ rows.append(1) }}", "template_failed"),
        ("{{ range(1000000) }}", "template_failed"),
    ],
)
def test_a_template_that_is_wrong_or_wants_out(rows: str, html: str, code: str) -> None:
    found, step, message = refused(made(csv=rows, html=html))

    assert (found, step) == (code, "template")
    assert "root:" not in message


def test_a_template_that_writes_without_end_is_stopped(
    rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "MAX_HTML_CHARS", 1000)
    html = "{% for n in range(1000) %}words{% endfor %}"

    assert refused(made(csv=rows, html=html))[0] == "report_too_large"


@pytest.mark.parametrize(
    "html",
    [
        '<img src="URL">',
        '<link rel="stylesheet" href="URL">',
        '<link rel="attachment" href="URL">',
        '<a rel="attachment" href="URL">x</a>',
        '<style>@import url("URL");</style>',
        '<style>@font-face { font-family: f; src: url("URL") } p { font-family: f }</style><p>x',
        '<p style="background: url(URL)">x</p>',
        '<ul><li style="list-style-image: url(URL)">x</ul>',
        "<style>p::after { content: url(URL) }</style><p>x",
        '<object data="URL"></object>',
        '<embed src="URL">',
        '<svg width="9" height="9"><image href="URL" width="9" height="9"/></svg>',
        INSIDE_SVG,
        '<base href="URL"><img src="x.png">',
    ],
)
@pytest.mark.parametrize("scheme", ["file", "http", "ftp"])
def test_what_the_operator_does_not_allow_is_not_loaded(
    rows: str, listener: socket.socket, html: str, scheme: str
) -> None:
    port = listener.getsockname()[1]
    url = "file:///etc/passwd" if scheme == "file" else f"{scheme}://127.0.0.1:{port}/x"

    code, step, message = refused(made(csv=rows, html=html.replace("URL", url)))

    assert (code, step) == ("url_refused", "layout")
    assert url.rpartition("/")[0] in message
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_link_that_is_only_shown_is_fine(rows: str) -> None:
    assert pages(made(csv=rows, html='<a href="http://example.com">word</a>')) == ["word"]


def test_pictures_inside_the_page_and_of_the_operator_s_folder(tmp_path: Path, rows: str) -> None:
    brand = tmp_path / "brand"
    brand.mkdir()
    Image.new("RGB", (4, 4), "red").save(brand / "logo.png")
    (brand / "own.css").write_text("p::after { content: 'styled' }")
    data = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    html = f"<link rel=stylesheet href=own.css><img src=logo.png><img src='{data}'><p>x</p>"

    assert pages(made({"assets": str(brand)}, csv=rows, html=html)) == ["xstyled"]


@pytest.mark.parametrize(
    "name", ["../secret.png", "link.png", "%2e%2e/secret.png", "none.png", "."]
)
def test_nothing_outside_of_that_folder(tmp_path: Path, rows: str, name: str) -> None:
    brand = tmp_path / "brand"
    brand.mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "secret.png")
    (brand / "link.png").symlink_to(tmp_path / "secret.png")

    outcome = made({"assets": str(brand)}, csv=rows, html=f"<img src='{name}'>")

    assert refused(outcome)[0] == "url_refused"


def test_more_pages_than_allowed_are_given_up(rows: str) -> None:
    html = "{% for n in range(9) %}<p style='break-after: page'>x</p>{% endfor %}"

    assert refused(made({"max_pages": 3}, csv=rows, html=html))[:2] == ("too_many_pages", "layout")


def test_without_its_libraries_their_packages_are_named(
    rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise OSError("cannot load library 'libpango-1.0-0'")

    monkeypatch.setattr("jobd_report.handlers._writer", absent)

    code, _, message = refused(made(csv=rows))

    assert code == "library_missing"
    assert "libpango-1.0-0 libpangoft2-1.0-0" in message


def test_pillow_is_left_as_it_was(tmp_path: Path) -> None:
    """Other handlers run in the same worker, and a cut-off picture is an error to them."""
    made(csv=csv(tmp_path))

    assert not ImageFile.LOAD_TRUNCATED_IMAGES
