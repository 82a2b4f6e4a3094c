# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set in a bucket exists when its manifest does; what is stored is what was sent, in bounded memory."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import os
import random
import socket
import ssl
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _s3, _s3_client, _s3_upload
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import (
    DamagedError,
    S3Error,
    S3Options,
    S3Store,
    StoredObject,
)

from .fake_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, FakeS3, Stored

ID = "20261124T020000Z-9f3a1c2e"
LATER = "20261125T020000Z-00000001"
NOW = datetime.datetime(2026, 11, 26, 2, tzinfo=datetime.timezone.utc)
PART = 10_000


@pytest.fixture(scope="module")
def running() -> t.Iterator[FakeS3]:
    with FakeS3() as fake:
        yield fake


@functools.cache
def connected(options: S3Options, _attempts: int, _seconds: float) -> t.Any:
    """A client takes long to make, and holds nothing of a test."""
    return _s3_client.connect(options)


@pytest.fixture
def server(running: FakeS3, monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    running.clear()
    monkeypatch.setattr(_s3_upload, "PART_BYTES", PART)
    # One try again, after at most a second.
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 2)
    monkeypatch.setattr(
        _s3, "connect", lambda o, patience=0: connected(o, _s3_client.ATTEMPTS, _s3_client.READ_SECONDS)
    )
    return running


def options(server: FakeS3, **more: t.Any) -> S3Options:
    given = {"endpoint_url": server.url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, **more}
    return S3Options(**{"bucket": BUCKET, "prefix": "site/a", **given})


@pytest.fixture
def store(server: FakeS3) -> S3Store:
    return S3Store(options(server), "main", lambda: NOW)


def key(name: str, set_id: str = ID) -> str:
    return f"site/a/main/{set_id}/{name}"


def put(store: S3Store, name: str, data: bytes, set_id: str = ID) -> list[StoredObject]:
    writer = store.writer(set_id, name)
    writer.write(data)
    return writer.close()


def manifest(objects: t.Iterable[StoredObject], set_id: str = ID) -> dict[str, t.Any]:
    return {"id": set_id, "files": [{"path": "x", "objects": [each._asdict() for each in objects]}]}


