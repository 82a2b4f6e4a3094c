# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Redis holds answers for a while. Without it they are computed every time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.metrics import CACHE
from app.settings import settings

client = redis.Redis.from_url(
    settings.redis_url,
    socket_connect_timeout=1,
    socket_timeout=1,
    retry=Retry(NoBackoff(), 0),
    health_check_interval=15,
    decode_responses=True,
)
log = logging.getLogger("boardroom.cache")


def cached(key: str, seconds: int, compute: Callable[[], Any]) -> Any:
    """The answer held under key, or a new one, held for this many seconds."""
    name = f"cache:{key}"
    try:
        held = client.get(name)
        if held is not None:
            CACHE.labels("hit").inc()
            return json.loads(str(held))
        CACHE.labels("miss").inc()
    except redis.RedisError as error:
        CACHE.labels("error").inc()
        log.warning("cache cannot be read", extra={"detail": str(error)})
        return compute()
    value = compute()
    try:
        client.set(name, json.dumps(value), ex=seconds)
    except redis.RedisError as error:
        log.warning("cache cannot be written", extra={"detail": str(error)})
    return value


def forget(*keys: str) -> None:
    """Drop answers that are no longer true."""
    try:
        client.delete(*(f"cache:{key}" for key in keys))
    except redis.RedisError as error:
        log.warning("cache cannot be written", extra={"detail": str(error)})
