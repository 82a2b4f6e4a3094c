# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each supported version of ansible-core, with the Python it is used with: unit tests, syntax, a weekly run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from labkit.process import say

from projectkit import demo, gates, jobs, python
from projectkit.ground import CACHE, LOGS, ROOT, environment, short_directory
from projectkit.jobs import Job, Result

PAIRS = (("3.11", "2.19"), ("3.12", "2.20"), ("3.13", "2.21"))
"""Python and ansible-core. `make lock` writes a lock file for each."""
CHECKS = ("unit", "syntax", "weekly")


def run() -> int:
    """Check every pair whose interpreter is on this machine and print a table. Returns the exit status."""
    gates.ensure_programs()
    host = demo.on_host("true")
    if not host:
        say("the demonstration host is not up, so no weekly run is made: make demo starts it")
    found = {version: python.find(version) for version, _core in PAIRS}
    results: dict[str, Result] = {}
    for version, core in PAIRS:
        path = found[version]
        if path is None:
            say(f"Python {version} is not here: ansible-core {core} is not run")
            continue
        venv = CACHE / "matrix" / core
        python.make(venv, path, [f"matrix-{core}"], 0.5)
        with short_directory() as sockets:
            env = environment(os.environ, sockets, venv)
            ended = jobs.run(checks(core, venv, host), logs=LOGS, env=env, cwd=ROOT, slots=1)
        results.update({result.job.name: result for result in ended})
    print(table(results, {core for version, core in PAIRS if found[version]}), flush=True)
    return 1 if not results or any(result.problem for result in results.values()) else 0


def checks(core: str, venv: Path, host: bool) -> list[Job]:
    """What is run with one version of ansible-core."""
    playbook = str(venv / "bin" / "ansible-playbook")
    playbooks = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "playbooks").glob("*.yml"))
    listed = [
        Job(f"{core}-unit", [str(venv / "bin" / "python"), "-m", "pytest", "tests/unit"]),
        Job(f"{core}-syntax", [playbook, "-i", "inventory/demo", "--syntax-check", *playbooks]),
    ]
    if host:
        listed.append(Job(f"{core}-weekly", [playbook, "-i", "inventory/demo", "playbooks/weekly.yml"]))
    return listed


def table(results: dict[str, Result], present: set[str], pairs: Sequence[tuple[str, str]] = PAIRS) -> str:
    """The results as Markdown."""
    lines = ["| Python | ansible-core | " + " | ".join(CHECKS) + " |", "|---" * (2 + len(CHECKS)) + "|"]
    for version, core in pairs:
        cells = [version, core]
        for check in CHECKS:
            result = results.get(f"{core}-{check}")
            if result is None:
                cells.append("not run (no host)" if core in present else "not run (no interpreter)")
            else:
                cells.append(f"FAILED ({result.problem})" if result.problem else f"ok, {result.seconds:.0f} s")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
