# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk is full, fills up during the dump, cannot be written, or is not mounted; a program is missing."""

from __future__ import annotations

import typing as t

import pytest
import support
from faultkit import DATABASE, DEST, DUMPING, NAME, RUNBOOK_DIR, SCRIPT_DUMPING, Site, one_sentence, quoted
from faultpage import Page

SECTION = "The disk"
FULL = "/run/lab-disk-full"
ROOM = 600


def _newest_bytes(site: Site) -> int:
    """Size of the set that is there."""
    return int(site.info().result["sets"][-1]["bytes"])


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> t.Iterator[int]:
    """Only so many MB are free where the sets lie."""
    free = int(request.param)
    support.lab("harm", NAME, "disk-full", "--free", str(free))
    yield free
    support.lab("harm", NAME, "disk-full", "--undo")


@pytest.fixture
def small_runbook_disk(site: Site) -> t.Iterator[None]:
    """The runbook's directory holds 8 MB, which its dump does not fit into."""
    site.sh(f"rm -f {RUNBOOK_DIR}/*; mount -t tmpfs -o size=8M faults {RUNBOOK_DIR}")
    yield
    site.sh(f"umount {RUNBOOK_DIR}")


@pytest.mark.parametrize("disk", [1, 8], indirect=True)
def test_refuses_what_will_not_fit(site: Site, page: Page, disk: int) -> None:
    with site.nothing_lost():
        answer = site.backup()
        one_sentence(answer, "min_free", DEST)
    assert answer.found("backup.space")
    page.add(SECTION, f"{disk} MB free", quoted(answer))


@pytest.mark.parametrize("disk", [ROOM], indirect=True)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9], ids=["nothing", "a-third", "almost-all"])
def test_disk_fills_up_during_the_dump(site: Site, page: Page, disk: int, share: float) -> None:
    """Somebody else writes after the check: what the set needs was free then, and is not any more."""
    left = int(_newest_bytes(site) * share)
    fill = (
        f"free=$(df --output=avail -B1 {FULL} | tail -1); "
        f"head -c $((free > {left} ? free - {left} : 0)) /dev/zero >{FULL}/filler2; true"
    )
    with site.nothing_lost():
        answer = site.backup_while(f"glob.glob('{DEST}/*/.incomplete-*', include_hidden=True)", fill, min_free="0%")
        one_sentence(answer, "No space left")
    assert disk == ROOM
    page.add(SECTION, f"the disk fills up during the dump, {share:.0%} of the set's size left", quoted(answer))


def test_disk_fills_up_under_the_script(site: Site, page: Page, small_runbook_disk: None) -> None:
    """The runbook's script on a disk that is too small (the module's case is above)."""
    script = site.script()
    assert not any(file["whole"] for file in script.files), script
    page.add(SECTION, "a disk that is too small", "as above", script.said())


def test_read_only(site: Site, page: Page) -> None:
    directories = (DEST, RUNBOOK_DIR)
    site.sh("".join(f"mount --bind {d} {d} && mount -o remount,ro,bind {d};" for d in directories))
    try:
        with site.nothing_lost():
            answer = site.backup()
            one_sentence(answer, "Read-only file system", DEST)
        assert not site.info().failed
        before = site.script_result(0).files
        script = site.script(keep=True)
        assert script.files == before
    finally:
        site.sh("".join(f"umount {d};" for d in directories))
    page.add(SECTION, "read-only file system", quoted(answer), f"exit {script.rc}; no new file")


def test_nothing_mounted(site: Site, page: Page) -> None:
    site.sh("cp -p /etc/fstab /root/fstab 2>/dev/null || : >/root/fstab")
    lines = "".join(f"nas:{d} {d} nfs defaults 0 0\\n" for d in (DEST, RUNBOOK_DIR))
    site.sh(f"printf '{lines}' >>/etc/fstab")
    try:
        with site.nothing_lost():
            answer = site.backup()
            one_sentence(answer, "Nothing is mounted", DEST)
        seen = site.info()
        assert not seen.failed and seen.result["sets"] == [] and seen.found("backup.store")
        script = site.script()
    finally:
        site.sh("cat /root/fstab >/etc/fstab")
    page.add(
        SECTION,
        "the mount point of `/etc/fstab` has nothing mounted",
        quoted(answer),
        f"{script.said()}, on the host's own disk",
    )


@pytest.mark.parametrize("program", ["zstd", "pg_dump"])
def test_program_missing(site: Site, page: Page, program: str) -> None:
    where = site.sh(f"ls /usr/bin/{program} /usr/lib/postgresql/*/bin/{program} 2>/dev/null; true").split()
    assert where
    site.sh("".join(f"mv {path} {path}.away;" for path in where))
    try:
        with site.nothing_lost():
            answer = site.backup()
            one_sentence(answer, program)
        script = site.script() if program == "pg_dump" else None
    finally:
        site.sh("".join(f"mv {path}.away {path};" for path in where))
    page.add(SECTION, f"the program {program} is missing", quoted(answer), *([script.said()] if script else []))


def test_dump_killed(site: Site, page: Page) -> None:
    """The kernel's memory killer takes pg_dump."""
    with site.nothing_lost():
        answer = site.backup_while(DUMPING, "pkill -9 -x pg_dump")
        one_sentence(answer, DATABASE, "signal 9")
    script = site.script(harm=(SCRIPT_DUMPING, "pkill -9 -x pg_dump"))
    page.add(SECTION, "`pg_dump` is killed (as by the kernel when memory runs out)", quoted(answer), script.said())
