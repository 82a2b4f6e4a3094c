# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL is stopped: red, named first, every other check still ran, flag and lease are gone."""

from __future__ import annotations

import pytest
import support

NAME = "molecule-failure-1"


@pytest.fixture(scope="module")
def played() -> object:
    support.lab("harm", NAME, "postgres-stopped")
    yield support.play(
        "failure", "weekly", "--limit", NAME, "-e", "maintenance_mode=true", "-e", "maintenance_backup_force=true"
    )
    support.lab("harm", NAME, "postgres-stopped", "--undo")


def test_the_run_is_red(played: support.Played) -> None:
    assert played.rc != 0
    assert support.newest_report("failure")["verdict"] == "failed"


def test_the_report_names_the_database_first(played: support.Played) -> None:
    first = support.newest_report("failure")["findings"][0]
    assert (first["check"], first["status"]) == ("database.reachable", "critical")
    assert "database.reachable" in played.output or first["message"] in played.output


def test_every_other_check_ran(played: support.Played) -> None:
    findings = support.newest_report("failure")["findings"]
    checks = {f["check"] for f in findings}
    assert {"health.endpoint", "container.state", "backup.age", "backup.damage"} <= checks
    run = support.newest_report("failure")["run_id"]
    steps = [r["step"] for r in support.journal(NAME) if r["kind"] == "step" and r["run_id"] == run]
    for step in ("health_before", "backup", "backup_check", "database_care", "health_after"):
        assert step in steps
    unhealthy = [f for f in findings if f["check"] in ("health.endpoint", "health.json") and f["status"] == "critical"]
    assert unhealthy, findings


def test_flag_and_lease_are_gone(played: support.Played) -> None:
    host = support.host(NAME)
    assert not host.file("/var/www/maintenance.flag").exists
    assert not host.file("/var/www/maintenance.flag").is_symlink
    assert support.lease(NAME) is None
    assert "boardroom-maintenance-flag" not in host.run("systemctl list-timers --all --no-legend").stdout
    # They were there while it ran.
    run = support.newest_report("failure")["run_id"]
    window = [r for r in support.journal(NAME) if r.get("run_id") == run and r.get("step") == "window_open"]
    assert [r["failed"] for r in window] == [False]


def test_no_half_set_is_left(played: support.Played) -> None:
    assert ".incomplete" not in support.host(NAME).run("ls -1A %s", support.BACKUPS).stdout


def test_contacts_stand_in_the_red_report(played: support.Played) -> None:
    html = (support.reports("failure")[-1] / "report.html").read_text(encoding="utf-8")
    assert "Alice Founder" in html
