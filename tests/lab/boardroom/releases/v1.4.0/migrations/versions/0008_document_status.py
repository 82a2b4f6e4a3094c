# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Documents have a status. Releases before v1.4.0 run with it, too."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UP = (
    "ALTER TABLE documents ADD COLUMN status text NOT NULL DEFAULT 'published'",
    """
    ALTER TABLE documents ADD CONSTRAINT documents_status
        CHECK (status IN ('draft', 'published', 'withdrawn')) NOT VALID
    """,
    "ALTER TABLE documents VALIDATE CONSTRAINT documents_status",
)
DOWN = ("ALTER TABLE documents DROP COLUMN status",)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
