# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timer that lifts a flag: its unit files, and what is left when something fails."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._maintenance._expiry import Expiry, quoted
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Completed, ProgramError, Runner

MOMENT = datetime.datetime(2026, 11, 24, 2, 30, 0, tzinfo=datetime.timezone.utc)


class Systemd(Runner):
    """Notes what systemctl is asked; a timer is active once it was restarted."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.active = False
        self.breaks_at = ""

    def find(self, program: str) -> t.Optional[str]:
        return f"/usr/bin/{program}"

    def run(self, argv: t.Sequence[str], **options: t.Any) -> Completed:
        self.calls.append(list(argv[1:]))
        if argv[1] == self.breaks_at:
            raise ProgramError(f"systemctl failed: {argv[1]}.")
        if argv[1] == "restart":
            self.active = True
        if argv[1] == "stop":
            self.active = False
        return Completed(list(argv), 0, "active\n" if self.active else "inactive\n", "", 0.0)


class Bed(t.NamedTuple):
    systemd: Systemd
    units: Path
    expiry: Expiry


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    running = tmp_path / "run"
    running.mkdir()
    systemd, units = Systemd(), tmp_path / "units"
    expiry = Expiry(systemd, "/var/www/odd %n $x.flag", str(units), str(tmp_path / "stamps"), str(running))
    return Bed(systemd, units, expiry)


def text(bed: Bed, kind: str) -> str:
    return (bed.units / f"{bed.expiry.unit}.{kind}").read_text(encoding="utf-8")


def test_the_timer_waits_for_the_moment_and_survives_a_reboot(bed: Bed) -> None:
    bed.expiry.arm("flag-1", MOMENT)
    timer = text(bed, "timer")
    assert "OnCalendar=2026-11-24 02:30:00 UTC\n" in timer
    assert "Persistent=true\n" in timer
    assert [call[0] for call in bed.systemd.calls][:3] == ["daemon-reload", "enable", "restart"]
    assert bed.expiry.is_set("flag-1", MOMENT)
    assert not bed.expiry.is_set("flag-2", MOMENT)
    assert not bed.expiry.is_set("flag-1", MOMENT + datetime.timedelta(seconds=1))


def test_the_service_removes_only_the_flag_it_was_made_for(bed: Bed) -> None:
    bed.expiry.arm("flag-1", MOMENT)
    service = text(bed, "service")
    assert (
        'ExecCondition=/usr/bin/grep --quiet --fixed-strings --regexp=flag-1 -- "/var/www/odd %%n $$x.flag"' in service
    )
    assert 'ExecStart=/usr/bin/rm --force -- "/var/www/odd %%n $$x.flag"' in service
    assert "/bin/sh" not in service


def test_systemd_takes_the_units(bed: Bed) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        # The scenarios run it on hosts with systemd, all the same.
        return
    bed.expiry.arm("flag-1", MOMENT)
    for kind in ("service", "timer"):
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(bed.units / f"{bed.expiry.unit}.{kind}")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert bed.expiry.unit not in done.stderr, done.stderr


@pytest.mark.parametrize("call", ["daemon-reload", "enable", "restart"])
def test_a_timer_that_systemd_does_not_take_leaves_nothing(bed: Bed, call: str) -> None:
    bed.systemd.breaks_at = call
    with pytest.raises(MaintenanceError, match="so the flag is not put up: systemctl failed"):
        bed.expiry.arm("flag-1", MOMENT)
    assert list(bed.units.iterdir()) == []


def test_disarming_removes_all_of_it(bed: Bed) -> None:
    bed.expiry.arm("flag-1", MOMENT)
    assert bed.expiry.is_left()
    assert bed.expiry.disarm()
    assert list(bed.units.iterdir()) == []
    assert not bed.expiry.is_left()
    assert not bed.expiry.disarm()


def test_a_timer_that_systemd_takes_but_does_not_start_leaves_nothing(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bed.expiry, "is_waiting", lambda: False)
    with pytest.raises(MaintenanceError, match="systemd did not start boardroom-maintenance-flag-"):
        bed.expiry.arm("flag-1", MOMENT)
    assert list(bed.units.iterdir()) == []


def test_a_program_that_is_missing_is_named_before_anything_is_written(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bed.systemd, "find", lambda program: None if program == "grep" else f"/usr/bin/{program}")
    with pytest.raises(MaintenanceError, match="The program grep is not installed"):
        bed.expiry.arm("flag-1", MOMENT)
    assert list(bed.units.iterdir()) == []


def test_a_disk_without_room_for_the_units_is_named_and_leaves_nothing(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(MaintenanceError, match="not put up: No space left on device"):
        patched.setattr(os, "fsync", full)
        bed.expiry.arm("flag-1", MOMENT)
    assert list(bed.units.iterdir()) == []


def test_a_file_system_that_is_read_only_is_named(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_arguments: object, **_options: object) -> t.NoReturn:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "unlink", read_only)
    monkeypatch.setattr(os, "makedirs", read_only)
    assert not bed.expiry.disarm()
    with pytest.raises(MaintenanceError, match="so the flag is not put up: Read-only file system"):
        bed.expiry.arm("flag-1", MOMENT)


def test_a_place_for_units_that_is_no_directory_is_named(bed: Bed) -> None:
    bed.units.write_text("a file", encoding="utf-8")
    with pytest.raises(MaintenanceError, match="so the flag is not put up: File exists"):
        bed.expiry.arm("flag-1", MOMENT)


def test_a_unit_that_cannot_be_removed_is_an_error(bed: Bed) -> None:
    (bed.units / f"{bed.expiry.unit}.timer").mkdir(parents=True)
    with pytest.raises(MaintenanceError, match=r"\.timer cannot be removed: Is a directory"):
        bed.expiry.disarm()


def test_a_systemd_that_does_not_answer_is_no_timer_and_its_units_go_all_the_same(bed: Bed) -> None:
    bed.expiry.arm("flag-1", MOMENT)
    bed.systemd.breaks_at = "is-active"
    assert not bed.expiry.is_set("flag-1", MOMENT)
    bed.systemd.breaks_at = "stop"
    assert bed.expiry.disarm()
    assert list(bed.units.iterdir()) == []


def test_the_stamp_of_an_earlier_timer_goes_too(bed: Bed, tmp_path: Path) -> None:
    stamp = tmp_path / "stamps" / f"stamp-{bed.expiry.unit}.timer"
    stamp.parent.mkdir()
    stamp.touch()
    bed.units.mkdir()
    assert bed.expiry.is_left()
    assert bed.expiry.disarm()
    assert not stamp.exists()


def test_without_systemd_it_is_refused(tmp_path: Path) -> None:
    expiry = Expiry(Systemd(), "/x", str(tmp_path), str(tmp_path), str(tmp_path / "no-systemd"))
    with pytest.raises(MaintenanceError, match="runs no systemd"):
        expiry.require()
    assert not expiry.disarm()


def test_each_flag_has_units_of_its_own() -> None:
    assert Expiry(Systemd(), "/a").unit != Expiry(Systemd(), "/b").unit
    assert Expiry(Systemd(), "/a").unit.startswith("boardroom-maintenance-flag-")


def test_paths_are_quoted_as_systemd_reads_them() -> None:
    assert quoted('/a "b" \\ %h $x') == '"/a \\"b\\" \\\\ %%h $$x"'
    assert quoted("/$x", command=False) == '"/$x"'
