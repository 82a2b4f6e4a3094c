# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Audit events, a partition for each year."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

YEARS = (2023, 2024, 2025, 2026, 2027)
UP = (
    "CREATE SEQUENCE audit_events_id_seq",
    """
    CREATE TABLE audit_events (
        id bigint NOT NULL DEFAULT nextval('audit_events_id_seq'),
        occurred_at timestamptz NOT NULL DEFAULT now(),
        user_id bigint,
        action text NOT NULL,
        address inet,
        details jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (occurred_at, id)
    ) PARTITION BY RANGE (occurred_at)
    """,
    "ALTER SEQUENCE audit_events_id_seq OWNED BY audit_events.id",
    *(
        f"CREATE TABLE audit_events_{year} PARTITION OF audit_events"
        f" FOR VALUES FROM ('{year}-01-01 00:00:00+00') TO ('{year + 1}-01-01 00:00:00+00')"
        for year in YEARS
    ),
    "CREATE TABLE audit_events_other PARTITION OF audit_events DEFAULT",
    "CREATE INDEX idx_audit_events_user ON audit_events (user_id)",
)
DOWN = ("DROP TABLE audit_events",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
