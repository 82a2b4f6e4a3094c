# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own process is killed at random moments, and two runs meet."""

from __future__ import annotations

import random
import subprocess

import support
from faultkit import DATABASE, DEST, DUMPING, RUNBOOK_DIR, SCRIPT, SCRIPT_DUMPING, Script, Site, one_sentence
from faultpage import Page

SECTION = "Kills, and two runs at once"
INSTANCE = "kills"
KILLS = 12
SEED = 20261124

# Kills the module's process so many seconds after it appeared, and says what the store looked like then. With a
# negative number it lets it end, and says how many seconds it took.
KILL = """
import glob, os, signal, sys, time
delay = float(sys.argv[1])
def found():
    pids = []
    for entry in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = open(entry, "rb").read().split(b"\\0")
        except OSError:
            continue
        if b"python" in os.path.basename(words[0]) and any(b"AnsiballZ_pg_backup.py" in word for word in words[1:2]):
            pids.append(int(entry.split("/")[2]))
    return pids
print("watching", flush=True)
deadline = time.monotonic() + 60
while not found():
    if time.monotonic() > deadline:
        sys.exit("the module never started")
    time.sleep(0.002)
began = time.monotonic()
while found() and (delay < 0 or time.monotonic() - began < delay):
    time.sleep(0.005)
if delay < 0:
    print(time.monotonic() - began, flush=True)
    sys.exit()
pids = found()
for pid in pids:
    os.kill(pid, signal.SIGKILL)
hidden = glob.glob(sys.argv[2] + "/*/.incomplete-*", include_hidden=True)
files = glob.glob(sys.argv[2] + "/*/.incomplete-*/**/*.*", include_hidden=True, recursive=True)
print(len(pids), len(hidden), len(files), flush=True)
"""


def _watcher(site: Site, delay: float) -> subprocess.Popen[bytes]:
    """Start to wait on the host for the module's process."""
    watcher = support.open_on(site.name, ["python3", "-c", KILL, f"{delay:.3f}", DEST])
    assert watcher.stdout and watcher.stdout.readline() == b"watching\n"
    return watcher


def _said(watcher: subprocess.Popen[bytes]) -> list[str]:
    output = watcher.communicate(timeout=180)[0].decode()
    assert watcher.returncode == 0, output
    return output.split()


def _kill_after(site: Site, delay: float) -> tuple[bool, str]:
    """Start a backup and kill it; whether it was still at work, and in which phase."""
    watcher = _watcher(site, delay)
    module = site.start("pg_backup", {"instance": INSTANCE}, pipelining=False)
    said = _said(watcher)
    output = module.communicate(timeout=120)[0]
    killed, hidden, files = (int(word) for word in said)
    phase = "before anything was written" if not hidden else "while it dumped or verified" if files else "at its start"
    # One that had answered before it was hit was not killed at work.
    return bool(killed) and "CHANGED" not in output, phase


