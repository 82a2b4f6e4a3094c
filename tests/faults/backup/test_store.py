# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store goes away, or holds what does not belong there; names of roles, directories and passwords are odd."""

from __future__ import annotations

import json
import shlex
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._manifest import seal
from faultkit import DEST, SECRETS, Site, one_sentence, quoted
from faultpage import Page

SECTION = "The store"
SMALL = "faults small"
PLACE = "/srv/faults-store"
MOUNT = "/mnt/faults-store"
WRITTEN = f"written('{MOUNT}/*/.incomplete-*/databases/*/*.dat*') > 0"
# libpq reads a password with a line break from its environment only.
PASSWORD = "first line\nsecond: \\ 'line' 0xFB"
ROLE = 'it\'s "odd"; -- \\ $HOME žluťoučký'
DIRECTORY = "/var/backups/odd, \"name\" $HOME 'dir' ü"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def small(site: Site) -> t.Iterator[str]:
    """A small database."""
    SECRETS.append(PASSWORD)
    site.sql(f"DROP DATABASE IF EXISTS {_identifier(SMALL)}")
    site.sql(f"CREATE DATABASE {_identifier(SMALL)}")
    site.sql("CREATE TABLE kept AS SELECT i, md5(i::text) FROM generate_series(1, 500) i", SMALL)
    # As long as the other: a file of it has as many bytes without compression.
    site.sql("CREATE TABLE twin AS SELECT i, md5((-i)::text) FROM generate_series(1, 500) i", SMALL)
    yield SMALL
    site.sql(f"DROP DATABASE {_identifier(SMALL)}")


def _hashes(site: Site, directory: str) -> str:
    return site.sh(
        f"find {directory} -path '*/.incomplete-*' -prune -o -type f -print0 | sort -z | xargs -0r sha256sum"
    )


def test_mount_goes_away_in_mid_dump(site: Site, page: Page) -> None:
    site.sh(
        f"mkdir -p {PLACE} {MOUNT} && chmod 711 {PLACE} && mount --bind {PLACE} {MOUNT}; "
        f"cp -p /etc/fstab /root/fstab.kept 2>/dev/null || : >/root/fstab.kept; "
        f"echo '{PLACE} {MOUNT} none bind 0 0' >>/etc/fstab"
    )
    try:
        first = site.backup(dest=MOUNT)
        assert not first.failed, first.msg
        before = _hashes(site, PLACE)
        answer = site.backup_while(WRITTEN, f"umount --lazy {MOUNT}", dest=MOUNT)
        one_sentence(answer)
        down = site.backup(dest=MOUNT)
        one_sentence(down, "Nothing is mounted", MOUNT)
        # Nothing was written where the mount should be.
        assert site.sh(f"ls -A {MOUNT}") == ""
        site.sh(f"mount {MOUNT}")
        assert _hashes(site, PLACE) == before
        seen = site.info(dest=MOUNT, check="hashes")
        assert [each["id"] for each in seen.result["sets"]] == [first.result["backup"]["id"]]
        assert not seen.found("backup.damage")
        again = site.backup(dest=MOUNT)
        assert not again.failed and len(again.result["swept"]) == 1, again.result
    finally:
        site.sh(f"cat /root/fstab.kept >/etc/fstab; umount --lazy {MOUNT}; rm -rf {PLACE} {MOUNT}; true")
    page.add(
        SECTION,
        "the file system of the sets is unmounted in mid-dump",
        f"the run {quoted(answer)}; the next one {quoted(down)}; once mounted again, the next swept what was left and "
        "succeeded; the earlier set is the same",
    )


def test_sets_of_another_cluster_and_of_another_name(site: Site, page: Page, small: str) -> None:
    taken = site.backup(instance="foreign", databases=[small])
    assert not taken.failed, taken.msg
    path = taken.result["backup"]["path"]
    try:
        manifest = json.loads(site.sh(f"cat '{path}/manifest.json'"))
        del manifest["checksum"]
        manifest["system_identifier"] = "1234567890123456789"
        site.write(f"{path}/manifest.json", (json.dumps(seal(manifest)) + "\n").encode())
        before = _hashes(site, f"{DEST}/foreign")
        assert not site.info(instance="foreign", check="hashes").found("backup.damage")
        own = site.backup(instance="foreign", databases=[small], max_age="30d")
        assert not own.failed and own.result["changed"], own.msg
        again = site.backup(instance="foreign", databases=[small], max_age="30d")
        assert not again.failed and not again.result["changed"], again.msg
        assert again.result["backup"]["id"] == own.result["backup"]["id"]
        # A set of "faults small" says nothing of a database "faults".
        site.sql("CREATE DATABASE faults")
        other = site.backup(instance="foreign", databases=["faults"], max_age="30d")
        assert not other.failed and other.result["changed"], other.msg
        assert other.result["backup"]["databases"] == ["faults"]
        assert all(line in _hashes(site, f"{DEST}/foreign") for line in before.splitlines())
    finally:
        site.sql("DROP DATABASE IF EXISTS faults")
        site.sh(f"rm -rf {DEST}/foreign")
    page.add(
        SECTION,
        "a young set of another cluster lies in the same directory",
        "it does not satisfy `max_age`: a set of this cluster was taken, the other one stayed as it was",
    )
    page.add(
        SECTION,
        "a young set of the database `faults small`, and one of `faults` is asked for",
        "it does not satisfy `max_age`: a set of `faults` was taken",
    )


