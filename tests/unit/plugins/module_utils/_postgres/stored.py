# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small whole sets of any age, in a directory and in a bucket, made without a server."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t
from pathlib import Path

from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _decode, _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Store
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_utc, new_id

DATA = "databases/app/1.dat"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the manifest says beside the truth about its one file, which holds two rows."""

    rows: int = 2
    identity: str = "7711"
    tags: tuple[str, ...] = ()
    verified: bool = True


def manifest(set_id: str, moment: datetime.datetime, file: dict[str, t.Any], facts: Facts) -> dict[str, t.Any]:
    """Not sealed yet."""
    size = file["bytes"]
    table = {"oid": 1, "schema": "public", "name": "t", "quoted": "public.t", "rows": facts.rows, "file": DATA}
    database = {"name": "app", "format": "directory", "path": "databases/app", "compress": "none"}
    return {
        "schema": _manifest.SCHEMA,
        "id": set_id,
        "system_identifier": facts.identity,
        "server_version": "17.6",
        "client_version": "17.6",
        "snapshot_time": format_utc(moment),
        "databases": [{**database, "rows_total": facts.rows, "bytes": size, "tables": [table], "large_objects": []}],
        "files": [file],
        "bytes": size,
        "tags": list(facts.tags),
        "verification": [{"level": "decode", "at": format_utc(moment)}] if facts.verified else [],
    }


def put(store: LocalStore, moment: datetime.datetime, **facts: t.Any) -> Path:
    """A set of that moment in a directory; its path."""
    set_id = new_id(moment)
    path = Path(store.begin(set_id), DATA)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"row\nrow\n" + _decode.END_OF_ROWS)
    size, sha256 = _decode.digest(str(path))
    file = {"path": DATA, "bytes": size, "sha256": sha256}
    return Path(store.commit(set_id, _manifest.seal(manifest(set_id, moment, file, Facts(**facts)))))


def put_offsite(store: S3Store, moment: datetime.datetime, **facts: t.Any) -> str:
    """A set of that moment in a bucket; its id."""
    set_id = new_id(moment)
    writer = store.writer(set_id, DATA)
    writer.write(b"row\nrow\n" + _decode.END_OF_ROWS)
    objects = [each._asdict() for each in writer.close()]
    file = {"path": DATA, "bytes": objects[0]["bytes"], "sha256": objects[0]["sha256"], "objects": objects}
    store.commit(set_id, _manifest.seal(manifest(set_id, moment, file, Facts(**facts))))
    return set_id
