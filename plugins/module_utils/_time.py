# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Times as they stand in records (UTC, ISO 8601, whole seconds) and durations as people write them."""

from __future__ import annotations

import datetime
import re
import secrets
import typing as t

from ._errors import MaintenanceError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*$")


def utc_now() -> datetime.datetime:
    """Now, aware, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def format_utc(moment: datetime.datetime) -> str:
    """C(2026-11-24T02:00:00Z); fractions of a second are cut off."""
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_utc(text: str) -> datetime.datetime:
    """Read what C(format_utc) wrote.

    :raises ValueError: the text is no such time.
    """
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)


def parse_duration(text: object, name: str = "duration") -> int:
    """Seconds in C(90), C(90s), C(15m), C(11h), C(7d) or C(2w).

    :raises MaintenanceError: anything else, named after the option that held it.
    """
    match = _DURATION.match(str(text))
    if not match:
        raise MaintenanceError(f"{name} is {text!r}, but must be a number with s, m, h, d or w, such as 11h or 7d.")
    return int(float(match.group(1)) * _UNITS[match.group(2) or "s"])


def format_duration(seconds: float) -> str:
    """The two largest units: C(3 d 4 h), C(11 h 5 min), C(42 s)."""
    rest = max(0, int(seconds))
    parts: t.List[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def new_id(moment: datetime.datetime) -> str:
    """An identifier that sorts by time and never repeats: C(20261124T020000Z-9f3a1c2e)."""
    return f"{moment.astimezone(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
