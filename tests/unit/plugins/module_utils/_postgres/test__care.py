# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics where they are due, the largest tables of all databases, and what will hurt later."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _care, _queries
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import Client, Login
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner

DAY = 86400


class Cluster(Client):
    """Databases, each with the tables whose statistics are due; its session answers for it."""

    def __init__(self, due: dict[str, list[str]]) -> None:
        super().__init__(Runner(), Login())
        self.due = due
        # Tables that ANALYZE passes over.
        self.others: dict[str, list[str]] = {}
        self.standby = False
        self.invalid: list[str] = []
        self.age = 1000
        self.statements: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.open = 0
        self.database = ""

    @property
    def subject(self) -> str:
        return "the cluster"

    def session(self, database: str, timeout: float = 30.0) -> t.Any:
        self.database = database
        self.open += 1
        return self

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.open -= 1

    def run(self, sql: str, *_more: t.Any) -> t.Any:
        self.statements.append((self.database, sql))
        if sql == "ANALYZE":
            self.due[self.database] = self.others.get(self.database, [])
        return []

    def query(self, select: str, timeout: float = 0) -> list[dict[str, t.Any]]:
        self.asked.append(select)
        if select == _queries.CLUSTER:
            return [{"server_version": "17.6", "standby": self.standby}]
        if select == _queries.DATABASES:
            return [{"name": name, "size_bytes": 5_000_000} for name in self.due]
        if "pg_stat_user_tables" in select:
            return [{"quoted": name} for name in self.due[self.database]]
        if "pg_total_relation_size" in select:
            sizes = (30, 10) if self.database == "app" else (20,)
            return [{"schema": "public", "table": f"t{size}", "bytes": size} for size in sizes]
        assert select == _care.INVALID_INDEXES
        return [{"quoted": name} for name in self.invalid]

    def value(self, select: str, timeout: float = 0) -> t.Any:
        assert select == _care.XID_AGE
        return self.age


@pytest.fixture
def cluster() -> Cluster:
    return Cluster({"app": ["public.users"], "other": []})


def care(cluster: Cluster, limit: int = 10, check_mode: bool = False, wanted: t.Sequence[str] = ("all",)) -> _care.Care:
    return _care.care(cluster, "postgres", wanted, DAY, limit, 60, check_mode)


def by_check(done: _care.Care, subject: str = "app") -> dict[str, dict[str, t.Any]]:
    return {f["check"]: f for f in done.findings if f["subject"] == subject}


def test_only_what_is_due_is_analyzed(cluster: Cluster) -> None:
    done = care(cluster)
    assert done.analyzed == ["app"]
    assert [name for name, sql in cluster.statements if sql == "ANALYZE"] == ["app"]
    assert any(f"secs => {DAY}" in select for select in cluster.asked)
    assert cluster.open == 0
    assert {f["status"] for f in done.findings} == {"ok"}
    # Then nothing is due any more.
    assert care(cluster).analyzed == []


def test_check_mode_only_looks(cluster: Cluster) -> None:
    assert care(cluster, check_mode=True).analyzed == ["app"]
    assert cluster.statements == []


def test_a_standby_is_left_to_its_primary(cluster: Cluster) -> None:
    cluster.standby = True
    assert care(cluster).analyzed == []
    assert cluster.statements == []


def test_a_lock_does_not_hold_it_up_for_long(cluster: Cluster) -> None:
    care(cluster)
    assert cluster.statements == [("app", "SET lock_timeout = '30s'"), ("app", "ANALYZE")]


def test_tables_that_were_passed_over_are_a_warning(cluster: Cluster) -> None:
    cluster.others = {"app": [f"public.t{number}" for number in range(7)]}
    found = by_check(care(cluster))["database.statistics"]
    assert (found["status"], found["value"]) == ("warning", 7)
    assert "public.t4." in found["message"]
    assert "public.t5" not in found["message"]
    assert "MAINTAIN" in found["remedy"]


def test_the_largest_tables_of_all_databases_come_first(cluster: Cluster) -> None:
    assert [(row["database"], row["bytes"]) for row in care(cluster).largest] == [
        ("app", 30),
        ("other", 20),
        ("app", 10),
    ]
    assert [row["bytes"] for row in care(cluster, limit=2).largest] == [30, 20]
    # Of each database no more than that are asked for.
    assert len([select for select in cluster.asked if select.rstrip().endswith("LIMIT 2")]) == 2


def test_only_the_databases_that_are_asked_for(cluster: Cluster) -> None:
    assert {row["database"] for row in care(cluster, wanted=["other"]).largest} == {"other"}
    with pytest.raises(MaintenanceError, match="has no database 'nosuch'"):
        care(cluster, wanted=["nosuch"])


def test_invalid_indexes_are_named(cluster: Cluster) -> None:
    assert by_check(care(cluster))["database.invalid_index"]["status"] == "ok"
    cluster.invalid = ["public.half_built"]
    found = by_check(care(cluster))["database.invalid_index"]
    assert (found["status"], found["value"]) == ("warning", 1)
    assert "public.half_built" in found["message"]
    assert "REINDEX" in found["remedy"]


@pytest.mark.parametrize(
    ("age", "status"),
    [(2**30 - 1, "ok"), (2**30, "warning"), (1_599_999_999, "warning"), (1_600_000_000, "critical")],
)
def test_transaction_ids_that_run_out_are_told_in_time(cluster: Cluster, age: int, status: str) -> None:
    cluster.age = age
    found = by_check(care(cluster))["database.wraparound"]
    assert (found["status"], found["value"]) == (status, age)
    assert bool(found["remedy"]) == (status != "ok")
