# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Look over the backup sets of a store: how old, how whole, how regular. PostgreSQL need not run."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding, judge
from .._metrics import Gauge
from .._process import ProgramError, Runner
from .._size import format_size
from .._time import format_duration, format_utc
from . import _manifest, _trend
from ._retention import newest_of_each
from ._sets import BACKUP_NOW, BackupSet
from ._stores import Store, is_offsite, read_store, require_store

# The newest set may reach this part of the recovery point objective before it is a warning.
WARN_AT = 0.8
# More problems of one set than this are summed up.
SHOWN_PROBLEMS = 20
LOOKED_AT = {"none": "their manifests", "sizes": "names and sizes", "hashes": "every byte", "decode": "every row"}


@dataclasses.dataclass(frozen=True)
class Look:
    """What to look for.

    :param check: how closely each set is read; one of C(_manifest.CHECKS)
    :param objective: recovery point objective, in seconds
    :param gaps_within: seconds; sets that are older may have been thinned out, and are not searched for gaps
    :param drop: the part of a database that may be missing all at once, from 0 to 1
    :param accept: ids of sets whose size is right as it is
    :param jobs: number of files read at a time
    """

    check: str
    objective: int
    gaps_within: int
    drop: float = _trend.DROP
    accept: t.Tuple[str, ...] = ()
    jobs: int = 2


class Overview(t.NamedTuple):
    """All sets, oldest first, and what is to be said of them.

    :param reached: the store could be read; without that, no sets means nothing
    """

    sets: t.List[BackupSet]
    findings: t.List[Finding]
    reached: bool


def look(store: Store, wanted: Look, now: datetime.datetime, runner: Runner) -> Overview:
    """Look over a store.

    :raises MaintenanceError: the look needs a program that is not installed.
    """
    try:
        require_store(store)
        sets = read_store(store, wanted.check, runner, wanted.jobs)
        leftovers = store.leftovers()
    except ProgramError:
        raise
    except MaintenanceError as exc:
        return Overview([], [finding("backup.store", store.root, "critical", exc.message, remedy=exc.remedy)], False)
    good = [each for each in sets if each.good]
    findings = [
        *_ages(store, sets, wanted.objective, now),
        *_damage(store, sets, wanted.check),
        *_trends(store, good, wanted),
        *_gaps(good, wanted, now),
        *_leftovers(store, leftovers),
    ]
    return Overview(sets, findings, True)


def newest(sets: t.Iterable[BackupSet], now: datetime.datetime) -> t.Optional[BackupSet]:
    """The newest set; one from the future was made under another clock, and does not count."""
    present = [each for each in sets if each.taken <= now + _manifest.CLOCK_TOLERANCE]
    return max(present, key=lambda each: each.order, default=None)


def _ages(store: Store, sets: t.Sequence[BackupSet], objective: int, now: datetime.datetime) -> t.Iterator[Finding]:
    """What would be lost if the database were gone now."""
    whole = [each for each in sets if not each.problems]
    good = [each for each in whole if each.verified]
    if is_offsite(store):
        yield _age("backup.offsite", "verified set off-site", store, good, objective, now)
    else:
        yield _age("backup.age", "whole set", store, whole, objective, now)
        yield _age("backup.verified_age", "verified set", store, good, objective, now)


def _age(
    check: str, what: str, store: Store, sets: t.Sequence[BackupSet], objective: int, now: datetime.datetime
) -> Finding:
    limit = format_duration(objective)
    last = newest(sets, now)
    if last is None:
        ahead = f" ({len(sets)} bear a time in the future: check this host's clock)" if sets else ""
        message = f"There is no {what} in {store.root}{ahead}."
        return finding(check, store.root, "critical", message, None, "seconds", objective, BACKUP_NOW)
    age = max(0, int((now - last.taken).total_seconds()))
    status = judge(age, objective * WARN_AT, objective)
    message = (
        f"The newest {what}, {last.id}, is {format_duration(age)} old "
        f"({format_size(last.bytes)}, {last.rows} rows); at most {limit} may be lost."
    )
    return finding(check, store.root, status, message, age, "seconds", objective, "" if status == "ok" else BACKUP_NOW)


