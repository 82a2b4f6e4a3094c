# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the benchmark writes its page, and the sets that it puts into the store."""

from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

import benchmark
import benchsets
import benchtable
import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._sets import backup_set
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import Entry
from benchtable import Measured
from labkit.process import LabError

NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.timezone.utc)


class Site:
    """A site on which everything takes a second."""

    host = store = "somewhere"
    address = "10.240.0.2"
    recipient = "age1somebody"

    def __init__(self) -> None:
        self.is_up = False
        self.lacking = ""

    def up(self, again: bool) -> None:
        assert not again
        self.is_up = True

    def down(self) -> None:
        self.is_up = False

    def fill(self, _database: str, megabytes: float) -> int:
        return int(megabytes * 1e6)

    def versions(self) -> dict[str, str]:
        return {"PostgreSQL": "17.6"}

    def machine(self) -> str:
        return "2 cores"

    def bucket(self, _name: str, *, remove: bool = False) -> None:
        pass

    def sh(self, _script: str) -> str:
        return "7 /bench/sets"

    def s3(self, bucket: str) -> dict[str, t.Any]:
        return {"bucket": bucket}

    def run(self, argv: list[str], *_rest: object) -> Measured:
        return Measured(1, 1, size=7)

    def module(self, name: str, arguments: dict[str, t.Any], check: bool = False) -> tuple[Measured, dict[str, t.Any]]:
        if name == self.lacking:
            raise LabError(f"{name} failed")
        sets: list[dict[str, t.Any]] = [{"problems": []}] * 5
        if name == "pg_backup_info":
            return Measured(1, 1), {"sets": sets}
        if name == "pg_backup_prune":
            assert check
            return Measured(1, 1), {"kept": sets[:2], "removed": sets[2:], "held": []}
        offsite = "s3://somewhere/1" if arguments.get("s3") else ""
        stages = {"dump": 0.5, "verify": 0.2}
        return Measured(1, 1, stages=stages), {"backup": {"id": "1", "path": "/set"}, "offsite": offsite}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "docs" / "performance.md"
    path.parent.mkdir()
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    monkeypatch.setattr(benchmark, "PAGE", path)
    monkeypatch.setattr(benchmark, "COUNT", 5)
    monkeypatch.setattr(benchmark, "revision", lambda: "abc1234")
    monkeypatch.setattr(benchmark, "core_version", lambda: "2.19.0")
    monkeypatch.setattr(benchsets, "manifest", lambda *_place: real())
    monkeypatch.setattr(benchsets, "fill", lambda *_place: None)
    return path


def run(site: Site, *arguments: str) -> int:
    args = benchmark.parser().parse_args(arguments)
    return benchmark.measure(args, t.cast(t.Any, site))


def test_a_whole_run_prints_the_tables_that_it_writes(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site()
    assert run(site) == 0
    assert not site.is_up
    written = page.read_text(encoding="utf-8")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) > len(benchtable.LIMITS) + len(benchtable.RUNS)
    assert set(shown) <= set(written.splitlines())
    assert "`make bench ARGS=backup`" in written
    assert "revision abc1234; 3 rounds, 5 sets of 60 files in S3; PostgreSQL 17.6, ansible-core 2.19.0" in written
    assert "**not kept**" in written


@pytest.mark.parametrize("arguments", [["--rounds", "2"], ["--only", "dump"], ["--megabytes", "100"]])
def test_a_part_of_a_run_prints_and_writes_nothing(
    page: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Site(), *arguments) == 0
    assert "| 1. bare `pg_dump" in capsys.readouterr().out
    assert not page.exists()


def test_what_cannot_be_run_is_a_failure_and_leaves_no_host(page: Path) -> None:
    site = Site()
    site.lacking = "pg_backup"
    with pytest.raises(LabError, match="pg_backup failed"):
        run(site)
    assert not site.is_up
    assert not page.exists()


def test_a_row_that_is_not_there_is_named_before_anything_is_made(page: Path) -> None:
    site = Site()
    with pytest.raises(LabError, match="there is no row nonsense: use dump, dump_same, script, local"):
        run(site, "--only", "nonsense")
    assert not site.is_up


def real() -> dict[str, t.Any]:
    """A manifest as pg_backup leaves it off-site, in short."""
    file = {"path": "databases/app/1.dat.zst", "bytes": 5, "sha256": "00", "objects": [{"name": "x", "bytes": 9}]}
    table = {"oid": 1, "schema": "public", "name": "t", "quoted": "public.t", "rows": 2, "file": file["path"]}
    database = {"name": "app", "bytes": 5, "rows_total": 2, "tables": [table], "large_objects": []}
    return _manifest.seal(
        {
            "schema": _manifest.SCHEMA,
            "id": "20200101T000000Z-00000000",
            "system_identifier": "7711",
            "server_version": "17.6",
            "snapshot_time": "2020-01-01T00:00:00Z",
            "databases": [database],
            "files": [file],
            "bytes": 5,
            "verification": [{"level": "decode", "at": "2020-01-01T00:00:00Z"}],
        }
    )


def test_the_history_is_of_whole_sets_as_a_timer_makes_them() -> None:
    made = list(benchsets.history(real(), 4, NOON))
    assert [each["snapshot_time"] for each in made] == [
        "2026-11-23T03:00:00Z",
        "2026-11-23T14:00:00Z",
        "2026-11-24T01:00:00Z",
        "2026-11-24T12:00:00Z",
    ]
    assert len({each["id"] for each in made}) == 4
    for each in made:
        assert not _manifest.problem(Entry(each["id"], "somewhere", each, ""))
        assert len({file["path"] for file in each["files"]}) == benchsets.FILES
        assert all(file["objects"][0]["name"] == file["path"] for file in each["files"])
        known = backup_set(Entry(each["id"], "somewhere", each, ""), [])
        assert known.good and known.taken <= NOON
