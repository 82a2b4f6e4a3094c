# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Names and places: what belongs to this checkout's lab, so that two checkouts on one machine never meet."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit.process import LabError

LAB_SOURCE = Path(__file__).resolve().parent.parent
"""The folder tests/lab."""

LABEL = "boardroom.lab"
"""Label key of every container, volume, network and image of a lab; its value is the lab's id."""

INPUT_LABEL = "boardroom.lab.input"
"""Label key of an image: the hash of what it was made from."""


@dataclass(frozen=True)
class Lab:
    """The lab of the checkout at root."""

    root: Path

    @classmethod
    def here(cls) -> Lab:
        """The lab of the checkout that this file belongs to."""
        return cls(LAB_SOURCE.parent.parent)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for the checkout's path."""
        return hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:8]

    @property
    def state(self) -> Path:
        """Where the lab keeps keys, addresses and logs (git-ignored)."""
        return self.root / ".lab"

    @property
    def logs(self) -> Path:
        """Logs of long steps."""
        return self.state / "logs"

    @property
    def prefix(self) -> str:
        """First part of the name of everything in the engine that belongs to this lab."""
        return f"boardroom-lab-{self.id}"

    @property
    def label(self) -> str:
        """The label, key and value, of everything that belongs to this lab."""
        return f"{LABEL}={self.id}"

    def container(self, name: str) -> str:
        """Container of the host called name."""
        return f"{self.prefix}-{name}"

    def volume(self, name: str) -> str:
        """Volume of the host called name: the nested engine's data, or the S3 server's."""
        return f"{self.prefix}-{name}-data"

    def image(self, stage: str, digest: str) -> str:
        """Image of one build stage."""
        return f"{self.prefix}/{stage}:{digest}"

    def seed(self, kind: str, digest: str) -> str:
        """Volume with the nested engine's data as it was when the ready image of kind was made."""
        return f"{self.prefix}-seed-{kind}-{digest}"

    def subnets(self) -> Iterator[tuple[str, str]]:
        """Candidate subnets (CIDR, first three octets), the lab's own first.

        10.231 and 10.232 belong to the nested engines; 10.240 to 10.249 are rarely taken.
        """
        number = int(self.id, 16)
        for step in range(2560):
            index = (number + step * 7) % 2560
            octets = f"10.{240 + index // 256}.{index % 256}"
            yield f"{octets}.0/24", octets

    def make_state(self) -> None:
        """Create the state folder, closed to other users because it holds private keys."""
        try:
            self.state.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LabError(f"the lab's state folder {self.state} cannot be made: {error.strerror}") from None

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One writer at a time: parallel test scenarios share images, network and key files."""
        self.make_state()
        with (self.state / f"{name}.lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
