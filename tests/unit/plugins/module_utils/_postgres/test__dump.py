# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump that is handed on while it is decoded and counted, by real programs: whichever part fails, it is named."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _decode, _dump
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._dump import Dumper
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner

if t.TYPE_CHECKING:
    from .conftest import FakeServer

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)
# So many rows that no pipe holds them.
MANY = 1_000_000
FACTS = {"name": "app", "size_bytes": 1000, "encoding": "UTF8", "collate": "C", "ctype": "C"}


def dumper(server: FakeServer, seconds: float = 20) -> Dumper:
    return Dumper(server, Runner(), lambda: NOW, 2, "zstd:3", 30, time.monotonic() + seconds)


def test_what_is_handed_on_is_what_was_dumped_and_counted(server: FakeServer, nothing_left: None) -> None:
    server.rows[103] = MANY
    chunks: list[bytes] = []
    taken, counted, status = dumper(server).to_stream("app", chunks.append)
    assert b"".join(chunks).count(b"row\n") == MANY + 3
    assert (counted.rows, counted.large_objects, counted.complete) == ({101: 3, 102: 0, 103: MANY}, {900: 5}, True)
    assert (status, taken.at, counted.unknown) == (0, NOW, 0)
    described = taken.described(FACTS, path="x")
    assert (described["rows_total"], described["snapshot_time"]) == (MANY + 3, "2026-11-24T02:00:00Z")
    _dump.streamed_problems(described, counted, status)
    assert server.dumps[0].snapshot == "00000003-1"
    assert server.sessions == 0


def test_a_database_without_tables_is_no_failure(server: FakeServer, nothing_left: None) -> None:
    server.rows, server.large_objects = {}, {}
    taken, counted, status = dumper(server).to_stream("app", len)
    described = taken.described(FACTS, path="x")
    assert (described["tables"], described["rows_total"]) == ([], 0)
    _dump.streamed_problems(described, counted, status)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s.dumped_rows.update({101: 2}), r"it holds 2 rows of public\.t101 instead of 3"),
        (lambda s: s.left_out.add(102), r"it holds no rows of public\.t102 instead of 0"),
        (lambda s: s.extra.update({103: 1}), r"it holds rows of 1 table\(s\) that were not counted"),
        (lambda s: s.left_out.add(900), "it holds None bytes of the large object 900"),
        (lambda s: setattr(s, "restore_command", "cat; exit 1"), "it cannot be decoded to its end"),
        (lambda s: setattr(s, "restore_command", "exit 1"), "it cannot be decoded to its end"),
        (lambda s: setattr(s, "restore_command", "head -c 100; cat >/dev/null"), "it cannot be decoded to its end"),
    ],
)
def test_a_stream_that_differs_is_a_problem(
    server: FakeServer, spoil: t.Callable[[FakeServer], None], sentence: str, nothing_left: None
) -> None:
    spoil(server)
    taken, counted, status = dumper(server).to_stream("app", len)
    with pytest.raises(MaintenanceError, match=sentence) as caught:
        _dump.streamed_problems(taken.described(FACTS, path="x"), counted, status)
    assert caught.value.message.startswith("The dump of app is not what the database held, and is thrown away")


def test_a_pg_restore_that_is_killed_says_nothing_of_the_dump(server: FakeServer, nothing_left: None) -> None:
    server.restore_command = "head -c 100; kill -9 $$"
    taken, counted, status = dumper(server).to_stream("app", len)
    with pytest.raises(
        MaintenanceError, match=r"^pg_restore, which decodes the dump of app, was killed by signal 9\.$"
    ):
        _dump.streamed_problems(taken.described(FACTS, path="x"), counted, status)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("head -c 100; exit 1", r"^pg_dump of app failed with exit status 1: why not\.$"),
        ("head -c 100; kill -9 $$", r"^pg_dump of app was killed by signal 9: without a message\.$"),
        ("exit 3", r"^pg_dump of app failed with exit status 3: why not\.$"),
    ],
)
def test_a_pg_dump_that_fails_is_the_cause(server: FakeServer, command: str, sentence: str, nothing_left: None) -> None:
    server.rows[103] = MANY
    server.complaint = "pg_dump: error: why not\n"
    server.stream_command = command.replace("exit", 'printf %s "$1" >&2; exit')
    with pytest.raises(MaintenanceError, match=sentence):
        dumper(server).to_stream("app", len)


def test_a_taker_that_refuses_ends_pg_dump_and_is_the_cause(server: FakeServer, nothing_left: None) -> None:
    server.rows[103] = MANY
    taken: list[bytes] = []

    def refuse(chunk: bytes) -> None:
        taken.append(chunk)
        if len(taken) == 2:
            raise MaintenanceError("The store is full.", "Make room there.")

    # It would never end by itself.
    server.stream_command = "cat; sleep 60"
    began = time.monotonic()
    with pytest.raises(MaintenanceError, match=r"^The store is full\.$") as caught:
        dumper(server).to_stream("app", refuse)
    assert caught.value.remedy == "Make room there."
    assert len(taken) == 2
    assert time.monotonic() - began < 5


def test_a_taker_that_refuses_after_the_last_row_is_the_cause_too(server: FakeServer, nothing_left: None) -> None:
    def refuse(chunk: bytes) -> None:
        # By now pg_dump has ended well.
        server.programs[-1].wait()
        raise MaintenanceError("The store is full.")

    with pytest.raises(MaintenanceError, match="The store is full"):
        dumper(server).to_stream("app", refuse)


