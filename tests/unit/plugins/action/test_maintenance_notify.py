# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""People are told as a playbook does it: real ansible-playbook runs, the role's own tasks, a real web server."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import report_examples as examples
import yaml
from ansible_collections.boardroom.maintenance.plugins.action import maintenance_notify as action
from ansible_collections.boardroom.maintenance.plugins.doc_fragments._step import ModuleDocFragment
from ansible_collections.boardroom.maintenance.plugins.module_utils._journal import Journal
from ansible_collections.boardroom.maintenance.plugins.modules import maintenance_notify as module
from report_plays import Played, close_run, play, shape
from sinks import Web, free_port

RED = examples.found(
    "database.reachable", "main", "critical", "PostgreSQL does not answer.", host="app1", remedy="Start it."
)
WELL = examples.found("database.reachable", "main", "ok", "PostgreSQL answers.", host="app1")


@pytest.fixture
def web() -> t.Iterator[Web]:
    with Web() as server:
        yield server


def run_id(number: int) -> str:
    return f"20261124T02000{number}Z-9f3a1c2e"


def tell(
    folder: Path, number: int, verdict: str, findings: list[t.Any], *arguments: str, urls: list[str], ping: str = ""
) -> Played:
    """Let the role tell the end of a run, and end as it ends."""
    told = {
        "verdict": verdict,
        "summary": f"It is {verdict}.",
        "findings": findings,
        "paths": {"html": "/r/report.html"},
    }
    facts = {
        "__maintenance_run_id": run_id(number),
        "__maintenance_run_frame": {"title": "Hourly look", "playbook": "hourly"},
        "__maintenance_run_report": told,
    }
    settings = {
        "maintenance_run_record_host": "app1",
        "maintenance_run_contacts": examples.CONTACTS,
        "maintenance_notify_urls": urls,
        "maintenance_ping_urls": {"hourly": ping},
    }
    role = {"name": "boardroom.maintenance.maintenance_run", "tasks_from": "notify"}
    tasks = [
        {"name": "Know the run", "ansible.builtin.set_fact": facts},
        {"name": "Tell", "ansible.builtin.include_role": role, "vars": settings},
        {
            "name": "End red",
            "ansible.builtin.fail": {"msg": "UNTOLD {{ __maintenance_run_untold }}"},
            "when": "__maintenance_run_untold is defined",
        },
    ]
    return play(folder, tasks, *arguments, hosts={"app1": {"state_dir": str(folder / "state")}})


def remembered(folder: Path) -> list[tuple[str, str]]:
    records, _damaged = Journal(str(folder / "state")).read()
    return [(record["run_id"], record["verdict"]) for record in records if record["kind"] == "verdict"]


def test_one_message_for_each_change_and_a_ping_for_what_is_done(tmp_path: Path, web: Web) -> None:
    urls, ping = [f"json://127.0.0.1:{web.port}/hook/sesame"], f"http://127.0.0.1:{web.port}/ping/sesame"
    story = [("ok", [WELL], 0, 1), ("failed", [RED], 1, 1), ("failed", [RED], 1, 1), ("ok", [WELL], 2, 2)]
    for number, (verdict, findings, posts, pings) in enumerate(story):
        played = tell(tmp_path, number, verdict, findings, urls=urls, ping=ping)
        assert played.rc == 0, played.output
        assert "changed=0" in played.output
        assert "sesame" not in played.output
        assert (len(web.posts), len(web.gets)) == (posts, pings), played.output
    red, well = (json.loads(body) for _path, body in web.posts)
    assert "Whom to call:\n- Alice Founder, first call, +1 555 0100" in red["message"]
    assert well["title"].startswith("OK AGAIN: Hourly look")
    assert "PostgreSQL answers." in well["message"]
    assert remembered(tmp_path) == [(run_id(number), verdict) for number, (verdict, *_rest) in enumerate(story)]


