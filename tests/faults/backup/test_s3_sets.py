# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Off-site: encryption that fails, keys that are none, streams that break, sets that rot, listings that lie."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from faultkit import SECRETS, Answer, Site, one_sentence, quoted, stands_in
from faultpage import Page
from s3kit import BUCKET, PREFIX, Offsite

SECTION = "Off-site: encryption, streams and what lies there"
DATABASE = "faults_sent"
INSTANCE = "app"
TWIN = "app_test"
DAY = datetime.timedelta(days=1)
FILES = "/srv/faults-files"
AGE = "/usr/bin/age"
# Instead of a program that writes to its output.
HALF = "out = real(stdout=subprocess.PIPE).stdout; sys.stdout.buffer.write(out[:len(out) // 2]); sys.stdout.flush()"
HALF_KILLED = f"{HALF}; os.kill(os.getpid(), 9)"
# Who lists an archive is served as ever.
CREATING = 'if "--create" not in words: sys.exit(real().returncode)\n'
# The canary, by which the keys are tried, is let through.
AGE_FAILS = """
data = sys.stdin.buffer.read()
if len(data) < 100:
    sys.stdout.buffer.write(real(input=data, stdout=subprocess.PIPE).stdout)
    sys.exit()
{then}
"""
AGE_EXITS = AGE_FAILS.format(then="sys.exit('age: error: cannot allocate memory')")
AGE_KILLED = AGE_FAILS.format(then="sys.stdout.buffer.write(data[:1000]); sys.stdout.flush(); os.kill(os.getpid(), 9)")
AGE_CUT = AGE_FAILS.format(
    then="done = real(input=data, stdout=subprocess.PIPE).stdout; sys.stdout.buffer.write(done[:len(done) // 2])"
)
AGE_NOTHING = AGE_FAILS.format(then="sys.exit(0)")
AGE_PLAIN = AGE_FAILS.format(then="sys.stdout.buffer.write(data)")


@pytest.fixture(scope="module")
def recipient(site: Site) -> str:
    """A public key; its private one lies on the host for these tests' look only."""
    text = site.sh("rm -f /root/faults.key; age-keygen -o /root/faults.key 2>/dev/null; cat /root/faults.key")
    SECRETS.append(next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")))
    return next(line for line in text.splitlines() if "public key" in line).rpartition(" ")[2]


@pytest.fixture(scope="module")
def wanted(site: Site, s3: Offsite, recipient: str) -> t.Iterator[dict[str, t.Any]]:
    """What a set is asked for: encrypted, with files of the application."""
    site.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    site.sql(f"CREATE DATABASE {DATABASE}")
    site.sql(
        "CREATE TABLE bulk AS SELECT i, md5(i::text) || md5((i * 7)::text) AS body FROM generate_series(1, 60000) i",
        DATABASE,
    )
    site.sh(
        "rm -rf /srv/faults-files; mkdir /srv/faults-files && head -c 3000000 /dev/urandom >/srv/faults-files/upload"
    )
    yield {
        "instance": INSTANCE,
        "databases": [DATABASE],
        "files": [{"name": "uploads", "path": FILES}],
        "recipients": [recipient],
        "s3": s3.options(),
    }
    site.sql(f"DROP DATABASE {DATABASE}")
    site.sh(f"rm -rf {FILES} /root/faults.key")
    for instance in (INSTANCE, TWIN):
        s3.empty(f"{PREFIX}/{instance}/")


@pytest.fixture(scope="module")
def first(site: Site, s3: Offsite, wanted: dict[str, t.Any]) -> Answer:
    """One encrypted set, here and off-site."""
    answer = site.backup(**wanted)
    assert not answer.failed, answer.msg
    assert s3.sets(INSTANCE) == [answer.result["backup"]["id"]]
    keys = s3.objects(f"{PREFIX}/{INSTANCE}/")
    assert all(key.endswith((".age", "/manifest.json")) for key in keys), keys
    assert all(s3.read(key).startswith(b"age-encryption.org/v1\n") for key in keys if key.endswith(".age"))
    return answer


def _nothing_new(site: Site, s3: Offsite, there: dict[str, tuple[int, str, str]]) -> None:
    assert s3.objects(f"{PREFIX}/") == there and s3.uploads() == []
    assert site.leftovers(INSTANCE) == ""


def _whole(site: Site, s3: Offsite, wanted: t.Mapping[str, t.Any]) -> list[str]:
    """The next plain run succeeds; what is off-site is whole, and nothing else is there. Ids of the sets."""
    again = site.again(**wanted)
    assert not again.failed, again.msg
    ids = s3.sets(INSTANCE)
    assert again.result["backup"]["id"] in ids
    assert {key.split("/")[2] for key in s3.objects(f"{PREFIX}/{INSTANCE}/")} == set(ids) and s3.uploads() == []
    seen = site.info(instance=INSTANCE, check="hashes", s3=s3.options())
    assert not seen.failed and not seen.found("backup.damage"), seen.result
    return ids


@pytest.mark.parametrize(
    ("fault", "harm", "stream"),
    [
        ("`age` fails", AGE_EXITS, False),
        ("`age` is killed after its first bytes", AGE_KILLED, False),
        ("`age` is killed after its first bytes (`stream: true`)", AGE_KILLED, True),
        ("`age` writes half, and exits 0", AGE_CUT, False),
        ("`age` writes nothing, and exits 0", AGE_NOTHING, False),
        ("`age` hands on what it was given, and exits 0", AGE_PLAIN, False),
    ],
    ids=["fails", "killed", "killed-stream", "half", "nothing", "plain"],
)
def test_encryption_fails(
    site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], first: Answer, fault: str, harm: str, stream: bool
) -> None:
    here, there = site.tree(INSTANCE), s3.objects(f"{PREFIX}/")
    with stands_in(site, AGE, harm):
        answer = site.backup(**wanted, stream=stream)
    one_sentence(answer, "age")
    _nothing_new(site, s3, there)
    assert (site.tree(INSTANCE) == here) if stream else (set(here.splitlines()) < set(site.tree(INSTANCE).splitlines()))
    _whole(site, s3, {**wanted, "max_age": "30d"})
    page.add(SECTION, fault, quoted(answer), "does not encrypt")


