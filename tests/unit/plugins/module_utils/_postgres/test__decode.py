# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read back from a dump: every damage that exit codes let through."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _decode
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS = b"".join(b"%d\tuser%d@example\t\\\\N\n" % (n, n) for n in range(500))
WRITERS: dict[str, list[str]] = {"": ["cat"], ".zst": ["zstd", "-q", "-c", "-3"], ".gz": ["gzip", "-q", "-c"]}


def write(path: Path, data: bytes) -> Path:
    """A data file as pg_dump writes it, by its suffix."""
    argv = WRITERS[path.suffix if path.suffix in WRITERS else ""]
    # pg_dump's own zstd frames carry no checksum, unlike the program's.
    argv = [*argv, "--no-check"] if argv[0] == "zstd" else argv
    path.write_bytes(subprocess.run(argv, input=data, stdout=subprocess.PIPE, check=True).stdout)
    return path


@pytest.fixture(params=["1.dat", "1.dat.zst", "1.dat.gz"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / request.param, ROWS + _decode.END_OF_ROWS)


def test_a_whole_file_is_hashed_and_counted(table: Path) -> None:
    content = _decode.read(str(table), Runner())
    assert content.rows() == 500
    assert content.decoded == len(ROWS) + len(_decode.END_OF_ROWS)
    assert (content.size, content.sha256) == _decode.digest(str(table))


def test_a_table_without_rows_counts_none(tmp_path: Path) -> None:
    assert _decode.read(str(write(tmp_path / "1.dat.zst", _decode.END_OF_ROWS)), Runner()).rows() == 0


@pytest.mark.parametrize("part", [0, 0.01, 0.37, 0.5, 0.9, 0.99])
def test_a_file_that_was_emptied_or_cut_never_counts_as_whole(table: Path, part: float) -> None:
    os.truncate(table, int(table.stat().st_size * part))
    with pytest.raises(_decode.DamagedError):
        _decode.read(str(table), Runner()).rows()


def test_one_byte_less_is_noticed(table: Path) -> None:
    os.truncate(table, table.stat().st_size - 1)
    with pytest.raises(_decode.DamagedError):
        _decode.read(str(table), Runner()).rows()


def test_trailing_rubbish_is_noticed(table: Path) -> None:
    with table.open("ab") as file:
        file.write(b"rubbish")
    if table.suffix == ".gz":
        # gzip takes it for padding, with a warning: then the hash tells.
        before = _decode.digest(str(table))[1]
        assert _hash_or_damage(table) != before[:-1]
        return
    with pytest.raises(_decode.DamagedError):
        _decode.read(str(table), Runner()).rows()


def _hash_or_damage(path: Path) -> str:
    try:
        return _decode.read(str(path), Runner()).sha256
    except _decode.DamagedError:
        return "damaged"


def test_a_flipped_bit_changes_the_hash_wherever_it_is(table: Path) -> None:
    good = _decode.digest(str(table))[1]
    data = bytearray(table.read_bytes())
    for place in range(0, len(data), max(1, len(data) // 7)):
        data[place] ^= 4
        table.write_bytes(data)
        assert _hash_or_damage(table) != good
        data[place] ^= 4


def test_what_is_no_archive_is_damage_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "1.dat.zst"
    path.write_bytes(b"<html>504 Gateway Time-out</html>")
    with pytest.raises(_decode.DamagedError, match="it cannot be decoded"):
        _decode.read(str(path), Runner())


def test_a_missing_decoder_is_named(table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if table.suffix == ".dat":
        return
    runner = Runner()
    monkeypatch.setattr(Runner, "find", lambda *_args: None)
    with pytest.raises(ProgramError, match="is not installed"):
        _decode.read(str(table), runner)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"\\n")), max_size=60))
def test_rows_counted_are_rows_written(tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("rows") / "1.dat.zst"
    write(path, b"".join(row + b"\n" for row in rows) + _decode.END_OF_ROWS)
    assert _decode.read(str(path), Runner()).rows() == len(rows)


LIST_17 = """;
; Archive created at 2026-11-24 08:56:46 UTC
;     dbname: boardroom_prod
;
; Selected TOC Entries:
;
2; 3079 16389 EXTENSION - pg_trgm -
4216; 1259 16402 TABLE public users boardroom
4217; 0 16402 TABLE DATA public users boardroom
4218; 0 16500 TABLE DATA odd schema ü my "table" postgres
4219; 0 16510 TABLE DATA public two lines postgres
4300; 0 0 SEQUENCE SET public users_id_seq boardroom
4301; 0 16600 MATERIALIZED VIEW DATA public board_activity boardroom
4302; 2613 24576 BLOB METADATA - 24576 boardroom
4303; 0 0 BLOBS - 24576..24577 boardroom
"""


def test_tables_with_rows_are_known_by_their_oid() -> None:
    assert _decode.table_data(LIST_17) == [(4217, 16402), (4218, 16500), (4219, 16510)]


SCRIPT = rb"""--
-- PostgreSQL database dump
--
COPY public.users (id, email) FROM stdin;
1	a@x
2	COPY public.other (id) FROM stdin;
3	\\.
\.


COPY "odd schema"."my ""table"" (x) FROM stdin;" (a, "b c") FROM stdin;
1	2
\.

COPY public."two
lines" (a) FROM stdin;
7
8
\.

COPY public.nocols  FROM stdin;


\.

COPY public.empty (id) FROM stdin;
\.

SELECT pg_catalog.lo_open('24576', 131072);
SELECT pg_catalog.lowrite(0, '\x00ff10');
SELECT pg_catalog.lowrite(0, '\x00');
SELECT pg_catalog.lo_close(0);
SELECT pg_catalog.lo_open('24577', 131072);
SELECT pg_catalog.lo_close(0);
"""
NAMES = {
    b"public.users": 1,
    b'"odd schema"."my ""table"" (x) FROM stdin;"': 2,
    b'public."two\nlines"': 3,
    b"public.nocols": 4,
    b"public.empty": 5,
}


def lines(script: bytes) -> t.Iterator[bytes]:
    return iter(script.splitlines(keepends=True))


def test_a_script_is_counted_whatever_the_names_and_rows_look_like() -> None:
    counted = _decode.count_script(lines(SCRIPT), NAMES)
    assert counted.rows == {1: 3, 2: 1, 3: 2, 4: 2, 5: 0}
    assert counted.large_objects == {24576: 4, 24577: 0}
    assert counted.complete


def test_a_script_that_ends_within_a_table_is_not_complete() -> None:
    cut = SCRIPT[: SCRIPT.index(b"3\t")]
    assert not _decode.count_script(lines(cut), NAMES).complete
    assert not _decode.count_script(lines(b'COPY public."two\nlin'), NAMES).complete


def test_a_table_that_nobody_knows_is_passed_over_without_losing_the_next() -> None:
    known = {b"public.empty": 5, b"public.nocols": 4}
    assert _decode.count_script(lines(SCRIPT), known).rows == {4: 2, 5: 0}
