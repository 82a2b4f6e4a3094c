# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set that is whole may still be one of an emptied or of a wrong database."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _trend
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._sets import LARGE_TABLE, BackupSet, Held

START = datetime.datetime(2026, 11, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
MB = 10**6
Tables = t.Mapping[str, int]


def set_of(
    number: int,
    rows: int = 10000,
    size: int = 20 * MB,
    tables: Tables | None = None,
    database: str = "app",
    identity: str = "7711",
    **more: t.Any,
) -> BackupSet:
    """The set of a day."""
    taken = START + datetime.timedelta(days=number)
    return BackupSet(
        id=f"{taken:%Y%m%dT%H%M%SZ}-{number:08x}",
        path="",
        taken=taken,
        identity=identity,
        databases={database: Held(rows, size)},
        large_tables={database: tables or {}},
        **{"verified": True, **more},
    )


def days(*rows: int, **more: t.Any) -> list[BackupSet]:
    return [set_of(number, each, **more) for number, each in enumerate(rows)]


def suspected(sets: list[BackupSet], drop: float = 0.5, accept: t.Collection[str] = ()) -> list[int]:
    """Numbers of the suspicious ones."""
    return sorted(int(each.partition("-")[2], 16) for each in _trend.suspicious(sets, drop, accept))


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        ([10000, 10000, 5000], []),
        ([10000, 10000, 4999], [2]),
        ([10000, 10000, 0], [2]),
        # Two sets are the least that a third is held against.
        ([10000, 0], []),
        ([10000, 0, 10000], []),
        # Slowly is how databases are tidied up.
        ([10000, 9000, 8000, 7000, 6000, 5000, 4000, 3500, 3000], []),
        # What grows is never suspicious, and what has grown is what counts.
        ([2000, 20000, 200000, 2000000, 20000], [4]),
        # Too small to be judged.
        ([999, 999, 0], []),
        ([1000, 1000, 0], [2]),
    ],
)
def test_rows_that_fall_below_half_of_the_median_are_suspicious(rows: list[int], numbers: list[int]) -> None:
    assert suspected(days(*rows)) == numbers


@pytest.mark.parametrize(
    ("sizes", "numbers"),
    [
        ([20 * MB, 20 * MB, 10 * MB], []),
        ([20 * MB, 20 * MB, 10 * MB - 1], [2]),
        ([MB - 1, MB - 1, 10], []),
        ([MB, MB, 10], [2]),
    ],
)
def test_a_dump_that_shrinks_is_suspicious_whatever_its_rows(sizes: list[int], numbers: list[int]) -> None:
    assert suspected([set_of(number, 10, size) for number, size in enumerate(sizes)]) == numbers


def test_the_verdict_stands_until_it_is_accepted() -> None:
    """A database that stays small does not become normal by itself."""
    sets = days(*[10000] * 8, *[100] * 12)
    assert suspected(sets) == list(range(8, 20))
    assert suspected(sets, accept=[sets[10].id]) == []
    assert suspected([*sets, set_of(20, 40000)]) == list(range(8, 20))
    # From there on it is the measure: what falls again is suspicious again.
    low = [*days(*[10000] * 8), *(set_of(number, 3000) for number in range(8, 12)), set_of(12, 1400)]
    assert suspected(low, accept=[low[8].id]) == [12]
    assert suspected([*low[:10], low[12]], accept=[low[8].id]) == [12]
    # Of several that were accepted the last one counts.
    assert suspected(low, accept=[low[8].id, low[2].id]) == [12]
    assert suspected(low, accept=[low[2].id]) == [8, 9, 10, 11, 12]


def test_a_suspicious_set_never_moves_the_median() -> None:
    assert suspected(days(10000, 10000, 100, 100, 100, 100, 10000, 4000)) == [2, 3, 4, 5, 7]


def test_an_accepted_set_that_is_gone_still_ends_the_history() -> None:
    """Retention removes it one day; its name in the inventory must not bring old suspicions back."""
    sets = [*days(*[10000] * 8, *[1100] * 12), set_of(20, 500)]
    accepted = sets.pop(8)
    assert suspected(sets) == [*range(9, 21)]
    assert suspected(sets, accept=[accepted.id]) == [20]
    assert suspected(sets, accept=[sets[2].id, accepted.id]) == [20]
    assert suspected(sets, accept=[accepted.id, sets[2].id]) == [20]
    older = sets.pop(1)
    assert suspected(sets, accept=[accepted.id, older.id]) == [20]
    assert suspected(sets, accept=[sets[1].id]) == [*range(9, 21)]


def test_accepting_a_set_says_nothing_of_databases_that_it_does_not_hold() -> None:
    other = [set_of(number, rows, database="crm") for number, rows in enumerate([10000, 10000, 10000, 10000, 50])]
    mine = [set_of(number + 100, rows) for number, rows in enumerate([10000, 10000, 10, 10])]
    assert suspected([*mine, *other]) == [4, 102, 103]
    assert suspected([*mine, *other], accept=[mine[2].id]) == [4]
    assert suspected([*mine, *other], accept=[mine[2].id, other[4].id]) == []


