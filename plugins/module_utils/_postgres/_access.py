# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The role that takes backups: it may read everything and do nothing else."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding
from .._process import ProgramError
from . import _scram
from ._client import Client
from ._queries import DATABASES
from ._readable import examine
from ._request import chosen
from ._session import DatabaseError, Session

READERS = "pg_read_all_data"
# The first version that has it.
READERS_SINCE = 14
# What begins with pg_ is PostgreSQL's own, and longer names it would cut.
_NAME = re.compile(r"^(?!pg_)[^\x00-\x1f]+\Z")
LONGEST_NAME = 63
# pg_dumpall connects to it for the roles.
MAINTENANCE_DATABASE = "postgres"

# Column of pg_authid, word of CREATE ROLE, and what is asked for. Row security must never hide rows from a dump.
ATTRIBUTES = (
    ("rolcanlogin", "LOGIN", True),
    ("rolsuper", "SUPERUSER", False),
    ("rolcreatedb", "CREATEDB", False),
    ("rolcreaterole", "CREATEROLE", False),
    ("rolreplication", "REPLICATION", False),
    ("rolinherit", "INHERIT", True),
    ("rolbypassrls", "BYPASSRLS", True),
)
READ_ONLY = "default_transaction_read_only"
# Only with this setting can a role read large objects that it was not granted one by one; pg_read_all_data does not
# cover them. It is a superuser's to set, and the role cannot take it for itself.
ALL_LARGE_OBJECTS = "lo_compat_privileges"

