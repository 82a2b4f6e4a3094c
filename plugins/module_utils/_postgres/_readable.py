# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What a role that is no superuser cannot read of a database, and what pg_dump leaves out for it without an error."""

from __future__ import annotations

import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding
from ._client import Client
from ._session import Session

# More of one kind than this are summed up.
SHOWN = 5
PREPARE = "or let playbooks/prepare.yml make the backup role (maintenance_backup_user) right"

WHO = "SELECT current_user AS name, current_setting('is_superuser') = 'on' AS superuser"
# What pg_dump locks and reads, but for the rows of extensions that are no user's.
UNREADABLE = """
SELECT format('%I.%I', n.nspname, c.relname) AS quoted, format('%I', n.nspname) AS schema,
       format('%I', current_user) AS role, c.relkind = 'S' AS sequence,
       CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN 'schema'
            WHEN NOT (CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                           ELSE has_table_privilege(c.oid, 'SELECT') END) THEN 'table'
            ELSE 'rows' END AS lacks
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (NOT has_schema_privilege(n.oid, 'USAGE')
       OR NOT (CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                    ELSE has_table_privilege(c.oid, 'SELECT') END)
       OR row_security_active(c.oid))
  AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                   AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
       OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
ORDER BY 1
"""
# There is no function that tells a right to a large object before PostgreSQL 18.
UNREADABLE_OBJECTS = """
SELECT m.oid::bigint AS oid, format('%I', current_user) AS role FROM pg_largeobject_metadata m
WHERE current_setting('lo_compat_privileges') = 'off' AND NOT EXISTS (
    SELECT FROM aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) a
    WHERE a.privilege_type = 'SELECT'
      AND CASE WHEN a.grantee = 0 THEN true ELSE pg_has_role(a.grantee, 'USAGE') END)
ORDER BY 1
"""
# pg_dump writes subscriptions for superusers only, whoever owns them.
SUBSCRIPTIONS = """
SELECT s.subname AS name FROM pg_subscription s
WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""
SEES_MAPPINGS = "SELECT has_table_privilege('pg_user_mapping', 'SELECT') AS sees"
# pg_dump reads a view that shows options, passwords among them, only to superusers and those who own the server.
# Whether there are any to hide, the table itself tells those who may read it; for others each mapping without any is
# suspect.
MAPPINGS = """
SELECT v.usename AS name, v.srvname AS server FROM pg_user_mappings v JOIN pg_user_mapping m ON m.oid = v.umid
WHERE v.umoptions IS NULL AND m.umoptions IS NOT NULL ORDER BY 2, 1
"""
SUSPECT_MAPPINGS = """
SELECT v.usename AS name, v.srvname AS server FROM pg_user_mappings v WHERE v.umoptions IS NULL ORDER BY 2, 1
"""


def examine(client: Client, databases: t.Sequence[str]) -> t.List[Finding]:
    """Make sure that the client's role can read all of the databases; what a dump by it leaves out, as findings.

    :raises MaintenanceError: a table, a sequence or a large object cannot be read, or row security would hide rows.
    :raises DatabaseError: the role cannot connect to one.
    """
    found: t.List[Finding] = []
    for database in databases:
        with client.session(database) as session:
            (who,) = session.query(WHO)
            if who["superuser"]:
                return []
            _require_tables(session, who["name"], database)
            _require_objects(session, who["name"], database)
            items = _left_out(session)
            if items:
                found.append(_warning(items, who["name"], database))
    return found


def _warning(items: t.Sequence[str], role: str, database: str) -> Finding:
    return finding(
        "backup.left_out",
        database,
        "warning",
        f"A dump of {database} by the role {role}, which is no superuser, does not hold {'; '.join(items)}.",
        len(items),
        "objects",
        0,
        "Keep their statements elsewhere (in a vault, as they may hold a password), or take the sets as a superuser: "
        "leave maintenance_backup_user out of the inventory.",
    )


def _left_out(session: Session) -> t.List[str]:
    """What pg_dump leaves out for the session's role, which is no superuser."""
    mappings = MAPPINGS if session.value(SEES_MAPPINGS) else SUSPECT_MAPPINGS
    return [f"the subscription {row['name']}" for row in session.query(SUBSCRIPTIONS)] + [
        f"the options of {row['name']}'s mapping to the foreign server {row['server']}"
        for row in session.query(mappings)
    ]


def _require_tables(session: Session, role: str, database: str) -> None:
    rows = session.query(UNREADABLE)
    if not rows:
        return
    first = rows[0]
    kind = "sequence" if first["sequence"] else "table"
    same = ("lacks", "schema") if first["lacks"] == "schema" else ("lacks", "sequence")
    alike = [row for row in rows if all(row[key] == first[key] for key in same)]
    names = _several([row["quoted"] for row in alike])
    if first["lacks"] == "rows":
        what = f"Row security of {database} hides rows of {names} from the role {role}"
        grant = f"ALTER ROLE {first['role']} BYPASSRLS"
    elif first["lacks"] == "schema":
        what = f"The role {role} may not read {names} of {database}, for lack of USAGE on the schema {first['schema']}"
        grant = f"GRANT USAGE ON SCHEMA {first['schema']} TO {first['role']}"
    else:
        what = f"The role {role} may not read the {kind} {names} of {database}"
        grant = f"GRANT SELECT ON {kind.upper()} {first['quoted']} TO {first['role']}"
    raise _unreadable(database, f"{what}: the dump would not be whole.", grant)


def _require_objects(session: Session, role: str, database: str) -> None:
    rows = session.query(UNREADABLE_OBJECTS)
    if rows:
        names = _several([str(row["oid"]) for row in rows])
        raise _unreadable(
            database,
            f"The role {role} may not read the large object {names} of {database}: the dump would not be whole.",
            f"ALTER ROLE {rows[0]['role']} SET lo_compat_privileges = on",
        )


def _unreadable(database: str, message: str, grant: str) -> MaintenanceError:
    remedy = f"As a superuser: {grant}; {PREPARE}."
    return MaintenanceError(
        message, remedy, findings=[finding("database.access", database, "critical", message, remedy=remedy)]
    )


def _several(names: t.Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
