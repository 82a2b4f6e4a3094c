# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The images of the lab, in stages. Each is tagged with a hash of what it was made from: none is made twice.

base      Debian, pulled or made by debootstrap
host      base + systemd, sshd, sudo, python3             (kind bare)
packages  host + the services of a managed host           (kind trixie)
app       base + what the sample application runs on
services  base + PostgreSQL and Redis for the application's second Compose file (in hosts of kind trixie)
ready     packages, started once, provisioned and shut down: a snapshot (kinds trixie and bookworm)
s3        base + the S3 server                            (kind s3)
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit import bake, mirror
from labkit.engine import Docker, install
from labkit.layout import INPUT_LABEL, LAB_SOURCE, Lab
from labkit.process import LabError, find_program, may_be_root, run, run_long, say

IMAGES = LAB_SOURCE / "images"
APPLICATION = LAB_SOURCE / "boardroom"
KINDS = ("trixie", "bookworm", "bare", "s3")
PULL_SECONDS = 60
BASE_VERSION = "1"
"""Raised when the way a base image is made changes."""


@dataclass(frozen=True)
class Stage:
    """One image: its name, what it is made from, and how."""

    title: str
    image: str
    digest: str
    make: Callable[[Stage], None]
    seed: str | None = None
    """Volume that belongs to the image (ready images only)."""


