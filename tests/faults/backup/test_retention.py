# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that is still needed is ever removed: clocks jump, backups fail for weeks, stores look wrong."""

from __future__ import annotations

import datetime
import shlex
import typing as t

import pytest
import support
from faultkit import DATABASE, DEST, NAME, RUNBOOK_DIR, Answer, Site, one_sentence, quoted
from faultpage import Page

SECTION = "Retention"
SHOP = "faults_shop"
INSTANCE = "kept"
DAY = datetime.timedelta(days=1)
WEEK = {"keep_within": "7d"}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def _ago(*days: float) -> list[datetime.datetime]:
    return [_now() - number * DAY for number in days]


@pytest.fixture(scope="module")
def shop(site: Site) -> t.Iterator[str]:
    """A small database, and the one set of it."""
    site.sql(f"DROP DATABASE IF EXISTS {SHOP}")
    site.sql(f"CREATE DATABASE {SHOP}")
    site.sql(
        "CREATE TABLE orders AS SELECT i, md5(i::text) FROM generate_series(1, 3000) i;"
        "CREATE TABLE items AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i;",
        SHOP,
    )
    answer = site.backup(instance="shop", databases=[SHOP])
    assert not answer.failed, answer.msg
    yield answer.result["backup"]["path"]
    site.sql(f"DROP DATABASE {SHOP}")
    site.sh(f"rm -rf {DEST}/shop")


@pytest.fixture(autouse=True)
def _empty(site: Site) -> t.Iterator[None]:
    yield
    site.sh(f"rm -rf {DEST}/{INSTANCE} {DEST}/{INSTANCE}_test")


def _ids(site: Site, instance: str = INSTANCE) -> list[str]:
    return site.sh(f"ls {DEST}/{instance}").split()


def _holds(site: Site, *words: str, **wanted: t.Any) -> Answer:
    """Nothing is removed, and the answer says why."""
    before = site.tree()
    answer = site.prune(**{"instance": INSTANCE, **WEEK, **wanted})
    assert not answer.failed and not answer.result["changed"] and not answer.result["removed"], answer.result
    assert site.tree() == before
    (found,) = answer.found("backup.retention")
    assert found["status"] == "warning"
    for word in words:
        assert word in " ".join(answer.result["held"]), answer.result["held"]
    return answer


def _old_dumps(site: Site) -> None:
    """The runbook's directory holds one whole dump, eight days old."""
    assert site.script().files[0]["whole"]
    site.sh(f"touch -d '8 days ago' {RUNBOOK_DIR}/*")


def test_weeks_of_failed_runs(site: Site, page: Page, shop: str) -> None:
    old = site.forge(shop, INSTANCE, _ago(32, 31, 30, 29, 28))
    support.lab("harm", NAME, "postgres-stopped")
    try:
        failed = [site.backup(instance=INSTANCE, databases=[SHOP]) for _night in range(2)]
        for answer in failed:
            one_sentence(answer, "does not run")
        held = _holds(site, "old", "recovery_point_objective")
        site.sh(f"rm -f {RUNBOOK_DIR}/*")
    finally:
        support.lab("harm", NAME, "postgres-stopped", "--undo")
        site.await_postgres()
    _old_dumps(site)
    site.sh("systemctl stop postgresql")
    try:
        script = site.script(keep=True)
    finally:
        site.sh("systemctl start postgresql")
        site.await_postgres()
    assert not any(file["whole"] for file in script.files), script
    assert _ids(site) == old
    # It works again: of the old ones the one stays that makes two.
    again = site.again(instance=INSTANCE, databases=[SHOP])
    assert not again.failed, again.msg
    gone = site.prune(instance=INSTANCE, **WEEK)
    assert not gone.failed and [each["id"] for each in gone.result["removed"]] == old[:-1], gone.result
    assert _ids(site) == [old[-1], again.result["backup"]["id"]]
    assert not site.info(instance=INSTANCE, check="hashes").found("backup.damage")
    page.add(
        SECTION,
        "no backup for four weeks: the server is down, and the clean-up goes on (`keep_within: 7d`)",
        f"{quoted(held)} After the next good backup four of the five old ones go, and one stays beside it",
        f"the clean-up of a script that failed removed the last whole dump: {script.said()}",
    )


def test_newest_sets_are_damaged(site: Site, page: Page, shop: str) -> None:
    ids = site.forge(shop, INSTANCE, _ago(40, 30, 20, 10, 0.1, 0.05))
    site.sh(f"for id in {ids[-1]} {ids[-2]}; do truncate -s 0 {DEST}/{INSTANCE}/$id/databases/*/toc.dat; done")
    held = _holds(site, "old")
    damaged = [kept for kept in held.result["kept"] if "damaged" in " ".join(kept["reasons"])]
    assert [kept["id"] for kept in damaged] == ids[-2:]
    # One that is whole again: the damaged ones count for nothing.
    fresh = site.again(instance=INSTANCE, databases=[SHOP])
    assert not fresh.failed
    gone = site.prune(instance=INSTANCE, **WEEK)
    assert [each["id"] for each in gone.result["removed"]] == ids[:3], gone.result
    assert _ids(site) == [*ids[3:], fresh.result["backup"]["id"]]
    page.add(
        SECTION,
        "the two newest sets are damaged",
        f"{quoted(held)} With a new whole one they still count for nothing: the last whole one before them stays too",
        "takes no look at what it has",
    )


