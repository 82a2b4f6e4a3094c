# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import finding
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _access
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._access import Made, Wanted
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import Client
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner
from ansible_collections.boardroom.maintenance.plugins.modules import pg_backup_role

Call = t.Callable[..., dict[str, t.Any]]
PASSWORD = "a password of the test"


class Stub:
    """Stands for the making of the role; it remembers who was asked to do what."""

    def __init__(self) -> None:
        self.changes = ["role made"]
        self.made: list[tuple[str, str, Wanted, bool]] = []
        self.proven: list[tuple[str, str, t.Sequence[str]]] = []

    def make(self, client: Client, wanted: Wanted, check_mode: bool) -> Made:
        self.made.append((client.login.user, client.login.password, wanted, check_mode))
        found = [finding("database.reachable", "x", "ok", "Answers.")]
        return Made(self.changes, {"password": "none"}, {"password": "set"}, ["app"], found)

    def prove(self, client: Client, wanted: Wanted, databases: t.Sequence[str]) -> list[dict[str, t.Any]]:
        self.proven.append((client.login.user, client.login.password, databases))
        return [finding("backup.left_out", "app", "warning", "It does not hold the subscription s.")]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(_access, "make", stub.make)
    monkeypatch.setattr(_access, "prove", stub.prove)
    monkeypatch.setattr(Runner, "find", lambda _self, program: f"/usr/bin/{program}")
    return stub


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], stub: Stub) -> Call:
    def run(**options: t.Any) -> dict[str, t.Any]:
        with patch_module_args({"state_dir": str(tmp_path / "state"), **options}), pytest.raises(SystemExit):
            pg_backup_role.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def test_the_superuser_makes_the_role_and_the_role_itself_is_tried(
    call: Call, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    # Where Ansible's controller is loaded too, it prints them itself.
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    result = call(login_password="root's", password=PASSWORD, databases=["app"], connection_limit=5, _ansible_diff=True)
    wanted = Wanted("boardroom_backup", ["app"], "postgres", PASSWORD, 5, True)
    assert stub.made == [("postgres", "root's", wanted, False)]
    assert stub.proven == [("boardroom_backup", PASSWORD, ["app"])]
    assert (result["changed"], result["msg"]) == (True, "The role boardroom_backup was made right: role made.")
    assert result["left_out"] == ["It does not hold the subscription s."]
    assert warned == ["It does not hold the subscription s."]
    assert result["diff"] == {"before": {"password": "none"}, "after": {"password": "set"}}
    assert [f["check"] for f in result["findings"]] == ["database.reachable", "backup.left_out"]
    (record,) = [json.loads(line) for line in (tmp_path / "state" / "journal.jsonl").read_text().splitlines()]
    assert record["data"] == {"changes": ["role made"], "databases": ["app"], "left_out": result["left_out"]}
    assert PASSWORD not in json.dumps([record, {**result, "invocation": None}])


def test_a_role_as_it_should_be_is_no_change(call: Call, stub: Stub) -> None:
    stub.changes = []
    result = call(_ansible_diff=True)
    assert (result["changed"], result["msg"]) == (False, "The role boardroom_backup is as it should be.")
    assert "diff" not in result
    assert stub.proven == [("boardroom_backup", "", ["app"])]


def test_check_mode_tries_no_login_of_a_role_that_is_not_made(call: Call, stub: Stub, tmp_path: Path) -> None:
    result = call(_ansible_check_mode=True)
    assert (result["changed"], result["msg"]) == (True, "The role boardroom_backup would be made right: role made.")
    assert stub.proven == []
    assert list(tmp_path.iterdir()) == []
    stub.changes = []
    call(_ansible_check_mode=True)
    assert len(stub.proven) == 1


def test_the_login_can_be_left_untried(call: Call, stub: Stub) -> None:
    assert call(check_login=False)["left_out"] == []
    assert stub.proven == []


def test_a_host_without_psql_is_told_what_to_install(call: Call, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "find", lambda _self, _program: None)
    result = call()
    assert result["failed"]
    assert result["msg"].startswith("The program psql is not installed on this host. Install PostgreSQL or its client")
    assert stub.made == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "pg_reader"}, "not beginning with pg_"),
        ({"password": "geheimnisträger"}, "password must be made of printable ASCII characters"),
        ({"connection_limit": -7}, "connection_limit is -7"),
        ({"client": "sibling"}, "missing: project_src, service"),
    ],
)
def test_bad_input_is_one_sentence(call: Call, stub: Stub, options: dict[str, t.Any], sentence: str) -> None:
    result = call(**options)
    assert result["failed"]
    assert sentence in result["msg"]
    assert stub.made == []
