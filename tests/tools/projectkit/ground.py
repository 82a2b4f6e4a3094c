# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie in the checkout, and the environment in which programs are run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from labkit.process import LabError

ROOT = Path(__file__).resolve().parents[3]
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"
RESULTS = CACHE / "results"
HOME = CACHE / "home"
REQUIREMENTS = ROOT / "requirements"
LAB = ROOT / "tests" / "lab" / "lab.py"
DEMO = ROOT / ".demo"

DROPPED = ("ANSIBLE_", "MOLECULE_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "JUNIT_")
"""Prefixes of variables through which a user's own set-up would change what a run here does."""


def program(name: str) -> str:
    """Path of a program of the checkout's Python environment."""
    return str(VENV / "bin" / name)


def environment(base: Mapping[str, str], sockets: str, venv: Path = VENV) -> dict[str, str]:
    """Environment for Ansible and the tests: base without the user's own settings, caches inside the checkout.

    sockets is a directory with a short path: a socket's path has at most 108 characters, a checkout's any number.
    """
    kept = {name: value for name, value in base.items() if not name.startswith(DROPPED)}
    return {
        **kept,
        "PATH": f"{venv / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(venv),
        "LC_ALL": "C.UTF-8",
        # Nothing is left beside the sources.
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets,
        "PIP_CACHE_DIR": str(CACHE / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_CACHE_DIR": str(CACHE / "uv"),
        # Git refuses a checkout of another owner otherwise, as in a container that mounts it.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(ROOT),
    }


def private_home(base: Mapping[str, str]) -> dict[str, str]:
    """Additional variables for the tests: a home of their own, with the user's access to Docker and to packages.

    ansible-test passes nothing but HOME to pip, so pip's settings go into a file there.
    """
    settings = HOME / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        [program("python"), "-m", "pip", "config", "list"],
        env={**base, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    ).stdout
    settings.touch(0o600)
    settings.write_text(pip_settings(listed), encoding="utf-8")
    own = base.get("HOME", str(Path.home()))
    return {
        "HOME": str(HOME),
        "XDG_CONFIG_HOME": str(HOME / ".config"),
        "XDG_CACHE_HOME": str(HOME / ".cache"),
        "DOCKER_CONFIG": base.get("DOCKER_CONFIG", f"{own}/.docker"),
    }


def pip_settings(listed: str) -> str:
    """A pip.conf with the global settings that `pip config list` shows, environment variables among them."""
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        name, _equals, value = line.partition("=")
        section, _dot, key = name.rpartition(".")
        if section in ("global", ":env:") and key not in ("config-file", "cache-dir"):
            # Variables are listed first, and win. Values are Python literals; newlines part the items of a list.
            settings.setdefault(key, value.strip("'\"").replace("\\n", "\n    "))
    return "[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())


@contextmanager
def short_directory() -> Iterator[str]:
    """A directory with a short path for sockets, gone afterwards."""
    made = tempfile.mkdtemp(prefix="boardroom-")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def require_disk(gigabytes: float, what: str) -> None:
    """LabError when the checkout's file system has less free than what needs."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < gigabytes:
        raise LabError(
            f"only {free:.1f} GB are free on the file system of {ROOT}, and {what} needs {gigabytes:g} GB: make room"
        )


def git(*arguments: str) -> str:
    """Standard output of a git command that only reads. LabError where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        raise LabError("git is not installed: install it") from None
    if done.returncode != 0:
        raise LabError(f"{ROOT} is no git checkout, which the gates need: clone the repository")
    return done.stdout
