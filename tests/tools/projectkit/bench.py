# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks: each is a program in a folder of tests/benchmarks, run on demand and never by `make test`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from labkit.process import LabError

from projectkit import gates, python
from projectkit.ground import ROOT, environment, private_home, program, short_directory

LIBRARIES = ("tests/lab", "tests/tools", "playbooks/collections")
"""What a benchmark imports beside its own folder."""


def run(arguments: Sequence[str]) -> int:
    """Run one benchmark; further arguments go to it. Returns its exit status."""
    place = ROOT / "tests" / "benchmarks"
    there = sorted(path.parent.name for path in place.glob("*/__main__.py"))
    if not arguments or arguments[0] not in there:
        raise LabError(f"name one of the benchmarks in {place}: {', '.join(there) or 'there is none'}")
    name, *rest = arguments
    python.ensure("test")
    with gates.reserved([f"bench-{name}"]), short_directory() as sockets:
        env = environment(os.environ, sockets)
        env.update(private_home(env), ANSIBLE_NOCOLOR="1")
        env["PYTHONPATH"] = os.pathsep.join(str(ROOT / folder) for folder in LIBRARIES)
        return subprocess.run([program("python"), str(place / name), *rest], cwd=ROOT, env=env, check=False).returncode
