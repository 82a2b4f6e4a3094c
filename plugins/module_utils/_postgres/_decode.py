# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Read the files of a dump: hash what is there, decode it, count what it holds.

Exit codes prove nothing here: pg_dump's zstd files carry no checksum, and pg_restore takes an emptied one for an
empty table, with exit status 0.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import threading
import typing as t

from .._errors import MaintenanceError
from .._process import Runner, pipe_of

CHUNK = 1024 * 1024
# What pg_dump writes after the last row of a table in its archive formats (dumpTableData_copy in pg_dump.c).
END_OF_ROWS = b"\\.\n\n\n"

# An entry of `pg_restore --list`: dump id; oid of the catalogue, oid of the object, kind, schema, name, owner.
_ROWS_ENTRY = re.compile(r"^(\d+); \d+ (\d+) TABLE DATA ")
_DECODERS = {
    ".zst": ("zstd", "--decompress", "--stdout", "--quiet"),
    ".gz": ("gzip", "--decompress", "--stdout", "--quiet"),
}
# What a file is called after it was compressed.
SUFFIX = {"zstd": ".zst", "gzip": ".gz", "none": ""}


class DamagedError(MaintenanceError):
    """A file of a dump does not hold what it should."""


class Content(t.NamedTuple):
    """What a file holds.

    :param size: bytes of the file
    :param sha256: of the file
    :param decoded: bytes after decompression
    :param lines: number of newlines after decompression
    :param end: the last bytes after decompression
    """

    size: int
    sha256: str
    decoded: int
    lines: int
    end: bytes

    def rows(self) -> int:
        """Rows of a table's data file.

        :raises DamagedError: the mark after the last row is missing, so rows may be, too.
        """
        if not self.end.endswith(END_OF_ROWS):
            raise DamagedError("its end is missing")
        return self.lines - END_OF_ROWS.count(b"\n")


def decoder(name: str) -> t.Optional[t.Tuple[str, ...]]:
    """The program that decodes a file of this name from standard input; None when it is not compressed."""
    return _DECODERS.get(os.path.splitext(name)[1])


