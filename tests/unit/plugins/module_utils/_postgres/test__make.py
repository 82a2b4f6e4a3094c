# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets with files, copies off-site and sets that go there at once: all of it agrees, or nothing is left anywhere."""

from __future__ import annotations

import datetime
import hashlib
import os
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _archive, _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._backup import Backup, Result
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._dump import Dumper
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._offsite import NOTE, Offsite
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._request import Request
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Store

if t.TYPE_CHECKING:
    from .._storage.fake_s3 import FakeS3
    from .conftest import FakeServer, Key

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)
READING = {"ListObjectsV2", "GetObject", "HeadObject"}
MANY = 1_000_000


class Site:
    """A server, an application's directory, a local store and one off-site."""

    def __init__(self, server: FakeServer, bucket: FakeS3, remote: S3Store, top: Path, key: Key) -> None:
        self.server = server
        self.bucket = bucket
        self.remote = remote
        self.store = LocalStore(str(top / "sets" / "main"))
        self.app = top / "app"
        (self.app / "uploads").mkdir(parents=True)
        (self.app / "uploads" / "a\nb.png").write_bytes(os.urandom(300_000))
        (self.app / ".env.production").write_text("SECRET=hunter22", encoding="utf-8")
        # Each file that is encrypted is a program more.
        self.key = key
        self.recipients: list[str] = []
        self.secrets_allowed = True
        self.runner = Runner()
        self.place: dict[str, t.Any] = {"name": "app", "path": str(self.app)}

    def request(self, **more: t.Any) -> Request:
        places = tuple(_archive.places([self.place]))
        return Request(**{"databases": ["app"], "min_free": "0%", "places": places, **more})

    def take(self, offsite: bool = True, check_mode: bool = False, hours: float = 0, **more: t.Any) -> Result:
        going = Offsite(self.remote, self.store, self.recipients, self.secrets_allowed, self.runner)
        now = NOW + datetime.timedelta(hours=hours)
        backup = Backup(self.server, self.store, self.runner, going if offsite else None, lambda: now)
        return backup.take(self.request(**more), check_mode)

    def state(self) -> tuple[t.Any, ...]:
        """All that could have been changed anywhere."""
        files = {
            str(path): path.read_bytes() if path.is_file() else b"" for path in Path(self.store.root).parent.rglob("*")
        }
        return files, {key: stored.data for key, stored in self.bucket.objects.items()}, dict(self.bucket.uploads)

    def earlier(self) -> None:
        """A set that lies here and off-site already."""
        set_id = "20261101T020000Z-00000000"
        self.store.begin(set_id)
        self.store.commit(set_id, {"files": []})
        self.remote.commit(set_id, {"files": []})

    def encrypt(self, script: str) -> None:
        """Let another program stand for age, which encrypts no more than the canary."""
        self.recipients = [self.key.public]
        canary = '[ "$(head -c 6)" = canary ] && { printf canary | /usr/bin/age "$@"; exit; }'
        self.fake("age", f"{canary}; {script}")

    def fake(self, program: str, script: str) -> None:
        """Let another program stand for one."""
        place = self.app.parent / "bin" / program
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        place.chmod(0o755)
        self.runner = Runner(path=[str(place.parent)])
        self.server.runner = self.runner


@pytest.fixture
def site(
    server: FakeServer,
    bucket: FakeS3,
    remote: S3Store,
    key: Key,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nothing_left: None,
) -> t.Iterator[Site]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield Site(server, bucket, remote, tmp_path, key)
    assert list(temporary.iterdir()) == []


def objects(site: Site, manifest: _manifest.Manifest, key: Key) -> dict[str, bytes]:
    """The files of a set off-site, put together and decrypted."""
    top = f"site/main/{manifest['id']}/"
    parts = {
        file["path"]: b"".join(site.bucket.objects[top + each["name"]].data for each in file["objects"])
        for file in manifest["files"]
    }
    return {path: key.decrypt(data) if site.recipients else data for path, data in parts.items()}


def names(archive: bytes) -> set[str]:
    argv = ["tar", "--list", "--zstd", "--file=-", "--quoting-style=escape"]
    return set(subprocess.run(argv, input=archive, check=True, capture_output=True).stdout.decode().splitlines())


