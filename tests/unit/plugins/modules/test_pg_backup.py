# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible calls it, with a backup that only says what it was asked for."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._findings import finding
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _backup
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._archive import Place
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import HostClient
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._offsite import Offsite
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._request import Request
from ansible_collections.boardroom.maintenance.plugins.modules import pg_backup

ID = "20261124T020000Z-9f3a1c2e"
TIME = "2026-11-24T02:00:00Z"
MANIFEST = {
    "id": ID,
    "bytes": 1500,
    "snapshot_time": TIME,
    "started": TIME,
    "finished": TIME,
    "server_version": "17.6",
    "client_version": "17.6",
    "system_identifier": "7711",
    "verification": [{"level": "decode", "at": TIME}],
    "globals": {"included": True, "passwords": True},
    "archives": [{"name": "app"}],
    "tags": ["weekly"],
    "files": [{"path": "globals.sql.zst", "bytes": 1500, "sha256": "0"}],
    "databases": [
        {"name": "app", "rows_total": 3, "tables": [{}, {}], "migration_revisions": ["0004"]},
        {"name": "other", "rows_total": 2, "tables": [{}], "migration_revisions": []},
    ],
}


class Stub:
    """Stands for the taking of a set."""

    asked: t.ClassVar[list[tuple[Request, bool]]] = []
    offsite: t.ClassVar[list[Offsite | None]] = []
    result = _backup.Result(
        True,
        "Taken.",
        MANIFEST,
        f"/b/main/{ID}",
        [finding("backup.verified", ID, "ok", "")],
        [],
        f"s3://backups/main/{ID}",
        {"dump": 1.5, "copy": 2.5},
        ["app: there is no logs in /srv."],
    )

    def __init__(self, client: object, store: t.Any, runner: object, offsite: Offsite | None) -> None:
        assert isinstance(client, HostClient)
        self.root = store.root
        self.offsite.append(offsite)

    def take(self, request: Request, check_mode: bool) -> _backup.Result:
        self.asked.append((request, check_mode))
        return self.result


S3 = {
    "bucket": "backups",
    "prefix": "site",
    "endpoint_url": "https://s3.example.com",
    "access_key": "AKIAEXAMPLE",
    "secret_key": "hunter22",
    "session_token": "hunter33",
}
Call = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr(Stub, "asked", [])
    monkeypatch.setattr(Stub, "offsite", [])
    monkeypatch.setattr(_backup, "Backup", Stub)

    def run(**options: t.Any) -> dict[str, t.Any]:
        fixed = {"_ansible_module_name": "boardroom.maintenance.pg_backup", "state_dir": str(tmp_path / "state")}
        with patch_module_args({**fixed, **options}), pytest.raises(SystemExit):
            pg_backup.main()
        return t.cast("dict[str, t.Any]", json.loads(capsys.readouterr().out))

    return run


def test_the_result_is_what_is_documented(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    # Where Ansible's controller is loaded too, it prints them itself.
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    result = call()
    documented = yaml.safe_load(pg_backup.RETURN)
    assert set(documented) <= set(result)
    assert set(result["backup"]) == set(documented["backup"]["contains"])
    assert (result["changed"], result["backup"]["rows"], result["backup"]["tables"]) == (True, 5, 3)
    assert result["backup"]["databases"] == ["app", "other"]
    assert (result["backup"]["archives"], result["backup"]["tags"]) == (["app"], ["weekly"])
    assert (result["offsite"], result["seconds"]) == (f"s3://backups/main/{ID}", {"dump": 1.5, "copy": 2.5})
    assert warned == ["app: there is no logs in /srv."]
    assert result["backup"]["migration_revisions"] == {"app": ["0004"]}
    (record,) = [json.loads(line) for line in (tmp_path / "state" / "journal.jsonl").read_text().splitlines()]
    assert (record["module"], record["changed"], record["failed"]) == ("pg_backup", True, False)


def test_what_is_asked_for_is_asked_for(call: Call) -> None:
    call(
        databases=["app"],
        jobs=3,
        compress="gzip:9",
        min_free="5GiB",
        max_age="11h",
        force=True,
        globals=False,
        timeout="2h",
        lock_wait_timeout="1m",
        release="v1.3.0",
        login_db="app",
        files=[
            {"name": "app", "path": "/srv/app/", "include": ["logs"], "exclude": ["*.tmp"], "optional": True},
            {"name": "tls", "path": "/etc/app"},
        ],
        tags=["weekly"],
        s3=S3,
        recipients=["age1x"],
        stream=True,
        _ansible_check_mode=True,
    )
    ((request, check_mode),) = Stub.asked
    assert check_mode
    assert request == Request(
        databases=["app"],
        login_db="app",
        jobs=3,
        compress="gzip:9",
        min_free="5GiB",
        max_age=39600,
        force=True,
        timeout=7200,
        lock_wait=60,
        with_globals=False,
        release="v1.3.0",
        places=(Place("app", "/srv/app", ("logs",), ("*.tmp",), True), Place("tls", "/etc/app")),
        tags=("weekly",),
        stream=True,
    )
    (offsite,) = Stub.offsite
    assert offsite
    assert offsite.store.root == "s3://backups/site/main"
    with pytest.raises(MaintenanceError, match="recipient 'age1x'"):
        offsite.require_keys()


def test_the_defaults_are_those_that_are_documented(call: Call) -> None:
    call()
    ((request, check_mode),) = Stub.asked
    assert not check_mode
    assert request == Request(databases=["all"])
    assert Stub.offsite == [None]


def test_check_mode_has_no_set_to_describe_and_journals_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stub, "result", _backup.Result(True, "Would be.", None, "", [], [".incomplete-x"]))
    result = call(_ansible_check_mode=True)
    assert "backup" not in result or result["backup"] is None
    assert (result["changed"], result["swept"]) == (True, [".incomplete-x"])
    assert list(tmp_path.iterdir()) == []


