# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Fill Boardroom's database until it has a size. Run as the superuser postgres; needs psql, and nothing of the lab.

It only grows: a database that is large enough is left as it is. The same batches hold the same rows every time; the
day of a user's last login alone moves with the calendar, so that some users stay active.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

DATABASE = "boardroom_prod"
OWNER = "boardroom"
BATCH_MB = 4.5
"""About what one batch adds, indexes included."""

COUNTS = {
    "organizations": 2,
    "users": 50,
    "boards": 6,
    "meetings": 40,
    "documents": 1000,
    "comments": 3000,
    "audit_events": 6000,
    "invoices": 24,
}
"""Rows of a batch in the tables whose rows have numbers."""

SEQUENCES = {"invoices": "invoice_number_seq", "audit_events": "audit_events_id_seq"}
START = datetime(2023, 1, 1, tzinfo=UTC)
SPAN = 1277 * 86400
"""Seconds of history: the first half of 2026 is the last."""

FIRST = ("Amélie", "Björn", "Chidi", "Dana", "Eva", "Farid", "Grace", "Hiro", "Inês", "Jörg", "Kofi", "Łucja", "Noor")
LAST = (
    "Almeida",
    "Becker",
    "Costa",
    "Dvořák",
    "Eriksson",
    "García",
    "Haddad",
    "Ito",
    "Kowalski",
    "Lê",
    "Müller",
    "O'Brien",
)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
    "Boardroom-iOS/4.2.1",
    "curl/8.14.1",
    "python-httpx/0.28",
)
ACTIONS = ("login", "board.viewed", "document.opened", "document.changed", "comment.added", "vote.cast", "export.made")
TAGS = ("budget", "strategy", "audit", "personnel", "legal", "risk", "minutes", "draft", "Quartal", "confidential")
STRANGE = (
    "a line\nand another",
    "a tab\there, a backslash \\ there, a carriage return\r",
    "\\.",
    "\\N",
    "",
    " spaces around ",
    "quotes ' and \" and $$ and ; DROP TABLE users; --",
    "日本語 и кириллица, עברית, 🎉👩🏽‍💻 e\u0301",
    "%s {0} {{ braces }} ${HOME} `id` <b>&amp;</b>",
)
"""Texts that careless programs spoil. The first comments of every batch have them."""


def _vocabulary() -> list[str]:
    """65536 entries of some 5000 words, frequent words often, as languages have them (Zipf)."""
    rng = random.Random(1)
    onsets = ["", *"bcdfghlmnprstvw", "br", "ch", "pl", "sh", "st", "th", "tr"]
    nuclei = [*"aeiou", "ai", "ea", "ee", "ou"]
    codas = ["", "", "l", "m", "n", "r", "s", "t", "nd", "ng", "rt", "st"]
    words: dict[str, None] = {}
    while len(words) < 5000:
        syllables = 1 + min(3, int(len(words) ** 0.25 * rng.random() / 2))
        words["".join(rng.choice(onsets) + rng.choice(nuclei) + rng.choice(codas) for _n in range(syllables))] = None
    weights = [1 / (rank + 2.7) for rank in range(len(words))]
    share = 65536 / sum(weights)
    pool = [word for word, weight in zip(words, weights, strict=True) for _n in range(max(1, round(weight * share)))]
    return (pool + list(words))[:65536]


POOL = _vocabulary()


def words(rng: random.Random, count: int) -> str:
    """Random words."""
    return " ".join(map(POOL.__getitem__, memoryview(rng.randbytes(2 * count)).cast("H")))


