# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the database or in the store is odd: damaged files, missing rights, names, passwords, clocks."""

from __future__ import annotations

import collections
import datetime
import json
import os
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._manifest import seal
from faultkit import DEST, SECRETS, SUPERUSER_PASSWORD, Site, one_sentence, quoted
from faultpage import Page

TINY = "faults tiny"
DAMAGE = {
    "emptied": "os.truncate(path, 0)",
    "cut": "os.truncate(path, os.path.getsize(path) // 2)",
    "one bit flipped": (
        "file = open(path, 'r+b'); data = file.read(); at = len(data) // 2; file.seek(at); "
        "file.write(bytes([data[at] ^ 1])); file.close()"
    ),
    "deleted": "os.unlink(path)",
}
# Quotes, spaces, semicolon, dollar, unicode, a leading dash, dots, a slash, an option, and 60 bytes.
NAMES = [
    'it\'s "quoted"',
    "with spaces; DROP TABLE kept;",
    "$HOME `id` %s \\",
    "žluťoučký 数据",
    "-dash --help",
    "..",
    "a/b=c host=evil",
    "x" * 60,
]
# Colon, backslash, quotes, dollar, percent, spaces, unicode.
PASSWORD = "p:a\\\\s's\"w $0 %d {x} ö#0xFA"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def tiny(site: Site) -> t.Iterator[dict[str, t.Any]]:
    """A small database with tables and a large object, and the one set of it."""
    SECRETS.append(PASSWORD)
    for statement in (
        f"DROP DATABASE IF EXISTS {_identifier(TINY)}",
        f"CREATE DATABASE {_identifier(TINY)}",
    ):
        site.sql(statement)
    site.sql(
        "CREATE TABLE kept AS SELECT i, md5(i::text) FROM generate_series(1, 500) i;"
        "CREATE TABLE notes (id int, body text); INSERT INTO notes VALUES (1, 'one'), (2, 'two');"
        "SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));",
        TINY,
    )
    answer = site.backup(instance="tiny", databases=[TINY])
    assert not answer.failed, answer.msg
    yield answer.result["backup"]
    site.sql(f"DROP DATABASE {_identifier(TINY)}")


def test_damage_of_every_file_is_named(site: Site, page: Page, tiny: dict[str, t.Any]) -> None:
    path = tiny["path"]
    files = site.sh(f"cd {path} && find . -type f -printf '%P\\n' | LC_ALL=C sort").splitlines()
    assert "manifest.json" in files and len(files) >= 6, files
    cases = [(kind, file) for file in files for kind in DAMAGE]
    # One copy of the set for each damage.
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    moments = [begin + datetime.timedelta(seconds=number) for number in range(len(cases))]
    ids = site.forge(path, "damaged", moments)
    site.python(
        "import json, os, sys\n"
        "for name, code, file in json.loads(sys.argv[1]):\n"
        f"    path = os.path.join('{DEST}/damaged', name, file)\n"
        "    exec(code)\n",
        json.dumps([(name, DAMAGE[kind], file) for name, (kind, file) in zip(ids, cases, strict=True)]),
    )
    try:
        answer = site.info(instance="damaged", check="hashes")
    finally:
        site.sh(f"rm -rf {DEST}/damaged")
    assert not answer.failed, answer.msg
    damage = answer.found("backup.damage")
    expected = {f"{name}/{file}" for name, (_kind, file) in zip(ids, cases, strict=True)}
    assert {f["subject"] for f in damage} == expected and len(damage) == len(cases), answer.result
    assert {f["status"] for f in damage} == {"critical"}
    # What is damaged counts for nothing: there is no whole set.
    assert [f["status"] for f in answer.found("backup.age")] == ["critical"]
    named = collections.Counter(
        kind
        for name, (kind, file) in zip(ids, cases, strict=True)
        if f"{name}/{file}" in {f["subject"] for f in damage}
    )
    kinds = sorted({os.path.basename(f) if "." in f else f for f in files})
    for kind in DAMAGE:
        page.add(
            "The sets",
            f"each of {len(files)} files of a set {kind} ({', '.join(f'`{k}`' for k in kinds)})",
            f"{named[kind]} of {len(files)} named with set and file by `pg_backup_info` (`check: hashes`)",
        )


def test_set_from_the_future(site: Site, page: Page, tiny: dict[str, t.Any]) -> None:
    manifest = json.loads(site.sh(f"cat '{tiny['path']}/manifest.json'"))
    del manifest["checksum"]
    ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
    manifest["id"] = f"{ahead:%Y%m%dT%H%M%SZ}-0000fa17"
    manifest["snapshot_time"] = manifest["started"] = manifest["finished"] = f"{ahead:%Y-%m-%dT%H:%M:%SZ}"
    copy = f"{DEST}/future/{manifest['id']}"
    site.sh(f"mkdir -p {DEST}/future && cp -a '{tiny['path']}' {copy}")
    site.write(f"{copy}/manifest.json", (json.dumps(seal(manifest)) + "\n").encode())
    try:
        seen = site.info(instance="future", check="hashes")
        assert not seen.found("backup.damage"), seen.result
        age = seen.found("backup.age")
        assert age and age[0]["status"] == "critical" and "future" in age[0]["message"]
        answer = site.backup(instance="future", databases=[TINY], max_age="30d")
        assert not answer.failed and answer.result["changed"], answer.msg
        again = site.backup(instance="future", databases=[TINY], max_age="30d")
        assert not again.failed and not again.result["changed"], again.msg
        assert again.result["backup"]["id"] == answer.result["backup"]["id"]
    finally:
        site.sh(f"rm -rf {DEST}/future")
    page.add(
        "The sets",
        "a set from the future (the clock was three days ahead)",
        f"reported: '{age[0]['message']}'; it does not satisfy `max_age`, a new set was taken",
    )


