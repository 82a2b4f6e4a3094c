# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role that takes backups reads what a superuser reads and writes nothing; what it lacks is told by name."""

from __future__ import annotations

import json
import typing as t

import pytest
import support

NAME = "molecule-default"
ROLE = "boardroom_backup"
PASSWORD = "a \"password\" of the 'test' \\ ~"
OWNER_PASSWORD = "lab-pg-password-0xB0A4D"
DEST = "/var/backups/unprivileged"
ODD = support.ROOT / "tests" / "unit" / "plugins" / "module_utils" / "_postgres" / "recorded" / "odd.sql"

# What is closed to everybody but its owner, hidden by row security, or an extension's.
CLOSED = r"""
CREATE ROLE odd_owner;
CREATE TABLE mine (id int, owner name);
INSERT INTO mine VALUES (1, 'postgres'), (2, 'nobody'), (3, 'boardroom_backup');
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
ALTER TABLE mine FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON mine USING (owner = current_user);
CREATE SCHEMA "closed ""schema";
REVOKE ALL ON SCHEMA "closed ""schema" FROM PUBLIC;
CREATE TABLE "closed ""schema".t (id serial PRIMARY KEY, x text);
INSERT INTO "closed ""schema".t (x) VALUES ('x');
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS id;
SELECT lo_from_bytea(91001, '\x01');
ALTER LARGE OBJECT 91001 OWNER TO odd_owner;
CREATE EXTENSION odd_settings;
UPDATE odd_settings SET value = 'ours', own = true;
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'far.invalid');
CREATE USER MAPPING FOR odd_owner SERVER far;
CREATE FOREIGN TABLE far_table (id int) SERVER far;
CREATE PUBLICATION parts FOR TABLE users;
CREATE FUNCTION quiet() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER quiet ON ddl_command_start EXECUTE FUNCTION quiet();
CREATE STATISTICS id_email ON id, email FROM users;
REVOKE ALL ON FUNCTION quiet() FROM PUBLIC;
REVOKE CONNECT ON DATABASE odd FROM PUBLIC;
"""
EXTENSION = {
    "odd_settings.control": "default_version = '1'\nrelocatable = true\n",
    "odd_settings--1.sql": "CREATE TABLE odd_settings (value text, own boolean);\n"
    "INSERT INTO odd_settings VALUES ('theirs', false);\n"
    "SELECT pg_extension_config_dump('odd_settings', 'WHERE own');\n",
}
# What pg_dump writes for superusers only.
LEFT_OUT = """
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'u', password 'sesame');
CREATE SUBSCRIPTION replica CONNECTION 'host=far.invalid' PUBLICATION parts WITH (connect = false);
"""
# The subscription's slot does not exist, and is not asked for.
NO_SUBSCRIPTION = "ALTER SUBSCRIPTION replica SET (slot_name = NONE); DROP SUBSCRIPTION replica"
ATTRIBUTES = """
SELECT rolcanlogin AND rolinherit AND rolbypassrls
       AND NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication),
       (SELECT string_agg(roleid::regrole::text, ',') FROM pg_auth_members WHERE member = r.oid),
       rolconfig, rolconnlimit
FROM pg_roles r WHERE rolname = 'boardroom_backup'
"""


def psql(database: str, query: str, user: str = "postgres") -> str:
    done = support.host(NAME).run("runuser -u %s -- psql -XAtq -d %s -c %s", user, database, query)
    assert done.rc == 0, done.stderr
    return str(done.stdout)


def refused(database: str, query: str) -> str:
    done = support.host(NAME).run("runuser -u %s -- psql -XAtq -d %s -c %s", ROLE, database, query)
    assert done.rc != 0, done.stdout
    return str(done.stderr)


def backup(database: str, user: str = ROLE, **more: t.Any) -> dict[str, t.Any]:
    call = {"databases": [database], "login_user": user, "dest": f"{DEST}/{user}", **more}
    return support.module("default", NAME, "pg_backup", call)


def role(**options: t.Any) -> dict[str, t.Any]:
    return support.module("default", NAME, "pg_backup_role", options)