def test_files_lie_in_the_set_and_are_counted(site: Site) -> None:
    result = site.take(offsite=False, tags=("pre-upgrade", "weekly"), release="v1")
    assert result.manifest
    (archive,) = result.manifest["archives"]
    assert (archive["name"], archive["file"], archive["members"]) == ("app", "files/app.tar.zst", 4)
    assert (archive["path"], archive["include"], archive["changed_while_read"]) == (str(site.app), ["."], False)
    assert archive["secrets"] == [".env.production"]
    assert result.manifest["tags"] == ["pre-upgrade", "weekly"]
    assert archive["file"] in {file["path"] for file in result.manifest["files"]}
    (entry,) = site.store.entries()
    assert _manifest.damage(entry, "decode", Runner()) == []
    path = Path(entry.path, archive["file"])
    assert names(path.read_bytes()) == {"./", "./.env.production", "./uploads/", "./uploads/a\\nb.png"}
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert site.bucket.requests == []
    assert result.offsite == ""
    # The closest look finds an archive that lost its end.
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert [problem[0] for problem in _manifest.damage(entry, "decode", Runner())] == ["files/app.tar.zst"]


def test_a_set_is_taken_and_copied_off_site_encrypted(site: Site, key: Key) -> None:
    site.recipients = [key.public]
    result = site.take()
    assert result.manifest
    (local,) = site.store.entries()
    (remote,) = site.remote.entries()
    assert local.manifest == result.manifest
    assert remote.manifest
    assert _manifest.problem(remote) == ""
    held = objects(site, remote.manifest, key)
    assert held == {path: Path(local.path, path).read_bytes() for path in held}
    assert set(held) == {file["path"] for file in result.manifest["files"]}
    assert (result.changed, result.path, result.offsite) == (True, local.path, f"s3://backups/site/main/{local.id}")
    assert "Copied to s3://backups/site/main and read back" in result.msg
    assert not any("hunter22" in repr(stored.data) for stored in site.bucket.objects.values())
    # Again: nothing to do, nowhere.
    before = site.state()
    again = site.take(max_age=39600, hours=1)
    assert (again.changed, again.offsite, site.state()) == (False, result.offsite, before)


def test_a_set_is_streamed_off_site_and_nothing_of_it_is_staged_here(site: Site, key: Key) -> None:
    site.recipients = [key.public]
    site.server.rows[103] = 200_000
    result = site.take(stream=True, tags=("x",))
    (entry,) = site.remote.entries()
    manifest = entry.manifest
    assert manifest
    assert manifest == result.manifest
    assert _manifest.problem(entry) == ""
    assert (result.path, result.offsite) == (entry.path, entry.path)
    (database,) = manifest["databases"]
    assert (database["format"], database["path"], database["rows_total"]) == (
        "custom",
        "databases/app/dump.custom",
        200_003,
    )
    assert manifest["tags"] == ["x"]
    assert [v["level"] for v in manifest["verification"]] == ["decode", "read_back"]
    held = objects(site, manifest, key)
    assert set(held) == {"databases/app/dump.custom", "files/app.tar.zst", "globals.sql.zst"}
    assert held["databases/app/dump.custom"].count(b"row\n") == 200_003
    assert names(held["files/app.tar.zst"]) == {"./", "./.env.production", "./uploads/", "./uploads/a\\nb.png"}
    script = subprocess.run(["zstd", "-dcq"], input=held["globals.sql.zst"], check=True, capture_output=True).stdout
    assert script.decode() == site.server.globals_text
    for file in manifest["files"]:
        assert (file["bytes"], file["sha256"]) == (
            len(held[file["path"]]),
            hashlib.sha256(held[file["path"]]).hexdigest(),
        )
    assert os.listdir(site.store.root) == []
    assert site.server.sessions == 0


@pytest.mark.parametrize("compress", ["none", "gzip:1"])
def test_it_is_streamed_however_it_is_compressed(site: Site, key: Key, compress: str) -> None:
    manifest = site.take(stream=True, compress=compress).manifest
    assert manifest
    assert len(objects(site, manifest, key)) == 3


