# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Which Debian mirror this machine uses: read from its own apt configuration, never from the project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.process import LabError

APT = Path("/etc/apt")
DEBIAN_SUITES = frozenset(
    {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
)


@dataclass(frozen=True)
class Mirror:
    """Base addresses of the Debian archive and, where the machine has one, of the security archive."""

    archive: str
    security: str | None

    def sources(self, release: str) -> str:
        """The deb822 sources file of a host that runs the release."""
        parts = [(self.archive, f"{release} {release}-updates")]
        if self.security:
            parts.append((self.security, f"{release}-security"))
        return "\n".join(
            f"Types: deb\nURIs: {address}\nSuites: {suites}\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
            for address, suites in parts
        )


@dataclass(frozen=True)
class Source:
    """One binary source of apt: an address with its suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_list(text: str) -> Iterator[Source]:
    """Sources of a file in the one-line format."""
    for line in text.splitlines():
        found = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)((?:\s+[^#\s]\S*)*)", line.strip())
        if found:
            yield Source(found[1], (found[2],), tuple(found[3].split()))


def parse_deb822(text: str) -> Iterator[Source]:
    """Sources of a file in the deb822 format."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", body):
        fields: dict[str, str] = {}
        key = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                fields[key] = f"{fields.get(key, '')} {line.strip()}"
            elif ":" in line:
                key, _colon, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in {"no", "false"} or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            yield Source(uri, tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split()))


def choose(sources: Iterable[Source]) -> Mirror | None:
    """The Debian archive among the sources of a machine (which may name other vendors' archives, too)."""
    archive: str | None = None
    security: str | None = None
    for source in sources:
        if "main" not in source.components:
            continue
        address = source.uri.rstrip("/")
        for suite in source.suites:
            name, _dash, pocket = suite.replace("/", "-").partition("-")
            if name not in DEBIAN_SUITES:
                continue
            if pocket in {"security", "updates"} and "security" in (pocket, address.rsplit("-", 1)[-1]):
                security = security or address
            elif not pocket:
                archive = archive or address
    return Mirror(archive, security) if archive else None


def of_this_machine(apt: Path = APT) -> Mirror:
    """The mirror this machine uses. LabError when its apt configuration names none."""
    found: list[Source] = []
    lists = sorted(apt.glob("sources.list.d/*.list"))
    for path in [apt / "sources.list", *lists]:
        if path.is_file():
            found += parse_list(path.read_text(encoding="utf-8"))
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        found += parse_deb822(path.read_text(encoding="utf-8"))
    mirror = choose(Source(_resolve(item.uri), item.suites, item.components) for item in found)
    if mirror is None:
        raise LabError(f"no Debian mirror is named under {apt}: the base image cannot be built")
    return mirror


def _resolve(uri: str) -> str:
    """Cloud images name a file that lists mirrors: take its first line."""
    if not uri.startswith("mirror+file:"):
        return uri
    path = Path(uri.removeprefix("mirror+file:"))
    if not path.is_file():
        return uri
    lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("#")), uri)
