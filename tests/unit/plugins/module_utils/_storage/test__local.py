# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set exists when it is complete, and not before."""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _local
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore

ID = "20261124T020000Z-9f3a1c2e"
LATER = "20261125T020000Z-00000001"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "backups" / "main"))


def begun(store: LocalStore, set_id: str = ID) -> Path:
    hidden = Path(store.begin(set_id))
    (hidden / "databases").mkdir()
    (hidden / "databases" / "1.dat").write_text("rows", encoding="utf-8")
    return hidden


def test_nothing_is_listed_until_it_is_committed(store: LocalStore) -> None:
    assert store.entries() == []
    hidden = begun(store)
    assert store.entries() == []
    assert store.leftovers() == [f".incomplete-{ID}"]
    # Others may pass through while the dump is written, not read.
    assert hidden.stat().st_mode & 0o777 == 0o711
    path = store.commit(ID, {"id": ID})
    (entry,) = store.entries()
    assert (entry.id, entry.path, entry.manifest, entry.problem) == (ID, path, {"id": ID}, "")
    assert store.leftovers() == []
    assert Path(path).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("call", ["replace", "rename", "fsync", "chmod"])
def test_a_crash_at_any_call_leaves_no_visible_half(
    store: LocalStore, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(store)
    store.commit(ID, {"id": ID})
    begun(store, LATER)

    def crash(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, crash)
    with pytest.raises(OSError, match="No space left"):
        store.commit(LATER, {"id": LATER})
    monkeypatch.undo()
    assert [entry.id for entry in store.entries()] == [ID]


def test_sets_are_listed_oldest_first_and_strangers_not_at_all(store: LocalStore) -> None:
    for set_id in (LATER, ID):
        begun(store, set_id)
        store.commit(set_id, {"id": set_id})
    (Path(store.root) / "lost+found").mkdir()
    (Path(store.root) / "20261124-mine").mkdir()
    assert [entry.id for entry in store.entries()] == [ID, LATER]


@pytest.mark.parametrize(
    ("text", "problem"), [("", "cannot be read"), ("{", "cannot be read"), ("[]", "no JSON object")]
)
def test_a_manifest_that_is_spoilt_is_a_problem_not_a_crash(store: LocalStore, text: str, problem: str) -> None:
    begun(store)
    path = store.commit(ID, {"id": ID})
    Path(path, "manifest.json").write_text(text, encoding="utf-8")
    (entry,) = store.entries()
    assert entry.manifest is None
    assert problem in entry.problem
    os.unlink(Path(path, "manifest.json"))
    assert store.entries()[0].problem == "it is missing"


def test_only_what_is_hidden_can_be_discarded(store: LocalStore) -> None:
    begun(store)
    path = store.commit(ID, {"id": ID})
    with pytest.raises(ValueError, match="interrupted run"):
        store.discard(ID)
    assert os.path.isdir(path)
    begun(store, LATER)
    store.discard(f".incomplete-{LATER}")
    assert store.leftovers() == []


def test_a_set_that_is_removed_is_gone_and_the_others_stay(store: LocalStore) -> None:
    for set_id in (ID, LATER):
        begun(store, set_id)
        store.commit(set_id, {"id": set_id})
    store.remove(ID)
    assert os.listdir(store.root) == [LATER]
    with pytest.raises(MaintenanceError, match=f"Set {ID} cannot be removed from .*: No such file"):
        store.remove(ID)
    for stranger in ("", ".", "..", f".incomplete-{ID}", f"{ID}/databases", f"{ID}\n"):
        with pytest.raises(ValueError, match="is no set"):
            store.remove(stranger)


def test_a_removal_that_is_cut_short_leaves_no_half_set(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(store)
    store.commit(ID, {"id": ID})
    synced: list[str] = []
    monkeypatch.setattr(_local, "sync_directory", synced.append)

    def crash(path: str) -> None:
        # Hidden for good before the first file goes.
        assert (path, synced) == (os.path.join(store.root, f".removing-{ID}"), [store.root])
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(shutil, "rmtree", crash)
    with pytest.raises(MaintenanceError, match=f"Set {ID} cannot be removed from .*: Input/output error"):
        store.remove(ID)
    assert store.entries() == []
    assert store.leftovers() == [f".removing-{ID}"]
    monkeypatch.undo()
    store.discard(f".removing-{ID}")
    assert os.listdir(store.root) == []


def test_a_place_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MaintenanceError, match=r"No backup set can be made in .*file/main: Not a directory"):
        LocalStore(str(tmp_path / "file" / "main")).begin(ID)


def test_free_space_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    free, size = LocalStore(str(tmp_path / "a" / "b")).free()
    usage = os.statvfs(tmp_path)
    assert size == usage.f_blocks * usage.f_frsize
    assert 0 < free <= size


FSTAB = """
# a remark
/dev/sda1 / ext4 defaults 0 1
/dev/sdb1 {point} ext4 defaults 0 2
tmpfs
nfs:/x {other} nfs defaults 0 0
"""


def test_a_mount_point_with_nothing_mounted_is_noticed(tmp_path: Path) -> None:
    point = tmp_path / "back ups"
    point.mkdir()
    fstab = tmp_path / "fstab"
    escaped = str(point).replace(" ", "\\040")
    fstab.write_text(FSTAB.format(point=escaped, other=tmp_path / "elsewhere"), encoding="utf-8")
    assert _local.unmounted(str(point / "main"), str(fstab)) == str(point)
    assert _local.unmounted(str(point), str(fstab)) == str(point)
    # Neither a neighbour with the same beginning, nor a place outside, nor one that is mounted.
    assert _local.unmounted(f"{point}2/main", str(fstab)) == ""
    assert _local.unmounted(str(tmp_path), str(fstab)) == ""
    fstab.write_text("proc /proc proc defaults 0 0\n", encoding="utf-8")
    assert _local.unmounted("/proc/self", str(fstab)) == ""
    assert _local.unmounted("/anywhere", str(tmp_path / "no-fstab")) == ""


def test_neither_a_slash_at_the_end_nor_a_link_hides_a_mount_point(tmp_path: Path) -> None:
    point = tmp_path / "disk"
    point.mkdir()
    (tmp_path / "backups").symlink_to(point)
    fstab = tmp_path / "fstab"
    fstab.write_text(f"/dev/sdb1 {point}/ ext4 defaults 0 2\n", encoding="utf-8")
    assert _local.unmounted(str(point / "main"), str(fstab)) == f"{point}/"
    assert _local.unmounted(str(tmp_path / "backups" / "main"), str(fstab)) == f"{point}/"
    fstab.write_text("/dev/sda1 / ext4 defaults 0 1\n/dev/sdb2 none swap sw 0 0\n", encoding="utf-8")
    assert _local.unmounted(str(point / "main"), str(fstab)) == ""


def test_a_mount_point_below_one_that_is_mounted_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text(f"a {tmp_path} ext4 defaults 0 2\nb {tmp_path}/main ext4 defaults 0 2\n", encoding="utf-8")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path))
    assert _local.unmounted(str(tmp_path / "main" / "x"), str(fstab)) == f"{tmp_path}/main"
    assert _local.unmounted(str(tmp_path / "other"), str(fstab)) == ""