FAULTS: list[tuple[str, t.Callable[[Site], t.Any], str]] = [
    ("rows", lambda s: s.server.dumped_rows.update({101: 2}), "it holds 2 rows of public.t101 instead of 3"),
    ("unknown", lambda s: s.server.extra.update({103: 1}), "it holds rows of 1 table"),
    ("pg_dump", lambda s: setattr(s.server, "stream_command", "kill -9 $$"), "pg_dump of app was killed by signal 9"),
    ("pg_restore", lambda s: setattr(s.server, "restore_command", "exit 1"), "cannot be decoded to its end"),
    ("session", lambda s: s.server.rows.update({0: -1}), "negative"),
    ("globals", lambda s: setattr(s.server, "globals_text", "CREATE"), "did not write the roles to their end"),
    ("tar", lambda s: s.fake("tar", "exec kill -9 $$"), "Archiving app failed: tar was killed by signal 9"),
    ("zstd", lambda s: s.fake("zstd", 'case "$*" in *-2*) exit 5;; esac; exec /usr/bin/zstd "$@"'), "Archiving app"),
    (
        "members",
        lambda s: s.fake(
            "tar", 'case $1 in --list) /usr/bin/tar "$@" | sed -n 1,2p; exit;; esac; exec /usr/bin/tar "$@"'
        ),
        "files/app.tar.zst: it holds 2 members instead of 4",
    ),
    ("age", lambda s: s.encrypt("head -c 100; kill -9 $$"), "age was killed by signal 9"),
    ("store", lambda s: s.bucket.fail("UploadPart", 403, "AccessDenied"), "lack the right"),
    ("full", lambda s: s.bucket.fail("PutObject", 507, "InsufficientStorage"), "no space left"),
    ("damage", lambda s: s.bucket.fail("GetObject", then="flip"), "is damaged"),
    ("manifest", lambda s: s.bucket.fail("PutObject", 403, "AccessDenied", key="manifest.json"), "lack the right"),
]


@pytest.mark.parametrize(("spoil", "sentence"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_stream_that_fails_leaves_nothing_anywhere(
    site: Site, spoil: t.Callable[[Site], t.Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.earlier()
    before = site.state()
    if sentence == "negative":

        def refuse(*_args: object) -> t.NoReturn:
            raise MaintenanceError("negative")

        monkeypatch.setattr(Dumper, "_count_rows", refuse)
    site.server.rows[104] = 300_000
    spoil(site)
    with pytest.raises(MaintenanceError, match=sentence) as caught:
        site.take(stream=True)
    site.bucket.faults.clear()
    assert site.state() == before
    found = [f["check"] for f in caught.value.details.get("findings", [])]
    assert ("backup.offsite" in found) == ("right" in sentence or "space" in sentence or "damaged" in sentence)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: setattr(s.server, "stream_command", "exec sleep 60"), "The dump of app did not end within its time"),
        (lambda s: setattr(s.server, "restore_command", "exec sleep 60"), "did not end within its time limit"),
        (lambda s: s.fake("tar", "exec sleep 60"), "Archiving app did not end within its time limit"),
        (
            lambda s: s.fake("tar", 'case $1 in --list) exec sleep 60;; esac; exec /usr/bin/tar "$@"'),
            "(Archiving app|Decoding an archive) did not end within its time limit",
        ),
        (lambda s: s.encrypt("exec sleep 60"), "The dump of app did not end within its time limit"),
    ],
    ids=["pg_dump", "pg_restore", "tar", "tar that lists", "age"],
)
def test_a_stream_with_a_part_that_hangs_ends_in_time_and_leaves_nothing(
    site: Site, spoil: t.Callable[[Site], t.Any], sentence: str
) -> None:
    site.server.rows[104] = 10 if "rchiv" in sentence else MANY
    (site.app / "large").write_bytes(os.urandom(8_000_000))
    spoil(site)
    began = time.monotonic()
    with pytest.raises(MaintenanceError, match=sentence):
        site.take(stream=True, timeout=1)
    assert time.monotonic() - began < 12
    assert site.state()[1:] == ({}, {})
    assert os.listdir(site.store.root) == []


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s.fake("tar", "exec kill -9 $$"), "Archiving app failed: tar was killed by signal 9"),
        (
            lambda s: s.fake(
                "tar", 'case $1 in --list) /usr/bin/tar "$@" | sed -n 1,2p; exit;; esac; exec /usr/bin/tar "$@"'
            ),
            "The archive app is not what .*: files/app.tar.zst: it holds 2 members instead of 4",
        ),
        (
            lambda s: s.fake("tar", 'case $1 in --list) exit 2;; esac; exec /usr/bin/tar "$@"'),
            "files/app.tar.zst: it cannot be decoded to its end",
        ),
        (
            lambda s: s.fake("tar", "for w; do case $w in --index-file=*) echo ./ >${w#*=};; esac; done"),
            "files/app.tar.zst: it cannot be decoded to its end|it holds 0 members instead of 1",
        ),
    ],
    ids=["killed", "fewer members", "undecodable", "empty"],
)
def test_an_archive_that_fails_leaves_no_local_set(site: Site, spoil: t.Callable[[Site], t.Any], sentence: str) -> None:
    site.earlier()
    before = site.state()
    spoil(site)
    with pytest.raises(MaintenanceError, match=sentence):
        site.take(offsite=False)
    assert site.state() == before


