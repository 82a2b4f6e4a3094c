# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and durations."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _time
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError

MOMENT = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("11h", 39600), ("7d", 604800), ("2w", 1209600), ("1.5h", 5400), (60, 60)],
)
def test_durations_are_read_as_people_write_them(text: object, seconds: int) -> None:
    assert _time.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5 minutes", "h", "1y", None])
def test_a_bad_duration_is_named_with_its_option(text: object) -> None:
    with pytest.raises(MaintenanceError, match=r"max_age is .* but must be a number with"):
        _time.parse_duration(text, "max_age")


def test_a_time_survives_writing_and_reading() -> None:
    assert _time.format_utc(MOMENT) == "2026-11-24T02:00:00Z"
    assert _time.parse_utc("2026-11-24T02:00:00Z") == MOMENT


def test_other_zones_are_written_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert _time.format_utc(MOMENT.astimezone(zone)) == "2026-11-24T02:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (42, "42 s"),
        (3600, "1 h"),
        (39900, "11 h 5 min"),
        (273600, "3 d 4 h"),
        (-5, "0 s"),
        (86461, "1 d 1 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert _time.format_duration(seconds) == text


def test_ids_sort_by_time_and_differ() -> None:
    later = MOMENT + datetime.timedelta(seconds=1)
    assert _time.new_id(MOMENT) < _time.new_id(later)
    assert _time.new_id(MOMENT) != _time.new_id(MOMENT)
    assert _time.new_id(MOMENT).startswith("20261124T020000Z-")
