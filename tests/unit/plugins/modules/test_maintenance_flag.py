# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, with a server that answers as nginx does. The timers are tried on real hosts."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import Lease
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import utc_now
from ansible_collections.boardroom.maintenance.plugins.modules import maintenance_flag


class Server(t.NamedTuple):
    """Where it answers, and the file that makes it say 503."""

    url: str
    flag: Path


@pytest.fixture
def nginx(tmp_path: Path) -> t.Iterator[Server]:
    flag = tmp_path / "maintenance.flag"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"page" if flag.exists() else b"hello"
            self.send_response(503 if flag.exists() else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield Server(f"http://127.0.0.1:{server.server_address[1]}/?key=k4711", flag)
    server.shutdown()
    server.server_close()


Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def call(tmp_path: Path, nginx: Server, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(state: str, **options: t.Any) -> dict[str, t.Any]:
        fixed = {
            "state_dir": str(tmp_path / "state"),
            "path": str(nginx.flag),
            "expires_in": "never",
            "_ansible_diff": True,
        }
        with patch_module_args({**fixed, "state": state, **options}), pytest.raises(SystemExit):
            maintenance_flag.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def test_up_and_down_and_both_once_more(call: Call, nginx: Server) -> None:
    up = call("enabled", owner="alice", reason="Disk", verify_url=nginx.url)
    assert (up["changed"], up["enabled"], up["flag"]["owner"], up["flag"]["expires"]) == (True, True, "alice", None)
    assert [f["check"] for f in up["findings"]] == ["maintenance.page"]
    assert (up["diff"]["before"], up["diff"]["after"]) == ("", nginx.flag.read_text(encoding="utf-8"))
    again = call("enabled", owner="alice", reason="Disk", verify_url=nginx.url)
    assert (again["changed"], again["enabled"], again["flag"]) == (False, True, up["flag"])
    seen = call("queried")
    assert (seen["changed"], seen["enabled"], seen["flag"]) == (False, True, up["flag"])
    down = call("disabled", verify_url=nginx.url)
    assert (down["changed"], down["enabled"], down["flag"]) == (True, False, {})
    assert not nginx.flag.exists()
    assert call("disabled")["changed"] is False
    assert call("queried")["enabled"] is False
    # A key in the URL's query is no business of the report.
    assert "k4711" not in json.dumps([up["findings"], up["msg"], down["findings"], down["msg"]])


@pytest.mark.parametrize(
    ("given", "caller", "owner"), [({}, "alice", "alice"), ({}, "", "unknown"), ({"owner": "bob"}, "alice", "bob")]
)
def test_a_flag_bears_the_name_of_who_called_sudo(
    call: Call, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], caller: str, owner: str
) -> None:
    monkeypatch.setenv("SUDO_USER", caller)
    assert call("enabled", **given)["flag"]["owner"] == owner


def test_renewing_moves_the_expiry_of_one_s_own_flag_only(call: Call) -> None:
    first = call("enabled", owner="alice", reason="Disk")["flag"]
    renewed = call("enabled", owner="alice", reason="Disk", renew=True)
    assert (renewed["changed"], renewed["flag"]["id"]) == (True, first["id"])
    left = call("enabled", owner="bob", reason="Disk", renew=True)
    assert (left["changed"], left["flag"]["owner"]) == (False, "alice")


@pytest.mark.parametrize("content", ["", "{}", "not ours"])
def test_a_flag_that_a_person_made_counts_as_up(call: Call, nginx: Server, content: str) -> None:
    nginx.flag.write_text(content, encoding="utf-8")
    for result in (call("enabled"), call("queried"), call("disabled", only_own=True)):
        assert (result["changed"], result["enabled"], result["flag"]) == (False, True, {})
        assert [f["status"] for f in result["findings"]] == ["warning"]
    assert nginx.flag.read_text(encoding="utf-8") == content
    assert call("disabled")["changed"] is True


def test_a_run_takes_down_its_own_flag_only(call: Call, nginx: Server, tmp_path: Path) -> None:
    lease = Lease(str(tmp_path / "state"))
    for run in ("run-a", "run-b"):
        lease.acquire(run, "alice", "test", 600, utc_now(), take_over=True)
        if run == "run-a":
            assert call("enabled", run_id=run)["flag"]["run_id"] == run
    left = call("disabled", run_id="run-b", only_own=True)
    assert (left["changed"], left["enabled"]) == (False, True)
    lease.acquire("run-a", "alice", "test", 600, utc_now(), take_over=True)
    assert call("disabled", run_id="run-a", only_own=True)["changed"] is True
    assert not nginx.flag.exists()


def test_check_mode_says_what_would_be_and_does_nothing(call: Call, nginx: Server, tmp_path: Path) -> None:
    result = call("enabled", _ansible_check_mode=True, verify_url=nginx.url)
    assert (result["changed"], result["enabled"]) == (True, True)
    assert "would be" in result["msg"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"path": "maintenance.flag"}, "path is 'maintenance.flag', but must be an absolute path."),
        ({"path": "/tmp/a\nExecStart=b"}, "must have no control characters"),
        ({"expires_in": "soon"}, "expires_in is 'soon', but must be a number with s, m, h, d or w"),
        ({"expires_in": "5s"}, "expires_in is 5s, but must be from 1m to 366d, or never."),
        ({"expires_in": "9999999d"}, "expires_in is 9999999d, but must be"),
        ({"verify_url": "boardroom.test"}, "verify_url: boardroom.test is not a URL"),
        ({"verify_url": "http://h/", "connect_to": "a b"}, "verify_url: connect_to is 'a b', but must be"),
        ({"path": "/nonexistent/dir/flag"}, "There is no directory /nonexistent/dir for the flag flag."),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    call: Call, nginx: Server, options: dict[str, t.Any], sentence: str
) -> None:
    result = call("enabled", **options)
    assert result["failed"] is True
    assert sentence in result["msg"]
    assert not nginx.flag.exists()
