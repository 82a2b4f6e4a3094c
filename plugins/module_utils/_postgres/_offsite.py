# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Bring a set off-site: encrypted where asked, read back, its manifest last."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._age import Encrypting, require_recipients
from .._errors import MaintenanceError
from .._lock import sync_directory
from .._process import Runner, time_limit
from .._storage._local import SET_ID, LocalStore
from .._storage._s3 import S3Error, S3Store
from .._time import format_utc, utc_now
from . import _decode, _manifest

# Beside the local sets, while an upload is under way: so that the next run finds what a killed one left.
NOTE = ".uploading-"


class Outgoing:
    """One file on its way off-site: hashed, encrypted where asked, uploaded; all as it is written.

    :param name: of the file in the set
    """

    def __init__(self, store: S3Store, set_id: str, name: str, recipients: t.Sequence[str], runner: Runner) -> None:
        self._name = name
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._writer = store.writer(set_id, name + (".age" if recipients else ""))
        self._encrypting: t.Optional[Encrypting] = None
        if recipients:
            try:
                self._encrypting = Encrypting(recipients, runner, self._writer.write)
            except BaseException:
                self._writer.abort()
                raise

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file.

        :raises MaintenanceError: they cannot be encrypted or uploaded.
        """
        self._hash.update(chunk)
        self._bytes += len(chunk)
        if self._encrypting:
            self._encrypting.write(chunk)
        else:
            self._writer.write(chunk)

    def close(self) -> t.Dict[str, t.Any]:
        """Wait until all is in the store; the file's entry for the manifest.

        :raises MaintenanceError: as C(write).
        """
        if self._encrypting:
            self._encrypting.close()
        objects = [dict(each._asdict()) for each in self._writer.close()]
        return {"path": self._name, "bytes": self._bytes, "sha256": self._hash.hexdigest(), "objects": objects}

    def stop(self, error: MaintenanceError) -> None:
        """End what encrypts, which may hang; C(write) and C(close) raise the error."""
        if self._encrypting:
            self._encrypting.stop(error)

    def abort(self) -> None:
        """Give the file up; nothing of it stays in the store."""
        if self._encrypting:
            self._encrypting.abort()
        self._writer.abort()


class Offsite:
    """Where copies of the sets of one server go.

    :param store: takes the objects
    :param local: beside its sets lie the notes of uploads under way
    :param recipients: public keys; none: what goes off-site is as it lies here
    :param secrets_allowed: secrets may go off-site unencrypted
    """

    def __init__(
        self, store: S3Store, local: LocalStore, recipients: t.Sequence[str], secrets_allowed: bool, runner: Runner
    ) -> None:
        self.store = store
        self._local = local
        self._recipients = list(recipients)
        self._secrets_allowed = secrets_allowed
        self._runner = runner

    def require_keys(self) -> None:
        """Refuse keys that nothing can be encrypted to; nothing is contacted.

        :raises MaintenanceError: there is one.
        """
        require_recipients(self._recipients, self._runner)

    def require_secrecy(self, secrets: t.Sequence[str]) -> None:
        """Refuse to let secrets leave the host in the clear.

        :param secrets: what the set holds of them, in words
        :raises MaintenanceError: it holds some, and nothing encrypts them.
        """
        if secrets and not self._recipients and not self._secrets_allowed:
            shown = ", ".join(secrets[:3]) + (f" and {len(secrets) - 3} more" if len(secrets) > 3 else "")
            raise MaintenanceError(
                f"The set would go to {self.store.root} unencrypted, and holds secrets: {shown}.",
                "Give recipients (in the inventory maintenance_backup_recipients), or set allow_unencrypted_secrets "
                "in s3 if that store may see them.",
            )

    def clear_up(self) -> t.List[str]:
        """Remove what uploads of this host that were killed left in the store; ids of those sets.

        What cannot be removed now is tried again by the next run.
        """
        cleared = []
        for set_id in self._notes():
            with contextlib.suppress(MaintenanceError):
                if not self.store.has(set_id):
                    self.store.discard(set_id)
                    cleared.append(set_id)
                self._unlink(set_id)
        return cleared

    def left(self) -> t.List[str]:
        """Ids of the sets whose upload was killed: what C(clear_up) would remove."""
        left = []
        for set_id in self._notes():
            with contextlib.suppress(MaintenanceError):
                if not self.store.has(set_id):
                    left.append(set_id)
        return left

    def _notes(self) -> t.List[str]:
        found = []
        try:
            names = sorted(os.listdir(self._local.root))
        except OSError:
            return []
        for name in names:
            if name.startswith(NOTE) and SET_ID.match(name[len(NOTE) :]):
                with contextlib.suppress(OSError), open(os.path.join(self._local.root, name), encoding="utf-8") as file:
                    if file.read().strip() in ("", self.store.root):
                        found.append(name[len(NOTE) :])
        return found

    def _unlink(self, set_id: str) -> None:
        # One that stays only makes the next run look.
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._local.root, NOTE + set_id))

    @contextlib.contextmanager
    def uploading(self, set_id: str) -> t.Iterator[None]:
        """While a set is on its way: when that fails nothing of it stays in the store.

        :raises MaintenanceError: the store cannot be used.
        """
        self.store.require_ready(writing=True)
        try:
            self._local.make_root()
            # Not by way of a temporary file, which nobody would find: an empty note says enough.
            with open(os.path.join(self._local.root, NOTE + set_id), "w", encoding="utf-8") as file:
                file.write(self.store.root + "\n")
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._local.root)
        except OSError as exc:
            self._unlink(set_id)
            raise MaintenanceError(
                f"The note of an upload cannot be written to {self._local.root}: {exc.strerror}.",
                "Nothing was uploaded. Free space there, or correct dest (in the inventory maintenance_backup_dir).",
            ) from exc
        try:
            yield
        except BaseException as exc:
            # The note stays when the store is out of reach: then the next run removes what is there.
            if not (isinstance(exc, S3Error) and exc.out_of_reach):
                with contextlib.suppress(MaintenanceError, ValueError):
                    self.store.discard(set_id)
                    self._unlink(set_id)
            raise
        self._unlink(set_id)

    def outgoing(self, set_id: str, name: str) -> Outgoing:
        """A file of a set, to be written."""
        return Outgoing(self.store, set_id, name, self._recipients, self._runner)

    def copy(self, set_id: str, directory: str, manifest: _manifest.Manifest, deadline: float) -> _manifest.Manifest:
        """Copy a local set and read it back; the manifest of the copy.

        :param directory: of the set
        :param deadline: on the monotonic clock
        :raises MaintenanceError: it could not be copied; nothing of it is left in the store.
        """
        failures: t.List[BaseException] = []

        def send(file: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
            try:
                sent = self._send(set_id, os.path.join(directory, file["path"]), file, deadline, failures)
                _go_on(failures)
                self.store.read_back(set_id, sent["objects"])
                return sent
            except BaseException as exc:
                # What else is under way sees this, and is given up.
                failures.append(exc)
                raise

        with self.uploading(set_id):
            largest_first = sorted(manifest["files"], key=lambda f: -int(f["bytes"]))
            with ThreadPoolExecutor(max_workers=self.store.options.concurrency) as pool:
                waiting = [pool.submit(send, file) for file in largest_first]
            if failures:
                raise failures[0]
            return self.commit(set_id, {**manifest, "files": [each.result() for each in waiting]})

    def _send(
        self, set_id: str, path: str, file: t.Mapping[str, t.Any], deadline: float, failures: t.Sequence[BaseException]
    ) -> t.Dict[str, t.Any]:
        _go_on(failures)
        going = self.outgoing(set_id, file["path"])
        try:
            left = deadline - time.monotonic()
            with open(path, "rb") as source, time_limit(left, f"The copy of set {set_id}", going.stop):
                while True:
                    chunk = source.read(_decode.CHUNK)
                    if not chunk:
                        break
                    require_time(deadline)
                    _go_on(failures)
                    going.write(chunk)
                sent = going.close()
        except OSError as exc:
            going.abort()
            raise MaintenanceError(f"{path} cannot be read: {exc.strerror}.") from exc
        except BaseException:
            going.abort()
            raise
        if sent["sha256"] != file["sha256"]:
            raise MaintenanceError(
                f"Set {set_id} has changed since it was made: {file['path']} is not what its manifest says.",
                "Look at the disk, take a new set with playbooks/backup.yml, then remove that one.",
            )
        return sent

    def commit(self, set_id: str, manifest: t.Mapping[str, t.Any]) -> _manifest.Manifest:
        """Make a set visible whose objects were all read back; its manifest."""
        method = "age" if self._recipients else "none"
        whole = {
            **{key: value for key, value in manifest.items() if key != "checksum"},
            "files": sorted(manifest["files"], key=lambda f: str(f["path"])),
            "encryption": {"method": method, "recipients": self._recipients},
            "verification": [*manifest["verification"], {"level": "read_back", "at": format_utc(utc_now())}],
        }
        sealed = _manifest.seal(whole)
        self.store.commit(set_id, sealed)
        return sealed


def _go_on(failures: t.Sequence[BaseException]) -> None:
    """Give up what is in vain: another file of the set has failed."""
    if failures:
        raise MaintenanceError("Another file of the set could not be copied.")


def require_time(deadline: float) -> None:
    """Refuse to go on after the time limit.

    :raises MaintenanceError: it is over.
    """
    if time.monotonic() > deadline:
        raise MaintenanceError("The set was not complete within the time limit.", "Raise timeout.")
