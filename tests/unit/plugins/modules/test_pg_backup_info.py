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
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _decode, _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import format_utc, new_id, utc_now
from ansible_collections.boardroom.maintenance.plugins.modules import pg_backup_info

DATA = "databases/app/1.dat"


def put(store: LocalStore, age: datetime.timedelta) -> Path:
    """A set with one table of two rows, that old."""
    moment = utc_now() - age
    set_id = new_id(moment)
    path = Path(store.begin(set_id), DATA)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"row\nrow\n" + _decode.END_OF_ROWS)
    size, sha256 = _decode.digest(str(path))
    table = {"oid": 1, "schema": "public", "name": "t", "quoted": "public.t", "rows": 2, "file": DATA}
    database = {"name": "app", "format": "directory", "path": "databases/app", "compress": "none", "rows_total": 2}
    manifest = {
        "schema": _manifest.SCHEMA,
        "id": set_id,
        "system_identifier": "7711",
        "server_version": "17.6",
        "client_version": "17.6",
        "snapshot_time": format_utc(moment),
        "databases": [{**database, "bytes": size, "tables": [table], "large_objects": []}],
        "files": [{"path": DATA, "bytes": size, "sha256": sha256}],
        "bytes": size,
        "verification": [{"level": "decode", "at": format_utc(moment)}],
    }
    return Path(store.commit(set_id, _manifest.seal(manifest)))


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
    assert set(documented) <= set(result)
    assert set(result["sets"][0]) == set(documented["sets"]["contains"])
    assert (result["changed"], result["msg"]) == (False, "1 set(s), all whole.")
    assert {name: f["status"] for name, f in by_check(result).items()} == {"backup.age": "ok", "backup.damage": "ok"}
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
        ({"check": "closely"}, "value of check must be one of: none, sizes, hashes, decode, got: closely"),
    ],
)
def test_bad_input_is_one_sentence(call: Call, options: dict[str, t.Any], sentence: str) -> None:
    result = call(**options)
    assert result["failed"]
    assert sentence in result["msg"]
