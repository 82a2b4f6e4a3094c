# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, on sets that lie on this machine's disk. No PostgreSQL is needed for that."""

from __future__ import annotations

import datetime
import json
import os
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _s3_client
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Store, s3_options
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import utc_now
from ansible_collections.boardroom.maintenance.plugins.modules import pg_backup_info

from ..module_utils._postgres import stored
from ..module_utils._postgres.stored import DATA
from ..module_utils._storage.fake_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, FakeS3


def put(store: LocalStore, age: datetime.timedelta, **facts: t.Any) -> Path:
    """A set with one table of two rows, that old."""
    return stored.put(store, utc_now() - age, **facts)


Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "backups" / "main"))


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(**options: t.Any) -> dict[str, t.Any]:
        fixed = {"state_dir": str(tmp_path / "state"), "dest": str(tmp_path / "backups")}
        with patch_module_args({**fixed, **options}), pytest.raises(SystemExit):
            pg_backup_info.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def by_check(result: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    return {f["check"]: f for f in result["findings"]}


@pytest.mark.parametrize("check", ["none", "sizes", "hashes", "decode"])
def test_a_young_whole_set_is_all_well(call: Call, store: LocalStore, check: str) -> None:
    put(store, datetime.timedelta(hours=2))
    result = call(check=check)
    documented = yaml.safe_load(pg_backup_info.RETURN)
    assert set(documented) <= {*result, "metrics"}
    assert set(result["sets"][0]) == set(documented["sets"]["contains"])
    assert (result["changed"], result["msg"]) == (False, "1 set(s), all whole.")
    assert {name: f["status"] for name, f in by_check(result).items()} == dict.fromkeys(
        ["backup.age", "backup.verified_age", "backup.damage", "backup.size_trend"], "ok"
    )
    assert 7200 <= result["sets"][0]["age_seconds"] < 7260


def test_the_objective_is_the_site_s(call: Call, store: LocalStore) -> None:
    put(store, datetime.timedelta(hours=2))
    assert by_check(call(recovery_point_objective="2h"))["backup.age"]["status"] == "critical"
    assert by_check(call(recovery_point_objective="150m"))["backup.age"]["status"] == "warning"
    assert by_check(call(recovery_point_objective="3h"))["backup.age"]["status"] == "ok"


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[2] ^= 1
    path.write_bytes(data)


def deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "check"), [(emptied, "sizes"), (cut, "sizes"), (deleted, "sizes"), (flipped, "hashes"), (cut, "decode")]
)
def test_damage_is_told_with_set_and_file(
    call: Call, store: LocalStore, spoil: t.Callable[[Path], None], check: str
) -> None:
    put(store, datetime.timedelta(hours=3))
    spoilt = put(store, datetime.timedelta(hours=1))
    spoil(spoilt / DATA)
    result = call(check=check)
    damage = by_check(result)["backup.damage"]
    assert (damage["status"], damage["subject"]) == ("critical", f"{spoilt.name}/{DATA}")
    assert spoilt.name in result["msg"]
    assert DATA in result["msg"]
    # The older one is what would be restored.
    assert by_check(result)["backup.age"]["value"] >= 3 * 3600
    assert not result.get("failed")


def test_what_is_bad_is_in_the_journal_too(call: Call, store: LocalStore, tmp_path: Path) -> None:
    put(store, datetime.timedelta(days=2))
    call(step="age")
    (record,) = [json.loads(line) for line in (tmp_path / "state" / "journal.jsonl").read_text().splitlines()]
    assert (record["step"], record["failed"], record["data"]) == ("age", False, {"sets": 1})
    assert {f["check"]: f["status"] for f in record["findings"]}["backup.age"] == "critical"


def test_a_database_that_shrank_is_a_warning_until_it_is_accepted(call: Call, store: LocalStore) -> None:
    for hours in (9, 8, 7):
        put(store, datetime.timedelta(hours=hours), rows=50000)
    newest = put(store, datetime.timedelta(hours=1))
    found = by_check(call())["backup.size_trend"]
    assert (found["status"], found["value"], found["threshold"]) == ("warning", 0.01, 0.5)
    assert by_check(call(accept=[newest.name]))["backup.size_trend"]["status"] == "ok"
    assert by_check(call(size_drop="100%"))["backup.size_trend"]["status"] == "ok"


def test_gaps_are_looked_for_where_nothing_was_thinned_out(call: Call, store: LocalStore) -> None:
    for days in (20, 9, 6, 3, 0):
        put(store, datetime.timedelta(days=days))
    assert "and 2 earlier one(s)" in by_check(call())["backup.gap"]["message"]
    assert "and 3 earlier one(s)" in by_check(call(gaps_within="4w"))["backup.gap"]["message"]
    assert "backup.gap" not in by_check(call(gaps_within="0"))


