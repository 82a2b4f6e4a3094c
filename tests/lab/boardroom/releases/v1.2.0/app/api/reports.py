# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Search, activity and attachments."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.cache import cached
from app.database import engine

SEARCH = text("SELECT id, title FROM documents WHERE title ILIKE '%' || :word || '%' ORDER BY id DESC LIMIT 20")
ACTIVITY = text("SELECT board_id, title, documents FROM board_activity ORDER BY documents DESC, board_id LIMIT 20")
CONTENT = text("SELECT media_type, lo_get(content) AS data FROM attachments WHERE id = :number")


def _rows(query: Any, **values: object) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query, values)]


def search(request: Request) -> JSONResponse:
    """GET /api/search?q=WORD"""
    word = request.query_params.get("q", "").strip()
    if len(word) < 3:
        raise HTTPException(422, "q needs three letters or more")
    return JSONResponse({"documents": cached(f"search:{word.lower()}", 60, lambda: _rows(SEARCH, word=word))})


def activity(_request: Request) -> JSONResponse:
    """GET /api/reports/activity"""
    return JSONResponse({"boards": cached("activity", 300, lambda: _rows(ACTIVITY))})


def attachment(request: Request) -> Response:
    """GET /api/attachments/UUID"""
    found = _rows(CONTENT, number=request.path_params["number"])
    if not found:
        raise HTTPException(404)
    return Response(found[0]["data"], media_type=found[0]["media_type"])


ROUTES = [
    Route("/api/search", search),
    Route("/api/reports/activity", activity),
    Route("/api/attachments/{number:uuid}", attachment),
]
