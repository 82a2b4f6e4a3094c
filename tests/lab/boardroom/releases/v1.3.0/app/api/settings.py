# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Settings that operators change without a release."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.cache import cached
from app.database import engine

PUBLIC = text("SELECT key, value FROM settings WHERE key LIKE 'public.%' ORDER BY key")


def public(_request: Request) -> JSONResponse:
    """GET /api/settings"""

    def compute() -> dict[str, Any]:
        with engine.connect() as connection:
            return {row.key: row.value for row in connection.execute(PUBLIC)}

    return JSONResponse(cached("settings", 300, compute))


ROUTES = [Route("/api/settings", public)]