def test_what_fails_while_it_is_copied_leaves_the_local_set_and_the_next_run_only_copies(site: Site) -> None:
    site.bucket.fail("UploadPart", 403, "AccessDenied")
    with pytest.raises(
        MaintenanceError, match=r"^Set \S+ is whole in .*/main/\S+, but not off-site: .* lack the right"
    ) as e:
        site.take()
    assert {f["check"]: f["status"] for f in e.value.details["findings"]} == {
        "database.reachable": "ok",
        "backup.verified": "ok",
        "backup.offsite": "critical",
    }
    (entry,) = site.store.entries()
    assert site.state()[1:] == ({}, {})
    site.bucket.faults.clear()
    dumps = len(site.server.dumps)
    foreseen = site.take(check_mode=True, max_age=39600, hours=1)
    assert (foreseen.changed, foreseen.offsite) == (True, "")
    assert "would be copied to s3://backups/site/main" in foreseen.msg
    result = site.take(max_age=39600, hours=1)
    assert (result.changed, result.offsite) == (True, f"s3://backups/site/main/{entry.id}")
    assert len(site.server.dumps) == dumps
    assert [e.id for e in site.remote.entries()] == [entry.id]


@pytest.mark.parametrize("stream", [False, True])
def test_check_mode_writes_nothing_anywhere(site: Site, stream: bool) -> None:
    result = site.take(check_mode=True, stream=stream)
    how = "straight to" if stream else "and copied to"
    assert f"would be taken {how} s3://backups/site/main" in result.msg
    assert (result.changed, result.manifest, result.offsite) == (True, None, "")
    assert not os.path.exists(site.store.root)
    assert {request.operation for request in site.bucket.requests} <= READING
    # What would be cleared up stays, and what is there is found.
    site.take(stream=stream)
    note = Path(site.store.root, NOTE + "20261123T020000Z-00000000")
    note.write_text(site.remote.root, encoding="utf-8")
    site.bucket.requests.clear()
    before = site.state()
    result = site.take(check_mode=True, stream=stream, max_age=39600, hours=1)
    assert site.state() == before
    assert {request.operation for request in site.bucket.requests} <= READING
    assert (result.changed, result.swept) == (False, ["20261123T020000Z-00000000"])
    assert result.offsite
    assert result.offsite.endswith(next(site.remote.entries()).id)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_store_that_cannot_be_asked_is_a_finding(site: Site, stream: bool, check_mode: bool) -> None:
    site.take(stream=stream)
    for operation in READING:
        site.bucket.fail(operation, 403, "AccessDenied")
    with pytest.raises(MaintenanceError, match="lack the right") as caught:
        site.take(stream=stream, check_mode=check_mode, max_age=39600, hours=1)
    assert caught.value.details["findings"][-1]["check"] == "backup.offsite"


