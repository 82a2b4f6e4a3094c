# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting programs: real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner
from hypothesis import given
from hypothesis import strategies as st


def alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and waits for its parent does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_output_and_input_pass_through() -> None:
    done = Runner().run(["cat"], timeout=10, stdin=b"a\nb")
    assert (done.rc, done.stdout, done.stderr) == (0, "a\nb", "")


def test_arguments_are_not_read_by_a_shell() -> None:
    odd = "$(id) ; `id` * \"x\" 'y' \\"
    assert Runner().run(["printf", "%s", odd], timeout=10).stdout == odd


def test_a_failure_says_which_program_and_its_last_words() -> None:
    with pytest.raises(ProgramError, match=r"^ls failed with exit status 2: .*No such file") as caught:
        Runner().run(["ls", "/no/such/thing"], timeout=10)
    assert caught.value.rc == 2


def test_a_killed_program_is_said_to_be_killed() -> None:
    with pytest.raises(ProgramError, match="was killed by signal 9"):
        Runner().run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], timeout=10)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ProgramError, match="The program no-such-program is not installed"):
        Runner().run(["no-such-program"], timeout=10)


def test_a_missing_user_is_named() -> None:
    with pytest.raises(ProgramError, match="no operating system user 'nobody-at-all'"):
        Runner().run(["true"], timeout=10, user="nobody-at-all")


def test_out_of_time_ends_the_program_and_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import subprocess, time\n"
        f"p = subprocess.Popen(['sleep', '60']); open({str(mark)!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    with pytest.raises(ProgramError, match="did not end within 1 s"):
        Runner().run([sys.executable, "-c", code], timeout=1)
    assert gone_within(int(mark.read_text(encoding="utf-8")), 5)


def test_programs_die_with_a_killed_parent(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from ansible_collections.boardroom.maintenance.plugins.module_utils._process import Runner\n"
        "p = Runner().start(['sleep', '60']); open(sys.argv[1], 'w').write(str(p.pid)); p.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(mark), *sys.path]) as parent:
        deadline = time.monotonic() + 20
        while not (mark.exists() and mark.read_text(encoding="utf-8")) and time.monotonic() < deadline:
            time.sleep(0.05)
        child = int(mark.read_text(encoding="utf-8"))
        assert alive(child)
        os.kill(parent.pid, signal.SIGKILL)
    assert gone_within(child, 5)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:hunter2@db/boardroom refused",
        "password=hunter2 host=db",
        "PASSWORD: 'hunter2'",
        "token = hunter2",
    ],
)
def test_what_looks_like_a_password_is_hidden(text: str) -> None:
    assert "hunter2" not in Runner().redact(text)


@given(st.text(min_size=4), st.text(), st.text())
def test_known_secrets_never_come_through(secret: str, before: str, after: str) -> None:
    if secret in "*" * 8:
        return
    shown = Runner(secrets=[secret]).redact(f"{before}\x00{secret}\x00{after}")
    assert f"\x00{secret}\x00" not in shown


def test_errors_hold_no_secret() -> None:
    runner = Runner(secrets=["hunter2"])
    with pytest.raises(ProgramError) as caught:
        runner.run([sys.executable, "-c", "import sys; sys.exit('login with hunter2 failed')"], timeout=10)
    assert "hunter2" not in str(caught.value) + str(caught.value.details)
