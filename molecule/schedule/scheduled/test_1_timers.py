# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is its own controller: schedule.yml in check mode, applied, again, wrong, with a timer less."""

from __future__ import annotations

import datetime
import json
import typing as t

import pytest
import support

NAME = "molecule-schedule"
UNITS = "/etc/systemd/system"
ALL = ["backup", "daily", "hourly", "monthly", "weekly"]


@pytest.fixture(scope="module")
def host() -> t.Any:
    """The host, prepared by itself."""
    played = support.play_on(NAME, "prepare")
    assert played.rc == 0, played.output
    return support.host(NAME)


def units(host: t.Any) -> list[str]:
    """Names of the installed units."""
    found: str = host.run(f"find {UNITS} -maxdepth 1 -name 'boardroom-maintenance-*' -printf '%f\\n'").stdout
    return sorted(found.split())


def contents(host: t.Any) -> str:
    """Hashes of all that the role writes."""
    found: str = host.run(f"sha256sum {UNITS}/boardroom-maintenance-* /etc/boardroom-maintenance/schedule/*").stdout
    return found


def timers(host: t.Any) -> dict[str, int]:
    """The timers that systemd holds, with their next elapse in microseconds."""
    listed = json.loads(host.run("systemctl list-timers --all --output=json 'boardroom-maintenance-*'").stdout)
    return {one["unit"].removeprefix("boardroom-maintenance-").removesuffix(".timer"): one["next"] for one in listed}


def test_check_mode_predicts_and_changes_nothing(host: t.Any) -> None:
    played = support.play_on(NAME, "schedule", "--check", "--diff")
    assert played.rc == 0, played.output
    assert played.recap("itself")["changed"] >= 4
    assert "OnCalendar=hourly" in played.output
    assert units(host) == []
    assert not host.file("/etc/boardroom-maintenance/schedule").exists


def test_the_timers_are_installed_and_systemd_knows_when(host: t.Any) -> None:
    played = support.play_on(NAME, "schedule")
    assert played.rc == 0, played.output
    assert units(host) == sorted(
        f"boardroom-maintenance-{name}.{kind}" for name in ALL for kind in ("service", "timer")
    )
    # A timer whose service is at work (the hour may be full) elapses next when that has ended.
    elapses = support.wait_for("a next elapse of each timer", lambda: all(timers(host).values()) and timers(host))
    assert sorted(elapses) == ALL
    now = int(host.run("date +%s").stdout)
    assert 0 <= elapses["hourly"] / 1e6 - now <= 3600 + 300 + 60
    weekly = datetime.datetime.fromtimestamp(elapses["weekly"] / 1e6, datetime.timezone.utc)
    assert (weekly.strftime("%a"), weekly.hour, 30 <= weekly.minute <= 37) == ("Sun", 3, True)
    monthly = datetime.datetime.fromtimestamp(elapses["monthly"] / 1e6, datetime.timezone.utc)
    assert (monthly.day, monthly.hour) == (1, 4)
    for name in ALL:
        assert host.service(f"boardroom-maintenance-{name}.timer").is_enabled


def test_systemd_finds_nothing_wrong_with_the_units(host: t.Any) -> None:
    for unit in units(host):
        judged = host.run(f"systemd-analyze --man=no verify {UNITS}/{unit}")
        assert "boardroom-maintenance" not in judged.stderr, judged.stderr
    service = host.file(f"{UNITS}/boardroom-maintenance-backup.service").content_string
    assert "User=ops" in service
    # A host that maintains itself needs sudo.
    assert "NoNewPrivileges" not in service
    assert "maintenance_backup_max_age" not in service
    variables = host.file("/etc/boardroom-maintenance/schedule/backup.json")
    assert (variables.mode, variables.user) == (0o400, "ops")


def test_a_second_run_changes_nothing(host: t.Any) -> None:
    since = "systemctl show --property=ActiveEnterTimestampMonotonic boardroom-maintenance-hourly.timer"
    before = contents(host), host.run(since).stdout
    played = support.play_on(NAME, "schedule")
    assert played.rc == 0, played.output
    assert played.recap("itself")["changed"] == 0, played.output
    # A timer that is started again forgets when it was to elapse.
    assert (contents(host), host.run(since).stdout) == before


@pytest.mark.parametrize(
    ("timer", "sentence"),
    [
        (
            {"name": "hourly", "calendar": "Sun *-13-* 99:00"},
            "calendar of hourly in the schedule is 'Sun *-13-* 99:00', which systemd does not understand",
        ),
        ({"name": "hourly", "on_boot": "soon", "every": "1h"}, "on_boot of hourly in the schedule is 'soon'"),
        ({"name": "hourly", "calendar": "hourly", "playbook": "nosuch"}, "nosuch.yml could not be found"),
        ({"name": "hourly"}, "The timer hourly of maintenance_schedule_timers needs a name of its own"),
    ],
    ids=["calendar", "time span", "playbook", "no time"],
)
def test_a_mistake_is_told_before_anything_is_touched(host: t.Any, timer: dict[str, str], sentence: str) -> None:
    before = contents(host)
    played = support.play_on(NAME, "schedule", "--extra-vars", json.dumps({"maintenance_timers": [timer]}))
    assert played.rc != 0
    assert sentence in " ".join(played.output.split()), played.output
    assert played.recap("itself")["changed"] == 0
    assert contents(host) == before


def test_a_timer_that_is_no_longer_listed_is_gone_and_nothing_else(host: t.Any) -> None:
    left = ["boardroom-maintenance-flag-0badc0de.timer", "boardroom-maintenance-hourly.service"]
    # The host's own timer that lifts a forgotten maintenance page.
    host.run(f"printf '[Timer]\\nOnCalendar=yearly\\n' > {UNITS}/boardroom-maintenance-flag-0badc0de.timer")
    # And the one that is left is to use the collection where ansible-galaxy would have installed it.
    installed = "/home/ops/.ansible/collections/ansible_collections/boardroom"
    host.run_expect([0], f"runuser -u ops -- mkdir -p {installed}")
    host.run_expect([0], f"runuser -u ops -- ln -sn /srv/maintenance {installed}/maintenance")
    fewer = [{"name": "hourly", "calendar": "hourly", "exclusive": False}]
    settings = {"maintenance_timers": fewer, "maintenance_project_dir": ""}
    played = support.play_on(NAME, "schedule", "--extra-vars", json.dumps(settings))
    assert played.rc == 0, played.output
    assert '"boardroom.maintenance.hourly"' in host.file(f"{UNITS}/{left[1]}").content_string
    assert list(timers(host)) == ["hourly"]
    assert units(host) == [*left, "boardroom-maintenance-hourly.timer"]
    assert host.run("ls /etc/boardroom-maintenance/schedule").stdout == ""
    host.run(f"rm {UNITS}/boardroom-maintenance-flag-0badc0de.timer")
    assert support.play_on(NAME, "schedule").rc == 0
    assert sorted(timers(host)) == ALL
