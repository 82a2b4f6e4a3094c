# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The archive: what customers brought from their former systems, under its former names."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ARCHIVE = '"Archiv für Protokolle"'
MEETING = f'{ARCHIVE}."Sitzung ""Q1/2019"""'
UP = (
    f"CREATE SCHEMA {ARCHIVE}",
    f"""
    CREATE TABLE {MEETING} (
        "Nr." integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        "Thema & Beschluß" text,
        "50% reached?" boolean,
        "select" text
    )
    """,
    f'CREATE INDEX "idx Sitzung; Thema" ON {MEETING} (lower("Thema & Beschluß"))',
    # The same name as in the schema public, and one that differs from it by case only.
    f"CREATE TABLE {ARCHIVE}.users (id integer PRIMARY KEY, email text, note text)",
    f'CREATE TABLE {ARCHIVE}."Users" (id integer PRIMARY KEY, email text)',
    """CREATE TABLE "chair's notes; draft $1" (id serial PRIMARY KEY, "текст" text, "列" text, raw bytea)""",
    # 63 bytes, the longest name there is.
    'CREATE TABLE "-import from the former system, 2019-2021, first part of eleven" (line text)',
    """
    CREATE TABLE edge_values (
        id integer PRIMARY KEY,
        what text NOT NULL,
        t text, n numeric, f double precision, d date, ts timestamptz, i interval, b bytea, a text[], m integer[],
        j jsonb, r int4range, u uuid, net inet
    )
    """,
)
DOWN = (
    "DROP TABLE edge_values",
    'DROP TABLE "-import from the former system, 2019-2021, first part of eleven"',
    'DROP TABLE "chair\'s notes; draft $1"',
    f"DROP SCHEMA {ARCHIVE} CASCADE",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
