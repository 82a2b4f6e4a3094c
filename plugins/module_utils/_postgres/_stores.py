# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The places that hold backup sets, a directory or a bucket, behind one door."""

from __future__ import annotations

import datetime
import os
import typing as t

from .._errors import MaintenanceError
from .._process import Runner
from .._storage._local import LocalStore, store_root
from .._storage._s3 import S3Store, s3_options
from . import _manifest, _offsite_damage
from ._sets import BACKUP_NOW, BackupSet, backup_set

Store = t.Union[LocalStore, S3Store]


def store_of(params: t.Mapping[str, t.Any]) -> Store:
    """The store that a module's options C(dest), C(instance) and C(s3) name; nothing is contacted.

    :raises MaintenanceError: an option is wrong.
    """
    if params["s3"]:
        return S3Store(s3_options(params["s3"]), params["instance"])
    return LocalStore(store_root(params["dest"], params["instance"]))


def is_offsite(store: Store) -> bool:
    """Whether the sets lie outside of this host."""
    return isinstance(store, S3Store)


def require_store(store: Store) -> None:
    """Refuse a store that cannot hold a set: it would look as if there were none.

    :raises MaintenanceError: it is not there, not mounted or out of reach.
    """
    store.require_ready()
    if isinstance(store, LocalStore) and not os.path.isdir(store.root):
        raise MaintenanceError(f"There is no backup directory {store.root}.", BACKUP_NOW)


def read_store(store: Store, check: str, runner: Runner, jobs: int = 2) -> t.List[BackupSet]:
    """All sets of a store, oldest first, each with what is wrong with it.

    :param check: how closely each is read; one of C(_manifest.CHECKS), in a bucket not C(decode)
    :param jobs: number of files of a local set read at a time
    :raises ProgramError: a program that decodes is not installed.
    :raises MaintenanceError: the store cannot be read.
    """
    if isinstance(store, S3Store):
        sets = [backup_set(entry, _offsite_damage.damage(entry, check, store)) for entry in store.entries()]
    else:
        entries = store.entries()
        if check == "decode":
            whole = (entry for entry in entries if not _manifest.problem(entry))
            _manifest.require_programs((entry.manifest for entry in whole if entry.manifest), runner)
        sets = [backup_set(entry, _manifest.damage(entry, check, runner, jobs)) for entry in entries]
    return sorted(sets, key=lambda each: each.order)


def holds(store: Store, set_id: str) -> bool:
    """Whether a set is there; also when that cannot be seen."""
    if isinstance(store, LocalStore):
        return os.path.lexists(store.path(set_id))
    try:
        return store.has(set_id)
    except MaintenanceError:
        return True


def sweep(store: Store, older_than: int, pretend: bool = False) -> t.List[str]:
    """Remove what interrupted runs left; its names.

    :param older_than: seconds since anything was added to it; in a bucket only, since a directory has one writer
    :param pretend: only say what would go
    :raises MaintenanceError: something cannot be removed.
    """
    if isinstance(store, S3Store):
        return store.sweep(datetime.timedelta(seconds=older_than), pretend)
    left = store.leftovers()
    for name in left:
        if not pretend:
            try:
                store.discard(name)
            except OSError as exc:
                raise MaintenanceError(f"{name} cannot be removed from {store.root}: {exc.strerror}.") from exc
    return left
