# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL's programs are started, and what never stands among their arguments."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
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
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Completed, ProgramError, Runner
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


# Marked, so that no piece of an ordinary argument looks like one.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(lambda text: f"§{text}")


@given(password=TEXT, database=TEXT)
def test_neither_password_nor_database_is_ever_an_argument(password: str, database: str) -> None:
    login = Login(password=password)
    for kind in (HostClient, ExecClient, SiblingClient):
        recorder = Recorder()
        more = () if kind is HostClient else (CONTAINER,)
        client = kind(recorder, login, *more)
        with tempfile.TemporaryDirectory() as folder:
            dump = Dump(database, os.path.join(folder, "dump"), "1-1", 2, "zstd:3", "30s")
            for call in (
                lambda client=client: client.session(database),
                lambda client=client, dump=dump: client.start_dump(dump, None),
                lambda client=client: client.run(["pg_dumpall"], database, 1),
            ):
                with pytest.raises(MaintenanceError):
                    call()
        assert len(recorder.seen) == 3
        for argv, env in recorder.seen:
            assert not any("§" in argument for argument in argv)
            assert (env["PGPASSWORD"], env["PGDATABASE"]) == (password, database)


def test_only_what_is_given_goes_into_the_environment() -> None:
    plain = Login().environment("app")
    assert plain["PGUSER"] == "postgres"
    assert {"PGPASSWORD", "PGHOST", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT"}.isdisjoint(plain)
    full = Login("u", "p", "h", 6000, "/f", "verify-full", "/ca").environment("app")
    assert {name: full[name] for name in full if name not in plain or plain[name] != full[name]} == {
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGHOST": "h",
        "PGPORT": "6000",
        "PGPASSFILE": "/f",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca",
    }


class Hanging(HostClient):
    """A server that takes the connection and says nothing more."""

    process: subprocess.Popen[bytes]

    def start(self, argv: t.Sequence[str], database: str, **pipes: t.Any) -> subprocess.Popen[bytes]:
        self.process = self.runner.start(["sh", "-c", "trap '' INT; sleep 60"], **pipes)
        return self.process


def test_a_server_that_says_nothing_is_given_up_with_its_psql() -> None:
    client = Hanging(Runner(), Login())
    with pytest.raises(DatabaseError, match="did not answer in time"):
        client.session("app", timeout=0.2)
    assert client.process.poll() is not None


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


def test_the_sibling_that_lists_a_dump_has_no_network_and_cannot_write() -> None:
    recorder = Recorder()
    with pytest.raises(ProgramError):
        SiblingClient(recorder, Login(), CONTAINER).contents("/a")
    ((argv, _env),) = recorder.seen
    assert argv[argv.index("--network") + 1] == "none"
    assert 'type=bind,"source=/a",target=/dump,readonly' in argv
    assert argv[-4:] == ["pg_restore", CONTAINER.image_id, "--list", "/dump"]


def test_in_the_server_s_container_its_own_user_runs_the_programs() -> None:
    recorder = Recorder()
    with pytest.raises(ProgramError):
        ExecClient(recorder, Login(), CONTAINER, "owner").run(["pg_dump", "--version"], "app", 1)
    ((argv, _env),) = recorder.seen
    assert argv[:2] == ["docker", "exec"]
    assert argv[argv.index("--user") + 1] == "owner"
    assert "--tty" not in argv
    # Without input it must not wait for one.
    assert "--interactive" not in argv
    assert argv[-3:] == [CONTAINER.id, "pg_dump", "--version"]


class Swept(Recorder):
    """An engine with these containers left."""

    def __init__(self, left: str) -> None:
        super().__init__()
        self.left = left

    def run(self, argv: t.Sequence[str], **options: t.Any) -> t.Any:
        self.seen.append((list(argv), {}))
        return Completed(list(argv), 0, self.left if argv[1] == "ps" else "", "", 0.0)


@pytest.mark.parametrize(("left", "removed"), [("", []), ("a1\nb2\n", [["docker", "rm", "--force", "a1", "b2"]])])
def test_only_containers_with_our_label_are_swept(left: str, removed: list[list[str]]) -> None:
    engine = Swept(left)
    SiblingClient(engine, Login(), CONTAINER).sweep()
    calls = [argv for argv, _env in engine.seen]
    assert f"label={_client.SIBLING_LABEL}" in calls[0]
    assert calls[1:] == removed


@pytest.mark.parametrize("kind", ["exec", "sibling"])
def test_a_container_that_does_not_run_is_a_server_that_cannot_be_reached(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(self: object, project_src: str, service: str) -> t.NoReturn:
        raise MaintenanceError("It is not running.", "Start it.")

    monkeypatch.setattr(_client.Engine, "one", one)
    with pytest.raises(DatabaseError, match="It is not running") as caught:
        _client.connect_client(Runner(), Login(), kind, "/srv/app", "db")
    (found,) = caught.value.details["findings"]
    assert (found["check"], found["status"], found["remedy"]) == ("database.reachable", "critical", "Start it.")
    assert found["subject"] == "service db of /srv/app"


def test_each_kind_has_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client.Engine, "one", lambda self, project_src, service: CONTAINER)
    made = {kind: _client.connect_client(Runner(), Login(), kind, "/a", "db") for kind in ("host", "exec", "sibling")}
    assert {kind: client.name for kind, client in made.items()} == {kind: kind for kind in made}
    assert [client.directory_format for client in made.values()] == [True, False, True]


@pytest.mark.parametrize(
    ("login", "root", "user"),
    [
        (Login("nobody"), True, "nobody"),
        (Login("nobody", host="/run/postgresql"), True, "nobody"),
        (Login("nobody"), False, None),
        (Login("nobody", password="p"), True, None),
        (Login("nobody", passfile="/f"), True, None),
        (Login("nobody", host="127.0.0.1"), True, None),
        (Login("no such user"), True, None),
    ],
)
def test_peer_authentication_is_tried_as_the_role_s_own_user(
    login: Login, root: bool, user: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert HostClient(Runner(), login)._user == user


def test_a_directory_that_the_dumping_user_cannot_reach_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unreachable(Recorder):
        def run(self, argv: t.Sequence[str], **options: t.Any) -> t.Any:
            assert options["user"] == "nobody"
            return Completed(list(argv), 1, "", "", 0.0)

    given_to: list[int] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given_to.append(uid))
    with pytest.raises(MaintenanceError, match="The user nobody, as whom pg_dump runs, cannot reach"):
        HostClient(Unreachable(), Login("nobody")).writable_by(str(tmp_path))
    assert given_to == [pwd.getpwnam("nobody").pw_uid]


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
