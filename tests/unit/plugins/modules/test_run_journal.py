# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._journal import Journal
from ansible_collections.boardroom.maintenance.plugins.modules import run_journal

Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(str(tmp_path))
    for number, run_id in enumerate(("run-a", "run-b", "run-a")):
        made.append({"kind": "step", "run_id": run_id, "step": f"step {number}"})
    return made


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(**options: t.Any) -> dict[str, t.Any]:
        with patch_module_args({"state_dir": str(tmp_path), **options}), pytest.raises(SystemExit):
            run_journal.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, ["step 0", "step 1", "step 2"]),
        ({"run_id": "run-a"}, ["step 0", "step 2"]),
        ({"run_id": "run-a", "run_ids": ["run-b"]}, ["step 1"]),
        ({"run_ids": ["run-a", "run-b"]}, ["step 0", "step 1", "step 2"]),
        ({"run_id": "run-c"}, []),
    ],
)
def test_the_records_of_the_runs_that_are_asked_for(
    call: Call, journal: Journal, options: dict[str, t.Any], steps: list[str]
) -> None:
    before = Path(journal.path).read_bytes()
    result = call(**options)
    assert [record["step"] for record in result["records"]] == steps
    assert (result["changed"], result["damaged_lines"], result["findings"]) == (False, 0, [])
    # Who reads the journal leaves no record of it.
    assert Path(journal.path).read_bytes() == before


def test_a_line_that_was_cut_short_is_counted_and_hides_no_other(call: Call, journal: Journal) -> None:
    with Path(journal.path).open("a", encoding="utf-8") as file:
        file.write('{"kind": "step", "run_')
    journal.append({"kind": "step", "run_id": "run-b", "step": "after"})
    result = call(run_id="run-b")
    assert [record["step"] for record in result["records"]] == ["step 1", "after"]
    assert result["damaged_lines"] == 1


FAILED = {"name": "Start the application", "module": "ansible.builtin.command", "msg": "exit 1, password=hunter22"}


def test_a_task_that_failed_is_recorded_without_its_secrets(call: Call, journal: Journal) -> None:
    result = call(run_id="run-b", step="deploy", failed_task=FAILED)
    record = result["records"][-1]
    assert (record["kind"], record["run_id"], record["step"]) == ("task_failed", "run-b", "deploy")
    assert (record["task"], record["module"]) == ("Start the application", "ansible.builtin.command")
    assert record["msg"] == "exit 1, password=********"
    assert "hunter22" not in Path(journal.path).read_text(encoding="utf-8")


def test_check_mode_writes_nothing(call: Call, journal: Journal) -> None:
    before = Path(journal.path).read_bytes()
    verdict = {"playbook": "weekly", "verdict": "ok"}
    result = call(run_id="run-b", failed_task=FAILED, verdict=verdict, _ansible_check_mode=True)
    assert [record["kind"] for record in result["records"]] == ["step"]
    assert Path(journal.path).read_bytes() == before


def test_no_journal_is_an_empty_one(call: Call) -> None:
    assert call()["records"] == []


def test_a_verdict_is_remembered_for_the_next_run_of_its_playbook(call: Call, journal: Journal) -> None:
    told = {"playbook": "weekly", "verdict": "failed", "critical": [["backup.age", "main", "app1"]]}
    result = call(run_id="run-b", verdict=told)
    # A run is not its own predecessor.
    assert (result["verdicts"], result["changed"]) == ({}, False)
    assert result["records"][-1]["kind"] == "verdict"
    later = call(run_id="run-c")["verdicts"]["weekly"]
    assert (later["run_id"], later["verdict"], later["critical"]) == ("run-b", "failed", told["critical"])
    assert later["at"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"verdict": {"playbook": "weekly", "verdict": "ok"}}, "verdict needs run_id, the run that ended so."),
        (
            {"run_id": "run-b", "verdict": {"playbook": "weekly", "verdict": "great"}},
            "value of verdict must be one of: ok, warning, failed, unfinished, got: great found in verdict",
        ),
    ],
)
def test_a_wrong_verdict_is_refused(call: Call, journal: Journal, options: dict[str, t.Any], sentence: str) -> None:
    before = Path(journal.path).read_bytes()
    assert call(**options)["msg"] == sentence
    assert Path(journal.path).read_bytes() == before
