# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host made by hand: Debian bookworm, PostgreSQL 15, Compose v1."""

from __future__ import annotations

import json

import support

NAME = "molecule-bookworm"


def test_the_host_is_what_it_claims() -> None:
    host = support.host(NAME)
    assert host.file("/etc/os-release").contains("bookworm")
    assert host.file("/home/app/scripts/backup_db.sh").exists
    assert "PostgreSQL) 15" in host.run("psql --version").stdout


def test_its_set_is_verified_and_in_gzip() -> None:
    host = support.host(NAME)
    sets = host.run("ls -1 %s", support.BACKUPS).stdout.split()
    assert len(sets) == 1
    manifest = json.loads(host.file(f"{support.BACKUPS}/{sets[0]}/manifest.json").content_string)
    assert manifest["server_version"].startswith("15")
    assert manifest["verification"][0]["level"] == "decode"
    assert sum(t["rows"] for t in manifest["databases"][0]["tables"]) > 1000
    files = {f["path"] for f in manifest["files"]}
    assert any(f.endswith(".dat.gz") for f in files)


def test_its_containers_were_seen() -> None:
    report = support.newest_report("bookworm")
    assert report["verdict"] == "ok", report["summary"]
    checks = {f["check"]: f["status"] for f in report["findings"]}
    assert checks["container.state"] == "ok"
    assert checks["health.endpoint"] == "ok"


def test_the_handmade_parts_are_left_alone() -> None:
    host = support.host(NAME)
    assert host.file("/etc/cron.d/boardroom-backup").exists or "backup_db.sh" in host.run("crontab -l").stdout
    assert host.service("postgresql@15-main").is_running
