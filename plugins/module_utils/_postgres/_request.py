# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What a set is asked for."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import MaintenanceError
from ._archive import Place

# Methods and their highest level.
COMPRESSION = {"zstd": 19, "gzip": 9, "none": 0}
# Since PostgreSQL 16 pg_dump compresses with zstd.
ZSTD_SINCE = 16


@dataclasses.dataclass(frozen=True)
class Request:
    """What a set is asked for.

    :param databases: names, or C(all)
    :param compress: C(zstd:3), C(gzip:6) or C(none)
    :param min_free: what must stay free, as C(10%) or C(5GiB)
    :param max_age: a verified set at most this many seconds old is good enough
    :param timeout: seconds for the whole set
    :param lock_wait: seconds to wait for a lock on a table
    :param release: the application's release, as the caller knows it
    :param places: files of the application that belong into the set
    :param tags: words that retention goes by
    :param stream: the set goes off-site at once; nothing of it is staged here
    """

    databases: t.Sequence[str]
    login_db: str = "postgres"
    jobs: int = 2
    compress: str = "zstd:2"
    min_free: str = "10%"
    max_age: int = 0
    force: bool = False
    timeout: int = 10800
    lock_wait: int = 30
    with_globals: bool = True
    release: str = ""
    places: t.Tuple[Place, ...] = ()
    tags: t.Tuple[str, ...] = ()
    stream: bool = False


def chosen(wanted: t.Sequence[str], existing: t.Sequence[t.Dict[str, t.Any]]) -> t.List[t.Dict[str, t.Any]]:
    """The databases that are asked for; C(all) means every one that is no template.

    :raises MaintenanceError: none is asked for, or one does not exist.
    """
    if not existing:
        raise MaintenanceError("The server has no database but templates.", "Look whether it is the right server.")
    if list(wanted) == ["all"]:
        return list(existing)
    by_name = {d["name"]: d for d in existing}
    missing = [name for name in wanted if name not in by_name]
    if missing or not wanted:
        what = f"The server has no database {', '.join(map(repr, missing))}" if missing else "No database is asked for"
        raise MaintenanceError(
            f"{what}; it has {', '.join(by_name)}.",
            "Correct databases (in the inventory maintenance_databases).",
        )
    return [by_name[name] for name in dict.fromkeys(wanted)]


def compression(text: str) -> t.Tuple[str, str]:
    """Method and level of C(zstd:3), C(gzip) or C(none).

    :raises MaintenanceError: anything else.
    """
    method, colon, level = text.partition(":")
    top = COMPRESSION.get(method)
    if top is None or (colon and not (level.isdigit() and 1 <= int(level) <= top)):
        raise MaintenanceError(f"compress is {text!r}, but must be zstd, gzip or none, with a level as in zstd:3.")
    return method, level


def codec_for(compress: str, client_major: int) -> str:
    """What this pg_dump can do of what was asked for: before 16 it knows gzip only, and a level alone names it."""
    method, level = compression(compress)
    if client_major >= ZSTD_SINCE:
        return compress
    return "none" if method == "none" else f"gzip:{level}" if method == "gzip" and level else "gzip"
