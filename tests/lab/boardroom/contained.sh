#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
#
# Boardroom once more beside /srv/boardroom, with PostgreSQL and Redis inside its Compose project. Run as root on a
# host that provision.sh made; the image boardroom-services:1 is there. Both commands may be run again.
#
# Usage: contained.sh up MEGABYTES | down
set -euo pipefail
lab=$(dirname "$(readlink -f "$0")")
. "$lab/common.sh"
project=/srv/contained

case "${1:-}" in
    up)
        if [ ! -e "$project/compose.yaml" ]; then
            rm -rf "$project"
            check_out "$project"
            ln -s docker-compose.contained.yml "$project/compose.yaml"
        fi
        cd "$project"
        environment db cache > .env.production
        install -m 0600 /dev/null .env.database
        echo "POSTGRES_PASSWORD=$superuser_password" > .env.database
        docker compose build -q app
        docker compose up -d --wait db cache
        psql=(docker compose --project-directory "$project" exec -T db psql -U postgres)
        if [ -z "$("${psql[@]}" -XAtqc "SELECT 1 FROM pg_database WHERE datname = 'boardroom_prod'")" ]; then
            "${psql[@]}" -Xq -v ON_ERROR_STOP=1 < <(database_sql)
        fi
        docker compose run --rm -T app alembic upgrade head
        docker compose up -d --wait app
        cd /
        python3 "$lab/generate.py" --megabytes "$2" --psql "${psql[*]}"
        ;;
    down)
        [ -e "$project/compose.yaml" ] || exit 0
        cd "$project"
        docker compose down --volumes --rmi local --remove-orphans
        cd /
        rm -rf "$project"
        ;;
    *)
        echo "usage: contained.sh up MEGABYTES | down" >&2
        exit 2
        ;;
esac
