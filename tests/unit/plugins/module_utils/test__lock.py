# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel lock and lease."""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _lock
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import Lease, LeaseHeldError, kernel_lock

NOW = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)


def after(seconds: int) -> datetime.datetime:
    return NOW + datetime.timedelta(seconds=seconds)


@pytest.fixture
def lease(tmp_path: Path) -> Lease:
    made = Lease(str(tmp_path))
    assert made.acquire("run-a", "alice@laptop", "weekly", 3600, NOW) is None
    return made


def test_a_second_run_is_told_who_holds_it_and_since_when(lease: Lease) -> None:
    with pytest.raises(LeaseHeldError) as caught:
        lease.acquire("run-b", "bob", "backup", 3600, after(720))
    assert "run-a (weekly, started by alice@laptop)" in caught.value.message
    assert "since 2026-11-24T02:00:00Z (12 min ago)" in caught.value.message
    assert "maintenance_take_over" in caught.value.remedy
    standing = lease.read()
    assert standing is not None
    assert standing["run_id"] == "run-a"


def test_an_expired_lease_is_replaced_and_named(lease: Lease) -> None:
    replaced = lease.acquire("run-b", "bob", "backup", 3600, after(3600))
    assert replaced is not None
    assert replaced["run_id"] == "run-a"


def test_a_live_lease_is_replaced_only_when_told(lease: Lease) -> None:
    replaced = lease.acquire("run-b", "bob", "backup", 3600, after(10), take_over=True)
    assert replaced is not None
    assert replaced["run_id"] == "run-a"
    with pytest.raises(
        MaintenanceError, match=r"Run run-a does not hold the lease of this host; run run-b \(backup\) does"
    ):
        lease.renew("run-a", after(20))


def test_renewing_moves_the_expiry_and_keeps_the_beginning(lease: Lease) -> None:
    lease.renew("run-a", after(3000))
    standing = lease.read()
    assert standing is not None
    assert standing["since"] == "2026-11-24T02:00:00Z"
    assert standing["expires"] == "2026-11-24T03:50:00Z"


def test_taking_it_again_keeps_the_beginning(lease: Lease) -> None:
    assert lease.acquire("run-a", "alice@laptop", "weekly", 60, after(100)) is None
    standing = lease.read()
    assert standing is not None
    assert (standing["since"], standing["expires"]) == ("2026-11-24T02:00:00Z", "2026-11-24T02:02:40Z")


def test_only_its_own_run_gives_it_back(lease: Lease) -> None:
    assert lease.release("run-b") is False
    assert lease.release("run-a") is True
    assert lease.release("run-a") is False
    assert lease.read() is None


def test_nobody_is_said_to_hold_a_free_host(tmp_path: Path) -> None:
    with pytest.raises(MaintenanceError, match="nobody does"):
        Lease(str(tmp_path)).renew("run-a", NOW)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": "a"}', json.dumps(dict.fromkeys(_lock.LEASE_FIELDS, "x"))])
def test_a_damaged_lease_is_neither_free_nor_a_crash(tmp_path: Path, text: str) -> None:
    lease = Lease(str(tmp_path))
    Path(lease.path).write_text(text, encoding="utf-8")
    with pytest.raises(MaintenanceError, match=r"lease file .* is damaged"):
        lease.acquire("run-a", "a", "b", 60, NOW)


HOLDER = """
import sys, time
sys.path[:0] = sys.argv[2:]
from ansible_collections.boardroom.maintenance.plugins.module_utils._lock import kernel_lock
with kernel_lock(sys.argv[1], {"module": "pg_backup", "run_id": "run-a", "since": "02:00"}):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_kernel_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", HOLDER, path, *sys.path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(MaintenanceError, match=rf"pg_backup of run run-a, process {holder.pid}, since 02:00"),
            kernel_lock(path, {"module": "other"}, wait=0.3),
        ):
            raise AssertionError("two holders")
        holder.send_signal(signal.SIGKILL)
    with kernel_lock(path, {"module": "other"}):
        assert json.loads(Path(path).read_text(encoding="utf-8"))["module"] == "other"


def test_atomic_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    _lock.write_atomically(str(path), "one", 0o640)
    _lock.write_atomically(str(path), "two", 0o640)
    assert path.read_text(encoding="utf-8") == "two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
