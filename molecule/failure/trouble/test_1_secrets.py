# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of the lab appears in a process list, a journal, a report or the most talkative output."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import support

NAME = "molecule-failure-1"
PASSWORD = "lab-pg-password-0xB0A4D"

# Reads every command line on the host, 20 times a second, until its input ends.
SAMPLER = """
import glob, select, sys, time
seen = set()
while not select.select([sys.stdin], [], [], 0.05)[0]:
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            with open(path, 'rb') as file:
                seen.add(file.read().replace(b'\\0', b' '))
        except OSError:
            continue
sys.stdout.buffer.write(b'\\n'.join(sorted(seen)))
"""


def sample_here(stop: threading.Event, seen: set[bytes]) -> None:
    while not stop.wait(0.05):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(path.read_bytes().replace(b"\0", b" "))
            except OSError:
                continue


def test_no_secret_shows(tmp_path: Path) -> None:
    assert PASSWORD in support.SECRETS
    variables = tmp_path / "secrets.json"
    # Over TCP with the application's own role, so that the password is really used.
    variables.write_text(
        json.dumps(
            {
                "maintenance_backup_user": "",
                "maintenance_postgres_host": "127.0.0.1",
                "maintenance_postgres_user": "boardroom_admin",
                "maintenance_postgres_password": PASSWORD,
                "maintenance_mode": True,
            }
        ),
        encoding="utf-8",
    )
    host = support.host(NAME)
    secret_in_sql = f"CREATE ROLE boardroom_admin SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
    sql = tmp_path / "role.sql"
    sql.write_text(secret_in_sql, encoding="utf-8")
    support.feed(NAME, ["runuser", "-u", "postgres", "--", "psql", "-Xq", "-v", "ON_ERROR_STOP=1"], sql.read_bytes())
    here: set[bytes] = set()
    stop = threading.Event()
    local = threading.Thread(target=sample_here, args=(stop, here))
    remote = support.open_on(NAME, ["python3", "-c", SAMPLER])
    local.start()
    try:
        log = tmp_path / "weekly.log"
        run = support.start("failure", "weekly", log, "-vvv", "--diff", "-e", f"@{variables}", "--limit", NAME)
        assert run.wait(timeout=600) == 0, log.read_text(encoding="utf-8")[-3000:]
    finally:
        stop.set()
        local.join()
        there, _nothing = remote.communicate(b"\n", timeout=30)
    # The samples are good for something: they hold what really ran.
    assert any(b"ansible-playbook" in line for line in here)
    assert b"pg_dump" in there
    report = support.reports("failure")[-1]
    places = {
        "command lines of the controller": b"\n".join(here),
        "command lines of the host": there,
        "output of -vvv": log.read_bytes(),
        "journal": host.run("cat %s/journal.jsonl", support.STATE).stdout.encode(),
        "manifest": host.run("cat %s", f"{newest_set(host)}/manifest.json").stdout.encode(),
        "flag and lease": host.run("cat /run/boardroom-maintenance.lock").stdout.encode(),
        **{path.name: path.read_bytes() for path in report.iterdir()},
    }
    found = [(place, secret) for place, text in places.items() for secret in support.SECRETS if secret.encode() in text]
    assert found == []


def newest_set(host: object) -> str:
    """Directory of the newest backup set."""
    return f"{support.BACKUPS}/{sorted(host.run('ls -1 %s', support.BACKUPS).stdout.split())[-1]}"