@pytest.mark.parametrize(
    ("fault", "program", "harm", "word"),
    [
        ("the compressor of the files fails", "/usr/bin/zstd", "sys.exit('zstd: cannot allocate memory')", "zstd"),
        ("`tar` fails in the middle", "/usr/bin/tar", f"{CREATING}real(); sys.exit(2)", "uploads"),
        ("`tar` writes half, and exits 0", "/usr/bin/tar", CREATING + HALF, "uploads"),
    ],
    ids=["zstd", "tar-fails", "tar-half"],
)
def test_archive_fails(
    site: Site,
    page: Page,
    s3: Offsite,
    wanted: dict[str, t.Any],
    first: Answer,
    fault: str,
    program: str,
    harm: str,
    word: str,
) -> None:
    there = s3.objects(f"{PREFIX}/")
    for stream in (False, True):
        with stands_in(site, program, harm), site.nothing_lost():
            answer = site.backup(**wanted, stream=stream)
            one_sentence(answer, word)
        _nothing_new(site, s3, there)
    page.add(SECTION, f"{fault}; staged, and with `stream: true`", quoted(answer))


def test_keys_that_are_none(site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], recipient: str) -> None:
    """Refused before anything is touched."""
    secret = SECRETS[-1]
    cases = {
        "a recipient that is none": ["age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"],
        "a mistyped recipient beside a good one": [recipient, recipient[:-1] + ("q" if recipient[-1] != "q" else "p")],
        "a private key in place of a public one": [secret],
    }
    there = s3.objects(f"{PREFIX}/")
    for fault, keys in cases.items():
        with site.nothing_lost():
            answer = site.backup(**{**wanted, "recipients": keys})
            one_sentence(answer, "recipient")
        assert s3.objects(f"{PREFIX}/") == there
        page.add(SECTION, fault, quoted(answer))
    with site.nothing_lost():
        answer = site.backup(**{**wanted, "recipients": []})
        one_sentence(answer, "unencrypted")
    assert s3.objects(f"{PREFIX}/") == there
    page.add(SECTION, "secrets would leave the host unencrypted", quoted(answer), "sends all as it is")


