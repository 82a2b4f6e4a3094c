# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read back from a dump: every damage that exit codes let through."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
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
    with pytest.raises(_decode.DamagedError):
        _decode.read(str(table), Runner()).rows()


def test_zeros_that_gzip_takes_for_padding_change_the_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dat.gz", ROWS + _decode.END_OF_ROWS)
    good = _decode.read(str(path), Runner())
    with path.open("ab") as file:
        file.write(bytes(512))
    padded = _decode.read(str(path), Runner())
    assert padded.rows() == good.rows()
    assert padded.sha256 != good.sha256


def test_a_flipped_bit_changes_the_hash_wherever_it_is(table: Path) -> None:
    good = _decode.digest(str(table))[1]
    data = bytearray(table.read_bytes())
    seen = 0
    for place in range(0, len(data), max(1, len(data) // 7)):
        data[place] ^= 4
        table.write_bytes(data)
        # Most flips cannot be decoded at all, and some can: hence the hash.
        with contextlib.suppress(_decode.DamagedError):
            assert _decode.read(str(table), Runner()).sha256 != good
        data[place] ^= 4
        seen += 1
    assert seen >= 7


@pytest.mark.parametrize(
    ("made", "named"), [("1.dat.zst", ".gz"), ("1.dat.zst", ""), ("1.dat.gz", ""), ("1.dat", ".zst")]
)
def test_a_file_of_another_kind_than_its_name_says_is_damage(tmp_path: Path, made: str, named: str) -> None:
    path = write(tmp_path / made, ROWS + _decode.END_OF_ROWS)
    renamed = path.rename(tmp_path / f"2.dat{named}")
    with pytest.raises(_decode.DamagedError):
        _decode.read(str(renamed), Runner()).rows()


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("end", [b"", b"\\.\n", b"\\.\n\n", b"\\.", b"\\N\n\n\n", b"x"])
def test_rows_without_the_mark_after_the_last_one_are_not_counted(tmp_path: Path, suffix: str, end: bytes) -> None:
    path = write(tmp_path / f"1.dat{suffix}", ROWS + end)
    with pytest.raises(_decode.DamagedError, match="its end is missing"):
        _decode.read(str(path), Runner()).rows()


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_file_of_an_empty_large_object_may_be_empty(tmp_path: Path, suffix: str) -> None:
    """So pg_dump leaves it with zstd; with gzip there is a header."""
    path = tmp_path / f"blob_1.dat{suffix}"
    path.touch()
    content = _decode.read(str(path), Runner())
    assert (content.decoded, content.size, content.sha256) == (0, *_decode.digest(str(path)))
    with pytest.raises(_decode.DamagedError, match="its end is missing"):
        content.rows()


def test_a_decoder_that_stops_reading_has_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.dat.zst"
    path.write_bytes(bytes(4 * _decode.CHUNK))
    monkeypatch.setitem(_decode._DECODERS, ".zst", ("true",))
    with pytest.raises(_decode.DamagedError, match="true failed"):
        _decode.read(str(path), Runner())


def test_what_is_no_archive_is_damage_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "1.dat.zst"
    path.write_bytes(b"<html>504 Gateway Time-out</html>")
    with pytest.raises(_decode.DamagedError, match="it cannot be decoded"):
        _decode.read(str(path), Runner())


@pytest.mark.parametrize(("suffix", "program"), [(".zst", "zstd"), (".gz", "gzip")])
def test_a_missing_decoder_is_named(tmp_path: Path, suffix: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / f"1.dat{suffix}", ROWS)
    monkeypatch.setattr(Runner, "find", lambda *_args: None)
    with pytest.raises(ProgramError, match=f"The program {program} is not installed"):
        _decode.read(str(path), Runner())


# What COPY writes: a line break within a value is two characters, so a row is a line.
ROW = st.binary(max_size=40).map(lambda b: b.replace(b"\\", b"\\\\").replace(b"\n", b"\\n"))


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(ROW, max_size=60), suffix=st.sampled_from(sorted(WRITERS)))
def test_rows_counted_are_rows_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / f"1.dat{suffix}"
    write(path, b"".join(row + b"\n" for row in rows) + _decode.END_OF_ROWS)
    assert _decode.read(str(path), Runner()).rows() == len(rows)


@given(rows=st.lists(ROW, max_size=20), cut=st.integers(min_value=1), after=st.lists(ROW, max_size=3))
def test_no_cut_ever_counts_as_the_whole(rows: list[bytes], cut: int, after: list[bytes]) -> None:
    """Even where the rows themselves look like the mark."""
    whole = b"".join(row + b"\n" for row in [*rows, b"\\\\.", b"", b"", *after]) + _decode.END_OF_ROWS
    counter = _decode._Counter()
    counter.take(whole[: -(1 + cut % len(whole))])
    with contextlib.suppress(_decode.DamagedError):
        assert counter.content(0, "").rows() != len(rows) + 3 + len(after)


RECORDED = Path(__file__).parent / "recorded"


@pytest.mark.parametrize("version", [15, 17])
def test_tables_with_rows_are_known_by_their_oid(version: int) -> None:
    facts = json.loads((RECORDED / f"facts-{version}.json").read_text(encoding="utf-8"))
    listed = (RECORDED / f"list-{version}.txt").read_text(encoding="utf-8")
    found = _decode.table_data(listed)
    assert sorted(entry.oid for entry in found) == sorted(oid for oid, _rows in facts["tables"].values())
    assert len({entry.dump_id for entry in found}) == len(found)
    for entry in found:
        assert f"\n{entry.dump_id}; 0 {entry.oid} TABLE DATA " in listed


@pytest.mark.parametrize("version", [15, 17])
def test_what_postgresql_wrote_is_counted_as_it_said(version: int) -> None:
    facts = json.loads((RECORDED / f"facts-{version}.json").read_text(encoding="utf-8"))
    names = {quoted.encode("utf-8"): oid for quoted, (oid, _rows) in facts["tables"].items()}
    with (RECORDED / f"script-{version}.sql").open("rb") as script:
        counted = _decode.count_script(script, names)
    assert counted.complete
    assert counted.unknown == 0
    assert counted.rows == dict(facts["tables"].values())
    assert counted.large_objects == {int(oid): size for oid, size in facts["large_objects"].items()}


@pytest.mark.parametrize("version", [15, 17])
def test_a_recorded_script_that_lacks_a_row_or_its_end_differs(version: int) -> None:
    facts = json.loads((RECORDED / f"facts-{version}.json").read_text(encoding="utf-8"))
    names = {quoted.encode("utf-8"): oid for quoted, (oid, _rows) in facts["tables"].items()}
    whole = (RECORDED / f"script-{version}.sql").read_bytes().splitlines(keepends=True)
    copies = [number for number, line in enumerate(whole) if line.endswith(b" FROM stdin;\n")]
    users = next(number for number in copies if whole[number].startswith(b"COPY public.users "))
    less = _decode.count_script(io.BytesIO(b"".join(whole[: users + 1] + whole[users + 2 :])), names)
    assert less.rows[names[b"public.users"]] == 4
    assert not _decode.count_script(io.BytesIO(b"".join(whole[: users + 3])), names).complete


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


class Blocks(io.BytesIO):
    """A stream that gives at most so many bytes at a time, as a pipe does."""

    def __init__(self, script: bytes, size: int) -> None:
        super().__init__(script)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)


