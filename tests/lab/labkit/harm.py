# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Damage on request: each harm is one real fault of a host, and can be undone."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping

from labkit import machine, pki
from labkit.engine import Docker
from labkit.hosts import Host, load
from labkit.layout import LAB_SOURCE, Lab
from labkit.machine import File
from labkit.process import LabError, say

PROJECT = "/srv/boardroom"
BACKUP_DIRECTORY = "/var/backups/boardroom-maintenance"
FULL = "/run/lab-disk-full"
LOG_AGES = (8, 31, 400)
S3_PORT = 8333


class Harm:
    """The faults one host of the lab can be given."""

    def __init__(self, lab: Lab, docker: Docker, host: Host, *, path: str = BACKUP_DIRECTORY, free: int = 1) -> None:
        self.lab = lab
        self.docker = docker
        self.host = host
        self.path = path
        self.free = free

    def do(self, harm: str, *, undo: bool = False) -> None:
        """Do or undo one harm. LabError when this kind of host cannot have it."""
        if self.host.kind == "s3" and harm not in {"s3-cut", "network-cut"}:
            raise LabError(f"{self.host.name} is an S3 server: only s3-cut and network-cut make sense there")
        if self.host.kind == "bare" and harm not in {"disk-full", "network-cut"}:
            raise LabError(f"{self.host.name} is a bare host: only disk-full and network-cut make sense there")
        HARMS[harm](self, undo)
        say(f"{self.host.name}: {harm} {'undone' if undo else 'done'}")

    def _exec(self, *argv: str, check: bool = True, data: bytes | None = None, timeout: float = 120.0) -> str:
        stdin = ["-i"] if data is not None else []
        return self.docker("exec", *stdin, self.host.container, *argv, check=check, data=data, timeout=timeout)

    def _has(self, *argv: str) -> bool:
        return self.docker.ok("exec", self.host.container, *argv)

    def certificate_expired(self, undo: bool) -> None:
        """nginx serves a certificate of the lab's authority that ended yesterday."""
        make = pki.good_certificate if undo else pki.expired_certificate
        files = machine.certificate_files(*make(self.lab, self.host.name, self.host.address))
        machine.put(self.docker, self.host.container, files)
        self._exec("systemctl", "reload", "nginx")
        # The reload returns before the new workers serve.
        machine.wait(lambda: serves(self.host.address, files), "nginx did not serve the new certificate", 20)

    def release_broken(self, undo: bool) -> None:
        """The project runs the release `broken`, which starts and never becomes healthy."""
        if not self._has("test", "-d", f"{PROJECT}/.git"):
            raise LabError(f"{self.host.name} has no application in {PROJECT}")
        tag = (LAB_SOURCE / "boardroom" / "RELEASE").read_text().strip() if undo else "broken"
        # A tag, not a branch: that is how the project is deployed.
        self._exec("git", "-c", f"safe.directory={PROJECT}", "-C", PROJECT, "checkout", "-q", "--force", tag)
        compose = ["docker-compose"] if self.host.kind == "bookworm" else ["docker", "compose"]
        where = ["--project-directory", PROJECT, "-f", f"{PROJECT}/docker-compose.yml"]
        self._exec(*compose, *where, "build", "-q", timeout=300)
        self._exec(*compose, *where, "up", "-d", timeout=300)
        machine.wait(lambda: self._release() == tag, f"the release {tag} did not answer", 60)
        if undo:
            machine.wait(
                lambda: machine.answers_healthy(self.docker, self.host.container),
                f"the release {tag} did not become healthy",
                60,
            )

    def _release(self) -> str:
        """The release that answers the health check, well or not."""
        answer = self._exec("curl", "-sS", "--max-time", "5", "http://127.0.0.1:8000/health", check=False)
        try:
            return str(json.loads(answer)["release"])
        except (ValueError, KeyError, TypeError):
            return ""

    def disk_full(self, undo: bool) -> None:
        """What is in the backup directory stays readable; writing more than a little finds no space left."""
        mounted = self._has("mountpoint", "-q", self.path)
        if undo:
            if mounted:
                self._exec("umount", self.path)
                self._exec("umount", FULL)
            return
        if mounted:
            raise LabError(f"{self.path} on {self.host.name} is full already")
        # A small file system laid over the directory: nothing of the machine's own disk is used up, and a
        # restart of the host ends it.
        self._exec("mkdir", "-p", self.path, FULL)
        self._exec("mount", "-t", "tmpfs", "-o", f"size={self.free + 1}M,mode=755", "lab-full", FULL)
        self._exec("mkdir", f"{FULL}/upper", f"{FULL}/work")
        self._exec("chown", "--reference", self.path, f"{FULL}/upper")
        self._exec("chmod", "--reference", self.path, f"{FULL}/upper")
        self._exec(
            "mount",
            "-t",
            "overlay",
            "lab-full",
            "-o",
            f"lowerdir={self.path},upperdir={FULL}/upper,workdir={FULL}/work",
            self.path,
        )
        self._exec("dd", "if=/dev/zero", f"of={FULL}/filler", "bs=1M", "count=1", "status=none")

    def s3_cut(self, undo: bool) -> None:
        """Packets between this host and the S3 server are lost; on the S3 server itself: it hangs."""
        if self.host.kind == "s3":
            state = self.docker("inspect", "--format", "{{.State.Status}}", self.host.container)
            if undo and state == "paused":
                self.docker("unpause", self.host.container)
            elif not undo and state != "paused":
                self.docker("pause", self.host.container)
            return
        servers = [host for host in load(self.lab).values() if host.kind == "s3"]
        if not servers:
            raise LabError("this lab has no S3 server to cut off: `lab.py up s3 --kind s3`")
        for server in servers:
            for chain, flag in (("OUTPUT", "-d"), ("INPUT", "-s"), ("FORWARD", "-d")):
                rule = [chain, flag, server.address, "-j", "DROP"]
                present = self._has("iptables", "-w", "-C", *rule)
                if undo and present:
                    self._exec("iptables", "-w", "-D", *rule)
                elif not undo and not present:
                    self._exec("iptables", "-w", "-I", *rule)

    def postgres_stopped(self, undo: bool) -> None:
        """The database server is stopped."""
        self._exec("systemctl", "start" if undo else "stop", "postgresql")

    def logs_aged(self, undo: bool) -> None:
        """The application's logs hold files of 8, 31 and 400 days, plain and compressed."""
        names = [f"{PROJECT}/logs/aged-{days}{suffix}" for days in LOG_AGES for suffix in (".jsonl", ".jsonl.gz")]
        if undo:
            self._exec("rm", "-f", *names)
            return
        self._exec("mkdir", "-p", f"{PROJECT}/logs")
        now = time.time()
        line = '{"level": "info", "event": "request", "path": "/api/boards", "status": 200, "aged": true}\n'
        files = {name: File(line * 2000) for name in names if name.endswith(".jsonl")}
        machine.put(self.docker, self.host.container, files)
        for days in LOG_AGES:
            name = f"{PROJECT}/logs/aged-{days}.jsonl"
            self._exec("gzip", "--keep", "--force", name)
            for path in (name, f"{name}.gz"):
                self._exec("chown", "--reference", f"{PROJECT}/logs", path)
                self._exec("touch", "--date", f"@{now - days * 86400:.0f}", path)

    def network_cut(self, undo: bool) -> None:
        """The host is unreachable; reconnected, it has its old address."""
        found = self.docker.inspect("container", self.host.container)
        connected = bool(found and self.lab.prefix in found["NetworkSettings"]["Networks"])
        if undo and not connected:
            self.docker(
                "network",
                "connect",
                "--ip",
                self.host.address,
                "--alias",
                self.host.name,
                self.lab.prefix,
                self.host.container,
            )
        elif not undo and connected:
            self.docker("network", "disconnect", self.lab.prefix, self.host.container)


def serves(address: str, files: Mapping[str, File]) -> bool:
    """Whether the server at an address shows the certificate that its files hold."""
    try:
        served = ssl.get_server_certificate((address, 443), timeout=5)
    except OSError:
        return False
    return files[machine.CERTIFICATE].text.startswith(served.strip())


HARMS: dict[str, Callable[[Harm, bool], None]] = {
    "certificate-expired": Harm.certificate_expired,
    "release-broken": Harm.release_broken,
    "disk-full": Harm.disk_full,
    "s3-cut": Harm.s3_cut,
    "postgres-stopped": Harm.postgres_stopped,
    "logs-aged": Harm.logs_aged,
    "network-cut": Harm.network_cut,
}
"""Every harm by its name on the command line."""
