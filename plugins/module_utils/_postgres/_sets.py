# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What is to be known of a backup set without its long lists: for age, trend and retention of thousands of sets."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._storage._local import MANIFEST, Entry
from .._time import format_utc
from . import _manifest

# Only tables of at least this many rows are remembered: that a small one is empty says nothing.
LARGE_TABLE = 500
BACKUP_NOW = "Take a set now: playbooks/backup.yml."
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Held(t.NamedTuple):
    """What a set holds of one database: rows of all its tables, and bytes of its dump."""

    rows: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class BackupSet:
    """One set of a store.

    :param path: its directory, or its address in a store of objects
    :param taken: the moment that it brings back; of a set without a manifest that counts, what its name says
    :param identity: the cluster's system identifier; empty when its manifest does not count
    :param bytes: size of all its files
    :param large_tables: rows of each large table, by database and quoted name
    :param verified: it was decoded and counted when it was made, or restored since
    :param problems: pairs of file and reason; empty when nothing is wrong
    """

    id: str
    path: str
    taken: datetime.datetime
    identity: str = ""
    bytes: int = 0
    databases: t.Mapping[str, Held] = dataclasses.field(default_factory=dict)
    large_tables: t.Mapping[str, t.Mapping[str, int]] = dataclasses.field(default_factory=dict)
    tags: t.Tuple[str, ...] = ()
    verified: bool = False
    verification: t.Sequence[t.Mapping[str, t.Any]] = ()
    server_version: str = ""
    problems: t.Tuple[_manifest.Problem, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it counts: verified, and nothing is wrong with it now."""
        return self.verified and not self.problems

    @property
    def order(self) -> t.Tuple[datetime.datetime, str]:
        """Its place among other sets, from the oldest to the newest; no two share one."""
        return self.taken, self.id

    @property
    def rows(self) -> int:
        """Rows of all its tables."""
        return sum(held.rows for held in self.databases.values())

    def shown(self, now: datetime.datetime) -> t.Dict[str, t.Any]:
        """As a module returns it."""
        return {
            "id": self.id,
            "path": self.path,
            "snapshot_time": format_utc(self.taken),
            "age_seconds": int((now - self.taken).total_seconds()),
            "bytes": self.bytes,
            "databases": list(self.databases),
            "rows": self.rows,
            "tags": list(self.tags),
            "system_identifier": self.identity,
            "server_version": self.server_version,
            "verification": list(self.verification),
            "verified": self.verified,
            "problems": [{"file": file, "reason": reason} for file, reason in self.problems],
        }


def stamp(set_id: str) -> datetime.datetime:
    """The time in the name of a set; C(EPOCH) when there is no such time."""
    try:
        moment = datetime.datetime.strptime(set_id.partition("-")[0], "%Y%m%dT%H%M%SZ")
    except ValueError:
        return EPOCH
    return moment.replace(tzinfo=datetime.timezone.utc)


def backup_set(entry: Entry, problems: t.Sequence[_manifest.Problem]) -> BackupSet:
    """The facts of an entry whose problems are known."""
    # A manifest that was changed proves nothing, and may lack anything.
    manifest = entry.manifest if entry.manifest and MANIFEST not in (file for file, _reason in problems) else None
    if manifest is None:
        return BackupSet(entry.id, entry.path, stamp(entry.id), problems=tuple(problems))
    return BackupSet(
        id=entry.id,
        path=entry.path,
        taken=_manifest.snapshot_time(manifest),
        identity=manifest["system_identifier"],
        bytes=manifest["bytes"],
        databases={d["name"]: Held(d["rows_total"], d["bytes"]) for d in manifest["databases"]},
        large_tables={
            d["name"]: {table["quoted"]: table["rows"] for table in d["tables"] if table["rows"] >= LARGE_TABLE}
            for d in manifest["databases"]
        },
        tags=tuple(manifest.get("tags", [])),
        verified=_manifest.verified(manifest),
        verification=manifest["verification"],
        server_version=manifest["server_version"],
        problems=tuple(problems),
    )
