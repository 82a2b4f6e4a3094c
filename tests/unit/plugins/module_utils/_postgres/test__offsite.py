# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy off-site, by a server that speaks S3 and the real age: whole, or nothing of it is left."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._offsite import NOTE, Offsite
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Error, S3Store

from .._storage.fake_s3 import Upload

if t.TYPE_CHECKING:
    from .._storage.fake_s3 import FakeS3
    from .conftest import Key

ID = "20261124T020000Z-9f3a1c2e"
OTHER = "20261123T020000Z-00000000"
MANIFEST = f"site/main/{ID}/manifest.json"


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "main"))


def make_set(local: LocalStore, files: dict[str, bytes]) -> _manifest.Manifest:
    """A local set of these files."""
    hidden = local.begin(ID)
    for name, data in files.items():
        Path(hidden, name).parent.mkdir(parents=True, exist_ok=True)
        Path(hidden, name).write_bytes(data)
    listed = [
        {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    ]
    made = _manifest.seal({"schema": 1, "id": ID, "files": listed, "verification": [{"level": "decode", "at": "x"}]})
    local.commit(ID, made)
    return made


FILES = {"databases/app/1.dat": os.urandom(250_000), "databases/app/toc.dat": b"PGDMP", "globals.sql": b"", "ü": b"x"}


def offsite(
    remote: S3Store, local: LocalStore, recipients: t.Sequence[str] = (), runner: Runner | None = None
) -> Offsite:
    return Offsite(remote, local, recipients, False, runner or Runner())


def copy(going: Offsite, local: LocalStore, manifest: _manifest.Manifest, seconds: float = 20) -> _manifest.Manifest:
    return going.copy(ID, local.path(ID), manifest, time.monotonic() + seconds)


def notes(local: LocalStore) -> list[str]:
    return sorted(name for name in os.listdir(local.root) if name.startswith((NOTE, ".tmp")))


def assert_nothing_left(bucket: FakeS3, local: LocalStore) -> None:
    assert (sorted(bucket.objects), bucket.uploads) == ([], {})
    assert notes(local) == []
    assert len(local.entries()) == 1


def test_a_copy_is_the_set_and_its_manifest_comes_last(
    bucket: FakeS3, remote: S3Store, local: LocalStore, nothing_left: None
) -> None:
    manifest = make_set(local, FILES)
    made = copy(offsite(remote, local), local, manifest)
    assert {key.partition(f"{ID}/")[2]: stored.data for key, stored in bucket.objects.items()} == {
        **FILES,
        "manifest.json": json.dumps(made, separators=(",", ":"), ensure_ascii=False).encode("utf-8"),
    }
    writes = [request.key for request in bucket.requests if request.operation in ("PutObject", "UploadPart")]
    assert writes.index(MANIFEST) == len(writes) - 1
    (entry,) = remote.entries()
    assert entry.manifest == made
    assert _manifest.problem(entry) == ""
    assert made["encryption"] == {"method": "none", "recipients": []}
    assert [v["level"] for v in made["verification"]] == ["decode", "read_back"]
    for file in made["files"]:
        remote.read_back(ID, file["objects"])
        assert file["sha256"] == hashlib.sha256(FILES[file["path"]]).hexdigest()
    # The local set is what it was.
    (kept,) = local.entries()
    assert kept.manifest == manifest
    assert notes(local) == []


def test_an_encrypted_copy_is_read_by_the_private_key_alone(
    bucket: FakeS3, remote: S3Store, local: LocalStore, key: Key, nothing_left: None
) -> None:
    going = offsite(remote, local, [key.public])
    going.require_keys()
    made = copy(going, local, make_set(local, FILES))
    assert made["encryption"] == {"method": "age", "recipients": [key.public]}
    for file in made["files"]:
        (listed,) = file["objects"]
        assert listed["name"] == file["path"] + ".age"
        stored = bucket.objects[f"site/main/{ID}/{listed['name']}"].data
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (listed["bytes"], listed["sha256"])
        assert key.decrypt(stored) == FILES[file["path"]]
        assert file["bytes"] == len(FILES[file["path"]])
    assert b"PGDMP" not in b"".join(stored.data for stored in bucket.objects.values())


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "age"])
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"operation": "UploadPart", "status": 403, "code": "AccessDenied", "skip": 1}, "lack the right"),
        ({"operation": "PutObject", "status": 507, "code": "InsufficientStorage", "key": "1.dat"}, "no space left"),
        ({"operation": "CompleteMultipartUpload", "status": 500, "code": "InternalError"}, "it failed"),
        ({"operation": "UploadPart", "then": "flip"}, "is damaged|put .* together"),
        ({"operation": "GetObject", "then": "flip"}, "is damaged"),
        ({"operation": "PutObject", "status": 403, "code": "AccessDenied", "key": "manifest.json"}, "lack the right"),
        ({"operation": "CreateMultipartUpload", "status": 400, "code": "InvalidStorageClass"}, "storage class"),
    ],
    ids=["part", "object", "completing", "stored otherwise", "read otherwise", "manifest", "before"],
)
def test_a_store_that_fails_leaves_nothing(
    bucket: FakeS3,
    remote: S3Store,
    local: LocalStore,
    key: Key,
    fault: dict[str, t.Any],
    sentence: str,
    encrypted: bool,
    nothing_left: None,
) -> None:
    manifest = make_set(local, FILES if fault.get("key") != "1.dat" else {"1.dat": b"x"})
    if encrypted and fault.get("key") == "1.dat":
        fault = {**fault, "key": "1.dat.age"}
    bucket.fail(**fault)
    with pytest.raises(S3Error, match=sentence):
        copy(offsite(remote, local, [key.public] if encrypted else []), local, manifest)
    assert_nothing_left(bucket, local)


