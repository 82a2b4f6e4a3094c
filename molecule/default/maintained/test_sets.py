# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set is worth: it brings everything back, also from a server in a container."""

from __future__ import annotations

import json
import typing as t

import pytest
import support

NAME = "molecule-default"
# What a look at a store of good sets finds.
LOOKED = ("backup.age", "backup.verified_age", "backup.damage", "backup.size_trend")
SOURCE = "boardroom_prod"
RESTORED = "restored_by_the_test"
COPY = "/var/tmp/boardroom-restore"
PASSWORD = "lab-pg-superuser-password-0x5A7A"
ROLE_PASSWORD = "lab-pg-password-0xB0A4D"
# Names that mislead whoever reads line by line, rows that look like the end of rows, an empty large object.
ODD = support.ROOT / "tests" / "unit" / "plugins" / "module_utils" / "_postgres" / "recorded" / "odd.sql"
# What a site may have set for its own sake, and would end a session that holds a snapshot.
LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")

# One statement for each table: its rows, and a sum over the hashes of their texts.
TABLES = """
SELECT format('SELECT %L AS name, count(*), sum(hashtextextended(t::text, 0)) FROM ONLY %I.%I t',
              n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
SEQUENCES = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
LARGE_OBJECTS = "SELECT loid, pageno, md5(data) FROM pg_largeobject ORDER BY 1, 2"


def psql(database: str, query: str) -> list[str]:
    done = support.host(NAME).run("runuser -u postgres -- psql -XAtq -d %s -c %s", database, query)
    assert done.rc == 0, done.stderr
    return str(done.stdout).splitlines()


def content(database: str) -> dict[str, list[str]]:
    """Everything that a database holds, in a form that can be compared."""
    schema = support.host(NAME).run("runuser -u postgres -- pg_dump --schema-only -d %s", database)
    assert schema.rc == 0, schema.stderr
    # Each dump has a random key of its own in these lines.
    lines = [line for line in schema.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    return {
        "tables": psql(database, " UNION ALL ".join(psql(database, TABLES)) + " ORDER BY 1"),
        "sequences": psql(database, SEQUENCES),
        "large objects": psql(database, LARGE_OBJECTS),
        "schema": lines,
    }


@pytest.fixture
def restored() -> t.Iterator[str]:
    """The newest set, restored into a database of its own by PostgreSQL's own program."""
    host = support.host(NAME)
    newest = sorted(host.run("ls -1 %s", support.BACKUPS).stdout.split())[-1]
    steps = [
        ("cp -a %s/%s/databases/%s %s", support.BACKUPS, newest, SOURCE, COPY),
        ("chown -R postgres %s", COPY),
        ("runuser -u postgres -- createdb --template=template0 %s", RESTORED),
        ("runuser -u postgres -- pg_restore --exit-on-error --jobs=2 --dbname=%s %s", RESTORED, COPY),
    ]
    try:
        for step in steps:
            done = host.run(*step)
            assert done.rc == 0, done.stderr
        yield RESTORED
    finally:
        host.run("runuser -u postgres -- dropdb --if-exists %s", RESTORED)
        host.run("rm -rf %s", COPY)


def test_a_set_brings_back_every_row_object_owner_and_privilege(restored: str) -> None:
    source, copy = content(SOURCE), content(restored)
    assert len(source["tables"]) > 20
    assert len(source["large objects"]) > 0
    for what, lines in source.items():
        assert copy[what] == lines, what


def make_odd(*prefix: str) -> None:
    support.feed(NAME, [*prefix, "psql", "-XAtq", "-c", "CREATE DATABASE odd TEMPLATE template0"], b"")
    support.feed(NAME, [*prefix, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "odd"], ODD.read_bytes())


@pytest.fixture
def odd() -> t.Iterator[None]:
    """The odd database, on a server whose superuser has tight limits."""
    as_postgres = ("runuser", "-u", "postgres", "--")
    try:
        make_odd(*as_postgres)
        for limit in LIMITS:
            psql("postgres", f"ALTER ROLE postgres SET {limit} = '40ms'")
        psql("postgres", "ALTER ROLE postgres SET quote_all_identifiers = on")
        yield
    finally:
        psql("postgres", "ALTER ROLE postgres RESET ALL")
        psql("postgres", "DROP DATABASE IF EXISTS odd")