SERVER = """
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
       pg_is_in_recovery() AS standby, current_user AS admin, current_setting('is_superuser') = 'on' AS superuser,
       current_setting('scram_iterations', true)::int AS iterations
"""
ROLE = """
SELECT r.oid::bigint AS oid, r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolinherit,
       r.rolbypassrls, r.rolconnlimit, r.rolpassword, pg_has_role(r.oid, 'pg_read_all_data', 'USAGE') AS reads,
       (SELECT json_agg(g.rolname ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid) AS member_of,
       (SELECT to_json(s.setconfig) FROM pg_db_role_setting s
        WHERE s.setrole = r.oid AND s.setdatabase = 0) AS settings,
       (SELECT json_agg(d.datname ORDER BY d.datname) FROM pg_database d WHERE EXISTS (
            SELECT FROM aclexplode(d.datacl) a WHERE a.grantee = r.oid AND a.privilege_type = 'CONNECT')) AS connects,
       (SELECT count(*) FROM pg_shdepend o WHERE o.refclassid = 'pg_authid'::regclass AND o.refobjid = r.oid
        AND o.deptype = 'o') AS owns
FROM pg_authid r WHERE r.rolname = {name}
"""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The role that is asked for.

    :param databases: names of the databases that it dumps, or C(all)
    :param password: empty: none is set, and one that is there stays
    :param connection_limit: sessions at a time, -1 for any number; None leaves it as it is
    :param large_objects: let it read all large objects
    """

    name: str
    databases: t.Sequence[str]
    login_db: str = MAINTENANCE_DATABASE
    password: str = ""
    connection_limit: t.Optional[int] = None
    large_objects: bool = True


@dataclasses.dataclass
class Made:
    """What was done, or would be.

    :param changes: each in a few words; no secret
    :param before: the role as it was, for a diff; empty when there was none
    :param databases: names of the databases that it may connect to for dumps
    """

    changes: t.List[str]
    before: t.Dict[str, t.Any]
    after: t.Dict[str, t.Any]
    databases: t.List[str]
    findings: t.List[Finding]


class _Change(t.NamedTuple):
    what: str
    sql: str


def make(client: Client, wanted: Wanted, check_mode: bool) -> Made:
    """Make the role, or make it right, in one transaction: all of it or nothing.

    :param client: logs in as a superuser
    :raises MaintenanceError: the role cannot be made, or one of that name is somebody else's; nothing is changed then.
    """
    require_sane(wanted)
    with client.session(wanted.login_db) as session:
        (server,) = session.query(SERVER)
        _require_able(server)
        databases = [d["name"] for d in chosen(wanted.databases, session.query(DATABASES))]
        rows = session.query(ROLE.format(name=literal(wanted.name)))
        role = rows[0] if rows else None
        if role:
            _require_ours(wanted.name, role)
        connect = sorted({*databases, wanted.login_db, MAINTENANCE_DATABASE})
        changes = _changes(wanted, role, connect, server)
        if changes and server["standby"]:
            raise MaintenanceError(
                f"The role {wanted.name} must be made or mended, but the server is a standby.",
                "Run this against its primary; the role comes here by replication.",
            )
        if changes and not check_mode:
            _apply(session, changes)
    before = described(role) if role else {}
    after = _after(wanted, before, connect)
    found = [
        finding("database.reachable", client.subject, "ok", f"PostgreSQL {server['version']} answers."),
        *_judge(wanted.name, role),
    ]
    return Made([change.what for change in changes], before, after, databases, found)


def prove(client: Client, wanted: Wanted, databases: t.Sequence[str]) -> t.List[Finding]:
    """Log in as the role, and see that it can read all of each database; what its dumps leave out, as findings.

    :param client: logs in as the role
    :raises MaintenanceError: it cannot log in, or cannot read something.
    """
    try:
        found = examine(client, databases)
        client.try_way(databases[0])
    except (DatabaseError, ProgramError) as exc:
        if isinstance(exc, DatabaseError) and exc.sqlstate:
            raise
        raise DatabaseError(
            f"The role {wanted.name} is there, but cannot log in: {exc.message.rstrip('.')}.",
            remedy="Let pg_hba.conf admit it: peer for the operating system user of the same name, or scram-sha-256 "
            "with a password (in the inventory maintenance_backup_password).",
            **exc.details,
        ) from exc
    return found


def require_sane(wanted: Wanted) -> None:
    """Refuse what cannot be the role for backups, before the server is asked.

    :raises MaintenanceError: the name, the password or the limit cannot be.
    """
    name = wanted.name
    if not _NAME.match(name) or len(name.encode("utf-8")) > LONGEST_NAME:
        raise MaintenanceError(
            f"name is {name!r}, but must be the name of a role: 1 to {LONGEST_NAME} bytes, not beginning with pg_.",
            "Correct it (in the inventory maintenance_backup_user).",
        )
    if wanted.password:
        _scram.require_plain(wanted.password, "password")
    if wanted.connection_limit is not None and wanted.connection_limit < -1:
        raise MaintenanceError(f"connection_limit is {wanted.connection_limit}, but must be -1 (any number) or more.")


def _require_able(server: t.Mapping[str, t.Any]) -> None:
    if server["number"] // 10000 < READERS_SINCE:
        raise MaintenanceError(
            f"The server is PostgreSQL {server['version']}; a role that can read everything ({READERS}) is there from "
            f"{READERS_SINCE} on.",
            "Take backups as a superuser: leave maintenance_backup_user out of the inventory.",
        )
    if not server["superuser"]:
        raise MaintenanceError(
            f"The role {server['admin']} is no superuser; only one may give BYPASSRLS and {ALL_LARGE_OBJECTS}.",
            "Log in as a superuser (in the inventory postgres_access_login_user).",
        )


def _require_ours(name: str, role: t.Mapping[str, t.Any]) -> None:
    """A role that others work with must not lose its rights because its name was given by mistake."""
    why = "is a superuser" if role["rolsuper"] else f"owns {role['owns']} object(s)" if role["owns"] else ""
    if why:
        raise MaintenanceError(
            f"The role {name} {why}; as the role for backups it would lose rights that it needs.",
            "Choose another name (in the inventory maintenance_backup_user); the role is made.",
        )


def _changes(
    wanted: Wanted,
    role: t.Optional[t.Mapping[str, t.Any]],
    connect: t.Sequence[str],
    server: t.Mapping[str, t.Any],
) -> t.List[_Change]:
    name = identifier(wanted.name)
    changes: t.List[_Change] = []
    words = [
        word if asked else f"NO{word}"
        for column, word, asked in ATTRIBUTES
        if role is None or role[column] is not asked
    ]
    if role is None:
        changes.append(_Change("role made", f"CREATE ROLE {name} {' '.join(words)}"))
    elif words:
        changes.append(_Change(f"attributes: {' '.join(words)}", f"ALTER ROLE {name} {' '.join(words)}"))
    limit = wanted.connection_limit
    if limit is not None and limit != (role["rolconnlimit"] if role else -1):
        changes.append(_Change(f"connection limit: {limit}", f"ALTER ROLE {name} CONNECTION LIMIT {limit}"))
    if wanted.password and not (role and _scram.fits(wanted.password, role["rolpassword"] or "")):
        verifier = literal(_scram.verifier(wanted.password, server["iterations"] or _scram.ITERATIONS))
        changes.append(_Change("password set", f"ALTER ROLE {name} PASSWORD {verifier}"))
    if role is None or not role["reads"]:
        # Since 16 a membership itself says whether its rights are inherited; before, the role says it.
        inherit = " WITH INHERIT TRUE" if server["number"] >= 160000 else ""
        changes.append(_Change(f"member of {READERS}", f"GRANT {READERS} TO {name}{inherit}"))
    have = settings_of(role)
    for setting, value in _settings(wanted).items():
        if value is None and setting in have:
            changes.append(_Change(f"{setting} no longer set", f"ALTER ROLE {name} RESET {setting}"))
        elif value is not None and have.get(setting) != value:
            changes.append(_Change(f"{setting} = {value}", f"ALTER ROLE {name} SET {setting} = {value}"))
    may = (role["connects"] if role else None) or []
    changes += [
        _Change(f"CONNECT on {database}", f"GRANT CONNECT ON DATABASE {identifier(database)} TO {name}")
        for database in connect
        if database not in may
    ]
    return changes


def _settings(wanted: Wanted) -> t.Dict[str, t.Optional[str]]:
    return {READ_ONLY: "on", ALL_LARGE_OBJECTS: "on" if wanted.large_objects else None}


def _apply(session: Session, changes: t.Sequence[_Change]) -> None:
    session.run("BEGIN")
    for change in changes:
        session.run(change.sql)
    session.run("COMMIT")


def settings_of(role: t.Optional[t.Mapping[str, t.Any]]) -> t.Dict[str, str]:
    """The role's own settings by name, as they are stored."""
    stored = (role["settings"] if role else None) or []
    return {name: value for name, _equals, value in (entry.partition("=") for entry in stored)}