def test_a_file_that_fails_ends_the_other_that_is_under_way(
    bucket: FakeS3, remote: S3Store, local: LocalStore, nothing_left: None
) -> None:
    """Here two go at a time; the rest of a large one would take hours."""
    remote = S3Store(dataclasses.replace(remote.options, concurrency=2), "main")
    manifest = make_set(local, {"a": os.urandom(6_000_000), "b": os.urandom(5_000_000), "c": b"x"})
    slow = bucket.fail("UploadPart", key="/a", then="wait", skip=2, times=1)
    bucket.fail("UploadPart", 403, "AccessDenied", key="/b")

    def release() -> None:
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline and not any(
            r.key.endswith("/b") for r in bucket.asked("AbortMultipartUpload")
        ):
            time.sleep(0.01)
        time.sleep(0.1)
        slow.gate.set()

    releasing = threading.Thread(target=release)
    releasing.start()
    with pytest.raises(S3Error, match="lack the right"):
        copy(offsite(remote, local), local, manifest)
    releasing.join()
    # Of 60 parts those that were in flight, and those of the chunk that was being written.
    assert len([r for r in bucket.asked("UploadPart") if r.key.endswith("/a")]) < 45
    assert not [r for r in bucket.requests if r.key.endswith("/c")]
    assert_nothing_left(bucket, local)


def fake_age(directory: Path, script: str) -> Runner:
    (directory / "bin").mkdir()
    (directory / "bin" / "age").write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    (directory / "bin" / "age").chmod(0o755)
    return Runner(path=[str(directory / "bin")])


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("head -c 100000; kill -9 $$", "age was killed by signal 9"),
        ("cat; echo 'age: error: no entropy' >&2; exit 1", "age failed with exit status 1: age: error: no entropy"),
        ("exec sleep 60", f"The copy of set {ID} did not end within its time limit"),
        ("cat; exec sleep 60", f"The copy of set {ID} did not end within its time limit"),
    ],
    ids=["killed", "fails", "hangs", "does not end"],
)
def test_an_age_that_fails_is_the_cause_and_leaves_nothing(
    bucket: FakeS3, remote: S3Store, local: LocalStore, tmp_path: Path, script: str, sentence: str, nothing_left: None
) -> None:
    manifest = make_set(local, {"1.dat": os.urandom(2_000_000)})
    going = offsite(remote, local, ["age1x"], fake_age(tmp_path, script))
    began = time.monotonic()
    with pytest.raises(MaintenanceError, match=sentence):
        copy(going, local, manifest, 1 if "sleep" in script else 20)
    assert time.monotonic() - began < 8
    assert_nothing_left(bucket, local)


def test_a_set_that_has_changed_here_is_not_copied(
    bucket: FakeS3, remote: S3Store, local: LocalStore, nothing_left: None
) -> None:
    manifest = make_set(local, FILES)
    Path(local.path(ID), "ü").write_bytes(b"y")
    with pytest.raises(MaintenanceError, match=f"^Set {ID} has changed since it was made: ü is not what its manifest"):
        copy(offsite(remote, local), local, manifest)
    assert_nothing_left(bucket, local)


