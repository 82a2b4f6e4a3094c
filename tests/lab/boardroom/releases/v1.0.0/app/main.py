# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The application."""

from __future__ import annotations

import logging
import time

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.api import routes
from app.health import health
from app.metrics import REQUESTS, SECONDS, metrics
from app.settings import settings

log = logging.getLogger("boardroom.request")
QUIET = {"/health", "/metrics"}


class Observed:
    """Counts and logs every request, and names the release that answered it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-boardroom-release", settings.release.encode())]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("endpoint"), "__name__", "none")
            REQUESTS.labels(scope["method"], route, status).inc()
            SECONDS.labels(route).observe(seconds)
            if scope["path"] not in QUIET or status >= 400:
                log.log(
                    logging.INFO if status < 500 else logging.ERROR,
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "milliseconds": round(seconds * 1000, 1),
                    },
                )


logs.start(settings.logs)
logging.getLogger("boardroom").info("starting", extra={"release": settings.release})
application = Starlette(
    routes=[Route("/health", health), Route("/metrics", metrics), *routes()],
    middleware=[Middleware(Observed)],
)
