# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a set: all of it agrees, or nothing is left of it."""

from __future__ import annotations

import datetime
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _dump, _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._backup import Backup
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._request import Request
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore

if t.TYPE_CHECKING:
    from .conftest import FakeServer, StreamingServer

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)
REQUEST = Request(databases=["app"], min_free="0%")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "main"))


def take(
    server: FakeServer, store: LocalStore, request: Request = REQUEST, now: datetime.datetime = NOW, **more: t.Any
) -> t.Any:
    return Backup(server, store, Runner(), now=lambda: now).take(request, **more)


def tree(store: LocalStore) -> dict[str, bytes]:
    """Every file of a store and its content."""
    return {
        str(path.relative_to(store.root)): path.read_bytes()
        for path in sorted(Path(store.root).rglob("*"))
        if path.is_file()
    }


def test_a_set_that_agrees_is_taken(server: FakeServer, store: LocalStore) -> None:
    result = take(server, store)
    assert result.changed
    (entry,) = store.entries()
    manifest = entry.manifest
    assert manifest is not None
    assert manifest == json.loads(json.dumps(result.manifest))
    assert _manifest.damage(entry, "decode", Runner()) == []
    (database,) = manifest["databases"]
    assert [(table["oid"], table["rows"]) for table in database["tables"]] == [(101, 3), (102, 0)]
    assert (database["rows_total"], database["migration_revisions"]) == (3, ["0004"])
    assert manifest["system_identifier"] == server.identity
    assert manifest["snapshot_time"] == "2026-11-24T02:00:00Z"
    assert {f["path"] for f in manifest["files"]} == {
        "globals.sql.zst",
        "databases/app/1.dat.zst",
        "databases/app/2.dat.zst",
        "databases/app/blob_900.dat.zst",
        "databases/app/toc.dat",
    }
    assert manifest["bytes"] == sum(f["bytes"] for f in manifest["files"])
    for path in [Path(entry.path), *Path(entry.path).rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert server.sessions == 0


def test_the_dump_uses_the_snapshot_in_which_the_rows_are_counted(server: FakeServer, store: LocalStore) -> None:
    take(server, store)
    assert server.dumps[0].snapshot == "00000003-1"
    assert "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" in server.statements


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s.dumped_rows.update({101: 2}), r"1\.dat\.zst: it holds 2 rows instead of 3"),
        (lambda s: s.dumped_rows.update({102: 1}), r"2\.dat\.zst: it holds 1 rows instead of 0"),
        (lambda s: s.left_out.add(101), r"the rows of public\.t101 are missing"),
        (lambda s: s.extra.update({103: 1}), r"rows of a table \(oid 103\) that was not counted"),
        (lambda s: s.left_out.add(900), "the large object 900 is missing"),
        (lambda s: s.dumped_rows.update({900: 4}), r"blob_900\.dat\.zst: it holds 4 bytes instead of 5"),
    ],
)
def test_a_dump_that_differs_from_the_database_is_thrown_away(
    server: FakeServer, store: LocalStore, spoil: t.Callable[[FakeServer], None], sentence: str
) -> None:
    take(server, store)
    before = tree(store)
    spoil(server)
    with pytest.raises(MaintenanceError, match=sentence) as caught:
        take(server, store)
    assert "is thrown away" in caught.value.message
    assert tree(store) == before
    assert store.leftovers() == []


def test_an_empty_large_object_is_no_damage(server: FakeServer, store: LocalStore) -> None:
    server.large_objects[901] = 0
    (database,) = take(server, store).manifest["databases"]
    assert {item["oid"]: item["bytes"] for item in database["large_objects"]} == {900: 5, 901: 0}
    assert _manifest.damage(store.entries()[0], "decode", Runner()) == []


def test_a_streamed_dump_is_taken_when_its_script_agrees(streaming: StreamingServer, store: LocalStore) -> None:
    manifest = take(streaming, store).manifest
    (database,) = manifest["databases"]
    assert (database["format"], database["path"]) == ("custom", "databases/app/dump.custom")
    assert (database["rows_total"], database["bytes"]) == (
        3,
        os.path.getsize(streaming.dumps[0].target.replace(".incomplete-", "")),
    )
    assert {f["path"] for f in manifest["files"]} == {"globals.sql.zst", "databases/app/dump.custom"}
    assert _manifest.damage(store.entries()[0], "hashes", Runner()) == []


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s.dumped_rows.update({101: 2}), r"it holds 2 rows of public\.t101 instead of 3"),
        (lambda s: s.left_out.add(102), r"it holds no rows of public\.t102 instead of 0"),
        (lambda s: s.extra.update({103: 1}), r"rows of a table \(oid 103\) that was not counted"),
        (lambda s: s.left_out.add(900), "it holds None bytes of the large object 900 instead of 5"),
        (lambda s: s.dumped_rows.update({900: 4}), "it holds 4 bytes of the large object 900 instead of 5"),
        (lambda s: setattr(s, "restore_command", "cat; exit 1"), "it cannot be decoded to its end"),
        (lambda s: setattr(s, "fail_at", "restore"), "restore failed"),
        (lambda s: setattr(s, "exit_status", 1), "pg_dump of app failed with exit status 1"),
    ],
)
def test_a_streamed_dump_that_differs_is_thrown_away(
    streaming: StreamingServer, store: LocalStore, spoil: t.Callable[[StreamingServer], None], sentence: str
) -> None:
    take(streaming, store)
    before = tree(store)
    spoil(streaming)
    with pytest.raises(MaintenanceError, match=sentence):
        take(streaming, store)
    assert tree(store) == before
    assert store.leftovers() == []


