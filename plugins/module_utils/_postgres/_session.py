# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""A session with PostgreSQL, held through psql.

psql and not a driver: it comes with the server, works unchanged through C(docker exec) where no driver could
reach, and may run as the operating system user that peer authentication asks for.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import secrets
import signal
import subprocess
import threading
import time
import typing as t

from .._errors import MaintenanceError
from .._process import pipe_of

# Asked before anything else: names must arrive as they are, a row that is hidden must be an error and not a gap, and
# no limit that a site has set may end a session that holds a snapshot (not every version knows every limit).
PREAMBLE = (
    "SET search_path = pg_catalog; SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN "
    "('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout', "
    "'transaction_timeout'); "
    "SET client_encoding = 'UTF8'; SET quote_all_identifiers = off; SET row_security = off;"
)
PSQL = ("psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=VERBOSITY=terse")

Row = t.Dict[str, t.Any]


# How libpq says that it did not get through, and why.
_NO_WAY = re.compile(r'^connection to server (on socket "[^"]*"|at .*?, port \d+) failed: (.*)$')
_NOBODY = ("No such file or directory", "Connection refused")


class DatabaseError(MaintenanceError):
    """PostgreSQL refused a statement; C(sqlstate) is its five-character code, empty when the session is lost."""

    def __init__(self, message: str, sqlstate: str = "", remedy: str = "", **details: t.Any) -> None:
        super().__init__(message, remedy, **details)
        self.sqlstate = sqlstate


class Session:
    """One connection. It ends with C(close), or when its process is killed.

    :param process: a started psql with pipes for input, output and errors
    :param subject: what it is connected to, for messages
    :param redact: hides secrets in what PostgreSQL says
    :param timeout: seconds within which the connection must stand
    :raises DatabaseError: there is no connection.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        subject: str,
        redact: t.Callable[[str], str],
        timeout: float = 30.0,
    ) -> None:
        self._process = process
        self._subject = subject
        self._redact = redact
        self._mark = f"<{secrets.token_hex(8)}>"
        self._lines: queue.Queue[t.Optional[str]] = queue.Queue()
        self._complaints: t.List[str] = []
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.run(PREAMBLE, timeout)

    def _read_output(self) -> None:
        for line in pipe_of(self._process.stdout):
            self._lines.put(line.decode("utf-8", "replace").rstrip("\n"))
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in pipe_of(self._process.stderr):
            self._complaints.append(line.decode("utf-8", "replace").rstrip())
            del self._complaints[:-20]

    def run(self, sql: str, timeout: float = 3600.0) -> t.List[str]:
        """Run statements; the lines that they print.

        :param timeout: seconds
        :raises DatabaseError: one was refused, the time is over, or the session is lost.
        """
        script = f"{sql}\n;\n\\echo {self._mark} :ERROR :SQLSTATE\n\\echo :LAST_ERROR_MESSAGE\n\\echo {self._mark}\n"
        try:
            statements = pipe_of(self._process.stdin)
            statements.write(script.encode("utf-8"))
            statements.flush()
        except (BrokenPipeError, ValueError):
            raise self._lost() from None
        deadline = time.monotonic() + timeout
        lines, status = self._until_mark(deadline)
        message, _rest = self._until_mark(deadline)
        words = status.split()
        if words[:1] == ["true"]:
            state = words[1] if len(words) > 1 else ""
            raise DatabaseError(
                f"PostgreSQL ({self._subject}) refused: {self._redact(' '.join(message)).rstrip('.')}.", state
            )
        return lines

    def _until_mark(self, deadline: float) -> t.Tuple[t.List[str], str]:
        lines: t.List[str] = []
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._give_up()
                raise DatabaseError(f"PostgreSQL ({self._subject}) did not answer in time.") from None
            if line is None:
                raise self._lost()
            if line.startswith(self._mark):
                return lines, line[len(self._mark) :]
            lines.append(line)

    def _give_up(self) -> None:
        """Cancel the statement and ask no more: its late answer would be taken for that of the next one."""
        # psql passes it on to the server.
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            pipe_of(self._process.stdin).close()

    def _lost(self) -> DatabaseError:
        self._end()
        for reader in self._readers:
            reader.join(timeout=5)
        said = [line for line in self._complaints if line]
        # libpq tells the cause first, and adds hints on lines of their own.
        causes = [line for line in said if "error:" in line.lower() or "fatal:" in line.lower()]
        why = (causes or said[-1:] or [""])[0]
        why = self._redact(_spoken(why)) or "psql ended without a word"
        return DatabaseError(f"No connection to PostgreSQL ({self._subject}): {why}.")

    def query(self, select: str, timeout: float = 3600.0) -> t.List[Row]:
        """Rows of one SELECT (without a semicolon), each as a mapping from column to JSON value.

        :raises DatabaseError: as C(run).
        """
        lines = self.run(f"SELECT coalesce(json_agg(q), '[]') FROM (\n{select}\n) q", timeout)
        rows: t.List[Row] = json.loads("\n".join(lines))
        return rows

    def value(self, select: str, timeout: float = 3600.0) -> t.Any:
        """The one value of the one row that a SELECT gives."""
        (row,) = self.query(select, timeout)
        (value,) = row.values()
        return value

    def close(self) -> None:
        """End the session; whatever it had open is rolled back."""
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._end()
        for reader in self._readers:
            reader.join(timeout=5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def _end(self) -> None:
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _spoken(complaint: str) -> str:
    """libpq's complaint without what only repeats where it tried."""
    text = re.sub(r"^psql: (error|fatal): ", "", complaint).rstrip(".")
    match = _NO_WAY.match(text)
    if match is None:
        return text
    where, reason = match.groups()
    if reason in _NOBODY:
        return f"nothing answers {where}; the server does not run, or listens elsewhere"
    return re.sub(r"^FATAL: +", "", reason)
