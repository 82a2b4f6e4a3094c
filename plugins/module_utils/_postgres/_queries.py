# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""What the server is asked for a backup set."""

from __future__ import annotations

# A limit of -2 marks a database whose removal was interrupted; nobody can connect to it.
DATABASES = """
SELECT datname AS name, pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
       CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END AS size_bytes
FROM pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2 ORDER BY datname
"""
CLUSTER = """
SELECT current_setting('server_version') AS server_version,
       current_setting('server_version_num')::int AS server_version_num,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier, pg_is_in_recovery() AS standby,
       has_table_privilege('pg_authid', 'SELECT') AS sees_passwords,
       (SELECT json_agg(rolname ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_') AS roles
"""
# The tables whose rows pg_dump writes: ordinary ones and partitions, and those of extensions that hold a user's
# settings. On a standby it leaves out unlogged tables, which are empty there.
TABLES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted,
       coalesce(settings.condition, '') AS condition, pg_table_size(c.oid) AS size_bytes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT e.extcondition[i] AS condition FROM pg_extension e, generate_subscripts(e.extconfig, 1) i
    WHERE e.extconfig[i] = c.oid
) settings ON true
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
  AND (settings.condition IS NOT NULL OR NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'))
ORDER BY n.nspname, c.relname
"""
# By the functions that pg_dump reads with: every owner may use them, but only superusers see pg_largeobject. Each is
# opened for reading (0x40000), measured by going to its end (2), and closed before the next one.
LARGE_OBJECTS = """
SELECT m.oid::bigint AS oid, s.bytes + 0 * lo_close(s.fd) AS bytes
FROM pg_largeobject_metadata m CROSS JOIN LATERAL (
    SELECT o.fd, lo_lseek64(o.fd, 0, 2) AS bytes FROM (SELECT lo_open(m.oid, 262144) AS fd OFFSET 0) o OFFSET 0
) s ORDER BY 1
"""
LARGE_OBJECTS_SIZE = "SELECT pg_table_size('pg_largeobject') AS bytes"
EXTENSIONS = "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY extname"
REVISIONS = """
SELECT format('%I.%I', n.nspname, c.relname) AS quoted FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'version_num'
WHERE c.relname = 'alembic_version' AND c.relkind = 'r' ORDER BY 1
"""
