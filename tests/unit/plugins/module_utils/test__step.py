# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the work of a module: lock, lease, journal, and errors in one sentence."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import finding
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import Lease, kernel_lock
from ansible_collections.boardroom.maintenance.plugins.module_utils._step import Context, Outcome, execute, lock_path
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import utc_now


class EndedError(Exception):
    """The module has ended; AnsibleModule would exit."""


class FakeModule:
    """The part of AnsibleModule that a step uses."""

    def __init__(self, state_dir: Path, **params: t.Any) -> None:
        self.params = {"run_id": None, "step": None, "state_dir": str(state_dir), "lock_wait": 0, **params}
        self.check_mode = False
        self.no_log_values = {"hunter22"}
        self._name = "boardroom.maintenance.pg_backup"
        self._diff = False
        self.result: dict[str, t.Any] = {}
        self.failed = False
        self.warnings: list[str] = []

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        self.result = result
        raise EndedError

    def fail_json(self, msg: str, **result: t.Any) -> t.NoReturn:
        self.result, self.failed = {"msg": msg, **result}, True
        raise EndedError

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)


def run(module: FakeModule, work: t.Callable[[Context], Outcome], **options: t.Any) -> None:
    with pytest.raises(EndedError):
        execute(module, work, **{"mutates": True, **options})


def records(state_dir: Path) -> list[dict[str, t.Any]]:
    path = state_dir / "journal.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def fine(context: Context) -> Outcome:
    return Outcome(
        True, "Done.", [finding("a.b", "x", "ok", "fine")], {"more": 1}, {"bytes": 5}, {"before": "", "after": "x"}
    )


def test_a_step_that_succeeds_is_recorded(tmp_path: Path) -> None:
    module = FakeModule(tmp_path, step="backup")
    run(module, fine)
    assert module.result["changed"] is True
    assert module.result["more"] == 1
    assert "diff" not in module.result
    (record,) = records(tmp_path)
    assert (record["step"], record["module"], record["failed"], record["changed"]) == (
        "backup",
        "pg_backup",
        False,
        True,
    )
    assert record["data"] == {"bytes": 5}
    assert record["findings"][0]["check"] == "a.b"


def test_a_diff_is_given_when_asked_for(tmp_path: Path) -> None:
    module = FakeModule(tmp_path)
    module._diff = True
    run(module, fine)
    assert module.result["diff"] == {"before": "", "after": "x"}


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    module = FakeModule(tmp_path / "state", run_id="nobody-holds-it")
    module.check_mode = True
    run(module, fine)
    assert module.result["changed"] is True
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_is_recorded_with_its_finding(tmp_path: Path) -> None:
    def broken(context: Context) -> Outcome:
        raise MaintenanceError("It is broken: hunter22.", "Mend it.", findings=[finding("a.b", "x", "critical", "bad")])

    module = FakeModule(tmp_path)
    run(module, broken)
    assert module.failed
    assert module.result["msg"] == "It is broken: ********. Mend it."
    assert module.result["findings"][0]["status"] == "critical"
    (record,) = records(tmp_path)
    assert (record["failed"], record["changed"], record["remedy"]) == (True, False, "Mend it.")
    assert record["findings"][0]["check"] == "a.b"
    assert "hunter22" not in json.dumps(record)


def test_an_error_nobody_thought_of_is_one_sentence_too(tmp_path: Path) -> None:
    def surprised(context: Context) -> Outcome:
        raise KeyError("hunter22")

    module = FakeModule(tmp_path)
    run(module, surprised)
    assert module.result["msg"] == "Unexpected KeyError: '********'"
    assert module.result["findings"] == []
    assert "hunter22" not in json.dumps(records(tmp_path))


def test_a_run_without_the_lease_changes_nothing(tmp_path: Path) -> None:
    def never(context: Context) -> Outcome:
        raise AssertionError("it worked without the lease")

    Lease(str(tmp_path)).acquire("run-b", "bob", "backup", 3600, utc_now())
    module = FakeModule(tmp_path, run_id="run-a")
    run(module, never)
    assert "Run run-a does not hold the lease of this host; run run-b (backup) does." in module.result["msg"]


