# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of two hosts is cut off in mid-run: red, and its missing record is named."""

from __future__ import annotations

import pytest
import support

STAYS = "molecule-failure-1"
GONE = "molecule-failure-2"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> object:
    log = tmp_path_factory.mktemp("cut") / "log"
    started = support.start(
        "failure", "weekly", log, "-e", "maintenance_backup_force=true", "-e", "maintenance_mode=true"
    )
    support.wait_for(
        "a step on the host that goes",
        lambda: any(r.get("step") == "health_before" for r in journal_of_this_run()),
    )
    support.lab("harm", GONE, "network-cut")
    try:
        rc = started.wait(timeout=600)
    finally:
        support.lab("harm", GONE, "network-cut", "--undo")
    yield support.Played(rc, log.read_text(encoding="utf-8"))


def journal_of_this_run() -> list[dict[str, object]]:
    lease = support.lease(GONE)
    return [r for r in support.journal(GONE) if lease and r.get("run_id") == lease["run_id"]]


def test_the_run_is_red_and_names_the_host(run: support.Played) -> None:
    assert run.rc != 0
    report = support.newest_report("failure")
    assert report["verdict"] == "failed"
    missing = [f for f in report["findings"] if f["check"] == "run.record" and f["status"] == "critical"]
    assert [f["subject"] for f in missing] == [GONE]


def test_the_other_host_was_maintained_to_the_end(run: support.Played) -> None:
    report = support.newest_report("failure")
    steps = [r["step"] for r in support.journal(STAYS) if r["kind"] == "step" and r["run_id"] == report["run_id"]]
    assert "health_after" in steps
    assert support.lease(STAYS) is None


def test_what_the_host_keeps_runs_out_by_itself(run: support.Played) -> None:
    lease = support.lease(GONE)
    assert lease is not None
    flag = support.host(GONE).file("/var/www/maintenance.flag")
    assert flag.exists
    timers = support.host(GONE).run("systemctl list-timers --all --no-legend").stdout
    assert "boardroom-maintenance-flag" in timers


def test_the_next_run_says_who_holds_it_and_takes_over(run: support.Played) -> None:
    refused = support.play("failure", "weekly")
    assert refused.rc != 0
    assert "weekly" in refused.output
    assert "holds this host since" in refused.output
    # All hosts or none: the other one is free again.
    assert support.lease(STAYS) is None
    played = support.play("failure", "weekly", "-e", "maintenance_take_over=true")
    assert played.rc == 0, played.output