def whole(store: S3Store, set_id: str = ID, data: bytes = b"rows") -> list[StoredObject]:
    objects = [*put(store, "databases/1.dat", data, set_id), *put(store, "globals.sql", b"roles", set_id)]
    store.commit(set_id, manifest(objects, set_id))
    return objects


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# What is written


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART])
def test_what_fits_into_one_part_is_put_by_one_request(store: S3Store, server: FakeS3, size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert put(store, "a", data) == [StoredObject("a", size, sha(data))]
    assert [request.operation for request in server.requests] == ["PutObject"]
    assert server.objects[key("a")].data == data


@pytest.mark.parametrize("checksum", ["when_required", "when_supported"])
def test_a_stream_is_put_in_parts_whatever_pieces_it_comes_in(server: FakeS3, checksum: str) -> None:
    store = S3Store(options(server, checksum=checksum), "main")
    chance = random.Random(7)
    server.min_part = PART
    for number in range(20):
        data = chance.randbytes(chance.randrange(PART + 1, 6 * PART))
        writer, place = store.writer(ID, f"f{number}"), 0
        while place < len(data):
            step = chance.choice([1, 7, PART // 2, PART, PART + 1, 3 * PART])
            writer.write(data[place : place + step])
            place += step
        assert writer.close() == [StoredObject(f"f{number}", len(data), sha(data))]
        assert server.objects[key(f"f{number}")].data == data
    assert server.uploads == {}


def test_a_long_stream_becomes_several_objects(store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3Store, "object_bytes", 3 * PART)
    server.max_parts = 3
    data = random.Random(1).randbytes(8 * PART + 5)
    objects = put(store, "dump.custom", data)
    assert [(each.name, each.bytes) for each in objects] == [
        ("dump.custom", 3 * PART),
        ("dump.custom.0001", 3 * PART),
        ("dump.custom.0002", 2 * PART + 5),
    ]
    assert [each.sha256 for each in objects] == [sha(server.objects[key(each.name)].data) for each in objects]
    assert b"".join(store.open(ID, objects)) == data
    # A stream that ends where an object ends leaves no empty one behind.
    assert [each.name for each in put(store, "even", data[: 6 * PART])] == ["even", "even.0001"]


def test_the_writer_waits_while_enough_parts_are_in_flight(server: FakeS3) -> None:
    store = S3Store(options(server, concurrency=2), "main")
    gate = server.fail("UploadPart", then="wait").gate
    writer = store.writer(ID, "a")
    written: list[int] = []

    def feed() -> None:
        for number in range(10):
            writer.write(bytes(PART))
            written.append(number)

    thread = threading.Thread(target=feed)
    thread.start()
    deadline = time.monotonic() + 5
    while server.busy.get("UploadPart", 0) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    thread.join(0.2)
    # Two in flight, one that waits for its turn, and no more was taken.
    assert thread.is_alive()
    assert len(written) == 3
    gate.set()
    thread.join(10)
    assert [each.bytes for each in writer.close()] == [10 * PART]
    assert server.most["UploadPart"] == 2


def test_two_writers_share_the_requests_in_flight(server: FakeS3) -> None:
    store = S3Store(options(server, concurrency=2), "main")
    threads = [threading.Thread(target=put, args=(store, name, bytes(20 * PART))) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {name: len(stored.data) for name, stored in server.objects.items()} == {key(n): 20 * PART for n in "abc"}
    assert server.most["UploadPart"] <= 2


# What protects it on its way


def test_every_body_carries_its_md5_and_no_newer_checksum(store: S3Store, server: FakeS3) -> None:
    whole(store, data=bytes(3 * PART))
    store.remove(ID)
    for operation in ("PutObject", "UploadPart", "DeleteObjects"):
        asked = server.asked(operation)
        assert asked
        assert all("content-md5" in request.headers for request in asked)
    assert not [name for r in server.requests for name in r.headers if "checksum" in name]


def test_where_supported_every_body_carries_a_crc(server: FakeS3) -> None:
    store = S3Store(options(server, checksum="when_supported"), "main")
    whole(store, data=bytes(3 * PART))
    for operation in ("PutObject", "UploadPart"):
        assert all("x-amz-checksum-crc32" in request.headers for request in server.asked(operation))
    (begun,) = server.asked("CreateMultipartUpload")
    assert begun.headers["x-amz-checksum-algorithm"] == "CRC32"
    assert b"<ChecksumCRC32>" in server.asked("CompleteMultipartUpload")[0].body


@pytest.mark.parametrize("checksum", ["when_required", "when_supported"])
@pytest.mark.parametrize(("operation", "size"), [("PutObject", 5), ("UploadPart", 4 * PART)])
def test_bytes_that_change_on_their_way_are_refused(server: FakeS3, operation: str, size: int, checksum: str) -> None:
    store = S3Store(options(server, checksum=checksum), "main")
    server.fail(operation, then="wire")
    with pytest.raises(S3Error, match="bytes were changed on their way"):
        put(store, "a", bytes(size))
    assert (server.objects, server.uploads) == ({}, {})


def test_every_object_gets_class_encryption_and_lock(server: FakeS3) -> None:
    given = options(
        server,
        storage_class="STANDARD_IA",
        sse="aws:kms",
        sse_kms_key_id="key-1",
        object_lock_mode="GOVERNANCE",
        object_lock_days=30,
    )
    whole(S3Store(given, "main", lambda: NOW), data=bytes(2 * PART))
    assert len(server.objects) == 3
    for stored in server.objects.values():
        assert stored.headers["x-amz-storage-class"] == "STANDARD_IA"
        assert stored.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert stored.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
        assert stored.headers["x-amz-object-lock-mode"] == "GOVERNANCE"
        assert stored.headers["x-amz-object-lock-retain-until-date"].startswith("2026-12-26T02:00:00")


# What goes wrong while it is written


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("PutObject", {}),
        ("CreateMultipartUpload", {}),
        ("UploadPart", {}),
        ("UploadPart", {"skip": 2}),
        ("CompleteMultipartUpload", {}),
        ("CompleteMultipartUpload", {"skip": 1}),
    ],
)
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (400, "ExpiredToken"), (507, "")])
def test_an_upload_that_fails_leaves_nothing(
    store: S3Store,
    server: FakeS3,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    more: dict[str, int],
    status: int,
    code: str,
) -> None:
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    monkeypatch.setattr(S3Store, "object_bytes", 5 * PART)
    server.fail(operation, status, code, **more)
    with pytest.raises(S3Error):
        put(store, "a", bytes(3 if operation == "PutObject" else 12 * PART))
    assert (server.objects, server.uploads) == ({}, {})
    assert store.leftovers() == []