def _damage(store: Store, sets: t.Sequence[BackupSet], check: str) -> t.List[Finding]:
    found = []
    where = "that store" if is_offsite(store) else "the disk"
    for each in sets:
        for file, reason in each.problems[:SHOWN_PROBLEMS]:
            found.append(
                finding(
                    "backup.damage",
                    f"{each.id}/{file}",
                    "critical",
                    f"Set {each.id} is damaged: {file}: {reason}.",
                    remedy=f"Take a new set with playbooks/backup.yml, look at {where}, then remove {each.path}.",
                )
            )
        rest = len(each.problems) - SHOWN_PROBLEMS
        if rest > 0:
            message = f"Set {each.id} is damaged in {rest} more files."
            found.append(finding("backup.damage", each.id, "critical", message, len(each.problems), "files"))
    if not found:
        message = f"{len(sets)} set(s) are whole; looked at: {LOOKED_AT[check]}."
        found.append(finding("backup.damage", store.root, "ok", message, 0, "files"))
    return found


def _trends(store: Store, good: t.Sequence[BackupSet], wanted: Look) -> t.Iterator[Finding]:
    """Whether the newest set of each database is much smaller than those before it."""
    suspicions = _trend.suspicious(good, wanted.drop, wanted.accept)
    found = False
    for identity in sorted({each.identity for each in good}):
        own = [each for each in good if each.identity == identity]
        for database, last in sorted(newest_of_each(own).items()):
            for suspicion in suspicions.get(last.id, ()):
                if suspicion.database == database:
                    found = True
                    yield finding(
                        "backup.size_trend",
                        f"{last.id}/{database}",
                        "warning",
                        f"Set {last.id} is suspicious: {suspicion.reason}",
                        suspicion.ratio,
                        "ratio",
                        suspicion.threshold,
                        _trend.remedy(last.id),
                    )
    if good and not found:
        message = f"No database in the newest sets fell below {100 * (1 - wanted.drop):g}% of what it was."
        yield finding("backup.size_trend", store.root, "ok", message)


def _gaps(good: t.Sequence[BackupSet], wanted: Look, now: datetime.datetime) -> t.Iterator[Finding]:
    """Times between neighbouring good sets in which more than the objective could have been lost."""
    since = now - datetime.timedelta(seconds=wanted.gaps_within)
    gaps = [
        (earlier, later)
        for earlier, later in zip(good, good[1:])
        if later.taken >= since and (later.taken - earlier.taken).total_seconds() > wanted.objective
    ]
    if wanted.gaps_within and gaps:
        earlier, later = gaps[-1]
        width = int((later.taken - earlier.taken).total_seconds())
        more = f", and {len(gaps) - 1} earlier one(s)" if len(gaps) > 1 else ""
        yield finding(
            "backup.gap",
            f"{earlier.id} to {later.id}",
            "warning",
            f"No whole set was taken for {format_duration(width)} up to {format_utc(later.taken)}{more}.",
            width,
            "seconds",
            wanted.objective,
            "Look at the reports of that time; plan backups at less than half of the objective.",
        )


def _leftovers(store: Store, left: t.Sequence[str]) -> t.Iterator[Finding]:
    if left:
        yield finding(
            "backup.leftover",
            store.root,
            "warning",
            f"{len(left)} set(s) were begun or removed and never finished, or are right now: {', '.join(left[:3])}.",
            len(left),
            "sets",
            remedy=(
                "Nothing: pg_backup_prune sweeps what an interrupted upload left."
                if is_offsite(store)
                else "Nothing: the next backup sweeps what an interrupted run left."
            ),
        )


def gauges(sets: t.Sequence[BackupSet], now: datetime.datetime) -> t.List[Gauge]:
    """The numbers of a store for Prometheus; a time of 0 means that there is no such set."""
    prefix = "boardroom_backup_"
    whole = newest((each for each in sets if not each.problems), now)
    good = newest((each for each in sets if each.good), now)
    return [
        Gauge(
            f"{prefix}newest_snapshot_timestamp_seconds",
            "Moment that the newest whole set brings back; 0 when there is none.",
            int(whole.taken.timestamp()) if whole else 0,
        ),
        Gauge(
            f"{prefix}newest_verified_timestamp_seconds",
            "Moment that the newest whole and verified set brings back; 0 when there is none.",
            int(good.taken.timestamp()) if good else 0,
        ),
        Gauge(f"{prefix}sets", "Number of sets, damaged ones too.", len(sets)),
        Gauge(f"{prefix}newest_bytes", "Size of the newest whole and verified set.", good.bytes if good else 0),
        Gauge(f"{prefix}newest_rows", "Rows in the newest whole and verified set.", good.rows if good else 0),
        Gauge(f"{prefix}problems", "Number of damaged files in all sets.", sum(len(s.problems) for s in sets)),
        Gauge(f"{prefix}looked_timestamp_seconds", "When the store was last looked at.", int(now.timestamp())),
    ]
