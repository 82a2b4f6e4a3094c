# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Sets of files in a directory: each exists only when it is complete.

A set is written under a name that nothing lists, its manifest last, and then renamed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import types
import typing as t

from .._errors import MaintenanceError
from .._lock import sync_directory, write_atomically

MANIFEST = "manifest.json"
INCOMPLETE = ".incomplete-"
REMOVING = ".removing-"
# What C(_time.new_id) makes.
SET_ID = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{8}\Z")
FSTAB = "/etc/fstab"
MOUNTS = "/proc/self/mountinfo"

_NO_FILES: t.Mapping[str, int] = types.MappingProxyType({})


class Entry(t.NamedTuple):
    """One set in a store: its manifest, or why there is none that can be read.

    C(files) are the sizes in bytes of all that lies beside the manifest, by relative name, where the store lists them
    anyway (a store of objects); empty otherwise.
    """

    id: str
    path: str
    manifest: t.Optional[t.Dict[str, t.Any]]
    problem: str
    files: t.Mapping[str, int] = _NO_FILES


class LocalStore:
    """The sets below one directory.

    :param root: absolute path of the directory
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, set_id: str) -> str:
        """Directory of a set."""
        return os.path.join(self.root, set_id)

    def require_ready(self) -> None:
        """Refuse a directory whose file system is not mounted: it looks like an empty store, and is none.

        :raises MaintenanceError: a mount point of /etc/fstab above the directory has nothing mounted.
        """
        missing = unmounted(self.root)
        if missing:
            raise MaintenanceError(
                f"Nothing is mounted at {missing}, where the backup sets of {self.root} lie.",
                f"Mount it (mount {missing}) and run this playbook again.",
            )

    def entries(self) -> t.List[Entry]:
        """All complete sets, oldest first; one with an unreadable manifest is there, with its problem.

        :raises MaintenanceError: the directory cannot be read.
        """
        found = []
        for name in self._names():
            if not SET_ID.match(name):
                continue
            path = self.path(name)
            try:
                with open(os.path.join(path, MANIFEST), encoding="utf-8") as file:
                    manifest = json.load(file)
                problem = "" if isinstance(manifest, dict) else "it is no JSON object"
            except FileNotFoundError:
                # Only a manifest makes a set; a directory without one was spoilt by somebody.
                manifest, problem = None, "it is missing"
            except (OSError, ValueError) as exc:
                manifest, problem = None, f"it cannot be read ({exc})"
            found.append(Entry(name, path, None if problem else manifest, problem))
        return found

    def leftovers(self) -> t.List[str]:
        """Names of what interrupted runs left."""
        return [name for name in self._names() if name.startswith((INCOMPLETE, REMOVING))]

    def _names(self) -> t.List[str]:
        try:
            return sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise MaintenanceError(f"The backup directory {self.root} cannot be read: {exc.strerror}.") from exc

    def make_root(self) -> None:
        """Make the directory where it is missing; others may pass through it, whatever the umask.

        :raises OSError: it cannot be made.
        """
        if not os.path.isdir(self.root):
            os.makedirs(self.root, mode=0o711)
            os.chmod(self.root, 0o711)

    def begin(self, set_id: str) -> str:
        """Make the hidden directory in which a set comes to be; others may pass through it, not read it.

        :raises MaintenanceError: it cannot be made.
        """
        path = os.path.join(self.root, INCOMPLETE + set_id)
        try:
            self.make_root()
            os.mkdir(path, 0o711)
            os.chmod(path, 0o711)
        except OSError as exc:
            raise MaintenanceError(
                f"No backup set can be made in {self.root}: {exc.strerror}.",
                "Correct the path (dest, in the inventory maintenance_backup_dir), or its rights.",
            ) from exc
        return path

    def commit(self, set_id: str, manifest: t.Mapping[str, t.Any]) -> str:
        """Write the manifest and make the set visible; both are on the disk when this returns. Its directory."""
        hidden = os.path.join(self.root, INCOMPLETE + set_id)
        write_atomically(os.path.join(hidden, MANIFEST), json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        os.chmod(hidden, 0o700)
        for directory, _directories, _files in os.walk(hidden, topdown=False):
            sync_directory(directory)
        os.rename(hidden, self.path(set_id))
        sync_directory(self.root)
        return self.path(set_id)

    def remove(self, set_id: str) -> None:
        """Remove a set: first it is hidden, and that is on the disk; then its files go.

        :raises MaintenanceError: it is not there, or cannot be removed; what is hidden already, C(leftovers) finds.
        """
        if not SET_ID.match(set_id):
            raise ValueError(f"{set_id} is no set")
        hidden = REMOVING + set_id
        try:
            os.rename(self.path(set_id), os.path.join(self.root, hidden))
            sync_directory(self.root)
            self.discard(hidden)
        except OSError as exc:
            raise MaintenanceError(
                f"Set {set_id} cannot be removed from {self.root}: {exc.strerror} ({exc.filename}).",
                "Look at the file system and its rights, then run this again.",
            ) from exc

    def discard(self, name: str) -> None:
        """Remove a hidden directory. Never a set."""
        if not name.startswith((INCOMPLETE, REMOVING)):
            raise ValueError(f"{name} is not what an interrupted run left")
        shutil.rmtree(os.path.join(self.root, name))

    def taken(self, name: str) -> int:
        """Bytes on the disk that a directory of the store takes."""
        top = os.path.join(self.root, name)
        return sum(
            os.lstat(os.path.join(folder, file)).st_blocks * 512
            for folder, _directories, files in os.walk(top)
            for file in files
        )

    def free(self) -> t.Tuple[int, int]:
        """Bytes that may still be written on the file system of the directory, and its size."""
        path = self.root
        while not os.path.exists(path):
            path = os.path.dirname(path)
        usage = os.statvfs(path)
        # Root may use the blocks that are kept for it, but should not.
        return usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize


def unmounted(path: str, fstab: str = FSTAB) -> str:
    """The mount point of fstab that should hold C(path) and has nothing mounted; empty when there is none.

    :param path: absolute; where links lead is what counts
    """
    try:
        with open(fstab, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    path = os.path.realpath(path)
    for line in lines:
        fields = line.split()
        if len(fields) < 2 or fields[0].startswith("#"):
            continue
        point = _unescaped(fields[1])
        if not point.startswith("/"):
            continue
        place = os.path.realpath(point)
        if place != "/" and os.path.commonpath([place, path]) == place and not _is_mounted(place):
            return point
    return ""


def _is_mounted(place: str) -> bool:
    """Whether something is mounted there. C(os.path.ismount) does not see a bind mount within one file system."""
    if os.path.ismount(place):
        return True
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            return any(place == _unescaped(line.split()[4]) for line in file)
    except OSError:
        return False


def _unescaped(field: str) -> str:
    """A path as fstab and the kernel write it: a space is \\040."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), field)