def prose(rng: random.Random, count: int) -> str:
    """Random sentences of together some count words, in paragraphs."""
    sentences = []
    for number in range(max(1, count // 12)):
        end = ".\n\n" if number % 6 == 5 else ". "
        sentences.append(words(rng, rng.randrange(6, 19)).capitalize() + end)
    return "".join(sentences).rstrip()


def field(value: object) -> str:
    """A value in the text format of COPY."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def copy(table: str, columns: str, rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A COPY command with its rows."""
    yield f"COPY {table} ({columns}) FROM stdin;\n"
    for row in rows:
        yield "\t".join(map(field, row)) + "\n"
    yield "\\.\n"


def array(values: Iterable[str]) -> str:
    """An array of plain words in PostgreSQL's notation."""
    return "{" + ",".join(values) + "}"


def first_of_month(number: int) -> str:
    """The first day of a month, counted from January 2023."""
    return f"{2023 + number // 12}-{number % 12 + 1:02}-01"


def batch(number: int, bases: dict[str, int]) -> Iterator[str]:
    """The SQL of one batch, a transaction. bases: the highest number in use, by table (0: none)."""
    rng = random.Random(1000 + number)

    def ids(table: str) -> range:
        return range(bases[table] + 1, bases[table] + 1 + COUNTS[table])

    def moment() -> datetime:
        return START + timedelta(seconds=rng.randrange(SPAN), microseconds=rng.randrange(1000000))

    organizations, users, boards = ids("organizations"), ids("users"), ids("boards")
    meetings, documents = ids("meetings"), ids("documents")
    yield f"BEGIN;\nSET LOCAL ROLE {OWNER};\n"
    yield from copy(
        "organizations",
        "id, name, slug, plan, settings, created_at",
        (
            (
                i,
                f"{rng.choice(LAST)} & {words(rng, 1).title()} {rng.choice(('GmbH', 'Ltd', 'SA', 'Sp. z o.o.'))}",
                f"org-{i}",
                rng.choice(("free", "team", "enterprise")),
                {
                    "theme": rng.choice(("light", "dark")),
                    "locale": rng.choice(("de", "en")),
                    "seats": rng.randrange(500),
                },
                moment(),
            )
            for i in organizations
        ),
    )
    yield "CREATE TEMP TABLE fresh_users (LIKE users, age interval) ON COMMIT DROP;\n"
    people = [(i, rng.choice(organizations), rng.choice(FIRST), rng.choice(LAST)) for i in users]
    yield from copy(
        "fresh_users",
        "id, organization_id, email, name, is_admin, preferences, created_at, age",
        (
            (
                i,
                organization,
                f"user{i}@org-{organization}.example",
                f"{first} {last}",
                rng.random() < 0.04,
                {"mail": {"digest": rng.choice(("daily", "weekly", None)), "hour": rng.randrange(24)}},
                moment(),
                None if rng.random() < 0.1 else f"{rng.randrange(400)} days {rng.randrange(86400)} s",
            )
            for i, organization, first, last in people
        ),
    )
    yield (
        "INSERT INTO users (id, organization_id, email, name, is_admin, last_login, preferences, created_at)\n"
        "SELECT id, organization_id, email, name, is_admin, date_trunc('day', now()) - age, preferences, created_at\n"
        "FROM fresh_users ORDER BY id;\n"
    )
    members = {i: rng.sample(users, 12) for i in boards}
    yield from copy(
        "boards",
        "id, organization_id, title, description, chair_id, created_at",
        (
            (
                i,
                rng.choice(organizations),
                words(rng, 3).title(),
                prose(rng, 40) if rng.random() < 0.8 else None,
                members[i][0],
                moment(),
            )
            for i in boards
        ),
    )
    yield from copy(
        "memberships",
        "board_id, user_id, role, joined_on",
        (
            (
                i,
                user,
                "chair" if user == members[i][0] else rng.choice(("member", "observer", "secretary")),
                moment().date(),
            )
            for i in boards
            for user in members[i]
        ),
    )
    yield from copy(
        "meetings",
        "id, board_id, title, starts_at, length, agenda, minutes",
        (
            (
                i,
                rng.choice(boards),
                words(rng, 4).capitalize(),
                moment(),
                f"{rng.randrange(2, 12) * 15} min",
                [{"topic": words(rng, 4), "minutes": rng.randrange(5, 60)} for _n in range(rng.randrange(2, 8))],
                prose(rng, 200) if rng.random() < 0.7 else None,
            )
            for i in meetings
        ),
    )
    yield from copy(
        "documents",
        "id, board_id, author_id, title, body, tags, attributes, checksum, created_at",
        _documents(rng, documents, boards, users, moment),
    )
    yield from copy(
        "comments",
        "id, document_id, parent_id, author_id, body, created_at",
        (
            (
                i,
                rng.choice(documents),
                i - 1 if position % 4 == 3 else None,
                rng.choice(users) if position % 50 else None,
                STRANGE[position] if position < len(STRANGE) else prose(rng, 24),
                moment(),
            )
            for position, i in enumerate(ids("comments"))
        ),
    )
    yield from copy(
        "votes",
        "meeting_id, user_id, motion, choice, weight",
        (
            (i, user, motion, rng.choice(("yes", "no", "abstain")), f"{rng.random():.4f}")
            for i in meetings[:10]
            for motion in range(4)
            for user in rng.sample(users, 10)
        ),
    )
    yield from copy(
        "audit_events",
        "id, occurred_at, user_id, action, address, details",
        (
            (
                i,
                moment(),
                rng.choice(users),
                rng.choice(ACTIONS),
                f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
                {
                    "request": rng.randbytes(12).hex(),
                    "path": f"/api/boards/{rng.choice(boards)}/documents/{rng.choice(documents)}",
                    "agent": rng.choice(AGENTS),
                    "milliseconds": rng.randrange(3, 900),
                    "note": words(rng, 6),
                },
            )
            for i in ids("audit_events")
        ),
    )
    yield from copy(
        "invoices",
        "number, organization_id, period, amount, lines, paid_at",
        (
            (
                i,
                rng.choice(organizations),
                f"[{first_of_month(position)},{first_of_month(position + 1)})",
                f"{rng.randrange(1000000) / 100:.2f}",
                [{"text": words(rng, 3), "net": rng.randrange(100000) / 100} for _n in range(3)],
                moment() if rng.random() < 0.9 else None,
            )
            for position, i in enumerate(ids("invoices"))
        ),
    )
    for kilobytes in (1024 if number == 0 else 24, 24):
        yield attachment(rng, rng.choice(documents), kilobytes)
    if number == 0:
        yield ODDITIES
    for table in COUNTS:
        sequence = SEQUENCES.get(table, f"{table}_id_seq")
        yield f"SELECT setval('{sequence}', {bases[table] + COUNTS[table]});\n"
    yield (
        f"INSERT INTO settings (key, value) VALUES ('lab.batches', '{number + 1}')\n"
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value;\nCOMMIT;\n"
    )


def _documents(
    rng: random.Random, documents: range, boards: range, users: range, moment: Callable[[], datetime]
) -> Iterator[tuple[object, ...]]:
    for position, i in enumerate(documents):
        # One in a hundred is long enough to be stored out of line.
        body = prose(rng, 6000 if position % 100 == 99 else rng.randrange(60, 320))
        yield (
            i,
            rng.choice(boards),
            rng.choice(users),
            words(rng, 5).capitalize(),
            body,
            array(rng.sample(TAGS, rng.randrange(4))),
            {"pages": rng.randrange(80), "source": rng.choice(("editor", "mail")), "key": rng.randbytes(8).hex()},
            hashlib.sha256(body.encode()).digest(),
            moment(),
        )


def attachment(rng: random.Random, document: int, kilobytes: int) -> str:
    """An attachment as a large object, half of it compressible."""
    data = rng.randbytes(kilobytes * 512)
    data += words(rng, kilobytes * 100).encode()[: kilobytes * 512]
    return (
        "INSERT INTO attachments (id, document_id, file_name, media_type, content, sha256) VALUES "
        f"('{uuid.UUID(int=rng.getrandbits(128), version=4)}', {document}, '{words(rng, 2)}.pdf', 'application/pdf', "
        f"lo_from_bytea(0, '\\x{data.hex()}'), '\\x{hashlib.sha256(data).hexdigest()}');\n"
    )


ODDITIES = r'''
INSERT INTO settings (key, value) VALUES
    ('public.name', '"Boardroom"'), ('public.limits', '{"upload_mb": 10, "ratio": 1.10}'),
    ('mail', '{"from": "board@boardroom.test", "footer": "Grüße,\nyour \"Boardroom\" \\ team"}');
INSERT INTO "Archiv für Protokolle"."Sitzung ""Q1/2019""" ("Thema & Beschluß", "50% reached?", "select")
    SELECT 'Beschluß ' || n, n % 3 = 0, CASE WHEN n % 5 = 0 THEN NULL ELSE '' END FROM generate_series(1, 500) n;
INSERT INTO "Archiv für Protokolle".users SELECT n, 'old' || n || '@boardroom.test', NULL FROM generate_series(1, 40) n;
INSERT INTO "Archiv für Protokolle"."Users" SELECT n, 'Old' || n || '@boardroom.test' FROM generate_series(1, 41) n;
INSERT INTO "chair's notes; draft $1" ("текст", "列", raw)
    SELECT 'заметка ' || n, '注', decode(lpad(to_hex(n), 8, '0'), 'hex') FROM generate_series(0, 299) n;
INSERT INTO "-import from the former system, 2019-2021, first part of eleven"
    VALUES (E'\\.'), (E'\\.'), (''), (NULL), (E'--\n'), (E'\\'), (E'\t\r');
INSERT INTO edge_values (id, what, t, n, f, d, ts, i, b, a, m, j, r, u, net) VALUES
    (1, 'all null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (2, 'not a number', '', 'NaN', 'NaN', 'infinity', '-infinity', '0', '', '{}', '{}', 'null', 'empty', NULL,
        '0.0.0.0/0'),
    (3, 'far away', E'\\N', 'Infinity', '-Infinity', '0044-03-15 BC', '4713-01-01 00:00:00+00 BC', '-178000000 years',
        '\x00ff5c', '{NULL,"NULL","",",","\"\\"}', '{{1,2},{3,NULL}}', '{"a": null, "A": [1e300, -0.0, "\u20ac"]}',
        '(,)', '00000000-0000-0000-0000-000000000000', '::1/128'),
    (4, 'precise', repeat('ä', 70000), 123456789012345678901234567890.123456789012345678901234567890, 0.1::float8 + 0.2,
        '5874897-12-31', '294276-12-31 23:59:59.999999+00', '1 mon -1 day 00:00:00.000001', sha256('x'),
        ARRAY[E'a\nb', E'\t'], '[0:1]={7,8}', '{"": {"": [[]]}}', '[-2147483648,2147483647)',
        'ffffffff-ffff-4fff-bfff-ffffffffffff', '2001:db8::/32');
'''
"""Rows in the tables with odd names, and values at the edges of their types. Written once."""


def query(psql: list[str], sql: str) -> str:
    """The answer to one question. Ends the program with psql's complaint when it fails."""
    argv = [*psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", DATABASE]
    done = subprocess.run(argv, input=sql, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        sys.exit(f"generate.py: {done.stderr.strip()}")
    return done.stdout.strip()


def load(psql: list[str], sql: Iterable[str]) -> None:
    """Feed psql with SQL while it is being made."""
    argv = [*psql, "-XAtq", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", DATABASE]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdin is not None
        try:
            process.stdin.writelines(sql)
            process.stdin.close()
        except BrokenPipeError:
            pass  # psql has said why it ended.
    if process.returncode != 0:
        sys.exit(f"generate.py: psql ended with {process.returncode}")


def megabytes_now(psql: list[str]) -> float:
    """Size of the database."""
    return int(query(psql, f"SELECT pg_database_size('{DATABASE}')")) / 1e6


def grow(psql: list[str], target: int) -> None:
    """Add batches until the database has target megabytes (10^6 bytes)."""
    started = time.monotonic()
    size = megabytes_now(psql)
    added = 0
    while size < target:
        done = int(query(psql, "SELECT value FROM settings WHERE key = 'lab.batches'") or 0)
        tops = " UNION ALL ".join(
            f"SELECT {position}, coalesce(max({'number' if table == 'invoices' else 'id'}), 0) FROM {table}"
            for position, table in enumerate(COUNTS)
        )
        rows = [line.split("|") for line in query(psql, f"{tops} ORDER BY 1").splitlines()]
        bases = {table: int(top) for table, (_position, top) in zip(COUNTS, rows, strict=True)}
        # Less than what seems to be missing, so that the end is met closely; and little enough to see that it moves.
        count = max(1, min(10, int((target - size) / BATCH_MB * 0.8)))
        batches = (
            batch(done + step, {table: top + step * COUNTS[table] for table, top in bases.items()})
            for step in range(count)
        )
        load(psql, itertools.chain.from_iterable(batches))
        added += count
        size = megabytes_now(psql)
        print(f"{size:.0f} of {target} MB, {time.monotonic() - started:.0f} s", flush=True)
    if added:
        query(psql, f"SET ROLE {OWNER}; REFRESH MATERIALIZED VIEW board_activity; RESET ROLE; ANALYZE;")
        query(psql, "CHECKPOINT")
    print(f"the database has {size:.0f} MB, {added} batches added")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, required=True, metavar="N", help="size to reach, in 10^6 bytes")
    parser.add_argument("--psql", default="psql", metavar="COMMAND", help="how to call psql (default: %(default)s)")
    arguments = parser.parse_args()
    grow(shlex.split(arguments.psql), arguments.megabytes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
