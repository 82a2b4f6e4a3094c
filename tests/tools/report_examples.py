# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as their hosts' journals hold them: what the report's tests and its pictures are made from."""

from __future__ import annotations

import copy
import datetime
import typing as t

RUN = "20261124T020000Z-9f3a1c2e"
BROKEN = "20261123T020000Z-17c0ffee"
STARTED = "2026-11-24T02:00:00Z"
STEPS = ["health_before", "backup", "backup_check", "database_care", "health_after"]
CHECKLIST: list[dict[str, t.Any]] = [
    {"phase": "pre", "item": "Announce maintenance window", "note": "Not needed: no step stops the service."},
    {"phase": "pre", "item": "Backup all data", "steps": ["backup"]},
    {"phase": "pre", "item": "Test in staging", "note": "Run this playbook on the staging inventory first."},
    {"phase": "pre", "item": "Prepare rollback plan", "steps": ["backup_check"]},
    {
        "phase": "during",
        "item": "Enable maintenance mode",
        "steps": ["window_open"],
        "note": "Only with -e maintenance_mode=true.",
    },
    {"phase": "during", "item": "Monitor progress", "steps": ["health_before"]},
    {"phase": "during", "item": "Test each change", "steps": ["database_care"]},
    {"phase": "during", "item": "Document actions", "steps": ["lease"]},
    {"phase": "post", "item": "Verify all services", "steps": ["health_after"]},
    {"phase": "post", "item": "Check monitoring", "note": "Look at the dashboards."},
    {
        "phase": "post",
        "item": "Update documentation",
        "note": "Add -e maintenance_note='...' with lessons learned.",
    },
    {"phase": "post", "item": "Send completion notice", "note": "This report."},
]
CONTACTS = [
    {"name": "Alice Founder", "role": "first call", "phone": "+1 555 0100", "email": "alice@boardroom.test"},
    {"name": "Bob Second", "role": "if Alice does not answer in 15 minutes", "phone": "+1 555 0101", "email": ""},
]
SET = "20261124T020004Z-0badc0de"


class Run(t.NamedTuple):
    """The options of the module that describe one run."""

    frame: dict[str, t.Any]
    hosts: dict[str, dict[str, t.Any]]


def frame(**changes: t.Any) -> dict[str, t.Any]:
    """Options that are known from the beginning of a run."""
    options: dict[str, t.Any] = {
        "run_id": RUN,
        "title": "Weekly maintenance",
        "playbook": "weekly",
        "started": STARTED,
        "started_by": "alice@laptop",
        "steps": STEPS,
        "checklist": [{"steps": [], "note": "", **entry} for entry in CHECKLIST],
        "contacts": CONTACTS,
        "notes": "",
        "fail_on": "critical",
    }
    return copy.deepcopy({**options, **changes})


def at(seconds: float) -> str:
    """A moment of the run."""
    begin = datetime.datetime(2026, 11, 24, 2, tzinfo=datetime.timezone.utc)
    return f"{begin + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def found(check: str, subject: str, status: str, message: str, **more: t.Any) -> dict[str, t.Any]:
    """One finding as modules give it."""
    empty = {"value": None, "unit": "", "threshold": None, "remedy": ""}
    return {"check": check, "subject": subject, "status": status, "message": message, **empty, **more}


def record(step: str, module: str, start: float, seconds: float, msg: str, **more: t.Any) -> dict[str, t.Any]:
    """One record of a step."""
    return {
        "schema": 1,
        "kind": "step",
        "run_id": RUN,
        "step": step,
        "module": module,
        "host": "app1",
        "started": at(start),
        "finished": at(start + seconds),
        "seconds": seconds,
        "changed": False,
        "failed": False,
        "msg": msg,
        "remedy": "",
        "findings": [],
        "data": {},
        **more,
    }


def journal(records: list[dict[str, t.Any]], **more: t.Any) -> dict[str, t.Any]:
    """What the report is told of one host."""
    return {"reachable": True, "error": "", "records": records, "damaged_lines": 0, **more}


def health(step: str, start: float) -> dict[str, t.Any]:
    """A health check that finds all well."""
    findings = [
        found("health.endpoint", "application", "ok", "application answered 200.", value=200, threshold=[200]),
        found("health.latency", "application", "ok", "application took 38 ms.", value=38, unit="ms", threshold=1000),
        found("health.json", "application", "ok", "application: status, database and cache are as expected."),
        found("health.endpoint", "public", "ok", "public answered 200.", value=200, threshold=[200]),
        found("health.latency", "public", "ok", "public took 52 ms.", value=52, unit="ms", threshold=1000),
        found("container.state", "boardroom/app", "ok", "boardroom/app runs.", value=1, unit="containers", threshold=1),
        found("container.health", "boardroom/app", "ok", "boardroom/app is healthy.", value="healthy"),
        found("container.restarts", "boardroom/app", "ok", "boardroom/app was not restarted lately.", value=0),
    ]
    return record(step, "health_check", start, 0.8, "8 checks ok.", findings=findings, data={"checks": 8, "bad": 0})


