# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it: who holds a host, and what becomes of a run that never gave it back."""

from __future__ import annotations

import datetime
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import Lease
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import utc_now
from ansible_collections.boardroom.maintenance.plugins.modules import run_lock

Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def call(state: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(run_id: str, **options: t.Any) -> dict[str, t.Any]:
        fixed = {"state_dir": str(state), "run_id": run_id, "owner": "alice@laptop", "purpose": "weekly"}
        with patch_module_args({**fixed, **options}), pytest.raises(SystemExit):
            run_lock.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def kinds(state: Path) -> list[tuple[str, str]]:
    """Openings and closings of runs, as the journal has them."""
    lines = (state / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return [(r["kind"], r["run_id"]) for r in map(json.loads, lines) if r["kind"] != "step"]


def test_a_lease_is_taken_renewed_and_given_back(call: Call, state: Path) -> None:
    held = call("run-a")
    documented = yaml.safe_load(run_lock.RETURN)
    assert set(documented) - {"holder"} <= set(held)
    assert set(held["lease"]) == set(documented["lease"]["contains"])
    assert (held["changed"], held["held"], held["lease"]["owner"], held["broken_run"]) == (
        False,
        True,
        "alice@laptop",
        {},
    )
    again = call("run-a")
    assert again["lease"]["since"] == held["lease"]["since"]
    given = call("run-a", state="released")
    assert (given["held"], given["lease"]) == (False, {})
    assert kinds(state) == [("run_opened", "run-a"), ("run_closed", "run-a")]


def test_a_live_lease_stands_and_its_holder_is_named(call: Call, state: Path) -> None:
    call("run-a")
    refused = call("run-b", owner="bob")
    assert refused["failed"]
    for word in ("run-a", "weekly", "alice@laptop"):
        assert word in refused["msg"]
    assert refused["holder"]["run_id"] == "run-a"
    # It is not the refused one's to give back.
    left = call("run-b", state="released")
    assert (left["held"], left["lease"]["run_id"]) == (False, "run-a")
    assert kinds(state) == [("run_opened", "run-a")]


def test_a_live_lease_is_taken_over_on_record(call: Call, state: Path) -> None:
    call("run-a")
    taken = call("run-b", owner="bob", take_over=True)
    assert (taken["held"], taken["lease"]["run_id"], taken["broken_run"]["run_id"]) == (True, "run-b", "run-a")
    (found,) = taken["findings"]
    assert (found["check"], found["subject"], found["status"]) == ("run.unfinished", "run-a", "warning")
    assert "its lease was taken over" in found["message"]
    assert kinds(state) == [("run_opened", "run-a"), ("run_closed", "run-a"), ("run_opened", "run-b")]


def test_an_expired_lease_is_taken_by_itself_on_record(call: Call, state: Path) -> None:
    past = utc_now() - datetime.timedelta(hours=2)
    Lease(str(state)).acquire("run-a", "alice", "weekly", 3600, past)
    taken = call("run-b")
    assert taken["held"]
    assert "its lease had expired" in taken["findings"][0]["message"]
    assert kinds(state) == [("run_closed", "run-a"), ("run_opened", "run-b")]


def test_check_mode_says_what_would_be_and_writes_nothing(call: Call, state: Path) -> None:
    assert call("run-a", _ansible_check_mode=True)["held"] is False
    assert not state.exists()
    call("run-a")
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    assert call("run-b", _ansible_check_mode=True)["holder"]["run_id"] == "run-a"
    assert call("run-a", state="released", _ansible_check_mode=True)["lease"]["run_id"] == "run-a"
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


@pytest.mark.parametrize(
    ("ttl", "sentence"), [("59s", "ttl is 59s, but a lease must last at least 1m."), ("x", "ttl is 'x', but must be")]
)
def test_a_bad_ttl_is_refused(call: Call, state: Path, ttl: str, sentence: str) -> None:
    refused = call("run-a", ttl=ttl)
    assert refused["failed"]
    assert sentence in refused["msg"]
    assert Lease(str(state)).read() is None