def test_any_other_failure_of_the_taker_ends_everything_too(server: FakeServer, nothing_left: None) -> None:
    def broken(chunk: bytes) -> None:
        raise RuntimeError("no such thing")

    server.rows[103] = MANY
    server.stream_command = "cat; sleep 60"
    with pytest.raises(RuntimeError, match="no such thing"):
        dumper(server).to_stream("app", broken)


@pytest.mark.parametrize(
    ("dump", "restore", "sentence"),
    [
        ("cat; exec sleep 60", "cat", "^The dump of app did not end within its time limit and was stopped"),
        ("exec sleep 60", "cat", "^The dump of app did not end within its time limit"),
        # pg_restore reads nothing, or does not end; neither may keep the others.
        ("cat", "exec sleep 60", "did not end within its time limit"),
        ("cat", "cat; exec sleep 60", "^Decoding the dump did not end within its time limit"),
    ],
)
@pytest.mark.parametrize("rows", [3, MANY])
def test_what_hangs_is_stopped_in_time(
    server: FakeServer, dump: str, restore: str, sentence: str, rows: int, nothing_left: None
) -> None:
    server.rows[103] = rows
    server.stream_command, server.restore_command = dump, restore
    began = time.monotonic()
    with pytest.raises(MaintenanceError, match=sentence):
        dumper(server, 1).to_stream("app", len)
    assert time.monotonic() - began < 5


def test_a_taker_that_hangs_is_not_waited_for(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short dump: pg_dump has ended, and what it wrote lies in a pipe."""
    gate = threading.Event()
    monkeypatch.setattr(_dump, "PATIENCE", 0.2)
    try:
        with pytest.raises(MaintenanceError, match=r"^Handing on the dump of app did not end within its time limit"):
            dumper(server, 0.5).to_stream("app", lambda chunk: gate.wait(10))
    finally:
        gate.set()


def test_a_session_that_is_lost_ends_everything(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, nothing_left: None
) -> None:
    def lost(*_args: object) -> t.NoReturn:
        raise MaintenanceError("No connection to PostgreSQL.")

    monkeypatch.setattr(Dumper, "_count_rows", lost)
    server.stream_command = "exec sleep 60"
    with pytest.raises(MaintenanceError, match="No connection to PostgreSQL"):
        dumper(server).to_stream("app", len)


@pytest.mark.parametrize("stage", ["session", "dump", "restore"])
def test_what_does_not_start_leaves_nothing_running(server: FakeServer, stage: str, nothing_left: None) -> None:
    server.fail_at = stage
    with pytest.raises(MaintenanceError, match=f"{stage} failed"):
        dumper(server).to_stream("app", len)
    assert server.sessions == 0


def test_an_interruption_ends_everything(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, nothing_left: None
) -> None:
    def interrupted(*_args: object) -> t.NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Dumper, "_count_rows", interrupted)
    server.stream_command = "cat; exec sleep 60"
    with pytest.raises(KeyboardInterrupt):
        dumper(server).to_stream("app", len)


def test_no_statement_may_take_longer_than_what_is_left(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a limit of its own would wait an hour for a server that hangs."""
    limits: list[float] = []
    original = server.session

    def session(database: str, timeout: float = 30.0) -> t.Any:
        made = original(database, timeout)
        for name in ("run", "query", "value"):
            call = getattr(made, name)

            def limited(sql: str, timeout: float = 3600.0, call: t.Any = call) -> t.Any:
                limits.append(timeout)
                return call(sql, timeout)

            setattr(made, name, limited)
        return made

    monkeypatch.setattr(server, "session", session)
    dumper(server, 20).to_stream("app", len)
    assert len(limits) > 8
    assert max(limits) <= 20


def test_decoding_counts_what_is_written_to_it(server: FakeServer, nothing_left: None) -> None:
    with _dump.Decoding(server, Runner(), {b"public.t101": 101}) as decoding:
        for chunk in (b"COPY public.t1", b"01 (a) FROM stdin;\nrow\nro", b"w\n\\.\n"):
            decoding.write(chunk)
        assert decoding.result(10) == (_decode.Counted({101: 2}, {}, True), 0)


def test_decoding_that_is_killed_takes_the_rest_and_says_so(server: FakeServer, nothing_left: None) -> None:
    with _dump.Decoding(server, Runner(), {}) as decoding:
        os.kill(server.programs[-1].pid, signal.SIGKILL)
        for _time in range(20):
            decoding.write(bytes(100_000))
        _counted, status = decoding.result(10)
    assert status == -9


LOCKED = (
    "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\n"
    "pg_dump: detail: Query was: LOCK TABLE public.users IN ACCESS SHARE MODE\n"
)


@pytest.mark.parametrize(
    ("status", "stderr", "sentence", "remedy"),
    [
        (
            1,
            LOCKED,
            "failed with exit status 1: a table stayed locked for longer than lock_wait_timeout.",
            "holds a table locked",
        ),
        (
            1,
            "pg_dump: error: could not write to file: No space left on device\n",
            "No space left on device.",
            "Free space there",
        ),
        (
            1,
            "pg_dump: error: connection failed: fe_sendauth: no password supplied\n",
            "no password supplied.",
            "login_password",
        ),
        (-9, "", "was killed by signal 9: without a message.", "nothing was replaced"),
    ],
)
def test_why_pg_dump_failed_is_one_sentence_with_what_to_do(
    status: int, stderr: str, sentence: str, remedy: str
) -> None:
    error = _dump.dump_failed("app", status, stderr)
    assert error.message.startswith("pg_dump of app ")
    assert error.message.endswith(sentence)
    assert remedy in error.remedy