def test_more_parts_than_the_server_takes_is_an_error_and_leaves_nothing(store: S3Store, server: FakeS3) -> None:
    server.max_parts = 4
    with pytest.raises(S3Error, match="InvalidPart"):
        put(store, "a", bytes(9 * PART))
    assert (server.objects, server.uploads) == ({}, {})


def test_an_exception_of_the_caller_undoes_the_file(
    store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(S3Store, "object_bytes", 3 * PART)
    with pytest.raises(KeyboardInterrupt), store.writer(ID, "a") as writer:
        writer.write(bytes(8 * PART))
        raise KeyboardInterrupt
    assert (server.objects, server.uploads) == ({}, {})
    assert len(server.asked("UploadPart")) >= 4
    writer.abort()
    with pytest.raises(ValueError, match="has ended"):
        writer.write(b"x")


def test_an_upload_is_aborted_after_its_last_part_arrived(server: FakeS3) -> None:
    """A part that arrives after the abort would be kept, unseen, and paid for."""
    store = S3Store(options(server, concurrency=1), "main")
    gate = server.fail("UploadPart", then="wait").gate
    writer = store.writer(ID, "a")
    writer.write(bytes(PART + 1))
    threading.Timer(0.2, gate.set).start()
    writer.abort()
    assert [r.operation for r in server.requests] == ["CreateMultipartUpload", "UploadPart", "AbortMultipartUpload"]
    assert server.busy["UploadPart"] == 0


def test_nothing_is_asked_of_the_store_for_a_writer_that_wrote_nothing(store: S3Store, server: FakeS3) -> None:
    store.writer(ID, "a").abort()
    assert server.requests == []


def test_a_server_that_is_busy_once_is_asked_again(store: S3Store, server: FakeS3) -> None:
    server.fail("UploadPart", 503, "SlowDown", times=1)
    server.fail("PutObject", then="drop", times=1)
    whole(store, data=bytes(3 * PART))
    assert [entry.id for entry in store.entries()] == [ID]


def test_the_lost_answer_to_the_end_of_an_upload_is_no_failure(store: S3Store, server: FakeS3) -> None:
    server.fail("CompleteMultipartUpload", then="drop", times=1)
    (made,) = put(store, "a", bytes(3 * PART))
    store.read_back(ID, [made])
    assert len(server.asked("CompleteMultipartUpload")) == 2


# What is read back


def test_read_back_writes_what_it_read(store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3, "CHUNK", 1000)
    data = random.Random(2).randbytes(5 * PART)
    objects = [*put(store, "databases/app/1.dat", data), *put(store, "globals", b"g")]
    store.read_back(ID, [each._asdict() for each in objects], str(tmp_path / "into"))
    path = tmp_path / "into" / "databases" / "app" / "1.dat"
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "into" / "globals").read_bytes() == b"g"
    with pytest.raises(MaintenanceError, match="path/globals cannot be written: Not a directory"):
        store.read_back(ID, objects[1:], str(path / "path"))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda data: data[:-1], "it has 39999 bytes instead of 40000"),
        (lambda data: b"", "it has 0 bytes instead of 40000"),
        (lambda data: data + b"x", "or more instead of 40000"),
        (lambda data: data[:100] + b"\x01" + data[101:], "its content has changed"),
        (None, "it is missing"),
    ],
)
def test_an_object_that_is_not_what_was_put_there_is_named(
    store: S3Store, server: FakeS3, harm: t.Optional[t.Callable[[bytes], bytes]], reason: str
) -> None:
    objects = [*put(store, "good", b"x"), *put(store, "bad", bytes(4 * PART)), *put(store, "fine", b"y")]
    if harm is None:
        del server.objects[key("bad")]
    else:
        server.objects[key("bad")].data = harm(bytes(4 * PART))
    with pytest.raises(DamagedError, match=f"s3://{BUCKET}/site/a/main/{ID}/bad is damaged: .*{reason}") as caught:
        store.read_back(ID, objects)
    assert reason in caught.value.reason
    with pytest.raises(DamagedError):
        list(store.open(ID, objects))


