#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
#
# Put Boardroom on a host as its runbook does. Run once, as root, from /opt/boardroom-lab: PostgreSQL, Redis and
# Docker run, /srv/git/boardroom.git and the image boardroom-base:1 are there.
#
# Usage: provision.sh --megabytes N --compose "docker compose"
set -euo pipefail
lab=$(dirname "$(readlink -f "$0")")
. "$lab/common.sh"
project=/srv/boardroom
megabytes=0
compose=
while [ $# -gt 0 ]; do
    case "$1" in
        --megabytes) megabytes=$2 ;;
        --compose) compose=$2 ;;
        *) echo "provision.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
: "${compose:?--compose is needed}"

echo "== database"
runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 < <(database_sql)

echo "== checkout"
check_out "$project"
environment host.docker.internal host.docker.internal > "$project/.env.production"

echo "== application"
cd "$project"
$compose build -q
$compose run --rm -T app alembic upgrade head
$compose up -d

echo "== data"
cd /
runuser -u postgres -- python3 "$lab/generate.py" --megabytes "$megabytes"
