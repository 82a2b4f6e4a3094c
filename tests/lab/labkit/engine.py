# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Find a Docker engine, or install and start one."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from labkit.layout import Lab
from labkit.process import LabError, find_program, last_line, may_be_root, run, run_long, say, tail

MINIMUM_FREE_GB = 8
START_SECONDS = 60


@dataclass
class Docker:
    """The docker CLI, as an argument list that is known to reach the engine."""

    argv: list[str] = field(default_factory=lambda: ["docker"])

    def __call__(
        self,
        *args: str,
        check: bool = True,
        data: bytes | None = None,
        source: IO[bytes] | None = None,
        timeout: float = 120.0,
    ) -> str:
        """Run one docker command and return its standard output, stripped. LabError when it fails."""
        return run([*self.argv, *args], check=check, data=data, source=source, timeout=timeout).stdout.strip()

    def ok(self, *args: str) -> bool:
        """Whether one docker command succeeds."""
        return run([*self.argv, *args], check=False).returncode == 0

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """What the engine knows about one object ("container", "image", ...), or None when there is none."""
        done = run([*self.argv, kind, "inspect", name], check=False)
        if done.returncode != 0:
            if "o such" in done.stderr or "not found" in done.stderr:
                return None
            raise LabError(f"docker {kind} inspect {name} failed: {last_line(done.stderr)}")
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found[0]

    def build_environment(self) -> dict[str, str]:
        """Environment for `docker build`: an engine without buildx needs to be told so."""
        return {} if self.ok("buildx", "version") else {"DOCKER_BUILDKIT": "0"}


def diagnose(stderr: str) -> str:
    """What the CLI's complaint means: "rights", "absent" or "other"."""
    text = stderr.lower()
    if "permission denied" in text:
        return "rights"
    if "cannot connect" in text or "is the docker daemon running" in text or "no such file" in text:
        return "absent"
    return "other"


def connect() -> Docker:
    """The running engine. LabError says what is missing when there is none that we may use."""
    docker, problem = _probe()
    if docker is None:
        raise LabError(problem)
    return docker


def _probe() -> tuple[Docker | None, str]:
    if shutil.which("docker") is None:
        return None, "no Docker engine here: run `lab.py engine` as root"
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    done = run(argv, check=False, timeout=30)
    if done.returncode == 0:
        return Docker(), ""
    meaning = diagnose(done.stderr)
    if meaning == "rights":
        prefix = may_be_root()
        if prefix and run([*prefix, *argv], check=False, timeout=30).returncode == 0:
            return Docker([*prefix, "docker"]), ""
        raise LabError(
            "a Docker engine runs here but this user may not use it: add the user to the group docker "
            "(and log in again), or run as root"
        )
    if meaning == "absent":
        return None, "no Docker engine runs here: run `lab.py engine` as root"
    raise LabError(f"the Docker engine does not answer: {last_line(done.stderr)}")


def ensure(lab: Lab) -> Docker:
    """Find a usable engine, else install and start one; also see to the few programs the lab needs."""
    lab.make_state()
    with lab.locked("engine"):
        docker, _problem = _probe()
        if docker is None:
            root = may_be_root()
            if root is None:
                raise LabError("no Docker engine runs here and this user is not root: install Docker, or run as root")
            check_disk(Path("/var/lib/docker"))
            if find_program("dockerd") is None:
                install(lab, ["docker.io"])
            if shutil.which("docker") is None:
                # Debian 13 ships the command line apart, Debian 12 within docker.io.
                install(lab, ["docker-cli"])
            docker, _problem = _probe()
            if docker is None:
                docker = _start(lab, root)
        wanted = {"ssh": "openssh-client", "ssh-keygen": "openssh-client", "openssl": "openssl"}
        missing = sorted({package for program, package in wanted.items() if shutil.which(program) is None})
        if missing:
            install(lab, missing)
        check_disk(Path(docker("info", "--format", "{{.DockerRootDir}}")))
        return docker


def check_disk(folder: Path) -> None:
    """LabError when the file system that Docker's data lies on is nearly full."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free / 1e9
    if free < MINIMUM_FREE_GB:
        raise LabError(
            f"only {free:.1f} GB are free on the file system of {folder}, where Docker keeps its data: "
            f"make at least {MINIMUM_FREE_GB} GB free"
        )


def install(lab: Lab, packages: Sequence[str]) -> None:
    """Install Debian packages and remember which, so that `clean` can name them."""
    root = may_be_root()
    if root is None:
        raise LabError(f"the Debian packages {', '.join(packages)} are missing and this user is not root: install them")
    if shutil.which("apt-get") is None:
        raise LabError(f"this is no Debian (no apt-get): install by hand what provides {', '.join(packages)}")
    log = lab.logs / "apt.log"
    argv = [
        *root,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-y",
        "-q",
        "-o",
        "Acquire::Retries=3",
        "-o",
        "DPkg::Lock::Timeout=120",
        "--no-install-recommends",
        "install",
        *packages,
    ]
    title = f"install {' '.join(packages)}"
    try:
        run_long(argv, title, log, explain=False)
    except LabError:
        # Package lists that are absent or old are the usual reason; other vendors' sources may well fail.
        say("refreshing the package lists and trying again")
        run([*root, "apt-get", "-q", "update"], check=False, timeout=600)
        try:
            run_long(argv, title, log, explain=False)
        except LabError:
            raise LabError(
                f"the Debian packages {', '.join(packages)} could not be installed "
                f"({last_line(tail(log))}): check the network and the apt sources"
            ) from None
    record = lab.state / "installed-packages"
    known = record.read_text().split() if record.exists() else []
    record.write_text("".join(f"{name}\n" for name in sorted({*known, *packages})))


def _start(lab: Lab, root: list[str]) -> Docker:
    """Start the engine: through systemd where it runs, else as a process of its own session."""
    if Path("/run/systemd/system").is_dir():
        say("starting the Docker engine (systemctl start docker)")
        run([*root, "systemctl", "start", "docker"])
    else:
        say("starting the Docker engine (dockerd)")
        with (lab.state / "dockerd.log").open("ab") as log:
            subprocess.Popen(
                [*root, find_program("dockerd") or "dockerd", "--pidfile", str(pid_file(lab))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        docker, _problem = _probe()
        if docker is not None:
            return docker
        time.sleep(0.5)
    log_file = lab.state / "dockerd.log"
    reason = last_line(tail(log_file)) if log_file.exists() else "see `journalctl -u docker`"
    raise LabError(f"the Docker engine did not start within {START_SECONDS} s: {reason}")


def pid_file(lab: Lab) -> Path:
    """Process id of the dockerd that this lab started."""
    return lab.state / "dockerd.pid"


def stop(lab: Lab, docker: Docker) -> None:
    """Stop the dockerd that this lab started, unless somebody else's containers run in it."""
    if not pid_file(lab).exists():
        return
    others = docker("ps", "-q", "--no-trunc").split()
    if others:
        say(f"the Docker engine stays up: {len(others)} running container(s) are not of this lab")
        return
    root = may_be_root()
    if root is None:
        raise LabError("the Docker engine was started by root: run `lab.py clean` as root to stop it")
    pid = int(pid_file(lab).read_text())
    if Path(f"/proc/{pid}/comm").exists() and Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
        run([*root, "kill", str(pid)])
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        say("stopped the Docker engine")