@pytest.mark.parametrize("bad", [{"verified": False}, {"problems": (("1.dat", "it is missing"),)}])
def test_what_is_not_good_is_neither_judged_nor_a_measure(bad: dict[str, t.Any]) -> None:
    assert suspected([*days(10000, 10000), set_of(2, 0, **bad)]) == []
    assert suspected([*days(*[100000] * 9, **bad), set_of(9, 2000), set_of(10, 2000), set_of(11, 1500)]) == []


def test_databases_and_clusters_are_held_against_themselves() -> None:
    sets = days(10000, 10000, 10000)
    assert suspected([*sets, set_of(3, 10, database="crm")]) == []
    assert suspected([*sets, set_of(3, 10, identity="8822")]) == []
    assert suspected([*sets, set_of(3, 10)]) == [3]


def test_the_order_is_that_of_the_snapshots() -> None:
    sets = days(10000, 10000, 100)
    assert suspected(sets[::-1]) == [2]


def test_only_the_last_seven_count() -> None:
    rows = [16000, 9000, 8000, 7000, 6000, 5500, 5000, 4600, 4200]
    assert suspected(days(*rows, 2700)) == [9]
    # Of these and older ones together the median would be higher.
    assert suspected(days(*rows, 2800)) == []


def test_a_large_table_that_is_gone_is_suspicious_however_small_its_part() -> None:
    whole = {"public.users": 1000, "public.log": 900000}
    sets = days(*[901000] * 3, tables=whole)
    emptied = set_of(3, 900000, tables={"public.log": 900000})
    (found,) = _trend.suspicious([*sets, emptied])[emptied.id]
    assert found.reason == f"Table public.users of database app fell from 1000 rows to fewer than {LARGE_TABLE}."
    assert (found.database, found.ratio, found.threshold) == ("app", 0.5, 0.5)
    # Three sets are the least.
    assert suspected([*sets[1:], emptied]) == []
    # It must have been large in each.
    sometimes = [*sets[:2], set_of(2, 901000, tables={"public.users": 999, "public.log": 900000})]
    assert suspected([*sometimes, emptied]) == []
    # Another one may have the same name in another database.
    assert suspected([*sets, set_of(3, 900000, tables=whole, database="crm")]) == []


def test_what_is_known_of_a_missing_table_must_prove_a_fall() -> None:
    """Fewer than 500 rows is no fall of nine tenths from 1000."""
    sets = days(*[10000] * 3, tables={"public.users": 1000})
    gone = set_of(3, 10000)
    assert suspected([*sets, gone], drop=0.9) == []
    sets = days(*[10000] * 3, tables={"public.users": 5000})
    assert suspected([*sets, gone], drop=0.9) == [3]
    assert suspected([*sets, set_of(3, 0, 0)], drop=1) == []


def test_many_missing_tables_are_summed_up() -> None:
    sets = days(*[10000] * 3, tables={f"public.t{number}": 1000 for number in range(9)})
    gone = set_of(3, 10000)
    reasons = [each.reason for each in _trend.suspicious([*sets, gone])[gone.id]]
    assert len(reasons) == _trend.SHOWN_TABLES + 1
    assert reasons[-1] == "6 more tables of database app fell so."


def test_a_reason_says_what_fell_from_what_to_what() -> None:
    sets = [*days(10000, 12000), set_of(2, 100, MB)]
    rows, size = _trend.suspicious(sets)[sets[2].id]
    assert rows == ("app", "The rows of database app fell from 11000 to 100.", 0.009, 0.5)
    assert size == ("app", "The dump of database app fell from 20 MB to 1.0 MB.", 0.05, 0.5)


def test_the_share_is_the_operator_s() -> None:
    assert suspected(days(10000, 10000, 8999), drop=0.1) == [2]
    assert suspected(days(10000, 10000, 1001), drop=0.9) == []


@pytest.mark.parametrize(("text", "value"), [("50%", 0.5), (" 12.5 %", 0.125), ("100%", 1.0)])
def test_a_share_is_read(text: str, value: float) -> None:
    assert _trend.parse_drop(text) == value


@pytest.mark.parametrize("text", ["50", "0%", "101%", "-5%", "half", "", "5GiB"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(MaintenanceError, match="must be a share from 1% to 100%"):
        _trend.parse_drop(text)


@pytest.mark.parametrize(
    "name", ["newest", "20261124T020000Z", "20269924T020000Z-9f3a1c2e", "20261124T020000Z-9f3a1c2e/.."]
)
def test_only_names_of_sets_can_be_accepted(name: str) -> None:
    with pytest.raises(MaintenanceError, match="must be the name of a backup set"):
        _trend.require_ids([name], START)


def test_no_set_of_the_future_can_be_accepted() -> None:
    """Its time would end all history, and with it all suspicion."""
    _trend.require_ids([set_of(0).id], START)
    with pytest.raises(MaintenanceError, match="which bears a time in the future"):
        _trend.require_ids([set_of(1).id], START)
