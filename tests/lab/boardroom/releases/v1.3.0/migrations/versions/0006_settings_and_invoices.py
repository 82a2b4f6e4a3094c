# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Settings, invoices, and tables that wait for their features."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UP = (
    "CREATE TABLE settings (key text PRIMARY KEY, value jsonb NOT NULL, changed_at timestamptz NOT NULL DEFAULT now())",
    "CREATE SEQUENCE invoice_number_seq START 2400001 INCREMENT 7",
    """
    CREATE TABLE invoices (
        number bigint PRIMARY KEY DEFAULT nextval('invoice_number_seq'),
        organization_id bigint NOT NULL REFERENCES organizations,
        period daterange NOT NULL,
        amount numeric(12, 2) NOT NULL CHECK (amount >= 0),
        lines jsonb NOT NULL,
        paid_at timestamptz
    )
    """,
    "CREATE INDEX idx_invoices_organization ON invoices (organization_id)",
    """
    CREATE TABLE notifications (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id bigint REFERENCES users,
        body text
    )
    """,
    """
    CREATE TABLE webhooks (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        url text NOT NULL,
        events text[] NOT NULL
    )
    """,
    "COMMENT ON TABLE webhooks IS 'Empty until the feature is switched on; don''t drop it.'",
)
DOWN = ("DROP TABLE webhooks, notifications, invoices, settings", "DROP SEQUENCE invoice_number_seq")


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
