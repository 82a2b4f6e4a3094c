# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The tables that the application reads and writes by object."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ForeignKey, Identity
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of every table."""

    type_annotation_map: ClassVar = {datetime: TIMESTAMP(timezone=True), dict[str, Any]: JSONB, list[Any]: JSONB}


class User(Base):
    """Somebody who can log in."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str]
    name: Mapped[str]
    is_admin: Mapped[bool] = mapped_column(default=False)
    last_login: Mapped[datetime | None]


class Board(Base):
    """A board of an organization."""

    __tablename__ = "boards"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    title: Mapped[str]
    description: Mapped[str | None]


class Meeting(Base):
    """A meeting of a board."""

    __tablename__ = "meetings"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    board_id: Mapped[int] = mapped_column(ForeignKey("boards.id"))
    title: Mapped[str]
    starts_at: Mapped[datetime]
    agenda: Mapped[list[Any]]


class Organization(Base):
    """A customer."""

    __tablename__ = "organizations"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