def test_a_dump_without_end_is_stopped_by_the_time_limit(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[t.Any] = []

    def endless(dump: object, stderr: t.Any) -> t.Any:
        started.append(Runner().start(["sleep", "60"], stderr=stderr))
        return started[0]

    monkeypatch.setattr(server, "start_dump", endless)
    with pytest.raises(MaintenanceError, match="The dump of app did not end within its time limit and was stopped"):
        take(server, store, Request(databases=["app"], min_free="0%", timeout=1))
    assert started[0].poll() is not None
    assert store.leftovers() == []


def test_a_session_that_is_lost_while_the_dump_runs_ends_the_dump(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[t.Any] = []

    def start(dump: object, stderr: t.Any) -> t.Any:
        started.append(Runner().start(["sleep", "60"], stderr=stderr))
        return started[0]

    def lost(*_args: object) -> t.NoReturn:
        raise MaintenanceError("No connection to PostgreSQL.")

    monkeypatch.setattr(server, "start_dump", start)
    monkeypatch.setattr(_dump.Dumper, "_count_rows", lost)
    with pytest.raises(MaintenanceError, match="No connection to PostgreSQL"):
        take(server, store)
    assert started[0].poll() is not None
    assert store.leftovers() == []


def test_an_engine_that_is_gone_does_not_keep_a_half_set(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(server, store)
    calls: list[str] = []

    def sweep() -> None:
        calls.append("sweep")
        if len(calls) > 1:
            raise MaintenanceError("The Docker engine does not answer.")

    monkeypatch.setattr(server, "sweep", sweep)
    server.fail_at = "contents"
    with pytest.raises(MaintenanceError, match="contents failed"):
        take(server, store)
    assert len(calls) == 2
    assert store.leftovers() == []


@pytest.mark.parametrize("stage", ["session", "prepare", "dump", "contents", "globals"])
def test_a_failure_at_any_stage_leaves_nothing_and_touches_nothing(
    server: FakeServer, store: LocalStore, stage: str
) -> None:
    take(server, store)
    before = tree(store)
    server.fail_at = stage
    with pytest.raises(MaintenanceError, match=f"{stage} failed"):
        take(server, store)
    assert tree(store) == before
    assert store.leftovers() == []


@pytest.mark.parametrize("call", ["fsync", "rename", "replace"])
def test_a_disk_that_fails_is_one_sentence(
    server: FakeServer, store: LocalStore, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(server, store)
    before = tree(store)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(MaintenanceError, match=r"The set could not be written below .*: No space left on device"):
        take(server, store)
    monkeypatch.undo()
    assert tree(store) == before
    assert store.leftovers() == []


def test_pg_dump_s_own_reason_is_given(server: FakeServer, store: LocalStore) -> None:
    server.exit_status = 1
    server.complaint = 'pg_dump: error: Dumping the contents of table "t" failed\npg_dump: detail: server closed\n'
    with pytest.raises(
        MaintenanceError, match=r'^pg_dump of app failed with exit status 1: Dumping the contents of table "t" failed\.'
    ):
        take(server, store)
    assert store.entries() == []
    assert store.leftovers() == []


def test_a_refused_statement_is_the_cause_and_not_the_snapshot_that_went_with_it(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> t.Any:
        raise MaintenanceError("permission denied for table notes.")

    monkeypatch.setattr(_dump.Dumper, "_count_rows", refuse)
    server.exit_status = 1
    server.complaint = "pg_dump: error: query failed: ERROR:  could not import the requested snapshot\n"
    with pytest.raises(MaintenanceError, match=r"^permission denied for table notes"):
        take(server, store)
    assert store.leftovers() == []


def test_roles_that_were_not_written_to_their_end_are_refused(server: FakeServer, store: LocalStore) -> None:
    server.globals_text = "CREATE ROLE a;\n"
    with pytest.raises(MaintenanceError, match="did not write the roles to their end"):
        take(server, store)
    assert store.entries() == []


def test_passwords_are_left_out_where_the_role_may_not_read_them(server: FakeServer, store: LocalStore) -> None:
    server.sees_passwords = False
    manifest = take(server, store).manifest
    assert manifest["globals"] == {"included": True, "passwords": False}
    assert any("--no-role-passwords" in statement for statement in server.statements)


def young(**more: t.Any) -> Request:
    return Request(**{"databases": ["app"], "min_free": "0%", "max_age": 39600, **more})


def test_a_young_set_is_good_enough(server: FakeServer, store: LocalStore) -> None:
    first = take(server, store)
    result = take(server, store, young(), NOW + datetime.timedelta(hours=10))
    assert not result.changed
    assert result.manifest["id"] == first.manifest["id"]
    assert "10 h old" in result.msg
    assert len(server.dumps) == 1


@pytest.mark.parametrize(
    ("hours", "request_", "change"),
    [
        (12, young(), None),
        (-1, young(), None),
        (1, young(force=True), None),
        (1, young(max_age=0), None),
        (1, young(databases=["app", "other"]), None),
        (1, young(), lambda server, store: setattr(server, "identity", "1")),
        (1, young(), lambda server, store: next(Path(store.root).rglob("1.dat.zst")).unlink()),
        (1, young(), lambda server, store: os.truncate(next(Path(store.root).rglob("1.dat.zst")), 3)),
        (1, young(), lambda server, store: next(Path(store.root).rglob("manifest.json")).write_text("{}")),
    ],
    ids=[
        "old",
        "from the future",
        "forced",
        "never",
        "other databases",
        "other cluster",
        "file gone",
        "file cut",
        "manifest",
    ],
)
def test_otherwise_a_new_one_is_taken(
    server: FakeServer, store: LocalStore, hours: int, request_: Request, change: t.Callable[..., t.Any] | None
) -> None:
    server.databases.append("other")
    take(server, store)
    if change:
        change(server, store)
    assert take(server, store, request_, NOW + datetime.timedelta(hours=hours)).changed
    assert len(store.entries()) == 2


def test_check_mode_predicts_and_writes_nothing(server: FakeServer, store: LocalStore) -> None:
    result = take(server, store, check_mode=True)
    assert (result.changed, result.manifest) == (True, None)
    assert not os.path.exists(store.root)
    assert server.swept == 0
    take(server, store)
    hidden = Path(store.begin("20261124T030000Z-00000000"))
    result = take(server, store, young(), check_mode=True)
    assert not result.changed
    assert result.swept == [hidden.name]
    assert hidden.exists()


def test_what_an_interrupted_run_left_is_swept(server: FakeServer, store: LocalStore) -> None:
    hidden = Path(store.begin("20261123T020000Z-00000000"))
    (hidden / "half").write_text("half", encoding="utf-8")
    result = take(server, store)
    assert result.swept == [hidden.name]
    assert not hidden.exists()
    assert server.swept == 1


def test_too_little_space_is_said_before_anything_is_written(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStore, "free", lambda self: (10_000, 100_000))
    server.table_bytes = 1000
    server.large_object_bytes = 500
    with pytest.raises(MaintenanceError, match=r"The set may take 2\.5 kB, .* must stay so \(min_free\)") as caught:
        take(server, store, Request(databases=["app"], min_free="7.6%"))
    (found,) = caught.value.details["findings"]
    assert (found["check"], found["status"]) == ("backup.space", "critical")
    assert not os.path.exists(store.root)
    assert take(server, store, Request(databases=["app"], min_free="7.5%")).changed


def test_what_an_interrupted_run_left_is_not_why_there_is_no_space(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Path(store.begin("20261123T020000Z-00000000"), "half")
    half.write_bytes(bytes(1_000_000))
    full = 1_100_000

    def free(self: LocalStore) -> tuple[int, int]:
        used = half.stat().st_blocks * 512 if half.exists() else 0
        return full - used, full

    monkeypatch.setattr(LocalStore, "free", free)
    server.table_bytes = 100_000
    assert take(server, store, check_mode=True).changed
    assert half.exists()
    assert take(server, store).changed
    assert not half.exists()


def test_a_spoilt_manifest_of_an_old_set_does_not_stop_the_next(server: FakeServer, store: LocalStore) -> None:
    manifest = take(server, store).manifest
    spoilt = Path(store.entries()[0].path, "manifest.json")
    spoilt.write_text(json.dumps({**manifest, "databases": [{"nothing": 1}]}), encoding="utf-8")
    assert take(server, store, young(), NOW + datetime.timedelta(minutes=1)).changed


def test_the_last_set_says_how_much_space_the_next_one_takes(
    server: FakeServer, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = take(server, store).manifest["databases"][0]["bytes"]
    server.table_bytes = 10**12
    monkeypatch.setattr(LocalStore, "free", lambda self: (int(size * 1.2), 10**6))
    assert take(server, store).changed
    monkeypatch.setattr(LocalStore, "free", lambda self: (int(size * 1.2) - 1, 10**6))
    with pytest.raises(MaintenanceError, match="The set may take"):
        take(server, store)