def own(directory: str) -> t.List[str]:
    """Make everything below a directory root's alone (0700, 0600) and durable; relative paths of its files, sorted.

    Whoever wrote it until now is kept from changing it first.

    :raises MaintenanceError: it holds something else than directories and plain files of one name.
    """
    files = []
    os.chown(directory, os.geteuid(), os.getegid())
    os.chmod(directory, 0o700)
    for folder, directories, names in os.walk(directory):
        for name in directories:
            path = os.path.join(folder, name)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise MaintenanceError(f"The dump holds {path}, which is no directory and no plain file.")
            os.chown(path, os.geteuid(), os.getegid())
            os.chmod(path, 0o700)
        for name in names:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
                raise MaintenanceError(f"The dump holds {path}, which is no directory and no plain file.")
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchown(descriptor, os.geteuid(), os.getegid())
                os.fchmod(descriptor, 0o600)
                # Not every program that dumps syncs what it wrote.
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            files.append(os.path.relpath(path, directory))
    return sorted(files)


def store_root(dest: str, instance: str) -> str:
    """Directory of one server's sets.

    :raises MaintenanceError: C(dest) is no absolute path, or C(instance) no plain name.
    """
    if not os.path.isabs(dest):
        raise MaintenanceError(f"dest is {dest!r}, but must be an absolute path.")
    require_instance(instance)
    return os.path.join(os.path.normpath(dest), instance)


def require_instance(instance: str) -> None:
    """Refuse a name of a server that could lead to another one's sets.

    :raises MaintenanceError: it is no plain name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", instance):
        raise MaintenanceError(f"instance is {instance!r}, but must be a plain name of letters, digits, -, _ and dots.")
