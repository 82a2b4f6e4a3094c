# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host with the database, and the S3 server, both in memory; and one measured run of a program or a module."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchtable import Measured
from labkit import engine
from labkit.hosts import Hosts, Room
from labkit.layout import Lab
from labkit.process import LabError, run_long, say
from projectkit.ground import ROOT, program

HERE = Path(__file__).resolve().parent
PLACE = "/bench"
"""Everything of the benchmark on the host, in memory."""
PACKAGES = ("age", "awscli", "python3-boto3", "zstd")
PREFIX = "bench"
DATABASE, SMALL = "boardroom_prod", "boardroom_small"
MEGABYTES_BY_SCALE = 28.7
"""Size of the database by pgbench's scale."""
KEY, SECRET = "labs3accesskey", "lab-s3-secret-key-0x5EAEED"
PASSWORD = "lab-bench-postgres"
# Ansible starts the module with it; it measures around the module's own process.
PYTHON = f"""#!/bin/sh
exec /usr/bin/python3 {PLACE}/measure.py {PLACE}/measured.json {PLACE} /usr/bin/python3 "$@"
"""
CLUSTER = f"""set -e
systemctl --quiet stop docker.socket docker nginx redis-server cron postgresql@17-main
install -d -o postgres -g postgres -m 700 {PLACE}/postgres
pg_createcluster 17 bench --datadir {PLACE}/postgres --port 5432 --locale C.UTF-8 -- --data-checksums
pg_ctlcluster 17 bench start
echo "ALTER ROLE postgres PASSWORD '{PASSWORD}'" | runuser -u postgres -- psql -Xq
umask 077
echo "localhost:5432:*:postgres:{PASSWORD}" >/root/.pgpass
age-keygen -o {PLACE}/key
"""
# Both halves at once: there are two cores.
FILL = """set -e
runuser -u postgres -- createdb $0
runuser -u postgres -- pgbench --quiet -i -I dtGvp -s $1 $0 2>&1 &
runuser -u postgres -- psql -Xqd $0 -v scale=$1 -f {place}/database.sql
wait $!
echo 'VACUUM ANALYZE; CHECKPOINT' | runuser -u postgres -- psql -Xqd $0
"""