def test_role_that_may_not_read_a_table(site: Site, page: Page, tiny: dict[str, t.Any]) -> None:
    site.sql(f"CREATE ROLE faults_reader LOGIN PASSWORD '{SUPERUSER_PASSWORD}'")
    login = {"login_user": "faults_reader", "login_host": "127.0.0.1", "login_password": SUPERUSER_PASSWORD}
    wanted = {**login, "instance": "tiny", "databases": [TINY], "globals": False}
    try:
        # May read the rows of one table, and none of the other.
        site.sql("GRANT SELECT ON kept TO faults_reader", TINY)
        with site.nothing_lost():
            answer = site.backup(**wanted)
            one_sentence(answer, "may not read", "notes")
        page.add("Rights, names and passwords", "the role may not read one table", quoted(answer))
        site.sql(
            "GRANT SELECT ON notes TO faults_reader; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY one ON notes USING (id = 1);"
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO faults_reader",
            TINY,
        )
        with site.nothing_lost():
            answer = site.backup(**wanted)
            # The large object is the superuser's, too: that must not hide the table.
            one_sentence(answer, "Row security", "notes")
        page.add("Rights, names and passwords", "the role sees a part of a table (row level security)", quoted(answer))
    finally:
        site.sql("ALTER TABLE notes DISABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS one ON notes", TINY)
        site.sql("DROP OWNED BY faults_reader", TINY)
        site.sql("DROP ROLE faults_reader")


def test_odd_names_of_databases(site: Site, page: Page) -> None:
    try:
        for name in NAMES:
            site.sql(f"CREATE DATABASE {_identifier(name)}")
            site.sql('CREATE TABLE "odd \'table" AS SELECT i FROM generate_series(1, 7) i', name)
        answer = site.backup(instance="names", databases=NAMES)
        assert not answer.failed, answer.msg
        assert sorted(answer.result["backup"]["databases"]) == sorted(NAMES)
        assert answer.result["backup"]["rows"] == 7 * len(NAMES)
        seen = site.info(instance="names", check="decode")
        assert not seen.failed and not seen.found("backup.damage"), seen.result
        manifest = json.loads(site.sh(f"cat '{answer.result['backup']['path']}/manifest.json'"))
        site.sql("CREATE DATABASE faults_restored")
        for described in manifest["databases"]:
            where = f"{answer.result['backup']['path']}/{described['path']}"
            site.sql('DROP TABLE IF EXISTS "odd \'table"', "faults_restored")
            site.python(
                "import subprocess, sys\n"
                "subprocess.run(['pg_restore', '-h', 'localhost', '-U', 'postgres', '-d', 'faults_restored', "
                "'--exit-on-error', sys.argv[1]], check=True)",
                where,
            )
            assert site.sql('SELECT count(*) FROM "odd \'table"', "faults_restored") == "7", described["name"]
    finally:
        for name in [*NAMES, "faults_restored"]:
            site.sql(f"DROP DATABASE IF EXISTS {_identifier(name)}")
        site.sh(f"rm -rf {DEST}/names")
    page.add(
        "Rights, names and passwords",
        f"names of databases such as {', '.join('`' + n.replace('`', '') + '`' for n in NAMES[:5])}, and of 60 bytes",
        f"{len(NAMES)} databases in one set, decoded again, each restored with `pg_restore`, rows counted",
    )


def test_odd_password(site: Site, page: Page, tiny: dict[str, t.Any]) -> None:
    literal = PASSWORD.replace("'", "''")
    site.sql(f"CREATE ROLE faults_odd SUPERUSER LOGIN PASSWORD '{literal}'")
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    site.write("/root/faults.pgpass", f"127.0.0.1:*:*:faults_odd:{escaped}\n".encode())
    site.sh("chmod 600 /root/faults.pgpass")
    wanted = {"login_user": "faults_odd", "login_host": "127.0.0.1", "instance": "odd", "databases": [TINY]}
    try:
        direct = site.backup(**wanted, login_password=PASSWORD)
        assert not direct.failed, direct.msg
        by_file = site.backup(**wanted, passfile="/root/faults.pgpass")
        assert not by_file.failed, by_file.msg
        assert PASSWORD not in site.sh("cat /var/lib/boardroom-maintenance/journal.jsonl")
    finally:
        site.sql("DROP ROLE faults_odd")
        site.sh(f"rm -rf {DEST}/odd /root/faults.pgpass")
    page.add(
        "Rights, names and passwords",
        "a password with `:`, `\\`, `'`, `\"`, `$`, a space and braces",
        "works as `login_password` and in a `passfile`; appears in no output and not in the journal",
    )
