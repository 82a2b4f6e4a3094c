# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Counters for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from app.settings import settings

REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "http_request_duration_seconds",
    "Time to answer.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
CACHE = Counter("boardroom_cache_total", "Look-ups in the cache.", ["result"])
UP = Gauge("boardroom_dependency_up", "Whether a service answered the last health check.", ["service"])
BUILD = Gauge("boardroom_build_info", "The release that runs.", ["release"])
BUILD.labels(settings.release).set(1)


def metrics(_request: Request) -> Response:
    """GET /metrics"""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
