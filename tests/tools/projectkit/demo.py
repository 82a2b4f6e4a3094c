# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: a real host, maintained by weekly.yml, and the report of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.process import LabError, say

from projectkit import python
from projectkit.ground import DEMO, LAB, ROOT, environment, program, short_directory

HOST = "demo"
MARK = "/etc/boardroom-maintenance/host.json"
"""What prepare.yml leaves on a host."""


def run(arguments: Sequence[str]) -> int:
    """Show the collection at work. arguments go to weekly.yml. Returns the exit status."""
    python.ensure("demo")
    lab("up", HOST)
    with short_directory() as sockets:
        env = environment(os.environ, sockets)
        if not on_host("test", "-e", MARK):
            code = play(env, "prepare")
            if code:
                return code
        before = newest_report()
        code = play(env, "weekly", *arguments)
    report = newest_report()
    if report is None or report == before:
        say("no report was written")
        return code or 1
    say(f"the report: {report}")
    return code


def lab(*arguments: str) -> None:
    """Run a command of the lab, which says itself what goes on. LabError when it fails."""
    if subprocess.run([sys.executable, str(LAB), *arguments], check=False).returncode:
        raise LabError(f"the lab could not do `{' '.join(arguments)}`, as it says above")


def on_host(*argv: str) -> bool:
    """Whether a program succeeds on the demonstration host."""
    command = [sys.executable, str(LAB), "exec", HOST, "--", *argv]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def play(env: Mapping[str, str], playbook: str, *arguments: str) -> int:
    """Run a playbook on the demonstration inventory, its output on the terminal. Returns the exit status."""
    argv = ["ansible-playbook", "-i", "inventory/demo", f"playbooks/{playbook}.yml", *arguments]
    say(" ".join(argv))
    return subprocess.run([program(argv[0]), *argv[1:]], cwd=ROOT, env=env, check=False).returncode


def newest_report(directory: Path = DEMO / "reports") -> Path | None:
    """The newest report. Directories carry the run's name, which sorts by time."""
    found = [path for path in directory.glob("*/report.html") if not path.parent.is_symlink()]
    return max(found, key=lambda path: path.parent.name, default=None)