def digest_of(*parts: str | Path) -> str:
    """Twelve hexadecimal digits over texts, files, and names, modes and contents of the files in folders."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode() + b"\0")
            continue
        for path in [part] if part.is_file() else sorted(part.rglob("*")):
            relative = path.relative_to(part.parent)
            hidden = any(piece.startswith(".") for piece in relative.parts)
            if not path.is_file() or hidden or "__pycache__" in relative.parts or path.suffix == ".md":
                continue
            total.update(f"{relative}\0{path.stat().st_mode & 0o111}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


class Builder:
    """Makes the images of one lab."""

    def __init__(self, lab: Lab, docker: Docker) -> None:
        self.lab = lab
        self.docker = docker

    def plan(self, kind: str) -> list[Stage]:
        """The stages of a kind, in order; the last one is what a host of that kind runs."""
        if kind not in KINDS:
            raise LabError(f"there is no kind of host called {kind}: use one of {', '.join(KINDS)}")
        release = "bookworm" if kind == "bookworm" else "trixie"
        base = self._base(release)
        if kind == "s3":
            return [base, self._built("s3", base, "S3 server image")]
        host = self._built("host", base, f"bare host image, {release}", name=f"host-{release}")
        if kind == "bare":
            return [base, host]
        below = (
            self._built("trixie", host, "managed host image, packages", name="packages") if kind == "trixie" else host
        )
        # The application's own containers are trixie everywhere.
        trixie = self._base("trixie")
        inner = {
            "boardroom-base:1": self._application("app", trixie, "base.Dockerfile", "releases/v1.0.0/requirements.txt")
        }
        if kind == "trixie":
            inner["boardroom-services:1"] = self._application(
                "services", trixie, "services.Dockerfile", "services-entrypoint"
            )
        parts = [below.digest, *(stage.digest for stage in inner.values())]
        digest = digest_of(*parts, IMAGES / kind, LAB_SOURCE / "labkit" / "bake.py", APPLICATION)
        seed = self.lab.seed(kind, digest)
        return [
            base,
            host,
            below,
            trixie,
            *inner.values(),
            Stage(
                f"ready image, {kind}",
                self.lab.image(f"ready-{kind}", digest),
                digest,
                lambda stage: bake.bake(
                    self.lab,
                    self.docker,
                    kind,
                    below.image,
                    stage.image,
                    seed,
                    self._labels(stage),
                    {name: made.image for name, made in inner.items()},
                ),
                seed,
            ),
        ]

    def ensure(self, kinds: Iterable[str]) -> None:
        """Make what is missing, one visible step after the other."""
        with self.lab.locked("images"):
            wanted: dict[str, Stage] = {}
            for kind in kinds:
                for stage in self.plan(kind):
                    wanted.setdefault(stage.image, stage)
            have = set(self.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split())
            volumes = set(self.docker("volume", "ls", "-q").split())
            missing = [s for s in wanted.values() if s.image not in have or (s.seed and s.seed not in volumes)]
            for number, stage in enumerate(missing, 1):
                started = time.monotonic()
                say(f"step {number} of {len(missing)}: {stage.title}")
                stage.make(stage)
                say(f"step {number} of {len(missing)}: {stage.title}, {time.monotonic() - started:.0f} s")
            if missing:
                self._remove_outdated()

    def _remove_outdated(self) -> None:
        """Remove what earlier versions of the sources made, unless a host still runs it."""
        current = [stage for kind in KINDS for stage in self.plan(kind)]
        images = self.docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"{self.lab.prefix}/*").split()
        for image in set(images) - {stage.image for stage in current}:
            self.docker("rmi", image, check=False)
        seeds = self.docker("volume", "ls", "-q", "--filter", f"name={self.lab.seed('', '').rstrip('-')}").split()
        for seed in set(seeds) - {stage.seed for stage in current}:
            self.docker("volume", "rm", seed, check=False)

    def _labels(self, stage: Stage) -> list[str]:
        """Labels of an image: whose it is, and what it was made from."""
        return [self.lab.label, f"{INPUT_LABEL}={stage.digest}"]

    def _base(self, release: str) -> Stage:
        digest = digest_of(BASE_VERSION, release)
        return Stage(
            f"base image, Debian {release}",
            self.lab.image(f"base-{release}", digest),
            digest,
            lambda stage: self._make_base(stage, release),
        )

    def _built(self, folder: str, below: Stage, title: str, name: str = "") -> Stage:
        digest = digest_of(below.digest, IMAGES / folder)
        return Stage(
            title,
            self.lab.image(name or folder, digest),
            digest,
            lambda stage: self._build(stage, IMAGES / folder, IMAGES / folder / "Dockerfile", below.image),
        )

    def _application(self, name: str, base: Stage, dockerfile: str, *sources: str) -> Stage:
        """An image that a host's own engine gets: made from the application's folder, of which it uses sources."""
        digest = digest_of(base.digest, *(APPLICATION / source for source in (dockerfile, *sources)))
        return Stage(
            f"application image, {name}",
            self.lab.image(name, digest),
            digest,
            lambda stage: self._build(stage, APPLICATION, APPLICATION / dockerfile, base.image),
        )

    def _docker_build(self, stage: Stage, context: str, log: str, *arguments: str) -> None:
        labels = [part for label in self._labels(stage) for part in ("--label", label)]
        try:
            run_long(
                [
                    *self.docker.argv,
                    "build",
                    "--tag",
                    stage.image,
                    *labels,
                    "--rm",
                    "--force-rm",
                    *arguments,
                    context,
                ],
                stage.title,
                self.lab.logs / log,
                env=self.docker.build_environment(),
            )
        except LabError as error:
            raise LabError(f"{error}; when a download failed: check the network and the Debian mirror") from None

    def _build(self, stage: Stage, context: Path, dockerfile: Path, base: str) -> None:
        with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as scratch:
            folder = Path(scratch) / "context"
            shutil.copytree(context, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            bundle = Path("/etc/ssl/certs/ca-certificates.crt")
            (folder / "ca-certificates.crt").write_bytes(bundle.read_bytes() if bundle.is_file() else b"")
            self._docker_build(
                stage,
                str(folder),
                "build.log",
                "--build-arg",
                f"BASE={base}",
                "--file",
                str(folder / dockerfile.relative_to(context)),
            )

    def _make_base(self, stage: Stage, release: str) -> None:
        found = mirror.of_this_machine()
        public = f"debian:{release}-slim"
        known = self.docker.ok("image", "inspect", public)
        if not known:
            try:
                run_long(
                    [*self.docker.argv, "pull", "-q", public],
                    f"pull {public} (at most {PULL_SECONDS} s)",
                    self.lab.logs / "base.log",
                    timeout=PULL_SECONDS,
                    explain=False,
                )
            except LabError:
                say(f"{public} cannot be pulled: building it with debootstrap from this machine's own mirror")
                self._debootstrap(stage, release, found)
                return
        with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as scratch:
            Path(scratch, "debian.sources").write_text(found.sources(release), encoding="utf-8")
            Path(scratch, "Dockerfile").write_text(
                f"FROM {public}\nCOPY debian.sources /etc/apt/sources.list.d/debian.sources\n",
                encoding="utf-8",
            )
            self._docker_build(stage, scratch, "base.log")
        if not known:
            self.docker("rmi", public)

    def _debootstrap(self, stage: Stage, release: str, found: mirror.Mirror) -> None:
        root = may_be_root()
        if root is None:
            raise LabError(
                f"the image debian:{release}-slim cannot be pulled and building it needs root: "
                f"give the engine a way to a registry, or run as root"
            )
        if find_program("debootstrap") is None:
            install(self.lab, ["debootstrap"])
        # Not below the checkout: debootstrap does not cope with spaces in its target's path.
        scratch = tempfile.mkdtemp(prefix="boardroom-lab-", dir="/var/tmp")
        try:
            target = Path(scratch) / "root"
            try:
                run_long(
                    [
                        *root,
                        find_program("debootstrap") or "debootstrap",
                        "--variant=minbase",
                        "--include=ca-certificates",
                        release,
                        str(target),
                        found.archive,
                    ],
                    f"debootstrap {release}",
                    self.lab.logs / "base.log",
                    explain=False,
                )
            except LabError as error:
                raise LabError(f"{error}; check the network and this machine's Debian mirror") from None
            sources = Path(scratch) / "debian.sources"
            sources.write_text(found.sources(release), encoding="utf-8")
            run([*root, "cp", str(sources), str(target / "etc/apt/sources.list.d/debian.sources")])
            run([*root, "rm", "-f", str(target / "etc/apt/sources.list")])
            for folder in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
                run([*root, "find", str(target / folder), "-type", "f", "-delete"])
            say("importing the base image")
            self._import(stage, root, target)
        finally:
            run([*root, "rm", "-rf", "--one-file-system", scratch], check=False)

    def _import(self, stage: Stage, root: list[str], target: Path) -> None:
        with subprocess.Popen(
            [*root, "tar", "-C", str(target), "--numeric-owner", "-cf", "-", "."], stdout=subprocess.PIPE
        ) as tar:
            self.docker(
                "import",
                "--change",
                f"LABEL {' '.join(self._labels(stage))}",
                "--change",
                'CMD ["bash"]',
                "-",
                stage.image,
                source=tar.stdout,
                timeout=600,
            )
