# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing sets, from a directory and from a bucket alike: what was planned, whole sets only, whatever goes wrong."""

from __future__ import annotations

import datetime
import os
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _prune, _stores
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._retention import Policy
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _local, _s3_client
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Options, S3Store

from .._storage.fake_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, FakeS3
from .stored import DATA, put, put_offsite

NOW = datetime.datetime(2026, 11, 24, 4, tzinfo=datetime.timezone.utc)
HOUR, DAY = 3600, 86400
WEEK = Policy(keep_within=7 * DAY)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeS3]:
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    with FakeS3() as fake:
        yield fake


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "main"))


@pytest.fixture
def offsite(server: FakeS3) -> S3Store:
    options = S3Options(BUCKET, "site", server.url, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    return S3Store(options, "main", lambda: NOW)


@pytest.fixture(params=["local", "offsite"])
def store(request: pytest.FixtureRequest) -> _stores.Store:
    return t.cast("_stores.Store", request.getfixturevalue(request.param))


def fill(store: _stores.Store, *days: float, **facts: t.Any) -> list[str]:
    """Sets that many days old; their ids."""
    moments = [NOW - datetime.timedelta(days=age) for age in days]
    if isinstance(store, S3Store):
        return [put_offsite(store, moment, **facts) for moment in moments]
    return [put(store, moment, **facts).name for moment in moments]


def prune(store: _stores.Store, check_mode: bool = False, policy: Policy = WEEK, **more: t.Any) -> _prune.Result:
    return _prune.prune(store, _prune.Request(policy, DAY, **more), Runner(), NOW, check_mode)


def there(store: _stores.Store) -> list[str]:
    return [entry.id for entry in store.entries()]


def files(store: _stores.Store, server: FakeS3) -> list[str]:
    if isinstance(store, S3Store):
        return sorted(server.objects)
    return sorted(os.path.join(folder, name) for folder, _d, names in os.walk(store.root) for name in names)


def test_what_is_no_longer_to_be_kept_goes_and_nothing_else(store: _stores.Store, server: FakeS3) -> None:
    old = fill(store, 30, 20, 8)
    foreign = fill(store, 40, identity="8822")
    tagged = fill(store, 50, tags=("pre-upgrade",))
    young = fill(store, 6, 1, 0.1)
    policy = Policy(keep_within=7 * DAY, keep_tags=("pre-upgrade",))
    before = files(store, server)
    wanted = prune(store, check_mode=True, policy=policy, identity="7711")
    assert files(store, server) == before
    result = prune(store, policy=policy, identity="7711")
    assert there(store) == [*tagged, *foreign, *young]
    assert [each.id for each in result.removed] == old
    # Check mode said just that.
    assert wanted.shown() == result.shown()
    assert wanted.diff() == result.diff()
    assert wanted.msg == result.msg.replace("were removed", "would be removed")
    assert result.diff()["after"] == "".join(f"{each}\n" for each in sorted([*tagged, *foreign, *young]))
    assert result.freed == sum(each["bytes"] for each in result.shown()["removed"]) > 0
    # Not one file of them is left.
    assert not [name for name in files(store, server) if any(each in name for each in old)]
    assert len(files(store, server)) == 2 * 5
    again = prune(store, policy=policy, identity="7711")
    assert (again.changed, again.removed, again.diff()["before"]) == (False, [], again.diff()["after"])
    assert again.msg == f"All 5 set(s) in {store.root} stay."


def test_nothing_goes_while_the_newest_set_is_overdue(store: _stores.Store, server: FakeS3) -> None:
    fill(store, 30, 20, 10, 1.1)
    before = files(store, server)
    for check_mode in (True, False):
        result = prune(store, check_mode)
        assert files(store, server) == before
        (found,) = result.findings
        assert (found["check"], found["status"]) == ("backup.retention", "warning")
        assert "is 1 d 2 h old, and at most 1 d may be lost" in found["message"]
        assert "playbooks/backup.yml" in found["remedy"]
        assert (result.changed, len(result.shown()["held"])) == (False, 1)


def test_nothing_goes_while_the_newest_set_is_suspicious(store: _stores.Store, server: FakeS3) -> None:
    fill(store, 30, 20, 10, 9, rows=20000)
    (newest,) = fill(store, 0.1, rows=4)
    before = files(store, server)
    result = prune(store)
    assert "rows of database app fell from 20000 to 4" in result.msg
    assert f"accept {newest}" in result.findings[0]["remedy"]
    assert files(store, server) == before
    assert len(prune(store, check_mode=True, drop=1.0).removed) == 3
    assert len(prune(store, accept=(newest,)).removed) == 3


def test_a_set_with_a_missing_file_is_not_what_redundancy_rests_on(store: _stores.Store, server: FakeS3) -> None:
    ids = fill(store, 30, 20, 10, 0.1)
    if isinstance(store, S3Store):
        del server.objects[f"site/main/{ids[2]}/{DATA}"]
    else:
        os.unlink(os.path.join(store.path(ids[2]), DATA))
    result = prune(store, policy=Policy(keep_within=HOUR))
    assert there(store) == ids[1:]
    assert result.msg.endswith("1 of them, damaged or never verified, are left alone.")


def test_what_interrupted_runs_left_is_swept(store: _stores.Store, server: FakeS3) -> None:
    fill(store, 1, 0.1)
    left = "20261120T020000Z-00000001"
    if isinstance(store, S3Store):
        server.time = "2026-11-20T02:00:00.000Z"
        store.writer(left, DATA).close()
        server.time = "2026-11-24T03:00:00.000Z"
        store.writer("20261124T030000Z-00000001", DATA).close()
        name = left
    else:
        name = os.path.basename(store.begin(left))
    before = files(store, server)
    assert prune(store, check_mode=True).swept == [name]
    assert files(store, server) == before
    result = prune(store)
    assert (result.swept, result.changed) == ([name], True)
    assert not [path for path in files(store, server) if left in path]
    # An upload may still be under way.
    if isinstance(store, S3Store):
        assert store.leftovers() == ["20261124T030000Z-00000001"]
        assert prune(store, incomplete_ttl=HOUR // 2).swept == ["20261124T030000Z-00000001"]
    assert prune(store).changed is False


def test_nothing_is_swept_while_retention_is_held(store: _stores.Store) -> None:
    fill(store, 3, 2)
    if isinstance(store, LocalStore):
        store.begin("20261120T020000Z-00000001")
    else:
        store.writer("20261120T020000Z-00000001", DATA).close()
    assert prune(store, incomplete_ttl=0).swept == []
    assert len(store.leftovers()) == 1


def test_a_prune_that_was_killed_is_finished_by_the_next(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(local, *range(30, 7, -1), 1, 0.1)

    class Killed(BaseException):
        pass

    real, calls = shutil.rmtree, []

    def killed(path: str) -> None:
        calls.append(path)
        if len(calls) == 4:
            os.unlink(os.path.join(path, DATA))
            raise Killed
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            prune(local)
    # Every set that is still listed is whole.
    sets = _stores.read_store(local, "hashes", Runner())
    assert (len(sets), [each for each in sets if each.problems]) == (21, [])
    result = prune(local)
    assert len(result.removed) == 19
    assert result.swept == [os.path.basename(calls[3])]
    assert len(os.listdir(local.root)) == 2


def test_a_prune_of_a_bucket_that_was_killed_leaves_no_half_set(offsite: S3Store, server: FakeS3) -> None:
    ids = fill(offsite, 30, 20, 10, 0.1)
    # The manifest is gone, its objects are not.
    server.fail("DeleteObjects", 500, "InternalError", times=1)
    result = prune(offsite, policy=Policy(keep_within=HOUR, minimum_redundancy=1))
    assert [each.id for each in result.removed] == ids[:3]
    assert there(offsite) == ids[3:]
    assert "is gone, but not all of its files" in result.msg
    assert [name for name in server.objects if ids[0] in name] == [f"site/main/{ids[0]}/{DATA}"]
    assert prune(offsite, incomplete_ttl=0, policy=Policy(keep_within=HOUR)).swept == [ids[0]]
    assert not [name for name in server.objects if ids[0] in name]


def test_a_set_that_is_locked_stays_and_does_not_stop_the_others(offsite: S3Store, server: FakeS3) -> None:
    ids = fill(offsite, 30, 20, 10, 1, 0.1)
    locked = server.objects[f"site/main/{ids[1]}/manifest.json"]
    locked.headers["x-amz-object-lock-mode"] = "COMPLIANCE"
    locked.headers["x-amz-object-lock-retain-until-date"] = "2026-12-24T00:00:00Z"
    result = prune(offsite)
    assert there(offsite) == [ids[1], *ids[3:]]
    assert [each.id for each in result.removed] == [ids[0], ids[2]]
    verdict, complaint = result.findings
    assert (verdict["status"], verdict["value"]) == ("ok", 2)
    assert (complaint["check"], complaint["status"], complaint["subject"]) == ("backup.retention", "warning", ids[1])
    assert "Object Lock keeps set" in result.msg
    assert [each["id"] for each in result.shown()["kept"]] == [*ids[3:], ids[1]]
    assert ids[1] in result.diff()["after"]


def test_a_set_that_cannot_be_removed_here_stays_too(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fill(local, 30, 20, 10, 1, 0.1)
    real = os.rename

    def refused(source: str, target: str) -> None:
        if source.endswith(ids[1]):
            raise PermissionError(1, "Operation not permitted", source)
        real(source, target)

    monkeypatch.setattr(os, "rename", refused)
    result = prune(local)
    assert there(local) == [ids[1], *ids[3:]]
    assert "Operation not permitted" in result.msg


def test_a_store_that_is_gone_is_not_asked_for_every_set(offsite: S3Store, server: FakeS3) -> None:
    ids = fill(offsite, *range(20, 8, -1), 0.1)
    listed = len(server.asked("ListObjectsV2")) + 2
    server.fail("HeadObject", 503, "SlowDown", times=10**6)
    server.fail("ListObjectsV2", 503, "SlowDown", times=10**6, skip=3)
    result = prune(offsite)
    assert result.removed == []
    assert len(result.refused) == len(ids) - 2
    assert len(server.asked("ListObjectsV2")) < listed + 8
    server.faults.clear()
    assert there(offsite) == ids


def test_an_empty_mount_point_is_no_empty_store(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MaintenanceError, match="There is no backup directory"):
        prune(local)
    fill(local, 30, 20, 10, 0.1)
    monkeypatch.setattr(_local, "unmounted", lambda path: "/backups")
    with pytest.raises(MaintenanceError, match="Nothing is mounted at /backups"):
        prune(local)
    assert len(there(local)) == 4


def test_a_store_out_of_reach_is_an_error_and_no_empty_store(offsite: S3Store, server: FakeS3) -> None:
    ids = fill(offsite, 30, 20, 10, 0.1)
    fault = server.fail("GetObject", 503, "SlowDown", times=10**6)
    with pytest.raises(MaintenanceError):
        prune(offsite)
    server.faults.remove(fault)
    assert there(offsite) == ids
    server.fail("ListObjectsV2", 403, "AccessDenied", times=10**6)
    with pytest.raises(MaintenanceError):
        prune(offsite)


def test_a_listing_that_lacks_the_newest_sets_holds(offsite: S3Store, server: FakeS3) -> None:
    """As when somebody else's rule has removed them: then nothing more may go."""
    ids = fill(offsite, 30, 20, 10, 1, 0.1)
    for name in [name for name in server.objects if ids[3] in name or ids[4] in name]:
        del server.objects[name]
    assert prune(offsite).removed == []