def test_the_password_stands_neither_in_result_nor_in_journal(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(self: Stub, request: object, check_mode: bool) -> t.NoReturn:
        found = finding("database.reachable", "x", "critical", "refused hunter22")
        raise MaintenanceError("psql said: hunter22.", "Try hunter22.", findings=[found], stderr_tail="hunter22")

    monkeypatch.setattr(Stub, "take", leaky)
    result = call(login_password="hunter22", login_host="db")
    assert result["failed"]
    assert result["msg"].startswith("psql said: ********.")
    assert result["findings"][0]["status"] == "critical"
    journal = (tmp_path / "state" / "journal.jsonl").read_text(encoding="utf-8")
    assert '"failed": true' in journal
    assert "hunter22" not in json.dumps(result) + journal


def test_the_keys_of_the_store_stand_neither_in_result_nor_in_journal(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(self: Stub, request: object, check_mode: bool) -> t.NoReturn:
        raise MaintenanceError("The store said: hunter22 and hunter33.", "Try hunter22.", stderr_tail="hunter33")

    monkeypatch.setattr(Stub, "take", leaky)
    result = call(s3=S3)
    assert result["msg"].startswith("The store said: ******** and ********.")
    journal = (tmp_path / "state" / "journal.jsonl").read_text(encoding="utf-8")
    for secret in ("hunter22", "hunter33"):
        assert secret not in json.dumps(result) + journal


def test_secrets_in_the_clear_may_leave_when_the_store_s_option_says_so(call: Call) -> None:
    call(s3=S3)
    call(s3={**S3, "allow_unencrypted_secrets": True})
    strict, lax = Stub.offsite
    assert strict
    assert lax
    with pytest.raises(MaintenanceError, match="holds secrets: app/key"):
        strict.require_secrecy(["app/key"])
    lax.require_secrecy(["app/key"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 0}, "jobs is 0, but must be at least 1."),
        ({"compress": "lz4"}, "compress is 'lz4', but must be zstd, gzip or none"),
        ({"min_free": "much"}, "min_free is 'much', but must be a share such as 10%"),
        ({"max_age": "soon"}, "max_age is 'soon', but must be a number with s, m, h, d or w"),
        ({"timeout": "0"}, "timeout is 0, but must be at least 1s."),
        ({"lock_wait_timeout": "0s"}, "lock_wait_timeout is 0s, but must be at least 1s."),
        ({"dest": "backups"}, "dest is 'backups', but must be an absolute path."),
        ({"instance": "../x"}, "instance is '../x', but must be a plain name"),
        ({"tags": ["two words"]}, "tags has 'two words', but a tag is a word of letters"),
        ({"tags": ["a\n"]}, "tags has 'a\\n'"),
        ({"tags": [""]}, "tags has ''"),
        ({"stream": True}, "stream needs s3"),
        ({"recipients": ["age1x"]}, "recipients needs s3"),
        ({"s3": {"bucket": "x", "access_key": "only"}}, "s3.access_key and s3.secret_key must be given together"),
        ({"s3": {"bucket": "backups", "concurrency": 0}}, "s3.concurrency is 0"),
        ({"s3": {"prefix": "x"}}, "missing required arguments: bucket found in s3"),
        ({"files": [{"name": "a/b", "path": "/srv"}]}, "files has the name 'a/b'"),
        ({"files": [{"name": "a", "path": "/srv"}, {"name": "a", "path": "/x"}]}, "files has the name 'a' twice"),
        ({"files": [{"name": "a", "path": "srv"}]}, "must be absolute"),
        ({"files": [{"name": "a", "path": "/srv", "include": ["../x"]}]}, "include has '../x'"),
        ({"files": [{"name": "a", "path": "/srv", "exclude": ["a\\b"]}]}, "exclude has 'a\\\\b'"),
        ({"files": [{"path": "/srv"}]}, "missing required arguments: name found in files"),
        ({"client": "exec"}, "client is exec but all of the following are missing: project_src, service"),
        ({"client": "sibling", "service": "db"}, "client is sibling but all of the following are missing: project_src"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_touched(
    call: Call, options: dict[str, t.Any], sentence: str
) -> None:
    result = call(**options)
    assert result["failed"]
    assert sentence in result["msg"]
    assert Stub.asked == []
