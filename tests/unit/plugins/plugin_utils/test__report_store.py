# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports on disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.plugin_utils._report_store import store

OLD = "20261124T020000Z-9f3a1c2e"
NEW = "20261124T030000Z-00000000"
TEXTS = {"html": "<p>\N{SNOWMAN}", "md": "x", "json": "{}"}


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    paths = store(str(tmp_path / "deep" / "reports"), OLD, TEXTS)
    assert set(paths) == {"html", "md", "json"}
    for kind, text in TEXTS.items():
        path = Path(paths[kind])
        assert path == tmp_path / "deep" / "reports" / OLD / f"report.{kind}"
        assert path.read_text(encoding="utf-8") == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep" / "reports" / OLD).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "reports").stat().st_mode) == 0o700


def test_closing_replaces_what_opening_wrote(tmp_path: Path) -> None:
    store(str(tmp_path), OLD, TEXTS)
    paths = store(str(tmp_path), OLD, {**TEXTS, "md": "closed"})
    assert Path(paths["md"]).read_text(encoding="utf-8") == "closed"
    assert sorted(path.name for path in (tmp_path / OLD).iterdir()) == ["report.html", "report.json", "report.md"]


def test_latest_is_the_newest_run_in_whatever_order_they_end(tmp_path: Path) -> None:
    for run_id in (OLD, NEW, OLD):
        store(str(tmp_path), run_id, TEXTS)
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "latest").resolve() == tmp_path / NEW
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLD, NEW, "latest"]


def test_a_latest_that_is_no_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    store(str(tmp_path), OLD, TEXTS)
    assert not (tmp_path / "latest").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == [OLD, "latest"]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MaintenanceError) as caught:
        store(str(tmp_path / "file"), OLD, TEXTS)
    assert caught.value.message.startswith(f"The report cannot be written to {tmp_path / 'file'} on the controller: ")
    assert "maintenance_report_dir" in caught.value.remedy
