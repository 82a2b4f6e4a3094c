# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Has a database suddenly shrunk? A set that is whole may still be one of an emptied or of a wrong database."""

from __future__ import annotations

import datetime
import re
import statistics
import typing as t

from .._errors import MaintenanceError
from .._size import format_size
from .._storage._local import SET_ID
from ._manifest import CLOCK_TOLERANCE
from ._sets import EPOCH, LARGE_TABLE, BackupSet, stamp

# What a set is held against: the last sets of the same database that were good and not suspicious themselves.
BASELINE = 7
LEAST_SETS = 2
LEAST_SETS_OF_A_TABLE = 3
# Below these a database is too small for its fall to mean anything.
LEAST_ROWS = 1000
LEAST_BYTES = 10**6
DROP = 0.5
SHOWN_TABLES = 3


class Suspicion(t.NamedTuple):
    """Why a set is suspicious.

    :param reason: one sentence: what fell from what to what
    :param ratio: what is left, as a part of what there was
    :param threshold: the least part that would not have been suspicious
    """

    database: str
    reason: str
    ratio: float
    threshold: float


Suspicions = t.Dict[str, t.List[Suspicion]]


def suspicious(sets: t.Iterable[BackupSet], drop: float = DROP, accept: t.Collection[str] = ()) -> Suspicions:
    """The suspicious ones of the good sets of a store, by id.

    Each is held against the median of up to C(BASELINE) sets before it. A suspicious set is never part of that, so the
    verdict on it and on its successors stands until one of them is accepted, or the database is what it was.

    :param drop: the part that may be lost from one set to the next, from 0 to 1; 1 finds nothing
    :param accept: ids of sets that are right as they are: of their databases, nothing before them counts. A set that
        is gone meanwhile ends the history of all databases at its time.
    """
    found: Suspicions = {}
    baselines: t.Dict[t.Tuple[str, str], t.List[BackupSet]] = {}
    good = sorted((each for each in sets if each.good), key=lambda each: each.order)
    begins = _Begins(good, accept)
    for each in good:
        for database in each.databases:
            if not begins.counts(each, database):
                continue
            baseline = baselines.setdefault((each.identity, database), [])
            # Rounded: 1 - 0.9 is a little less than a tenth.
            reasons = list(_fallen(each, database, baseline, round(1 - drop, 9)))
            if reasons:
                found.setdefault(each.id, []).extend(reasons)
            else:
                baseline.append(each)
                del baseline[:-BASELINE]
    return found


def _fallen(new: BackupSet, database: str, baseline: t.Sequence[BackupSet], least: float) -> t.Iterator[Suspicion]:
    """What fell below the part C(least) of what it was."""
    held = new.databases[database]
    if len(baseline) >= LEAST_SETS:
        rows = statistics.median(each.databases[database].rows for each in baseline)
        if rows >= LEAST_ROWS and held.rows < rows * least:
            said = f"The rows of database {database} fell from {rows:.0f} to {held.rows}."
            yield Suspicion(database, said, round(held.rows / rows, 3), least)
        size = statistics.median(each.databases[database].bytes for each in baseline)
        if size >= LEAST_BYTES and held.bytes < size * least:
            said = f"The dump of database {database} fell from {format_size(size)} to {format_size(held.bytes)}."
            yield Suspicion(database, said, round(held.bytes / size, 3), least)
    if len(baseline) >= LEAST_SETS_OF_A_TABLE:
        gone = _gone(new, database, baseline, least)
        for name, before in gone[:SHOWN_TABLES]:
            said = f"Table {name} of database {database} fell from {before} rows to fewer than {LARGE_TABLE}."
            yield Suspicion(database, said, round(LARGE_TABLE / before, 3), least)
        if len(gone) > SHOWN_TABLES:
            said = f"{len(gone) - SHOWN_TABLES} more tables of database {database} fell so."
            yield Suspicion(database, said, round(LARGE_TABLE / gone[SHOWN_TABLES][1], 3), least)


def _gone(new: BackupSet, database: str, baseline: t.Sequence[BackupSet], least: float) -> t.List[t.Tuple[str, int]]:
    """Tables that were large in every set of the baseline and are no longer, with their rows in the last one.

    Of a table that is no longer remembered only a bound is known, and that bound must prove a fall.
    """
    now = new.large_tables.get(database, {})
    before = [each.large_tables.get(database, {}) for each in baseline]
    return sorted(
        (name, rows)
        for name, rows in before[-1].items()
        if name not in now and min(each.get(name, 0) for each in before) * least >= LARGE_TABLE
    )


class _Begins:
    """Where the history of each database begins, after what was accepted."""

    def __init__(self, sets: t.Sequence[BackupSet], accept: t.Collection[str]) -> None:
        by_id = {each.id: each for each in sets}
        self._own: t.Dict[t.Tuple[str, str], t.Tuple[datetime.datetime, str]] = {}
        self._all = (EPOCH, "")
        for name in accept:
            if name in by_id:
                each = by_id[name]
                for database in each.databases:
                    key = (each.identity, database)
                    self._own[key] = max(self._own.get(key, each.order), each.order)
            else:
                self._all = max(self._all, (stamp(name), ""))

    def counts(self, each: BackupSet, database: str) -> bool:
        """Whether a set belongs to the history of one of its databases."""
        return each.order >= max(self._all, self._own.get((each.identity, database), self._all))


def remedy(set_id: str) -> str:
    """What an operator does about a suspicious set."""
    return (
        "Look at that database and bring back what was lost. "
        f"If nothing was: accept {set_id} (in the inventory maintenance_backup_accept)."
    )


def parse_drop(text: object, name: str = "size_drop") -> float:
    """The part in C(50%).

    :raises MaintenanceError: anything else than a share from 1% to 100%.
    """
    match = re.match(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$", str(text))
    if match is None or not 1 <= float(match.group(1)) <= 100:
        raise MaintenanceError(f"{name} is {text!r}, but must be a share from 1% to 100%, such as 50%.")
    return float(match.group(1)) / 100


def require_ids(accept: t.Iterable[str], now: datetime.datetime, name: str = "accept") -> None:
    """Refuse what is no name of a set that was taken by now.

    :raises MaintenanceError: there is one.
    """
    for each in accept:
        if not SET_ID.match(each) or stamp(each) == EPOCH:
            raise MaintenanceError(
                f"{name} is {each!r}, but must be the name of a backup set, such as 20261124T020000Z-9f3a1c2e."
            )
        # It would end all history, and with it all suspicion.
        if stamp(each) > now + CLOCK_TOLERANCE:
            raise MaintenanceError(f"{name} is {each!r}, which bears a time in the future.")
