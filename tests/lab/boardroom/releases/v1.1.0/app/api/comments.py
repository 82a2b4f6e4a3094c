# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Comments on documents; each one leaves an audit event."""

from __future__ import annotations

import json

from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.cache import cached, forget
from app.database import engine

LIST = text(
    "SELECT id, parent_id, body, created_at::text FROM comments WHERE document_id = :document ORDER BY id LIMIT 100"
)
ADD = text("INSERT INTO comments (document_id, body) SELECT id, :body FROM documents WHERE id = :document RETURNING id")
RECORD = text("INSERT INTO audit_events (action, details) VALUES ('comment.added', CAST(:details AS jsonb))")


def comments(request: Request) -> JSONResponse:
    """GET /api/documents/ID/comments"""
    number = request.path_params["number"]

    def compute() -> list[dict[str, object]]:
        with engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(LIST, {"document": number})]

    return JSONResponse({"comments": cached(f"comments:{number}", 60, compute)})


async def add_comment(request: Request) -> JSONResponse:
    """POST /api/documents/ID/comments {"body"}"""
    number = request.path_params["number"]
    try:
        body = str(json.loads(await request.body())["body"])
    except (ValueError, KeyError, TypeError):
        raise HTTPException(422, "body is needed") from None

    def save() -> int | None:
        with engine.begin() as connection:
            made: int | None = connection.scalar(ADD, {"document": number, "body": body})
            if made is not None:
                connection.execute(RECORD, {"details": json.dumps({"comment": made, "document": number})})
            return made

    made = await run_in_threadpool(save)
    if made is None:
        raise HTTPException(404)
    await run_in_threadpool(forget, f"comments:{number}")
    return JSONResponse({"id": made}, 201)


ROUTES = [
    Route("/api/documents/{number:int}/comments", comments),
    Route("/api/documents/{number:int}/comments", add_comment, methods=["POST"]),
]
