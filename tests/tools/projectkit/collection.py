# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates that need the collection elsewhere than in the checkout: ansible-test, and the built collection."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from labkit.process import LabError

from projectkit import python
from projectkit.ground import CACHE, HOME, ROOT, VENV, git, program

LINK_TREE = "playbooks/collections/"
MODULE_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
SHIM = '''\
"""Stands where ansible-test looks for the bootstrap script of pip that it would download."""

import subprocess
import sys

# In a process of its own, since ensurepip switches pip's settings off in its environment.
subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *wanted]))
'''


def files() -> list[str]:
    """What the checkout's working tree holds for the repository: tracked and new files, without the link tree."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate").split("\0")
    return [name for name in listed if name and not name.startswith(LINK_TREE) and (ROOT / name).exists()]


def copy_to(parent: Path) -> Path:
    """A fresh copy of the collection in parent/ansible_collections: ansible-test takes no links. Returns its path."""
    copy = parent / "ansible_collections" / "boardroom" / "maintenance"
    shutil.rmtree(copy, ignore_errors=True)
    for name in files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


def pip_versions(source: str) -> list[str]:
    """The versions of pip that ansible-test installs, from the source of its python_requirements.py."""
    found = sorted(set(re.findall(r"pip='([0-9.]+)'", source)))
    if not found:
        raise LabError("ansible-test no longer says which pip it installs where this driver looks for it")
    return found


def sanity() -> int:
    """Run ansible-test sanity on a copy. Returns its exit status, and 1 when it ran no test."""
    library = next((VENV / "lib").glob("python3*")) / "site-packages"
    source = (library / "ansible_test" / "_internal" / "python_requirements.py").read_text(encoding="utf-8")
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in pip_versions(source):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(SHIM, encoding="utf-8")
    copy = copy_to(CACHE / "sanity")
    # Without a repository of its own ansible-test asks the checkout's, which ignores the copy, and tests nothing.
    for argv in (["git", "init", "--quiet"], ["git", "add", "--all"]):
        subprocess.run(argv, cwd=copy, check=True)
    argv = [program("ansible-test"), "sanity", "--color", "no"]
    env = {**os.environ, "PATH": search_path(os.environ.get("PATH", os.defpath), CACHE / "interpreters")}
    with subprocess.Popen(
        argv, cwd=copy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        tests = 0
        for line in process.stdout or ():
            print(line, end="", flush=True)
            tests += line.startswith("Running sanity test ")
    print(f"{tests} sanity tests")
    return process.returncode if tests else 1


def search_path(path: str, place: Path) -> str:
    """A search path that holds every interpreter on this machine, as links in place, and none that does not run.

    ansible-test checks modules with each version that it finds. It believes in pyenv's shims, which fail.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder]
    for version in MODULE_PYTHONS:
        name = f"python{version}"
        folders = [f for f in folders if not (f / name).exists() or python.runs(str(f / name), version)]
        found = python.find(version)
        if found:
            (place / name).symlink_to(found)
    return os.pathsep.join(map(str, [place, *folders]))


def installed() -> int:
    """Build the collection, install it, and run a playbook by its full name, which must name the empty group."""
    place = CACHE / "installed"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    copy = copy_to(place / "source")
    galaxy = program("ansible-galaxy")
    settings = place / "ansible.cfg"
    settings.touch()
    # Away from the checkout nothing but the installed copy can be found.
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(place), "ANSIBLE_CONFIG": str(settings)}

    def call(*argv: str) -> subprocess.CompletedProcess[str]:
        print("$", *argv, flush=True)
        done = subprocess.run(argv, cwd=place, env=env, stdout=-1, stderr=-2, text=True, check=False)
        print(done.stdout, flush=True)
        return done

    if call(galaxy, "collection", "build", str(copy), "--output-path", str(place)).returncode:
        return 1
    shutil.rmtree(place / "source")
    [archive] = place.glob("boardroom-maintenance-*.tar.gz")
    if call(galaxy, "collection", "install", "--offline", "-p", str(place), str(archive)).returncode:
        return 1
    root = place / "ansible_collections" / "boardroom" / "maintenance"
    wrong = content_problems({str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()})
    for name in sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")):
        group = "controller" if name == "schedule" else "boardroom"
        done = call(program("ansible-playbook"), "-i", "localhost,", f"boardroom.maintenance.{name}")
        if done.returncode == 0 or not re.search(rf"The group {group}\s+has no host", done.stdout):
            wrong.append(f"boardroom.maintenance.{name} does not say that the group {group} has no host")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


def content_problems(installed_files: set[str]) -> list[str]:
    """What the installed collection lacks, or holds although only the checkout needs it."""
    needed = {"README.md", "LICENSE", "CHANGELOG.md", "meta/runtime.yml", "playbooks/weekly.yml", "docs/runs.md"}
    needed |= {name for name in files() if name.startswith(("plugins/", "roles/", "playbooks/", "docs/"))}
    alien = ("tests/", "molecule/", "inventory/", "requirements/", ".", LINK_TREE, "ansible.cfg", "Makefile")
    return [f"missing in the built collection: {name}" for name in sorted(needed - installed_files)] + [
        f"should not be in the built collection: {name}" for name in sorted(installed_files) if name.startswith(alien)
    ]
