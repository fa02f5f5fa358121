"""`jobd token`: with the daemon, and without one."""

import json
import re
from typing import Any

TOKEN = re.compile(r"jdk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n")


def test_a_token_is_printed_once_listed_and_revoked(daemon: Any) -> None:
    made = daemon.jobd("token", "create", "ci", "--scope", "read", "--expires", "90d")
    listed = daemon.jobd("token", "ls")
    token_id = daemon.jobd("token", "ls", "-o", "name").stdout.strip()
    revoked = daemon.jobd("token", "revoke", token_id)

    assert TOKEN.fullmatch(made.stdout), made.stderr
    assert made.stdout.strip() not in listed.stdout + "".join(daemon.log)
    assert re.search(r"ci +read +valid +\S+ +in (89|90)d", listed.stdout)
    assert (revoked.returncode, revoked.stdout) == (0, "")
    assert "revoked" in daemon.jobd("token", "ls").stdout
    assert daemon.jobd("token", "revoke", "0" * 12).returncode == 4


def test_the_first_token_can_be_made_without_a_daemon(daemon: Any) -> None:
    asked = ("token", "create", "me", "--scope", "admin", "-o", "json")
    offline = (*asked, "--offline", "--state-dir", str(daemon.state_dir))

    beside = daemon.jobd(*offline)
    daemon.stop()
    made = daemon.jobd(*offline)
    daemon.start()

    assert (beside.returncode, beside.stdout) == (78, "")
    assert "without --offline" in beside.stderr
    new = json.loads(made.stdout)
    listed = json.loads(daemon.jobd("token", "ls", "-o", "json").stdout)["tokens"]
    assert [one["token_id"] for one in listed] == [new["token_id"]]
    assert listed[0]["scopes"] == ["admin"]


def test_what_is_no_token_to_make_is_said_before_anybody_is_asked(daemon: Any) -> None:
    for wrong in (["a b"], ["x", "--expires", "soon"], ["x", "--scope", "king"]):
        assert daemon.jobd("token", "create", *wrong).returncode == 2