def test_a_server_that_says_yes_and_stores_something_else_is_found_out(store: S3Store, server: FakeS3) -> None:
    server.fail("UploadPart", then="flip", times=1, skip=1)
    objects = put(store, "a", bytes(3 * PART))
    with pytest.raises(DamagedError, match="content has changed"):
        store.read_back(ID, objects)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3, "CHUNK", 1000)
    data = random.Random(3).randbytes(4 * PART)
    objects = put(store, "a", data)
    server.fail("GetObject", then="cut", times=3)
    assert b"".join(store.open(ID, objects)) == data
    assert [request.headers.get("range", "")[:6] for request in server.asked("GetObject")] == ["", *["bytes="] * 3]
    assert all("if-match" in request.headers for request in server.asked("GetObject")[1:])
    server.fail("GetObject", then="cut")
    server.objects[key("a")].data = data = random.Random(4).randbytes(400 * PART)
    with pytest.raises(S3Error, match="cannot be reached to get"):
        list(store.open(ID, [StoredObject("a", len(data), sha(data))]))


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(
    store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3, "CHUNK", 1000)
    objects = put(store, "a", bytes(2 * PART))
    server.fail("GetObject", then="cut", times=1)
    chunks = store.open(ID, objects)
    next(chunks)
    server.objects[key("a")].data = b"\x01" * 2 * PART
    with pytest.raises(S3Error, match="PreconditionFailed"):
        list(chunks)


@pytest.mark.parametrize(
    "bad", [{"name": "../x"}, {"name": "/etc/x"}, {"name": "a//b"}, {"name": ""}, {"bytes": None}, {"sha256": "gone"}]
)
def test_a_manifest_cannot_lead_out_of_its_set(store: S3Store, bad: dict[str, t.Any], tmp_path: Path) -> None:
    given = {"name": "a", "bytes": 1, "sha256": sha(b"x"), **bad}
    if bad.get("sha256") == "gone":
        del given["sha256"]
    with pytest.raises(DamagedError):
        store.read_back(ID, [given], str(tmp_path))
    if "name" in bad:
        with pytest.raises(ValueError, match="cannot name a file"):
            store.writer(ID, bad["name"])


# A set comes to be


def test_nothing_is_listed_until_it_is_committed(store: S3Store, server: FakeS3) -> None:
    objects = [*put(store, "databases/1.dat", b"rows"), *put(store, "big", bytes(2 * PART))]
    assert list(store.entries()) == []
    assert store.leftovers() == [ID]
    assert not store.has(ID)
    assert store.commit(ID, manifest(objects)) == f"s3://{BUCKET}/site/a/main/{ID}" == store.path(ID)
    (entry,) = store.entries()
    assert (entry.id, entry.path, entry.manifest, entry.problem) == (ID, store.path(ID), manifest(objects), "")
    assert dict(entry.files) == {"databases/1.dat": 4, "big": 2 * PART}
    assert store.leftovers() == []
    assert store.has(ID)
    written = [r.key for r in server.requests if r.operation in ("PutObject", "CompleteMultipartUpload")]
    assert written[-1] == key("manifest.json")


