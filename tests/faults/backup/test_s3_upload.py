# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy off-site: the store refuses, hangs, lies, or is gone."""

from __future__ import annotations

import dataclasses
import time
import typing as t

import pytest
import support
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3_upload import OBJECT_BYTES, PART_BYTES
from faultkit import SECRETS, Answer, Site, one_sentence, quoted
from faultpage import Page
from s3kit import PREFIX, SERVER, UNIT, Offsite

SECTION = "Off-site: S3"
INSTANCE = "s3"
DATABASE = "faults_s3"
MOST = "PUT|POST"


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault of the store.

    :param said: words of the module's sentence
    :param reached: the store can still be reached, so that nothing is left in it; otherwise nothing can be seen there,
        and the next run removes what was begun
    :param script: what the runbook's script made of it: whether it is done to it, and what is put before it
    """

    name: str
    rules: tuple[dict[str, t.Any], ...]
    said: tuple[str, ...]
    reached: bool = True
    script: str | None = ""
    limit: str = "10m"


FAULTS = {
    "forbidden": Fault(
        "403 AccessDenied for every upload",
        ({"do": "answer", "method": MOST, "status": 403, "code": "AccessDenied"},),
        ("lack the right", "AccessDenied"),
    ),
    "slow-down": Fault(
        "503 SlowDown for ever",
        ({"do": "answer", "method": MOST, "status": 503, "code": "SlowDown"},),
        ("too busy", "SlowDown"),
    ),
    "token": Fault(
        "the token expires in the middle of an upload in parts",
        ({"do": "answer", "query": "partNumber=2", "latch": True, "status": 400, "code": "ExpiredToken"},),
        ("expired",),
        reached=False,
    ),
    "cut": Fault(
        "every connection is cut in mid-part",
        ({"do": "cut", "query": "partNumber"},),
        ("cannot be reached",),
        reached=False,
    ),
    "hang": Fault(
        "a part is never answered (`timeout: 20s`)",
        ({"do": "hang", "query": "partNumber=2"},),
        (),
        reached=False,
        script="timeout 20",
        limit="20s",
    ),
    "parts": Fault(
        "the server takes one part only",
        ({"do": "answer", "query": r"partNumber=([2-9]|\d\d)", "status": 400, "code": "InvalidArgument"},),
        ("InvalidArgument",),
    ),
    "flip": Fault(
        "a part is answered with 200, but one bit of it is stored wrong",
        ({"do": "flip", "query": "partNumber=2", "times": 1},),
        ("is damaged", "its content has changed"),
    ),
    "truncate": Fault(
        "a part is answered with 200, but half of it is stored",
        ({"do": "truncate", "query": "partNumber=2", "times": 1},),
        (),
    ),
    "drop": Fault(
        "every object put at once is answered with 200, and not stored",
        ({"do": "drop", "method": "PUT", "query": "^(?!.*partNumber)"},),
        ("is missing",),
        script=None,
    ),
    "vanish": Fault(
        "an object is gone right after it was uploaded",
        ({"do": "vanish", "method": "POST", "query": "uploadId", "times": 1},),
        ("is missing",),
    ),
    "read-flip": Fault(
        "one bit of what is read back is wrong",
        ({"do": "flip-answer", "method": "GET", "path": r"\.dat|\.dump", "times": 1},),
        ("is damaged",),
        script=None,
    ),
    "manifest-flip": Fault(
        "the manifest is answered with 200, but one bit of it is stored wrong",
        ({"do": "flip", "method": "PUT", "path": "manifest.json"},),
        ("manifest.json", "is damaged"),
        script=None,
    ),
}


@pytest.fixture(scope="module")
def database(site: Site) -> t.Iterator[str]:
    """A database whose dump is uploaded in several parts."""
    site.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    site.sql(f"CREATE DATABASE {DATABASE}")
    site.sql(
        "CREATE TABLE bulk AS SELECT i, md5(i::text) || md5((i * 7)::text) AS body FROM generate_series(1, 400000) i",
        DATABASE,
    )
    yield DATABASE
    site.sql(f"DROP DATABASE {DATABASE}")


def _wanted(store: Offsite, /, **more: t.Any) -> dict[str, t.Any]:
    return {
        "instance": INSTANCE,
        "databases": [DATABASE],
        "s3": store.options(allow_unencrypted_secrets=True),
        **more,
    }


@pytest.fixture(scope="module")
def first(site: Site, s3: Offsite, database: str) -> t.Iterator[Answer]:
    """One set, here and off-site."""
    answer = site.backup(**_wanted(s3))
    assert not answer.failed and len(s3.sets(INSTANCE)) == 1, answer.msg
    yield answer
    s3.empty(f"{PREFIX}/{INSTANCE}/")


def _lines(text: str) -> set[str]:
    return set(text.splitlines())


def _no_secret_is_kept(site: Site) -> None:
    kept = site.sh(f"cat {support.STATE}/journal.jsonl; journalctl --no-pager -o cat --since -10min | tail -5000")
    assert not any(secret in kept for secret in SECRETS)


def _recovers(site: Site, s3: Offsite, before: dict[str, tuple[int, str, str]], failed: Answer) -> Answer:
    """The next plain run copies the set that is there, and leaves nothing but sets."""
    again = site.again(**_wanted(s3, max_age="30d"))
    assert not again.failed and again.result["changed"], again.msg
    set_id = again.result["backup"]["id"]
    assert set_id in failed.msg
    _only_whole_sets(site, s3)
    after = s3.objects(f"{PREFIX}/")
    assert before.items() <= after.items()
    assert {key.split("/")[2] for key in after.keys() - before.keys()} == {set_id}
    return again


def _only_whole_sets(site: Site, s3: Offsite) -> None:
    """What is off-site belongs to sets, and all of them are whole."""
    assert s3.uploads() == []
    ids = set(s3.sets(INSTANCE))
    assert {key.split("/")[2] for key in s3.objects(f"{PREFIX}/{INSTANCE}/")} == ids
    assert site.leftovers(INSTANCE) == ""
    seen = site.info(instance=INSTANCE, check="hashes", s3=s3.options())
    assert not seen.failed and not seen.found("backup.damage") and not seen.found("backup.leftover"), seen.result


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_upload(site: Site, page: Page, s3: Offsite, first: Answer, fault: Fault) -> None:
    here, there = site.tree(INSTANCE), s3.objects(f"{PREFIX}/")
    began = time.monotonic()
    with s3.harm(*fault.rules):
        answer = site.backup(**_wanted(s3, timeout=fault.limit))
    seconds = time.monotonic() - began
    one_sentence(answer, "but not off-site", *fault.said)
    assert answer.found("backup.offsite"), answer.result
    assert seconds < 100, seconds
    # The local set is whole, those before it are the same, and off-site nothing has changed.
    assert _lines(here) < _lines(site.tree(INSTANCE))
    assert not site.info(instance=INSTANCE, check="hashes").found("backup.damage")
    if fault.reached:
        assert s3.objects(f"{PREFIX}/") == there
        assert s3.uploads() == []
    else:
        assert s3.sets(INSTANCE) == sorted({key.split("/")[2] for key in there})
    _no_secret_is_kept(site)
    said = "n/a"
    if fault.script is not None:
        with s3.harm(*fault.rules):
            said = s3.script(fault.script).said()
    _recovers(site, s3, there, answer)
    page.add(SECTION, fault.name, f"{quoted(answer)} ({seconds:.0f} s)", said)


def test_few_refusals_and_cuts_are_got_over(site: Site, page: Page, s3: Offsite, first: Answer) -> None:
    rules = (
        {"do": "answer", "method": "PUT", "times": 2, "status": 503, "code": "SlowDown"},
        {"do": "cut", "method": "PUT", "skip": 2, "times": 1},
    )
    with s3.harm(*rules):
        answer = site.backup(**_wanted(s3))
    assert not answer.failed, answer.msg
    with s3.harm(*rules):
        script = s3.script()
    assert script.same
    _only_whole_sets(site, s3)
    page.add(SECTION, "503 SlowDown twice, and one connection cut", f"succeeds: {quoted(answer)}", script.said())


def test_part_numbers_stay_below_a_thousand(page: Page) -> None:
    """A service that takes 1,000 parts only takes every object of ours."""
    most = -(-OBJECT_BYTES // PART_BYTES)
    assert most <= 1000
    page.add(
        SECTION,
        "a service that takes 1,000 parts of an object",
        f"never reached: an object has at most {most} parts; what is larger lies in several objects",
        "fails above 10,000 parts (78 GiB at 8 MiB each), or wherever that service's limit is",
    )


def test_checksums_that_a_service_refuses(site: Site, page: Page, s3: Offsite, first: Answer) -> None:
    """Services that know none of the newer checksums, and such that insist on the oldest."""
    refuse = {
        "do": "answer",
        "header": "^x-amz-(checksum|sdk-checksum|trailer)",
        "status": 501,
        "code": "NotImplemented",
    }
    insist = {"do": "answer", "method": "PUT", "lacks": "^content-md5", "status": 400, "code": "MissingContentMD5"}
    with s3.harm(refuse, insist, struck=False):
        answer = site.backup(**_wanted(s3))
        assert not answer.failed, answer.msg
        assert s3.seen()["struck"] == [0, 0]
    with s3.harm(refuse):
        script = s3.script()
    _only_whole_sets(site, s3)
    page.add(
        SECTION,
        "a service that refuses the newer checksums (501), or a `PUT` without `Content-MD5` (400)",
        f"is never asked for them, and succeeds: {quoted(answer)}",
        f"(the first) {script.said()}",
    )


def test_answers_are_lost(site: Site, page: Page, s3: Offsite, first: Answer) -> None:
    """The server did what it was asked, and its answer does not arrive: at the end of an upload, for the manifest."""
    ends = {"do": "lose", "method": "POST", "query": "uploadId", "times": 1}
    manifest = {"do": "lose", "method": "PUT", "path": "manifest.json", "times": 1}
    with s3.harm(ends, manifest):
        answer = site.backup(**_wanted(s3))
    assert not answer.failed, answer.msg
    _only_whole_sets(site, s3)
    here, there = site.tree(INSTANCE), s3.objects(f"{PREFIX}/")
    with s3.harm({**manifest, "times": 0, "latch": True}):
        gone = site.backup(**_wanted(s3))
    one_sentence(gone, "but not off-site")
    assert _lines(here) < _lines(site.tree(INSTANCE))
    assert there.items() <= s3.objects(f"{PREFIX}/").items()
    again = site.again(**_wanted(s3, max_age="30d"))
    assert not again.failed, again.msg
    assert again.result["backup"]["id"] in s3.sets(INSTANCE)
    _only_whole_sets(site, s3)
    page.add(
        SECTION,
        "the answer to the end of an upload is lost, and the one to the manifest",
        f"succeeds: {quoted(answer)} When no answer comes any more from the manifest on: {quoted(gone)}; the next run "
        "finds that set whole",
    )


def test_server_is_gone(site: Site, page: Page, s3: Offsite, first: Answer) -> None:
    here, there = site.tree(INSTANCE), s3.objects(f"{PREFIX}/")
    site.sh(f"systemctl stop {UNIT}")
    try:
        answer = site.backup(**_wanted(s3))
        script = s3.script()
    finally:
        s3.start_proxy()
    one_sentence(answer, "but not off-site", "refuses connections")
    assert _lines(here) < _lines(site.tree(INSTANCE)) and s3.objects(f"{PREFIX}/") == there
    _recovers(site, s3, there, answer)
    page.add(SECTION, "the server refuses connections", quoted(answer), script.said())


def test_server_hangs(site: Site, page: Page, s3: Offsite, first: Answer) -> None:
    """Packets are lost: as a firewall or a dead host does it."""
    here, there = site.tree(INSTANCE), s3.objects(f"{PREFIX}/")
    straight = s3.options(endpoint_url=f"http://{s3.address}:8333", allow_unencrypted_secrets=True)
    support.lab("harm", site.name, "s3-cut")
    try:
        began = time.monotonic()
        answer = site.backup(**_wanted(s3, s3=straight, timeout="20s"))
        seconds = time.monotonic() - began
        script = s3.script("timeout 20")
    finally:
        support.lab("harm", site.name, "s3-cut", "--undo")
    one_sentence(answer, "but not off-site")
    assert seconds < 100, seconds
    assert _lines(here) < _lines(site.tree(INSTANCE)) and s3.objects(f"{PREFIX}/") == there
    _recovers(site, s3, there, answer)
    page.add(
        SECTION,
        f"packets to {SERVER} are lost (`timeout: 20s`)",
        f"{quoted(answer)} ({seconds:.0f} s)",
        f"(ended after 20 s) {script.said()}",
    )