@pytest.fixture(scope="module")
def odd() -> t.Iterator[None]:
    """The odd database, with more in it that an ordinary role cannot read."""
    try:
        support.host(NAME).run("rm -rf %s", DEST)
        for name, text in EXTENSION.items():
            support.feed(NAME, ["tee", f"/usr/share/postgresql/17/extension/{name}"], text.encode())
        psql("postgres", "CREATE DATABASE odd TEMPLATE template0")
        for script in (ODD.read_bytes(), CLOSED.encode()):
            as_postgres = ("runuser", "-u", "postgres", "--")
            support.feed(NAME, [*as_postgres, "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "odd"], script)
        made = role(databases=["boardroom_prod", "odd"])
        assert made["changes"] == ["CONNECT on odd"], made
        assert made["left_out"] == []
        yield
    finally:
        psql("postgres", "DROP DATABASE IF EXISTS odd")
        psql("postgres", "DROP ROLE IF EXISTS odd_owner")
        for name in EXTENSION:
            support.host(NAME).run("rm -f %s", f"/usr/share/postgresql/17/extension/{name}")


def test_the_role_is_what_it_should_be_and_took_the_sets() -> None:
    settings = "{default_transaction_read_only=on,lo_compat_privileges=on}"
    assert psql("postgres", ATTRIBUTES).strip() == f"t|pg_read_all_data|{settings}|-1"
    user = support.host(NAME).user(ROLE)
    assert (user.shell, user.home) == ("/usr/sbin/nologin", "/nonexistent")
    # Among them are runs of other tests, which were given wrong input and never connected.
    steps = [r for r in support.journal(NAME) if r["kind"] == "step" and r["module"] == "pg_backup" and r["run_id"]]
    runs = [r for r in steps if not r["failed"]]
    assert runs[0]["changed"]
    assert all(r["findings"][0]["subject"].startswith(f"{ROLE} at this host's socket") for r in runs)


def test_preparing_again_changes_nothing() -> None:
    played = support.play("default", "prepare")
    assert played.rc == 0, played.output
    assert played.recap(NAME)["changed"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO users SELECT * FROM users",
        "BEGIN READ WRITE; DELETE FROM users",
        "BEGIN READ WRITE; CREATE TABLE public.mine (id int)",
        "BEGIN READ WRITE; CREATE ROLE other",
        "BEGIN READ WRITE; ALTER ROLE boardroom_backup SUPERUSER",
        "SET ROLE boardroom",
        "SET ROLE postgres",
        "SELECT pg_read_file('postgresql.conf')",
        "COPY users TO PROGRAM 'cat'",
    ],
)
def test_it_can_do_nothing_but_read(query: str) -> None:
    before = psql("boardroom_prod", "SELECT count(*) FROM users")
    said = refused("boardroom_prod", query)
    assert any(words in said for words in ("permission denied", "read-only transaction", "must be superuser")), said
    assert psql("boardroom_prod", "SELECT count(*) FROM users") == before


def content(taken: dict[str, t.Any]) -> dict[str, t.Any]:
    """What a set holds of its one database: the hash of each table's rows and large object, and the schema."""
    path = taken["backup"]["path"]
    manifest = json.loads(support.host(NAME).file(f"{path}/manifest.json").content_string)
    (database,) = manifest["databases"]
    hashes = {file["path"]: file["sha256"] for file in manifest["files"]}
    schema = support.host(NAME).run("pg_restore --schema-only --file=- %s/%s", path, database["path"])
    assert schema.rc == 0, schema.stderr
    # Each output has a random key of its own in these lines, and the archive's own ids in comments.
    said = [line for line in schema.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))]
    return {
        "rows": {table["quoted"]: (table["rows"], hashes[table["file"]]) for table in database["tables"]},
        "large objects": {item["oid"]: (item["bytes"], hashes[item["file"]]) for item in database["large_objects"]},
        "schema": [line for line in said if line],
        "passwords": manifest["globals"]["passwords"],
    }


@pytest.mark.usefixtures("odd")
def test_its_dump_is_a_superuser_s_dump() -> None:
    ours, theirs = backup("odd"), backup("odd", "postgres")
    assert ours["changed"], ours
    assert [f["check"] for f in ours["findings"]] == ["database.reachable", "backup.verified"]
    mine, full = content(ours), content(theirs)
    for what, held in full.items():
        assert mine[what] == held, what
    assert (mine["rows"]["public.mine"][0], mine["rows"]["public.odd_settings"][0]) == (3, 1)
    assert mine["rows"]["public.unlogged"][0] == mine["rows"]['"closed ""schema".t'][0] == 1
    assert set(mine["large objects"]) == {90001, 90002, 90003, 91001}


