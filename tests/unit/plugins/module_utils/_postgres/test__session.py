# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session, against a program that speaks psql's side of it."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._session import DatabaseError, Session
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner

# Reads a script as psql does: prints what a statement is known to print, and follows \echo.
PSQL = r"""
import sys, time
error, state, message = "false", "00000", ""
for line in sys.stdin:
    line = line.rstrip("\n")
    if line.startswith("\\echo :LAST"):
        print(message)
    elif line.startswith("\\echo"):
        print(line[6:].replace(":ERROR", error).replace(":SQLSTATE", state))
    elif "rows" in line:
        error, state = "false", "00000"
        print('[{"name":"a \\" b"}, \n {"name":"two\\nlines"}]')
    elif "broken" in line:
        error, state, message = "true", "42501", "permission denied for table t\nwith hunter22"
    elif "gone" in line:
        sys.stderr.write("psql: error: server closed the connection unexpectedly\n\tThis probably means more.\n")
        sys.exit(2)
    elif "slow" in line:
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            print("late")
    elif "flood" in line:
        try:
            while True:
                print("row")
        except KeyboardInterrupt:
            pass
    elif "noisy" in line:
        sys.stderr.write("NOTICE:  x\n" * 20000)
        error = "false"
        print("[]")
    sys.stdout.flush()
"""


def connect(script: str = PSQL) -> Session:
    pipe = subprocess.PIPE
    process = Runner().start([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe)
    return Session(process, "the subject", Runner(secrets=["hunter22"]).redact, 10)


def test_rows_come_as_they_are() -> None:
    with connect() as session:
        assert session.query("rows") == [{"name": 'a " b'}, {"name": "two\nlines"}]


def test_a_refusal_has_its_code_and_no_secret_and_the_session_lives_on() -> None:
    with connect() as session:
        with pytest.raises(
            DatabaseError, match=r"PostgreSQL \(the subject\) refused: permission denied for table t"
        ) as caught:
            session.query("broken")
        assert caught.value.sqlstate == "42501"
        assert "hunter22" not in caught.value.message
        assert len(session.query("rows")) == 2


def test_a_lost_connection_says_why() -> None:
    with connect() as session:
        with pytest.raises(DatabaseError, match=r"No connection .*: server closed the connection unexpectedly"):
            session.run("gone")
        with pytest.raises(DatabaseError, match="No connection"):
            session.run("rows")


def test_a_statement_has_a_time_limit_and_a_late_answer_is_nobody_s() -> None:
    """psql is asked to cancel; what it says after that must not be taken for the next statement's rows."""
    with connect() as session:
        with pytest.raises(DatabaseError, match="did not answer in time"):
            session.run("slow", timeout=0.2)
        with pytest.raises(DatabaseError, match="No connection"):
            session.query("rows")


def test_output_without_end_is_ended_by_the_time_limit() -> None:
    with connect() as session, pytest.raises(DatabaseError, match="did not answer in time"):
        session.run("flood", timeout=0.2)


def test_a_closed_session_leaves_neither_process_nor_thread() -> None:
    before = threading.active_count()
    session = connect()
    assert threading.active_count() == before + 2
    session.close()
    assert threading.active_count() == before
    assert session._process.returncode == 0


def test_notices_neither_block_nor_mix_with_rows() -> None:
    with connect() as session:
        assert session.query("noisy") == []


REFUSED = """
import sys
sys.stderr.write({said!r})
sys.exit(2)
"""


NO_SOCKET = (
    'psql: error: connection to server on socket "/run/x/.s.PGSQL.5432" failed: No such file or directory\n\tIs it?\n'
)
NO_PORT = 'psql: error: connection to server at "127.0.0.1", port 5432 failed: Connection refused\n\tIs the server?\n'
FATAL = 'FATAL:  password authentication failed for user "app"'
NO_LOGIN = f'psql: error: connection to server at "h" (10.0.0.1), port 5432 failed: {FATAL}\n'


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (NO_SOCKET, 'nothing answers on socket "/run/x/.s.PGSQL.5432"; the server does not run, or listens elsewhere.'),
        (NO_PORT, 'nothing answers at "127.0.0.1", port 5432; the server does not run'),
        (NO_LOGIN, ': password authentication failed for user "app".'),
        ("", "psql ended without a word."),
    ],
)
def test_a_server_that_refuses_is_told_in_plain_words(said: str, sentence: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect(REFUSED.format(said=said))
    assert sentence in caught.value.message
