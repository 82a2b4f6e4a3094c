# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look over many sets."""

from __future__ import annotations

import datetime
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._metrics import render
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _catalogue, _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._backup import Backup
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._request import Request
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _local
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore

if t.TYPE_CHECKING:
    from .conftest import FakeServer

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)
DAY = 86400


def take(server: FakeServer, store: LocalStore, *ages: float) -> None:
    """Sets of these ages in seconds."""

    def clock(age: float) -> t.Callable[[], datetime.datetime]:
        return lambda: NOW - datetime.timedelta(seconds=age)

    for age in ages:
        Backup(server, store, Runner(), now=clock(age)).take(Request(databases=["app"], min_free="0%"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "main"))


def look(store: LocalStore, check: str = "sizes", **more: t.Any) -> _catalogue.Overview:
    wanted = _catalogue.Look(check, DAY, **{"gaps_within": 30 * DAY, **more})
    return _catalogue.look(store, wanted, NOW, Runner())


def findings(store: LocalStore, check: str = "sizes", **more: t.Any) -> dict[str, dict[str, t.Any]]:
    return {f["check"]: f for f in look(store, check, **more).findings}


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (0, "ok"),
        (0.79 * DAY, "ok"),
        (0.8 * DAY, "warning"),
        (DAY - 1, "warning"),
        (DAY, "critical"),
        (9 * DAY, "critical"),
    ],
)
def test_the_newest_set_is_held_against_the_objective(
    server: FakeServer, store: LocalStore, age: float, status: str
) -> None:
    take(server, store, age + 3600, age)
    for check in ("backup.age", "backup.verified_age"):
        found = findings(store)[check]
        assert (found["status"], found["value"], found["threshold"]) == (status, int(age), DAY)
        assert bool(found["remedy"]) == (status != "ok")


def test_a_set_that_was_never_verified_is_young_all_the_same(server: FakeServer, store: LocalStore) -> None:
    take(server, store, 2 * DAY, 60)
    path = Path(store.entries()[-1].path, "manifest.json")
    manifest = {**json.loads(path.read_text(encoding="utf-8")), "verification": []}
    path.write_text(json.dumps(_manifest.seal(manifest)), encoding="utf-8")
    found = findings(store)
    assert (found["backup.age"]["status"], found["backup.age"]["value"]) == ("ok", 60)
    assert (found["backup.verified_age"]["status"], found["backup.verified_age"]["value"]) == ("critical", 2 * DAY)


def test_a_damaged_newest_set_does_not_count(server: FakeServer, store: LocalStore) -> None:
    take(server, store, 2 * DAY, 60)
    newest = Path(store.entries()[-1].path)
    os.truncate(newest / "databases" / "app" / "1.dat.zst", 1)
    found = findings(store)
    assert (found["backup.age"]["status"], found["backup.age"]["value"]) == ("critical", 2 * DAY)
    assert found["backup.damage"]["status"] == "critical"
    assert found["backup.damage"]["subject"] == f"{newest.name}/databases/app/1.dat.zst"
    assert str(newest) in found["backup.damage"]["remedy"]


def test_a_set_from_the_future_does_not_count_and_the_clock_is_blamed(server: FakeServer, store: LocalStore) -> None:
    take(server, store, -3600)
    for check in ("backup.age", "backup.verified_age"):
        found = findings(store)[check]
        assert found["status"] == "critical"
        assert "check this host's clock" in found["message"]


