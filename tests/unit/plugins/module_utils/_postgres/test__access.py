# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that make a role for backups right, and the roles that are never touched."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _access, _readable, _scram
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import Client, Login
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._queries import DATABASES
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._session import DatabaseError
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner

PASSWORD = "correct horse"
RIGHT = {
    "oid": 16400,
    "rolcanlogin": True,
    "rolsuper": False,
    "rolcreatedb": False,
    "rolcreaterole": False,
    "rolreplication": False,
    "rolinherit": True,
    "rolbypassrls": True,
    "rolconnlimit": -1,
    "rolpassword": None,
    "reads": True,
    "member_of": ["pg_read_all_data"],
    "settings": ["default_transaction_read_only=on", "lo_compat_privileges=on"],
    "connects": ["app", "postgres"],
    "owns": 0,
}


class Server(Client):
    """A server with two databases and perhaps the role."""

    def __init__(self, role: dict[str, t.Any] | None = None, **facts: t.Any) -> None:
        super().__init__(Runner(), Login())
        self.role = role
        self.facts = {
            "number": 170006,
            "version": "17.6",
            "standby": False,
            "admin": "postgres",
            "superuser": True,
            "iterations": 4096,
            **facts,
        }
        self.statements: list[str] = []
        self.refuses = ""
        self.closed: Exception | None = None
        self.closed_beside: Exception | None = None

    @property
    def subject(self) -> str:
        return "the server"

    def session(self, database: str, timeout: float = 30.0) -> t.Any:
        if self.closed:
            raise self.closed
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exc: object) -> None: ...

    def query(self, select: str) -> list[dict[str, t.Any]]:
        if select == _access.SERVER:
            return [self.facts]
        if select == DATABASES:
            return [{"name": "app"}, {"name": "other"}]
        if select.startswith(_access.ROLE.partition("{name}")[0]):
            return [self.role] if self.role else []
        if select == _readable.WHO:
            return [{"name": "boardroom_backup", "superuser": False}]
        return []

    def value(self, _select: str) -> bool:
        return True

    def run(self, *arguments: t.Any, **_more: t.Any) -> t.Any:
        (sql,) = arguments
        if self.refuses and self.refuses in sql:
            raise DatabaseError("refused", "42501")
        self.statements.append(sql)
        return []

    def try_way(self, database: str) -> None:
        if self.closed_beside:
            raise self.closed_beside


WANTED = _access.Wanted("boardroom_backup", ["app"])


def test_a_role_that_is_missing_is_made_in_one_transaction() -> None:
    server = Server()
    made = _access.make(server, WANTED, check_mode=False)
    assert server.statements == [
        "BEGIN",
        'CREATE ROLE "boardroom_backup" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT BYPASSRLS',
        'GRANT pg_read_all_data TO "boardroom_backup" WITH INHERIT TRUE',
        'ALTER ROLE "boardroom_backup" SET default_transaction_read_only = on',
        'ALTER ROLE "boardroom_backup" SET lo_compat_privileges = on',
        'GRANT CONNECT ON DATABASE "app" TO "boardroom_backup"',
        'GRANT CONNECT ON DATABASE "postgres" TO "boardroom_backup"',
        "COMMIT",
    ]
    assert made.before == {}
    assert made.after == _access.described(RIGHT)
    assert {f["check"]: f["status"] for f in made.findings} == {
        "database.reachable": "ok",
        "database.backup_role": "ok",
    }


def test_before_version_16_a_membership_says_nothing_of_inheritance() -> None:
    server = Server(number=150010)
    _access.make(server, WANTED, check_mode=False)
    assert 'GRANT pg_read_all_data TO "boardroom_backup"' in server.statements


def test_a_role_that_is_right_is_left_alone() -> None:
    server = Server(dict(RIGHT))
    made = _access.make(server, WANTED, check_mode=False)
    assert (made.changes, server.statements) == ([], [])
    assert made.before == made.after


def test_check_mode_says_what_would_be_changed_and_changes_nothing() -> None:
    server = Server()
    made = _access.make(server, WANTED, check_mode=True)
    assert made.changes[:2] == ["role made", "member of pg_read_all_data"]
    assert server.statements == []


@pytest.mark.parametrize(
    ("was", "wanted", "statement"),
    [
        ({"rolcreatedb": True, "rolbypassrls": False}, {}, 'ALTER ROLE "boardroom_backup" NOCREATEDB BYPASSRLS'),
        ({"rolconnlimit": 1}, {"connection_limit": 6}, 'ALTER ROLE "boardroom_backup" CONNECTION LIMIT 6'),
        ({"reads": False}, {}, 'GRANT pg_read_all_data TO "boardroom_backup" WITH INHERIT TRUE'),
        (
            {"settings": ["default_transaction_read_only=off", "lo_compat_privileges=on"]},
            {},
            'ALTER ROLE "boardroom_backup" SET default_transaction_read_only = on',
        ),
        ({}, {"large_objects": False}, 'ALTER ROLE "boardroom_backup" RESET lo_compat_privileges'),
        ({}, {"databases": ["all"]}, 'GRANT CONNECT ON DATABASE "other" TO "boardroom_backup"'),
    ],
)
def test_only_what_differs_is_changed(was: dict[str, t.Any], wanted: dict[str, t.Any], statement: str) -> None:
    server = Server({**RIGHT, **was})
    made = _access.make(server, dataclasses.replace(WANTED, **wanted), check_mode=False)
    assert server.statements == ["BEGIN", statement, "COMMIT"]
    assert made.before != made.after or "reads" in was


