# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Look over the backup sets of a store: how old, how whole, how regular. PostgreSQL need not run."""

from __future__ import annotations

import datetime
import os
import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding, judge
from .._process import Runner
from .._size import format_size
from .._storage._local import INCOMPLETE, MANIFEST, Entry, LocalStore
from .._time import format_duration, format_utc
from . import _manifest

# The newest set may reach this part of the recovery point objective before it is a warning.
WARN_AT = 0.8
BACKUP_NOW = "Take a set now: playbooks/backup.yml."
# More problems of one set than this are summed up.
SHOWN_PROBLEMS = 20


class Overview(t.NamedTuple):
    """All sets, oldest first, and what is to be said of them."""

    sets: t.List[t.Dict[str, t.Any]]
    findings: t.List[Finding]


def look(
    store: LocalStore, check: str, objective: int, now: datetime.datetime, runner: Runner, jobs: int = 2
) -> Overview:
    """Look over a store.

    :param check: how closely each set is read; one of C(_manifest.CHECKS)
    :param objective: recovery point objective, in seconds
    :param jobs: number of files read at a time
    :raises MaintenanceError: C(check) needs a program that is not installed.
    """
    try:
        store.require_mounted()
        entries = store.entries()
        if not os.path.isdir(store.root):
            raise MaintenanceError(f"There is no backup directory {store.root}.", BACKUP_NOW)
    except MaintenanceError as exc:
        return Overview([], [finding("backup.store", store.root, "critical", exc.message, remedy=exc.remedy)])
    if check == "decode":
        whole = [entry for entry in entries if not _manifest.damage(entry, "none", runner)]
        _manifest.require_programs((entry.manifest for entry in whole if entry.manifest), runner)
    sets = [_describe(entry, _manifest.damage(entry, check, runner, jobs), now) for entry in entries]
    findings = [
        _age(store, sets, objective, now),
        *_damage(store, sets, check),
        *_gaps(sets, objective),
        *_leftovers(store),
    ]
    return Overview(sets, findings)


def _describe(entry: Entry, problems: t.Sequence[_manifest.Problem], now: datetime.datetime) -> t.Dict[str, t.Any]:
    # A manifest that was changed proves nothing, and may lack anything.
    manifest = entry.manifest if entry.manifest and MANIFEST not in (file for file, _reason in problems) else {}
    taken = _taken(entry, manifest)
    return {
        "id": entry.id,
        "path": entry.path,
        "snapshot_time": format_utc(taken),
        "age_seconds": int((now - taken).total_seconds()),
        "bytes": manifest.get("bytes", 0),
        "databases": [d["name"] for d in manifest.get("databases", [])],
        "rows": sum(d["rows_total"] for d in manifest.get("databases", [])),
        "system_identifier": manifest.get("system_identifier", ""),
        "server_version": manifest.get("server_version", ""),
        "verification": manifest.get("verification", []),
        "verified": bool(manifest) and _manifest.verified(manifest),
        "problems": [{"file": file, "reason": reason} for file, reason in problems],
    }


def _taken(entry: Entry, manifest: _manifest.Manifest) -> datetime.datetime:
    """When the snapshot was made; for a set without a manifest that counts, what its name says."""
    if manifest:
        return _manifest.snapshot_time(manifest)
    stamp = datetime.datetime.strptime(entry.id.partition("-")[0], "%Y%m%dT%H%M%SZ")
    return stamp.replace(tzinfo=datetime.timezone.utc)


def _good(sets: t.Sequence[t.Dict[str, t.Any]]) -> t.List[t.Dict[str, t.Any]]:
    return [s for s in sets if s["verified"] and not s["problems"]]


def _age(store: LocalStore, sets: t.Sequence[t.Dict[str, t.Any]], objective: int, now: datetime.datetime) -> Finding:
    """What would be lost if the database were gone now."""
    good = _good(sets)
    tolerance = _manifest.CLOCK_TOLERANCE.total_seconds()
    present = [s for s in good if s["age_seconds"] >= -tolerance]
    limit = format_duration(objective)
    if not present:
        ahead = f" ({len(good)} bear a time in the future: check this host's clock)" if good else ""
        message = f"There is no whole, verified backup set in {store.root}{ahead}."
        return finding("backup.age", store.root, "critical", message, None, "seconds", objective, BACKUP_NOW)
    newest = max(present, key=lambda s: s["snapshot_time"])
    age = max(0, newest["age_seconds"])
    status = judge(age, objective * WARN_AT, objective)
    message = (
        f"The newest whole set, {newest['id']}, is {format_duration(age)} old "
        f"({format_size(newest['bytes'])}, {newest['rows']} rows); at most {limit} may be lost."
    )
    return finding(
        "backup.age", store.root, status, message, age, "seconds", objective, "" if status == "ok" else BACKUP_NOW
    )


def _damage(store: LocalStore, sets: t.Sequence[t.Dict[str, t.Any]], check: str) -> t.List[Finding]:
    how = {"none": "their manifests", "sizes": "names and sizes", "hashes": "every byte", "decode": "every row"}[check]
    found = []
    for each in sets:
        for problem in each["problems"][:SHOWN_PROBLEMS]:
            found.append(
                finding(
                    "backup.damage",
                    f"{each['id']}/{problem['file']}",
                    "critical",
                    f"Set {each['id']} is damaged: {problem['file']}: {problem['reason']}.",
                    remedy=f"Take a new set with playbooks/backup.yml, look at the disk, then remove {each['path']}.",
                )
            )
        rest = len(each["problems"]) - SHOWN_PROBLEMS
        if rest > 0:
            message = f"Set {each['id']} is damaged in {rest} more files."
            found.append(finding("backup.damage", each["id"], "critical", message, len(each["problems"]), "files"))
    if not found:
        message = f"{len(sets)} set(s) are whole; looked at: {how}."
        found.append(finding("backup.damage", store.root, "ok", message, 0, "files"))
    return found


def _gaps(sets: t.Sequence[t.Dict[str, t.Any]], objective: int) -> t.Iterator[Finding]:
    """Times between neighbouring whole sets in which more than the objective could have been lost."""
    good = sorted(_good(sets), key=lambda s: s["snapshot_time"])
    gaps = [
        (later["age_seconds"], earlier, later, earlier["age_seconds"] - later["age_seconds"])
        for earlier, later in zip(good, good[1:])
        if earlier["age_seconds"] - later["age_seconds"] > objective
    ]
    if gaps:
        _age_seconds, earlier, later, width = min(gaps, key=lambda gap: gap[0])
        more = f", and {len(gaps) - 1} earlier one(s)" if len(gaps) > 1 else ""
        yield finding(
            "backup.gap",
            f"{earlier['id']} to {later['id']}",
            "warning",
            f"No whole set was taken for {format_duration(width)} up to {later['snapshot_time']}{more}.",
            width,
            "seconds",
            objective,
            "Look at the reports of that time; plan backups at less than half of the objective.",
        )


def _leftovers(store: LocalStore) -> t.Iterator[Finding]:
    left = store.leftovers()
    if left:
        names = ", ".join(name[len(INCOMPLETE) :] for name in left[:3])
        yield finding(
            "backup.leftover",
            store.root,
            "warning",
            f"{len(left)} set(s) were begun and never finished, or are being made now: {names}.",
            len(left),
            "sets",
            remedy="Nothing: the next backup sweeps what an interrupted one left.",
        )
