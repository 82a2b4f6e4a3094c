# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The images of the lab, in stages. Each is tagged with a hash of what it was made from, so nothing is made twice.

    base      Debian, pulled or made by debootstrap
    host      base + systemd, sshd, sudo, python3             (kind bare)
    packages  host + the services of a managed host           (kind trixie)
    app       base + what the sample application runs on
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
from labkit.process import LabError, may_be_root, run, run_long, say, tail

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
    """Twelve hexadecimal digits over texts and over the names, modes and contents of files in folders."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode() + b"\0")
            continue
        for path in sorted(part.rglob("*")):
            relative = path.relative_to(part)
            if not path.is_file() or "__pycache__" in relative.parts or any(p.startswith(".") for p in relative.parts):
                continue
            if path.suffix == ".md":
                continue
            total.update(f"{relative}\0{path.stat().st_mode & 0o111}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


class Builder:
    """Makes the images of one lab."""

    def __init__(self, lab: Lab, docker: Docker) -> None:
        self.lab = lab
        self.docker = docker
        self.has_application = (APPLICATION / "provision.sh").is_file()

    def plan(self, kind: str) -> list[Stage]:
        """The stages of a kind, in order; the last one is what a host of that kind runs."""
        if kind not in KINDS:
            raise LabError(f"there is no kind of host called {kind}: use one of {', '.join(KINDS)}")
        release = "bookworm" if kind == "bookworm" else "trixie"
        base = self._stage(f"base-{release}", digest_of(BASE_VERSION, release), self._make_base,
                           title=f"base image, Debian {release}")
        if kind == "s3":
            return [base, self._built("s3", base, "S3 server image")]
        host = self._built("host", base, f"bare host image, {release}", name=f"host-{release}")
        if kind == "bare":
            return [base, host]
        stages = [base, host]
        parts: list[str | Path] = [IMAGES / kind, "bake 1", LAB_SOURCE / "labkit" / "bake.py"]
        if kind == "trixie":
            stages.append(self._built("trixie", host, "managed host image, packages", name="packages"))
        if self.has_application:
            # The application's own containers are trixie everywhere.
            trixie = self.plan("bare")[0]
            app = self._stage("app", digest_of(trixie.digest, (APPLICATION / "base.Dockerfile").read_text()),
                              lambda stage: self._make_app(stage, trixie), title="application base image")
            stages += [stage for stage in (trixie, app) if stage not in stages]
            parts += [app.digest, APPLICATION]
        below = stages[-1] if kind == "trixie" and not self.has_application else stages[2 if kind == "trixie" else 1]
        digest = digest_of(below.digest, *(p if isinstance(p, str) else (p.read_text() if p.is_file() else p)
                                           for p in parts))
        application = stages[-1].image if self.has_application else None
        ready = Stage(
            f"ready image, {kind}", self.lab.image(f"ready-{kind}", digest), digest,
            lambda stage: bake.bake(self.lab, self.docker, kind, below.image, stage.image, str(stage.seed),
                                    self.labels(stage), application),
            seed=self.lab.seed(kind, digest),
        )
        return [*stages, ready]

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

    def labels(self, stage: Stage) -> list[str]:
        """Labels of an image as arguments of `docker build`."""
        return ["--label", self.lab.label, "--label", f"{INPUT_LABEL}={stage.digest}"]

    def _stage(self, name: str, digest: str, make: Callable[[Stage], None], title: str) -> Stage:
        return Stage(title, self.lab.image(name, digest), digest, make)

    def _built(self, folder: str, below: Stage, title: str, name: str = "") -> Stage:
        return self._stage(
            name or folder, digest_of(below.digest, IMAGES / folder),
            lambda stage: self._build(stage, IMAGES / folder, IMAGES / folder / "Dockerfile", below.image), title,
        )

    def _build(self, stage: Stage, context: Path, dockerfile: Path, base: str) -> None:
        with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as scratch:
            folder = Path(scratch) / "context"
            shutil.copytree(context, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            bundle = Path("/etc/ssl/certs/ca-certificates.crt")
            (folder / "ca-certificates.crt").write_bytes(bundle.read_bytes() if bundle.is_file() else b"")
            run_long(
                [*self.docker.argv, "build", "--file", str(folder / dockerfile.relative_to(context)), "--tag", stage.image,
                 "--build-arg", f"BASE={base}", *self.labels(stage), "--rm", "--force-rm", str(folder)],
                stage.title, self.lab.logs / "build.log", env=self.docker.build_environment(),
            )

    def _make_app(self, stage: Stage, base: Stage) -> None:
        self._build(stage, APPLICATION, APPLICATION / "base.Dockerfile", base.image)

    def _make_base(self, stage: Stage) -> None:
        release = stage.image.rsplit("base-", 1)[1].split(":")[0]
        found = mirror.of_this_machine()
        public = f"debian:{release}-slim"
        log = self.lab.logs / "base.log"
        known = self.docker.ok("image", "inspect", public)
        if not known:
            try:
                run_long([*self.docker.argv, "pull", "-q", public], f"pull {public} (at most {PULL_SECONDS} s)", log,
                         timeout=PULL_SECONDS)
            except LabError:
                say(f"{public} cannot be pulled here: building it with debootstrap from this machine's own mirror")
                self._debootstrap(stage, release, found, log)
                return
        with tempfile.TemporaryDirectory(prefix="boardroom-lab-") as scratch:
            Path(scratch, "debian.sources").write_text(found.sources(release), encoding="utf-8")
            Path(scratch, "Dockerfile").write_text(
                f"FROM {public}\nCOPY debian.sources /etc/apt/sources.list.d/debian.sources\n", encoding="utf-8")
            run_long([*self.docker.argv, "build", "--tag", stage.image, *self.labels(stage), scratch], stage.title, log,
                     env=self.docker.build_environment())
        if not known:
            self.docker("rmi", public)

    def _debootstrap(self, stage: Stage, release: str, found: mirror.Mirror, log: Path) -> None:
        root = may_be_root()
        if root is None:
            raise LabError(
                f"the image debian:{release}-slim cannot be pulled and building it needs root: "
                f"give the engine a way to a registry, or run as root"
            )
        if shutil.which("debootstrap") is None and not Path("/usr/sbin/debootstrap").exists():
            install(self.lab, ["debootstrap"])
        program = shutil.which("debootstrap") or "/usr/sbin/debootstrap"
        # Not below the checkout: debootstrap does not cope with spaces in its target's path.
        scratch = tempfile.mkdtemp(prefix="boardroom-lab-", dir="/var/tmp")
        try:
            target = Path(scratch) / "root"
            run_long([*root, program, "--variant=minbase", "--include=ca-certificates", release, str(target),
                      found.archive], f"debootstrap {release}", log)
            sources = Path(scratch) / "debian.sources"
            sources.write_text(found.sources(release), encoding="utf-8")
            run([*root, "cp", str(sources), str(target / "etc/apt/sources.list.d/debian.sources")])
            run([*root, "rm", "-f", str(target / "etc/apt/sources.list")])
            for folder in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
                run([*root, "find", str(target / folder), "-type", "f", "-delete"])
            say("importing the base image")
            self._import(stage, root, target)
        except LabError as error:
            raise LabError(f"the base image could not be made from this machine's mirror: {error}; "
                           f"{tail(log, size=300).splitlines()[-1:]}") from None
        finally:
            run([*root, "rm", "-rf", "--one-file-system", scratch], check=False)

    def _import(self, stage: Stage, root: list[str], target: Path) -> None:
        with subprocess.Popen([*root, "tar", "-C", str(target), "--numeric-owner", "-cf", "-", "."],
                              stdout=subprocess.PIPE) as tar:
            self.docker(
                "import", "--change", f"LABEL {self.lab.label.replace('=', '=')} {INPUT_LABEL}={stage.digest}",
                "--change", 'CMD ["bash"]', "-", stage.image, source=tar.stdout, timeout=600,
            )
