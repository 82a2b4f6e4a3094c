# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's container is killed in the middle of a dump."""

from __future__ import annotations

import typing as t

import pytest
import support
from faultkit import NAME, SIBLING, STREAMING, Site, one_sentence, quoted
from faultpage import Page

PROJECT = "/srv/contained"
APP = "/srv/boardroom"
SUPERUSER = "lab-pg-superuser-password-0x5A7A"
COMPOSE = f"docker compose --project-directory {PROJECT}"
FIND = f"$({COMPOSE} ps --quiet --all db)"


@pytest.fixture(scope="module")
def contained(site: Site) -> t.Iterator[None]:
    """The second project, its database grown so that a dump takes a while."""
    support.lab("contained", NAME)
    psql = f"docker exec -i {FIND} psql -U postgres -XAtq -v ON_ERROR_STOP=1 -d boardroom_prod"
    # Text that compresses badly: the moment must not be missed.
    site.sh(
        f'{psql} -c "CREATE TABLE IF NOT EXISTS faults_bulk AS SELECT i, md5(i::text) || md5((i * 7)::text) AS body '
        'FROM generate_series(1, 700000) i"'
    )
    yield
    support.lab("contained", NAME, "--undo")


@pytest.mark.parametrize(("client", "moment"), [("exec", STREAMING), ("sibling", SIBLING)], ids=["exec", "sibling"])
def test_container_killed_in_mid_dump(site: Site, page: Page, contained: None, client: str, moment: str) -> None:
    wanted = {"client": client, "project_src": PROJECT, "service": "db", "instance": client}
    if client == "sibling":
        wanted["login_password"] = SUPERUSER
    whole = site.backup(**wanted)
    assert not whole.failed, whole.msg
    try:
        with site.nothing_lost():
            answer = site.backup_while(moment, f"docker kill {FIND}", **wanted)
            one_sentence(answer, "boardroom_prod")
            assert site.sh("docker ps -aq --filter label=boardroom.maintenance.sibling").strip() == ""
            down = site.backup(**wanted)
            one_sentence(down, "db")
            assert down.found("database.reachable")
    finally:
        site.sh(f"{COMPOSE} up -d --wait db")
    again = site.again(**wanted)
    assert not again.failed and again.result["changed"], again.msg
    page.add("Containers", f"the database's container is killed in mid-dump (`client: {client}`)", quoted(answer))
    page.add("Containers", f"the database's container is down (`client: {client}`)", quoted(down))


@pytest.mark.parametrize(("client", "moment"), [("exec", STREAMING), ("sibling", SIBLING)], ids=["exec", "sibling"])
@pytest.mark.parametrize(
    ("fault", "harm"),
    [
        ("the database's container is restarted in mid-dump", f"docker restart --time 1 {FIND}"),
        ("the engine is stopped in mid-dump", "systemctl stop docker.socket docker"),
    ],
    ids=["restarted", "engine-stopped"],
)
def test_container_or_engine_goes_in_mid_dump(
    site: Site, page: Page, contained: None, client: str, moment: str, fault: str, harm: str
) -> None:
    wanted = {"client": client, "project_src": PROJECT, "service": "db", "instance": client}
    if client == "sibling":
        wanted["login_password"] = SUPERUSER
    try:
        with site.nothing_lost():
            answer = site.backup_while(moment, harm, **wanted)
            one_sentence(answer)
    finally:
        site.sh(f"systemctl start docker && {COMPOSE} up -d --wait && docker compose --project-directory {APP} up -d")
    again = site.again(**wanted)
    assert not again.failed and again.result["changed"], again.msg
    assert site.sh("docker ps -aq --filter label=boardroom.maintenance.sibling").strip() == ""
    page.add("Containers", f"{fault} (`client: {client}`)", quoted(answer))