def test_what_could_not_be_told_is_red_and_told_by_the_next_run(tmp_path: Path, web: Web) -> None:
    dead = free_port()
    good, bad = f"json://127.0.0.1:{web.port}/hook/sesame", f"json://ops:hunter22@127.0.0.1:{dead}/sesame"
    ping = f"http://127.0.0.1:{web.port}/ping/sesame"
    played = tell(tmp_path, 0, "warning", [{**RED, "status": "warning"}], "-vvvv", urls=[bad, good], ping=ping)
    assert played.rc == 2
    assert (
        f"UNTOLD The message to JSON at 127.0.0.1:{dead} (URL 1 of maintenance_notify_urls) was not delivered: "
        "nothing listens there." in " ".join(played.output.split())
    )
    assert "sesame" not in played.output
    assert "hunter22" not in played.output
    # The other one went out. The watcher hears nothing of a run that ended red.
    assert (len(web.posts), web.gets, remembered(tmp_path)) == (1, [], [])
    again = tell(tmp_path, 1, "warning", [{**RED, "status": "warning"}], urls=[good])
    assert again.rc == 0, again.output
    assert len(web.posts) == 2
    assert remembered(tmp_path) == [(run_id(1), "warning")]


def test_check_mode_sends_nothing_and_says_what_would_be_sent(tmp_path: Path, web: Web) -> None:
    urls, ping = [f"json://127.0.0.1:{web.port}/hook/sesame"], f"http://127.0.0.1:{web.port}/ping"
    played = tell(tmp_path, 0, "failed", [RED], "--check", "-v", urls=urls, ping=ping)
    assert played.rc == 0, played.output
    told = played.told("Tell people")
    assert (told["message"]["kind"], told["delivered"], told["ping"]) == ("red", [], "withheld")
    assert (web.posts, web.gets, remembered(tmp_path)) == ([], [], [])


def test_a_wrong_url_is_red_on_a_green_day(tmp_path: Path) -> None:
    played = tell(tmp_path, 0, "ok", [WELL], "-vvvv", urls=["slack://sesame"])
    assert played.rc == 2
    assert "URL 1 of maintenance_notify_urls (slack://...) is none that apprise understands" in played.output
    assert "sesame" not in played.output


def test_a_failed_ping_is_a_warning(tmp_path: Path) -> None:
    port = free_port()
    played = tell(tmp_path, 0, "ok", [WELL], urls=[], ping=f"http://127.0.0.1:{port}/sesame")
    assert played.rc == 0, played.output
    assert "[WARNING]: The ping of 127.0.0.1 failed: it cannot be reached" in " ".join(played.output.split())
    assert "sesame" not in played.output


def test_a_killed_run_is_told_in_red_by_the_run_that_closes_it(tmp_path: Path, web: Web) -> None:
    lease = {"__maintenance_run_lease_result": {"broken_run": {"run_id": examples.BROKEN}}}
    urls = [f"json://127.0.0.1:{web.port}/hook"]
    arguments = "-e", json.dumps({**lease, "maintenance_notify_urls": urls})
    played, _directory = close_run(tmp_path, examples.after_killed(), *arguments)
    assert played.rc == 0, played.output
    [(_path, body)] = web.posts
    told = json.loads(body)
    assert (told["type"], told["title"].partition(":")[0]) == ("failure", "UNFINISHED")
    assert examples.BROKEN in told["message"]
    assert "Alice Founder" in told["message"]


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path, web: Web) -> None:
    (tmp_path / "reports").write_text("", encoding="utf-8")
    urls = ["-e", json.dumps({"maintenance_notify_urls": [f"json://127.0.0.1:{web.port}/hook"]})]
    played, _directory = close_run(tmp_path, examples.two_hosts(), *urls)
    assert played.rc == 2
    assert "The report cannot be written to" in played.output
    [(_path, body)] = web.posts
    told = json.loads(body)
    assert told["title"].startswith("FAILED: Weekly maintenance: The report cannot be written to")
    assert "Alice Founder" in told["message"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"verdict": "great"}, "value of verdict must be one of: ok, warning, failed, unfinished, check, got: great"),
        ({"timeout": 0}, "timeout is 0, but must be from 1 to 600 seconds."),
        ({"ping_url": "http://user:sesame@h/"}, "The ping URL is none that can be asked"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, wrong: dict[str, t.Any], sentence: str) -> None:
    right = {"run_id": examples.RUN, "title": "x", "playbook": "x", "verdict": "ok", "summary": "x"}
    played = play(tmp_path, [{"boardroom.maintenance.maintenance_notify": {**right, **wrong}}])
    assert played.rc == 2
    assert sentence in played.output
    assert "Traceback" not in played.output


def test_the_documentation_says_what_the_plugin_takes() -> None:
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    own = yaml.safe_load(module.DOCUMENTATION)["options"]
    documented = {name: {**shared.get(name, {}), **own.get(name, {})} for name in {**shared, **own}}
    assert shape(documented, "suboptions") == shape(action.ARGUMENT_SPEC, "options")
