# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, on sets that lie on this machine's disk and in a bucket."""

from __future__ import annotations

import datetime
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _s3_client
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Store, s3_options
from ansible_collections.boardroom.maintenance.plugins.module_utils._time import utc_now
from ansible_collections.boardroom.maintenance.plugins.modules import pg_backup_prune

from ..module_utils._postgres.stored import put, put_offsite
from ..module_utils._storage.fake_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, FakeS3

Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "backups" / "main"))


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(**options: t.Any) -> dict[str, t.Any]:
        fixed = {"state_dir": str(tmp_path / "state"), "dest": str(tmp_path / "backups"), "_ansible_diff": True}
        with patch_module_args({**fixed, **options}), pytest.raises(SystemExit):
            pg_backup_prune.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def fill(store: LocalStore, *hours: float, **facts: t.Any) -> list[str]:
    """Sets that many hours old; their ids."""
    return [put(store, utc_now() - datetime.timedelta(hours=age), **facts).name for age in hours]


def there(store: LocalStore) -> list[str]:
    return [entry.id for entry in store.entries()]


def test_check_mode_says_what_would_go_and_why_the_others_stay(call: Call, store: LocalStore, tmp_path: Path) -> None:
    ids = fill(store, 90, 80, 50, 40, 2)
    options = {"keep_daily": 1, "keep_within": "48h"}
    result = call(_ansible_check_mode=True, **options)
    documented = yaml.safe_load(pg_backup_prune.RETURN)
    assert set(documented) <= set(result)
    assert set(result["kept"][0]) == set(documented["kept"]["contains"])
    assert set(result["removed"][0]) == set(documented["removed"]["contains"])
    assert result["changed"] is True
    assert [each["id"] for each in result["removed"]] == ids[:3]
    assert [each["id"] for each in result["kept"]] == ids[3:]
    assert result["kept"][0]["reasons"] == ["among the newest 2 with database app", "younger than 2 d"]
    assert result["kept"][1]["reasons"][2].startswith("newest of day ")
    assert result["diff"] == {
        "before": "".join(f"{each}\n" for each in ids),
        "after": "".join(f"{each}\n" for each in ids[3:]),
    }
    assert there(store) == ids
    assert not (tmp_path / "state" / "journal.jsonl").exists()
    done = call(**options)
    assert there(store) == ids[3:]
    assert {**done, "msg": "", "findings": []} == {**result, "msg": "", "findings": []}
    assert done["freed_bytes"] == sum(each["bytes"] for each in done["removed"])
    again = call(**options)
    assert (again["changed"], again["removed"], again["freed_bytes"]) == (False, [], 0)


def test_while_it_is_held_the_journal_says_why(call: Call, store: LocalStore, tmp_path: Path) -> None:
    ids = fill(store, 90, 80, 50, 40)
    result = call(keep_within="1h", step="prune")
    assert there(store) == ids
    assert (result["changed"], result["removed"], len(result["held"])) == (False, [], 1)
    assert not result.get("failed")
    assert [each["reasons"] for each in result["kept"][:2]] == [["nothing is removed while retention is held"]] * 2
    (record,) = [json.loads(line) for line in (tmp_path / "state" / "journal.jsonl").read_text().splitlines()]
    assert (record["step"], record["failed"], record["data"]["held"]) == ("prune", False, result["held"])
    assert [(f["check"], f["status"]) for f in record["findings"]] == [("backup.retention", "warning")]


def test_the_objective_is_the_site_s(call: Call, store: LocalStore) -> None:
    fill(store, 90, 80, 50, 40)
    assert len(call(keep_within="1h", recovery_point_objective="41h")["removed"]) == 2


def test_a_suspicious_set_is_accepted_by_its_name(call: Call, store: LocalStore) -> None:
    fill(store, 90, 80, 70, rows=50000)
    (newest,) = fill(store, 1)
    assert "is suspicious" in call(keep_within="1h")["held"][0]
    assert len(call(keep_within="1h", accept=newest)["removed"]) == 2


def test_of_several_clusters_one_must_be_named(call: Call, store: LocalStore) -> None:
    mine, other = fill(store, 90, 80, 1, 0), fill(store, 90, 80, 1, 0, identity="8822")
    assert call(keep_within="1h")["held"] == ["Sets of several clusters lie here: 7711, 8822."]
    result = call(keep_within="1h", system_identifier="8822")
    assert [each["id"] for each in result["removed"]] == other[:2]
    assert sorted(there(store)) == sorted([*mine, *other[2:]])


def test_a_bucket_has_rules_of_its_own(call: Call, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    local = fill(store, 90, 80, 2)
    with FakeS3() as server:
        s3 = {"bucket": BUCKET, "endpoint_url": server.url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        offsite = S3Store(s3_options(s3), "main")
        ids = [put_offsite(offsite, utc_now() - datetime.timedelta(hours=age)) for age in (90, 60, 2)]
        wanted = call(s3=s3, keep_daily=2, _ansible_check_mode=True)
        assert [entry.id for entry in offsite.entries()] == ids
        result = call(s3=s3, keep_daily=2)
        assert [each["id"] for each in wanted["removed"]] == [each["id"] for each in result["removed"]] == ids[:1]
        assert [entry.id for entry in offsite.entries()] == ids[1:]
        assert f"removed from s3://{BUCKET}/main" in result["msg"]
        assert SECRET_KEY not in json.dumps(result)
    assert there(store) == local


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "The policy keeps nothing, so nothing is removed."),
        ({"keep_tags": ["pre-upgrade"]}, "The policy keeps nothing, so nothing is removed."),
        ({"keep_daily": -1}, "keep_daily is -1, but must not be negative."),
        ({"keep_daily": 7, "minimum_redundancy": 0}, "minimum_redundancy is 0, but must be at least 1."),
        ({"keep_within": "a week"}, "keep_within is 'a week', but must be a number with"),
        ({"keep_daily": 7, "recovery_point_objective": "daily"}, "recovery_point_objective is 'daily', but must be"),
        ({"keep_daily": 7, "incomplete_ttl": "soon"}, "incomplete_ttl is 'soon', but must be"),
        ({"keep_daily": 7, "size_drop": "half"}, "size_drop is 'half', but must be a share from 1% to 100%"),
        ({"keep_daily": 7, "accept": ["newest"]}, "accept is 'newest', but must be the name of a backup set"),
        ({"keep_daily": 7, "instance": "a/b"}, "instance is 'a/b', but must be a plain name"),
        ({"keep_daily": 7, "s3": {"bucket": "a"}}, "s3.bucket is 'a', but must be"),
    ],
)
def test_bad_input_is_one_sentence_and_touches_nothing(
    call: Call, store: LocalStore, options: dict[str, t.Any], sentence: str
) -> None:
    ids = fill(store, 90, 80, 50, 2)
    result = call(**options)
    assert result["failed"]
    assert sentence in result["msg"]
    assert there(store) == ids


def test_a_store_that_is_not_there_is_an_error(call: Call) -> None:
    result = call(keep_daily=7)
    assert result["failed"]
    assert result["msg"].startswith("There is no backup directory ")
