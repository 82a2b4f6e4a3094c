# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's process is ended at random moments of each of its stages, and the connection to the host is lost."""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import re
import typing as t

import pytest
import support
from faultkit import DEST, DUMPING, NAME, SCRIPT, SCRIPT_DUMPING, Site
from faultpage import Page
from s3kit import PREFIX, SCRIPT_S3, Offsite

SECTION = "Kills"
INSTANCE = "kills"
DATABASE = "faults_kills"
FILES = "/srv/faults-kills"
ROOT = f"{DEST}/{INSTANCE}"
# In each stage.
KILLS = 5
SEED = 20261124
# A local set of which everything but the last few stays, so that the disk does not fill up.
KEPT = 3
DAY = datetime.timedelta(days=1)

# Waits for a stage of a module's process, and then a while, and ends the process; says how long after the stage began
# that was, and how much hidden was left. Without a signal it says how long the stage lasts.
END = """
import glob, json, os, signal, sys, time, urllib.request
module, root, condition, until, delay, name = sys.argv[1:]
def processes():
    found = []
    for entry in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(entry, "rb").read().split(b"\\0")
        except OSError:
            continue
        if b"python" in os.path.basename(words[0]) and any(module.encode() in word for word in words[1:2]):
            found.append(int(entry.split("/")[2]))
    return found
def names(start):
    try:
        return [each for each in os.listdir(root) if each.startswith(start)]
    except OSError:
        return []
def inside():
    found = []
    for each in names(".incomplete-"):
        try:
            found += os.listdir(os.path.join(root, each))
        except OSError:
            pass
    return found
def asked(method, part):
    try:
        log = json.load(urllib.request.urlopen("http://127.0.0.1:9123/-/log", timeout=5))["log"]
    except OSError:
        return False
    return any(each["method"] == method and part in each["path"] + "?" + each["query"] for each in log)
def alive():
    return bool(pids) and os.path.exists("/proc/%d" % pids[0])
pids = []
sets = len(names("2"))
print("watching", flush=True)
deadline = time.monotonic() + 60
while not pids:
    if time.monotonic() > deadline:
        sys.exit("the module never started")
    time.sleep(0.002)
    pids = processes()
while not eval(condition):
    if not alive() or time.monotonic() > deadline:
        print(json.dumps({"killed": False}), flush=True)
        sys.exit()
    time.sleep(0.0002)
began = time.monotonic()
if not name:
    while alive() and not eval(until):
        time.sleep(0.0002)
    print(json.dumps({"killed": False, "after": time.monotonic() - began}), flush=True)
    sys.exit()
while time.monotonic() - began < float(delay):
    # Some stages last a few milliseconds only.
    time.sleep(0.0002 if float(delay) > 0.01 else 0)
killed = False
for pid in pids:
    try:
        os.kill(pid, getattr(signal, name))
        killed = True
    except ProcessLookupError:
        pass
after = time.monotonic() - began
while alive():
    time.sleep(0.001)
print(json.dumps({"killed": killed, "after": after, "left": len(names("."))}), flush=True)
"""
MODULE = "'^[^ ]*python3[^ ]* [^ ]*AnsiballZ_pg_backup'"
KILL_UPLOAD = f"pkill -9 -f '^[^ ]*python3 [^ ]*aws s3'; pkill -9 -f '^bash {SCRIPT_S3}'; true"
# The server's process of the connection over which Ansible started the module.
CUT = (
    f"pid=$(pgrep -of {MODULE}) || exit 1; "
    'while [ "$pid" -gt 1 ]; do '
    "case $(cat /proc/$pid/comm) in sshd*) kill -9 $pid; exit;; esac; "
    "pid=$(awk '/^PPid:/ {print $2}' /proc/$pid/status); done; exit 1"
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a module, as it can be seen from outside.

    :param condition: it has begun
    :param until: it is over
    :param rules: what the proxy does meanwhile, so that the stage lasts long enough
    :param stream: the set goes off-site at once
    """

    name: str
    condition: str
    until: str
    rules: tuple[dict[str, t.Any], ...] = ()
    offsite: bool = False
    stream: bool = False


WRITING = "any(n.startswith('.tmp-') or n == 'manifest.json' for n in inside())"
GOING = "names('.uploading-')"
SLOW = ({"do": "slow", "method": "PUT|GET", "rate": 6_000_000},)
SLOW_MANIFEST = ({"do": "slow", "method": "PUT|GET", "path": "manifest.json", "rate": 30_000},)
STAGES = (
    Stage("dump", "names('.incomplete-')", "'files' in inside()"),
    Stage("tar", "'files' in inside()", WRITING),
    Stage("commit", WRITING, "not names('.incomplete-')"),
    Stage("upload", GOING, f"not {GOING}", SLOW, offsite=True),
    Stage("upload of a stream", GOING, f"not {GOING}", SLOW, offsite=True, stream=True),
    Stage("commit off-site", "asked('PUT', 'manifest.json')", f"not {GOING}", SLOW_MANIFEST, offsite=True),
)
PRUNING = Stage("prune", "len(names('2')) < sets", "not alive()")
LATE = ({"do": "late", "method": "DELETE|POST", "wait": 0.1},)
PRUNING_OFFSITE = Stage("prune off-site", "asked('DELETE', '/manifest.json')", "not alive()", LATE, offsite=True)


@pytest.fixture(scope="module")
def wanted(site: Site, s3: Offsite) -> t.Iterator[dict[str, t.Any]]:
    """What a set is asked for: a small database, many small files and a larger one."""
    site.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    site.sql(f"CREATE DATABASE {DATABASE}")
    site.sql(
        "CREATE TABLE bulk AS SELECT i, md5(i::text) || md5((i * 7)::text) AS body FROM generate_series(1, 100000) i",
        DATABASE,
    )
    site.sh(
        f"rm -rf {FILES}; mkdir -p {FILES}/small; cd {FILES}; head -c 4000000 /dev/urandom >large; "
        "for i in $(seq 2000); do echo $i >small/$i; done"
    )
    yield {
        "instance": INSTANCE,
        "databases": [DATABASE],
        "files": [{"name": "uploads", "path": FILES}],
    }
    site.sql(f"DROP DATABASE {DATABASE}")
    site.sh(f"rm -rf {FILES} {ROOT}")
    s3.empty(f"{PREFIX}/{INSTANCE}/")


def _options(s3: Offsite, stage: Stage) -> dict[str, t.Any]:
    return {"s3": s3.options(allow_unencrypted_secrets=True), "stream": stage.stream} if stage.offsite else {}


def _ended(
    site: Site, module: str, arguments: t.Mapping[str, t.Any], stage: Stage, delay: float, signal: str, instance: str
) -> dict[str, t.Any]:
    """Start a module and end it so many seconds after its stage began; what was seen then.

    :param signal: without one it is not ended, and C(after) says how long the stage lasted
    """
    argv = [f"AnsiballZ_{module}.py", f"{DEST}/{instance}", stage.condition, stage.until, f"{delay:.4f}", signal]
    watcher = support.open_on(NAME, ["python3", "-c", END, *argv])
    assert watcher.stdout and watcher.stdout.readline() == b"watching\n"
    process = site.start(module, arguments, pipelining=False)
    said = watcher.communicate(timeout=120)[0].decode()
    assert watcher.returncode == 0, said
    output = process.communicate(timeout=120)[0]
    assert "Traceback" not in output, output
    seen: dict[str, t.Any] = json.loads(said)
    answered = re.search(rf"^{NAME} \| (CHANGED|SUCCESS)", output, re.MULTILINE)
    assert signal or (answered and "after" in seen), output
    # One that had answered before it was hit was not killed at work.
    seen["killed"] = seen["killed"] and not answered
    return seen


def _nothing_runs(site: Site) -> None:
    """Wait until the module and all that it started are gone."""
    programs = "pgrep -x 'pg_dump|pg_restore|pg_dumpall|zstd|psql|tar|age'"
    support.wait_for(
        "the module and its programs are gone",
        lambda: site.sh(f"pgrep -f {MODULE}; {programs}", check=False).strip() == "",
        seconds=60,
    )
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('boardroom.maintenance', 'pg_dump')"
    support.wait_for("no session is left in the server", lambda: site.sql(sessions) == "0", seconds=20)


def _lines(text: str) -> set[str]:
    return set(text.splitlines())


def _whole(site: Site, s3: Offsite | None) -> list[str]:
    """All that is listed is whole, here and off-site; ids of the sets here."""
    seen = site.info(instance=INSTANCE, check="hashes")
    assert not seen.failed and not seen.found("backup.damage"), seen.result
    assert all(each["verified"] for each in seen.result["sets"])
    if s3:
        away = site.info(instance=INSTANCE, check="hashes", s3=s3.options())
        assert not away.failed and not away.found("backup.damage"), away.result
    return [each["id"] for each in seen.result["sets"]]


def _nothing_left(site: Site, s3: Offsite) -> None:
    """Here and off-site lie sets and nothing else."""
    assert site.leftovers(INSTANCE) == ""
    assert [key for key in s3.uploads() if key.startswith(PREFIX)] == []
    ids = set(s3.sets(INSTANCE))
    assert {key.split("/")[2] for key in s3.objects(f"{PREFIX}/{INSTANCE}/")} == ids


def _thin_out(site: Site, s3: Offsite) -> None:
    """Only the newest few sets stay."""
    site.sh(f"cd {ROOT} && ls -d 2* | head -n -{KEPT} | xargs -r rm -rf")
    for each in s3.sets(INSTANCE)[:-KEPT]:
        s3.empty(f"{PREFIX}/{INSTANCE}/{each}/")


def _histogram(stage: str, length: float, moments: t.Sequence[float]) -> str:
    """One line: when in the stage it was killed, in tenths of its length."""
    tenths = [0] * 10
    for moment in moments:
        tenths[min(9, int(moment / length * 10))] += 1
    bars = "".join("." if not count else str(min(count, 9)) for count in tenths)
    shown = ", ".join(f"{moment * 1000:.0f}" for moment in sorted(moments))
    return (
        f"{stage:<19} |{bars}| {len(moments)} kills, {shown} ms after its begin; it lasts about {length * 1000:.0f} ms"
    )


def _record(page: Page, capsys: pytest.CaptureFixture[str], line: str) -> None:
    page.add_kills(line)
    with capsys.disabled():
        print(f"\n{line}", flush=True)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name.replace(" ", "-"))
def test_ended_in_a_stage(
    site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {**wanted, **_options(s3, stage)}
    s3.set_rules(*stage.rules)
    length = float(_ended(site, "pg_backup", asked, stage, 0, "", INSTANCE)["after"])
    chance = random.Random(f"{SEED} {stage.name}")
    moments: list[float] = []
    left = terminated = number = 0
    # First by SIGTERM, which anybody may send; then by SIGKILL.
    while len(moments) < KILLS:
        assert number < 4 * KILLS, f"only {moments} of {number} runs were caught alive"
        signal = "SIGKILL" if terminated else "SIGTERM"
        # Evenly over the whole stage, at random within each part of it.
        delay = (number % KILLS + chance.random()) / KILLS * length
        number += 1
        here, there, sets = site.tree(INSTANCE), s3.objects(f"{PREFIX}/{INSTANCE}/"), s3.sets(INSTANCE)
        s3.set_rules(*stage.rules)
        seen = _ended(site, "pg_backup", asked, stage, delay, signal, INSTANCE)
        _nothing_runs(site)
        s3.set_rules()
        # Whatever was there is the same, here and off-site; at most one whole set is new.
        assert _lines(here) <= _lines(site.tree(INSTANCE))
        assert there.items() <= s3.objects(f"{PREFIX}/{INSTANCE}/").items()
        assert len(s3.sets(INSTANCE)) - len(sets) <= 1
        ids = _whole(site, s3 if stage.offsite else None)
        if seen["killed"]:
            left += bool(seen["left"])
            if signal == "SIGTERM":
                terminated += 1
            elif seen["after"] <= 1.5 * length:
                # What came later has been as harmless, but was not in this stage.
                moments.append(seen["after"])
        again = site.again(**asked)
        assert not again.failed and again.result["changed"], again.msg
        new = again.result["backup"]["id"]
        assert new not in ids and new in (s3.sets(INSTANCE) if stage.offsite else site.sh(f"ls {ROOT}").split())
        _nothing_left(site, s3)
        _thin_out(site, s3)
    _record(page, capsys, _histogram(stage.name, length, moments))
    page.add(
        SECTION,
        f"SIGTERM, and {len(moments)} times SIGKILL, of the process in its stage: {stage.name}",
        f"after each of the {len(moments) + terminated}: earlier sets the same, all that is listed is whole (SHA-256), "
        "no program and no session left; the next plain run succeeded and left nothing but sets. "
        f"{left} had left something hidden, which it swept",
        _script_killed(site, s3, stage.name),
    )


def _script_killed(site: Site, s3: Offsite, stage: str) -> str:
    """The same done to the runbook's script, where it has such a stage."""
    if stage == "dump":
        kill = f"pkill -9 -x pg_dump; pkill -9 -f '^bash {SCRIPT}'; true"
        script = site.script(harm=(SCRIPT_DUMPING, kill))
        assert not any(file["whole"] for file in script.files), script
        return f"(once, in mid-dump) {script.said()}; the next run does not sweep it"
    if stage == "upload":
        # Two of its four parts are there, and the others on their way.
        arrived = "sum(e.status == 200 for e in asked('partNumber')) >= 2"
        with s3.harm({"do": "slow", "method": "PUT", "rate": 4_000_000}):
            sent = s3.script(harm=(arrived, KILL_UPLOAD))
        return f"(once, in mid-upload) {sent.said()}"
    return "n/a"


@pytest.mark.parametrize("stage", [PRUNING, PRUNING_OFFSITE], ids=["here", "off-site"])
def test_ended_while_it_prunes(
    site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any], stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old sets, all of which but two go; off-site each request is held up for a moment."""
    instance = f"{INSTANCE}-prune"
    taken = site.backup(**wanted, s3=s3.options(allow_unencrypted_secrets=True))
    assert not taken.failed, taken.msg
    source = taken.result["backup"]
    where = {"s3": s3.options()} if stage.offsite else {}
    rules = {"instance": instance, "keep_within": "7d", "incomplete_ttl": "1s", **where}

    def listed() -> list[str]:
        return s3.sets(instance) if stage.offsite else site.sh(f"ls {DEST}/{instance}").split()

    def state() -> set[str]:
        return {str(each) for each in s3.objects(f"{PREFIX}/{instance}/").items()} if stage.offsite else set()

    def content() -> set[str]:
        return state() or {line for line in _lines(site.tree(instance)) if re.match("[0-9a-f]{64} ", line)}

    def fill() -> list[str]:
        moments = _old(8 if stage.offsite else 30)
        if stage.offsite:
            s3.empty(f"{PREFIX}/{instance}/")
            return s3.forge(INSTANCE, source["id"], instance, moments)
        site.sh(f"rm -rf {DEST}/{instance}")
        return site.forge(source["path"], instance, moments)

    chance = random.Random(f"{SEED} {stage.name}")
    moments: list[float] = []
    number = 0
    try:
        fill()
        s3.set_rules(*stage.rules)
        length = float(_ended(site, "pg_backup_prune", rules, stage, 0, "", instance)["after"])
        while len(moments) < KILLS:
            assert number < 4 * KILLS, f"only {moments} of {number} runs were caught alive"
            delay = (number % KILLS + chance.random()) / KILLS * length
            number += 1
            ids = fill()
            before = content()
            s3.set_rules(*stage.rules)
            seen = _ended(site, "pg_backup_prune", rules, stage, delay, "SIGKILL", instance)
            _nothing_runs(site)
            s3.set_rules()
            # What is still there is the same, and the two sets that must stay are.
            assert content() <= before
            there = listed()
            assert set(ids[-2:]) <= set(there) <= set(ids)
            found = site.info(instance=instance, check="hashes", **where)
            assert not found.failed and not found.found("backup.damage"), found.result
            assert [each["id"] for each in found.result["sets"]] == there
            if seen["killed"]:
                moments.append(seen["after"])
            again = site.direct("pg_backup_prune", rules)
            assert not again.failed, again.msg
            assert listed() == ids[-2:]
            assert site.leftovers(instance) == ""
            assert not stage.offsite or {key.split("/")[2] for key in s3.objects(f"{PREFIX}/{instance}/")} == set(
                ids[-2:]
            )
    finally:
        site.sh(f"rm -rf {DEST}/{instance}")
        s3.empty(f"{PREFIX}/{instance}/")
    _record(page, capsys, _histogram(stage.name, length, moments))
    page.add(
        SECTION,
        f"{len(moments)} times SIGKILL of `pg_backup_prune` at work: {stage.name}",
        "after each: what is still listed is whole and the same, the two sets that must stay are there; the next run "
        "removed the rest, and swept what was half gone",
    )


def _old(count: int) -> list[datetime.datetime]:
    """Moments of old sets, and two new ones."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return [now - number * DAY for number in [*range(10, 10 + count), 0.2, 0.1]]


def test_connection_lost_in_mid_dump(site: Site, page: Page, s3: Offsite, wanted: dict[str, t.Any]) -> None:
    site.sql(
        "INSERT INTO bulk SELECT i, md5(i::text) || md5((i * 7)::text) FROM generate_series(1, 900000) i", DATABASE
    )
    had = len(_whole(site, None))
    before = site.tree(INSTANCE)
    watcher = site.watch(DUMPING, CUT)
    module = site.start("pg_backup", wanted, pipelining=False)
    output = module.communicate(timeout=120)[0]
    site.acted(watcher)
    assert f"{NAME} | UNREACHABLE" in output and "Traceback" not in output, output
    _nothing_runs(site)
    assert _lines(before) <= _lines(site.tree(INSTANCE))
    more = len(_whole(site, None)) - had
    again = site.again(**wanted)
    assert not again.failed and again.result["changed"], again.msg
    _nothing_left(site, s3)
    # It went on to its end without anybody to answer to, or left something for the next run to sweep.
    assert (more, len(again.result["swept"])) in ((1, 0), (0, 1)), again.result
    came = "completed its set" if more else "ended, too, and the next run swept what it left"
    page.add(
        SECTION,
        "the SSH connection is cut in mid-dump",
        f"Ansible says UNREACHABLE; the module on the host {came}; earlier sets the same, the next run succeeded",
    )
