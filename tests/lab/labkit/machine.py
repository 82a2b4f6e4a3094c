# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""One container that behaves like a machine: create, start, copy in, wait, stop."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.engine import Docker
from labkit.layout import Lab
from labkit.pki import SERVER_NAME
from labkit.process import LabError, say

CERTIFICATE = "/etc/ssl/boardroom/fullchain.pem"
CERTIFICATE_KEY = "/etc/ssl/boardroom/privkey.pem"
AUTHORITY = "/etc/boardroom-lab/ca.pem"
"""The lab's CA on a host, for checks that verify the server's certificate."""

MACHINE_OPTIONS = (
    # --privileged is more than a nested engine needs and more than some machines can give.
    "--cap-add",
    "ALL",
    "--cap-drop",
    "SYS_RESOURCE",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "apparmor=unconfined",
    "--cgroupns",
    "private",
    "--tmpfs",
    "/run:exec,mode=755",
    "--tmpfs",
    "/tmp:exec,mode=1777",
    "--memory",
    "3g",
    "--shm-size",
    "256m",
    "--pids-limit",
    "4096",
)
S3_OPTIONS = ("--memory", "768m", "--pids-limit", "512")


@dataclass(frozen=True)
class File:
    """One file to put into a container."""

    text: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


def create(
    lab: Lab,
    docker: Docker,
    name: str,
    image: str,
    *,
    network: str | None,
    address: str | None,
    volume: str | None,
    s3: bool = False,
    options: Sequence[str] = (),
) -> str:
    """Create a container, not started, on the engine's own bridge when network is None. Returns its id.

    options are further ones of `docker create`; the last of two that contradict each other counts.
    """
    usual = ["--name", lab.container(name), "--hostname", name, "--label", lab.label]
    if network and address:
        usual += ["--network", network, "--ip", address, "--network-alias", name]
    usual += S3_OPTIONS if s3 else [*MACHINE_OPTIONS, "--add-host", f"{SERVER_NAME}:127.0.0.1"]
    if volume:
        usual += ["--volume", f"{volume}:{'/data' if s3 else '/var/lib/docker'}"]
    return docker("create", *usual, *options, image)


def certificate_files(chain: str, key: str) -> dict[str, File]:
    """A server certificate where nginx looks for it."""
    return {CERTIFICATE: File(chain), CERTIFICATE_KEY: File(key, 0o600)}


def put(docker: Docker, container: str, files: Mapping[str, File]) -> None:
    """Write files (absolute path to content) into a container, started or not."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, file in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            data = file.text.encode()
            entry.size, entry.mode, entry.uid, entry.gid = len(data), file.mode, file.uid, file.gid
            entry.mtime = int(time.time())
            archive.addfile(entry, io.BytesIO(data))
    docker("cp", "-", f"{container}:/", data=stream.getvalue())


def put_folder(docker: Docker, container: str, source: Path, target: str) -> None:
    """Copy a folder into a container, owned by root, without caches."""

    def neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in entry.name:
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(source, arcname=target.lstrip("/"), filter=neutral)
    docker("cp", "-", f"{container}:/", data=stream.getvalue(), timeout=300)


def wait(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait until condition holds. LabError says what did not happen within the time."""
    deadline = time.monotonic() + seconds
    heartbeat = time.monotonic() + 10
    while not condition():
        now = time.monotonic()
        if now > deadline:
            raise LabError(f"{what} within {seconds:.0f} s")
        if now > heartbeat:
            say(f"  still waiting: {what}, {seconds - (deadline - now):.0f} s")
            heartbeat = now + 10
        time.sleep(0.25)


def booted(docker: Docker, container: str) -> bool:
    """Whether systemd has started everything (or given up on a unit)."""
    state = docker("exec", container, "systemctl", "is-system-running", check=False)
    return state in {"running", "degraded"}


def failed_units(docker: Docker, container: str) -> list[str]:
    """Names of the units that did not start."""
    text = docker("exec", container, "systemctl", "list-units", "--failed", "--plain", "--no-legend", check=False)
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def answers_healthy(docker: Docker, container: str) -> bool:
    """Whether the application on a host says that it is well."""
    text = docker("exec", container, "curl", "-fsS", "--max-time", "3", "http://127.0.0.1:8000/health", check=False)
    try:
        return bool(json.loads(text)["status"] == "healthy")
    except (ValueError, KeyError, TypeError):
        return False


def copy_volume(lab: Lab, docker: Docker, image: str, source: str, target: str) -> None:
    """Copy one volume into another, new one."""
    docker("volume", "create", "--label", lab.label, target)
    # Overlay layers carry trusted attributes, which only an administrator may copy.
    docker(
        "run",
        "--rm",
        "--network",
        "none",
        "--label",
        lab.label,
        "--cap-add",
        "SYS_ADMIN",
        "--security-opt",
        "apparmor=unconfined",
        "--volume",
        f"{source}:/from:ro",
        "--volume",
        f"{target}:/to",
        image,
        "cp",
        "-a",
        "/from/.",
        "/to/",
        timeout=600,
    )
