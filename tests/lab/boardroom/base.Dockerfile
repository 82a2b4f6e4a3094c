# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
#
# What every release of Boardroom runs on: Python and the packages of requirements.txt. A host's own engine has no
# registry, so the lab loads this image there as boardroom-base:1.
ARG BASE
FROM ${BASE}
# The builder's own CA bundle, which may be needed to reach PyPI; empty where the machine has none.
COPY ca-certificates.crt releases/v1.0.0/requirements.txt /tmp/
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -q \
 && apt-get install -yq --no-install-recommends ca-certificates curl python3 python3-venv \
 && if [ -s /tmp/ca-certificates.crt ]; then export PIP_CERT=/tmp/ca-certificates.crt; fi \
 && python3 -m venv /opt/boardroom \
 && /opt/boardroom/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
      --requirement /tmp/requirements.txt \
 && /opt/boardroom/bin/pip uninstall --yes --quiet pip \
 && useradd --uid 10001 --create-home --home-dir /home/app app \
 && apt-get purge -yq --autoremove python3-venv \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt /tmp/*
ENV PATH=/opt/boardroom/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
