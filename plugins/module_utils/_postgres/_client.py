# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Where PostgreSQL runs, and how its own programs are started near it."""

from __future__ import annotations

import glob
import os
import pwd
import re
import subprocess
import typing as t

from .._engine._compose import Container, Engine, client_environment
from .._errors import MaintenanceError
from .._findings import finding
from .._process import Completed, ProgramError, Runner
from ._session import PSQL, DatabaseError, Session

# Where Debian keeps the programs of each major version.
DEBIAN_PROGRAMS = "/usr/lib/postgresql/*/bin"
# Marks the throw-away containers, so that the next run can sweep what a killed one left.
SIBLING_LABEL = "boardroom.maintenance.sibling"
CONNECT_SECONDS = 15

# What an operator does about a server that does not answer, and about one that answers and lets nobody in.
ANSWER = (
    "Look at the server (systemctl status postgresql, or compose ps), then run this playbook again; "
    "the backup sets that are there stay as they are."
)
ADMIT = (
    "Run playbooks/prepare.yml, which makes the role for backups that the inventory names (maintenance_backup_user), "
    "or correct the login there (maintenance_postgres_user, maintenance_postgres_password)."
)
_REFUSED = re.compile(
    r'role ".*" (does not exist|is not permitted)|authentication failed|no password supplied|no pg_hba\.conf entry'
    r"|permission denied for database"
)
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


class Login(t.NamedTuple):
    """How to log in. Empty values are left to PostgreSQL's own programs (and so to its socket and C(.pgpass))."""

    user: str = "postgres"
    password: str = ""
    host: str = ""
    port: int = 5432
    passfile: str = ""
    ssl_mode: str = ""
    ca_cert: str = ""

    def environment(self, database: str) -> t.Dict[str, str]:
        """Variables for PostgreSQL's programs: a password or an odd name in an argument list would show or mislead."""
        values = {
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGPASSFILE": self.passfile,
            "PGSSLMODE": self.ssl_mode,
            "PGSSLROOTCERT": self.ca_cert,
        }
        common = {
            "PGDATABASE": database,
            "PGAPPNAME": "boardroom.maintenance",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "PGCLIENTENCODING": "UTF8",
        }
        return {**{name: value for name, value in values.items() if value}, **common}


class Dump(t.NamedTuple):
    """What one dump is asked for.

    :param target: directory (or, for a client that streams, file) to write
    :param snapshot: the exported snapshot to dump
    :param compress: C(zstd:3), C(gzip:6) or C(none)
    :param lock_wait: how long to wait for a lock on a table, as PostgreSQL reads it
    """

    database: str
    target: str
    snapshot: str
    jobs: int
    compress: str
    lock_wait: str

    def arguments(self, directory: str) -> t.List[str]:
        """Arguments of pg_dump; with an empty C(directory), to its standard output."""
        shape = (
            ["--format=directory", f"--jobs={self.jobs}", f"--file={directory}"] if directory else ["--format=custom"]
        )
        # Before 16 only a number is taken, which means gzip; a number means that afterwards, too.
        method, _colon, level = self.compress.partition(":")
        compress = {"none": "0", "gzip": level or "6"}.get(method, self.compress)
        return [
            "pg_dump",
            *shape,
            f"--compress={compress}",
            f"--snapshot={self.snapshot}",
            f"--lock-wait-timeout={self.lock_wait}",
            "--no-password",
        ]


class Client:
    """PostgreSQL's programs, near the server; see the three kinds below.

    :param runner: starts programs
    """

    name = ""
    # The dump is a directory that parallel jobs write; else one file that is streamed.
    directory_format = True

    def __init__(self, runner: Runner, login: Login) -> None:
        self.runner = runner
        self.login = login

    @property
    def subject(self) -> str:
        """What is connected to, for messages and findings."""
        raise NotImplementedError

    def prepare(self, server_version_num: int) -> t.Tuple[int, str]:
        """Choose programs that fit the server; their major version and full version.

        :raises MaintenanceError: there are none.
        """
        raise NotImplementedError

    def start(
        self, argv: t.Sequence[str], database: str, *, stdin: t.Any = subprocess.DEVNULL, stdout: t.Any, stderr: t.Any
    ) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs near the server."""
        raise NotImplementedError

    def run(self, argv: t.Sequence[str], database: str, timeout: float, stdin: t.Any = None) -> Completed:
        """Run one of PostgreSQL's programs near the server.

        :raises ProgramError: it failed, or did not end within C(timeout) seconds.
        """
        raise NotImplementedError

    def writable_by(self, directory: str) -> None:
        """Let the program that dumps write into a new, empty directory of ours."""

    def start_dump(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        """Start pg_dump; see C(Dump)."""
        return self.start(dump.arguments(dump.target), dump.database, stdout=subprocess.DEVNULL, stderr=stderr)

    def start_stream(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        """Start a pg_dump that writes its custom format to a pipe."""
        return self.start(dump.arguments(""), dump.database, stdout=subprocess.PIPE, stderr=stderr)

    def contents(self, target: str) -> str:
        """Table of contents of a dump, as C(pg_restore --list) prints it."""
        return self.run(["pg_restore", "--list", target], "", 300).stdout

    def try_way(self, database: str) -> None:
        """Log in by the way that a dump takes, where it is not a session's.

        :raises ProgramError: PostgreSQL does not let the role in.
        """

    def sweep(self) -> None:
        """End what a run that was killed left behind near the server. Call it under the host's lock only."""

    def session(self, database: str, timeout: float = 30.0) -> Session:
        """Connect.

        :raises DatabaseError: PostgreSQL cannot be reached; its details hold the finding C(database.reachable).
        """
        try:
            pipe = subprocess.PIPE
            process = self.start(PSQL, database, stdin=pipe, stdout=pipe, stderr=pipe)
            try:
                return Session(process, f"{self.subject}, database {database}", self.runner.redact, timeout)
            except BaseException:
                self.runner.stop(process)
                raise
        except MaintenanceError as exc:
            raise unreachable(self.subject, exc) from exc