class Site:
    """The two containers of one run of the benchmark.

    :param sockets: a directory with a short path, for ssh
    """

    def __init__(self, sockets: str) -> None:
        self.lab = Lab.here()
        self.docker = engine.ensure(self.lab)
        self._hosts = Hosts(self.lab, self.docker)
        self._inventory = Path(sockets) / "hosts.json"
        self.host = "bench"
        self.store = "bench-s3"
        self.recipient = ""

    def up(self, again: bool = False) -> None:
        """Make both anew, the database server without a database; again: take those that are there as they are.

        LabError when that fails.
        """
        if not again:
            self.down()
        host = self._hosts.up(self.host, room=Room("14g", PLACE))
        self._container = host.container
        s3 = self._hosts.up(self.store, "s3", room=Room("6g", "/data"))
        self.address, self._s3_container = s3.address, s3.container
        options = f"-F {self.lab.state / 'ssh_config'}"
        hosts = {self.host: {"ansible_ssh_common_args": options, "ansible_python_interpreter": f"{PLACE}/python"}}
        self._inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
        for name in ("measure.py", "database.sql"):
            self.write(f"{PLACE}/{name}", (HERE / name).read_text(encoding="utf-8"))
        self.write(f"{PLACE}/python", PYTHON, 0o755)
        if again:
            self.sh(f"rm -rf {PLACE}/sets {PLACE}/bare {PLACE}/runbook")
            for name in re.findall(r"^ *(bench-\S+)", self._buckets("s3.bucket.list"), re.MULTILINE):
                self.bucket(name, remove=True)
        else:
            command = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "
            argv = self._argv("bash", "-c", command + " ".join(PACKAGES))
            run_long(argv, "packages on the host", self.lab.logs / "bench.log")
            self.sh(CLUSTER)
        self.recipient = self.sh(f"age-keygen -y {PLACE}/key")

    def down(self) -> None:
        """Remove both."""
        self._hosts.down([self.host, self.store])

    def size(self, database: str) -> int:
        """Bytes of a database."""
        return int(self.sql(f"SELECT pg_database_size('{database}')"))

    def fill(self, database: str, megabytes: float) -> int:
        """Make a database of about so many megabytes; its size in bytes."""
        scale = max(1, round(megabytes / MEGABYTES_BY_SCALE))
        argv = self._argv("bash", "-c", FILL.format(place=PLACE), database, str(scale))
        run_long(argv, f"database {database} of about {megabytes:.0f} MB", self.lab.logs / "bench.log")
        return self.size(database)

    def _argv(self, *command: str) -> list[str]:
        return [*self.docker.argv, "exec", "--workdir", "/", self._container, *command]

    def sh(self, script: str) -> str:
        """Run a shell script on the host as root; its output. LabError when it fails."""
        return self.docker("exec", "-i", "--workdir", "/", self._container, "bash", data=script.encode(), timeout=300)

    def sql(self, statement: str) -> str:
        """What a statement answers."""
        return self.sh(f"runuser -u postgres -- psql -XAtqc {json.dumps(statement)}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the host. A copy by docker would go below what is mounted there."""
        command = f'cat >"$0" && chmod {mode:o} "$0"'
        self.docker("exec", "-i", self._container, "sh", "-c", command, path, data=text.encode())

    def bucket(self, name: str, *, remove: bool = False) -> None:
        """Make a bucket, or remove it with all it holds."""
        said = self._buckets(f"s3.bucket.{'delete' if remove else 'create'} -name {name}")
        if "error" in said.lower():
            raise LabError(f"the bucket {name} could not be changed: {said}")

    def _buckets(self, command: str) -> str:
        """What the S3 server's own shell answers."""
        shell = (
            "exec",
            "-i",
            self._s3_container,
            "/opt/seaweedfs/bin/weed",
            "shell",
            "-master",
            f"{self.address}:9333",
        )
        return self.docker(*shell, data=f"{command}\nexit\n".encode())

    def s3(self, bucket: str) -> dict[str, t.Any]:
        """The modules' option s3."""
        return {
            "bucket": bucket,
            "prefix": PREFIX,
            "endpoint_url": f"http://{self.store}:8333",
            "region": "us-east-1",
            "access_key": KEY,
            "secret_key": SECRET,
            "allow_unencrypted_secrets": True,
        }

    def run(self, argv: Sequence[str], left: str = "", env: Mapping[str, str] | None = None) -> Measured:
        """Run a program on the host and measure it. LabError when it fails.

        left is what it leaves: its size is measured, too.
        """
        variables = [word for name, value in (env or {}).items() for word in ("--env", f"{name}={value}")]
        measure = ["python3", f"{PLACE}/measure.py", f"{PLACE}/measured.json", PLACE]
        command = [*self.docker.argv, "exec", "--workdir", "/", *variables, self._container, *measure, *argv]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout)[-500:]}")
        return self._measured({}, left)

    def module(
        self, name: str, arguments: Mapping[str, t.Any], check: bool = False
    ) -> tuple[Measured, dict[str, t.Any]]:
        """Run a module as Ansible runs it, by SSH and sudo, and measure its process; also its result.

        LabError when it fails.
        """
        argv = [program("ansible"), "-i", str(self._inventory), self.host, "--become"]
        argv += [
            "-m",
            f"boardroom.maintenance.{name}",
            "-a",
            json.dumps(dict(arguments)),
            *(["--check"] if check else []),
        ]
        # With pipelining it would come in through standard input: the same program, and no file to start.
        env = {**os.environ, "ANSIBLE_PIPELINING": "False", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        done = subprocess.run(
            argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode or "=> {" not in done.stdout:
            raise LabError(f"{name} failed: {(done.stdout + done.stderr)[-2000:]}")
        result: dict[str, t.Any] = json.loads("{" + done.stdout.partition("=> {")[2])
        return self._measured(result.get("seconds", {}), ""), result

    def _measured(self, stages: Mapping[str, float], left: str) -> Measured:
        text = self.sh(f"cat {PLACE}/measured.json; rm {PLACE}/measured.json")
        size = int(self.sh(f"du -sb {left}").split()[0]) if left else 0
        found = json.loads(text)
        kept = {key: found[key] for key in ("wall", "cpu", "other", "own_rss", "tree_rss", "disk")}
        return Measured(**kept, size=size, stages=stages)

    def versions(self) -> dict[str, str]:
        """What is measured, and on what."""
        asked = {
            "PostgreSQL": "psql --version | cut -d' ' -f3",
            "zstd": "zstd --version | grep -o 'v[0-9.]*' | tail -1",
            "gzip": "gzip --version | head -1 | cut -d' ' -f2",
            "awscli": "aws --version | grep -o 'aws-cli/[0-9.]*' | cut -d/ -f2",
            "age": "age --version",
            "Python": "python3 -c 'import platform; print(platform.python_version())'",
            "boto3": "python3 -c 'import boto3; print(boto3.__version__)'",
            "kernel": "uname -r",
        }
        return {name: self.sh(command) for name, command in asked.items()}

    def machine(self) -> str:
        """Its processor and memory."""
        model = self.sh("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2").strip()
        memory = int(self.sh("grep MemTotal /proc/meminfo | tr -dc 0-9")) / 1024**2
        return f"{self.sh('nproc')} cores of {model}, {memory:.0f} GB of memory"


def noted(key: str, measured: Measured) -> Measured:
    """Say how a run went, and hand it on."""
    say(f"  {key}: {measured.wall:.1f} s, {measured.cpu:.1f} CPU s, {measured.other:.1f} elsewhere")
    return measured
