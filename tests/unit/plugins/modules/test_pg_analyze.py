# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import finding
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._care import Care
from ansible_collections.boardroom.maintenance.plugins.modules import pg_analyze

Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def asked() -> list[tuple[t.Any, ...]]:
    return []


@pytest.fixture
def call(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    asked: list[tuple[t.Any, ...]],
) -> Call:
    def care(client: object, *arguments: t.Any) -> Care:
        asked.append(arguments)
        analyzed = ["app"] if arguments[2] < 86400 else []
        return Care(analyzed, [{"table": "t", "bytes": 5}], [finding("database.size", "app", "ok", "Small.")])

    monkeypatch.setattr(pg_analyze, "care", care)

    def run(**options: t.Any) -> dict[str, t.Any]:
        with patch_module_args({"state_dir": str(tmp_path / "state"), **options}), pytest.raises(SystemExit):
            pg_analyze.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def test_what_was_done_and_seen_is_told_and_recorded(
    call: Call, asked: list[tuple[t.Any, ...]], tmp_path: Path
) -> None:
    result = call(databases=["app"], max_age="1h", limit=3, timeout="2m", login_db="app")
    assert asked == [("app", ["app"], 3600, 3, 120, False)]
    assert (result["changed"], result["analyzed"], result["msg"]) == (True, ["app"], "Statistics of app were updated.")
    assert result["largest"] == [{"table": "t", "bytes": 5}]
    assert [f["check"] for f in result["findings"]] == ["database.size"]
    (record,) = [json.loads(line) for line in (tmp_path / "state" / "journal.jsonl").read_text().splitlines()]
    assert record["data"]["largest"] == result["largest"]


def test_young_statistics_are_no_change(call: Call, asked: list[tuple[t.Any, ...]]) -> None:
    result = call()
    assert asked == [("postgres", ["all"], 86400, 10, 3600, False)]
    assert (result["changed"], result["msg"]) == (False, "All statistics are young enough.")


def test_check_mode_speaks_of_what_would_be(call: Call, asked: list[tuple[t.Any, ...]], tmp_path: Path) -> None:
    result = call(max_age="0", _ansible_check_mode=True)
    assert asked[0][-1] is True
    assert (result["changed"], result["msg"]) == (True, "Statistics of app would be updated.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limit": 0}, "limit is 0, but must be at least 1."),
        ({"max_age": "old"}, "max_age is 'old', but must be a number with"),
        ({"timeout": "never"}, "timeout is 'never', but must be a number with"),
        ({"client": "exec", "service": "db"}, "missing: project_src"),
    ],
)
def test_bad_input_is_one_sentence(
    call: Call, asked: list[tuple[t.Any, ...]], options: dict[str, t.Any], sentence: str
) -> None:
    result = call(**options)
    assert result["failed"]
    assert sentence in result["msg"]
    assert asked == []