def unreachable(subject: str, error: MaintenanceError) -> DatabaseError:
    """The error of a server that cannot be reached, with its finding."""
    refused = _REFUSED.search(error.message)
    remedy = error.remedy or (ADMIT if refused else ANSWER)
    found = finding("database.reachable", subject, "critical", error.message, remedy=remedy)
    return DatabaseError(error.message, remedy=remedy, findings=[found])


class HostClient(Client):
    """A server on this host, or one that this host reaches by TCP."""

    name = "host"

    def __init__(self, runner: Runner, login: Login) -> None:
        super().__init__(runner, login)
        self._user = _peer_user(login)

    @property
    def subject(self) -> str:
        where = self.login.host or "this host's socket"
        return f"{self.login.user} at {where}, port {self.login.port}"

    def prepare(self, server_version_num: int) -> t.Tuple[int, str]:
        major = server_version_num // 10000
        fitting, have = programs(self.runner, major)
        if not fitting:
            raise MaintenanceError(
                f"The server is PostgreSQL {major}; no pg_dump here is of that version or newer (there is: {have}).",
                f"Install postgresql-client-{major} on this host, or use client: sibling.",
            )
        # The server's own version first: what a newer one writes, the server's pg_restore may not read.
        self.runner = fitting[0].runner
        return fitting[0].major, fitting[0].version

    def start(
        self, argv: t.Sequence[str], database: str, *, stdin: t.Any = subprocess.DEVNULL, stdout: t.Any, stderr: t.Any
    ) -> subprocess.Popen[bytes]:
        env = self.login.environment(database)
        return self.runner.start(argv, user=self._user, env=env, stdin=stdin, stdout=stdout, stderr=stderr)

    def run(self, argv: t.Sequence[str], database: str, timeout: float, stdin: t.Any = None) -> Completed:
        env = self.login.environment(database) if database else None
        return self.runner.run(argv, timeout=timeout, user=self._user if database else None, env=env, stdin=stdin)

    def writable_by(self, directory: str) -> None:
        if not self._user:
            return
        entry = pwd.getpwnam(self._user)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
        done = self.runner.run(["test", "-w", directory], timeout=10, user=self._user, check=False)
        if done.rc != 0:
            raise MaintenanceError(
                f"The user {self._user}, as whom pg_dump runs, cannot reach {directory}.",
                "Let others pass through each directory above it (chmod o+x); prepare.yml does that for the usual one.",
            )


def _peer_user(login: Login) -> t.Optional[str]:
    """The operating system user for peer authentication: the role's own, through the socket, without a password."""
    if login.password or login.passfile or not (login.host == "" or login.host.startswith("/")) or os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(login.user)
    except KeyError:
        return None
    return login.user


