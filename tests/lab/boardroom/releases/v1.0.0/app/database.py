# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Connections to PostgreSQL, every wait of them bounded."""

from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from app.settings import settings

engine = create_engine(
    settings.database_url,
    pool_size=5,
    max_overflow=5,
    pool_timeout=2,
    pool_pre_ping=True,
    connect_args={
        "connect_timeout": 2,
        "tcp_user_timeout": 3000,
        "application_name": "boardroom",
        "options": "-c statement_timeout=15s -c lock_timeout=5s",
    },
)
Session = sessionmaker(engine)