def test_killed_at_random_moments(site: Site, page: Page) -> None:
    watcher = _watcher(site, -1)
    undisturbed = site.finish(site.start("pg_backup", {"instance": INSTANCE}, pipelining=False))
    assert not undisturbed.failed, undisturbed.msg
    longest = float(_said(watcher)[0])
    chance = random.Random(SEED)
    phases: dict[str, int] = {}
    killed = swept = number = whole_runs = 0
    while killed < KILLS:
        assert number < 2 * KILLS, f"only {killed} of {number} runs were caught alive"
        # Evenly over the whole run, at random within each part of it.
        delay = (number % KILLS + chance.random()) / KILLS * longest
        number += 1
        before = site.tree()
        was_killed, phase = _kill_after(site, delay)
        # What the module had started dies with it; the kernel needs a moment.
        support.wait_for(
            "no program of the backup is left",
            lambda: not any("/.incomplete-" not in line for line in site.leftovers().splitlines()),
            seconds=10,
        )
        after = site.tree()
        if not was_killed:
            # It had ended by itself; then its set is whole.
            assert all(line in after for line in before.splitlines() if "manifest.json" in line)
            continue
        killed += 1
        phases[phase] = phases.get(phase, 0) + 1
        if after != before:
            # Killed after the set had become visible, before Ansible heard of it: it must be whole.
            assert set(before.splitlines()) < set(after.splitlines())
        seen = site.info(instance=INSTANCE, check="hashes")
        assert not seen.failed, seen.msg
        assert not seen.found("backup.damage"), seen.result
        assert all(each["verified"] and not each["problems"] for each in seen.result["sets"])
        if number % 3 == 0:
            again = site.backup(instance=INSTANCE)
            assert not again.failed and again.result["changed"], again.msg
            swept += len(again.result["swept"])
            whole_runs += 1
            assert site.leftovers() == ""
    again = site.backup(instance=INSTANCE)
    assert not again.failed and again.result["changed"], again.msg
    swept += len(again.result["swept"])
    whole_runs += 1
    with site.nothing_lost():
        seen = site.info(instance=INSTANCE, check="decode")
        assert not seen.failed and not seen.found("backup.damage"), seen.msg
    assert phases.get("while it dumped or verified", 0) >= 3, phases
    assert swept >= 1
    script = _script_killed(site)
    when = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
    page.add(
        SECTION,
        f"SIGKILL of the process at {killed} random moments (seed {SEED})",
        f"after each of the {killed}: earlier sets the same, nothing half-done listed, no program left running. "
        f"{whole_runs} runs in between and afterwards, not killed, all succeeded, and swept {swept} leftovers "
        f"(a killed run may sweep the one before it). Killed: {when}; {number - killed} more had ended before the kill",
        f"(killed once, in mid-dump) {script.said()}",
    )


def _script_killed(site: Site) -> Script:
    """The runbook's script and its pg_dump killed in mid-dump."""
    kill = f"pkill -9 -x pg_dump; pkill -9 -f '^bash {SCRIPT}'; true"
    script = site.script(harm=(SCRIPT_DUMPING, kill))
    assert not any(file["whole"] for file in script.files), script
    return script


def test_second_run_refuses_at_once(site: Site, page: Page) -> None:
    # The first stands still in its dump until the second has answered.
    watcher = site.watch(DUMPING, "pkill -STOP -x pg_dump")
    first = site.start("pg_backup", {"instance": INSTANCE})
    site.acted(watcher)
    try:
        second = site.backup(instance=INSTANCE, lock_wait=1)
    finally:
        site.sh("pkill -CONT -x pg_dump")
    answer = site.finish(first)
    assert not answer.failed, answer.msg
    said = one_sentence(second, "Another step is changing this host: pg_backup")
    site.sh(f"rm -f {RUNBOOK_DIR}/*")
    # Two at once begin in the same second of their file names.
    said_both = site.sh(
        "while [ $(date +%N | sed 's/^0*//;s/^$/0/') -gt 200000000 ]; do sleep 0.01; done; "
        f"bash {SCRIPT} >/dev/null 2>&1 </dev/null & one=$!; bash {SCRIPT} >/dev/null 2>&1 </dev/null & two=$!; "
        "wait $one; first=$?; wait $two; echo statuses $first $?"
    )
    statuses = said_both.split("statuses ")[1].split()
    script = site.script_result(max(int(status) for status in statuses))
    page.add(
        SECTION,
        "a second run while the first is at work, `lock_wait: 1`",
        f"the first succeeds; the second fails: '{said}'",
        f"both started in one second, exit statuses {' and '.join(statuses)}: {script.left()}",
    )


def test_second_run_waits(site: Site, page: Page) -> None:
    first = site.start("pg_backup", {"instance": INSTANCE})
    second = site.start("pg_backup", {"instance": INSTANCE, "lock_wait": 120})
    answers = [site.finish(first), site.finish(second)]
    assert all(not a.failed and a.result["changed"] for a in answers), [a.msg for a in answers]
    assert len({a.result["backup"]["id"] for a in answers}) == 2
    assert site.leftovers() == ""
    seen = site.info(instance=INSTANCE, check="hashes")
    assert not seen.found("backup.damage") and not seen.failed
    page.add(SECTION, "the same, `lock_wait: 120`", f"both succeed, one after the other ({DATABASE} twice, whole)")
