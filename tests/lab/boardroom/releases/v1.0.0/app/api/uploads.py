# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Files that people upload: kept in uploads/, read back through links that are signed."""

from __future__ import annotations

import hashlib
import hmac

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from app.settings import settings

LARGEST = 10 * 1024 * 1024


def signature(name: str) -> str:
    """What proves that this server gave the link out."""
    return hmac.new(settings.secret_key.encode(), name.encode(), hashlib.sha256).hexdigest()


async def upload(request: Request) -> JSONResponse:
    """POST /api/uploads: the request's body is the file."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST:
            raise HTTPException(413)
    name = hashlib.sha256(data).hexdigest()
    await run_in_threadpool((settings.uploads / name).write_bytes, bytes(data))
    return JSONResponse({"link": f"/api/uploads/{name}?signature={signature(name)}"}, 201)


def download(request: Request) -> FileResponse:
    """GET /api/uploads/NAME?signature=..."""
    name = request.path_params["name"]
    if not hmac.compare_digest(request.query_params.get("signature", ""), signature(name)):
        raise HTTPException(403)
    path = settings.uploads / name
    if not path.is_file():
        raise HTTPException(404)
    return FileResponse(path)


ROUTES = [Route("/api/uploads", upload, methods=["POST"]), Route("/api/uploads/{name}", download)]