def test_gaps_that_are_wider_than_the_objective_are_named(server: FakeServer, store: LocalStore) -> None:
    take(server, store, 10 * DAY, 7 * DAY, 2 * DAY, 0.5 * DAY, 0)
    found = findings(store)["backup.gap"]
    assert (found["status"], found["value"]) == ("warning", int(1.5 * DAY))
    assert "and 2 earlier one(s)" in found["message"]
    # What is older may have been thinned out.
    assert "earlier" not in findings(store, gaps_within=DAY)["backup.gap"]["message"]
    assert "backup.gap" not in findings(store, gaps_within=DAY // 4)
    assert "backup.gap" not in findings(store, gaps_within=0)
    assert "backup.gap" not in findings_of_regular(server, store)


def findings_of_regular(server: FakeServer, store: LocalStore) -> dict[str, dict[str, t.Any]]:
    regular = LocalStore(store.root + "-regular")
    take(server, regular, DAY, 0.5 * DAY, 0)
    return findings(regular)


def test_leftovers_are_a_warning(server: FakeServer, store: LocalStore) -> None:
    take(server, store, 60)
    store.begin("20261124T010000Z-00000000")
    found = findings(store)["backup.leftover"]
    assert (found["status"], found["value"]) == ("warning", 1)
    assert "20261124T010000Z-00000000" in found["message"]


def test_no_directory_and_no_mount_are_critical_and_no_empty_store(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(store)["backup.store"]["status"] == "critical"
    os.makedirs(store.root)
    assert findings(store)["backup.age"]["status"] == "critical"
    monkeypatch.setattr(_local, "unmounted", lambda path: "/backups")
    found = findings(store)
    assert list(found) == ["backup.store"]
    assert "Nothing is mounted at /backups" in found["backup.store"]["message"]


def test_a_database_that_shrank_is_a_warning_until_it_is_accepted(server: FakeServer, store: LocalStore) -> None:
    server.rows = {101: 1500, 102: 3000}
    take(server, store, 5 * DAY, 4 * DAY, 3 * DAY)
    found = findings(store)["backup.size_trend"]
    assert (found["status"], found["subject"]) == ("ok", store.root)
    server.rows = {101: 1500, 102: 0}
    take(server, store, 60)
    seen = [each for each in look(store).findings if each["check"] == "backup.size_trend"]
    newest = store.entries()[-1].id
    assert [each["message"] for each in seen] == [
        f"Set {newest} is suspicious: The rows of database app fell from 4500 to 1500.",
        f"Set {newest} is suspicious: Table public.t102 of database app fell from 3000 rows to fewer than 500.",
    ]
    assert [(e["status"], e["value"], e["threshold"]) for e in seen] == [
        ("warning", 0.333, 0.5),
        ("warning", 0.167, 0.5),
    ]
    assert newest in seen[0]["remedy"]
    assert findings(store, accept=(newest,))["backup.size_trend"]["status"] == "ok"
    assert findings(store, drop=1.0)["backup.size_trend"]["status"] == "ok"
    # Only what would be restored now is spoken of.
    server.rows = {101: 1500, 102: 3000}
    take(server, store, 30)
    assert findings(store)["backup.size_trend"]["status"] == "ok"


def test_the_numbers_for_prometheus_are_those_of_the_newest_sets(server: FakeServer, store: LocalStore) -> None:
    os.makedirs(store.root)
    text = render(_catalogue.gauges(look(store).sets, NOW), {"instance": "main", "store": "local"})
    assert 'boardroom_backup_newest_snapshot_timestamp_seconds{instance="main",store="local"} 0\n' in text
    take(server, store, 7200, 3600, 60, -3600)
    entries = store.entries()
    os.truncate(Path(entries[2].path) / "databases" / "app" / "1.dat.zst", 1)
    sets = look(store).sets
    assert {gauge.name.partition("backup_")[2]: gauge.value for gauge in _catalogue.gauges(sets, NOW)} == {
        "newest_snapshot_timestamp_seconds": int(NOW.timestamp()) - 3600,
        "newest_verified_timestamp_seconds": int(NOW.timestamp()) - 3600,
        "sets": 4,
        "newest_bytes": sets[1].bytes,
        "newest_rows": 3,
        "problems": 1,
        "looked_timestamp_seconds": int(NOW.timestamp()),
    }


def test_much_damage_of_one_set_is_summed_up(server: FakeServer, store: LocalStore) -> None:
    server.rows = dict.fromkeys(range(100, 130), 1)
    take(server, store, 60)
    for path in (Path(store.entries()[0].path) / "databases" / "app").glob("*.dat.zst"):
        path.unlink()
    seen = look(store)
    damage = [f for f in seen.findings if f["check"] == "backup.damage"]
    assert len(damage) == _catalogue.SHOWN_PROBLEMS + 1
    assert "in 11 more files" in damage[-1]["message"]
    assert len(seen.sets[0].problems) == 31


def test_a_manifest_with_a_flipped_bit_is_named_wherever_the_bit_is(server: FakeServer, store: LocalStore) -> None:
    """Some flips leave JSON with another key or number: then nothing in it can be relied upon."""
    take(server, store, 3600, 60)
    path = Path(store.entries()[-1].path, "manifest.json")
    good = path.read_bytes()
    readable = 0
    for place in range(0, len(good), 11):
        data = bytearray(good)
        data[place] ^= 1 << place % 7
        path.write_bytes(data)
        readable += store.entries()[-1].manifest is not None
        found = findings(store, "hashes")
        assert found["backup.damage"]["subject"] == f"{path.parent.name}/manifest.json", place
        assert found["backup.age"]["value"] == 3600
    assert readable > 20


def shown(store: LocalStore, check: str) -> list[dict[str, t.Any]]:
    return [each.shown(NOW) for each in look(store, check).sets]


@pytest.mark.parametrize("check", ["none", "sizes", "hashes", "decode"])
def test_a_manifest_that_lacks_what_is_asked_for_is_damage_not_a_crash(
    server: FakeServer, store: LocalStore, check: str
) -> None:
    take(server, store, 60)
    entry = store.entries()[0]
    Path(entry.path, "manifest.json").write_text(
        '{"schema": 1, "databases": [{}], "snapshot_time": 5}', encoding="utf-8"
    )
    (described,) = shown(store, check)
    assert described["problems"] == [{"file": "manifest.json", "reason": "it was changed after it was written"}]
    assert (described["snapshot_time"], described["verified"]) == ("2026-11-24T01:59:00Z", False)


def test_sets_are_described(server: FakeServer, store: LocalStore) -> None:
    take(server, store, 60)
    (described,) = shown(store, "decode")
    assert described["id"] == store.entries()[0].id
    assert (described["age_seconds"], described["rows"], described["databases"]) == (60, 3, ["app"])
    assert described["verified"] is True
    assert described["problems"] == []


def test_a_set_without_a_manifest_is_listed_by_its_name(server: FakeServer, store: LocalStore) -> None:
    take(server, store, 60)
    Path(store.entries()[0].path, "manifest.json").unlink()
    (described,) = shown(store, "none")
    assert described["snapshot_time"] == "2026-11-24T01:59:00Z"
    assert described["problems"] == [{"file": "manifest.json", "reason": "it is missing"}]
