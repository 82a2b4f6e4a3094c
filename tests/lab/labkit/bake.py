# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Make a ready image: start a host once, provision it fully, shut it down in order, and keep the result."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from labkit import machine, pki
from labkit.engine import Docker
from labkit.layout import LAB_SOURCE, Lab
from labkit.process import LabError, run, run_long, say

COMPOSE = {"trixie": "docker compose", "bookworm": "docker-compose"}
BAKED_MEGABYTES = 50
BOOT_SECONDS = 120


def bake(
    lab: Lab,
    docker: Docker,
    kind: str,
    below: str,
    image: str,
    seed: str,
    labels: list[str],
    inner: Mapping[str, str],
) -> None:
    """Provision a host of kind, starting from the image below, and commit it as image.

    The nested engine's data stays in the volume seed. inner: the images the nested engine gets, as
    the name they have there and the name they have here.
    """
    pki.ensure_authority(lab)
    container = lab.container(f"bake-{kind}")
    log = lab.logs / f"bake-{kind}.log"
    docker("rm", "--force", container, check=False)
    docker("volume", "rm", "--force", seed)
    docker("volume", "create", "--label", lab.label, seed)
    done = False
    try:
        machine.create(lab, docker, f"bake-{kind}", below, network=None, address=None, volume=seed)
        chain, key = pki.good_certificate(lab, "bake", "127.0.0.1")
        machine.put(docker, container, machine.certificate_files(chain, key))
        docker("start", container)
        machine.wait(lambda: machine.booted(docker, container), "systemd did not come up", BOOT_SECONDS)
        if kind == "bookworm":
            machine.put_folder(docker, container, LAB_SOURCE / "images" / "bookworm", "/root/setup")
            run_long([*docker.argv, "exec", container, "bash", "/root/setup/install.sh"], "installing by hand", log)
        _check_services(docker, container)
        _load(docker, container, inner)
        _provision(docker, container, kind, log)
        _forget_identity(docker, container)
        say("shutting the host down in order")
        docker("stop", "--time", "90", container, timeout=120)
        docker(
            "commit",
            *(part for label in labels for part in ("--change", f"LABEL {label}")),
            container,
            image,
            timeout=600,
        )
        done = True
    finally:
        docker("rm", "--force", container, check=False)
        if not done:
            docker("volume", "rm", "--force", seed, check=False)


def _check_services(docker: Docker, container: str) -> None:
    # sshd has no host key before a host is made from the image.
    broken = [unit for unit in machine.failed_units(docker, container) if unit != "ssh.service"]
    if broken:
        journal = docker("exec", container, "journalctl", "--no-pager", "-n", "30", "-u", broken[0], check=False)
        print(journal, file=sys.stderr)
        raise LabError(f"these services did not start on the host: {', '.join(broken)}")


def _load(docker: Docker, container: str, inner: Mapping[str, str]) -> None:
    """Give the nested engine its images, which it cannot get from a registry."""
    say(f"loading {', '.join(inner)} into the nested engine")
    with subprocess.Popen([*docker.argv, "save", *inner.values()], stdout=subprocess.PIPE) as save:
        docker("exec", "-i", container, "docker", "load", source=save.stdout, timeout=600)
    for name, image in inner.items():
        docker("exec", container, "docker", "tag", image, name)
        docker("exec", container, "docker", "rmi", image)


def _provision(docker: Docker, container: str, kind: str, log: Path) -> None:
    """Put the sample application on the host, as tests/lab/boardroom defines it."""
    source = LAB_SOURCE / "boardroom"
    machine.put_folder(docker, container, source, "/opt/boardroom-lab")
    with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as scratch:
        repository = Path(scratch) / "boardroom.git"
        run([sys.executable, str(source / "make_repository.py"), str(repository)], timeout=120)
        machine.put_folder(docker, container, repository, "/srv/git/boardroom.git")
    run_long(
        [
            *docker.argv,
            "exec",
            "-w",
            "/",
            container,
            "bash",
            "/opt/boardroom-lab/provision.sh",
            "--megabytes",
            str(BAKED_MEGABYTES),
            "--compose",
            COMPOSE[kind],
        ],
        "provisioning the application",
        log,
    )
    machine.wait(lambda: machine.answers_healthy(docker, container), "the application did not become healthy", 60)


def _forget_identity(docker: Docker, container: str) -> None:
    """Remove what must differ from host to host and what only the making left behind."""
    docker("exec", container, "rm", "-rf", machine.CERTIFICATE, machine.CERTIFICATE_KEY, "/root/setup")
    docker("exec", container, "find", "/etc/ssh", "-name", "ssh_host_*", "-delete")
    docker("exec", container, "find", "/var/log/journal", "-type", "f", "-delete", check=False)
    docker("exec", container, "truncate", "-s", "0", "/etc/machine-id")
