# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Health: well only when the database and the cache answer, and an answer in a few seconds whatever they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.cache import client
from app.database import engine
from app.metrics import UP
from app.settings import settings

LIMIT = 3.0
"""Seconds within which a service must answer."""


def database() -> str:
    """The schema's revision, read from the database."""
    with engine.connect() as connection:
        connection.execute(text("SELECT name FROM feature_flags LIMIT 1"))
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def cache() -> str:
    """Ask Redis for a sign of life."""
    client.ping()
    return ""


# Threads of their own: a service that hangs must not take those that ask for the other.
CHECKS = {check.__name__: (check, ThreadPoolExecutor(2, check.__name__)) for check in (database, cache)}


async def ask(check: Callable[[], str], threads: ThreadPoolExecutor) -> tuple[bool, str]:
    """Whether a service answers, and what it or the error says."""
    try:
        answer = asyncio.get_running_loop().run_in_executor(threads, check)
        return True, await asyncio.wait_for(answer, LIMIT)
    except TimeoutError:
        return False, f"no answer within {LIMIT:g} s"
    except Exception as error:
        return False, type(error).__name__


async def health(_request: Request) -> JSONResponse:
    """GET /health"""
    answers = dict(zip(CHECKS, await asyncio.gather(*(ask(*entry) for entry in CHECKS.values())), strict=True))
    for name, (well, _said) in answers.items():
        UP.labels(name).set(well)
    well = all(ok for ok, _said in answers.values())
    body = {
        "status": "healthy" if well else "unhealthy",
        **{name: "ok" if ok else f"error: {said}" for name, (ok, said) in answers.items()},
        "release": settings.release,
        "migration": answers["database"][1] if answers["database"][0] else None,
    }
    return JSONResponse(body, 200 if well else 503, headers={"Cache-Control": "no-store"})