def test_stream_is_cut(site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], first: Answer) -> None:
    """A stream that breaks leaves nothing, neither here nor there."""
    faults: dict[str, tuple[dict[str, t.Any], str]] = {
        "every upload is refused with 403": (
            {"do": "answer", "method": "PUT", "status": 403, "code": "AccessDenied"},
            "lack the right",
        ),
        "what is stored is not what was sent": ({"do": "flip", "method": "PUT", "path": "custom"}, "is damaged"),
        "an object is gone right after it was stored": ({"do": "vanish", "method": "PUT", "path": "custom"}, "missing"),
    }
    there = s3.objects(f"{PREFIX}/")
    for fault, (rule, words) in faults.items():
        with site.nothing_lost():
            with s3.harm(rule):
                answer = site.backup(**wanted, stream=True)
            one_sentence(answer, words)
            _nothing_new(site, s3, there)
        page.add(SECTION, f"`stream: true`: {fault}", quoted(answer))
    before = s3.sets(INSTANCE)
    assert len(_whole(site, s3, {**wanted, "stream": True})) == len(before) + 1


@pytest.mark.parametrize(
    ("fault", "harm"),
    [
        ("`pg_dump` writes half of its stream, and exits 0", HALF),
        ("`pg_dump` is killed in mid-stream", HALF_KILLED),
    ],
    ids=["half", "killed"],
)
def test_streamed_dump_is_cut(
    site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], first: Answer, fault: str, harm: str
) -> None:
    there = s3.objects(f"{PREFIX}/")
    with stands_in(site, "/usr/lib/postgresql/17/bin/pg_dump", harm), site.nothing_lost():
        answer = site.backup(**wanted, stream=True)
        one_sentence(answer, DATABASE)
    _nothing_new(site, s3, there)
    page.add(SECTION, f"`stream: true`: {fault}", quoted(answer))


def test_object_lock_that_is_none(site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], first: Answer) -> None:
    there = s3.objects(f"{PREFIX}/")
    locked = s3.options(object_lock_mode="GOVERNANCE", object_lock_days=1)
    answer = site.backup(**{**wanted, "s3": locked})
    one_sentence(answer, "Object Lock", BUCKET)
    _nothing_new(site, s3, there)
    _whole(site, s3, {**wanted, "max_age": "30d"})
    page.add(SECTION, "Object Lock is asked for, and the bucket has none", quoted(answer), "asks for none")


def _aged(s3: Offsite, instance: str) -> list[str]:
    """Copies of the newest set that were taken in the last forty days; their ids, oldest first."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return s3.forge(INSTANCE, s3.sets(INSTANCE)[-1], instance, [now - number * DAY for number in (40, 30, 20, 10, 0.1)])


@pytest.fixture
def aged(site: Site, s3: Offsite, wanted: dict[str, t.Any], first: Answer) -> t.Iterator[list[str]]:
    """Off-site sets of forty days, alone in their store; ids, oldest first."""
    yield _aged(s3, "aged")
    s3.empty(f"{PREFIX}/aged/")


def _prune(site: Site, s3: Offsite, instance: str = "aged", **more: t.Any) -> Answer:
    return site.prune(**{"instance": instance, "keep_within": "7d", "s3": s3.options(), **more})


def test_neighbours_in_the_bucket(site: Site, page: Page, s3: Offsite, aged: list[str]) -> None:
    """The prefix of one instance begins with the other's; foreign objects lie between."""
    twins = _aged(s3, "aged_test")
    try:
        s3.client.create_multipart_upload(Bucket=BUCKET, Key=f"{PREFIX}/aged_test/{twins[0]}/begun")
        for key in ("aged/index.html", "aged/20200101T000000Z-0000fa17", "aged/other/manifest.json", "aged.html"):
            s3.put(f"{PREFIX}/{key}", b"<html>502 Bad Gateway</html>")
        seen = site.info(instance="aged", check="hashes", s3=s3.options())
        assert [each["id"] for each in seen.result["sets"]] == aged and not seen.found("backup.damage"), seen.result
        gone = _prune(site, s3, incomplete_ttl="1s")
        assert [each["id"] for each in gone.result["removed"]] == aged[:3], gone.result
        assert s3.sets("aged_test") == twins and len(s3.uploads()) == 1
        assert {"index.html", "20200101T000000Z-0000fa17"} <= {
            key.split("/")[2] for key in s3.objects(f"{PREFIX}/aged/")
        }
        assert f"{PREFIX}/aged.html" in s3.objects(f"{PREFIX}/")
    finally:
        s3.empty(f"{PREFIX}/aged")
    page.add(
        SECTION,
        "another instance's name begins with this one's, and objects that are no sets lie between",
        "lists and removes its own sets only; an upload that the other one has begun goes on",
    )