def test_what_a_killed_upload_left_is_cleared_up_by_the_next_run(site: Site) -> None:
    Path(site.store.root).mkdir(parents=True)
    Path(site.store.root, NOTE + "20261123T020000Z-00000000").write_text(site.remote.root + "\n", encoding="utf-8")
    writer = site.remote.writer("20261123T020000Z-00000000", "half")
    writer.write(b"x")
    writer.close()
    assert site.take().swept == ["20261123T020000Z-00000000"]
    assert not any("20261123" in key for key in site.bucket.objects)
    assert not [name for name in os.listdir(site.store.root) if name.startswith(NOTE)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_young_set_that_lacks_what_is_asked_for_is_not_good_enough(site: Site, stream: bool) -> None:
    site.server.databases.append("second")
    site.take(stream=stream, tags=("weekly",))
    asked: list[tuple[dict[str, t.Any], dict[str, t.Any], bool]] = [
        ({}, {}, False),
        ({}, {"tags": ("weekly",)}, False),
        ({}, {"tags": ("weekly", "pre-upgrade")}, True),
        ({}, {"databases": ["app", "second"]}, True),
        ({}, {"places": ()}, False),
        ({"name": "other"}, {}, True),
        ({"include": ["uploads"]}, {}, True),
        ({"exclude": ["*.tmp"]}, {}, True),
    ]
    for place, more, taken in asked:
        before = dict(site.place)
        site.place.update(place)
        assert site.take(stream=stream, check_mode=True, max_age=39600, hours=1, **more).changed is taken, (place, more)
        site.place = before


def test_a_young_set_without_roles_is_not_good_enough_when_they_are_asked_for(site: Site) -> None:
    site.take(with_globals=False)
    assert not site.take(with_globals=False, max_age=39600).changed
    assert site.take(max_age=39600).changed


def test_a_young_set_off_site_that_was_spoilt_is_not_good_enough(site: Site) -> None:
    site.take(stream=True)
    (manifest,) = [key for key in site.bucket.objects if key.endswith("manifest.json")]
    site.bucket.objects[manifest].data = site.bucket.objects[manifest].data.replace(b'"bytes":', b'"bytes": ')
    assert not site.take(stream=True, max_age=39600, hours=1).changed
    site.bucket.objects[manifest].data = site.bucket.objects[manifest].data.replace(b'"release', b'"Release')
    site.bucket.objects[manifest].data = site.bucket.objects[manifest].data.replace(
        b'"rows_total":3', b'"rows_total":4'
    )
    assert site.take(stream=True, max_age=39600, hours=1).changed


@pytest.mark.parametrize("stream", [False, True])
def test_secrets_are_refused_in_the_clear_before_anything_is_touched(site: Site, stream: bool) -> None:
    site.secrets_allowed = False
    with pytest.raises(MaintenanceError, match=r"holds secrets: app/\.env\.production, the hashes of the roles' passw"):
        site.take(stream=stream)
    assert not os.path.exists(site.store.root)
    assert site.bucket.objects == {}
    # Neither, and there is none; or it may.
    site.place["exclude"] = [".env*"]
    site.server.sees_passwords = False
    assert site.take(stream=stream).changed
    site.place["exclude"] = []
    site.server.sees_passwords = True
    with pytest.raises(MaintenanceError, match="holds secrets"):
        site.take(stream=stream)
    site.secrets_allowed = True
    assert site.take(stream=stream).changed


def test_an_earlier_set_may_hold_secrets_that_are_not_asked_for_now(site: Site) -> None:
    """It was taken while nothing left the host."""
    site.take(offsite=False)
    site.secrets_allowed = False
    site.server.sees_passwords = False
    narrow: dict[str, t.Any] = {"places": (), "with_globals": False, "max_age": 39600, "hours": 1}
    for check_mode in (True, False):
        with pytest.raises(MaintenanceError, match=r"holds secrets: app/\.env\.production, the hashes"):
            site.take(check_mode=check_mode, **narrow)
    assert site.bucket.objects == {}
    site.secrets_allowed = True
    assert site.take(**narrow).changed


def test_keys_are_refused_before_the_server_is_asked(site: Site) -> None:
    site.recipients = ["age1qqq"]
    site.server.fail_at = "session"
    with pytest.raises(MaintenanceError, match="Nothing can be encrypted to the recipient 'age1qqq'"):
        site.take()


def test_what_is_not_as_somebody_may_think_is_a_warning(site: Site) -> None:
    (site.app / "logs").symlink_to("/var/log/app")
    site.place |= {"include": ["uploads", "logs", "none"], "optional": True}
    result = site.take(offsite=False)
    assert result.warnings == [
        f"app: there is no none in {site.app}.",
        "app: logs is a symbolic link; what it leads to is not in the set.",
    ]
    site.place["include"] = ["uploads"]
    assert site.take(offsite=False).warnings == []


def test_sets_within_their_own_archive_are_refused(site: Site) -> None:
    site.place["path"] = str(site.app.parent)
    for offsite in (False, True):
        with pytest.raises(MaintenanceError, match=r"the backup sets themselves lie in .*, in sets/main"):
            site.take(offsite=offsite)
    assert not os.path.exists(site.store.root)


def test_files_count_for_the_space_that_is_needed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalStore, "free", lambda self: (100_000, 10**9))
    with pytest.raises(MaintenanceError, match="The set may take 3"):
        site.take(offsite=False)
    # What goes off-site at once takes none here.
    assert site.take(stream=True).changed
    monkeypatch.setattr(LocalStore, "free", lambda self: (10**9, 10**9))
    site.take(offsite=False)
    monkeypatch.setattr(LocalStore, "free", lambda self: (600_000, 10**9))
    assert site.take(offsite=False, check_mode=True).changed
    # Three times as much by now: what the last archive took is no measure.
    (site.app / "more").write_bytes(os.urandom(700_000))
    with pytest.raises(MaintenanceError, match="The set may take 1"):
        site.take(offsite=False, check_mode=True)


def test_a_disk_for_temporary_files_that_is_full_is_one_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_more: object) -> t.NoReturn:
        raise OSError(28, "No space left on device", "/tmp/x")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    for stream, where in ((False, "below .*/sets/main"), (True, "into s3://backups/site/main")):
        with pytest.raises(
            MaintenanceError, match=rf"^The set could not be written {where}: No space left on device \(/tmp/x\)\.$"
        ):
            site.take(stream=stream, offsite=stream)
        assert site.state()[1:] == ({}, {})
    assert os.listdir(site.store.root) == []
