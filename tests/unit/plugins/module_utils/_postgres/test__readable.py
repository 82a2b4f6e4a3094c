# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump that would not be whole is refused by name; what pg_dump leaves out without a word is told."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _readable
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import Client, Login
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner

Rows = list[dict[str, t.Any]]


class Server(Client):
    """Its databases answer what they are given; nothing else is asked of them."""

    def __init__(self, **databases: dict[str, Rows]) -> None:
        super().__init__(Runner(), Login())
        self.databases = databases
        self.superuser = False
        self.sees_mappings = True
        self.opened: list[str] = []
        self.asked: list[str] = []

    def session(self, database: str, timeout: float = 30.0) -> t.Any:
        self.opened.append(database)
        return self

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exc: object) -> None: ...

    def query(self, select: str) -> Rows:
        self.asked.append(select)
        if select == _readable.WHO:
            return [{"name": "reader", "superuser": self.superuser}]
        return self.databases[self.opened[-1]].get(select, [])

    def value(self, select: str) -> bool:
        assert select == _readable.SEES_MAPPINGS
        return self.sees_mappings


def table(quoted: str, lacks: str, schema: str = "public", sequence: bool = False) -> dict[str, t.Any]:
    return {"quoted": quoted, "schema": schema, "role": "reader", "sequence": sequence, "lacks": lacks}


def test_a_superuser_reads_everything_and_is_asked_nothing_more() -> None:
    server = Server(app={_readable.UNREADABLE: [table("public.t", "table")]}, other={})
    server.superuser = True
    assert _readable.examine(server, ["app", "other"]) == []
    assert (server.opened, server.asked) == (["app"], [_readable.WHO])


def test_each_database_is_looked_at() -> None:
    server = Server(app={}, other={})
    assert _readable.examine(server, ["app", "other"]) == []
    assert server.opened == ["app", "other"]


@pytest.mark.parametrize(
    ("rows", "sentence", "grant"),
    [
        (
            [table("public.a", "table"), table("public.b", "table"), table("public.s", "table", sequence=True)],
            "The role reader may not read the table public.a, public.b of app: the dump would not be whole.",
            "GRANT SELECT ON TABLE public.a TO reader",
        ),
        (
            [table("public.s", "table", sequence=True)],
            "The role reader may not read the sequence public.s of app: the dump would not be whole.",
            "GRANT SELECT ON SEQUENCE public.s TO reader",
        ),
        (
            [table('"S".a', "schema", '"S"'), table("z.b", "schema", "z"), table('"S".c', "schema", '"S"')],
            'The role reader may not read "S".a, "S".c of app, for lack of USAGE on the schema "S": the dump would',
            'GRANT USAGE ON SCHEMA "S" TO reader',
        ),
        (
            [table(f"public.t{number}", "rows") for number in range(8)],
            "Row security of app hides rows of public.t0, public.t1, public.t2, public.t3, public.t4 and 3 more from",
            "ALTER ROLE reader BYPASSRLS",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_the_grant_that_is_missing(rows: Rows, sentence: str, grant: str) -> None:
    with pytest.raises(MaintenanceError) as caught:
        _readable.examine(Server(app={_readable.UNREADABLE: rows}), ["app"])
    assert caught.value.message.startswith(sentence)
    assert f"As a superuser: {grant}; or let playbooks/prepare.yml" in caught.value.remedy
    (found,) = caught.value.details["findings"]
    assert (found["check"], found["subject"], found["status"]) == ("database.access", "app", "critical")


def test_a_large_object_that_cannot_be_read_is_named() -> None:
    server = Server(app={_readable.UNREADABLE_OBJECTS: [{"oid": 90001, "role": '"Reader"'}]})
    with pytest.raises(MaintenanceError) as caught:
        _readable.examine(server, ["app"])
    assert "may not read the large object 90001 of app" in caught.value.message
    assert 'ALTER ROLE "Reader" SET lo_compat_privileges = on' in caught.value.remedy


def test_what_pg_dump_leaves_out_is_one_warning_for_each_database() -> None:
    server = Server(
        app={
            _readable.SUBSCRIPTIONS: [{"name": "replica"}],
            _readable.MAPPINGS: [{"name": "alice", "server": "far"}, {"name": "public", "server": "far"}],
        },
        other={_readable.SUBSCRIPTIONS: [{"name": "more"}]},
    )
    first, second = _readable.examine(server, ["app", "other"])
    assert (first["check"], first["subject"], first["status"], first["value"]) == (
        "backup.left_out",
        "app",
        "warning",
        3,
    )
    assert first["message"] == (
        "A dump of app by the role reader, which is no superuser, does not hold the subscription replica; "
        "the options of alice's mapping to the foreign server far; "
        "the options of public's mapping to the foreign server far."
    )
    assert (second["subject"], second["value"]) == ("other", 1)


def test_who_may_not_look_is_told_of_each_mapping_without_options() -> None:
    server = Server(app={_readable.SUSPECT_MAPPINGS: [{"name": "bob", "server": "far"}]})
    server.sees_mappings = False
    (found,) = _readable.examine(server, ["app"])
    assert "bob's mapping to the foreign server far" in found["message"]
