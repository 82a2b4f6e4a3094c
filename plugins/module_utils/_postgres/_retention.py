# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Which backup sets may go, and why each of the others stays. Nothing is touched here.

Only a good set of the cluster in question ever goes. When anything speaks against the newest ones, none does.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._errors import MaintenanceError
from .._time import format_duration, format_utc
from ._manifest import CLOCK_TOLERANCE
from ._sets import BACKUP_NOW, BackupSet
from ._trend import Suspicion, remedy

HELD = "nothing is removed while retention is held"


@dataclasses.dataclass(frozen=True)
class Policy:
    """What is to be kept; a set that one of the rules asks for stays.

    :param keep_within: seconds; every good set that is at most this old
    :param keep_daily: of the last so many days that have a good set, the newest one of each database; UTC
    :param keep_weekly: the same by weeks, which begin on Monday
    :param keep_monthly: the same by months
    :param keep_tags: every set that bears one of these
    :param minimum_redundancy: every database stays in at least so many good sets, the newest ones, however old
    """

    keep_within: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_tags: t.Tuple[str, ...] = ()
    minimum_redundancy: int = 2

    def require_sane(self) -> None:
        """Refuse what asks for nothing, or less than nothing.

        :raises MaintenanceError: it does.
        """
        for name in ("keep_within", "keep_daily", "keep_weekly", "keep_monthly"):
            if getattr(self, name) < 0:
                raise MaintenanceError(f"{name} is {getattr(self, name)}, but must not be negative.")
        if self.minimum_redundancy < 1:
            raise MaintenanceError(f"minimum_redundancy is {self.minimum_redundancy}, but must be at least 1.")
        # Tags alone would let all that is ordinary go.
        if not (self.keep_within or self.keep_daily or self.keep_weekly or self.keep_monthly):
            raise MaintenanceError(
                "The policy keeps nothing, so nothing is removed.",
                "Give at least one of keep_within, keep_daily, keep_weekly and keep_monthly.",
            )


class Kept(t.NamedTuple):
    """A set that stays, and why."""

    set: BackupSet
    reasons: t.List[str]


class Hold(t.NamedTuple):
    """Why nothing may be removed: one sentence, and what an operator does about it."""

    reason: str
    remedy: str


@dataclasses.dataclass
class Plan:
    """What a policy makes of a store.

    :param keep: oldest first
    :param remove: oldest first; empty while anything is held
    :param held: why nothing is removed
    :param identity: the cluster whose sets it is about; empty when that is not known
    """

    keep: t.List[Kept]
    remove: t.List[BackupSet]
    held: t.List[Hold]
    identity: str


def plan(
    sets: t.Iterable[BackupSet],
    policy: Policy,
    now: datetime.datetime,
    objective: int,
    suspicions: t.Mapping[str, t.Sequence[Suspicion]],
    identity: str = "",
) -> Plan:
    """Apply a policy to all sets of a store.

    :param objective: recovery point objective, in seconds
    :param suspicions: by id, what C(_trend.suspicious) says
    :param identity: whose sets these rules are for (system identifier); empty: of the one cluster there is
    :raises MaintenanceError: the policy keeps nothing.
    """
    policy.require_sane()
    ordered = sorted(sets, key=lambda each: each.order)
    clusters = sorted({each.identity for each in ordered if each.identity})
    if not identity and len(clusters) == 1:
        identity = clusters[0]
    good = [each for each in ordered if identity and each.identity == identity and each.good]
    held = list(_doubts(ordered, good, clusters, identity, now, objective, suspicions))
    reasons = _wanted(good, policy, now)
    keep: t.List[Kept] = []
    remove: t.List[BackupSet] = []
    for each in ordered:
        why = [*_untouchable(each, identity), *reasons.get(each.id, [])]
        if held and not why:
            why = [HELD]
        if why:
            keep.append(Kept(each, why))
        else:
            remove.append(each)
    return Plan(keep, remove, held, identity)


