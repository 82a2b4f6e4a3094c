# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server refuses, stops, or loses a backend, before and in the middle of a dump."""

from __future__ import annotations

import time
import typing as t

import pytest
import support
from faultkit import DATABASE, DUMPING, NAME, SCRIPT_DUMPING, SECRETS, Site, one_sentence, quoted
from faultpage import Page

SECTION = "The server"
WRONG = "wrong-password-0xBAD"
HBA = "/etc/postgresql/17/main/pg_hba.conf"
COPYING = "application_name IN ('boardroom.maintenance', 'pg_dump') AND state = 'active' AND query ILIKE 'COPY %'"
PSQL = "runuser -u postgres -- psql -XAtq -c"
TERMINATE = f'{PSQL} "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {COPYING}" | grep t'
KILL = f'pid=$({PSQL} "SELECT pid FROM pg_stat_activity WHERE {COPYING} LIMIT 1") && test -n "$pid" && kill -9 $pid'
STOP = "systemctl stop postgresql"


@pytest.fixture(scope="module", autouse=True)
def _roles(site: Site) -> t.Iterator[None]:
    SECRETS.append(WRONG)
    site.sql("DROP ROLE IF EXISTS faults_banned; CREATE ROLE faults_banned LOGIN")
    yield
    site.sql("DROP ROLE faults_banned")


def test_wrong_password(site: Site, page: Page) -> None:
    with site.nothing_lost():
        answer = site.backup(login_host="127.0.0.1", login_password=WRONG)
        one_sentence(answer, "password authentication failed", "postgres")
    assert answer.found("database.reachable")
    site.sh("cp -p /root/.pgpass /root/.pgpass.kept; sed -i 's/postgres:.*/postgres:wrong/' /root/.pgpass")
    try:
        script = site.script()
    finally:
        site.sh("mv /root/.pgpass.kept /root/.pgpass")
    page.add(SECTION, "wrong password", quoted(answer), script.said())


def test_role_without_the_right_to_connect(site: Site, page: Page) -> None:
    site.sh(f"cp -p {HBA} /root/hba; sed -i '1i host all faults_banned 127.0.0.1/32 reject' {HBA}")
    site.sql("SELECT pg_reload_conf()")
    try:
        with site.nothing_lost():
            answer = site.backup(login_user="faults_banned", login_host="127.0.0.1", login_password=WRONG)
            one_sentence(answer, "pg_hba.conf", "faults_banned")
    finally:
        site.sh(f"cat /root/hba >{HBA}")
        site.sql("SELECT pg_reload_conf()")
    page.add(SECTION, "role that `pg_hba.conf` rejects", quoted(answer))


def test_server_stopped(site: Site, page: Page) -> None:
    support.lab("harm", NAME, "postgres-stopped")
    try:
        with site.nothing_lost():
            answer = site.backup()
            one_sentence(answer, "does not run")
        assert answer.found("database.reachable")
        # What is there can be looked at all the same.
        assert not site.info().failed
        script = site.script()
    finally:
        support.lab("harm", NAME, "postgres-stopped", "--undo")
        site.await_postgres()
    page.add(SECTION, "server stopped", quoted(answer), script.said())


@pytest.mark.parametrize(
    ("fault", "action"),
    [
        ("`pg_terminate_backend` of the dumping backends", TERMINATE),
        ("`kill -9` of a dumping backend", KILL),
        ("server stopped while it is dumped", STOP),
    ],
    ids=["terminated", "killed", "stopped"],
)
def test_in_the_middle_of_a_dump(site: Site, page: Page, fault: str, action: str) -> None:
    mend = f"systemctl start postgresql; until {PSQL} 'SELECT 1'; do sleep 0.2; done"
    try:
        with site.nothing_lost():
            answer = site.backup_while(DUMPING, action)
            one_sentence(answer, DATABASE)
            site.sh(mend)
        script = site.script(harm=(SCRIPT_DUMPING, action))
    finally:
        site.sh(mend)
    # The script's harm did bite: otherwise there is nothing to compare with.
    assert not any(file["whole"] for file in script.files), script
    page.add(SECTION, fault, quoted(answer), script.said())


def test_table_locked_by_a_migration(site: Site, page: Page) -> None:
    hold = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT 'held'; SELECT pg_sleep(120)"
    psql = ["runuser", "-u", "postgres", "--", "psql", "-XAtq", DATABASE]
    held = support.open_on(NAME, psql)
    assert held.stdin and held.stdout
    for statement in hold.split(";"):
        held.stdin.write(f"{statement};\n".encode())
    held.stdin.flush()
    assert held.stdout.readline() == b"held\n"
    try:
        began = time.monotonic()
        with site.nothing_lost():
            answer = site.backup(lock_wait_timeout="2s")
            seconds = time.monotonic() - began
            one_sentence(answer, "lock", "wait for it")
        assert seconds < 20
        script = site.script(prefix="timeout 8")
    finally:
        site.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' "
            "AND pid <> pg_backend_pid()"
        )
        held.communicate(timeout=30)
        site.sh("pkill -x pg_dump; true")
    assert script.rc == 124, script
    page.add(
        SECTION,
        "`ACCESS EXCLUSIVE` lock on a table, `lock_wait_timeout: 2s`",
        f"{quoted(answer)} (the whole call: {seconds:.0f} s)",
        "waited without a limit; the test ended it after 8 s",
    )
