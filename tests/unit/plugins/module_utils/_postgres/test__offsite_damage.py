# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every damage of an off-site set is found by the look that can see it, and named."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._offsite_damage import damage
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Error, S3Options, S3Store

from .._storage.fake_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, FakeS3, Stored

ID = "20261124T020000Z-9f3a1c2e"
TOP = f"main/{ID}/"
DATA = b"rows " * 200


@pytest.fixture
def server() -> t.Iterator[FakeS3]:
    with FakeS3() as fake:
        yield fake


@pytest.fixture
def store(server: FakeS3) -> S3Store:
    """With one set of three objects."""
    made = S3Store(S3Options(BUCKET, endpoint_url=server.url, access_key=ACCESS_KEY, secret_key=SECRET_KEY), "main")
    files = []
    for path in ("databases/app/1.dat.zst", "databases/app/2.dat.zst", "globals.sql.zst"):
        with made.writer(ID, path) as writer:
            writer.write(DATA)
            objects = writer.close()
        files.append({"path": path, "bytes": len(DATA), "objects": [each._asdict() for each in objects]})
    made.commit(ID, _manifest.seal({"schema": 1, "id": ID, "files": files}))
    return made


def problems(store: S3Store, check: str) -> list[_manifest.Problem]:
    (entry,) = store.entries()
    return damage(entry, check, store)


def reseal(server: FakeS3, change: t.Callable[[dict[str, t.Any]], t.Any]) -> None:
    """Change the manifest as somebody would who can reckon checksums."""
    stored = server.objects[TOP + "manifest.json"]
    manifest = json.loads(stored.data)
    del manifest["checksum"]
    change(manifest)
    stored.data = json.dumps(_manifest.seal(manifest)).encode()


@pytest.mark.parametrize("check", ["none", "sizes", "hashes"])
def test_a_whole_set_has_no_problem(store: S3Store, server: FakeS3, check: str) -> None:
    server.requests.clear()
    assert problems(store, check) == []
    # Sizes come with the listing, and cost nothing.
    assert len(server.asked("GetObject")) == (4 if check == "hashes" else 1)


FIRST, SECOND = "databases/app/1.dat.zst", "databases/app/2.dat.zst"
HARMS: list[tuple[t.Callable[[dict[str, Stored]], t.Any], str, list[str], _manifest.Problem]] = [
    (lambda o: o.pop(TOP + FIRST), "missing", ["sizes", "hashes"], (FIRST, "it is missing")),
    (
        lambda o: setattr(o[TOP + FIRST], "data", DATA[:-7]),
        "cut",
        ["sizes", "hashes"],
        (FIRST, "it has 993 bytes instead of 1000"),
    ),
    (
        lambda o: setattr(o[TOP + FIRST], "data", b""),
        "empty",
        ["sizes", "hashes"],
        (FIRST, "it has 0 bytes instead of 1000"),
    ),
    (
        lambda o: setattr(o[TOP + SECOND], "data", b"R" + DATA[1:]),
        "flipped",
        ["hashes"],
        (SECOND, "its content has changed (SHA-256)"),
    ),
    (
        lambda o: o.update({TOP + "extra": Stored(b"", {}, "2026")}),
        "strange",
        ["sizes", "hashes"],
        ("extra", "it does not belong to the set"),
    ),
    (
        lambda o: setattr(o[TOP + "manifest.json"], "data", o[TOP + "manifest.json"].data.replace(b"1000", b"1001", 1)),
        "edited",
        ["none", "sizes", "hashes"],
        ("manifest.json", "it was changed after it was written"),
    ),
    (
        lambda o: setattr(o[TOP + "manifest.json"], "data", b"<html>"),
        "page",
        ["none", "sizes", "hashes"],
        ("manifest.json", "it cannot be read (Expecting value: line 1 column 1 (char 0))"),
    ),
]


@pytest.mark.parametrize(
    ("harm", "seen_by", "expected"), [(h, s, e) for h, _n, s, e in HARMS], ids=[h[1] for h in HARMS]
)
def test_damage_is_named(
    store: S3Store,
    server: FakeS3,
    harm: t.Callable[[dict[str, Stored]], t.Any],
    seen_by: list[str],
    expected: _manifest.Problem,
) -> None:
    harm(server.objects)
    for check in ("none", "sizes", "hashes"):
        assert problems(store, check) == ([expected] if check in seen_by else [])


def test_all_damages_are_named_at_once(store: S3Store, server: FakeS3) -> None:
    server.objects[TOP + FIRST].data = b"x"
    server.objects[TOP + SECOND].data = b"R" + DATA[1:]
    del server.objects[TOP + "globals.sql.zst"]
    assert [file for file, _reason in problems(store, "hashes")] == [FIRST, SECOND, "globals.sql.zst"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["files"][0].pop("objects"), "it does not list its objects"),
        (lambda m: m.pop("files"), "it does not list its objects"),
        (lambda m: m["files"][0]["objects"][0].update(name="../../other/x"), "cannot name a file"),
        (lambda m: m["files"][0]["objects"][0].pop("sha256"), "without name, bytes or sha256"),
        (lambda m: m.update(schema=2), "its schema is 2"),
        (lambda m: m.update(id="20261125T020000Z-00000000"), "it is that of the set"),
    ],
)
def test_a_manifest_that_is_none_of_an_off_site_set(
    store: S3Store, server: FakeS3, change: t.Callable[[dict[str, t.Any]], t.Any], reason: str
) -> None:
    reseal(server, change)
    ((file, said),) = problems(store, "hashes")
    assert file == "manifest.json"
    assert reason in said


def test_a_store_that_fails_is_an_error_and_no_damage(store: S3Store, server: FakeS3) -> None:
    (entry,) = store.entries()
    server.fail("GetObject", 403, "AccessDenied")
    with pytest.raises(S3Error, match="lack the right"):
        damage(entry, "hashes", store)
    with pytest.raises(ValueError, match="decode is none of"):
        damage(entry, "decode", store)
