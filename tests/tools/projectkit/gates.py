# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of all gates and tests, and what `make test` makes of their results."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labkit import engine
from labkit.layout import Lab
from labkit.process import LabError, say

from projectkit import counts, jobs, python
from projectkit.ground import CACHE, LAB, LOGS, RESULTS, ROOT, environment, private_home, program, short_directory
from projectkit.jobs import Job, Result

SCENARIOS = ("failure", "default", "offsite", "schedule", "bookworm")
"""The longest first: two run at a time."""
DRIVER = str(ROOT / "tests" / "tools" / "project.py")
PROGRAMS = ("age", "gzip", "tar", "zstd")
"""What the unit tests run for real; each comes in the Debian package of that name."""


def lint() -> list[Job]:
    """The gates that only read the sources."""
    collection = "ansible_collections.boardroom.maintenance.plugins"
    return [
        Job("ruff", [program("ruff"), "check", "."]),
        Job("ruff-format", [program("ruff"), "format", "--check", "."]),
        Job("yamllint", [program("yamllint"), "--strict", "."]),
        Job("antsibull-changelog", [program("antsibull-changelog"), "lint"]),
        Job("mypy-collection", [program("mypy"), "-p", collection]),
        Job("mypy-tools", [program("mypy"), "-p", "labkit", "-p", "projectkit"]),
        Job("mypy-faults", [program("mypy"), "tests/faults"]),
        Job("mypy-benchmarks", [program("mypy"), "tests/benchmarks"]),
        Job("ansible-lint", [program("ansible-lint"), "--offline", "--strict", "--nocolor"]),
        Job(
            "antsibull-docs",
            [program("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=all", "."],
        ),
    ]


def sanity() -> Job:
    """ansible-test sanity: minutes at first, when it makes an environment for each of its tests."""
    return Job("sanity", [sys.executable, DRIVER, "gate", "sanity"], seconds=2400)


def installed() -> Job:
    """The built and installed collection."""
    return Job("installed-collection", [sys.executable, DRIVER, "gate", "installed"])


def images() -> Job:
    """The lab's images, which the scenarios need."""
    return Job("lab-images", [sys.executable, str(LAB), "images", "trixie", "bookworm"], seconds=3600, shared=True)


def unit(arguments: Sequence[str] = ()) -> Job:
    """The unit tests."""
    return tests("unit", [str(ROOT / "tests" / "unit"), *arguments])


def tests(name: str, arguments: Sequence[str], seconds: float = 1500) -> Job:
    """A group of tests that pytest runs."""
    results = RESULTS / name
    argv = [program("python"), "-m", "pytest", f"--junit-xml={results / 'pytest.xml'}", *arguments]
    return Job(name, argv, results=results, seconds=seconds)


def scenario(name: str, arguments: Sequence[str] = ()) -> Job:
    """A Molecule scenario. Each of its test stages leaves a file of results (molecule/conftest.py)."""
    if not (ROOT / "molecule" / name / "molecule.yml").is_file():
        raise LabError(f"there is no scenario {name}: use {', '.join(sorted(SCENARIOS))}")
    results = RESULTS / f"molecule-{name}"
    return Job(
        f"molecule-{name}",
        [program("molecule"), "test", "--scenario-name", name, *arguments],
        needs=["lab-images"],
        results=results,
        env={"MOLECULE_GLOB": "molecule/*/molecule.yml", "JUNIT_DIRECTORY": str(results)},
    )


def everything() -> list[Job]:
    """All that `make test` runs. The images are begun first: the rest of the machine waits for the network then."""
    return [images(), *lint(), unit(), *(scenario(name) for name in SCENARIOS), installed(), sanity()]


def run(chosen: Sequence[Job], fail_fast: bool = False) -> int:
    """Run jobs, say how they ended and how many tests ran. Returns the exit status."""
    python.ensure("test")
    if any(job.name == "unit" for job in chosen):
        ensure_programs()
    with reserved([job.name for job in chosen if not job.shared]), short_directory() as sockets:
        for job in chosen:
            if job.results:
                shutil.rmtree(job.results, ignore_errors=True)
                job.results.mkdir(parents=True)
        env = environment(os.environ, sockets)
        env.update(private_home(env), NO_COLOR="1", ANSIBLE_NOCOLOR="1")
        results = jobs.run(chosen, logs=LOGS, env=env, cwd=ROOT, fail_fast=fail_fast)
    return report(results)


def ensure_programs() -> None:
    """See to the programs that the unit tests run. LabError when they are missing and cannot be installed."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        lab = Lab.here()
        lab.make_state()
        engine.install(lab, missing)


@contextmanager
def reserved(names: Sequence[str], place: Path = CACHE / "running") -> Iterator[None]:
    """Keep a second run of the same jobs out: they share logs, results and hosts. LabError when one is at work."""
    place.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for name in names:
            stream = held.enter_context((place / name).open("w"))
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(f"{name} is at work in this checkout already: wait for it, or end it") from None
        yield


def report(results: Sequence[Result]) -> int:
    """Say what failed, and count: one line for each group of tests, the gates, and a last line for all tests."""
    total = counts.Counts()
    bad = [f"{result.job.name} ({result.problem})" for result in results if result.problem]
    groups = []
    for result in results:
        if result.job.results:
            counted = counts.read(sorted(result.job.results.glob("*.xml")))
            total += counted
            groups.append(f"{result.job.name} {counted}")
            if not counted.ran and not result.problem:
                bad.append(f"{result.job.name} (it ran no test)")
            elif counted.failed and not result.problem:
                bad.append(f"{result.job.name} ({counted.failed} failed)")
    gates = [result for result in results if not result.job.results]
    if gates:
        failed = sum(1 for result in gates if result.problem)
        groups.append(f"gates {len(gates) - failed} passed, {failed} failed")
    say("; ".join(groups))
    say(f"FAILED: {', '.join(bad)} (logs: {LOGS})" if bad else "all is well")
    if any(result.job.results for result in results):
        print(f"tests: {total}", flush=True)
    return 1 if bad else 0


def faults(arguments: Sequence[str]) -> Job:
    """The long fault and kill tests."""
    place = ROOT / "tests" / "faults"
    if not any(Path(place).rglob("test_*.py")):
        raise LabError(f"there are no fault tests in {place}")
    return tests("faults", [str(place), *arguments], seconds=4 * 3600)
