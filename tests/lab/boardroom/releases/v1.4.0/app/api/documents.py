# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Documents and their status."""

from __future__ import annotations

import json
from typing import Literal, get_args

from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.database import engine

Status = Literal["draft", "published", "withdrawn"]
READ = text("SELECT id, title, body, status FROM documents WHERE id = :number")
CHANGE = text("UPDATE documents SET status = :status WHERE id = :number RETURNING id")


def document(request: Request) -> JSONResponse:
    """GET /api/documents/ID"""
    with engine.connect() as connection:
        row = connection.execute(READ, request.path_params).one_or_none()
    if row is None:
        raise HTTPException(404)
    return JSONResponse(dict(row._mapping))


async def change_status(request: Request) -> JSONResponse:
    """PATCH /api/documents/ID {"status"}"""
    try:
        status = json.loads(await request.body())["status"]
    except (ValueError, KeyError, TypeError):
        status = None
    if status not in get_args(Status):
        raise HTTPException(422, f"status is one of {', '.join(get_args(Status))}")

    def save() -> bool:
        with engine.begin() as connection:
            return connection.scalar(CHANGE, {**request.path_params, "status": status}) is not None

    if not await run_in_threadpool(save):
        raise HTTPException(404)
    return JSONResponse({"status": status})


ROUTES = [
    Route("/api/documents/{number:int}", document),
    Route("/api/documents/{number:int}", change_status, methods=["PATCH"]),
]