def test_sets_rot_off_site(site: Site, page: Page, s3: Offsite, aged: list[str]) -> None:
    keys = {each: [key for key in s3.objects(f"{PREFIX}/aged/{each}/") if key.endswith(".age")] for each in aged}
    bad = {aged[1]: "flipped", aged[2]: "cut", aged[3]: "gone", aged[4]: "manifest"}
    for each, kind in bad.items():
        key = keys[each][0]
        body = s3.read(key)
        if kind == "flipped":
            s3.put(key, body[:-1] + bytes([body[-1] ^ 1]))
        elif kind == "cut":
            s3.put(key, body[: len(body) // 2])
        elif kind == "gone":
            s3.client.delete_object(Bucket=BUCKET, Key=key)
        else:
            s3.put(f"{PREFIX}/aged/{each}/manifest.json", b"<html>502 Bad Gateway</html>")
    seen = site.info(instance="aged", check="hashes", s3=s3.options())
    assert not seen.failed, seen.msg
    damage = seen.found("backup.damage")
    assert {f["subject"].partition("/")[0] for f in damage} == set(bad), seen.result
    assert [f["status"] for f in seen.found("backup.offsite")] == ["critical"]
    before = s3.objects(f"{PREFIX}/")
    held = _prune(site, s3)
    assert not held.failed and not held.result["changed"] and held.result["held"], held.result
    assert s3.objects(f"{PREFIX}/") == before
    page.add(
        SECTION,
        "off-site an object has one bit flipped, one is cut, one is gone, one manifest is an HTML page",
        f"{len(damage)} of {len(bad)} sets named with their file (`check: hashes`); the clean-up: {quoted(held)}",
        "never looks at it again",
    )


def test_deletes_are_refused(site: Site, page: Page, s3: Offsite, aged: list[str]) -> None:
    before = s3.objects(f"{PREFIX}/")
    refusal = {"do": "answer", "method": "DELETE", "status": 403, "code": "AccessDenied"}
    batch = {"do": "answer", "method": "POST", "query": "^delete", "status": 403, "code": "AccessDenied"}
    with s3.harm(refusal):
        answer = _prune(site, s3)
    assert not answer.failed and answer.found("backup.retention"), answer.result
    assert s3.objects(f"{PREFIX}/") == before
    # Their manifests go, their objects do not: no set, and the next clean-up has the rest.
    with s3.harm(batch):
        half = _prune(site, s3)
    assert half.found("backup.retention"), half.result
    assert s3.sets("aged") == aged[3:]
    after = _prune(site, s3, incomplete_ttl="1s")
    assert not after.failed, after.msg
    assert {key.split("/")[2] for key in s3.objects(f"{PREFIX}/aged/")} == set(aged[3:])
    page.add(
        SECTION,
        "the key may not delete (403), or deletes nothing but manifests",
        f"a warning: '{answer.found('backup.retention')[0]['message']}'; each set is there whole, or is none; what is "
        "left of one is swept later",
    )


def test_listing_omits_objects(site: Site, page: Page, s3: Offsite, aged: list[str]) -> None:
    """A listing without what is there: neither removed as rubbish nor written over."""
    before = s3.objects(f"{PREFIX}/")
    hashes = s3.hashes(before)
    with s3.harm({"do": "omit", "method": "GET", "keys": f"{aged[3]}/manifest.json$|{aged[4]}/manifest.json$"}):
        blind = _prune(site, s3, incomplete_ttl="1s")
    assert before.keys() - s3.objects(f"{PREFIX}/").keys() == set(), blind.result
    with s3.harm({"do": "omit", "method": "GET", "keys": r"\.age$"}):
        objects = _prune(site, s3, incomplete_ttl="1s")
    assert before.keys() - s3.objects(f"{PREFIX}/").keys() == set(), objects.result
    # The copy of a set that the listing lacks.
    with s3.harm({"do": "omit", "method": "GET", "keys": "manifest.json$"}, struck=False):
        answer = site.backup(
            instance=INSTANCE,
            databases=[DATABASE],
            recipients=[],
            max_age="30d",
            s3=s3.options(allow_unencrypted_secrets=True),
        )
    now = s3.hashes(before)
    assert {key: now[key] for key in hashes} == hashes
    page.add(
        SECTION,
        "the listing lacks manifests, or objects, that are there",
        f"nothing is removed: {quoted(blind)}; nothing is written over: {quoted(answer)}",
    )