def test_a_set_whose_objects_are_not_all_there_is_never_visible(store: S3Store, server: FakeS3) -> None:
    objects = [*put(store, "a", b"aa"), *put(store, "b", b"bb")]
    for spoil, said in (
        (lambda: server.objects.pop(key("a")), "a: it is missing"),
        (lambda: server.objects.update({key("a"): Stored(b"x", {}, server.time)}), "a: it has 1 bytes instead of 2"),
        (lambda: server.objects.update({key("c"): Stored(b"x", {}, server.time)}), "c: it does not belong to the set"),
    ):
        before = dict(server.objects)
        spoil()
        with pytest.raises(S3Error, match=f"does not hold what was put there, and does not count: {said}"):
            store.commit(ID, manifest(objects))
        assert not store.has(ID)
        server.objects = before
    with pytest.raises(S3Error, match="a: it is listed twice"):
        store.commit(ID, manifest([*objects, objects[0]]))
    store.commit(ID, manifest(objects))
    with pytest.raises(S3Error, match="it is there already"):
        store.commit(ID, manifest(objects))
    assert store.has(ID)


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("PutObject", {"then": "flip"}),
        ("GetObject", {"then": "flip"}),
        ("GetObject", {"status": 403, "code": "AccessDenied"}),
        ("PutObject", {"status": 403, "code": "AccessDenied"}),
    ],
)
def test_a_manifest_that_did_not_arrive_does_not_count(
    store: S3Store, server: FakeS3, operation: str, more: dict[str, t.Any]
) -> None:
    objects = put(store, "a", b"aa")
    server.fail(operation, key="manifest.json", **more)
    with pytest.raises(S3Error):
        store.commit(ID, manifest(objects))
    assert list(server.objects) == [key("a")]


# The sets are listed


def test_sets_are_listed_oldest_first_and_strangers_not_at_all(store: S3Store, server: FakeS3) -> None:
    server.page = 2
    for set_id in (LATER, ID):
        whole(store, set_id)
    for stranger in ("site/a/main2/" + ID, "site/a/main/notes", "site/a/mai", f"site/a/main/{ID}x"):
        server.objects[f"{stranger}/manifest.json"] = Stored(b"{}", {}, server.time)
    server.objects[f"site/a/main/{ID}"] = Stored(b"", {}, server.time)
    assert [(entry.id, len(entry.files)) for entry in store.entries()] == [(ID, 2), (LATER, 2)]
    assert store.leftovers() == []


def test_a_set_without_prefix_lies_below_the_instance(server: FakeS3) -> None:
    store = S3Store(options(server, prefix=""), "main")
    whole(store)
    assert f"main/{ID}/manifest.json" in server.objects
    assert store.root == f"s3://{BUCKET}/main"


def test_only_a_few_manifests_are_held_at_a_time_whatever_the_number_of_sets(server: FakeS3) -> None:
    server.page = 50
    for number in range(200):
        set_id = f"20261124T020000Z-{number:08x}"
        server.objects[key("manifest.json", set_id)] = Stored(json.dumps({"id": set_id}).encode(), {}, server.time)
    store = S3Store(options(server, concurrency=3), "main")
    entries = store.entries()
    assert next(entries).id == "20261124T020000Z-00000000"
    assert len(server.asked("GetObject")) <= 6
    assert len(server.asked("ListObjectsV2")) == 1
    rest = [(entry.id, (entry.manifest or {}).get("id")) for entry in entries]
    assert rest == [(f"20261124T020000Z-{n:08x}",) * 2 for n in range(1, 200)]
    assert len(server.asked("ListObjectsV2")) == 4
    assert server.most["GetObject"] <= 3


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "cannot be read"), (b"{", "cannot be read"), (b"\xff", "cannot be read"), (b"[]", "no JSON")],
)
def test_a_manifest_that_is_spoilt_is_a_problem_not_a_crash(
    store: S3Store, server: FakeS3, data: bytes, problem: str
) -> None:
    whole(store)
    whole(store, LATER)
    server.objects[key("manifest.json")].data = data
    first, second = store.entries()
    assert (first.id, first.manifest, second.problem) == (ID, None, "")
    assert problem in first.problem


