# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Attachments as large objects; a view of what happens on each board."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = (
    """
    CREATE TABLE attachments (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        document_id bigint NOT NULL REFERENCES documents ON DELETE CASCADE,
        file_name text NOT NULL,
        media_type text NOT NULL,
        content oid NOT NULL,
        sha256 bytea NOT NULL
    )
    """,
    "CREATE INDEX idx_attachments_document ON attachments (document_id)",
    """
    CREATE MATERIALIZED VIEW board_activity AS
        SELECT b.id AS board_id, b.title, count(d.id) AS documents, max(d.created_at) AS newest
        FROM boards b LEFT JOIN documents d ON d.board_id = b.id
        GROUP BY b.id, b.title
    """,
    "CREATE UNIQUE INDEX idx_board_activity_board ON board_activity (board_id)",
    """
    CREATE VIEW active_users AS
        SELECT id, email, last_login FROM users WHERE last_login > now() - interval '30 days'
    """,
)
DOWN = (
    "DROP VIEW active_users",
    "DROP MATERIALIZED VIEW board_activity",
    "SELECT lo_unlink(content) FROM attachments",
    "DROP TABLE attachments",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