def test_a_file_that_is_gone_is_named(
    bucket: FakeS3, remote: S3Store, local: LocalStore, key: Key, nothing_left: None
) -> None:
    manifest = make_set(local, FILES)
    Path(local.path(ID), "ü").unlink()
    for recipients in ([], [key.public]):
        with pytest.raises(MaintenanceError, match=r"/ü cannot be read: No such file or directory\.$"):
            copy(offsite(remote, local, recipients), local, manifest)
        assert_nothing_left(bucket, local)


def test_the_time_limit_ends_a_copy(bucket: FakeS3, remote: S3Store, local: LocalStore, nothing_left: None) -> None:
    manifest = make_set(local, FILES)
    with pytest.raises(MaintenanceError, match="The set was not complete within the time limit"):
        copy(offsite(remote, local), local, manifest, -1)
    assert_nothing_left(bucket, local)


def test_a_store_out_of_reach_is_not_waited_for_again(
    bucket: FakeS3, remote: S3Store, local: LocalStore, nothing_left: None
) -> None:
    """What was uploaded stays for now; the note tells the next run, which clears it up."""
    manifest = make_set(local, {"a": os.urandom(300_000), "b": b"x"})
    remote.require_ready()
    for operation in ("UploadPart", "AbortMultipartUpload", "ListObjectsV2", "HeadObject", "ListMultipartUploads"):
        bucket.fail(operation, then="drop", skip=1 if operation in ("ListObjectsV2", "AbortMultipartUpload") else 0)
    going = offsite(remote, local)
    with pytest.raises(S3Error, match="cannot be reached") as caught:
        copy(going, local, manifest)
    assert caught.value.out_of_reach
    assert len(bucket.asked("ListObjectsV2")) == 2
    assert notes(local) == [NOTE + ID]
    # Still away: it is no failure, and tried again.
    assert (going.left(), going.clear_up()) == ([], [])
    assert notes(local) == [NOTE + ID]
    bucket.faults.clear()
    assert bucket.uploads
    assert going.left() == [ID]
    assert going.clear_up() == [ID]
    assert_nothing_left(bucket, local)


def killed(bucket: FakeS3, remote: S3Store, local: LocalStore, set_id: str) -> None:
    """What an upload that was killed leaves: a note, objects, parts."""
    local.make_root()
    Path(local.root, NOTE + set_id).write_text(remote.root + "\n", encoding="utf-8")
    writer = remote.writer(set_id, "done")
    writer.write(b"x")
    writer.close()
    bucket.uploads[f"of-{set_id}"] = Upload(f"site/main/{set_id}/half", {}, bucket.time, {1: b"x"})


def test_what_killed_uploads_left_is_cleared_up_and_nothing_else(
    bucket: FakeS3, remote: S3Store, local: LocalStore
) -> None:
    copy(offsite(remote, local), local, make_set(local, FILES))
    whole = dict(bucket.objects)
    killed(bucket, remote, local, OTHER)
    # One that was killed after its manifest was there; of another store; and what is no note of ours.
    Path(local.root, NOTE + ID).write_text(remote.root + "\n", encoding="utf-8")
    foreign = Path(local.root, NOTE + "20261122T020000Z-00000000")
    foreign.write_text("s3://elsewhere/main\n", encoding="utf-8")
    Path(local.root, NOTE + "x").write_text(remote.root + "\n", encoding="utf-8")
    Path(local.root, NOTE + "20261121T020000Z-00000000").mkdir()
    before = sorted(os.listdir(local.root))
    going = offsite(remote, local)
    assert going.left() == [OTHER]
    assert (sorted(os.listdir(local.root)), len(bucket.objects), len(bucket.uploads)) == (before, len(whole) + 1, 1)
    assert going.clear_up() == [OTHER]
    assert (bucket.objects, bucket.uploads) == (whole, {})
    assert foreign.exists()
    assert not {NOTE + ID, NOTE + OTHER} & set(notes(local))
    assert going.clear_up() == going.left() == []


def test_what_cannot_be_removed_now_keeps_its_note(bucket: FakeS3, remote: S3Store, local: LocalStore) -> None:
    killed(bucket, remote, local, OTHER)
    bucket.fail("DeleteObjects", 403, "AccessDenied")
    assert offsite(remote, local).clear_up() == []
    assert notes(local) == [NOTE + OTHER]