# Of a directory format's data files with the same size, put one in the place of the other, and so on.
REPLACED = """
import glob, os, shutil, sys
data = sorted(glob.glob(sys.argv[1] + "/databases/*/*.dat"), key=os.path.getsize)
twins = [(a, b) for a, b in zip(data, data[1:]) if os.path.getsize(a) == os.path.getsize(b)]
"""
ODD = {
    "extra": (
        "a file that does not belong there",
        REPLACED + "name = data[-1] + '.old'; shutil.copy2(data[-1], name)",
        "it does not belong to the set",
    ),
    "replaced": (
        "a data file replaced by one of another table with the same size",
        REPLACED + "name = twins[0][0]; shutil.copy2(twins[0][1], name)",
        "its content has changed (SHA-256)",
    ),
    "link": (
        "a data file replaced by a link to another",
        REPLACED + "name = data[-1]; os.unlink(name); os.symlink(os.path.basename(data[0]), name)",
        "bytes instead of",
    ),
    "directory": (
        "a data file replaced by a directory",
        REPLACED + "name = data[-1]; os.unlink(name); os.mkdir(name)",
        "",
    ),
    "manifest": (
        "`manifest.json` replaced by one of another time",
        REPLACED
        + "name = sys.argv[1] + '/manifest.json'; text = open(name).read(); "
        + "open(name, 'w').write(text.replace('\"rows\": 500', '\"rows\": 499', 1))",
        "it was changed after it was written",
    ),
}


@pytest.fixture
def plain(site: Site, small: str) -> t.Iterator[str]:
    """A set without compression, in which files can be exchanged for others of the same size."""
    taken = site.backup(instance="plain", databases=[small], compress="none")
    assert not taken.failed, taken.msg
    yield taken.result["backup"]["path"]
    site.sh(f"rm -rf {DEST}/plain")


def test_what_is_in_a_set_is_exchanged(site: Site, page: Page, plain: str) -> None:
    for fault, code, reason in ODD.values():
        site.sh(f"cp -a {plain} /root/kept-set")
        name = site.python(code + "\nprint(name)", plain).strip()
        relative = name[len(plain) + 1 :]
        seen = site.info(instance="plain", check="hashes")
        assert not seen.failed, seen.msg
        damage = seen.found("backup.damage")
        assert [f["subject"] for f in damage] == [f"{plain.rpartition('/')[2]}/{relative}"], (fault, seen.result)
        assert reason in damage[0]["message"]
        listed = site.sh(f"pg_restore --list {plain}/databases/* >/dev/null 2>&1; echo $?").strip()
        restored = site.sh(f"pg_restore -f /dev/null {plain}/databases/* >/dev/null 2>&1; echo $?").strip()
        verdict = f"`pg_restore --list` exits {listed}, reading all of it {restored}"
        page.add(SECTION, f"in a set: {fault}", f"'{damage[0]['message']}'", f"(its check) {verdict}")
        site.sh(f"rm -rf {plain} && mv /root/kept-set {plain}")
    assert not site.info(instance="plain", check="decode").found("backup.damage")


def test_odd_role_password_and_directory(site: Site, page: Page, small: str) -> None:
    literal = PASSWORD.replace("'", "''")
    site.sql(f"CREATE ROLE {_identifier(ROLE)} SUPERUSER LOGIN PASSWORD '{literal}'")
    site.sh(f"install -d -m 711 {shlex.quote(DIRECTORY)}")
    wanted = {"login_user": ROLE, "login_host": "127.0.0.1", "login_password": PASSWORD, "databases": [small]}
    try:
        answer = site.backup(**wanted, dest=DIRECTORY)
        assert not answer.failed, answer.msg
        seen = site.info(dest=DIRECTORY, check="decode")
        assert not seen.failed and not seen.found("backup.damage"), seen.result
        assert [each["rows"] for each in seen.result["sets"]] == [1000]
        assert PASSWORD.splitlines()[1] not in site.sh("cat /var/lib/boardroom-maintenance/journal.jsonl")
        wrong = site.backup(**{**wanted, "login_password": PASSWORD + "?"}, dest=DIRECTORY)
        one_sentence(wrong, "password authentication failed")
    finally:
        site.sql(f"DROP ROLE {_identifier(ROLE)}")
        site.sh(f"rm -rf {shlex.quote(DIRECTORY)}")
    page.add(
        "Rights, names and passwords",
        f"a role named `{ROLE}`, a password of two lines, sets in `{DIRECTORY}`",
        "a whole set, decoded again; the password appears in no output and not in the journal",
    )
