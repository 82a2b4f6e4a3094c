# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL's programs are started, and what never stands among their arguments."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._engine._compose import Container
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _client
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import (
    Dump,
    ExecClient,
    HostClient,
    Login,
    SiblingClient,
)
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._session import DatabaseError
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner
from hypothesis import given
from hypothesis import strategies as st

CONTAINER = Container(
    id="c" * 64,
    name="app-db-1",
    project="app",
    service="db",
    number=1,
    oneoff=False,
    state="running",
    health="",
    exit_code=0,
    restarts=0,
    oom_killed=False,
    started_at="",
    image="postgres:17",
    image_id="sha256:1",
    restart_policy="no",
)


class Recorder(Runner):
    """Keeps what would be started."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[list[str], dict[str, str]]] = []

    def start(self, argv: t.Sequence[str], **options: t.Any) -> t.Any:
        self.seen.append((list(argv), dict(options.get("env") or {})))
        raise ProgramError("not really")

    def run(self, argv: t.Sequence[str], **options: t.Any) -> t.Any:
        return self.start(argv, **options)


@given(
    password=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=12, max_size=20),
    database=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=12, max_size=20),
)
def test_neither_password_nor_database_is_ever_an_argument(password: str, database: str) -> None:
    login = Login(password=password)
    for kind in (HostClient, ExecClient, SiblingClient):
        recorder = Recorder()
        more = () if kind is HostClient else (CONTAINER,)
        client = kind(recorder, login, *more)
        dump = Dump(database, "/nowhere" if kind is not ExecClient else "/dev/null/x", "1-1", 2, "zstd:3", "30s")
        for call in (
            lambda client=client: client.session(database),
            lambda client=client, dump=dump: client.start_dump(dump, None),
            lambda client=client: client.run(["pg_dumpall"], database, 1),
        ):
            with pytest.raises((MaintenanceError, OSError)):
                call()
        assert recorder.seen
        for argv, env in recorder.seen:
            assert not any(password in argument or database in argument for argument in argv)
            assert (env["PGPASSWORD"], env["PGDATABASE"]) == (password, database)


def test_a_server_that_cannot_be_reached_is_a_critical_finding() -> None:
    with pytest.raises(DatabaseError) as caught:
        HostClient(Recorder(), Login()).session("app")
    (found,) = caught.value.details["findings"]
    assert (found["check"], found["status"]) == ("database.reachable", "critical")


def test_the_sibling_may_do_nothing_but_write_its_output() -> None:
    recorder = Recorder()
    with pytest.raises(ProgramError):
        SiblingClient(recorder, Login(), CONTAINER).start_dump(Dump("app", '/a,b"c', "1-1", 2, "zstd:3", "30s"), None)
    ((argv, env),) = recorder.seen
    for pair in (("--cap-drop", "ALL"), ("--pull", "never"), ("--security-opt", "no-new-privileges")):
        place = argv.index(pair[0])
        assert argv[place + 1] == pair[1]
    assert "--read-only" in argv
    assert "--privileged" not in argv
    assert 'type=bind,"source=/a,b""c",target=/dump' in argv
    assert argv[argv.index("--network") + 1] == f"container:{CONTAINER.id}"
    assert env["PGHOST"] == "127.0.0.1"
    assert CONTAINER.image_id in argv


@pytest.mark.parametrize(
    ("compress", "argument"),
    [("zstd:3", "--compress=zstd:3"), ("gzip", "--compress=6"), ("gzip:9", "--compress=9"), ("none", "--compress=0")],
)
def test_compression_is_asked_for_as_every_version_reads_it(compress: str, argument: str) -> None:
    assert argument in Dump("app", "/x", "1-1", 2, compress, "30s").arguments("/x")


def fake_programs(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n", encoding="utf-8")
        program.chmod(0o755)
    return folder


def test_programs_of_the_server_s_version_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for major, version in (("15", "15.18"), ("17", "17.6 (Debian 17.6-0)"), ("18", "18.1")):
        fake_programs(tmp_path / major / "bin", version)
    monkeypatch.setattr(_client, "DEBIAN_PROGRAMS", str(tmp_path / "*" / "bin"))
    monkeypatch.setenv("PATH", f"{fake_programs(tmp_path / 'path', '17.6')}:/usr/bin:/bin")
    for server, chosen in (
        (170006, (17, "17.6")),
        (150018, (15, "15.18")),
        (180001, (18, "18.1")),
        (160000, (17, "17.6")),
    ):
        client = HostClient(Runner(), Login())
        assert client.prepare(server) == chosen
        found = client.runner.find("pg_dump")
        assert found == str(tmp_path / str(chosen[0]) / "bin" / "pg_dump")
    with pytest.raises(MaintenanceError, match=r"The server is PostgreSQL 19; .*15\.18, 17\.6, 18\.1"):
        HostClient(Runner(), Login()).prepare(190000)


def test_a_version_that_cannot_be_read_is_an_error() -> None:
    assert _client.client_version("pg_dump (PostgreSQL) 18beta1") == (18, "18beta1")
    with pytest.raises(ProgramError, match="printed no version"):
        _client.client_version("hello")
