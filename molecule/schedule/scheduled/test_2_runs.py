# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services really run the playbooks, and people hear of a run when its end is news: by mail and by webhook."""

from __future__ import annotations

import json
import typing as t

import pytest
import support

NAME = "molecule-schedule"
TOKEN = "sesame"


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    """No timer elapses by itself from now on, and what elapsed before is forgotten."""
    host = support.host(NAME)
    host.run_expect([0], "systemctl stop 'boardroom-maintenance-*.timer'")
    services = "systemctl list-units --no-legend --state=activating 'boardroom-maintenance-*.service'"
    support.wait_for("the end of services", lambda: host.run(services).stdout == "")
    host.run_expect(
        [0], f"rm -rf {support.STATE}/journal.jsonl {support.BACKUPS} && truncate --size=0 /srv/sinks.jsonl"
    )


def start(name: str) -> int:
    """Start a timer's service and wait for its end, as systemd does; the exit status."""
    return int(support.host(NAME).run(f"systemctl start boardroom-maintenance-{name}.service").rc)


def heard(kind: str) -> list[dict[str, t.Any]]:
    """What the servers of the test were sent so far."""
    text = support.host(NAME).run("cat /srv/sinks.jsonl").stdout
    return [one for one in map(json.loads, text.splitlines()) if one["kind"] == kind]


def report() -> dict[str, t.Any]:
    """The newest report, which the user of the service wrote."""
    text = support.host(NAME).run("cat /home/ops/reports/latest/report.json").stdout
    return t.cast("dict[str, t.Any]", json.loads(text))


def test_the_backup_service_takes_one_set_and_a_second_start_none() -> None:
    assert start("backup") == 0, support.host(NAME).run("journalctl -u boardroom-maintenance-backup").stdout
    assert start("backup") == 0
    backups = [r for r in support.journal(NAME) if r["kind"] == "step" and r.get("module") == "pg_backup"]
    assert [r["changed"] for r in backups] == [True, False]
    assert report()["playbook"] == "backup"


def test_a_green_first_run_is_no_news_but_pings() -> None:
    assert start("hourly") == 0, support.host(NAME).run("journalctl -u boardroom-maintenance-hourly").stdout
    made = report()
    assert (made["playbook"], made["verdict"], made["started_by"]) == ("hourly", "ok", "ops@" + hostname())
    assert heard("mail") == heard("webhook") == []
    assert [one["path"] for one in heard("ping")] == ["/ping/77aa-sesame"]


def hostname() -> str:
    return str(support.host(NAME).run("cat /proc/sys/kernel/hostname").stdout.strip())


def wait_for_health(state: str) -> None:
    """Wait until Docker thinks so of the application."""
    host = support.host(NAME)
    asked = "docker inspect --format {{.State.Health.Status}} boardroom-app-1"
    support.wait_for(f"the application to be {state}", lambda: host.run(asked).stdout.strip() == state)


def test_a_stopped_database_is_told_once() -> None:
    support.lab("harm", NAME, "postgres-stopped")
    # What falls ill later would be news of its own.
    wait_for_health("unhealthy")
    assert start("hourly") != 0
    mails, hooks = heard("mail"), heard("webhook")
    assert (len(mails), len(hooks), len(heard("ping"))) == (1, 1, 1)
    assert mails[0]["to"] == ["alice@boardroom.test"]
    assert mails[0]["subject"].startswith("FAILED: Hourly look: itself: ")
    assert (hooks[0]["title"], hooks[0]["type"]) == (mails[0]["subject"], "failure")
    for text in (mails[0]["text"], hooks[0]["message"]):
        assert "What to do: " in text
        assert "Alice Founder, first call, +1 555 0100, alice@boardroom.test" in text
        assert report()["run_id"] in text
        assert "/home/ops/reports/" in text
    # It is as red as before: no news.
    assert start("hourly") != 0
    assert (len(heard("mail")), len(heard("webhook")), len(heard("ping"))) == (1, 1, 1)


def test_recovery_is_told_with_what_is_well_again() -> None:
    support.lab("harm", NAME, "postgres-stopped", "--undo")
    wait_for_health("healthy")
    assert start("hourly") == 0
    mails = heard("mail")
    assert len(mails) == len(heard("webhook")) == 2
    assert mails[-1]["subject"].startswith("OK AGAIN: Hourly look: ")
    again = mails[-1]["text"].partition("What is well again:\n")[2]
    assert "- health.endpoint of application on itself: " in again
    assert "Whom to call" not in mails[-1]["text"]
    assert len(heard("ping")) == 2


def test_a_maintenance_window_ends_with_a_completion_notice() -> None:
    played = support.play_on(NAME, "backup", "--extra-vars", "maintenance_mode=true maintenance_backup_max_age=10h")
    assert played.rc == 0, played.output
    last = heard("mail")[-1]
    assert last["subject"] == "DONE: Backup: the maintenance window is closed"
    assert "The maintenance page was up from 2" in last["text"]


def test_no_url_is_seen_anywhere() -> None:
    host = support.host(NAME)
    log = host.run("journalctl --output=cat").stdout
    assert "boardroom-maintenance-hourly" in log or "Hourly look" in log
    assert TOKEN not in log
    assert TOKEN not in host.run("cat %s/journal.jsonl", support.STATE).stdout
    assert TOKEN not in host.run("cat /home/ops/reports/*/report.*").stdout
    verbose = support.play_on(NAME, "hourly", "-vvvv")
    assert verbose.rc == 0, verbose.output
    assert "Tell people" in verbose.output
    assert TOKEN not in verbose.output
