# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After prepare.yml and weekly.yml, twice."""

from __future__ import annotations

import json

import pytest
import support

NAME = "molecule-default"


@pytest.fixture(scope="module")
def host() -> object:
    return support.host(NAME)


def test_a_set_is_there_verified_and_only_for_root(host: object) -> None:
    sets = host.run("ls -1 %s", support.BACKUPS).stdout.split()
    assert len(sets) == 1
    manifest = json.loads(host.file(f"{support.BACKUPS}/{sets[0]}/manifest.json").content_string)
    assert [d["name"] for d in manifest["databases"]] == ["boardroom_prod"]
    assert manifest["verification"][0]["level"] == "decode"
    assert host.file(f"{support.BACKUPS}/{sets[0]}").mode == 0o700
    loose = host.run("find %s/%s -not -user root -o -perm /077", support.BACKUPS, sets[0]).stdout
    assert loose == ""


def test_the_counts_are_those_of_the_database(host: object) -> None:
    sets = host.run("ls -1 %s", support.BACKUPS).stdout.split()
    manifest = json.loads(host.file(f"{support.BACKUPS}/{sets[0]}/manifest.json").content_string)
    counted = {(r["schema"], r["name"]): r["rows"] for r in manifest["databases"][0]["tables"]}
    query = "SELECT count(*) FROM users"
    real = host.run("runuser -u postgres -- psql -XAtqc %s boardroom_prod", query).stdout
    assert counted["public", "users"] == int(real) > 0
    assert sum(counted.values()) > 10000


def test_a_run_leaves_neither_lease_nor_flag(host: object) -> None:
    assert not host.file(f"{support.STATE}/lease.json").exists
    assert not host.file("/var/www/maintenance.flag").exists
    assert host.file(support.STATE).mode == 0o700
    assert host.file(f"{support.STATE}/journal.jsonl").mode == 0o600


def test_the_second_run_took_no_second_set_and_both_are_in_the_journal(host: object) -> None:
    backups = [r for r in support.journal(NAME) if r["kind"] == "step" and r.get("module") == "pg_backup"]
    assert [r["changed"] for r in backups] == [True, False]
    assert len({r["run_id"] for r in backups}) == 2


def test_the_report_is_green_and_kept_on_the_record_host(host: object) -> None:
    report = support.newest_report("default")
    assert report["verdict"] == "ok", report["summary"]
    run = support.reports("default")[-1].name
    for name in ("report.html", "report.md", "report.json"):
        kept = host.file(f"{support.STATE}/reports/{run}/{name}")
        assert kept.sha256sum == _sha256(support.reports("default")[-1] / name)
        assert kept.mode == 0o600


def _sha256(path: object) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_check_mode_of_weekly_writes_nothing(host: object) -> None:
    before = len(support.journal(NAME)), host.run("ls -1A %s", support.BACKUPS).stdout, len(support.reports("default"))
    played = support.play("default", "weekly", "--check", "-e", "maintenance_backup_force=true")
    assert played.rc == 0, played.output
    assert played.recap(NAME)["changed"] == 1
    after = len(support.journal(NAME)), host.run("ls -1A %s", support.BACKUPS).stdout, len(support.reports("default"))
    assert after == before


def test_hourly_is_green_and_changes_nothing() -> None:
    played = support.play("default", "hourly")
    assert played.rc == 0, played.output
    assert played.recap(NAME)["changed"] == 0


def test_backup_takes_one_more_set(host: object) -> None:
    before = set(host.run("ls -1 %s", support.BACKUPS).stdout.split())
    played = support.play("default", "backup", "-e", "maintenance_note='Tried <b>by hand</b>.'")
    assert played.rc == 0, played.output
    after = set(host.run("ls -1 %s", support.BACKUPS).stdout.split())
    assert before < after
    assert len(after) == len(before) + 1
    html = (support.reports("default")[-1] / "report.html").read_text(encoding="utf-8")
    assert "Tried &lt;b&gt;by hand&lt;/b&gt;." in html


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["-e", "maintenance_backup_max_age=soon", "-e", "maintenance_backup_force=false"],
            "must be a number with s, m, h, d or w",
        ),
        (["-e", "maintenance_databases=['nosuch']"], "nosuch"),
        (["-e", "maintenance_lease_ttl=5s"], "a lease must last at least 1m"),
    ],
)
def test_wrong_input_is_one_sentence_and_red(host: object, arguments: list[str], sentence: str) -> None:
    before = host.run("ls -1A %s", support.BACKUPS).stdout
    played = support.play("default", "backup", *arguments)
    assert played.rc != 0
    assert sentence in played.output
    assert "Traceback" not in played.output
    assert host.run("ls -1A %s", support.BACKUPS).stdout == before
    assert support.lease(NAME) is None