def largest() -> list[dict[str, t.Any]]:
    """The size table of a small company."""
    sizes = {
        "messages": 18_743_296,
        "meeting_minutes": 11_378_688,
        "documents": 6_307_840,
        "audit_log_2026_11": 4_063_232,
        "audit_log_2026_10": 3_948_544,
        "users": 1_179_648,
        "Board Members": 688_128,
    }
    return [
        {"database": "boardroom_prod", "schema": "public", "table": name, "bytes": size} for name, size in sizes.items()
    ]


def green() -> Run:
    """One host, all well, a note of the operator that tries to be HTML."""
    records: list[dict[str, t.Any]] = [
        {"schema": 1, "kind": "run_opened", "run_id": RUN, "at": at(0), "owner": "alice@laptop", "purpose": "weekly"},
        record("lease", "run_lock", 0, 0.1, f"Run {RUN} holds this host for 1h."),
        health("health_before", 2),
        record(
            "backup",
            "pg_backup",
            4,
            9.4,
            f"Backup set {SET} of boardroom_prod is complete and verified: 14 MB, 211,402 rows.",
            changed=True,
            findings=[
                found(
                    "backup.set",
                    "main",
                    "ok",
                    f"Set {SET} is verified: 211402 rows decoded and counted.",
                    value=14_022_118,
                    unit="bytes",
                )
            ],
            data={
                "id": SET,
                "bytes": 14_022_118,
                "snapshot_time": at(4),
                "started": at(4),
                "finished": at(13),
                "server_version": "17.6 (Debian 17.6-0+deb13u1)",
                "client_version": "17.6 (Debian 17.6-0+deb13u1)",
                "system_identifier": "7571320413351604371",
                "verification": [{"level": "decode", "at": at(13)}],
                "path": f"/var/backups/boardroom-maintenance/main/{SET}",
                "databases": ["boardroom_prod"],
                "rows": 211_402,
                "tables": 23,
                "migration_revisions": {"boardroom_prod": ["0004"]},
            },
        ),
        record(
            "backup_check",
            "pg_backup_info",
            15,
            2.3,
            "3 sets, none damaged.",
            data={"sets": 3},
            findings=[
                found(
                    "backup.age",
                    "main",
                    "ok",
                    "The newest set is 11 s old.",
                    value=11,
                    unit="s",
                    threshold=86400,
                ),
                found("backup.damage", "main", "ok", "3 sets are whole.", value=0, unit="sets"),
                found("backup.gap", "main", "ok", "No gap between sets is longer than 24 h."),
            ],
        ),
        record(
            "database_care",
            "pg_analyze",
            18,
            3.7,
            "Analyzed boardroom_prod.",
            changed=True,
            findings=[
                found("database.reachable", "main", "ok", "PostgreSQL 17.6 answers."),
                found(
                    "database.transaction_ids",
                    "boardroom_prod",
                    "ok",
                    "3 % of the transaction ids are used.",
                    value=3,
                    unit="%",
                    threshold=50,
                ),
                found("database.invalid_index", "boardroom_prod", "ok", "No index is invalid.", value=0),
            ],
            data={"analyzed": ["boardroom_prod"], "largest": largest()},
        ),
        health("health_after", 22),
        record("lease", "run_lock", 23, 0.1, "The lease is given back."),
    ]
    note = "Disk of the old host is ordered.\nNext time: take the <b>set</b> before the board meeting, not after it."
    return Run(frame(notes=note), {"app1": journal(records)})


def warnings() -> Run:
    """Nothing critical; one endpoint was slow at first, and an index is invalid."""
    made = green()
    records = made.hosts["app1"]["records"]
    records[2]["findings"][1] = found(
        "health.latency",
        "application",
        "warning",
        "application took 2480 ms.",
        value=2480,
        unit="ms",
        threshold=1000,
        remedy="See what the database did at that time; triage.yml looks at it.",
    )
    records[5]["findings"][2] = found(
        "database.invalid_index",
        "boardroom_prod",
        "warning",
        "The index idx_users_email is invalid.",
        value=1,
        remedy="Build it again: REINDEX INDEX CONCURRENTLY idx_users_email.",
    )
    return made


