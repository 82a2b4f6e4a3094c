# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Statistics, sizes, and what will hurt later."""

from __future__ import annotations

import dataclasses
import typing as t

from .._findings import Finding, finding, judge
from .._size import format_size
from ._client import Client
from ._queries import CLUSTER, DATABASES
from ._request import chosen
from ._session import Session

# Transaction ids until PostgreSQL stops taking writes number 2^31. From vacuum_failsafe_age (1.6 thousand million, its
# default) on VACUUM drops everything else to save the database; half of all is time enough to look in daylight.
WRAPAROUND_WARNING = 2**30
WRAPAROUND_CRITICAL = 1_600_000_000

# Tables without statistics, or with older ones than asked for, whoever made them.
DUE = """
SELECT format('%I.%I', schemaname, relname) AS quoted
FROM pg_stat_user_tables
WHERE greatest(last_analyze, last_autoanalyze) IS NULL
   OR greatest(last_analyze, last_autoanalyze) < now() - make_interval(secs => {max_age})
ORDER BY 1
"""
LARGEST = """
SELECT n.nspname AS schema, c.relname AS table, pg_total_relation_size(c.oid) AS bytes,
       pg_indexes_size(c.oid) AS index_bytes,
       greatest(c.reltuples, 0)::bigint AS estimated_rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 3 DESC, 1, 2 LIMIT {limit}
"""
# An index that is being built is invalid, too, until it is ready.
INVALID_INDEXES = """
SELECT format('%I.%I', n.nspname, c.relname) AS quoted
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
ORDER BY 1
"""
XID_AGE = """
SELECT greatest(age(datfrozenxid), mxid_age(datminmxid)) AS age
FROM pg_database WHERE datname = current_database()
"""


@dataclasses.dataclass
class Care:
    """What was done and seen.

    :param analyzed: names of the databases whose statistics were made anew (or would be)
    :param largest: the largest tables of all databases, largest first
    """

    analyzed: t.List[str]
    largest: t.List[t.Dict[str, t.Any]]
    findings: t.List[Finding]


def care(
    client: Client, login_db: str, wanted: t.Sequence[str], max_age: int, limit: int, timeout: int, check_mode: bool
) -> Care:
    """Analyze the databases where it is due, list the largest tables, look for what will hurt later.

    :param wanted: names of databases, or C(all)
    :param max_age: statistics at most this many seconds old are good enough
    :param limit: how many tables to list
    :param timeout: seconds that one ANALYZE may take
    :raises MaintenanceError: PostgreSQL cannot be reached, or a database does not exist.
    """
    with client.session(login_db) as session:
        (cluster,) = session.query(CLUSTER)
        databases = chosen(wanted, session.query(DATABASES))
    done = Care([], [], [])
    done.findings.append(
        finding("database.reachable", client.subject, "ok", f"PostgreSQL {cluster['server_version']} answers.")
    )
    for database in databases:
        with client.session(database["name"]) as session:
            # A standby cannot be analyzed; it gets its statistics from the primary.
            if not cluster["standby"] and session.query(DUE.format(max_age=max_age)):
                done.analyzed.append(database["name"])
                if not check_mode:
                    _analyze(session, database["name"], max_age, timeout, done.findings)
            done.largest += [
                {"database": database["name"], **row} for row in session.query(LARGEST.format(limit=limit))
            ]
            done.findings += _judge(session, database)
    done.largest.sort(key=lambda row: (-row["bytes"], row["database"], row["schema"], row["table"]))
    del done.largest[limit:]
    return done


def _analyze(session: Session, name: str, max_age: int, timeout: int, findings: t.List[Finding]) -> None:
    session.run("SET lock_timeout = '30s'")
    session.run("ANALYZE", timeout)
    left = session.query(DUE.format(max_age=max(max_age, timeout)))
    if left:
        # ANALYZE passes over tables that the role does not own, with a warning only.
        names = ", ".join(row["quoted"] for row in left[:5])
        findings.append(
            finding(
                "database.statistics",
                name,
                "warning",
                f"{len(left)} table(s) of {name} were not analyzed: {names}.",
                len(left),
                "tables",
                0,
                "Let the role own them, or give it MAINTAIN (PostgreSQL 17) or superuser rights.",
            )
        )


def _judge(session: Session, database: t.Mapping[str, t.Any]) -> t.Iterator[Finding]:
    name = database["name"]
    size = database["size_bytes"]
    yield finding("database.size", name, "ok", f"Database {name} has {format_size(size)}.", size, "bytes")
    invalid = [row["quoted"] for row in session.query(INVALID_INDEXES)]
    yield finding(
        "database.invalid_index",
        name,
        "warning" if invalid else "ok",
        f"{len(invalid)} invalid index(es) in {name}: {', '.join(invalid[:5])}."
        if invalid
        else f"No invalid index in {name}.",
        len(invalid),
        "indexes",
        0,
        "Each costs writes and serves no query: REINDEX INDEX CONCURRENTLY it, or drop it." if invalid else "",
    )
    age = session.value(XID_AGE)
    status = judge(age, WRAPAROUND_WARNING, WRAPAROUND_CRITICAL)
    yield finding(
        "database.wraparound",
        name,
        status,
        f"The oldest transaction id of {name} is {age} transactions old.",
        age,
        "transactions",
        WRAPAROUND_WARNING if status != "critical" else WRAPAROUND_CRITICAL,
        ""
        if status == "ok"
        else "Find what holds it back (old transactions, slots, prepared transactions), then VACUUM FREEZE.",
    )
