# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Remove the backup sets that a policy lets go."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding
from .._process import Runner
from .._size import format_size
from .._time import format_utc
from . import _retention, _trend
from ._sets import BackupSet
from ._stores import Store, holds, read_store, require_store, sweep


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be kept, and what must be in order before anything goes.

    :param objective: recovery point objective, in seconds
    :param drop: the part of a database that may be missing all at once, from 0 to 1
    :param accept: ids of sets whose size is right as it is
    :param identity: whose sets may go (system identifier); empty: those of the one cluster there is
    :param incomplete_ttl: seconds; what an interrupted upload left in a bucket is swept when it is older
    """

    policy: _retention.Policy
    objective: int
    drop: float = _trend.DROP
    accept: t.Tuple[str, ...] = ()
    identity: str = ""
    incomplete_ttl: int = 86400


class Refused(t.NamedTuple):
    """A set that could not be removed, and why."""

    set: BackupSet
    error: MaintenanceError


@dataclasses.dataclass
class Result:
    """What came of it; in check mode, what would.

    :param removed: sets that are gone
    :param refused: sets that should be, and are still there
    :param swept: names of what interrupted runs had left
    """

    plan: _retention.Plan
    removed: t.List[BackupSet]
    refused: t.List[Refused]
    swept: t.List[str]
    findings: t.List[Finding]

    @property
    def changed(self) -> bool:
        """Whether anything went."""
        return bool(self.removed or self.swept)

    @property
    def freed(self) -> int:
        """Bytes of the sets that went."""
        return sum(each.bytes for each in self.removed)

    @property
    def msg(self) -> str:
        """One sentence; what went wrong comes first."""
        bad = [each for each in self.findings if each["status"] != "ok"]
        return str((bad or self.findings)[0]["message"])

    def shown(self) -> t.Dict[str, t.Any]:
        """As a module returns it."""
        return {
            "kept": [{"id": kept.set.id, "reasons": kept.reasons} for kept in self.plan.keep]
            + [
                {"id": each.set.id, "reasons": [f"it cannot be removed: {each.error.message}"]} for each in self.refused
            ],
            "removed": [
                {"id": each.id, "snapshot_time": format_utc(each.taken), "bytes": each.bytes} for each in self.removed
            ],
            "held": [hold.reason for hold in self.plan.held],
            "swept": self.swept,
            "freed_bytes": self.freed,
        }

    def diff(self) -> t.Dict[str, t.Any]:
        """Ids of the sets before and after."""
        after = [kept.set.id for kept in self.plan.keep] + [each.set.id for each in self.refused]
        before = after + [each.id for each in self.removed]
        return {"before": _listed(before), "after": _listed(after)}


def prune(
    store: Store,
    request: Request,
    runner: Runner,
    now: datetime.datetime,
    check_mode: bool = False,
) -> Result:
    """Remove what the policy lets go, the oldest first; nothing while anything speaks against it.

    A set becomes invisible before its files go, so that a run that is killed leaves whole sets and rubbish, and the
    next one goes on.

    :raises MaintenanceError: the policy keeps nothing, or the store cannot be read.
    """
    request.policy.require_sane()
    require_store(store)
    sets = read_store(store, "sizes", runner)
    suspicions = _trend.suspicious(sets, request.drop, request.accept)
    plan = _retention.plan(sets, request.policy, now, request.objective, suspicions, request.identity)
    removed, refused, spoilt = _remove(store, plan.remove, check_mode)
    findings = [_verdict(store, sets, plan, removed, check_mode)]
    for each in refused:
        findings.append(_complaint(each, "stays"))
    for each in spoilt:
        findings.append(_complaint(each, "is gone, but not all of its files"))
    swept: t.List[str] = []
    if not plan.held:
        try:
            swept = sweep(store, request.incomplete_ttl, check_mode)
        except MaintenanceError as exc:
            findings.append(finding("backup.leftover", store.root, "warning", exc.message, remedy=exc.remedy))
    return Result(plan, removed, refused, swept, findings)


def _remove(
    store: Store, sets: t.Sequence[BackupSet], check_mode: bool
) -> t.Tuple[t.List[BackupSet], t.List[Refused], t.List[Refused]]:
    """Remove sets, one after the other; those that are gone, those that stay, those of which files are left."""
    removed: t.List[BackupSet] = []
    refused: t.List[Refused] = []
    spoilt: t.List[Refused] = []
    for number, each in enumerate(sets):
        try:
            if not check_mode:
                store.remove(each.id)
            removed.append(each)
        except MaintenanceError as exc:
            if holds(store, each.id):
                refused.append(Refused(each, exc))
            else:
                removed.append(each)
                spoilt.append(Refused(each, exc))
            try:
                # One set may be locked; a store that is out of reach is not asked a thousand times.
                store.require_ready()
            except MaintenanceError as gone:
                refused += [Refused(rest, gone) for rest in sets[number + 1 :]]
                break
    return removed, refused, spoilt


def _complaint(each: Refused, what: str) -> Finding:
    message = f"Set {each.set.id} {what}: {each.error.message}"
    return finding("backup.retention", each.set.id, "warning", message, remedy=each.error.remedy)


def _verdict(
    store: Store, sets: t.Sequence[BackupSet], plan: _retention.Plan, removed: t.Sequence[BackupSet], check_mode: bool
) -> Finding:
    if plan.held:
        message = f"Nothing is removed from {store.root}: {' '.join(hold.reason for hold in plan.held)}"
        remedy = plan.held[0].remedy
        return finding("backup.retention", store.root, "warning", message, len(plan.held), "reasons", 0, remedy)
    if removed:
        would = "would be" if check_mode else "were"
        size = format_size(sum(each.bytes for each in removed))
        message = f"{len(removed)} of {len(sets)} set(s) {would} removed from {store.root} ({size})."
    else:
        message = f"All {len(sets)} set(s) in {store.root} stay."
    aside = sum(not each.good for each in sets)
    if aside:
        message += f" {aside} of them, damaged or never verified, are left alone."
    return finding("backup.retention", store.root, "ok", message, len(removed), "sets")


def _listed(ids: t.Iterable[str]) -> str:
    return "".join(f"{each}\n" for each in sorted(ids))