def test_a_manifest_that_is_listed_but_not_given_is_a_problem_and_a_failing_server_an_error(
    store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(store)
    server.fail("GetObject", 404, "NoSuchKey", times=1)
    assert [entry.problem for entry in store.entries()] == ["it cannot be read (NoSuchKey)"]
    monkeypatch.setattr(_s3, "MAX_MANIFEST", 10)
    assert "bytes" in next(store.entries()).problem
    monkeypatch.undo()
    server.fail("GetObject", 500, "InternalError")
    with pytest.raises(S3Error, match="InternalError"):
        list(store.entries())


# A set goes


def test_remove_takes_the_manifest_first_then_the_rest(store: S3Store, server: FakeS3) -> None:
    whole(store)
    whole(store, LATER)
    server.requests.clear()
    store.remove(ID)
    deletes = [(r.operation, r.key) for r in server.requests if r.operation.startswith("Delete")]
    assert deletes == [("DeleteObject", key("manifest.json")), ("DeleteObjects", "")]
    assert [entry.id for entry in store.entries()] == [LATER]
    assert not [name for name in server.objects if ID in name]
    with pytest.raises(S3Error, match="There is no set"):
        store.remove(ID)


def test_a_removal_that_is_cut_short_leaves_no_set_but_a_leftover(store: S3Store, server: FakeS3) -> None:
    whole(store)
    server.fail("DeleteObjects", 403, "AccessDenied", times=1)
    with pytest.raises(S3Error, match="lack the right or Object Lock keeps it"):
        store.remove(ID)
    assert list(store.entries()) == []
    assert store.leftovers() == [ID]
    store.discard(ID)
    assert server.objects == {}


@pytest.mark.parametrize("code", ["NotImplemented", "MissingContentMD5", "MethodNotAllowed"])
def test_a_server_without_batches_is_asked_one_by_one(
    store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    whole(store)
    server.fail("DeleteObjects", 501 if code == "NotImplemented" else 400, code)
    store.remove(ID)
    assert server.objects == {}
    assert len(server.asked("DeleteObject")) == 3


def test_many_objects_go_in_several_batches(store: S3Store, server: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3, "BATCH", 3)
    for number in range(8):
        put(store, str(number), b"")
    store.discard(ID)
    assert server.objects == {}
    assert len(server.asked("DeleteObjects")) == 3


def test_an_object_of_a_batch_that_stays_is_an_error(store: S3Store, server: FakeS3) -> None:
    whole(store)
    server.fail("DeleteObject", 403, "AccessDenied", key="globals.sql")
    with pytest.raises(S3Error, match=r"1 object\(s\) of .* cannot be deleted, such as .*globals.sql: AccessDenied"):
        store.remove(ID)


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("retain-until-date", "2026-11-26T02:00:01Z", "Object Lock keeps set .* until 2026-11-26T02:00:01Z"),
        ("legal-hold", "ON", "legal hold"),
    ],
)
def test_what_is_locked_stays_whole_and_listed(
    store: S3Store, server: FakeS3, header: str, value: str, said: str
) -> None:
    whole(store)
    server.objects[key("manifest.json")].headers[f"x-amz-object-lock-{header}"] = value
    with pytest.raises(S3Error, match=said):
        store.remove(ID)
    assert store.has(ID)
    server.objects[key("manifest.json")].headers[f"x-amz-object-lock-{header}"] = (
        "OFF" if value == "ON" else "2026-11-26T01:59:59Z"
    )
    store.remove(ID)
    assert server.objects == {}


def test_only_what_is_incomplete_can_be_discarded(store: S3Store, server: FakeS3) -> None:
    whole(store)
    with pytest.raises(ValueError, match="interrupted run"):
        store.discard(ID)
    for stranger in ("", "x", "../main2", ".", "*"):
        with pytest.raises(ValueError, match="is no set"):
            store.discard(stranger)
        with pytest.raises(ValueError, match="is no set"):
            store.remove(stranger)
    assert store.has(ID)


