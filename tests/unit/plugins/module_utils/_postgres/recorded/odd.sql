-- Copyright (c) 2026, Boardroom Maintenance contributors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- The database whose dumps are recorded here: list-N.txt and script-N.sql are what pg_restore of PostgreSQL N prints
-- (--list; --data-only --file=-) of a dump in custom format, facts-N.json is what the database held: oid and rows of
-- each table by its quoted name, and bytes of each large object.
CREATE SCHEMA "odd schema";
CREATE TABLE users (id int, email text);
INSERT INTO users VALUES (1, 'a@x'), (2, 'COPY public.other (id) FROM stdin;'), (3, E'\\.'), (4, E'two\nlines'), (5, NULL);
CREATE TABLE empty (id int);
CREATE TABLE nocols ();
INSERT INTO nocols DEFAULT VALUES; INSERT INTO nocols DEFAULT VALUES;
CREATE TABLE "odd schema"."my ""table"" (x) FROM stdin;" ("a ""b"" (c)" int, d text);
INSERT INTO "odd schema"."my ""table"" (x) FROM stdin;" VALUES (1, 'x');
CREATE TABLE "two
lines FROM stdin;
12; 0 99 TABLE DATA public x y" (a int);
INSERT INTO "two
lines FROM stdin;
12; 0 99 TABLE DATA public x y" VALUES (7), (8), (9);
CREATE TABLE "tür 7; 0 98 TABLE DATA public x y" (a text);
INSERT INTO "tür 7; 0 98 TABLE DATA public x y" SELECT '' FROM generate_series(1, 4);
CREATE TABLE "select" (a text); -- a word that must be quoted
CREATE TABLE years (y int) PARTITION BY RANGE (y);
CREATE TABLE years_26 PARTITION OF years FOR VALUES FROM (26) TO (27);
INSERT INTO years VALUES (26), (26);
CREATE MATERIALIZED VIEW seen AS SELECT id FROM users;
CREATE SEQUENCE numbers;
SELECT lo_from_bytea(90001, '\x00ff10'), lo_from_bytea(90002, ''), lo_from_bytea(90003, decode(repeat('ab', 17000), 'hex'));
