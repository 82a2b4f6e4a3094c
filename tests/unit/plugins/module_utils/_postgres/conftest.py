# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers as PostgreSQL does and dumps as pg_dump does, with real files."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _decode, _queries, _readable
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._client import Client, Dump, Login
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Completed, Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage import _s3, _s3_client, _s3_upload
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3 import S3Options, S3Store

from .._storage.fake_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, FakeS3

IDENTITY = "7711653620635319700"


class FakeSession:
    """Answers the statements of a backup."""

    def __init__(self, server: FakeServer, database: str) -> None:
        self.server = server
        self.database = database

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.server.sessions -= 1

    def run(self, sql: str, timeout: float = 0) -> list[str]:
        self.server.statements.append(sql)
        return []

    def query(self, select: str, timeout: float = 0) -> list[dict[str, t.Any]]:
        server = self.server
        if select == _readable.WHO:
            return [{"name": "postgres", "superuser": True}]
        if select == _queries.CLUSTER:
            return [
                {
                    "server_version": "17.6",
                    "server_version_num": 170006,
                    "system_identifier": server.identity,
                    "standby": False,
                    "sees_passwords": server.sees_passwords,
                    "roles": ["postgres"],
                }
            ]
        if select == _queries.DATABASES:
            facts = {"size_bytes": 1000, "encoding": "UTF8", "collate": "C", "ctype": "C"}
            return [{"name": name, **facts} for name in server.databases]
        if select == _queries.TABLES:
            return [
                {
                    "oid": oid,
                    "schema": "public",
                    "name": f"t{oid}",
                    "quoted": f"public.t{oid}",
                    "condition": "",
                    "size_bytes": server.table_bytes,
                }
                for oid in server.rows
            ]
        if select == _queries.LARGE_OBJECTS:
            return [{"oid": oid, "bytes": size} for oid, size in server.large_objects.items()]
        if select == _queries.EXTENSIONS:
            return [{"name": "plpgsql", "version": "1.0"}]
        if select == _queries.REVISIONS:
            return [{"quoted": "public.alembic_version"}]
        if select.startswith("SELECT version_num"):
            return [{"version_num": "0004"}]
        raise AssertionError(select)

    def value(self, select: str, timeout: float = 0) -> t.Any:
        if select == _queries.LARGE_OBJECTS_SIZE:
            return self.server.large_object_bytes
        if "pg_export_snapshot" in select:
            return "00000003-1"
        if select.startswith("SELECT count(*)"):
            return self.server.rows[int(select.split("public.t")[1])]
        raise AssertionError(select)