def test_discard_ends_what_a_killed_upload_left(store: S3Store, server: FakeS3) -> None:
    server.page = 1
    put(store, "done", b"x")
    for name in ("half", "half2"):
        store.writer(ID, name).write(bytes(2 * PART))
    store.writer(LATER, "other").write(bytes(2 * PART))
    _wait_for(lambda: len(server.uploads) == 3 and server.busy["UploadPart"] == 0)
    assert store.leftovers() == [ID, LATER]
    store.discard(ID)
    assert [upload.key for upload in server.uploads.values()] == [key("other", LATER)]
    assert server.objects == {}
    assert store.leftovers() == [LATER]


def test_a_server_that_cannot_list_uploads_is_not_asked_for_them(store: S3Store, server: FakeS3) -> None:
    server.fail("ListMultipartUploads", 501, "NotImplemented")
    put(store, "a", b"x")
    assert store.leftovers() == [ID]
    store.discard(ID)
    assert store.leftovers() == []


def test_sweep_leaves_what_is_young_or_complete(store: S3Store, server: FakeS3) -> None:
    old, young, late, done, begun = (f"20261124T020000Z-0000000{n}" for n in range(1, 6))
    server.time = "2026-11-24T02:00:00.000Z"
    for set_id in (old, late):
        put(store, "a", b"x", set_id)
    whole(store, done)
    for set_id in (begun, done):
        store.writer(set_id, "b").write(bytes(2 * PART))
    _wait_for(lambda: len(server.uploads) == 2 and server.busy["UploadPart"] == 0)
    server.time = "2026-11-25T03:00:00.000Z"
    for set_id in (young, late):
        put(store, "b", b"x", set_id)
    assert store.sweep(datetime.timedelta(days=1)) == sorted([old, done, begun])
    assert server.uploads == {}
    assert store.has(done)
    assert store.leftovers() == [young, late]


# Before anything is done


def test_a_bucket_that_can_be_used_is_ready_and_left_as_it_was(store: S3Store, server: FakeS3) -> None:
    store.require_ready()
    assert {r.operation for r in server.requests} == {"ListObjectsV2"}
    store.require_ready(writing=True)
    assert (server.objects, server.uploads) == ({}, {})


def test_a_key_that_cannot_write_is_refused_before_anything_is_written(store: S3Store, server: FakeS3) -> None:
    server.fail("CreateMultipartUpload", 403, "AccessDenied")
    store.require_ready()
    with pytest.raises(S3Error, match="the credentials lack the right"):
        store.require_ready(writing=True)


def test_object_lock_is_refused_where_the_bucket_has_none(server: FakeS3) -> None:
    store = S3Store(options(server, object_lock_mode="COMPLIANCE", object_lock_days=1), "main")
    with pytest.raises(S3Error, match="the bucket has no Object Lock"):
        store.require_ready(writing=True)
    server.locking = True
    store.require_ready(writing=True)
    (begun,) = server.asked("CreateMultipartUpload")
    assert begun.headers["x-amz-object-lock-mode"] == "COMPLIANCE"


ERRORS = [
    (403, "InvalidAccessKeyId", "does not know the access key", "access_key"),
    (403, "SignatureDoesNotMatch", "the secret key is wrong", "secret_key"),
    (403, "AccessDenied", "the credentials lack the right", "rights to list"),
    (400, "ExpiredToken", "the session token has expired", "session_token"),
    (403, "RequestTimeTooSkewed", "the clock of this host is wrong", "Set it"),
    (404, "NoSuchBucket", "there is no such bucket", "bucket"),
    (503, "SlowDown", "it was too busy, 2 times", "concurrency"),
    (500, "InternalError", "it failed, 2 times", "log"),
    (400, "AuthorizationHeaderMalformed", "another region", "region"),
    (507, "XMinioStorageFull", "no space left", "room"),
    (418, "Teapot", "it refused \\(Teapot: Because of Teapot\\)", "option s3"),
    (403, "", "the credentials lack the right", "rights"),
]


