# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The flag: a file whose existence makes nginx answer 503, with who, why, since and until inside."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import re
import stat
import tempfile
import time
import typing as t

from .._errors import MaintenanceError
from .._findings import Finding, finding
from .._http import Request, Response, fetch, shown
from .._lock import sync_directory
from .._time import format_duration, format_utc, new_id, parse_utc
from ._expiry import Expiry

SCHEMA = 1
# More than this is no flag of ours, and need not be read.
MAX_BYTES = 65536
# An identifier goes into a unit that root runs, and whoever owns the flag's directory can write the flag.
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
# nginx may need a moment: workers that are busy, a cache of file metadata that is about to end.
PROOF_SECONDS = 10.0
PROOF_PAUSE = 0.25
# Each worker of nginx may have its own opinion; new connections meet several of them.
PROOFS = 3


class Content(t.NamedTuple):
    """What stands in a flag of ours.

    :param id: this flag and no other; its timer looks for it before it removes the file
    :param expires: when the host lifts it; None: never
    :param run_id: the run that put it up; empty: nobody's
    """

    id: str
    owner: str
    reason: str
    since: datetime.datetime
    expires: t.Optional[datetime.datetime]
    run_id: str

    def text(self) -> str:
        """The file's text."""
        document = {
            "schema": SCHEMA,
            "id": self.id,
            "owner": self.owner,
            "reason": self.reason,
            "since": format_utc(self.since),
            "expires": format_utc(self.expires) if self.expires else None,
            "run_id": self.run_id,
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


class Standing(t.NamedTuple):
    """A flag that is up; C(content) is None when it is none of ours, such as one made by C(touch)."""

    content: t.Optional[Content]
    since: datetime.datetime

    def words(self, now: datetime.datetime) -> str:
        """Who put it up, why, since when and until when."""
        if self.content is None:
            return f"somebody put it up by hand at {format_utc(self.since)}"
        run = f" in run {self.content.run_id}" if self.content.run_id else ""
        until = "without an expiry"
        if self.content.expires:
            left = (self.content.expires - now).total_seconds()
            until = f"until {format_utc(self.content.expires)}" + ("" if left > 0 else ", which is past")
        return f"{self.content.owner}{run} put it up at {format_utc(self.since)} ({self.content.reason}), {until}"


class Change(t.NamedTuple):
    """What a change of the flag did, or would do in check mode: the file's text before and after; empty: no file."""

    changed: bool
    msg: str
    findings: t.List[Finding]
    before: str
    after: str
    content: t.Optional[Content]


class Wish(t.NamedTuple):
    """What a flag should say.

    :param expires_in: seconds until the host lifts it; None: never
    :param renew: move the expiry of this owner's own flag ahead
    """

    owner: str
    reason: str
    expires_in: t.Optional[int]
    run_id: str
    renew: bool = False


class Probe:
    """Asks through nginx whether the flag works.

    :param request: what to ask; None: nothing is proven
    :param seconds: how long nginx may take
    """

    def __init__(
        self,
        request: t.Optional[Request],
        seconds: float = PROOF_SECONDS,
        ask: t.Callable[[Request], Response] = fetch,
        pause: t.Callable[[float], None] = time.sleep,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self.request = request
        self._seconds = seconds
        self._ask = ask
        self._pause = pause
        self._clock = clock

    def look(self) -> t.Optional[Response]:
        """One answer."""
        return self._ask(self.request) if self.request else None

    def until(self, true: t.Callable[[Response], bool]) -> t.Tuple[bool, t.Optional[Response]]:
        """Ask until the answer is as wished several times in a row; whether it came to that, and the last answer."""
        deadline = self._clock() + self._seconds
        right = 0
        while True:
            answer = self.look()
            if answer is None:
                return True, answer
            right = right + 1 if true(answer) else 0
            if right == PROOFS:
                return True, answer
            if right:
                continue
            if self._clock() >= deadline:
                return False, answer
            self._pause(PROOF_PAUSE)


class Flag:
    """The flag of one host.

    :param path: the file that nginx tests for
    :param expiry: keeps its time
    :param probe: proves that it works
    """

    def __init__(self, path: str, expiry: Expiry, probe: Probe) -> None:
        self.path = path
        self._expiry = expiry
        self._probe = probe

    def read(self) -> t.Optional[Standing]:
        """The flag that is up, if any.

        :raises MaintenanceError: something else than a file lies there, or it cannot be looked at.
        """
        try:
            state = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise MaintenanceError(f"The flag {self.path} cannot be looked at: {exc.strerror}.") from exc
        if stat.S_ISDIR(state.st_mode):
            raise MaintenanceError(
                f"{self.path} is a directory, but must be the flag's file.", "Correct path (maintenance_flag_path)."
            )
        changed = datetime.datetime.fromtimestamp(int(state.st_mtime), datetime.timezone.utc)
        # A link or a device is nobody's that we know; nginx takes a link for the flag all the same.
        content = _parse(self.path) if stat.S_ISREG(state.st_mode) else None
        return Standing(content, content.since if content else changed)

    def enable(self, wish: Wish, now: datetime.datetime, check_mode: bool = False) -> Change:
        """Put the flag up, unless one is up; somebody else's stays as it is.

        :raises MaintenanceError: it cannot be made, its expiry cannot be kept, or nginx does not see it; nothing of it
            is left then. (A flag whose new text cannot be written stays up with its earlier one, until the new time.)
        """
        standing = self.read()
        before = self._text() if standing else ""
        if standing is not None:
            mine = _is_mine(standing.content, wish)
            if not mine:
                return self._left(standing, now, before)
            if not wish.renew and self._kept(standing.content):
                message = f"The maintenance page is up already: {standing.words(now)}."
                found = finding("maintenance.flag", self.path, "ok", message)
                return Change(False, message, [found], before, before, standing.content)
        self._require_place()
        content = Content(
            id=standing.content.id if standing and standing.content else new_id(now),
            owner=wish.owner,
            reason=wish.reason,
            since=standing.since if standing else now,
            expires=None if wish.expires_in is None else now + datetime.timedelta(seconds=wish.expires_in),
            run_id=wish.run_id,
        )
        until = f", until {format_utc(content.expires)}" if content.expires else ", without an expiry"
        message = f"The maintenance page {'would be' if check_mode else 'is'} up{until}."
        if check_mode:
            if content.expires:
                self._expiry.require()
            return Change(True, message, [], before, content.text(), content)
        findings = self._put_up(content, replace=standing is not None)
        return Change(True, message, findings, before, content.text(), content)

    def _kept(self, content: t.Optional[Content]) -> bool:
        """Whether the host will lift the flag as it says."""
        if content is None or content.expires is None:
            return True
        return self._expiry.is_set(content.id, content.expires)

    def _left(self, standing: Standing, now: datetime.datetime, before: str) -> Change:
        message = f"The maintenance page is up already, and is left as it is: {standing.words(now)}."
        found = finding(
            "maintenance.flag",
            self.path,
            "warning",
            message,
            remedy="Ask them; it stays up after this run. Take it down with state=disabled when it is not needed.",
        )
        return Change(False, message, [found], before, before, standing.content)

    def _require_place(self) -> None:
        directory = os.path.dirname(self.path)
        if not os.path.isdir(directory):
            raise MaintenanceError(
                f"There is no directory {directory} for the flag {os.path.basename(self.path)}.",
                "Correct path (in the inventory maintenance_flag_path), or make the directory.",
            )

    def _put_up(self, content: Content, replace: bool) -> t.List[Finding]:
        try:
            if content.expires:
                # First the timer: a flag that nobody lifts is the worse of the two.
                self._expiry.arm(content.id, content.expires)
        except MaintenanceError:
            # The timer of a flag that is to be renewed is gone by now.
            self._take_back(content)
            raise
        earlier = self._probe.look() if not replace else None
        try:
            self._write(content.text(), replace)
        except OSError as exc:
            if not replace:
                self._take_back(content)
            # Else the flag's earlier text stays, and the timer lifts it all the same.
            if isinstance(exc, FileExistsError):
                raise MaintenanceError(
                    f"Somebody put up {self.path} in this moment; it is left as it is.", "Look whose it is."
                ) from exc
            raise MaintenanceError(
                f"The flag {self.path} cannot be written: {exc.strerror}.", "Run as root (become)."
            ) from exc
        try:
            if not content.expires:
                self._expiry.disarm()
            return self._prove_up(earlier)
        except MaintenanceError:
            self._take_back(content)
            raise

    def _take_back(self, content: Content) -> None:
        """Remove this flag and its timer; what somebody put in its place meanwhile stays."""
        standing = self.read()
        if standing is not None and standing.content is not None and standing.content.id == content.id:
            self._remove()
        self._expiry.disarm()

    def _write(self, text: str, replace: bool) -> None:
        directory = os.path.dirname(self.path)
        descriptor, temporary = tempfile.mkstemp(prefix=".maintenance-flag-", dir=directory)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                # nginx's own user must be able to look at it, and visitors' page may show what stands in it.
                os.fchmod(file.fileno(), 0o644)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(temporary, self.path)
            else:
                # Unlike a rename, a link never takes the place of what somebody made meanwhile.
                os.link(temporary, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        sync_directory(directory)

    def _prove_up(self, earlier: t.Optional[Response]) -> t.List[Finding]:
        if self._probe.request is None:
            return []
        same_before = earlier is not None and earlier.status == 503
        proven, answer = self._probe.until(
            lambda r: r.status == 503 and not (same_before and earlier is not None and r.body == earlier.body)
        )
        url = shown(self._probe.request.url)
        if proven:
            return [finding("maintenance.page", url, "ok", f"{url} answers 503 while the flag is up.")]
        if answer is not None and answer.status == 503:
            message = f"{url} answered the same 503 before the flag was up, so it is not proven that nginx sees it."
            return [finding("maintenance.page", url, "warning", message, remedy="Look at the application first.")]
        raise MaintenanceError(
            f"nginx does not see the flag: {url} {_said(answer)} instead of 503, so the flag was taken back.",
            "Put the snippet of docs/maintenance-mode.md into the site, let nginx's user pass through each directory "
            "above the flag, and switch open_file_cache off.",
        )

    def disable(self, run_id: str, only_own: bool, now: datetime.datetime, check_mode: bool = False) -> Change:
        """Take the flag down.

        :param only_own: only if the run C(run_id) put it up; another one stays
        :raises MaintenanceError: it cannot be removed, or nginx goes on answering 503 as it did while it was up.
        """
        standing = self.read()
        if standing is None:
            # A timer without its flag is what a person left who removed the file by hand.
            left = self._expiry.is_left()
            if left and not check_mode:
                self._expiry.disarm()
            return Change(left, "The maintenance page is not up.", [], "", "", None)
        before = self._text()
        if only_own and (standing.content is None or not run_id or standing.content.run_id != run_id):
            return self._left(standing, now, before)
        message = f"The maintenance page {'would be' if check_mode else 'is'} down; {standing.words(now)}."
        if check_mode:
            return Change(True, message, [], before, "", None)
        meanwhile = self._probe.look()
        self._remove()
        self._expiry.disarm()
        return Change(True, message, self._prove_down(meanwhile), before, "", None)

    def _remove(self) -> None:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise MaintenanceError(
                f"The flag {self.path} cannot be removed: {exc.strerror}.", "Run as root (become)."
            ) from exc
        sync_directory(os.path.dirname(self.path))

    def _prove_down(self, meanwhile: t.Optional[Response]) -> t.List[Finding]:
        if self._probe.request is None:
            return []
        url = shown(self._probe.request.url)
        page = meanwhile.body if meanwhile is not None and meanwhile.status == 503 else None
        proven, answer = self._probe.until(lambda r: r.status != 503 and not r.reason)
        remedy = "Look at the application and at nginx."
        if proven and (answer is None or answer.status < 500):
            return [finding("maintenance.page", url, "ok", f"{url} {_said(answer)} again.")]
        if proven:
            message = f"The maintenance page is down, but {url} {_said(answer)}."
            return [finding("maintenance.page", url, "warning", message, remedy=remedy)]
        if answer is not None and answer.status == 503 and answer.body == page:
            raise MaintenanceError(
                f"The flag {self.path} is down, but {url} goes on answering 503 with the same page.",
                "Look for another flag or a cache of file metadata (open_file_cache) in nginx.",
            )
        message = f"The flag is down, but {url} {_said(answer)}."
        return [finding("maintenance.page", url, "critical", message, remedy=remedy)]

    def look(self, now: datetime.datetime) -> Change:
        """Say whether the flag is up. Nothing is changed."""
        standing = self.read()
        if standing is None:
            message = "The maintenance page is not up."
            return Change(False, message, [finding("maintenance.flag", self.path, "ok", message)], "", "", None)
        text = self._text()
        content = standing.content
        overdue = content is not None and content.expires is not None and content.expires <= now
        held = format_duration((now - standing.since).total_seconds())
        message = f"The maintenance page has been up for {held}: {standing.words(now)}."
        remedy = "Take it down when the work is done: the module maintenance_flag with state=disabled."
        if content is not None and not overdue and not self._kept(content):
            message += " No timer will lift it."
        status = "critical" if overdue else "warning"
        return Change(
            False,
            message,
            [finding("maintenance.flag", self.path, status, message, remedy=remedy)],
            text,
            text,
            content,
        )

    def _text(self) -> str:
        """The flag's text, for the diff; empty when it cannot be read or is no file."""
        try:
            with _open(self.path) as file:
                return file.read(MAX_BYTES)
        except OSError:
            return ""


def _is_mine(content: t.Optional[Content], wish: Wish) -> bool:
    """Whether a flag is this run's, or, outside of runs, this owner's."""
    if content is None:
        return False
    if wish.run_id or content.run_id:
        return content.run_id == wish.run_id
    return content.owner == wish.owner and content.reason == wish.reason


def _said(answer: t.Optional[Response]) -> str:
    if answer is None:
        return "gave no answer"
    return answer.message if answer.reason else f"answers {answer.status}"


def _open(path: str) -> t.TextIO:
    """Open a file to read it, and only a file: never what a link points to, and a pipe would wait for ever.

    :raises OSError: it is something else, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a file", path)
    return os.fdopen(descriptor, encoding="utf-8", errors="replace")


def _parse(path: str) -> t.Optional[Content]:
    try:
        with _open(path) as file:
            document = json.loads(file.read(MAX_BYTES))
        if document["schema"] != SCHEMA or not _ID.fullmatch(document["id"]):
            return None
        return Content(
            id=document["id"],
            owner=str(document["owner"]),
            reason=str(document["reason"]),
            since=parse_utc(document["since"]),
            expires=parse_utc(document["expires"]) if document["expires"] else None,
            run_id=str(document["run_id"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