def test_an_unmounted_store_is_refused(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_local, "unmounted", lambda path: "/backups")
    with pytest.raises(MaintenanceError, match="Nothing is mounted at /backups"):
        store.require_ready()


def test_what_was_dumped_becomes_root_s_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir(mode=0o777)
    (tmp_path / "sub" / "b").write_text("b", encoding="utf-8")
    (tmp_path / "a").write_text("a", encoding="utf-8")
    (tmp_path / "a").chmod(0o666)
    assert _local.own(str(tmp_path)) == ["a", "sub/b"]
    for path in (tmp_path, tmp_path / "sub"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "a", tmp_path / "sub" / "b"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_all_is_on_the_disk_before_the_set_is_seen_and_the_manifest_comes_last(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    real = {name: getattr(os, name) for name in ("fsync", "replace", "rename")}

    def fsync(descriptor: int) -> None:
        done.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        real["fsync"](descriptor)

    def moved(name: str) -> t.Callable[[str, str], None]:
        def move(source: str, target: str) -> None:
            done.append((name, target))
            real[name](source, target)

        return move

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, moved(name))
    hidden = str(begun(store))
    _local.own(f"{hidden}/databases")
    path = store.commit(ID, {"id": ID})
    manifest = done.index(("replace", f"{hidden}/manifest.json"))
    seen = done.index(("rename", path))
    assert done.index(("fsync", f"{hidden}/databases/1.dat")) < manifest
    for directory in (hidden, f"{hidden}/databases"):
        assert manifest < len(done) - done[::-1].index(("fsync", directory)) - 1 < seen
    assert done[-1] == ("fsync", store.root)


def test_what_a_directory_takes_is_counted_on_the_disk(store: LocalStore) -> None:
    hidden = begun(store)
    (hidden / "databases" / "2.dat").write_bytes(bytes(100_000))
    with (hidden / "sparse").open("wb") as file:
        file.truncate(10**9)
    assert 100_000 <= store.taken(hidden.name) < 200_000


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "directory link"])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret", encoding="utf-8")
    outside.chmod(0o644)
    dump = tmp_path / "dump"
    dump.mkdir()
    odd = dump / "1.dat"
    if kind == "link":
        odd.symlink_to(outside)
    elif kind == "hard link":
        os.link(outside, odd)
    elif kind == "fifo":
        os.mkfifo(odd)
    else:
        odd.symlink_to(tmp_path)
    with pytest.raises(MaintenanceError, match="is no directory and no plain file"):
        _local.own(str(dump))
    assert outside.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("dest", "instance"),
    [("backups", "main"), ("", "main"), ("/b", ""), ("/b", "../x"), ("/b", "a/b"), ("/b", ".x"), ("/b", "x\n")],
)
def test_a_bad_place_is_refused(dest: str, instance: str) -> None:
    with pytest.raises(MaintenanceError, match="but must be"):
        _local.store_root(dest, instance)


def test_a_good_place() -> None:
    assert _local.store_root("/b//c/", "db-2.old") == "/b/c/db-2.old"


def test_the_manifest_is_readable_json(store: LocalStore) -> None:
    begun(store)
    path = store.commit(ID, {"name": "ü"})
    assert json.loads(Path(path, "manifest.json").read_text(encoding="utf-8")) == {"name": "ü"}


def test_a_bind_mount_within_one_file_system_counts_as_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = tmp_path / "back ups"
    point.mkdir()
    escaped = str(point).replace(" ", "\\040")
    fstab, mounts = tmp_path / "fstab", tmp_path / "mountinfo"
    fstab.write_text(f"/data/backups {escaped} none bind 0 0\n", encoding="utf-8")
    mounts.write_text(f"36 35 254:0 /data/backups {escaped} rw - ext4 /dev/vda rw\n", encoding="utf-8")
    assert _local.unmounted(str(point / "main"), str(fstab)) == str(point)
    monkeypatch.setattr(_local, "MOUNTS", str(mounts))
    assert _local.unmounted(str(point / "main"), str(fstab)) == ""
