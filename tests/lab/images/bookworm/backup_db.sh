#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
BACKUP_DIR="/backups/postgres"
TIMESTAMP=$(date +%Y%m%d_%H%M%S)
BACKUP_FILE="$BACKUP_DIR/boardroom_$TIMESTAMP.sql"

# Create backup
pg_dump -h localhost -U postgres boardroom_prod > $BACKUP_FILE

# Compress
gzip $BACKUP_FILE

# Keep only last 7 days locally
find $BACKUP_DIR -name "*.gz" -mtime +7 -delete
