# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
#
# PostgreSQL and Redis for docker-compose.contained.yml; the lab loads it into a host's engine as boardroom-services:1.
ARG BASE
FROM ${BASE}
# No cluster: the entrypoint makes one in the volume. No just-in-time compiler, which is half of the size.
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -q \
 && apt-get install -yq --no-install-recommends postgresql-common \
 && sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
 && apt-get install -yq --no-install-recommends postgresql-17 redis-server \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt /usr/share/doc /usr/share/locale \
      /usr/lib/postgresql/17/lib/llvmjit* /usr/lib/postgresql/17/lib/bitcode \
      /usr/lib/*/libLLVM.so.* /usr/lib/*/libz3.so.* \
 && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data
COPY services-entrypoint /usr/local/bin/entrypoint
RUN chmod 0755 /usr/local/bin/entrypoint
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data
USER postgres
WORKDIR /var/lib/postgresql
# A fast shutdown: it does not wait for clients to leave.
STOPSIGNAL SIGINT
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["postgres"]