def test_clock_jumps_ahead(site: Site, page: Page, shop: str) -> None:
    ids = site.forge(shop, INSTANCE, [*_ago(40, 30, 20, 0.2), _now() + 400 * DAY])
    held = _holds(site, "future")
    assert _ids(site) == ids
    page.add(SECTION, "a set bears a time in the future", quoted(held))


def _python_at(site: Site, date: str) -> str:
    """A Python on the host whose clock stands elsewhere."""
    site.sh(
        "command -v faketime >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -yq faketime", timeout=300
    )
    path = "/usr/local/bin/python-elsewhen"
    text = f'#!/bin/sh\nexec faketime -f {shlex.quote("@" + date)} /usr/bin/python3 "$@"\n'
    site.write(path, text.encode())
    site.sh(f"chmod 755 {path}")
    return path


def test_clock_jumps_back(site: Site, page: Page, shop: str) -> None:
    """A host whose clock fell back takes a set; when it is right again, that set is the oldest."""
    ids = site.forge(shop, INSTANCE, _ago(3, 2, 1, 0.1))
    python = _python_at(site, "2001-02-03 04:05:06")
    held = _holds(site, "future", interpreter=python)
    taken = site.backup(instance=INSTANCE, databases=[SHOP], max_age="12h", interpreter=python)
    assert not taken.failed and taken.result["changed"], taken.msg
    early = taken.result["backup"]["id"]
    assert early.startswith("20010203T")
    assert _ids(site) == [early, *ids]
    seen = site.info(instance=INSTANCE, check="hashes")
    assert not seen.found("backup.damage") and not seen.found("backup.age")
    # The one that bears an old date goes first; the newest are the newest.
    gone = site.prune(instance=INSTANCE, **WEEK)
    assert [each["id"] for each in gone.result["removed"]] == [early], gone.result
    assert _ids(site) == ids
    page.add(
        SECTION,
        "the clock falls back to 2001 (faketime)",
        f"while it is wrong: {quoted(held)} A backup succeeds then; with the clock right again it is the oldest set",
    )


def test_rows_are_gone(site: Site, page: Page, shop: str) -> None:
    """Somebody emptied a table; every backup of it is whole, and worth nothing."""
    old = site.forge(shop, INSTANCE, _ago(12, 11, 10, 9, 3, 2, 1))
    database = f"{SHOP}_emptied"
    site.sql(f"CREATE DATABASE {database} TEMPLATE {SHOP}")
    site.sql(f"ALTER DATABASE {SHOP} RENAME TO {SHOP}_kept")
    site.sql(f"ALTER DATABASE {database} RENAME TO {SHOP}")
    try:
        site.sql("DELETE FROM items; DELETE FROM orders WHERE i > 100", SHOP)
        taken = site.backup(instance=INSTANCE, databases=[SHOP])
        assert not taken.failed, taken.msg
        new = taken.result["backup"]["id"]
        seen = site.info(instance=INSTANCE)
        trend = seen.found("backup.size_trend")
        assert trend and new in trend[0]["message"], seen.result
        held = _holds(site, "suspicious", SHOP)
        assert _ids(site) == [*old, new]
        accepted = site.prune(instance=INSTANCE, accept=[new], **WEEK)
        assert [each["id"] for each in accepted.result["removed"]] == old[:4], accepted.result
    finally:
        site.sql(f"DROP DATABASE {SHOP}")
        site.sql(f"ALTER DATABASE {SHOP}_kept RENAME TO {SHOP}")
    page.add(
        SECTION,
        "a table was emptied: the newest set is whole and much smaller",
        f"the look says '{trend[0]['message']}'; {quoted(held)} Goes on when that set is accepted by name",
        "takes no look at what it has",
    )


def test_sets_of_another_cluster(site: Site, page: Page, shop: str) -> None:
    foreign = site.forge(shop, INSTANCE, _ago(60, 50), system_identifier="1234567890123456789")
    own = site.forge(shop, INSTANCE, _ago(40, 30, 20, 0.1))
    held = _holds(site, "several clusters")
    identity = site.manifest(shop)["system_identifier"]
    named = site.prune(instance=INSTANCE, system_identifier=identity, **WEEK)
    assert [each["id"] for each in named.result["removed"]] == own[:2], named.result
    assert _ids(site) == [*foreign, *own[2:]]
    page.add(
        SECTION,
        "sets of two clusters lie in one store (a major upgrade, a second server)",
        f"{quoted(held)} With `system_identifier` it removes sets of that one only",
        "cannot tell one from the other",
    )