@pytest.mark.usefixtures("odd")
def test_what_pg_dump_leaves_out_is_told_by_name() -> None:
    for statement in LEFT_OUT.strip().splitlines():
        psql("odd", statement)
    try:
        ours, theirs = backup("odd"), backup("odd", "postgres")
        mine, full = content(ours), content(theirs)
    finally:
        for statement in NO_SUBSCRIPTION.split("; "):
            psql("odd", statement)
        psql("odd", "DROP USER MAPPING FOR PUBLIC SERVER far")
    (found,) = [f for f in ours["findings"] if f["check"] == "backup.left_out"]
    assert (found["status"], found["value"]) == ("warning", 2)
    assert (
        "does not hold the subscription replica; the options of public's mapping to the foreign server far."
        in (found["message"])
    )
    assert [f for f in theirs["findings"] if f["check"] == "backup.left_out"] == []
    assert (mine["rows"], mine["large objects"]) == (full["rows"], full["large objects"])
    missing = [line for line in full["schema"] if line not in mine["schema"]]
    assert all("replica" in line or "PUBLIC" in line.upper() or "'" in line for line in missing), missing
    assert any("CREATE SUBSCRIPTION replica" in line for line in missing)
    assert any("sesame" in line for line in missing)


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("taken_away", "sentence"),
    [
        ("ALTER ROLE boardroom_backup NOBYPASSRLS", "Row security of odd hides rows of public.mine from the role"),
        ("ALTER ROLE boardroom_backup RESET lo_compat_privileges", "may not read the large object 90001, 90002, 90003"),
        (
            "REVOKE pg_read_all_data FROM boardroom_backup",
            'GRANT USAGE ON SCHEMA "closed ""schema" TO boardroom_backup',
        ),
        ("REVOKE CONNECT ON DATABASE odd FROM boardroom_backup", 'permission denied for database "odd"'),
    ],
)
def test_what_it_lacks_is_one_sentence_and_no_set(taken_away: str, sentence: str) -> None:
    before = support.host(NAME).run("find %s", DEST).stdout
    psql("postgres", taken_away)
    try:
        failed = backup("odd")
    finally:
        mended = role(databases=["odd"])
    assert failed["failed"]
    assert sentence in failed["msg"]
    assert "playbooks/prepare.yml" in failed["msg"]
    assert support.host(NAME).run("find %s", DEST).stdout == before
    assert len(mended["changes"]) == 1, mended
    assert mended["databases"] == ["odd"]


def test_a_role_that_others_work_with_is_never_touched() -> None:
    before = psql("postgres", "SELECT * FROM pg_roles ORDER BY rolname")
    for name, why in (("boardroom", "owns "), ("postgres", "is a superuser")):
        result = role(name=name)
        assert result["failed"]
        assert f"The role {name} {why}" in result["msg"]
    login = {"login_user": "boardroom", "login_password": OWNER_PASSWORD, "login_host": "127.0.0.1"}
    result = role(name="another", login_db="boardroom_prod", **login)
    assert "The role boardroom is no superuser" in result["msg"]
    assert psql("postgres", "SELECT * FROM pg_roles ORDER BY rolname") == before


def test_a_password_is_set_once_and_stands_in_no_log() -> None:
    host = support.host(NAME)
    log = "/var/log/postgresql/postgresql-17-main.log"
    psql("postgres", "ALTER SYSTEM SET log_statement = 'all'")
    psql("postgres", "SELECT pg_reload_conf()")
    try:
        support.wait_for("the server logs", lambda: psql("postgres", "SHOW log_statement").strip() == "all", 10)
        # The superuser logs in by the socket, where nobody needs a password: it is tried below.
        made = role(password=PASSWORD, check_login=False)
        assert "password set" in made["changes"], made
        again = role(password=PASSWORD, check_login=False)
        assert not again["changed"], again
        by_tcp = {"login_password": PASSWORD, "login_host": "127.0.0.1"}
        assert backup("boardroom_prod", **by_tcp)["changed"]
        text = host.file(log).content_string
        assert "PASSWORD  E'SCRAM-SHA-256$" in text
        for said in (text, json.dumps([made, again])):
            assert "of the 'test'" not in said
            assert "of the ''test''" not in said
    finally:
        psql("postgres", f"ALTER ROLE {ROLE} PASSWORD NULL")
        psql("postgres", "ALTER SYSTEM RESET log_statement")
        psql("postgres", "SELECT pg_reload_conf()")


@pytest.fixture
def contained() -> t.Iterator[dict[str, t.Any]]:
    """The second project, whose PostgreSQL is a service of its own."""
    support.lab("contained", NAME)
    yield {"project_src": "/srv/contained", "service": "db"}
    support.lab("contained", NAME, "--undo")


def test_it_takes_sets_of_a_server_in_a_container(contained: dict[str, t.Any]) -> None:
    # Sessions go through the container's socket, which trusts; the sibling's dump goes by TCP, which does not.
    closed = role(client="sibling", **contained)
    assert closed["failed"]
    assert "The role boardroom_backup is there, but cannot log in" in closed["msg"]
    assert "no password supplied" in closed["msg"]
    opened = role(client="sibling", password=PASSWORD, **contained)
    assert opened["changes"] == ["password set"], opened
    for client, password in (("exec", ""), ("sibling", PASSWORD)):
        login = {"login_password": password} if password else {}
        taken = backup("boardroom_prod", client=client, **login, **contained)
        assert taken["changed"], taken
        assert taken["backup"]["rows"] > 1000
