# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set may be asked for."""

from __future__ import annotations

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _request

EXISTING = [{"name": "app"}, {"name": "app_test"}, {"name": "odd ü"}]


def test_databases_are_chosen_by_their_whole_names() -> None:
    assert _request.chosen(["all"], EXISTING) == EXISTING
    assert _request.chosen(["odd ü", "app", "app"], EXISTING) == [EXISTING[2], EXISTING[0]]


@pytest.mark.parametrize(
    ("wanted", "sentence"), [(["ap"], "has no database 'ap'; it has app, app_test"), ([], "No database is asked for")]
)
def test_a_database_that_is_not_there_is_named(wanted: list[str], sentence: str) -> None:
    with pytest.raises(MaintenanceError, match=sentence):
        _request.chosen(wanted, EXISTING)


@pytest.mark.parametrize(
    "text", ["", "lz4", "zstd:", "zstd:0", "zstd:20", "gzip:10", "none:1", "zstd:-1", "zstd:3 ", "ZSTD"]
)
def test_an_unknown_compression_is_refused(text: str) -> None:
    with pytest.raises(MaintenanceError, match=r"compress is .* but must be zstd, gzip or none"):
        _request.compression(text)


@pytest.mark.parametrize(
    ("asked", "major", "codec"),
    [
        ("zstd:3", 17, "zstd:3"),
        ("zstd:3", 16, "zstd:3"),
        ("zstd:3", 15, "gzip"),
        ("gzip:9", 15, "gzip:9"),
        ("none", 15, "none"),
        ("gzip", 17, "gzip"),
    ],
)
def test_before_16_gzip_takes_the_place_of_zstd(asked: str, major: int, codec: str) -> None:
    assert _request.codec_for(asked, major) == codec


@pytest.mark.parametrize("wanted", [["all"], ["app"], []])
def test_a_server_without_databases_is_no_set_without_databases(wanted: list[str]) -> None:
    with pytest.raises(MaintenanceError, match="The server has no database but templates"):
        _request.chosen(wanted, [])


def test_a_database_may_be_called_all() -> None:
    existing = [{"name": "all"}, {"name": "app"}]
    assert _request.chosen(["all", "all"], existing) == [{"name": "all"}]