def _doubts(
    sets: t.Sequence[BackupSet],
    good: t.Sequence[BackupSet],
    clusters: t.Sequence[str],
    identity: str,
    now: datetime.datetime,
    objective: int,
    suspicions: t.Mapping[str, t.Sequence[Suspicion]],
) -> t.Iterator[Hold]:
    """What speaks against removing anything."""
    ahead = [each for each in sets if _ahead(each, now)]
    if ahead:
        yield Hold(
            f"{len(ahead)} set(s) bear a time in the future, the last one {format_utc(ahead[-1].taken)}.",
            "Set this host's clock right (timedatectl); a set that was taken under a wrong one is removed by hand.",
        )
    if len(clusters) > 1 and not identity:
        yield Hold(
            f"Sets of several clusters lie here: {', '.join(clusters)}.",
            "Say whose may go (system_identifier); those of the others are never removed.",
        )
    elif not good:
        yield Hold(f"There is no good set{f' of cluster {identity}' if identity else ''}.", BACKUP_NOW)
    else:
        age = (now - good[-1].taken).total_seconds()
        if age > objective:
            yield Hold(
                f"The newest good set, {good[-1].id}, is {format_duration(age)} old, and at most "
                f"{format_duration(objective)} may be lost (recovery_point_objective).",
                BACKUP_NOW,
            )
    for database, newest in sorted(newest_of_each(good).items()):
        for suspicion in suspicions.get(newest.id, ()):
            if suspicion.database == database:
                yield Hold(f"Set {newest.id} is suspicious: {suspicion.reason}", remedy(newest.id))


def newest_of_each(good: t.Iterable[BackupSet]) -> t.Dict[str, BackupSet]:
    """The newest set that holds each database; the sets are given from the oldest to the newest."""
    return {database: each for each in good for database in _parts(each)}


def _parts(each: BackupSet) -> t.Collection[str]:
    """What a set is looked at for: each of its databases; sets without any are a kind of their own."""
    return each.databases or ("",)


def _ahead(each: BackupSet, now: datetime.datetime) -> bool:
    return each.taken > now + CLOCK_TOLERANCE


def _untouchable(each: BackupSet, identity: str) -> t.Iterator[str]:
    """Why a set is none of the policy's business."""
    if each.problems:
        yield "it is damaged and counts for nothing; look at it, then remove it by hand"
    elif not each.verified:
        yield "it was never verified and counts for nothing; look at it, then remove it by hand"
    elif identity and each.identity != identity:
        yield f"it is a set of cluster {each.identity}"


def _wanted(good: t.Sequence[BackupSet], policy: Policy, now: datetime.datetime) -> t.Dict[str, t.List[str]]:
    """Reasons of the policy to keep sets, by id.

    Every rule goes from the newest set to older ones, so that one more old set never makes a newer one go.
    """
    reasons: t.Dict[str, t.List[str]] = {}
    databases = sorted({database for each in good for database in _parts(each)})
    for database in databases:
        holding = [each for each in reversed(good) if database in _parts(each)]
        for each in holding[: policy.minimum_redundancy]:
            what = f"with database {database}" if database else "without a database"
            _add(reasons, each, f"among the newest {policy.minimum_redundancy} {what}")
    for each in good:
        if _ahead(each, now):
            _add(reasons, each, "it bears a time in the future")
        if policy.keep_within and (now - each.taken).total_seconds() <= policy.keep_within:
            _add(reasons, each, f"younger than {format_duration(policy.keep_within)}")
        for tag in each.tags:
            if tag in policy.keep_tags:
                _add(reasons, each, f"tagged {tag}")
    for count, unit, name in (
        (policy.keep_daily, "day", _day),
        (policy.keep_weekly, "week", _week),
        (policy.keep_monthly, "month", _month),
    ):
        periods: t.Dict[str, t.List[BackupSet]] = {}
        for each in good:
            periods.setdefault(name(each.taken), []).append(each)
        for period in sorted(periods, reverse=True)[:count]:
            for newest in newest_of_each(periods[period]).values():
                _add(reasons, newest, f"newest of {unit} {period}")
    return reasons


def _add(reasons: t.Dict[str, t.List[str]], each: BackupSet, reason: str) -> None:
    known = reasons.setdefault(each.id, [])
    if reason not in known:
        known.append(reason)


def _day(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _week(moment: datetime.datetime) -> str:
    year, week, _day_of_week = moment.isocalendar()
    return f"{year}-W{week:02d}"


def _month(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m}"