def stopped() -> Run:
    """PostgreSQL is stopped: two steps fail of it, and the application is not well."""
    made = green()
    records = made.hosts["app1"]["records"]
    remedy = "Start it (systemctl start postgresql) and read /var/log/postgresql; then run weekly.yml again."
    cause = found(
        "database.reachable",
        "main",
        "critical",
        "PostgreSQL does not answer at /var/run/postgresql, port 5432: no such file or directory.",
        remedy=remedy,
    )
    for place in (2, 6):
        records[place]["findings"][:3] = [
            found(
                "health.endpoint",
                "application",
                "critical",
                "application answered 503, not 200.",
                value=503,
                threshold=[200],
                remedy="Read the service's log: docker compose logs app.",
            ),
            found(
                "health.latency", "application", "ok", "application took 41 ms.", value=41, unit="ms", threshold=1000
            ),
            found(
                "health.json",
                "application",
                "critical",
                "application: database is 'down', not 'ok'.",
                remedy="Read the service's log: docker compose logs app.",
            ),
        ]
        records[place]["findings"][3] = found(
            "health.endpoint",
            "public",
            "critical",
            "public answered 503, not 200.",
            value=503,
            threshold=[200],
            remedy="Read the service's log: docker compose logs app.",
        )
        records[place]["msg"] = "5 checks ok, 3 critical."
    failed = {"failed": True, "changed": False, "findings": [cause], "remedy": remedy, "data": {}}
    records[3].update(failed, msg=cause["message"], seconds=0.4, finished=at(4))
    records[4]["findings"][0].update(
        status="warning",
        value=112_000,
        message="The newest set is 31 h 6 min old, older than the objective of 24 h.",
        remedy="Take one: ansible-playbook playbooks/backup.yml.",
    )
    records[5].update(failed, msg=cause["message"], seconds=0.3, finished=at(18))
    return made


def two_hosts() -> Run:
    """Two hosts, all well."""
    made = green()
    other = copy.deepcopy(made.hosts["app1"])
    for item in other["records"]:
        item["host"] = "app2"
    return Run(made.frame, {"app1": made.hosts["app1"], "app2": other})


def cut_off() -> Run:
    """Two hosts, one of which could not be reached any more."""
    made = two_hosts()
    made.hosts["app2"] = journal(
        [],
        reachable=False,
        error="Failed to connect to the host via ssh: ssh: connect to host app2 port 22: No route to host",
    )
    return made


def after_killed() -> Run:
    """A run that took over from one whose controller was killed in its backup step."""
    made = green()
    records = made.hosts["app1"]["records"]
    who = {"owner": "alice@laptop", "purpose": "weekly"}
    old = [
        {"schema": 1, "kind": "run_opened", "run_id": BROKEN, "at": at(-86400), **who},
        {**record("lease", "run_lock", -86400, 0.1, f"Run {BROKEN} holds this host for 1h."), "run_id": BROKEN},
        {**health("health_before", -86398), "run_id": BROKEN},
        {"schema": 1, "kind": "run_closed", "run_id": BROKEN, "at": at(0), "by": RUN, "reason": "expired", **who},
    ]
    records[1]["findings"] = [
        found(
            "run.unfinished",
            BROKEN,
            "warning",
            f"Run {BROKEN} (weekly, started by alice@laptop at 2026-11-23T02:00:00Z) never ended; "
            "its lease had expired.",
            remedy="Look at its last step below, and run that playbook again if its work is still needed.",
        )
    ]
    records[:0] = old
    return made


def hostile() -> Run:
    """Every text tries to be something else: HTML, Markdown, a terminal's control sequence, half a character."""
    made = stopped()
    evil = "<script>alert(1)</script> | `x` \x1b[31m **b** [l](http://x.test) ![i](y) \u202e @bob </td> \udcff "
    evil += "{{ 7 * 7 }} ${7*7}"
    made.frame.update(title=evil, notes=evil + "\n# " + evil, started_by=evil, playbook="weekly")
    made.frame["contacts"] = [{"name": evil, "role": evil, "phone": "javascript:alert(1)", "email": evil}]
    made.frame["checklist"][0].update(item=evil, note=evil)
    for item in made.hosts["app1"]["records"]:
        if item["kind"] == "step":
            item["msg"] = evil
            item["data"] = {
                evil: evil,
                "list": [{evil: evil}],
                "largest": [{"table": evil, "bytes": 3, "database": evil}],
            }
            for one in item["findings"]:
                one.update(message=evil + one["check"], remedy=evil, value=evil, unit=evil)
    return made


EXAMPLES: dict[str, t.Callable[[], Run]] = {
    "green": green,
    "warnings": warnings,
    "stopped": stopped,
    "two_hosts": two_hosts,
    "cut_off": cut_off,
    "after_killed": after_killed,
    "hostile": hostile,
}
