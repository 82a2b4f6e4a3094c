# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Sizes as people write and read them."""

from __future__ import annotations

import re

from ._errors import MaintenanceError

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS.update({"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40})
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*$", re.IGNORECASE)


def parse_size(text: object, name: str = "size") -> int:
    """Bytes in C(500MB), C(5GiB) or C(1048576).

    :raises MaintenanceError: anything else, named after the option that held it.
    """
    match = _SIZE.match(str(text))
    unit = match.group(2).lower() if match else "?"
    if match is None or unit not in _UNITS:
        raise MaintenanceError(f"{name} is {text!r}, but must be a number with MB, GB, MiB or GiB, such as 5GiB.")
    return int(float(match.group(1)) * _UNITS[unit])


def parse_share(text: object, whole: int, name: str = "share") -> int:
    """Bytes in a size, or in a share of C(whole) such as C(10%).

    :raises MaintenanceError: neither, or more than 100%.
    """
    match = re.match(r"^\s*(\d+(?:\.\d+)?)\s*%\s*$", str(text))
    if match is None:
        try:
            return parse_size(text, name)
        except MaintenanceError:
            raise MaintenanceError(
                f"{name} is {text!r}, but must be a share such as 10% or a size such as 5GiB."
            ) from None
    if float(match.group(1)) > 100:
        raise MaintenanceError(f"{name} is {text!r}, which is more than all there is.")
    return int(whole * float(match.group(1)) / 100)


def format_size(size: float) -> str:
    """C(1.5 GB), C(420 MB), C(17 bytes): decimal units, as disks are sold and shown."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            value = size / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{int(size)} bytes"