@pytest.mark.parametrize("size", [*range(1, 40), 64, 100, 333, len(SCRIPT)])
def test_a_script_is_counted_whatever_the_names_and_rows_look_like_and_however_it_arrives(size: int) -> None:
    counted = _decode.count_script(Blocks(SCRIPT, size), NAMES)
    assert counted.rows == {1: 3, 2: 1, 3: 2, 4: 2, 5: 0}
    assert counted.large_objects == {24576: 4, 24577: 0}
    assert counted.complete
    assert counted.unknown == 0


def test_a_script_that_ends_within_a_table_is_not_complete() -> None:
    for size in (1, 7, len(SCRIPT)):
        for cut in (SCRIPT[: SCRIPT.index(b"3\t")], SCRIPT[: SCRIPT.index(b"\\.\n\n")]):
            assert not _decode.count_script(Blocks(cut, size), NAMES).complete
            assert not _decode.count_script(Blocks(cut + b"\\.", size), NAMES).complete
        assert not _decode.count_script(Blocks(b'COPY public."two\nlin', size), NAMES).complete
        assert not _decode.count_script(Blocks(SCRIPT + b"SELECT pg_catalog.lo_o", size), NAMES).complete


def test_a_table_that_nobody_knows_is_passed_over_without_losing_the_next() -> None:
    known = {b"public.empty": 5, b"public.nocols": 4}
    for size in (1, 5, len(SCRIPT)):
        counted = _decode.count_script(Blocks(SCRIPT, size), known)
        assert counted.rows == {4: 2, 5: 0}
        assert counted.unknown == 3


@given(
    tables=st.lists(
        st.tuples(st.text(alphabet='a"\n .;(', min_size=1, max_size=6), st.lists(ROW, max_size=9)), max_size=4
    ),
    size=st.integers(min_value=1, max_value=50),
)
def test_rows_of_any_script_are_counted_whatever_its_blocks(tables: list[tuple[str, list[bytes]]], size: int) -> None:
    named = {
        b'"' + f"{name}{number}".replace('"', '""').encode() + b'"': rows for number, (name, rows) in enumerate(tables)
    }
    script = b"SET client_encoding = 'UTF8';\n"
    for name, rows in named.items():
        script += b"COPY s." + name + b" (a) FROM stdin;\n" + b"".join(row + b"\n" for row in rows) + b"\\.\n\n\n"
    oids = {b"s." + name: number for number, name in enumerate(named)}
    counted = _decode.count_script(Blocks(script, size), oids)
    assert counted == _decode.Counted({oids[b"s." + n]: len(rows) for n, rows in named.items()}, {}, True)


def test_a_row_longer_than_many_blocks_is_one_row() -> None:
    script = b"COPY public.users (a) FROM stdin;\n" + b"x" * 5000 + b"\n" + b"y" * 4999 + b"\n\\.\n"
    assert _decode.count_script(Blocks(script, 64), NAMES).rows == {1: 2}