class ExecClient(Client):
    """A server in a container; its programs run in that container, and the dump is streamed out of it.

    :param container: the server's container
    :param user: operating system user in the container
    """

    name = "exec"
    directory_format = False

    def __init__(self, runner: Runner, login: Login, container: Container, user: str = "postgres") -> None:
        super().__init__(runner, login)
        self.container = container
        self._user = user

    @property
    def subject(self) -> str:
        return f"{self.login.user} in the container {self.container.name}"

    def prepare(self, server_version_num: int) -> t.Tuple[int, str]:
        return client_version(self.run(["pg_dump", "--version"], "postgres", 60).stdout)

    def _inside(
        self, argv: t.Sequence[str], database: str, interactive: bool
    ) -> t.Tuple[t.List[str], t.Dict[str, str]]:
        variables = self.login.environment(database)
        # Only the names: docker takes the values from its own environment.
        names = [word for name in sorted(variables) for word in ("--env", name)]
        keep_stdin = ["--interactive"] if interactive else []
        user = ["--user", self._user] if self._user else []
        argv = ["docker", "exec", *keep_stdin, *user, *names, self.container.id, *argv]
        return argv, {**client_environment(), **variables}

    def start(
        self, argv: t.Sequence[str], database: str, *, stdin: t.Any = subprocess.DEVNULL, stdout: t.Any, stderr: t.Any
    ) -> subprocess.Popen[bytes]:
        command, env = self._inside(argv, database, stdin != subprocess.DEVNULL)
        return self.runner.start(command, env=env, stdin=stdin, stdout=stdout, stderr=stderr)

    def run(self, argv: t.Sequence[str], database: str, timeout: float, stdin: t.Any = None) -> Completed:
        command, env = self._inside(argv, database, stdin is not None)
        return self.runner.run(command, timeout=timeout, env=env, stdin=stdin)

    def start_dump(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        descriptor = os.open(dump.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            return self.start(dump.arguments(""), dump.database, stdout=file, stderr=stderr)

    def contents(self, target: str) -> str:
        with open(target, "rb") as file:
            return self.run(["pg_restore", "--list"], "postgres", 300, stdin=file).stdout


class SiblingClient(ExecClient):
    """A server in a container; the dump runs in a throw-away container of the same image beside it."""

    name = "sibling"
    directory_format = True

    def _beside(
        self, argv: t.Sequence[str], database: str, target: str, connected: bool
    ) -> t.Tuple[t.List[str], t.Dict[str, str]]:
        """The command of a container beside the server's.

        :param target: directory of ours that it sees as /dump; empty: none
        :param connected: it reaches the server and may write into that directory
        """
        login = self.login if self.login.host else self.login._replace(host="127.0.0.1")
        variables = login.environment(database)
        # The mount is one CSV record, so a directory with a comma or a quote in its name is no trap.
        source = '"source=' + target.replace('"', '""') + '"'
        command = [
            *("docker", "run", "--rm", "--pull", "never", "--read-only", "--user", "0:0"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--network", f"container:{self.container.id}" if connected else "none"),
            *("--label", f"{SIBLING_LABEL}={self.container.id[:12]}"),
            *(("--mount", f"type=bind,{source},target=/dump" + ("" if connected else ",readonly")) if target else ()),
            *(word for name in sorted(variables) for word in ("--env", name)),
            *("--entrypoint", argv[0], self.container.image_id, *argv[1:]),
        ]
        return command, {**client_environment(), **variables}

    def start_dump(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        argv, env = self._beside(dump.arguments("/dump"), dump.database, dump.target, connected=True)
        return self.runner.start(argv, env=env, stdout=subprocess.DEVNULL, stderr=stderr)

    def start_stream(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        argv, env = self._beside(dump.arguments(""), dump.database, "", connected=True)
        return self.runner.start(argv, env=env, stdout=subprocess.PIPE, stderr=stderr)

    def contents(self, target: str) -> str:
        argv, env = self._beside(["pg_restore", "--list", "/dump"], "postgres", target, connected=False)
        return self.runner.run(argv, timeout=300, env=env).stdout

    def try_way(self, database: str) -> None:
        argv, env = self._beside([*PSQL, "--command=SELECT 1"], database, "", connected=True)
        self.runner.run(argv, timeout=60, env=env)

    def sweep(self) -> None:
        listed = ["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={SIBLING_LABEL}"]
        left = self.runner.run(listed, timeout=60, env=client_environment()).stdout.split()
        if left:
            self.runner.run(["docker", "rm", "--force", *left], timeout=60, env=client_environment())


def connect_client(
    runner: Runner, login: Login, kind: str, project_src: str = "", service: str = "", container_user: str = "postgres"
) -> Client:
    """The client of a kind: C(host), C(exec) or C(sibling).

    :raises DatabaseError: the server's container does not run.
    """
    if kind == "host":
        return HostClient(runner, login)
    try:
        container = Engine(runner).one(project_src, service)
    except MaintenanceError as exc:
        raise unreachable(f"service {service} of {project_src}", exc) from exc
    cls = ExecClient if kind == "exec" else SiblingClient
    return cls(runner, login, container, container_user)


class Programs(t.NamedTuple):
    """PostgreSQL's programs of one version on this host, and a runner that finds them first."""

    major: int
    version: str
    runner: Runner


def programs(runner: Runner, major: int) -> t.Tuple[t.List[Programs], str]:
    """The programs on this host of a major version or newer, the nearest first; and all versions there are, in words.

    :raises ProgramError: one of them does not tell its version.
    """
    found: t.List[t.Tuple[int, str, str]] = []
    for directory in [*glob.glob(DEBIAN_PROGRAMS), ""]:
        here = runner.with_path(directory) if directory else runner
        if here.find("pg_dump") and here.find("pg_restore"):
            found.append((*client_version(here.run(["pg_dump", "--version"], timeout=30).stdout), directory))
    # Debian's pg_dump in PATH is a wrapper that chooses a version by itself: it is the last resort.
    fitting = sorted((e for e in found if e[0] >= major), key=lambda e: (e[0], not e[2]))
    return (
        [Programs(number, text, runner.with_path(place) if place else runner) for number, text, place in fitting],
        ", ".join(sorted({text for _number, text, _place in found})) or "none",
    )


def client_version(text: str) -> t.Tuple[int, str]:
    """Major and full version in what C(pg_dump --version) prints.

    :raises ProgramError: there is none.
    """
    match = _VERSION.search(text)
    if not match:
        raise ProgramError(f"pg_dump --version printed no version: {text.strip()[:100]!r}.")
    return int(match.group(1)), match.group(1) + match.group(2)
