# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Encryption to public keys with age (https://age-encryption.org/v1). No private key is ever needed here."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import typing as t

from ._errors import MaintenanceError
from ._process import ProgramError, Runner, pipe_of

CHUNK = 1024 * 1024
# Every file of age begins with this line.
HEADER = b"age-encryption.org/v1\n"
# The format's last line of the header begins so; a nonce follows, then the payload in blocks, each with a tag.
END_OF_HEADER = b"\n--- "
NONCE_BYTES = 16
BLOCK_BYTES = 64 * 1024
TAG_BYTES = 16
# Public keys: age's own, its post-quantum ones, those of plugins, and those of SSH.
_PUBLIC = ("age1", "ssh-ed25519 ", "ssh-rsa ")


def require_recipients(recipients: t.Sequence[str], runner: Runner) -> None:
    """Refuse, before anything is touched, keys that nothing can be encrypted to.

    :raises MaintenanceError: a key is none, or age is not installed.
    """
    for recipient in recipients:
        # Bech32 may be written in either case.
        if "AGE-SECRET-KEY-" in recipient.upper() or "PRIVATE KEY" in recipient:
            raise MaintenanceError(
                "recipients holds a private key; only public keys belong on a host.",
                "Give the public key (age1..., printed by age-keygen -y), and keep the private one elsewhere.",
            )
        if not recipient.startswith(_PUBLIC):
            raise MaintenanceError(
                f"recipients has {recipient[:20]!r}, which is no public key of age (age1...) or SSH (ssh-ed25519 ...).",
                "Correct recipients (in the inventory maintenance_backup_recipients).",
            )
        # One by one, so that the sentence names the key.
        _try([recipient], f"the recipient {recipient[:20]!r}", runner)
    if len(recipients) > 1:
        # Not all kinds of keys go together in one file.
        _try(recipients, "all recipients at once", runner)


def _try(recipients: t.Sequence[str], what: str, runner: Runner) -> None:
    try:
        done = runner.run(_command(recipients), timeout=30, stdin=b"canary")
    except ProgramError as exc:
        if exc.rc is None:
            raise
        raise MaintenanceError(
            f"Nothing can be encrypted to {what}: age refuses it.",
            "Correct recipients (in the inventory maintenance_backup_recipients).",
        ) from exc
    if not done.stdout.startswith(HEADER.decode("ascii")):
        raise MaintenanceError("The program age does not encrypt: its canary came back wrong.")


def _command(recipients: t.Sequence[str]) -> t.List[str]:
    return ["age", "--encrypt", *(word for key in recipients for word in ("--recipient", key))]


def encrypted_size(head: bytes, size: int) -> int:
    """Bytes that encrypting C(size) bytes makes (https://age-encryption.org/v1, "Payload"); -1 for no file of age.

    :param head: what the file begins with, its whole header at least
    """
    last = head.find(END_OF_HEADER)
    end = head.find(b"\n", last + len(END_OF_HEADER)) + 1
    if not head.startswith(HEADER) or last < 0 or end == 0:
        return -1
    return end + NONCE_BYTES + size + TAG_BYTES * max(1, -(-size // BLOCK_BYTES))


class Encrypting:
    """Encrypts what is written to it, and hands the result on as it comes.

    :param take: is given the encrypted chunks, on another thread
    """

    def __init__(self, recipients: t.Sequence[str], runner: Runner, take: t.Callable[[bytes], t.Any]) -> None:
        self._runner = runner
        self._take = take
        self._failure: t.Optional[BaseException] = None
        self._given = 0
        self._made = 0
        self._head = b""
        self._process = runner.start(_command(recipients), stdin=subprocess.PIPE)
        self._feed = pipe_of(self._process.stdin)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        output = pipe_of(self._process.stdout)
        try:
            while True:
                chunk = output.read(CHUNK)
                if not chunk:
                    return
                self._made += len(chunk)
                if len(self._head) < CHUNK:
                    self._head += chunk
                self._take(chunk)
        except BaseException as exc:  # pylint: disable=broad-except
            self._failure = exc
            # Who writes must not wait for somebody who no longer reads.
            self._runner.stop(self._process)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        :raises MaintenanceError: age has ended, or what it made could not be handed on.
        """
        try:
            self._feed.write(chunk)
            self._given += len(chunk)
        except (BrokenPipeError, ValueError):
            self.close()
            raise MaintenanceError("age ended before it was given everything.") from None

    def close(self) -> None:
        """Wait until all is handed on.

        :raises MaintenanceError: as C(write).
        """
        with contextlib.suppress(BrokenPipeError):
            self._feed.close()
        self._reader.join()
        status = self._process.wait()
        if self._failure is not None:
            raise self._failure
        if status != 0:
            said: t.List[str] = []
            # Closed when it was aborted meanwhile.
            with contextlib.suppress(ValueError):
                said = pipe_of(self._process.stderr).read().decode("utf-8", "replace").strip().splitlines()
            how = f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"
            why = f": {self._runner.redact(said[0])}" if said else ""
            raise MaintenanceError(f"age {how}{why}.", "Nothing was replaced. Run this playbook again.")
        self._close_pipes()
        # What was cut off nobody could decrypt, whatever the exit status says.
        expected = encrypted_size(self._head, self._given)
        if self._made != expected:
            raise MaintenanceError(
                f"age made {self._made} bytes of {self._given}, which are not all of them.",
                "Nothing was replaced. Look at the program age (apt-get install --reinstall age).",
            )

    def stop(self, error: MaintenanceError) -> None:
        """End the program; whoever writes or closes is given the error."""
        self._failure = self._failure or error
        self._runner.stop(self._process)

    def abort(self) -> None:
        """End it, whatever was written."""
        self._runner.stop(self._process)
        self._reader.join()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
