# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal, on a real file system."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _journal
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._journal import Journal


def test_records_come_back_in_order_and_by_run(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    for number, run in enumerate(["a", "b", "a"]):
        journal.append({"run_id": run, "number": number})
    records, damaged = journal.read(["a"])
    assert [r["number"] for r in records] == [0, 2]
    assert damaged == 0
    assert len(journal.read()[0]) == 3


def test_only_root_reads_it(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    journal.append({"run_id": "a"})
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert Path(journal.path).stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.append({"run_id": "a"})
    with open(journal.path, "a", encoding="utf-8") as file:
        file.write('{"run_id": "b", "st')
    journal.append({"run_id": "c"})
    records, damaged = journal.read()
    assert [r["run_id"] for r in records] == ["a", "c"]
    assert damaged == 1


def test_no_journal_is_no_record(tmp_path: Path) -> None:
    assert Journal(str(tmp_path / "none")).read() == ([], 0)


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MaintenanceError, match=r"The journal .* could not be written"):
        Journal(str(tmp_path / "file" / "state")).append({"run_id": "a"})


def test_a_large_journal_is_rotated_and_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_journal, "ROTATE_BYTES", 2000)
    journal = Journal(str(tmp_path))
    for number in range(60):
        journal.append({"run_id": "a", "number": number})
    assert (tmp_path / "journal.1.jsonl").exists()
    numbers = [r["number"] for r in journal.read()[0]]
    assert numbers == list(range(numbers[0], 60))
    assert len(numbers) > 15


def _write(directory: str, who: int) -> None:
    journal = Journal(directory)
    for number in range(50):
        journal.append({"run_id": str(who), "number": number, "filler": "x" * 5000})


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [multiprocessing.Process(target=_write, args=(str(tmp_path), who)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    records, damaged = Journal(str(tmp_path)).read()
    assert (len(records), damaged) == (200, 0)


def test_the_newest_verdict_of_each_playbook_before_a_run(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    for number, playbook in enumerate(["weekly", "hourly", "hourly", "hourly"]):
        journal.append({"kind": "step", "run_id": f"run-{number}", "msg": 'a step that says "verdict"'})
        journal.append({"kind": "verdict", "run_id": f"run-{number}", "playbook": playbook, "verdict": "ok"})
    with open(journal.path, "a", encoding="utf-8") as file:
        file.write('{"kind": "verdict", "playbook": "hou')
    assert {name: record["run_id"] for name, record in journal.verdicts().items()} == {
        "weekly": "run-0",
        "hourly": "run-3",
    }
    assert journal.verdicts("run-3")["hourly"]["run_id"] == "run-2"
    assert journal.verdicts("run-0") == {}


def test_a_verdict_is_found_in_the_older_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(str(tmp_path))
    journal.append({"kind": "verdict", "run_id": "run-1", "playbook": "weekly", "verdict": "failed"})
    monkeypatch.setattr(_journal, "ROTATE_BYTES", 1)
    journal.append({"kind": "step", "run_id": "run-2"})
    assert (tmp_path / "journal.1.jsonl").exists()
    assert journal.verdicts()["weekly"]["verdict"] == "failed"
