# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host for all fault tests, and the page that says what they saw (docs/reliability.md)."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import pytest
import support
from faultkit import DATABASE, DEST, INVENTORY, NAME, RUNBOOK_DIR, SCRIPT, SUPERUSER_PASSWORD, Site, keep_host
from faultpage import Page, revision
from s3kit import SERVER, UNIT, Offsite, prepare_script, server_address

RUNBOOK_SOURCE = support.ROOT / "tests" / "lab" / "images" / "bookworm" / "backup_db.sh"


_PAGE = Page()


@pytest.fixture(scope="session")
def page() -> Page:
    """What was observed."""
    return _PAGE


@pytest.fixture(scope="session")
def site() -> t.Iterator[Site]:
    """The prepared host with one set in its store and the runbook's script beside it."""
    _PAGE.began = revision()
    support.lab("up", NAME, "--megabytes", "120")
    # A socket's path must be short: pytest's own directories are not.
    sockets = tempfile.mkdtemp(prefix="faults-")
    try:
        made = Site(sockets)
        program = str(Path(sys.executable).parent / "ansible-playbook")
        packages = json.dumps({"host_prepare_packages": ["tar", "zstd", "python3-boto3", "age"]})
        prepare = [program, "-i", str(INVENTORY), str(support.ROOT / "playbooks" / "prepare.yml"), "-e", packages]
        done = subprocess.run(
            prepare,
            cwd="/",
            env=support.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        made.sql(f"ALTER ROLE postgres PASSWORD '{SUPERUSER_PASSWORD}'")
        made.write(SCRIPT, RUNBOOK_SOURCE.read_bytes())
        made.sh(
            f"mkdir -p {RUNBOOK_DIR} && rm -f {RUNBOOK_DIR}/* && cd /root && umask 077 && "
            f"echo 'localhost:5432:*:postgres:{SUPERUSER_PASSWORD}' >.pgpass"
        )
        # A host that was kept may hold what tests that were ended left.
        made.sh(f"rm -rf {DEST}/*")
        made.ship()
        first = made.backup()
        assert not first.failed, first.msg
        whole = made.script()
        # Without a fault the script makes a whole dump: what it does below is the fault's doing.
        assert whole.rc == 0 and whole.files[0]["whole"], whole
        _PAGE.versions = {
            "PostgreSQL": made.sql("SHOW server_version").split()[0],
            "ansible-core": subprocess.run(
                [sys.executable, "-c", "import ansible.release as r; print(r.__version__)"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip(),
            "Python": f"{platform.python_version()} here and {made.sh('python3 -V').split()[1]} on the host",
            "database": f"`{DATABASE}` of {made.sql(f'SELECT pg_size_pretty(pg_database_size($${DATABASE}$$))')}",
        }
        yield made
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
        if not keep_host():
            support.lab("down", NAME)


@pytest.fixture(scope="session")
def s3(site: Site) -> t.Iterator[Offsite]:
    """The S3 server behind the fault proxy, and the runbook's script with its upload."""
    made = Offsite(site, server_address())
    made.empty("")
    made.start_proxy()
    prepare_script(site)
    whole = made.script()
    assert whole.local.rc == 0 and whole.same, whole
    yield made
    site.sh(f"systemctl stop {UNIT}; rm -f /root/s3proxy.env /root/.aws/credentials", check=False)
    if not keep_host():
        support.lab("down", SERVER)


def _file(item: pytest.Item) -> Path:
    return Path(item.path).resolve()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remember all tests, before those that are not asked for go."""
    here = Path(__file__).resolve().parent
    if {_file(item) for item in items} == set(here.rglob("test_*.py")):
        config.stash[TESTS] = {item.nodeid: _file(item) for item in items}
    # With the host that goes down goes what the session has started there, such as the fault proxy: it comes last.
    items.sort(key=lambda item: Path(item.path).name == "test_runs.py")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Its rows belong to it."""
    _PAGE.begin(_file(item))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What a test saw counts when it has passed."""
    if report.when == "call" and report.passed:
        _PAGE.passed(report.nodeid, report.duration)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page when every test has passed."""
    tests = session.config.stash.get(TESTS, None)
    if tests and not session.config.option.collectonly:
        _PAGE.finish(tests)


TESTS = pytest.StashKey[dict[str, Path]]()
