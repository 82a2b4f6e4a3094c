# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape of an observation."""

from __future__ import annotations

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _findings


def test_a_finding_has_the_agreed_keys() -> None:
    made = _findings.finding("backup.age", "boardroom", "ok", "Young enough.", 3, "h", 24, "Nothing.")
    assert list(made) == ["check", "subject", "status", "value", "unit", "threshold", "message", "remedy"]


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="none of ok, warning, unknown, critical"):
        _findings.finding("a.b", "x", "bad", "y")


def test_the_worst_status_wins_and_no_finding_is_ok() -> None:
    def made(status: str) -> _findings.Finding:
        return _findings.finding("a.b", "x", status, "y")

    assert _findings.worst([]) == "ok"
    assert _findings.worst([made("ok"), made("warning")]) == "warning"
    assert _findings.worst([made("unknown"), made("warning")]) == "unknown"
    assert _findings.worst([made("critical"), made("unknown")]) == "critical"


def test_a_status_from_elsewhere_counts_as_the_worst() -> None:
    assert _findings.severity("odd") == _findings.severity("critical")


@pytest.mark.parametrize(
    ("value", "warning", "critical", "status"),
    [(1, 2, 3, "ok"), (2, 2, 3, "warning"), (3, 2, 3, "critical"), (9, None, None, "ok"), (9, None, 3, "critical")],
)
def test_values_are_held_against_bounds(value: float, warning: float, critical: float, status: str) -> None:
    assert _findings.judge(value, warning, critical) == status