def described(role: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """A role as a diff shows it; of its password only whether there is one."""
    return {
        "attributes": [word if role[column] else f"NO{word}" for column, word, _asked in ATTRIBUTES],
        "connection_limit": role["rolconnlimit"],
        "password": "set" if role["rolpassword"] else "none",
        "member_of": role["member_of"] or [],
        "settings": settings_of(role),
        "connect": role["connects"] or [],
    }


def _after(wanted: Wanted, before: t.Mapping[str, t.Any], connect: t.Sequence[str]) -> t.Dict[str, t.Any]:
    settings = dict(before.get("settings", {}))
    for name, value in _settings(wanted).items():
        settings.pop(name, None)
        if value is not None:
            settings[name] = value
    limit = before.get("connection_limit", -1) if wanted.connection_limit is None else wanted.connection_limit
    return {
        "attributes": [word if asked else f"NO{word}" for _column, word, asked in ATTRIBUTES],
        "connection_limit": limit,
        "password": "set" if wanted.password else before.get("password", "none"),
        "member_of": sorted({*before.get("member_of", []), READERS}),
        "settings": settings,
        "connect": sorted({*before.get("connect", []), *connect}),
    }


def _judge(name: str, role: t.Optional[t.Mapping[str, t.Any]]) -> t.Iterator[Finding]:
    more = [group for group in (role["member_of"] if role else None) or [] if group != READERS]
    yield finding(
        "database.backup_role",
        name,
        "warning" if more else "ok",
        f"The role {name} is also a member of {', '.join(more)}; for backups it needs {READERS} only."
        if more
        else f"The role {name} may read everything and owns nothing.",
        len(more),
        "memberships",
        0,
        f"REVOKE {identifier(more[0])} FROM {identifier(name)}, unless it is meant so." if more else "",
    )


def identifier(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL takes it, whatever C(standard_conforming_strings) is."""
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
