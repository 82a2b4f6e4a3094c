# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flag: ours, somebody else's, and the proof that nginx sees it."""

from __future__ import annotations

import datetime
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._http import Request, Response
from ansible_collections.boardroom.maintenance.plugins.module_utils._maintenance._flag import Content, Flag, Probe, Wish

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)
LATER = NOW + datetime.timedelta(minutes=10)
WISH = Wish("alice", "Disk <b>&", 1800, "run-a")


class FakeExpiry:
    """Keeps in memory what systemd would keep; notes whether the flag was up when it was armed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.armed: tuple[str, datetime.datetime] | None = None
        self.flag_was_up: bool | None = None
        self.refuses = False

    def require(self) -> None:
        if self.refuses:
            raise MaintenanceError("This host runs no systemd.")

    def arm(self, flag_id: str, moment: datetime.datetime) -> None:
        self.require()
        self.flag_was_up = os.path.lexists(self.path)
        self.armed = (flag_id, moment)

    def disarm(self) -> bool:
        had, self.armed = self.armed is not None, None
        return had

    def is_set(self, flag_id: str, moment: datetime.datetime) -> bool:
        return self.armed == (flag_id, moment)

    def is_left(self) -> bool:
        return self.armed is not None


class Nginx:
    """Answers as nginx does: 503 with a page while it sees the flag."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sees = True
        self.stuck = False
        self.application = Response("", "", 200, {}, b"hello")
        self.seconds = 0.0

    def ask(self, request: Request) -> Response:
        if self.stuck or (self.sees and os.path.lexists(self.path)):
            return Response("", "", 503, {}, b"page")
        return self.application

    def probe(self) -> Probe:
        def pause(seconds: float) -> None:
            self.seconds += seconds

        return Probe(Request("https://x/"), 2.0, self.ask, pause, lambda: self.seconds)


class Bed(t.NamedTuple):
    path: Path
    expiry: FakeExpiry
    nginx: Nginx
    flag: Flag


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    path = tmp_path / "maintenance.flag"
    expiry, nginx = FakeExpiry(path), Nginx(path)
    return Bed(path, expiry, nginx, Flag(str(path), t.cast(t.Any, expiry), nginx.probe()))


def test_it_says_who_why_since_and_until(bed: Bed) -> None:
    change = bed.flag.enable(WISH, NOW)
    assert change.changed
    document = json.loads(bed.path.read_text(encoding="utf-8"))
    assert document["owner"] == "alice"
    assert document["reason"] == "Disk <b>&"
    assert (document["since"], document["expires"]) == ("2026-11-24T02:00:00Z", "2026-11-24T02:30:00Z")
    assert document["run_id"] == "run-a"
    # nginx's own user must be able to look at it.
    assert bed.path.stat().st_mode & 0o777 == 0o644
    assert bed.expiry.armed == (document["id"], NOW + datetime.timedelta(minutes=30))
    assert [f["status"] for f in change.findings] == ["ok"]
    assert [p.name for p in bed.path.parent.iterdir()] == ["maintenance.flag"]


