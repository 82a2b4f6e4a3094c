# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manifest promises, and how a broken promise is found."""

from __future__ import annotations

import copy
import datetime
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _client, _decode, _manifest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._backup import Backup
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._request import Request
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._local import LocalStore
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from .conftest import FakeServer, StreamingServer

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)


@pytest.fixture
def store(tmp_path: Path, server: FakeServer) -> LocalStore:
    """A store with one set."""
    made = LocalStore(str(tmp_path / "main"))
    Backup(server, made, Runner(), now=lambda: NOW).take(Request(databases=["app"], min_free="0%"))
    return made


def problems(store: LocalStore, check: str) -> list[tuple[str, str]]:
    return _manifest.damage(store.entries()[0], check, Runner())


def files(store: LocalStore) -> list[Path]:
    path = Path(store.entries()[0].path)
    return sorted(p for p in path.rglob("*") if p.is_file())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[t.Callable[[Path], object], str]] = {
    "emptied": (lambda p: os.truncate(p, 0), "sizes"),
    "cut": (lambda p: os.truncate(p, p.stat().st_size // 2), "sizes"),
    "flipped": (flip, "hashes"),
    "deleted": (lambda p: p.unlink(), "sizes"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_of_every_file_is_named_with_that_file(store: LocalStore, kind: str) -> None:
    spoil, check = DAMAGE[kind]
    seen = 0
    for path in files(store):
        kept = path.read_bytes()
        spoil(path)
        relative = str(path.relative_to(store.entries()[0].path))
        for level in _manifest.CHECKS[_manifest.CHECKS.index(check) :]:
            assert relative in [file for file, _reason in problems(store, level)], (level, relative)
        path.write_bytes(kept)
        seen += 1
    assert seen == 6
    assert problems(store, "decode") == []


def test_a_file_that_does_not_belong_is_named(store: LocalStore) -> None:
    Path(store.entries()[0].path, "databases", "app", "9.dat.zst").write_bytes(b"")
    assert problems(store, "sizes") == [("databases/app/9.dat.zst", "it does not belong to the set")]


def test_decoding_finds_what_a_forged_manifest_hides(store: LocalStore) -> None:
    """Sizes and hashes agree; only the rows tell."""
    entry = store.entries()[0]
    manifest = copy.deepcopy(entry.manifest)
    assert manifest is not None
    manifest["databases"][0]["tables"][0]["rows"] += 1
    Path(entry.path, "manifest.json").write_text(json.dumps(_manifest.seal(manifest)), encoding="utf-8")
    assert problems(store, "hashes") == []
    assert problems(store, "decode") == [("databases/app/1.dat.zst", "it holds 3 rows instead of 4")]


def test_an_unknown_schema_is_not_guessed_at(store: LocalStore) -> None:
    entry = store.entries()[0]
    assert entry.manifest is not None
    Path(entry.path, "manifest.json").write_text(
        json.dumps(_manifest.seal({**entry.manifest, "schema": 2})), encoding="utf-8"
    )
    assert problems(store, "sizes") == [("manifest.json", "its schema is 2, and only 1 is known")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.text(max_size=5), JSON)
def test_the_checksum_notices_any_change(manifest: dict[str, t.Any], key: str, value: t.Any) -> None:
    manifest.pop("checksum", None)
    sealed = json.loads(json.dumps(_manifest.seal(manifest)))
    assert sealed["checksum"] == _manifest.checksum(sealed)
    if key != "checksum" and json.dumps(manifest.get(key, "absent")) != json.dumps(value):
        assert _manifest.checksum({**sealed, key: value}) != sealed["checksum"]


@given(st.text(min_size=1, max_size=63), st.text(min_size=1, max_size=63))
def test_every_name_gets_a_directory_of_its_own_that_is_safe(one: str, other: str) -> None:
    one = one.encode("utf-8", "ignore").decode()
    other = other.encode("utf-8", "ignore").decode()
    made = _manifest.directory_name(one)
    assert "/" not in made
    assert "\0" not in made
    assert not made.startswith(".")
    assert (made == _manifest.directory_name(other)) == (one == other)


def test_ordinary_names_stay_readable() -> None:
    assert _manifest.directory_name("boardroom_prod-2") == "boardroom_prod-2"
    assert _manifest.directory_name("..") == "%2E%2E"


def test_an_unverified_set_is_never_fresh(store: LocalStore) -> None:
    manifest = store.entries()[0].manifest
    assert manifest is not None
    identity = manifest["system_identifier"]
    assert _manifest.fresh(manifest, identity, ["app"], NOW, 60)
    assert not _manifest.fresh({**manifest, "verification": []}, identity, ["app"], NOW, 60)
    late = NOW + datetime.timedelta(seconds=61)
    assert not _manifest.fresh(manifest, identity, ["app"], late, 60)
    assert not _manifest.fresh(manifest, identity, ["app"], NOW - datetime.timedelta(minutes=6), 60)
    assert not _manifest.fresh(manifest, identity, ["ap"], NOW, 60)
    assert not _manifest.fresh(manifest, "1", ["app"], NOW, 60)


STREAMED = {
    "path": "databases/app/dump.custom",
    "tables": [{"oid": 1, "quoted": "public.a", "rows": 2}, {"oid": 2, "quoted": "public.b", "rows": 0}],
    "large_objects": [{"oid": 9, "bytes": 4}],
}


@pytest.mark.parametrize(
    ("rows", "objects", "complete", "status", "found"),
    [
        ({1: 2, 2: 0}, {9: 4}, True, 0, []),
        ({1: 1, 2: 0}, {9: 4}, True, 0, ["it holds 1 rows of public.a instead of 2"]),
        ({1: 2}, {9: 4}, True, 0, ["it holds no rows of public.b instead of 0"]),
        ({1: 2, 2: 0}, {9: 3}, True, 0, ["it holds 3 bytes of the large object 9 instead of 4"]),
        ({1: 2, 2: 0}, {}, True, 0, ["it holds None bytes of the large object 9 instead of 4"]),
        ({1: 2, 2: 0}, {9: 4}, False, 0, ["it cannot be decoded to its end"]),
        ({1: 2, 2: 0}, {9: 4}, True, 1, ["it cannot be decoded to its end"]),
    ],
)
def test_a_streamed_dump_is_compared_too(
    rows: dict[int, int], objects: dict[int, int], complete: bool, status: int, found: list[str]
) -> None:
    counted = _decode.Counted(rows, objects, complete)
    assert [reason for _file, reason in _manifest.compare_custom(STREAMED, counted, status)] == found


def test_programs_that_decoding_takes_are_asked_for_first(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = store.entries()[0].manifest
    assert manifest is not None
    _manifest.require_programs([manifest], Runner())
    monkeypatch.setattr(Runner, "find", lambda *_args: None)
    with pytest.raises(ProgramError, match="The program zstd is not installed"):
        _manifest.require_programs([manifest], Runner())


def restore_program(folder: Path, version: str, status: int = 0) -> None:
    """A pg_restore that prints what it is given; see StreamingServer."""
    folder.mkdir(parents=True)
    told = f"echo 'pg_dump (PostgreSQL) {version}'"
    for name, script in (("pg_dump", told), ("pg_restore", f'PATH=/usr/bin:/bin; cat "$3"; exit {status}')):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)


@pytest.fixture
def streamed(tmp_path: Path, streaming: StreamingServer, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A store with one set that was streamed, on a host with programs of its own."""
    made = LocalStore(str(tmp_path / "streamed"))
    Backup(streaming, made, Runner(), now=lambda: NOW).take(Request(databases=["app"], min_free="0%"))
    monkeypatch.setattr(_client, "DEBIAN_PROGRAMS", str(tmp_path / "programs" / "*"))
    monkeypatch.setenv("PATH", "/nowhere")
    return made


def test_a_streamed_set_is_decoded_by_this_host_s_own_program(streamed: LocalStore, tmp_path: Path) -> None:
    restore_program(tmp_path / "programs" / "15", "15.18", status=1)
    restore_program(tmp_path / "programs" / "17", "17.12")
    (entry,) = streamed.entries()
    assert problems(streamed, "decode") == []
    # Sizes and hashes agree with what was written; only the rows tell.
    assert entry.manifest is not None
    manifest = copy.deepcopy(entry.manifest)
    manifest["databases"][0]["tables"][0]["rows"] = 4
    Path(entry.path, "manifest.json").write_text(json.dumps(_manifest.seal(manifest)), encoding="utf-8")
    assert problems(streamed, "decode") == [
        ("databases/app/dump.custom", "it holds 3 rows of public.t101 instead of 4"),
    ]
    os.truncate(Path(entry.path, "databases/app/dump.custom"), 10)
    assert [file for file, _reason in problems(streamed, "decode")] == ["databases/app/dump.custom"]


def test_a_program_that_fails_makes_the_set_damaged(streamed: LocalStore, tmp_path: Path) -> None:
    restore_program(tmp_path / "programs" / "17", "17.12", status=1)
    assert problems(streamed, "decode") == [("databases/app/dump.custom", "it cannot be decoded to its end")]


def test_an_older_program_is_not_blamed_on_the_set(streamed: LocalStore, tmp_path: Path) -> None:
    """It would refuse the file, and a whole set would seem damaged."""
    restore_program(tmp_path / "programs" / "15", "15.18")
    manifest = streamed.entries()[0].manifest
    assert manifest is not None
    with pytest.raises(ProgramError, match=r"needs pg_restore 17\.6 or newer to be decoded; this host has: 15\.18"):
        _manifest.require_programs([manifest], Runner())
    assert problems(streamed, "hashes") == []


def test_many_problems_are_summed_up() -> None:
    error = _manifest.problem_error([(f"f{n}", "bad") for n in range(5)], "The dump of app")
    assert isinstance(error, MaintenanceError)
    assert "f0: bad; f1: bad; f2: bad and 2 more." in error.message
