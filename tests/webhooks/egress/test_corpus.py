"""No connection to any address of the corpus, by the real deliverer and a real name server.

All of it is tried in a network of its own (inside.py), so that what a broken gate lets through
ends at this machine; a run without a gate shows that it would have been heard.
"""

import json
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.webhooks.egress import corpus, inside

pytestmark = pytest.mark.needs("root", "unshare", "ip")

ALLOWED = {corpus.ALLOWED, corpus.ALLOWED_IPV6}
SILENT = 14
"""Addresses that no connection can be made to: multicast, broadcast, link-local without a link."""


def tried(folder: Path, mode: str) -> Any:
    command = ["unshare", "-nm", sys.executable, inside.__file__, str(folder), mode]
    done = subprocess.run(command, capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tried(tmp_path_factory.mktemp("policy"), "policy")


def test_only_what_is_allowed_was_connected_to(found: Any) -> None:
    assert set(found["heard"]) == ALLOWED
    assert found["heard_past_the_parser"] == {}


def test_what_is_allowed_arrives(found: Any) -> None:
    assert found["ends"]["allowed"] == {"status": "succeeded", "reason": None, "attempts": 1}
    assert found["requests"]["/allowed"] == 1


def test_each_url_is_dead_without_a_dial(found: Any) -> None:
    for url in corpus.literals():
        end = found["ends"][url]
        assert (end["status"], end["attempts"]) == ("dead", 1), url
        assert end["reason"] in ("blocked_address", "callback_not_allowed"), url


def test_each_name_is_dead_when_it_leads_there(found: Any) -> None:
    """Those that turn have brought one request before, to where they led then."""
    assert len(corpus.FORBIDDEN) >= 60
    for name in corpus.names():
        end = found["ends"][name.name]
        turns = name.first[0] in ALLOWED
        assert (end["reason"], end["attempts"]) == ("blocked_address", 1 + turns), name
        assert found["requests"].get(f"/{name.name}", 0) == turns, name


def test_the_gate_alone_lets_none_of_the_urls_through(found: Any) -> None:
    """What is no URL for the one who sends is not looked up and not dialled either."""
    errors = found["past_the_parser"]

    for address in corpus.FORBIDDEN:
        url = next(one for one in errors if one.startswith(corpus.url(address, "")))
        assert errors[url] == "blocked_address", url
    assert set(errors.values()) <= {"blocked_address", "protocol", "dns", "connect"}


def test_without_a_gate_all_this_would_have_been_heard(tmp_path: Path) -> None:
    heard = set(tried(tmp_path, "open")["heard"])

    forbidden = {str(ip_address(one)) for one in corpus.FORBIDDEN}
    assert len(heard & forbidden) >= len(forbidden) - SILENT
