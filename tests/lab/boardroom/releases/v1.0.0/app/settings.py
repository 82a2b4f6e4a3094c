# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""What the environment says (.env.production)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Where the services are, and the secret that signs links."""

    database_url: str
    redis_url: str
    secret_key: str
    release: str
    logs: Path = HOME / "logs"
    uploads: Path = HOME / "uploads"


def load() -> Settings:
    """Settings from the environment; the process ends with one sentence when one is missing."""
    names = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        sys.exit(f"boardroom: {', '.join(missing)} not set: see env.example")
    release = (HOME / "VERSION").read_text(encoding="utf-8").strip()
    return Settings(*(os.environ[name] for name in names), release=release)


settings = load()