def test_numbers_for_prometheus_are_written_but_in_check_mode(call: Call, store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "textfiles" / "boardroom_backup_main_local.prom"
    path.parent.mkdir()
    options = {"textfile_dir": str(path.parent)}
    # Without a store that could be looked at, the last numbers stay, and grow old.
    assert "metrics" not in call(**options)
    put(store, datetime.timedelta(hours=2))
    assert "metrics" not in call(**options, _ansible_check_mode=True)
    assert list(path.parent.iterdir()) == []
    assert call(**options)["metrics"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o644
    text = path.read_text(encoding="utf-8")
    assert 'boardroom_backup_sets{instance="main",store="local"} 1\n' in text
    assert 'boardroom_backup_newest_rows{instance="main",store="local"} 2\n' in text


def test_no_directory_is_one_critical_finding(call: Call) -> None:
    result = call()
    assert [(f["check"], f["status"]) for f in result["findings"]] == [("backup.store", "critical")]
    assert result["msg"].startswith("There is no backup directory ")
    assert result["sets"] == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 0}, "jobs is 0, but must be at least 1."),
        ({"recovery_point_objective": "daily"}, "recovery_point_objective is 'daily', but must be a number with"),
        ({"instance": "a/b"}, "instance is 'a/b', but must be a plain name"),
        ({"gaps_within": "daily"}, "gaps_within is 'daily', but must be a number with"),
        ({"size_drop": "half"}, "size_drop is 'half', but must be a share from 1% to 100%"),
        ({"accept": ["newest"]}, "accept is 'newest', but must be the name of a backup set"),
        ({"textfile_dir": "/nowhere"}, "textfile_dir is '/nowhere', but there is no such directory."),
        (
            {"s3": {"bucket": "some-bucket"}, "check": "decode"},
            "check: decode works on sets in a directory only; look at those in s3 with check: hashes.",
        ),
        ({"s3": {"bucket": "a"}}, "s3.bucket is 'a', but must be"),
        ({"check": "closely"}, "value of check must be one of: none, sizes, hashes, decode, got: closely"),
    ],
)
def test_bad_input_is_one_sentence(call: Call, options: dict[str, t.Any], sentence: str) -> None:
    result = call(**options)
    assert result["failed"]
    assert sentence in result["msg"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeS3]:
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    with FakeS3() as fake:
        yield fake


@pytest.fixture
def s3(server: FakeS3) -> dict[str, t.Any]:
    return {"bucket": BUCKET, "endpoint_url": server.url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}


@pytest.mark.parametrize("check", ["none", "sizes", "hashes"])
def test_off_site_one_age_says_what_would_be_lost(call: Call, s3: dict[str, t.Any], tmp_path: Path, check: str) -> None:
    store = S3Store(s3_options(s3), "main")
    for hours in (50, 2):
        set_id = stored.put_offsite(store, utc_now() - datetime.timedelta(hours=hours))
    result = call(s3=s3, check=check, textfile_dir=str(tmp_path))
    assert {name: f["status"] for name, f in by_check(result).items()} == dict.fromkeys(
        ["backup.offsite", "backup.damage", "backup.size_trend"], "ok"
    )
    assert 7200 <= by_check(result)["backup.offsite"]["value"] < 7260
    assert result["sets"][1]["path"] == f"s3://{BUCKET}/main/{set_id}"
    assert result["metrics"] == str(tmp_path / f"boardroom_backup_main_{BUCKET}.prom")
    assert f'boardroom_backup_sets{{instance="main",store="{BUCKET}"}} 2\n' in Path(result["metrics"]).read_text(
        "utf-8"
    )
    assert SECRET_KEY not in json.dumps(result)


@pytest.mark.parametrize(("spoil", "check"), [(deleted, "sizes"), (cut, "sizes"), (flipped, "hashes")])
def test_damage_off_site_is_told_with_set_and_object(
    call: Call, s3: dict[str, t.Any], server: FakeS3, tmp_path: Path, spoil: t.Callable[[Path], None], check: str
) -> None:
    store = S3Store(s3_options(s3), "main")
    stored.put_offsite(store, utc_now() - datetime.timedelta(hours=30))
    set_id = stored.put_offsite(store, utc_now())
    key = f"main/{set_id}/{DATA}"
    file = tmp_path / "object"
    file.write_bytes(server.objects[key].data)
    spoil(file)
    if file.exists():
        server.objects[key].data = file.read_bytes()
    else:
        del server.objects[key]
    result = call(s3=s3, check=check)
    assert by_check(result)["backup.damage"]["subject"] == f"{set_id}/{DATA}"
    # The older one is what would be restored.
    assert by_check(result)["backup.offsite"]["status"] == "critical"
    assert by_check(result)["backup.offsite"]["value"] >= 30 * 3600


def test_a_bucket_out_of_reach_is_one_critical_finding(call: Call, s3: dict[str, t.Any], server: FakeS3) -> None:
    server.fail("ListObjectsV2", 403, "AccessDenied", times=100)
    result = call(s3=s3)
    assert [(f["check"], f["status"]) for f in result["findings"]] == [("backup.store", "critical")]
    assert result["sets"] == []
    assert SECRET_KEY not in json.dumps(result)
