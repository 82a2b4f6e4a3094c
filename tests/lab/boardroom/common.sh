# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
# shellcheck shell=bash
# What provision.sh and contained.sh share. The secrets are fixed and fake: tests/lab/secrets.txt lists them.
password=lab-pg-password-0xB0A4D
secret_key=lab-app-secret-key-0xC0FFEE
superuser_password=lab-pg-superuser-password-0x5A7A
app_uid=10001
umask 022

# The role, the reader of reports, and the empty database, for psql as the superuser.
database_sql() {
    cat <<SQL
CREATE ROLE boardroom LOGIN PASSWORD '$password';
CREATE ROLE boardroom_readonly NOLOGIN;
CREATE DATABASE boardroom_prod OWNER boardroom ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0;
ALTER DATABASE boardroom_prod SET timezone = 'UTC';
\connect boardroom_prod
ALTER DEFAULT PRIVILEGES FOR ROLE boardroom IN SCHEMA public GRANT SELECT ON TABLES TO boardroom_readonly;
SQL
}

# check_out DIRECTORY: the current release, with the places the application writes to.
check_out() {
    # By URL: a clone by path makes hard links, which an overlay file system does not keep.
    git clone -q file:///srv/git/boardroom.git "$1"
    git -C "$1" -c advice.detachedHead=false checkout -q "$(cat "$lab/RELEASE")"
    install -d -m 0755 -o "$app_uid" -g "$app_uid" "$1/logs" "$1/uploads"
    install -m 0600 /dev/null "$1/.env.production"
    local number
    for number in 1 2 3; do
        seq "$((number * 20000))" > "$1/uploads/plan-$number.txt"
        touch -d "2025-11-0$number 09:00" "$1/uploads/plan-$number.txt"
        chown "$app_uid:$app_uid" "$1/uploads/plan-$number.txt"
    done
}

# environment DATABASE-HOST CACHE-HOST: the text of .env.production.
environment() {
    cat <<ENV
DATABASE_URL=postgresql+psycopg://boardroom:$password@$1:5432/boardroom_prod
REDIS_URL=redis://$2:6379/0
SECRET_KEY=$secret_key
ENV
}
