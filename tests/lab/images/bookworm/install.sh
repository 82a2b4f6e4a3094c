#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
#
# The hand-made host: what a person does who follows the runbook on a fresh Debian bookworm. Run once, as root.
# It shares nothing with the managed host's image, so that the collection meets a host it did not prepare.
set -euo pipefail
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8

echo "== packages"
apt-get update -q
apt-get install -yq --no-install-recommends \
    postgresql-15 postgresql-client-15 redis-server nginx docker.io docker-compose git curl cron \
    ca-certificates iproute2 iptables logrotate openssl procps
apt-get clean

echo "== docker"
install -d /etc/systemd/system/docker.service.d
cat > /etc/systemd/system/docker.service.d/override.conf <<'UNIT'
[Service]
Environment=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1
UNIT
cat > /etc/docker/daemon.json <<'JSON'
{"bip": "10.231.0.1/24", "default-address-pools": [{"base": "10.232.0.0/16", "size": 24}]}
JSON
systemctl daemon-reload
systemctl enable docker
systemctl restart docker

echo "== postgresql"
sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" /etc/postgresql/15/main/postgresql.conf
echo "host all all 10.231.0.0/16 scram-sha-256" >> /etc/postgresql/15/main/pg_hba.conf
echo "host all all 10.232.0.0/16 scram-sha-256" >> /etc/postgresql/15/main/pg_hba.conf
systemctl restart postgresql
# The runbook's script connects over TCP as postgres, which asks for a password.
runuser -u postgres -- psql -q -f - <<'SQL'
ALTER ROLE postgres PASSWORD 'lab-pg-superuser-password-0x5A7A';
SQL
install -m 0600 /dev/null /root/.pgpass
echo "localhost:5432:*:postgres:lab-pg-superuser-password-0x5A7A" > /root/.pgpass

echo "== redis"
sed -i -e 's/^bind .*/bind 0.0.0.0/' -e 's/^protected-mode .*/protected-mode no/' /etc/redis/redis.conf
systemctl restart redis-server

echo "== nginx"
install -d -m 0755 /etc/ssl/boardroom /var/www
cp nginx-boardroom.conf /etc/nginx/sites-available/boardroom
ln -sf /etc/nginx/sites-available/boardroom /etc/nginx/sites-enabled/boardroom
rm -f /etc/nginx/sites-enabled/default
echo "<h1>Down for maintenance</h1>" > /var/www/maintenance.html
nginx -t
systemctl restart nginx

echo "== nightly backup, as the runbook has it"
useradd --create-home --shell /bin/bash app
install -d -o app -g app /home/app/scripts
install -d /backups/postgres
install -m 0755 backup_db.sh /home/app/scripts/backup_db.sh
echo "0 2 * * * root /home/app/scripts/backup_db.sh" > /etc/cron.d/boardroom-backup
systemctl restart cron

install -d /srv/git
rm -rf /var/lib/apt/lists/*