def digest(path: str) -> t.Tuple[int, str]:
    """Size in bytes and SHA-256 of a file."""
    total = hashlib.sha256()
    size = 0
    with open(path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return size, total.hexdigest()
            size += len(chunk)
            total.update(chunk)


def read(path: str, runner: Runner, name: str = "") -> Content:
    """Hash a file and decode it in one reading; its suffix says how it is compressed.

    :param name: what it is called, when its path does not tell
    :raises DamagedError: it cannot be decoded.
    :raises ProgramError: the program that decodes it is not installed.
    """
    argv = decoder(name or path)
    count = _Counter()
    with open(path, "rb") as file:
        # pg_dump leaves the file of an empty large object empty, without a frame of zstd.
        if argv is None or os.fstat(file.fileno()).st_size == 0:
            hashed, size = feed(file, count.take)
            return count.content(size, hashed)
        process = runner.start(argv, stdin=subprocess.PIPE)
        try:
            source, complaints = pipe_of(process.stdin), pipe_of(process.stderr)
            # Its few complaints fit into the pipe.
            counting = threading.Thread(target=count.drain, args=(pipe_of(process.stdout),), daemon=True)
            counting.start()
            try:
                hashed, size = feed(file, source.write)
            except BrokenPipeError:
                # It gave up; its complaint says why.
                hashed, size = "", 0
            with contextlib.suppress(BrokenPipeError):
                source.close()
            counting.join()
            complaint = complaints.read().decode("utf-8", "replace").strip()
            if process.wait() != 0 or not hashed:
                raise DamagedError(
                    f"it cannot be decoded ({complaint.splitlines()[-1] if complaint else argv[0] + ' failed'})"
                )
            return count.content(size, hashed)
        finally:
            runner.stop(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def feed(file: t.BinaryIO, take: t.Callable[[bytes], t.Any]) -> t.Tuple[str, int]:
    """Hand a file over in chunks; its SHA-256, and its size in bytes."""
    total = hashlib.sha256()
    size = 0
    while True:
        chunk = file.read(CHUNK)
        if not chunk:
            return total.hexdigest(), size
        size += len(chunk)
        total.update(chunk)
        take(chunk)


class _Counter:
    """Counts a stream without keeping it."""

    def __init__(self) -> None:
        self._decoded = 0
        self._lines = 0
        self._end = b""

    def take(self, chunk: bytes) -> None:
        self._decoded += len(chunk)
        self._lines += chunk.count(b"\n")
        self._end = (self._end + chunk[-16:])[-16:]

    def drain(self, stream: t.BinaryIO) -> None:
        while True:
            chunk = stream.read(CHUNK)
            if not chunk:
                return
            self.take(chunk)

    def content(self, size: int, hashed: str) -> Content:
        return Content(size, hashed, self._decoded, self._lines, self._end)


class TableData(t.NamedTuple):
    """An entry of a table of contents that holds rows: its dump id and the table's oid."""

    dump_id: int
    oid: int


def table_data(contents: str) -> t.List[TableData]:
    """The entries with rows in what C(pg_restore --list) prints.

    Names are not read: they may hold spaces and line breaks. The oid tells which table it is.
    """
    found = []
    # pg_restore leaves no line break in a name, but may leave what str.splitlines takes for one.
    for line in contents.split("\n"):
        match = _ROWS_ENTRY.match(line)
        if match:
            found.append(TableData(int(match.group(1)), int(match.group(2))))
    return found


class Counted(t.NamedTuple):
    """What a script holds: rows by table oid, bytes by large object oid, and whether every COPY came to its end.

    :param unknown: number of tables with rows that were not named beforehand
    """

    rows: t.Dict[int, int]
    large_objects: t.Dict[int, int]
    complete: bool
    unknown: int = 0


# The line after the last row of a COPY. Within a row every backslash is doubled, so no row looks like it.
_END_OF_COPY = b"\n\\.\n"
_COPY = b"COPY "
_FROM = b" FROM stdin;\n"
_OPEN = b"SELECT pg_catalog.lo_open('"
_WRITE = b"SELECT pg_catalog.lowrite(0, '\\x"


def count_script(stream: t.BinaryIO, tables: t.Mapping[bytes, int]) -> Counted:
    """Count in the SQL script that C(pg_restore --data-only --file=-) writes.

    :param tables: oid of each table by its name as PostgreSQL quotes it
    """
    script = _Script(tables)
    while True:
        block = stream.read(CHUNK)
        if not block:
            return script.counted()
        script.take(block)


class _Script:
    """Counts in a script that arrives in blocks, rows by the block: line by line, millions would take too long."""

    def __init__(self, tables: t.Mapping[bytes, int]) -> None:
        self._tables = tables
        self._rows: t.Dict[int, int] = {}
        self._objects: t.Dict[int, int] = {}
        self._unknown = 0
        # Within a COPY the last bytes, which were counted; else the beginning of a line.
        self._rest = b""
        self._copying = False
        self._current: t.Optional[int] = None
        self._command = b""
        self._opened = 0

    def take(self, block: bytes) -> None:
        data = self._rest + block
        # Where a line begins, or rows that were not counted; and where the end of the rows may begin.
        fresh = len(self._rest) if self._copying else 0
        search = 0
        while True:
            if self._copying:
                end = data.find(_END_OF_COPY, search)
                if self._current is not None:
                    self._rows[self._current] += data.count(b"\n", fresh, len(data) if end < 0 else end + 1)
                if end < 0:
                    self._rest = data[max(search, len(data) - len(_END_OF_COPY) + 1) :]
                    return
                self._copying = False
                fresh = end + len(_END_OF_COPY)
            else:
                end = data.find(b"\n", fresh) + 1
                if not end:
                    self._rest = data[fresh:]
                    return
                self._line(data[fresh:end])
                # The line break before the first row may be that before the end of the rows.
                fresh, search = end, end - 1

    def _line(self, line: bytes) -> None:
        if self._command or line.startswith(_COPY):
            # Names may hold line breaks, and anything before them.
            self._command += line
            if line.endswith(_FROM) and self._command.count(b'"') % 2 == 0:
                self._current = _copied(self._command[len(_COPY) : -len(_FROM)], self._tables)
                self._command, self._copying = b"", True
                if self._current is None:
                    self._unknown += 1
                else:
                    self._rows[self._current] = 0
        elif line.startswith(_OPEN):
            self._opened = int(line.split(b"'", 2)[1])
            self._objects[self._opened] = 0
        elif line.startswith(_WRITE):
            written = len(line.split(b"'", 2)[1]) // 2 - 1
            self._objects[self._opened] = self._objects.get(self._opened, 0) + written

    def counted(self) -> Counted:
        return Counted(self._rows, self._objects, not (self._copying or self._command or self._rest), self._unknown)


def _copied(target: bytes, tables: t.Mapping[bytes, int]) -> t.Optional[int]:
    """The table of "name (columns)"; one without columns has nothing in parentheses."""
    end = target.find(b" (")
    while end >= 0:
        if target[:end] in tables:
            return tables[target[:end]]
        end = target.find(b" (", end + 1)
    return tables.get(target.strip())