def test_the_timer_is_made_before_the_flag(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    assert bed.expiry.flag_was_up is False


def test_a_timer_that_cannot_be_made_means_no_flag(bed: Bed) -> None:
    bed.expiry.refuses = True
    with pytest.raises(MaintenanceError, match="no systemd"):
        bed.flag.enable(WISH, NOW)
    assert not bed.path.exists()
    assert bed.flag.enable(WISH._replace(expires_in=None), NOW).changed
    assert json.loads(bed.path.read_text(encoding="utf-8"))["expires"] is None


def test_again_in_the_same_run_changes_nothing_unless_asked(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    before = bed.path.read_text(encoding="utf-8")
    again = bed.flag.enable(WISH, LATER)
    assert not again.changed
    assert bed.path.read_text(encoding="utf-8") == before
    renewed = bed.flag.enable(WISH._replace(renew=True), LATER)
    assert renewed.changed
    document = json.loads(bed.path.read_text(encoding="utf-8"))
    assert (document["since"], document["expires"]) == ("2026-11-24T02:00:00Z", "2026-11-24T02:40:00Z")
    assert document["id"] == json.loads(before)["id"]


def test_a_flag_whose_timer_is_gone_gets_it_back(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    bed.expiry.armed = None
    assert bed.flag.enable(WISH, LATER).changed
    assert bed.expiry.armed is not None


@pytest.mark.parametrize(
    "wish",
    [WISH._replace(run_id="run-b"), WISH._replace(run_id=""), WISH._replace(owner="bob", run_id="run-b", renew=True)],
)
def test_another_run_s_flag_stays_as_it_is(bed: Bed, wish: Wish) -> None:
    bed.flag.enable(WISH, NOW)
    before, armed = bed.path.read_bytes(), bed.expiry.armed
    change = bed.flag.enable(wish, LATER)
    assert not change.changed
    assert (bed.path.read_bytes(), bed.expiry.armed) == (before, armed)
    (found,) = change.findings
    assert (found["check"], found["status"]) == ("maintenance.flag", "warning")
    assert "alice in run run-a put it up at 2026-11-24T02:00:00Z (Disk <b>&)" in found["message"]
    left = bed.flag.disable("run-b", only_own=True, now=LATER)
    assert not left.changed
    assert bed.path.exists()


def by_hand(path: Path) -> None:
    path.touch()


def by_link(path: Path) -> None:
    path.symlink_to("/nowhere")


def by_other_text(path: Path) -> None:
    path.write_text('{"schema": 1}', encoding="utf-8")


@pytest.mark.parametrize("make", [by_hand, by_link, by_other_text])
def test_what_a_person_made_is_somebody_else_s(bed: Bed, make: t.Callable[[Path], None]) -> None:
    make(bed.path)
    change = bed.flag.enable(WISH, NOW)
    assert not change.changed
    assert "by hand" in change.msg
    assert bed.expiry.armed is None
    assert not bed.flag.disable("run-a", only_own=True, now=NOW).changed
    assert os.path.lexists(bed.path)
    # On purpose it goes, and a link never takes along what it points to.
    assert bed.flag.disable("", only_own=False, now=NOW).changed
    assert not os.path.lexists(bed.path)


def test_a_directory_in_its_place_is_one_sentence(bed: Bed) -> None:
    bed.path.mkdir()
    with pytest.raises(MaintenanceError, match="is a directory, but must be the flag's file"):
        bed.flag.enable(WISH, NOW)


def test_a_place_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "no" / "flag"
    with pytest.raises(MaintenanceError, match=r"There is no directory .*no for the flag flag"):
        Flag(str(path), t.cast(t.Any, FakeExpiry(path)), Probe(None)).enable(WISH, NOW)


def test_a_flag_that_nginx_does_not_see_is_taken_back(bed: Bed) -> None:
    bed.nginx.sees = False
    with pytest.raises(MaintenanceError, match="nginx does not see the flag: https://x/ answers 200 instead of 503"):
        bed.flag.enable(WISH, NOW)
    assert not bed.path.exists()
    assert bed.expiry.armed is None


def test_a_503_that_was_there_before_proves_nothing(bed: Bed) -> None:
    bed.nginx.sees = False
    bed.nginx.application = Response("", "", 503, {}, b"unwell")
    change = bed.flag.enable(WISH, NOW)
    assert [(f["check"], f["status"]) for f in change.findings] == [("maintenance.page", "warning")]
    assert bed.path.exists()
    # With another page than before it is proven.
    bed.path.unlink()
    bed.nginx.sees = True
    assert [f["status"] for f in bed.flag.enable(WISH, NOW).findings] == ["ok"]


def test_somebody_who_is_quicker_keeps_his_flag(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def race(source: str, target: str) -> None:
        bed.path.write_text("his", encoding="utf-8")
        link(source, target)

    monkeypatch.setattr(os, "link", race)
    with pytest.raises(MaintenanceError, match="Somebody put up"):
        bed.flag.enable(WISH, NOW)
    assert bed.path.read_text(encoding="utf-8") == "his"
    assert bed.expiry.armed is None
    assert [p.name for p in bed.path.parent.iterdir()] == ["maintenance.flag"]


def test_a_full_disk_leaves_nothing(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MaintenanceError, match="cannot be written: No space left on device"):
        bed.flag.enable(WISH, NOW)
    assert list(bed.path.parent.iterdir()) == []
    assert bed.expiry.armed is None


def test_a_timer_that_cannot_be_renewed_takes_the_flag_down(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    bed.expiry.refuses = True
    with pytest.raises(MaintenanceError, match="no systemd"):
        bed.flag.enable(WISH._replace(renew=True), LATER)
    # Nobody would lift it any more.
    assert not bed.path.exists()
    assert bed.expiry.armed is None


def test_a_text_that_cannot_be_renewed_leaves_a_flag_that_is_lifted(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.flag.enable(WISH, NOW)
    before = bed.path.read_text(encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MaintenanceError, match="cannot be written: No space left on device"):
        bed.flag.enable(WISH._replace(renew=True), LATER)
    assert bed.path.read_text(encoding="utf-8") == before
    assert bed.expiry.armed == (json.loads(before)["id"], LATER + datetime.timedelta(minutes=30))


def test_a_directory_that_cannot_be_synced_leaves_no_flag_behind(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def broken(_descriptor: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(MaintenanceError, match="cannot be written: Input/output error"):
        bed.flag.enable(WISH, NOW)
    assert list(bed.path.parent.iterdir()) == []
    assert bed.expiry.armed is None


@pytest.mark.parametrize("his", ["by hand", Content("20261124T020000Z-00000001", "b", "r", NOW, None, "run-b").text()])
def test_taking_back_spares_what_somebody_put_in_its_place(bed: Bed, his: str) -> None:
    def replaced(request: Request) -> Response:
        if bed.path.exists():
            bed.path.write_text(his, encoding="utf-8")
        return Response("", "", 200, {}, b"hello")

    probe = Probe(Request("https://x/"), 0.0, replaced)
    with pytest.raises(MaintenanceError, match="nginx does not see the flag"):
        Flag(str(bed.path), t.cast(t.Any, bed.expiry), probe).enable(WISH, NOW)
    assert bed.path.read_text(encoding="utf-8") == his
    assert bed.expiry.armed is None


def test_nobody_s_run_owns_no_flag(bed: Bed) -> None:
    bed.flag.enable(WISH._replace(run_id=""), NOW)
    assert not bed.flag.disable("", only_own=True, now=LATER).changed
    assert bed.path.exists()


def test_a_link_is_never_read_and_a_pipe_never_waited_for(bed: Bed, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter22", encoding="utf-8")
    bed.path.symlink_to(secret)
    assert "hunter22" not in str([bed.flag.look(NOW), bed.flag.enable(WISH, NOW), bed.flag.disable("", False, NOW)])
    assert secret.exists()
    os.mkfifo(bed.path)
    assert bed.flag.look(NOW).content is None
    assert bed.flag.disable("", only_own=False, now=NOW).changed


@pytest.mark.parametrize("forged", ["x\nExecStart=/bin/evil", "", 7, None, "20261124T020000Z-9f3a1c2e --"])
def test_an_identifier_that_is_none_never_reaches_the_timer(bed: Bed, forged: object) -> None:
    bed.flag.enable(WISH, NOW)
    document = json.loads(bed.path.read_text(encoding="utf-8"))
    bed.path.write_text(json.dumps({**document, "id": forged}), encoding="utf-8")
    bed.expiry.armed = None
    # Whoever can write the flag must not write into a unit that root runs.
    assert not bed.flag.enable(WISH._replace(renew=True), LATER).changed
    assert bed.expiry.armed is None


def test_text_that_nests_for_ever_is_no_flag_of_ours(bed: Bed) -> None:
    bed.path.write_text("[" * 60000, encoding="utf-8")
    assert bed.flag.look(NOW).content is None


def test_an_application_that_fails_behind_the_page_is_a_warning(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    bed.nginx.application = Response("", "", 502, {}, b"bad gateway")
    (found,) = bed.flag.disable("run-a", only_own=True, now=LATER).findings
    assert (found["status"], found["subject"]) == ("warning", "https://x/")
    assert "answers 502" in found["message"]


def test_what_cannot_be_looked_at_or_removed_is_one_sentence(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.flag.enable(WISH, NOW)

    def refused(_path: str) -> t.NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(MaintenanceError, match=r"flag cannot be removed: Permission denied\.") as caught:
        bed.flag.disable("", only_own=False, now=LATER)
    assert caught.value.remedy == "Run as root (become)."
    # The flag is still up, and its timer with it.
    assert bed.expiry.armed is not None
    monkeypatch.setattr(os, "lstat", refused)
    with pytest.raises(MaintenanceError, match=r"cannot be looked at: Permission denied\."):
        bed.flag.look(LATER)


def test_a_flag_for_ever_takes_an_earlier_timer_away(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    assert bed.flag.enable(WISH._replace(renew=True, expires_in=None), LATER).changed
    assert bed.expiry.armed is None
    assert "without an expiry" in bed.flag.look(LATER).msg
    assert "No timer" not in bed.flag.look(LATER).msg


def test_without_a_url_nothing_is_asked(bed: Bed) -> None:
    flag = Flag(str(bed.path), t.cast(t.Any, bed.expiry), Probe(None))
    assert flag.enable(WISH, NOW).findings == []
    assert flag.disable("run-a", only_own=True, now=LATER).findings == []


def test_down_is_proven_too(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    change = bed.flag.disable("run-a", only_own=True, now=LATER)
    assert change.changed
    assert not bed.path.exists()
    assert bed.expiry.armed is None
    assert [(f["check"], f["status"]) for f in change.findings] == [("maintenance.page", "ok")]
    assert not bed.flag.disable("run-a", only_own=True, now=LATER).changed


def test_a_page_that_stays_is_an_error_and_an_application_that_is_unwell_a_finding(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    bed.nginx.application = Response("refused", "refuses the connection", 0, {}, b"")
    change = bed.flag.disable("run-a", only_own=True, now=LATER)
    assert [f["status"] for f in change.findings] == ["critical"]
    bed.nginx.application = Response("", "", 200, {}, b"hello")
    bed.flag.enable(WISH, NOW)
    bed.nginx.stuck = True
    with pytest.raises(MaintenanceError, match="goes on answering 503 with the same page"):
        bed.flag.disable("run-a", only_own=True, now=LATER)


def test_a_timer_without_its_flag_is_cleared_away(bed: Bed) -> None:
    bed.flag.enable(WISH, NOW)
    bed.path.unlink()
    assert bed.flag.disable("", only_own=False, now=LATER, check_mode=True).changed
    assert bed.expiry.armed is not None
    assert bed.flag.disable("", only_own=False, now=LATER).changed
    assert bed.expiry.armed is None


def test_check_mode_predicts_and_writes_nothing(bed: Bed) -> None:
    change = bed.flag.enable(WISH, NOW, check_mode=True)
    assert change.changed
    assert json.loads(change.after)["owner"] == "alice"
    assert list(bed.path.parent.iterdir()) == []
    assert bed.expiry.armed is None
    bed.flag.enable(WISH, NOW)
    assert bed.flag.disable("run-a", only_own=True, now=LATER, check_mode=True).changed
    assert bed.path.exists()
    bed.expiry.refuses = True
    bed.path.unlink()
    with pytest.raises(MaintenanceError, match="no systemd"):
        bed.flag.enable(WISH, NOW, check_mode=True)


def test_looking_says_whether_it_is_up_and_overdue(bed: Bed) -> None:
    assert bed.flag.look(NOW).findings[0]["status"] == "ok"
    bed.flag.enable(WISH, NOW)
    found = bed.flag.look(LATER).findings[0]
    assert found["status"] == "warning"
    assert "has been up for 10 min: alice in run run-a" in found["message"]
    assert bed.flag.look(NOW + datetime.timedelta(hours=1)).findings[0]["status"] == "critical"
    bed.expiry.armed = None
    assert "No timer will lift it" in bed.flag.look(LATER).findings[0]["message"]


@pytest.mark.parametrize(
    ("answers", "proven"), [([503, 503, 503], True), ([200, 503, 503, 503], True), ([503, 200] * 9, False)]
)
def test_one_worker_that_sees_the_flag_is_no_proof(answers: list[int], proven: bool) -> None:
    clock = iter(range(100))
    given = iter(answers)
    probe = Probe(
        Request("https://x/"),
        8.0,
        lambda request: Response("", "", next(given), {}, b""),
        lambda seconds: None,
        lambda: float(next(clock)),
    )
    assert probe.until(lambda answer: answer.status == 503)[0] is proven
