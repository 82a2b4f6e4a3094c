# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Boards and their meetings."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.cache import cached, forget
from app.database import Session
from app.models import Board, Meeting, User


def listing(request: Request) -> JSONResponse:
    """GET /api/boards"""

    def compute() -> list[dict[str, Any]]:
        with Session() as session:
            rows = session.scalars(select(Board).order_by(Board.id.desc()).limit(50))
            return [{"id": board.id, "title": board.title} for board in rows]

    return JSONResponse({"boards": cached("boards", 30, compute)})


def board(request: Request) -> JSONResponse:
    """GET /api/boards/ID"""
    number = request.path_params["number"]

    def compute() -> dict[str, Any] | None:
        with Session() as session:
            found = session.get(Board, number)
            if found is None:
                return None
            meetings = session.scalars(
                select(Meeting).where(Meeting.board_id == number).order_by(Meeting.starts_at.desc()).limit(20)
            )
            return {
                "id": found.id,
                "title": found.title,
                "description": found.description,
                "meetings": [
                    {"id": m.id, "title": m.title, "starts_at": m.starts_at.isoformat(), "agenda": m.agenda}
                    for m in meetings
                ],
            }

    answer = cached(f"board:{number}", 30, compute)
    if answer is None:
        raise HTTPException(404)
    return JSONResponse(answer)


async def add_meeting(request: Request) -> JSONResponse:
    """POST /api/boards/ID/meetings {"title", "starts_at"}"""
    number = request.path_params["number"]
    try:
        given = json.loads(await request.body())
        meeting = Meeting(
            board_id=number,
            title=str(given["title"]),
            starts_at=datetime.fromisoformat(given["starts_at"]),
            agenda=given.get("agenda", []),
        )
    except (ValueError, KeyError, TypeError):
        raise HTTPException(422, "title and starts_at (ISO 8601) are needed") from None

    def save() -> int:
        with Session.begin() as session:
            if session.get(Board, number) is None:
                raise HTTPException(404)
            session.add(meeting)
            session.flush()
            return meeting.id

    made = await run_in_threadpool(save)
    await run_in_threadpool(forget, f"board:{number}")
    return JSONResponse({"id": made}, 201)


def user(request: Request) -> JSONResponse:
    """GET /api/users/ID"""
    with Session() as session:
        found = session.get(User, request.path_params["number"])
        if found is None:
            raise HTTPException(404)
        return JSONResponse({"id": found.id, "name": found.name, "email": found.email, "is_admin": found.is_admin})


ROUTES = [
    Route("/api/boards", listing),
    Route("/api/boards/{number:int}", board),
    Route("/api/boards/{number:int}/meetings", add_meeting, methods=["POST"]),
    Route("/api/users/{number:int}", user),
]