@pytest.mark.usefixtures("odd")
def test_odd_names_and_a_site_s_limits_keep_no_set_from_being_taken() -> None:
    call = {"databases": ["odd"], "dest": "/var/backups/odd"}
    taken = support.module("default", NAME, "pg_backup", call)
    assert taken["changed"], taken
    assert (taken["backup"]["tables"], taken["backup"]["rows"]) == (8, 17)
    seen = support.module("default", NAME, "pg_backup_info", {"dest": "/var/backups/odd", "check": "decode"})
    assert {f["check"]: f["status"] for f in seen["findings"]} == dict.fromkeys(LOOKED, "ok")


def test_an_ordinary_role_can_back_up_what_it_owns() -> None:
    """Among it large objects, whose table only a superuser may read."""
    login = {"login_user": "boardroom", "login_password": ROLE_PASSWORD, "login_host": "127.0.0.1", "login_db": SOURCE}
    call = {**login, "databases": [SOURCE], "dest": "/var/backups/ordinary"}
    taken = support.module("default", NAME, "pg_backup", call)
    assert taken["changed"], taken
    manifest = json.loads(support.host(NAME).file(f"{taken['backup']['path']}/manifest.json").content_string)
    assert manifest["globals"] == {"included": True, "passwords": False}
    assert len(manifest["databases"][0]["large_objects"]) > 0
    assert ROLE_PASSWORD not in json.dumps(taken)


@pytest.fixture(scope="module")
def contained() -> t.Iterator[None]:
    """The second project, whose PostgreSQL is a service of its own."""
    support.lab("contained", NAME)
    make_odd("docker", "exec", "--interactive", "--user", "postgres", "contained-db-1")
    yield
    support.lab("contained", NAME, "--undo")


def arguments(client: str, **more: t.Any) -> dict[str, t.Any]:
    password = {"login_password": PASSWORD} if client == "sibling" else {}
    place = {"project_src": "/srv/contained", "service": "db", "dest": f"/var/backups/{client}"}
    return {"client": client, "databases": [SOURCE, "odd"], **place, **password, **more}


@pytest.mark.usefixtures("contained")
@pytest.mark.parametrize("client", ["exec", "sibling"])
def test_a_server_in_a_container_is_backed_up(client: str) -> None:
    taken = support.module("default", NAME, "pg_backup", arguments(client))
    assert taken["changed"], taken
    assert taken["backup"]["databases"] == [SOURCE, "odd"]
    assert taken["backup"]["rows"] > 1000
    assert taken["backup"]["verification"][0]["level"] == "decode"
    again = support.module("default", NAME, "pg_backup", arguments(client, max_age="1h"))
    assert not again["changed"]
    seen = support.module("default", NAME, "pg_backup_info", {"dest": f"/var/backups/{client}", "check": "decode"})
    assert {f["check"]: f["status"] for f in seen["findings"]} == dict.fromkeys(LOOKED, "ok")


@pytest.mark.usefixtures("contained")
def test_a_container_that_a_killed_run_left_is_swept() -> None:
    host = support.host(NAME)
    label = "boardroom.maintenance.sibling=left"
    image = json.loads(host.run("docker inspect contained-db-1").stdout)[0]["Image"]
    left = host.run("docker run -d --label %s --entrypoint sleep %s 300", label, image).stdout.strip()
    assert left in host.run("docker ps -q --no-trunc").stdout
    assert support.module("default", NAME, "pg_backup", arguments("sibling"))["changed"]
    assert left not in host.run("docker ps -aq --no-trunc").stdout


@pytest.mark.usefixtures("contained")
@pytest.mark.parametrize("client", ["exec", "sibling"])
def test_a_server_whose_container_is_stopped_is_named(client: str) -> None:
    host = support.host(NAME)
    assert host.run("docker stop contained-db-1").rc == 0
    try:
        refused = support.module("default", NAME, "pg_backup", arguments(client))
    finally:
        assert host.run("docker start contained-db-1").rc == 0
    assert refused["failed"]
    assert "The service db of the project in /srv/contained is not running" in refused["msg"]
    assert [(f["check"], f["status"]) for f in refused["findings"]] == [("database.reachable", "critical")]