@pytest.mark.parametrize(("status", "code", "said", "remedy"), ERRORS)
def test_every_refusal_is_one_sentence_and_a_remedy(
    store: S3Store, server: FakeS3, status: int, code: str, said: str, remedy: str
) -> None:
    server.fail("ListObjectsV2", status, code)
    with pytest.raises(S3Error, match=said) as caught:
        store.require_ready()
    assert caught.value.message.startswith(f"The store {server.url} did not let us list the bucket {BUCKET}: ")
    assert caught.value.message.endswith(").")
    assert remedy in caught.value.remedy
    assert SECRET_KEY not in repr(caught.value.__dict__)


def test_no_secret_that_a_server_repeats_gets_out(server: FakeS3) -> None:
    store = S3Store(options(server, session_token="token-0xFEED"), "main")
    server.fail("ListObjectsV2", 400, f"{SECRET_KEY} token-0xFEED")
    with pytest.raises(S3Error) as caught:
        store.require_ready()
    assert SECRET_KEY not in caught.value.message
    assert "0xFEED" not in caught.value.message
    assert SECRET_KEY not in repr(store.options)
    assert "0xFEED" not in repr(store.options)


def test_a_server_that_is_not_there(server: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(S3Error, match=f"{address} cannot be reached to list .*: it refuses connections"):
        S3Store(options(server, endpoint_url=address), "main").require_ready()

    def unresolved(*_args: object, **_more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(S3Error, match="its name does not resolve"):
        S3Store(options(server, endpoint_url="http://store.invalid"), "main").require_ready()


def test_a_server_that_hangs_ends_at_a_time_limit(server: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3_client, "LEAST_READ_SECONDS", 0.1)
    monkeypatch.setattr(_s3, "connect", _s3_client.connect)
    # Two attempts of 0.2 seconds each.
    store = S3Store(options(server), "main", patience=0.4)
    server.fail("ListObjectsV2", then="wait")
    began = time.monotonic()
    with pytest.raises(S3Error, match="it stopped answering, 2 times"):
        store.require_ready()
    assert time.monotonic() - began < 5


def test_a_certificate_that_nobody_signed_is_refused(
    server: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", private, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    address = server.url.replace("http:", "https:")
    with pytest.raises(S3Error, match="it does not speak TLS"):
        S3Store(options(server, endpoint_url=address), "main").require_ready()
    with FakeS3(context) as secured:
        with pytest.raises(S3Error, match=r"its TLS certificate is not trusted \(self.signed certificate\)") as caught:
            S3Store(options(secured), "main").require_ready()
        assert "ca_cert" in caught.value.remedy
        for checksum in ("when_required", "when_supported"):
            store = S3Store(options(secured, ca_cert=str(cert), checksum=checksum), checksum)
            store.require_ready(writing=True)
            store.read_back(ID, whole(store, data=bytes(3 * PART)))


def test_without_boto3_the_way_to_get_it_is_told(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3, "connect", _s3_client.connect)
    monkeypatch.setattr(_s3_client, "HAS_BOTOCORE", False)
    with pytest.raises(S3Error, match="boto3 is not installed") as caught:
        store.require_ready()
    assert "playbooks/prepare.yml" in caught.value.remedy


def test_without_a_key_botos_own_chain_is_used(server: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3, "connect", _s3_client.connect)
    store = S3Store(options(server, access_key="", secret_key=""), "main")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(S3Error, match="this host has no credentials for it"):
        store.require_ready()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    S3Store(options(server, access_key="", secret_key=""), "main").require_ready()


def test_a_bad_name_of_a_server_is_refused_and_nothing_contacted(server: FakeS3) -> None:
    for instance in ("", "../x", "a/b", "main\n"):
        with pytest.raises(MaintenanceError, match="must be a plain name"):
            S3Store(options(server), instance)
    S3Store(options(server), "main")
    assert server.requests == []


def _wait_for(condition: t.Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