class FakeServer(Client):
    """One cluster. What it says can be made to differ from what it dumps.

    :param rows: number of rows by oid, as the session counts them
    """

    name = "host"

    def __init__(self, databases: t.Sequence[str] = ("app",)) -> None:
        super().__init__(Runner(), Login())
        self.databases = list(databases)
        self.identity = IDENTITY
        self.rows = {101: 3, 102: 0}
        self.large_objects = {900: 5}
        self.table_bytes = 4096
        self.large_object_bytes = 0
        self.sees_passwords = True
        self.statements: list[str] = []
        self.sessions = 0
        self.dumps: list[Dump] = []
        self.swept = 0
        self.exit_status = 0
        self.complaint = ""
        self.fail_at = ""
        # Differences between the dump and what the session says.
        self.dumped_rows: dict[int, int] = {}
        self.left_out: set[int] = set()
        self.extra: dict[int, int] = {}
        # What stands for pg_dump and pg_restore; both are given the dump as a script, and hand it on.
        self.stream_command = "cat"
        self.restore_command = "cat"
        self.programs: list[subprocess.Popen[bytes]] = []
        self.globals_text = "--\n-- PostgreSQL database cluster dump complete\n--\n"

    @property
    def subject(self) -> str:
        return "the fake server"

    def _stage(self, stage: str) -> None:
        if self.fail_at == stage:
            raise MaintenanceError(f"{stage} failed.")

    def session(self, database: str, timeout: float = 30.0) -> t.Any:
        self._stage("session")
        self.sessions += 1
        return FakeSession(self, database)

    def prepare(self, server_version_num: int) -> tuple[int, str]:
        self._stage("prepare")
        return 17, "17.6"

    def start_dump(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        self._stage("dump")
        self.dumps.append(dump)
        self._write(dump)
        script = 'printf %s "$1" >&2; exit "$2"'
        argv = ["sh", "-c", script, "pg_dump", self.complaint, str(self.exit_status)]
        return self.runner.start(argv, stdout=subprocess.DEVNULL, stderr=stderr)

    def script(self, file: t.BinaryIO) -> None:
        """Write what pg_restore would make of a dump in one file."""
        for oid, rows in {**self.rows, **self.extra}.items():
            if oid not in self.left_out:
                count = self.dumped_rows.get(oid, rows)
                file.write(b"COPY public.t%d (a) FROM stdin;\n" % oid + b"row\n" * count + b"\\.\n\n\n")
        for oid, size in self.large_objects.items():
            if oid not in self.left_out:
                data = b"ff" * self.dumped_rows.get(oid, size)
                file.write(b"SELECT pg_catalog.lo_open('%d', 131072);\n" % oid)
                file.write(b"SELECT pg_catalog.lowrite(0, '\\x%b');\n" % data)

    def start_stream(self, dump: Dump, stderr: t.Any) -> subprocess.Popen[bytes]:
        self._stage("dump")
        self.dumps.append(dump)
        with tempfile.TemporaryFile() as script:
            self.script(script)
            script.seek(0)
            command = f'{self.stream_command}; printf %s "$1" >&2; exit "$2"'
            argv = ["sh", "-c", command, "pg_dump", self.complaint, str(self.exit_status)]
            self.programs.append(self.runner.start(argv, stdin=script, stderr=stderr))
        return self.programs[-1]

    def start(self, argv: t.Sequence[str], database: str, **pipes: t.Any) -> subprocess.Popen[bytes]:
        assert list(argv) == ["pg_restore", "--data-only", "--file=-"]
        self._stage("restore")
        self.programs.append(self.runner.start(["sh", "-c", self.restore_command], **pipes))
        return self.programs[-1]

    def _write(self, dump: Dump) -> None:
        for number, (oid, rows) in enumerate({**self.rows, **self.extra}.items(), 1):
            if oid not in self.left_out:
                count = self.dumped_rows.get(oid, rows)
                data = b"row\n" * count + _decode.END_OF_ROWS
                _compress(os.path.join(dump.target, f"{number}.dat.zst"), data)
        for oid, size in self.large_objects.items():
            if oid not in self.left_out:
                path = os.path.join(dump.target, f"blob_{oid}.dat.zst")
                if size:
                    _compress(path, b"x" * self.dumped_rows.get(oid, size))
                else:
                    # pg_dump makes a frame when there is something to write.
                    open(path, "wb").close()
        with open(os.path.join(dump.target, "toc.dat"), "wb") as file:
            file.write(b"PGDMP")

    def contents(self, target: str) -> str:
        self._stage("contents")
        listed = enumerate({**self.rows, **self.extra}, 1)
        return "".join(
            f"{number}; 0 {oid} TABLE DATA public t{oid} postgres\n"
            for number, oid in listed
            if oid not in self.left_out
        )

    def run(self, argv: t.Sequence[str], database: str, timeout: float, stdin: t.Any = None) -> Completed:
        self._stage("globals")
        assert argv[0] == "pg_dumpall"
        self.statements.append(" ".join(argv))
        return Completed(list(argv), 0, self.globals_text, "", 0.1)

    def sweep(self) -> None:
        self.swept += 1


class StreamingServer(FakeServer):
    """A server in a container, whose dump is one file: here, the very script that pg_restore would make of it."""

    name = "exec"
    directory_format = False

    def _write(self, dump: Dump) -> None:
        with open(dump.target, "xb") as file:
            self.script(file)


def _compress(path: str, data: bytes) -> None:
    """A frame of zstd without a checksum, as pg_dump writes it, with its content in one raw block."""
    assert len(data) <= 128 * 1024
    header = b"\x28\xb5\x2f\xfd" + b"\xa0" + len(data).to_bytes(4, "little")
    block = (len(data) << 3 | 1).to_bytes(3, "little")
    with open(path, "wb") as file:
        file.write(header + block + data)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it reaches the disk is tested where it is asked for; here it would cost seconds."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def streaming() -> StreamingServer:
    return StreamingServer()


@pytest.fixture(scope="session")
def running_bucket() -> t.Iterator[FakeS3]:
    with FakeS3() as fake:
        yield fake


@functools.cache
def _connected(options: S3Options, _patience: float = 0) -> t.Any:
    """A client takes long to make, and holds nothing of a test."""
    return _s3_client.connect(options)


@pytest.fixture
def bucket(running_bucket: FakeS3, monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    """An empty bucket, whose objects are put in small parts, and requests are not tried again."""
    running_bucket.clear()
    monkeypatch.setattr(_s3_upload, "PART_BYTES", 100_000)
    monkeypatch.setattr(_s3_client, "ATTEMPTS", 1)
    monkeypatch.setattr(_s3, "connect", _connected)
    return running_bucket


@pytest.fixture
def remote(bucket: FakeS3) -> S3Store:
    options = S3Options(BUCKET, "site", bucket.url, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    return S3Store(options, "main")


class Key(t.NamedTuple):
    """A pair of keys of age."""

    private: str
    public: str

    def decrypt(self, data: bytes) -> bytes:
        """What was encrypted."""
        argv = ["age", "--decrypt", "-i", self.private]
        return subprocess.run(argv, input=data, check=True, capture_output=True).stdout


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    path = str(tmp_path_factory.mktemp("age") / "key")
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True).stdout.strip()
    return Key(path, public)
