# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the lock files: every package with its version and its hashes, and never an address."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from labkit.process import LabError, last_line, say, write_atomic

from projectkit import python
from projectkit.ground import CACHE, REQUIREMENTS, environment, program
from projectkit.matrix import PAIRS

OLDEST = "3.11"


def run(arguments: Sequence[str]) -> int:
    """Write all lock files. arguments go to `uv pip compile`, such as --upgrade."""
    python.ensure("test")
    test = REQUIREMENTS / "test.txt"
    compile_lock("test", OLDEST, [REQUIREMENTS / "test.in"], arguments)
    # The demonstration's packages are a part of the tests', so that the tests only add to its environment.
    compile_lock("demo", OLDEST, [REQUIREMENTS / "demo.in"], [*arguments, "--constraint", str(test)])
    for version, core in PAIRS:
        pin = CACHE / f"ansible-core-{core}.in"
        pin.write_text(f"ansible-core=={core}.*\n", encoding="utf-8")
        compile_lock(f"matrix-{core}", version, [pin, REQUIREMENTS / "unit.in"], arguments)
    return 0


def compile_lock(name: str, version: str, sources: Sequence[Path], arguments: Sequence[str]) -> None:
    """Write one lock file, valid from this version of Python on. A version that is already locked stays."""
    lock = REQUIREMENTS / f"{name}.txt"
    draft = CACHE / f"{name}.txt"
    draft.write_text(lock.read_text(encoding="utf-8") if lock.exists() else "", encoding="utf-8")
    options = ["--universal", "--generate-hashes", "--no-annotate", "--no-header", "--python-version", version]
    argv = [program("uv"), "--quiet", "pip", "compile", *options, "--output-file", str(draft), *arguments]
    done = subprocess.run(
        [*argv, *map(str, sources)], env=environment(os.environ, ""), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"{name}.txt could not be locked: {last_line(done.stderr)}")
    text = draft.read_text(encoding="utf-8")
    if "://" in text:
        raise LabError(f"{name}.txt would hold an address: check the index settings of uv")
    origin = " and ".join(path.name for path in sources)
    write_atomic(lock, f"# Written by `make lock` from {origin}: no change by hand.\n{text}")
    say(f"requirements/{lock.name}: {sum(line[:1].isalnum() for line in text.splitlines())} packages")