def test_without_notes_nothing_is_asked(bucket: FakeS3, remote: S3Store, local: LocalStore) -> None:
    going = offsite(remote, local)
    assert (going.left(), going.clear_up()) == ([], [])
    assert bucket.requests == []


def test_the_note_is_there_before_the_first_object_and_gone_after_the_manifest(
    bucket: FakeS3, remote: S3Store, local: LocalStore
) -> None:
    going = offsite(remote, local)
    old = os.umask(0o077)
    try:
        with going.uploading(ID):
            assert notes(local) == [NOTE + ID]
            assert Path(local.root, NOTE + ID).read_text(encoding="utf-8") == "s3://backups/site/main\n"
            assert bucket.objects == {}
    finally:
        os.umask(old)
    assert notes(local) == []
    # Whoever dumps later must pass through it.
    assert os.stat(local.root).st_mode & 0o777 == 0o711


def test_a_note_that_cannot_be_written_is_said_before_anything_is_uploaded(
    bucket: FakeS3, remote: S3Store, local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(
            MaintenanceError, match=f"^The note of an upload cannot be written to {local.root}: No space left"
        ),
        offsite(remote, local).uploading(ID),
    ):
        raise AssertionError("it went on")
    assert (bucket.objects, bucket.uploads, notes(local)) == ({}, {}, [])


@pytest.mark.parametrize("fails", [False, True])
def test_a_note_that_cannot_be_removed_hides_nothing(
    bucket: FakeS3, remote: S3Store, local: LocalStore, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_set(local, FILES)

    def readonly(path: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "unlink", readonly)
    if fails:
        bucket.fail("PutObject", 403, "AccessDenied")
        with pytest.raises(S3Error, match="lack the right"):
            copy(offsite(remote, local), local, manifest)
    else:
        copy(offsite(remote, local), local, manifest)
        assert remote.has(ID)
    monkeypatch.undo()


def test_a_store_that_cannot_be_used_is_said_before_a_note_is_written(
    bucket: FakeS3, remote: S3Store, local: LocalStore
) -> None:
    bucket.fail("CreateMultipartUpload", 403, "AccessDenied")
    with pytest.raises(S3Error, match="lack the right"), offsite(remote, local).uploading(ID):
        raise AssertionError("it went on")
    assert not os.path.exists(local.root)


def test_an_error_after_the_manifest_is_there_is_shown_as_it_is(
    bucket: FakeS3, remote: S3Store, local: LocalStore
) -> None:
    """A complete set is never discarded, and why it went wrong is not hidden by that."""
    going = offsite(remote, local)
    with pytest.raises(KeyError, match="later"), going.uploading(ID):
        remote.commit(ID, {"files": []})
        raise KeyError("later")
    assert remote.has(ID)


SECRETS = ["app/.env.production", "app/tls.key", "app/b.key", "the hashes of the roles' passwords"]


@pytest.mark.parametrize(
    ("secrets", "sentence"),
    [
        (SECRETS[:1], r"and holds secrets: app/\.env\.production\.$"),
        (SECRETS[:3], r"and holds secrets: app/\.env\.production, app/tls\.key, app/b\.key\.$"),
        (SECRETS, r"app/b\.key and 1 more\.$"),
    ],
)
def test_secrets_do_not_leave_in_the_clear(
    remote: S3Store, local: LocalStore, secrets: list[str], sentence: str
) -> None:
    with pytest.raises(MaintenanceError, match=sentence) as caught:
        offsite(remote, local).require_secrecy(secrets)
    assert caught.value.message.startswith("The set would go to s3://backups/site/main unencrypted")
    assert "maintenance_backup_recipients" in caught.value.remedy


def test_secrets_may_leave_encrypted_or_when_it_is_allowed(remote: S3Store, local: LocalStore) -> None:
    offsite(remote, local).require_secrecy([])
    offsite(remote, local, ["age1x"]).require_secrecy(SECRETS)
    Offsite(remote, local, [], True, Runner()).require_secrecy(SECRETS)


def test_two_copies_of_one_set_are_refused(bucket: FakeS3, remote: S3Store, local: LocalStore) -> None:
    """Somebody else completed it meanwhile: what is there stays."""
    manifest = make_set(local, {"a": b"x"})
    copy(offsite(remote, local), local, manifest)
    with pytest.raises(MaintenanceError, match="it is there already"):
        copy(offsite(remote, local), local, manifest)
    (entry,) = remote.entries()
    assert entry.manifest
    remote.read_back(ID, entry.manifest["files"][0]["objects"])
