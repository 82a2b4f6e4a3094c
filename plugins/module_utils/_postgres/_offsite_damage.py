# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Whether the objects of an off-site set are still what its manifest says."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from .._storage._local import MANIFEST, Entry
from .._storage._s3 import DamagedError, S3Store, StoredObject, as_object, object_problems
from . import _manifest

# From the quickest look to the closest. What is encrypted cannot be decoded here.
CHECKS = ("none", "sizes", "hashes")


def damage(entry: Entry, check: str, store: S3Store) -> t.List[_manifest.Problem]:
    """What is wrong with an off-site set: pairs of object (relative to the set) and reason. An empty list: nothing.

    :param entry: as C(store) lists it
    :param check: how closely to look; one of C(CHECKS). Only V(hashes) contacts the store.
    :raises S3Error: the store cannot be read.
    """
    if check not in CHECKS:
        raise ValueError(f"{check} is none of {', '.join(CHECKS)}")
    wrong = _manifest.problem(entry)
    if wrong or entry.manifest is None:
        return [(MANIFEST, wrong)]
    if check == "none":
        return []
    try:
        wanted = [as_object(each) for file in entry.manifest["files"] for each in file["objects"]]
    except (KeyError, TypeError):
        return [(MANIFEST, "it does not list its objects, so it is not that of an off-site set")]
    except DamagedError as exc:
        return [(MANIFEST, exc.reason)]
    problems = object_problems(wanted, entry.files)
    if check == "hashes":
        known = {name for name, _reason in problems}
        with ThreadPoolExecutor(max_workers=store.options.concurrency) as pool:
            looked = pool.map(lambda each: _read(store, entry.id, each), (o for o in wanted if o.name not in known))
            problems += [found for found in looked if found]
    return sorted(problems)


def _read(store: S3Store, set_id: str, wanted: StoredObject) -> t.Optional[_manifest.Problem]:
    try:
        store.read_back(set_id, [wanted])
    except DamagedError as exc:
        return wanted.name, exc.reason
    return None
