# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a playbook asks for it: real ansible-playbook runs against this machine, with journals made before."""

from __future__ import annotations

import json
import stat
import typing as t
from pathlib import Path

import pytest
import report_examples as examples
import yaml
from ansible_collections.boardroom.maintenance.plugins.action import maintenance_report as action
from ansible_collections.boardroom.maintenance.plugins.doc_fragments._step import ModuleDocFragment
from ansible_collections.boardroom.maintenance.plugins.modules import maintenance_report as module
from report_plays import close_run, play, shape

JOURNALED = {name: item for name, item in examples.frame().items() if name not in ("contacts", "fail_on", "notes")}


def report_task(**options: t.Any) -> dict[str, t.Any]:
    return {
        "name": "Report",
        "boardroom.maintenance.maintenance_report": {**examples.frame(), "dest": "reports", **options},
    }


def test_a_run_of_two_hosts_is_closed_from_their_journals(tmp_path: Path) -> None:
    note = "-e", json.dumps({"maintenance_note": "Tried <b>by hand</b>. {{ 7 * 6 }}"})
    played, directory = close_run(tmp_path, examples.two_hosts(), *note)
    assert played.rc == 0, played.output
    assert "All 30 checks on 2 hosts are ok." in played.output
    assert str(directory / "report.html") in played.output
    written = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    assert (written["schema"], written["verdict"], written["run_id"]) == (1, "ok", examples.RUN)
    assert [host["name"] for host in written["hosts"]] == ["app1", "app2"]
    assert "Tried &lt;b&gt;by hand&lt;/b&gt;." in (directory / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "reports" / "latest").resolve() == directory
    assert "changed=0" in played.output


def test_a_host_that_is_gone_is_named_and_the_run_ends_red(tmp_path: Path) -> None:
    played, directory = close_run(tmp_path, examples.cut_off())
    assert played.rc == 2, played.output
    written = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    assert written["verdict"] == "failed"
    first = written["findings"][0]
    assert (first["check"], first["subject"], first["status"]) == ("run.record", "app2", "critical")
    assert "Connection refused" in first["message"]
    assert "run.record" in played.output


def test_a_broken_run_is_read_from_the_same_journal(tmp_path: Path) -> None:
    run = examples.after_killed()
    lease = {"__maintenance_run_lease_result": {"broken_run": {"run_id": examples.BROKEN}}}
    played, directory = close_run(tmp_path, run, "-e", json.dumps(lease))
    assert played.rc == 0, played.output
    written = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    assert written["verdict"] == "warning"
    assert [item["run_id"] for item in written["broken_runs"]] == [examples.BROKEN]


def test_a_journal_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    run = examples.green()
    run.hosts["app1"]["records"] = []
    wrong = {"ansible_python_interpreter": str(tmp_path / "no-python")}
    played, directory = close_run(tmp_path, run, "-e", json.dumps(wrong))
    assert played.rc == 2, played.output
    first = json.loads((directory / "report.json").read_text(encoding="utf-8"))["findings"][0]
    assert (first["check"], first["subject"]) == ("run.record", "app1")
    assert "could not be read" in first["message"]


def test_check_mode_writes_nothing_and_is_not_green(tmp_path: Path) -> None:
    run = examples.green()
    run.hosts["app1"]["records"] = []
    played, _directory = close_run(tmp_path, run, "--check")
    assert played.rc == 0, played.output
    assert "Check mode, nothing was changed or recorded" in played.output
    assert "none (check mode)" in played.output
    assert not (tmp_path / "reports").exists()


def test_opened_leaves_red_on_disk_and_check_mode_nothing(tmp_path: Path) -> None:
    task = report_task(state="opened", expected_hosts=["app1", "app2"])
    checked = play(tmp_path, [task], "--check", "-v")
    assert checked.rc == 0, checked.output
    assert checked.told("Report")["verdict"] == "check"
    assert not (tmp_path / "reports").exists()
    played = play(tmp_path, [task], "-v")
    assert played.rc == 0, played.output
    told = played.told("Report")
    assert (told["verdict"], told["changed"]) == ("unfinished", False)
    assert told["stats"]["maintenance_report"] == told["paths"]["html"]
    for path in map(Path, told["paths"].values()):
        assert path.parent == tmp_path / "reports" / examples.RUN
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "Alice Founder" in Path(told["paths"]["html"]).read_text(encoding="utf-8")
    assert json.loads(Path(told["paths"]["json"]).read_text(encoding="utf-8"))["verdict"] == "unfinished"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"dest": "hosts.json"}, "hosts.json on the controller: it is no directory."),
        ({"run_id": "../evil"}, "run_id is '../evil', but must be a time and eight hex digits"),
        ({"fail_on": "always"}, "value of fail_on must be one of: warning, unknown, critical, got: always"),
        ({"contacts": [{"phone": "1"}]}, "missing required arguments: name found in contacts"),
        ({"checklist": [{"item": "x", "phase": "later"}]}, "value of phase must be one of: pre, during, post"),
        ({"hosts": {"app1": {"records": "none"}}, "state": "closed"}, "hosts[app1] must be a dictionary"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, wrong: dict[str, t.Any], sentence: str) -> None:
    played = play(tmp_path, [report_task(**{"state": "opened", **wrong})])
    assert played.rc == 2
    assert sentence in played.output
    assert "Traceback" not in played.output
    assert not (tmp_path / "reports").exists()


def test_the_documentation_says_what_the_plugin_takes() -> None:
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    own = yaml.safe_load(module.DOCUMENTATION)["options"]
    documented = {name: {**shared.get(name, {}), **own.get(name, {})} for name in {**shared, **own}}
    assert shape(documented, "suboptions") == shape(action.ARGUMENT_SPEC, "options")
