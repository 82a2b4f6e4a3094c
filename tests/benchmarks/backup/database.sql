-- Copyright (c) 2026, Boardroom Maintenance contributors
-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The benchmark's database beside pgbench's tables. :scale is pgbench's; 100 makes about 3 GB of both.
-- Every value comes from its row's number, so two databases of one scale are the same.
\set ON_ERROR_STOP on
SET work_mem = '128MB';
-- A number that looks random but is the same each time: any phrase, and a word of which low numbers are frequent.
CREATE FUNCTION pg_temp.pick(n int, seed int) RETURNS int LANGUAGE sql IMMUTABLE
AS $$ SELECT (hashint8extended(n, seed) & 262143)::int $$;
CREATE FUNCTION pg_temp.rare(n int, seed int) RETURNS int LANGUAGE sql IMMUTABLE
AS $$ SELECT (4095 * power((hashint8extended(n, seed) & 65535) / 65536.0::float8, 3))::int $$;

CREATE EXTENSION pg_trgm;
CREATE EXTENSION amcheck;

CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL, created_at timestamptz NOT NULL);
INSERT INTO users
SELECT n, format('user%s@example.org', n), initcap(translate(left(md5(n::text), 12), '0123456789', 'ghijklmnop')),
       timestamptz '2024-01-01 00:00:00+00' + n * interval '7 minutes'
FROM generate_series(1, 2000 * :scale) n;

CREATE TABLE boards (id bigint PRIMARY KEY, owner_id bigint NOT NULL REFERENCES users, title text NOT NULL, settings jsonb NOT NULL);
INSERT INTO boards
SELECT n, 1 + n::bigint * 7919 % (2000 * :scale), 'Board ' || md5('b' || n),
       jsonb_build_object('visibility', CASE n % 3 WHEN 0 THEN 'private' ELSE 'team' END, 'color', left(md5(n::text), 6))
FROM generate_series(1, 400 * :scale) n;
CREATE INDEX boards_title ON boards USING gin (title gin_trgm_ops);

-- Text: few words are frequent and most are rare, as in a language. A phrase is five words, a message seven phrases.
CREATE TEMPORARY TABLE words AS
SELECT n AS id, translate(substr(md5('w' || n), 1, 2 + n % 8), '0123456789', 'etaoinshrd') AS word
FROM generate_series(0, 4095) n;
CREATE TEMPORARY TABLE phrases AS
SELECT n AS id, concat_ws(' ', a.word, b.word, c.word, d.word, e.word) AS phrase
FROM generate_series(0, 262143) n
JOIN words a ON a.id = pg_temp.rare(n, 1)
JOIN words b ON b.id = pg_temp.rare(n, 2)
JOIN words c ON c.id = pg_temp.rare(n, 3)
JOIN words d ON d.id = pg_temp.rare(n, 4)
JOIN words e ON e.id = pg_temp.rare(n, 5);
ANALYZE phrases;

CREATE TABLE messages (id bigint, board_id bigint NOT NULL, user_id bigint NOT NULL, created_at timestamptz NOT NULL, body text NOT NULL, meta jsonb NOT NULL);
INSERT INTO messages
SELECT n, 1 + n::bigint * 31 % (400 * :scale), 1 + n::bigint * 104729 % (2000 * :scale),
       timestamptz '2024-01-01 00:00:00+00' + n * interval '11 seconds',
       concat_ws(' ', a.phrase, b.phrase, c.phrase, d.phrase, e.phrase, f.phrase, g.phrase),
       jsonb_build_object('client', CASE n % 4 WHEN 0 THEN 'web' WHEN 1 THEN 'ios' WHEN 2 THEN 'android' ELSE 'api' END,
                          'thread', n % 5000, 'token', md5('z' || n), 'edited', n % 17 = 0)
FROM generate_series(1, 26000 * :scale) n
JOIN phrases a ON a.id = pg_temp.pick(n, 1)
JOIN phrases b ON b.id = pg_temp.pick(n, 2)
JOIN phrases c ON c.id = pg_temp.pick(n, 3)
JOIN phrases d ON d.id = pg_temp.pick(n, 4)
JOIN phrases e ON e.id = pg_temp.pick(n, 5)
JOIN phrases f ON f.id = pg_temp.pick(n, 6)
JOIN phrases g ON g.id = pg_temp.pick(n, 7);

ALTER TABLE messages ADD PRIMARY KEY (id);
ALTER TABLE messages ADD FOREIGN KEY (board_id) REFERENCES boards, ADD FOREIGN KEY (user_id) REFERENCES users;
CREATE INDEX messages_board ON messages (board_id, created_at);
CREATE INDEX messages_user ON messages (user_id);
CREATE INDEX messages_meta ON messages USING gin (meta jsonb_path_ops);

CREATE MATERIALIZED VIEW board_activity AS
SELECT board_id, count(*) AS messages, max(created_at) AS newest FROM messages GROUP BY board_id;
CREATE UNIQUE INDEX board_activity_board ON board_activity (board_id);

SELECT lo_from_bytea(0, decode(string_agg(md5('o' || n), '' ORDER BY n), 'hex')) AS large_object
FROM generate_series(1, 16384 * :scale) n;