def test_a_limit_that_is_not_asked_for_stays() -> None:
    assert _access.make(Server({**RIGHT, "rolconnlimit": 3}), WANTED, check_mode=False).changes == []


def test_a_password_goes_as_its_verifier_and_only_when_it_is_another_one() -> None:
    wanted = dataclasses.replace(WANTED, password=PASSWORD)
    server = Server(dict(RIGHT), iterations=5000)
    made = _access.make(server, wanted, check_mode=False)
    assert made.changes == ["password set"]
    (statement,) = server.statements[1:-1]
    verifier = statement.partition("'")[2].rstrip("'")
    assert verifier.startswith("SCRAM-SHA-256$5000:")
    assert _scram.fits(PASSWORD, verifier)
    assert PASSWORD not in statement + repr(made)
    assert verifier not in repr(made)
    assert (made.before["password"], made.after["password"]) == ("none", "set")
    server = Server({**RIGHT, "rolpassword": verifier})
    assert _access.make(server, wanted, check_mode=False).changes == []
    assert _access.make(server, WANTED, check_mode=False).changes == []


def test_a_statement_that_is_refused_is_followed_by_no_commit() -> None:
    server = Server()
    server.refuses = "lo_compat_privileges"
    with pytest.raises(DatabaseError, match="refused"):
        _access.make(server, WANTED, check_mode=False)
    assert "COMMIT" not in server.statements


@pytest.mark.parametrize(
    ("role", "facts", "sentence"),
    [
        ({**RIGHT, "rolsuper": True}, {}, "The role boardroom_backup is a superuser; as the role for backups it would"),
        ({**RIGHT, "owns": 3}, {}, "The role boardroom_backup owns 3 object(s); as the role for backups it would"),
        (None, {"superuser": False, "admin": "app"}, "The role app is no superuser; only one may give BYPASSRLS"),
        (
            None,
            {"number": 130010, "version": "13.10"},
            "The server is PostgreSQL 13.10; a role that can read everything",
        ),
        (None, {"standby": True}, "must be made or mended, but the server is a standby"),
    ],
)
def test_a_role_that_cannot_be_made_right_is_refused_before_anything_is_changed(
    role: dict[str, t.Any] | None, facts: dict[str, t.Any], sentence: str
) -> None:
    server = Server(role, **facts)
    with pytest.raises(MaintenanceError) as caught:
        _access.make(server, WANTED, check_mode=False)
    assert sentence in caught.value.message
    assert server.statements == []


def test_on_a_standby_a_role_that_is_right_is_no_error() -> None:
    assert _access.make(Server(dict(RIGHT), standby=True), WANTED, check_mode=False).changes == []


def test_further_memberships_are_reported_and_left() -> None:
    server = Server({**RIGHT, "member_of": ["pg_read_all_data", "pg_write_all_data"]})
    made = _access.make(server, WANTED, check_mode=False)
    assert made.changes == []
    (found,) = [f for f in made.findings if f["check"] == "database.backup_role"]
    assert found["status"] == "warning"
    assert "also a member of pg_write_all_data" in found["message"]
    assert found["remedy"].startswith('REVOKE "pg_write_all_data" FROM "boardroom_backup"')


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": ""}, "name is '', but must be the name of a role"),
        ({"name": "pg_backup"}, "not beginning with pg_"),
        ({"name": "a\nb"}, "must be the name of a role"),
        ({"name": "ä" * 32}, "1 to 63 bytes"),
        ({"password": "pässword"}, "password must be made of printable ASCII characters"),
        ({"connection_limit": -2}, "connection_limit is -2, but must be -1 (any number) or more."),
        ({"databases": ["nosuch"]}, "The server has no database 'nosuch'"),
    ],
)
def test_bad_input_is_one_sentence(options: dict[str, t.Any], sentence: str) -> None:
    server = Server()
    with pytest.raises(MaintenanceError) as caught:
        _access.make(server, dataclasses.replace(WANTED, **options), check_mode=False)
    assert sentence in caught.value.message
    assert server.statements == []


def test_names_and_texts_reach_the_server_as_they_are() -> None:
    assert _access.identifier('we"ird') == '"we""ird"'
    assert _access.literal("it's \\ here").strip() == "E'it''s \\\\ here'"


def test_a_role_that_cannot_log_in_is_told_how() -> None:
    server = Server(dict(RIGHT))
    server.closed = DatabaseError("No connection to PostgreSQL (x): Peer authentication failed.")
    with pytest.raises(DatabaseError) as caught:
        _access.prove(server, WANTED, ["app"])
    assert caught.value.message == (
        "The role boardroom_backup is there, but cannot log in: "
        "No connection to PostgreSQL (x): Peer authentication failed."
    )
    assert "pg_hba.conf" in caught.value.remedy


def test_the_way_that_a_dump_takes_is_tried_too() -> None:
    server = Server(dict(RIGHT))
    assert _access.prove(server, WANTED, ["app"]) == []
    server.closed_beside = ProgramError("docker failed with exit status 2: no password supplied")
    with pytest.raises(DatabaseError, match=r"cannot log in: docker failed .*: no password supplied\."):
        _access.prove(server, WANTED, ["app"])
