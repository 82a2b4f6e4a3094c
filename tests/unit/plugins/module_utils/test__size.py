# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes."""

from __future__ import annotations

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _size
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (1048576, 1048576),
        ("5GiB", 5 * 2**30),
        ("1.5 MB", 1_500_000),
        ("2kb", 2000),
        ("7 b", 7),
        ("1TiB", 2**40),
    ],
)
def test_sizes_are_read_as_people_write_them(text: object, size: int) -> None:
    assert _size.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "5 gigabytes", "GiB", "5XB", None])
def test_a_bad_size_is_named_with_its_option(text: object) -> None:
    with pytest.raises(MaintenanceError, match=r"min_free is .*, but must be a number with MB"):
        _size.parse_size(text, "min_free")


def test_shares_are_of_the_whole() -> None:
    assert _size.parse_share("10%", 2000) == 200
    assert _size.parse_share("0.5 %", 2000) == 10
    assert _size.parse_share("1kB", 2000) == 1000


@pytest.mark.parametrize("text", ["101%", "half", "-5%", "%"])
def test_a_bad_share_is_refused(text: str) -> None:
    with pytest.raises(MaintenanceError, match="min_free is"):
        _size.parse_share(text, 2000, "min_free")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (10_492_362, "10 MB"), (3.06e9, "3.1 GB"), (12e12, "12 TB")],
)
def test_sizes_are_written_for_people(size: float, text: str) -> None:
    assert _size.format_size(size) == text
