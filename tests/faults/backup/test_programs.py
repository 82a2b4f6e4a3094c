# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that fail, hang, or say that all is well when it is not."""

from __future__ import annotations

import contextlib
import time
import typing as t

import pytest
from faultkit import DATABASE, DUMPING, Site, one_sentence, quoted, stands_in
from faultpage import Page

SECTION = "Programs that fail, hang or lie"
PG_DUMP = "/usr/lib/postgresql/17/bin/pg_dump"
ZSTD = "/usr/bin/zstd"

NOTHING = "print('pg_dump: error: connection to server was lost', file=sys.stderr)"
CUT = """
done = real(stdout=subprocess.PIPE if streams else None)
if streams:
    sys.stdout.buffer.write(done.stdout[:len(done.stdout) // 2])
else:
    os.truncate(largest(), os.path.getsize(largest()) // 2)
"""
EMPTIED = """
done = real(stdout=subprocess.PIPE if streams else None)
if streams:
    sys.stdout.buffer.write(done.stdout[:done.stdout.index(b"COPY ")])
else:
    os.truncate(largest(), 0)
"""
# What is written can be decoded without a complaint and has its end; one row is missing.
ROW_LOST = """
done = real(stdout=subprocess.PIPE if streams else None)
if streams:
    sys.stdout.buffer.write(without_a_row(done.stdout))
else:
    path = largest()
    text = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    with open(path, "wb") as file:
        subprocess.run(["zstd", "-cq"], input=text.partition(b"\\n")[2], stdout=file, check=True)
"""
LIES = {
    "nothing": ("`pg_dump` writes nothing, complains on stderr, and exits 0", NOTHING),
    "cut": ("`pg_dump` exits 0, but half of its largest file is missing", CUT),
    "emptied": ("`pg_dump` exits 0, but its largest file is empty", EMPTIED),
    "row": ("`pg_dump` exits 0, but one row is missing", ROW_LOST),
}
DECODER_FAILS = "sys.exit('zstd: cannot allocate memory')"
DECODER_LIES = "sys.stdin.buffer.read()"
ENCODER_LIES = """
if "--decompress" in words:
    sys.exit(real().returncode)
sys.stdin.buffer.read()
"""


@pytest.mark.parametrize(("fault", "harm"), LIES.values(), ids=LIES)
def test_pg_dump_lies(site: Site, page: Page, fault: str, harm: str) -> None:
    with stands_in(site, PG_DUMP, harm):
        with site.nothing_lost():
            answer = site.backup()
            one_sentence(answer, DATABASE)
        script = site.script()
    assert script.rc == 0, script
    said = script.said()
    if harm == ROW_LOST:
        # What the script left has all that can be looked for, and is one row short.
        assert script.files[0]["whole"] and script.files[0]["gzip"] == 0
        rows = _rows_of_users(site)
        assert rows == int(site.sql("SELECT count(*) FROM users", DATABASE)) - 1
        said = f"exit {script.rc}; left `.sql.gz` with beginning and end, `gzip -t` says good, one row short"
    else:
        assert not script.files[0]["whole"], script
    page.add(SECTION, fault, quoted(answer), said)


def _rows_of_users(site: Site) -> int:
    """Rows of the table users in the script's dump."""
    return int(
        site.sh("zcat /backups/postgres/*.gz | sed -n '/^COPY public.users /,/^\\\\\\.$/p' | sed '1d;$d' | wc -l")
    )


@pytest.mark.parametrize(
    ("fault", "harm", "word"),
    [
        ("the decoder fails", DECODER_FAILS, "cannot allocate memory"),
        ("the decoder writes nothing and exits 0", DECODER_LIES, "its end is missing"),
        ("the compressor of the roles writes nothing and exits 0", ENCODER_LIES, "globals.sql.zst"),
    ],
    ids=["decoder-fails", "decoder-lies", "encoder-lies"],
)
def test_zstd_fails_or_lies(site: Site, page: Page, fault: str, harm: str, word: str) -> None:
    with stands_in(site, ZSTD, harm), site.nothing_lost():
        answer = site.backup()
        one_sentence(answer, word)
    page.add(SECTION, fault, quoted(answer))


def test_gzip_fails_under_the_script(site: Site, page: Page) -> None:
    """The module compresses in pg_dump itself; what the script has instead is gzip."""
    with stands_in(site, "/usr/bin/gzip", "sys.exit('gzip: cannot allocate memory')"):
        script = site.script()
    assert not any(file["name"].endswith(".gz") for file in script.files), script
    page.add(SECTION, "the compressor fails", "see the decoder: `pg_dump` compresses by itself", script.said())


@contextlib.contextmanager
def _frozen(site: Site) -> t.Iterator[None]:
    """Every process of the server stands still for as long as this lasts."""
    site.sh("pkill -STOP -x postgres")
    try:
        yield
    finally:
        site.sh("pkill -CONT -x postgres")
        site.await_postgres()


def test_server_hangs_before(site: Site, page: Page) -> None:
    with site.nothing_lost(), _frozen(site):
        began = time.monotonic()
        answer = site.backup()
        seconds = time.monotonic() - began
        one_sentence(answer, "postgres at this host's socket")
        assert answer.found("database.reachable")
        script = site.script(prefix="timeout 8")
        site.sh("pkill -x pg_dump; true")
    assert seconds < 60 and script.rc == 124, (seconds, script)
    page.add(
        SECTION,
        "the server hangs (SIGSTOP) before the backup",
        f"{quoted(answer)} (the whole call: {seconds:.0f} s)",
        "waited without a limit; the test ended it after 8 s",
    )


def test_server_hangs_in_mid_dump(site: Site, page: Page) -> None:
    try:
        with site.nothing_lost():
            began = time.monotonic()
            answer = site.backup_while(DUMPING, "pkill -STOP -x postgres", timeout="12s")
            seconds = time.monotonic() - began
            one_sentence(answer, DATABASE)
            assert seconds < 60, seconds
            site.sh("pkill -CONT -x postgres")
    finally:
        site.sh("pkill -CONT -x postgres; true")
        site.await_postgres()
    page.add(
        SECTION,
        "the server hangs (SIGSTOP) in mid-dump, `timeout: 12s`",
        f"{quoted(answer)} (the whole call: {seconds:.0f} s)",
        "as above",
    )
