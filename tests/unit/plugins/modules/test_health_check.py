# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it: options in, one JSON result out, a record in the journal."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.modules import health_check


class Handler(http.server.BaseHTTPRequestHandler):
    """Healthy for those who bring the token; /old leads to it."""

    def do_GET(self) -> None:
        if self.path == "/old":
            self.send_response(302)
            self.send_header("Location", "/health")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        known = self.headers.get("Authorization") == "Bearer tok-4711"
        body = json.dumps({"status": "healthy" if known else "unknown"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> t.Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/health"
    server.shutdown()
    server.server_close()


class Called(t.NamedTuple):
    """How the module ended."""

    result: dict[str, t.Any]
    journal: str


Call = t.Callable[..., Called]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(**options: t.Any) -> Called:
        with patch_module_args({"state_dir": str(tmp_path), **options}), pytest.raises(SystemExit):
            health_check.main()
        journal = tmp_path / "journal.jsonl"
        said = journal.read_text(encoding="utf-8") if journal.exists() else ""
        return Called(json.loads(capsys.readouterr().out), said)

    return run


def test_what_is_well_and_what_is_not_stand_side_by_side(call: Call, url: str, tmp_path: Path) -> None:
    result, journal = call(
        endpoints=[
            {"name": "good", "url": url, "json": {"status": "unknown"}},
            {"name": "bad", "url": url, "json": {"status": "healthy"}},
        ],
        projects=[{"project_src": str(tmp_path / "nowhere")}],
    )
    assert not result.get("failed")
    assert result["changed"] is False
    assert result["worst"] == "critical"
    assert result["msg"] == "2 of 7 checks are not well."
    bad = [(f["check"], f["subject"]) for f in result["findings"] if f["status"] != "ok"]
    assert bad == [("health.json", "bad"), ("container.state", "nowhere")]
    assert json.loads(journal)["findings"] == result["findings"]


def test_a_header_s_value_is_nowhere_in_the_result_or_the_journal(call: Call, url: str) -> None:
    endpoint = {"name": "a", "url": url, "json": {"status": "healthy"}}
    result, journal = call(endpoints=[{**endpoint, "headers": {"Authorization": "Bearer tok-4711"}}])
    assert result["worst"] == "ok"
    assert "tok-4711" not in json.dumps(result) + journal


def test_a_redirect_is_followed_only_when_told_so(call: Call, url: str) -> None:
    endpoint = {"name": "a", "url": url.replace("/health", "/old")}
    first = call(endpoints=[endpoint]).result["findings"][0]
    assert (first["status"], first["value"]) == ("critical", 302)
    assert "set follow_redirects" in first["remedy"]
    followed = call(endpoints=[{**endpoint, "follow_redirects": True, "json": {"status": "unknown"}}])
    assert followed.result["worst"] == "ok"


def test_bounds_without_a_value_are_no_bounds(call: Call, url: str) -> None:
    nothing = dict.fromkeys(("latency_warning", "latency_critical", "ca_path", "body_contains", "connect_to"))
    assert call(endpoints=[{"name": "a", "url": url, **nothing}]).result["worst"] == "ok"


def test_check_mode_looks_and_leaves_no_record(call: Call, url: str) -> None:
    result, journal = call(endpoints=[{"name": "a", "url": url}], _ansible_check_mode=True)
    assert (result["worst"], journal) == ("ok", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "There is nothing to check: give endpoints or projects."),
        ({"endpoints": [{"name": "a", "url": "db:5432"}]}, "endpoint a: db:5432 is not a URL that begins"),
        ({"endpoints": [{"name": "a", "url": "http://u:pw@h/"}]}, "endpoint a: the URL holds a user or password"),
        ({"endpoints": [{"name": "a", "url": "http://h/", "timeout": 0}]}, "endpoint a: timeout is 0, but must be"),
        ({"endpoints": [{"name": "a", "url": "http://h/", "timeout": "inf"}]}, "endpoint a: timeout is inf, but must"),
        ({"endpoints": [{"name": "a", "url": "http://h/", "latency_warning": "nan"}]}, "endpoint a: a latency must"),
        (
            {"endpoints": [{"name": "a", "url": "http://h/", "headers": {"a b": "s3cret"}}]},
            "the header 'a b' has characters",
        ),
        ({"endpoints": [{"name": "a", "url": "https://h/", "ca_path": "/no.pem"}]}, "no certificate authority to read"),
        (
            {"projects": [{"project_src": "/srv/a", "restarts_within": "soon"}]},
            "restarts_within is 'soon', but must be",
        ),
        ({"endpoints": [{"name": "a", "url": "http://h/", "headers": None}]}, "argument 'headers' is of type NoneType"),
        ({"endpoints": [{"url": "http://h/"}]}, "missing required arguments: name found in endpoints"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Call, options: dict[str, t.Any], sentence: str) -> None:
    result, _journal = call(**options)
    assert result["failed"] is True
    assert sentence in result["msg"]
    assert "Traceback" not in json.dumps(result)