def test_each_step_renews_the_lease(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path))
    lease.acquire("run-a", "alice", "weekly", 3600, utc_now())
    before = lease.read()
    seen: list[dict[str, str] | None] = []

    def look(context: Context) -> Outcome:
        seen.append(lease.read())
        return Outcome(False, "Looked.")

    run(FakeModule(tmp_path, run_id="run-a"), look)
    assert before is not None
    assert seen[0] is not None
    assert seen[0]["renewed"] >= before["renewed"]
    assert seen[0]["run_id"] == "run-a"


def test_a_lease_that_was_lost_meanwhile_makes_the_step_fail_with_its_work_on_record(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path))
    lease.acquire("run-a", "alice", "weekly", 3600, utc_now())

    def overtaken(context: Context) -> Outcome:
        lease.acquire("run-b", "bob", "backup", 3600, utc_now(), take_over=True)
        return fine(context)

    module = FakeModule(tmp_path, run_id="run-a")
    run(module, overtaken)
    assert module.failed
    assert "Run run-a does not hold the lease" in module.result["msg"]
    (record,) = records(tmp_path)
    assert (record["failed"], record["changed"]) == (True, True)
    holder = lease.read()
    assert holder is not None
    assert holder["run_id"] == "run-b"


def test_an_observer_neither_needs_nor_renews_the_lease(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path))
    lease.acquire("run-b", "bob", "backup", 3600, utc_now())
    before = Path(lease.path).read_bytes()
    module = FakeModule(tmp_path, run_id="run-a")
    run(module, fine, mutates=False)
    assert not module.failed
    assert Path(lease.path).read_bytes() == before


def test_what_only_reads_the_journal_leaves_no_record(tmp_path: Path) -> None:
    run(FakeModule(tmp_path), fine, mutates=False, journaled=False)
    assert records(tmp_path) == []


def test_secrets_stand_neither_in_findings_nor_in_data_of_the_journal(tmp_path: Path) -> None:
    def leaky(context: Context) -> Outcome:
        return Outcome(
            True, "As hunter22.", [finding("a.b", "hunter22", "ok", "hunter22")], {}, {"url": "x:hunter22@h"}
        )

    run(FakeModule(tmp_path), leaky)
    assert len(records(tmp_path)) == 1
    assert "hunter22" not in (tmp_path / "journal.jsonl").read_text(encoding="utf-8")


def test_a_second_writer_is_told_who_is_at_work(tmp_path: Path) -> None:
    with kernel_lock(lock_path(str(tmp_path)), {"module": "pg_backup", "run_id": "run-b", "since": "02:00"}):
        module = FakeModule(tmp_path)
        run(module, fine)
        assert "Another step is changing this host: pg_backup of run run-b" in module.result["msg"]
        # Who only looks waits for nobody.
        module = FakeModule(tmp_path)
        run(module, fine, mutates=False)
        assert not module.failed


def test_a_record_that_cannot_be_written_makes_a_run_s_step_fail(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    module = FakeModule(tmp_path / "file", run_id="run-a")
    run(module, fine, mutates=False)
    assert module.failed
    assert "could not be written" in module.result["msg"]
    # Ad hoc it is a warning: the observer still answers.
    module = FakeModule(tmp_path / "file")
    run(module, fine, mutates=False)
    assert not module.failed
    assert len(module.warnings) == 1


def test_what_is_refused_at_once_does_not_wait_for_the_lock(tmp_path: Path) -> None:
    def refuse(context: Context) -> None:
        raise MaintenanceError("Refused.")

    with kernel_lock(lock_path(str(tmp_path)), {"module": "x"}):
        module = FakeModule(tmp_path, lock_wait=30)
        run(module, fine, before=refuse)
    assert module.result["msg"] == "Refused."
