# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python environments: made from the lock files, used again while these and the interpreter are the same."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from labkit import engine
from labkit.layout import Lab
from labkit.process import LabError, last_line, run_long, tail, write_atomic

from projectkit.ground import CACHE, LOGS, REQUIREMENTS, VENV, program, require_disk

GIGABYTES = {"demo": 0.5, "test": 2.0}
"""Room that each set of packages takes, what the gates add to it included."""
MARK = "made-by-make.json"
"""What an environment was made from. It is empty while the environment is only half made."""


def ensure(name: str) -> None:
    """Make the checkout's environment hold the set "demo" or "test". LabError says what is missing."""
    make(VENV, sys.executable, ["demo"] if name == "demo" else ["demo", name], GIGABYTES[name])


def make(venv: Path, interpreter: str, sets: Sequence[str], gigabytes: float) -> None:
    """Make an environment that holds sets of packages (names of lock files), of which the last holds the others."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "environment.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        want = wanted(venv, identity(interpreter), {name: REQUIREMENTS / f"{name}.txt" for name in sets})
        now = state(venv, want)
        if now == "foreign":
            raise LabError(f"{venv} was not made by make: move it away")
        if now == "ready":
            return
        require_disk(gigabytes, "the Python environment")
        if now == "new":
            require_venv(interpreter)
            if venv.exists():
                shutil.rmtree(venv)
            create(venv, interpreter)
        write_atomic(venv / MARK, "{}")
        install(venv, REQUIREMENTS / f"{sets[-1]}.txt")
        write_atomic(venv / MARK, json.dumps(want, indent=2) + "\n")


def identity(interpreter: str) -> str:
    """What tells an interpreter from another one: its version and its path."""
    code = "import os, sys; print(sys.version, os.path.realpath(sys.executable))"
    return subprocess.run([interpreter, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def wanted(venv: Path, interpreter: str, locks: Mapping[str, Path]) -> dict[str, str]:
    """What must stand in the mark: the interpreter, the place (scripts hold it), the hash of each lock file."""
    hashes = {f"{name}.txt": hashlib.sha256(lock.read_bytes()).hexdigest() for name, lock in locks.items()}
    return {"interpreter": interpreter, "place": str(venv), **hashes}


def state(venv: Path, want: Mapping[str, str]) -> str:
    """How an environment meets what is wanted: "ready", "extend" (only packages are missing), "new" or "foreign"."""
    if not venv.exists() and not venv.is_symlink():
        return "new"
    try:
        made = json.loads((venv / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "foreign"
    unfinished = not made or not (venv / "bin" / "python").exists()
    if unfinished or any(made[key] != value for key, value in want.items() if key in made):
        return "new"
    return "ready" if want.keys() <= made.keys() else "extend"


def require_venv(interpreter: str) -> None:
    """See to the interpreter's venv and ensurepip, which Debian ships apart."""
    code = "import sys, venv, ensurepip"
    if subprocess.run([interpreter, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return
    path = Path(shutil.which(interpreter) or interpreter).resolve()
    if path.parent != Path("/usr/bin"):
        raise LabError(f"{path} has neither venv nor ensurepip: install them, or name another interpreter")
    engine.install(Lab.here(), [f"{path.name}-venv"])


def create(venv: Path, interpreter: str) -> None:
    """Make an empty environment, marked from its first moment as ours and unfinished."""
    venv.mkdir(parents=True)
    write_atomic(venv / MARK, "{}")
    run_long([interpreter, "-m", "venv", str(venv)], f"Python environment {venv.name}", LOGS / "python.log")


def install(venv: Path, lock: Path) -> None:
    """Install exactly what a lock file says into an environment."""
    log = LOGS / "python.log"
    argv = [str(venv / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--only-binary=:all:"]
    environment = {
        "PIP_CACHE_DIR": str(CACHE / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    try:
        run_long(
            [*argv, "-r", str(lock)],
            f"Python packages of {lock.name}",
            log,
            env=environment,
            timeout=1800,
            explain=False,
        )
    except LabError:
        raise LabError(
            f"the Python packages of {lock.name} could not be installed ({last_line(tail(log))[:200]}): "
            f"check the network and pip's settings (log: {log})"
        ) from None


def find(version: str) -> str | None:
    """Path of an interpreter of this version that runs, or None."""
    return next((path for path in _candidates(version) if runs(path, version)), None)


def runs(path: str, version: str) -> bool:
    """Whether an interpreter runs and is of this version: a shim may only say that it cannot."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == version


def _candidates(version: str) -> Iterator[str]:
    """Where an interpreter may be: the search path, pyenv, uv."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(str(path) for path in pyenv.glob(f"versions/{version}.*/bin/python"))
    if Path(program("uv")).exists():
        argv = [program("uv"), "python", "find", "--no-python-downloads", "--no-project", version]
        yield from subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split("\n")[:1]
