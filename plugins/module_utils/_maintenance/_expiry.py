# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The host lifts a flag when its time is over: a systemd timer of its own, which outlives the run and a reboot.

The service removes the file only while the flag's identifier stands in it; a flag that somebody put in its place stays.
Then it removes its own units. It needs no shell and nothing of this collection, which may be gone by then.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
import typing as t

from .._errors import MaintenanceError
from .._lock import sync_directory, write_atomically
from .._process import ProgramError, Runner

UNIT_DIR = "/etc/systemd/system"
STAMP_DIR = "/var/lib/systemd/timers"
RUNNING = "/run/systemd/system"

_SERVICE = """\
# Made by boardroom.maintenance.maintenance_flag; removed with the flag.
[Unit]
Description=Lift the maintenance flag {path}
RequiresMountsFor={mount}

[Service]
Type=oneshot
TimeoutStartSec=60
ExecCondition={grep} --quiet --fixed-strings --regexp={flag_id} -- {quoted}
ExecStart={rm} --force -- {quoted}
ExecStopPost=-{rm} --force -- {own}
"""

_TIMER = """\
# Made by boardroom.maintenance.maintenance_flag; removed with the flag.
[Unit]
Description=Expiry of the maintenance flag {path}

[Timer]
OnCalendar={moment}
AccuracySec=1s
# A host that was off at that moment lifts the flag when it starts.
Persistent=true
RemainAfterElapse=no

[Install]
WantedBy=timers.target
"""


class Expiry:
    """The timer of one flag.

    :param path: the flag, which decides the units' names
    """

    def __init__(
        self,
        runner: Runner,
        path: str,
        unit_dir: str = UNIT_DIR,
        stamp_dir: str = STAMP_DIR,
        running: str = RUNNING,
        timeout: float = 30.0,
    ) -> None:
        self.unit = f"boardroom-maintenance-flag-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
        self._runner = runner
        self._path = path
        self._dir = unit_dir
        self._running = running
        self._timeout = timeout
        self._service = os.path.join(unit_dir, f"{self.unit}.service")
        self._timer = os.path.join(unit_dir, f"{self.unit}.timer")
        self._wanted = os.path.join(unit_dir, "timers.target.wants", f"{self.unit}.timer")
        self._stamp = os.path.join(stamp_dir, f"stamp-{self.unit}.timer")

    def require(self) -> None:
        """Refuse a flag that nobody would lift.

        :raises MaintenanceError: this host runs no systemd, or a program is missing.
        """
        if not os.path.isdir(self._running) or not self._runner.find("systemctl"):
            raise MaintenanceError(
                "This host runs no systemd, which would lift the flag when its time is over.",
                "Use expires_in: never, and take the flag down yourself.",
            )

    def is_set(self, flag_id: str, moment: datetime.datetime) -> bool:
        """Whether the timer stands for exactly this flag and moment, and is waiting."""
        try:
            with open(self._service, encoding="utf-8") as service, open(self._timer, encoding="utf-8") as timer:
                same = flag_id in service.read() and _calendar(moment) in timer.read()
        except OSError:
            return False
        return same and self.is_waiting()

    def is_waiting(self) -> bool:
        """Whether the timer is waiting for its moment."""
        try:
            done = self._runner.run(["systemctl", "is-active", self._unit_timer], timeout=self._timeout, check=False)
        except ProgramError:
            return False
        return done.stdout.strip() == "active"

    def is_left(self) -> bool:
        """Whether anything of the timer is on this host."""
        return any(os.path.lexists(path) for path in self._own())

    def arm(self, flag_id: str, moment: datetime.datetime) -> None:
        """Make and start the timer, in place of an earlier one for this path.

        :raises MaintenanceError: systemd does not take it; nothing is left of it then.
        """
        self.require()
        try:
            os.makedirs(self._dir, mode=0o755, exist_ok=True)
            write_atomically(self._service, self._service_text(flag_id), 0o644)
            write_atomically(self._timer, _TIMER.format(path=_words(self._path), moment=_calendar(moment)), 0o644)
            self._systemctl("daemon-reload")
            self._systemctl("enable", "--quiet", self._unit_timer)
            # Not `enable --now`: a timer that runs keeps the moment it was started with.
            self._systemctl("restart", self._unit_timer)
            if not self.is_waiting():
                raise MaintenanceError(
                    f"systemd did not start {self._unit_timer}.", f"Look at systemctl status {self.unit}.timer."
                )
        except (OSError, MaintenanceError) as exc:
            self.disarm()
            said = (
                exc.message if isinstance(exc, MaintenanceError) else f"{exc.strerror} ({exc.filename or self._dir})."
            )
            raise MaintenanceError(
                f"The timer that lifts the flag could not be made, so the flag is not put up: {said}",
                getattr(exc, "remedy", ""),
            ) from exc

    def disarm(self) -> bool:
        """Remove the timer and all that belongs to it; False when there was nothing.

        :raises MaintenanceError: its files cannot be removed.
        """
        left = self.is_left()
        talking = os.path.isdir(self._running)
        if left and talking:
            # A timer that cannot be stopped any more does no harm: it removes its own flag only, which is gone.
            with contextlib.suppress(ProgramError):
                self._systemctl("stop", self._unit_timer, f"{self.unit}.service")
        # Only what is there: a file system that is read-only refuses to remove also what is not.
        for path in filter(os.path.lexists, self._own()):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise MaintenanceError(f"{path} cannot be removed: {exc.strerror}.") from exc
        if left and talking:
            if os.path.isdir(self._dir):
                sync_directory(self._dir)
            with contextlib.suppress(ProgramError):
                self._systemctl("daemon-reload")
            with contextlib.suppress(ProgramError):
                self._systemctl("reset-failed", self._unit_timer, f"{self.unit}.service")
        return left

    @property
    def _unit_timer(self) -> str:
        return f"{self.unit}.timer"

    def _own(self) -> t.List[str]:
        return [self._wanted, self._timer, self._service, self._stamp]

    def _systemctl(self, *arguments: str) -> None:
        self._runner.run(["systemctl", *arguments], timeout=self._timeout)

    def _service_text(self, flag_id: str) -> str:
        return _SERVICE.format(
            path=_words(self._path),
            mount=quoted(os.path.dirname(self._path), command=False),
            grep=self._program("grep"),
            rm=self._program("rm"),
            flag_id=flag_id,
            quoted=quoted(self._path),
            own=" ".join(quoted(path) for path in self._own()),
        )

    def _program(self, name: str) -> str:
        found = self._runner.find(name)
        if not found:
            raise MaintenanceError(f"The program {name} is not installed.")
        return found


def quoted(text: str, command: bool = True) -> str:
    """A path as systemd reads it back from a unit file.

    :param command: it stands in a command line, where a dollar sign means a variable
    """
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{plain.replace("$", "$$") if command else plain}"'


def _words(text: str) -> str:
    # In a description: no specifiers, no line that goes on.
    return re.sub(r"\\", "/", text).replace("%", "%%")


def _calendar(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
