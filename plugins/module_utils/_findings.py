# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""One observation, one shape: what every check of the collection returns."""

from __future__ import annotations

import typing as t

# From best to worst. What could not be observed is worse than a warning: it may hide anything.
STATUSES = ("ok", "warning", "unknown", "critical")

Finding = t.Dict[str, t.Any]


def finding(
    check: str,
    subject: str,
    status: str,
    message: str,
    value: t.Any = None,
    unit: str = "",
    threshold: t.Any = None,
    remedy: str = "",
) -> Finding:
    """Make one finding.

    :param check: dotted stable name of the check, such as C(backup.age)
    :param subject: what was looked at, such as a database or a URL
    :param status: one of C(STATUSES)
    :param message: one sentence for a person
    :param value: what was measured, in C(unit)
    :param threshold: the bound that C(value) was held against, in C(unit)
    :param remedy: what an operator does next, naming the playbook that does it
    :raises ValueError: the status is not one of C(STATUSES).
    """
    if status not in STATUSES:
        raise ValueError(f"status {status!r} of finding {check} is none of {', '.join(STATUSES)}")
    return {
        "check": check,
        "subject": subject,
        "status": status,
        "value": value,
        "unit": unit,
        "threshold": threshold,
        "message": message,
        "remedy": remedy,
    }


def severity(status: str) -> int:
    """Place of a status in C(STATUSES); a status nobody knows counts as the worst."""
    return STATUSES.index(status) if status in STATUSES else len(STATUSES) - 1


def worst(findings: t.Iterable[Finding]) -> str:
    """The worst status among the findings; C(ok) when there is none."""
    return max((f["status"] for f in findings), key=severity, default="ok")


def judge(value: float, warning: t.Optional[float], critical: t.Optional[float]) -> str:
    """Status of a value that must stay below its bounds; a bound of None is not there."""
    if critical is not None and value >= critical:
        return "critical"
    if warning is not None and value >= warning:
        return "warning"
    return "ok"