def test_neighbours_by_name(site: Site, page: Page, shop: str) -> None:
    """The name of one instance begins with the name of the other."""
    moments = _ago(40, 30, 20, 10, 0.1)
    own, other = site.forge(shop, INSTANCE, moments), site.forge(shop, f"{INSTANCE}_test", moments)
    site.sh(f"mkdir {DEST}/{INSTANCE}_test/.incomplete-20261124T000000Z-0000fa17")
    gone = site.prune(instance=INSTANCE, **WEEK)
    assert [each["id"] for each in gone.result["removed"]] == own[:3], gone.result
    assert _ids(site, f"{INSTANCE}_test") == other
    assert "20261124T000000Z-0000fa17" in site.leftovers(f"{INSTANCE}_test")
    page.add(SECTION, "another instance's name begins with this one's", "its sets and what is begun there stay")


def test_nothing_mounted(site: Site, page: Page, shop: str) -> None:
    site.forge(shop, INSTANCE, _ago(40, 30, 20, 0.1))
    before = site.tree()
    site.sh(f"cp -p /etc/fstab /root/fstab 2>/dev/null || : >/root/fstab; echo 'nas:/b {DEST} nfs x 0 0' >>/etc/fstab")
    try:
        answer = site.prune(instance=INSTANCE, **WEEK)
    finally:
        site.sh("cat /root/fstab >/etc/fstab")
    one_sentence(answer, "Nothing is mounted")
    assert site.tree() == before
    page.add(SECTION, "the store's file system is not mounted", quoted(answer))


FOREIGN = {
    "an HTML page in place of the manifest": "printf '<html><body>502 Bad Gateway</body></html>' >$set/manifest.json",
    "a manifest of 0 bytes": ": >$set/manifest.json",
    "a manifest whose lines end in CRLF": "sed -i 's/, /,\\r\\n/g; s/$/\\r/' $set/manifest.json",
    "a manifest cut in half": "truncate -s 500 $set/manifest.json",
    "a manifest that is a list": "echo '[]' >$set/manifest.json",
    "a gzip of an HTML page in place of a table": (
        "file=$(ls $set/databases/*/*.dat.zst | head -1); echo '<html>' | gzip >$file"
    ),
}


@pytest.mark.parametrize(("fault", "harm"), FOREIGN.items(), ids=["html", "empty", "crlf", "half", "list", "gzip"])
def test_foreign_files(site: Site, page: Page, shop: str, fault: str, harm: str) -> None:
    """The newest set but one is none any more; beside the sets lies what is none."""
    ids = site.forge(shop, INSTANCE, _ago(40, 30, 20, 0.2, 0.1))
    root = f"{DEST}/{INSTANCE}"
    bad = ids[2]
    site.sh(f"set={root}/{bad}; {harm}")
    site.sh(f"mkdir {root}/lost+found && touch {root}/index.html && ln -s /etc {root}/20200101T000000Z-0000fa17")
    seen = site.info(instance=INSTANCE, check="hashes")
    assert not seen.failed, seen.msg
    named = {f["subject"].partition("/")[0] for f in seen.found("backup.damage")}
    # Only spaces were changed: then it is the same manifest.
    crlf = "CRLF" in fault
    assert named - {"20200101T000000Z-0000fa17"} == (set() if crlf else {bad}), seen.result
    gone = site.prune(instance=INSTANCE, **WEEK)
    assert not gone.failed, gone.msg
    removed = [each["id"] for each in gone.result["removed"]]
    assert removed == (ids[:3] if crlf else ids[:2]), gone.result
    assert site.sh(f"test -e /etc/passwd && ls -d {root}/lost+found {root}/index.html {root}/2020*").count("\n") == 3
    fresh = site.again(instance=INSTANCE, databases=[SHOP])
    assert not fresh.failed, fresh.msg
    site.sh(f"rm {root}/20200101T000000Z-0000fa17")
    page.add(
        "The store",
        f"in the store: {fault}; beside the sets a file, a directory and a link",
        "it is the same manifest, and counts"
        if crlf
        else f"named: '{seen.found('backup.damage')[-1]['message']}'; counts for nothing, and is not removed",
    )


def test_server_is_newer_than_the_client(site: Site, page: Page, shop: str) -> None:
    program = "/usr/lib/postgresql/17/bin/pg_dump"
    site.sh(f"mv {program} {program}.real")
    try:
        version = "echo 'pg_dump (PostgreSQL) 16.4'"
        text = f'#!/bin/sh\nif test "$1" = --version; then {version}; else exec {program}.real "$@"; fi\n'
        site.write(program, text.encode())
        site.sh(f"chmod 755 {program}")
        with site.nothing_lost():
            answer = site.backup()
            one_sentence(answer, "PostgreSQL 17", "16")
    finally:
        site.sh(f"mv {program}.real {program}")
    page.add("The server", f"the server is newer than the only `pg_dump` ({DATABASE})", quoted(answer))
