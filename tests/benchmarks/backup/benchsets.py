# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Years of sets in the S3 server, for the modules that look over them: real manifests, next to nothing in the files."""

from __future__ import annotations

import copy
import datetime
import hashlib
import http.client
import json
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_utc, new_id
from labkit.process import LabError

FILES = 60
"""Files of each set."""
APART = datetime.timedelta(hours=11)
CONTENT = b"no rows of a table at all"
FILER_PORT = 8888
WRITERS = 8

Manifest = dict[str, t.Any]


def lengthened(real: Manifest) -> Manifest:
    """A real set's manifest, with as many tables more as make FILES files; every file holds CONTENT."""
    made = copy.deepcopy(real)
    database = made["databases"][0]
    pattern = database["tables"][0]
    for number in range(FILES - len(made["files"])):
        name = f"archive_{number:03}"
        path = f"databases/boardroom_prod/{9000 + number}.dat.zst"
        table = {"oid": 90000 + number, "schema": "public", "name": name, "quoted": f"public.{name}", "rows": 1000}
        database["tables"].append({**pattern, **table, "file": path})
        database["rows_total"] += 1000
        made["files"].append({"path": path})
    held = {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    for file in made["files"]:
        file.update(held, objects=[{"name": file["path"], **held}])
    return made


def history(real: Manifest, count: int, newest: datetime.datetime) -> Iterator[Manifest]:
    """Sealed manifests of so many sets, as a timer would have made them."""
    pattern = lengthened(real)
    for number in range(count):
        moment = newest - (count - 1 - number) * APART
        stamp = format_utc(moment)
        yield _manifest.seal(
            {
                **{key: value for key, value in pattern.items() if key != "checksum"},
                "id": new_id(moment),
                **dict.fromkeys(("snapshot_time", "started", "finished"), stamp),
                "verification": [{**each, "at": stamp} for each in pattern["verification"]],
            }
        )


class Filer:
    """The S3 server's own door to its buckets: without signatures, since so many requests would take minutes."""

    def __init__(self, address: str, bucket: str) -> None:
        self._connection = http.client.HTTPConnection(address, FILER_PORT, timeout=30)
        self._top = f"/buckets/{bucket}"

    def __call__(self, method: str, key: str, body: bytes | None = None) -> bytes:
        """Put or get one object. LabError when that is refused."""
        self._connection.request(method, f"{self._top}/{key}", body=body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise LabError(f"the S3 server answered {answer.status} to {method} {key}")
        return content


def manifest(address: str, bucket: str, key: str) -> Manifest:
    """The manifest of the set below a key."""
    found: Manifest = json.loads(Filer(address, bucket)("GET", f"{key}/manifest.json"))
    return found


def fill(address: str, bucket: str, prefix: str, manifests: list[Manifest]) -> None:
    """Put sets into a bucket below a prefix, each with all its files and its manifest."""

    def put(share: list[Manifest]) -> None:
        filer = Filer(address, bucket)
        for each in share:
            for file in each["files"]:
                filer("PUT", f"{prefix}/{each['id']}/{file['path']}", CONTENT)
            text = json.dumps(each, indent=1, ensure_ascii=False) + "\n"
            filer("PUT", f"{prefix}/{each['id']}/manifest.json", text.encode())

    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        list(pool.map(put, (manifests[number::WRITERS] for number in range(WRITERS))))
