# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed in mid-run; the next run finds out who held the host."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import support

NAME = "molecule-failure-1"


def kill_in_mid_run(log: Path, *arguments: str) -> dict[str, str]:
    """Start weekly, kill it when its backup step has begun, and return the lease that it left."""
    run = support.start("failure", "weekly", log, "--limit", NAME, "-e", "maintenance_backup_force=true", *arguments)
    lease = support.wait_for("a lease", lambda: support.lease(NAME))
    support.wait_for(
        "a step",
        lambda: any(r.get("step") == "health_before" and r["run_id"] == lease["run_id"] for r in support.journal(NAME)),
    )
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    # A step that was at work on the host may end by itself; it holds the kernel lock until then.
    support.wait_for(
        "the end of the step", lambda: support.host(NAME).run("flock -n /run/boardroom-maintenance.lock true").rc == 0
    )
    standing = support.lease(NAME)
    assert standing is not None
    return standing


def test_a_run_within_the_lease_is_told_who_and_since_when(tmp_path: Path) -> None:
    lease = kill_in_mid_run(tmp_path / "log", "-e", "maintenance_owner=alice@laptop")
    # The killed run's report on disk is red.
    left = json.loads((support.reports("failure")[-1] / "report.json").read_text(encoding="utf-8"))
    assert left["run_id"] == lease["run_id"]
    assert left["verdict"] not in ("ok", "warning")
    played = support.play("failure", "weekly", "--limit", NAME)
    assert played.rc != 0
    assert lease["run_id"] in played.output
    assert "alice@laptop" in played.output
    assert f"since {lease['since']}" in played.output
    standing = support.lease(NAME)
    assert standing is not None
    assert standing["run_id"] == lease["run_id"]


def test_with_the_take_over_variable_it_goes_through_and_reports_the_broken_run() -> None:
    lease = support.lease(NAME)
    assert lease is not None
    played = support.play("failure", "weekly", "--limit", NAME, "-e", "maintenance_take_over=true")
    assert played.rc == 0, played.output
    assert_reported(lease["run_id"])


def test_after_expiry_it_goes_through_by_itself(tmp_path: Path) -> None:
    lease = kill_in_mid_run(tmp_path / "log", "-e", "maintenance_lease_ttl=1m")
    # The step that was at work when its controller died may still renew the lease when it ends.
    support.wait_for("the expiry", lambda: expired((support.lease(NAME) or lease)["expires"]), 240)
    played = support.play("failure", "weekly", "--limit", NAME)
    assert played.rc == 0, played.output
    assert_reported(lease["run_id"])


def expired(moment: str) -> bool:
    return support.host(NAME).run("date -u +%Y-%m-%dT%H:%M:%SZ").stdout.strip() > moment


def assert_reported(broken: str) -> None:
    """The newest report names the broken run, and the journal closes it."""
    report = support.newest_report("failure")
    named = [f for f in report["findings"] if f["check"] == "run.unfinished" and f["subject"] == broken]
    assert len(named) == 1, report["findings"]
    html = (support.reports("failure")[-1] / "report.html").read_text(encoding="utf-8")
    assert broken in html
    closed = [r for r in support.journal(NAME) if r["kind"] == "run_closed" and r["run_id"] == broken]
    assert len(closed) == 1
    assert closed[0]["by"] == report["run_id"]
    assert support.lease(NAME) is None
