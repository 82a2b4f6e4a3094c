# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Sets of files in a bucket: each exists when its manifest does, which comes last and goes first.

C(prefix/instance/set/name), one object for a file, or several (C(_s3_upload)); beside them C(manifest.json). Nothing
here needs more of a server than to put, get, list and delete objects, in parts where they are large.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import threading
import typing as t
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from .._errors import MaintenanceError
from .._time import format_utc, new_id, utc_now
from ._local import MANIFEST, SET_ID, Entry, require_instance
from ._s3_client import PATIENCE, Client, DamagedError, S3Error, connect, explained
from ._s3_options import S3_SPEC, S3Options, s3_options
from ._s3_upload import OBJECT_BYTES, StoredObject, Uploads, Writer

__all__ = ["S3_SPEC", "DamagedError", "S3Error", "S3Options", "S3Store", "StoredObject", "Writer", "s3_options"]

CHUNK = 1024**2
# A manifest of a hundred thousand tables is smaller.
MAX_MANIFEST = 128 * 1024**2
# How often the rest of one object is asked for when the connection breaks within it.
RESUMES = 5
BATCH = 1000
# How servers say that they do not delete many objects by one request.
NO_BATCHES = ("NotImplemented", "MethodNotAllowed", "MissingContentMD5", "InvalidRequest", "MalformedXML", "501", "405")
MISSING = ("NoSuchKey", "404")
UNREADABLE = (*MISSING, "InvalidObjectState", "AccessDenied", "403")

AnObject = t.Union[StoredObject, t.Mapping[str, t.Any]]


class Group(t.NamedTuple):
    """All objects of one set: bytes by name, and when the newest was put there (UTC, as the server writes it)."""

    id: str
    files: t.Dict[str, int]
    newest: str


class S3Store:
    """The sets of one server in a bucket. Threads may share it.

    :param options: the bucket, and how to use it
    :param instance: name of the server
    :param now: the clock
    :param patience: seconds that one request may take when the server does not answer, all attempts together
    :raises MaintenanceError: C(instance) is no plain name.
    """

    object_bytes = OBJECT_BYTES

    def __init__(
        self,
        options: S3Options,
        instance: str,
        now: t.Callable[[], datetime.datetime] = utc_now,
        patience: float = PATIENCE,
    ) -> None:
        require_instance(instance)
        self.options = options
        self._patience = patience
        self._now = now
        self._top = f"{options.prefix}/{instance}/" if options.prefix else f"{instance}/"
        self.root = f"s3://{options.bucket}/{self._top[:-1]}"
        self._lock = threading.Lock()
        self._shared: t.Optional[Uploads] = None
        # Of the last whole listing: sets without a manifest, and when they were last added to.
        self._unfinished: t.Optional[t.Dict[str, str]] = None

    @property
    def _uploads(self) -> Uploads:
        with self._lock:
            if self._shared is None:
                self._shared = Uploads(connect(self.options, self._patience), self.options, self._key, self._now)
            return self._shared

    @property
    def _client(self) -> Client:
        return self._uploads.client

    def _key(self, set_id: str, name: str = "") -> str:
        return f"{self._top}{set_id}/{name}"

    def path(self, set_id: str) -> str:
        """Address of a set."""
        return f"{self.root}/{set_id}"

    def require_ready(self, writing: bool = False) -> None:
        """Refuse a bucket that cannot be used; with C(writing) also one where no object can be put as asked for.

        :raises S3Error: why not.
        """
        with explained(self.options, "list"):
            self._client.list_objects_v2(Bucket=self.options.bucket, Prefix=self._top, MaxKeys=1)
        if not writing:
            return
        if self.options.object_lock_mode:
            self._require_lock()
        # Begun and dropped: shows the right to put, and that storage class, encryption and lock are taken.
        key = self._key(new_id(self._now()), "probe")
        self._uploads.abort(key, self._uploads.begin(key))

    def _require_lock(self) -> None:
        bucket = self.options.bucket
        with explained(self.options, "see whether Object Lock protects"):
            lock = self._client.get_object_lock_configuration(Bucket=bucket).get("ObjectLockConfiguration", {})
            versions = self._client.get_bucket_versioning(Bucket=bucket)
        if lock.get("ObjectLockEnabled") != "Enabled" or versions.get("Status") != "Enabled":
            raise S3Error(
                f"The bucket {bucket} has no Object Lock, or keeps no versions, so nothing can be locked in it.",
                "Make a bucket with Object Lock, or drop s3.object_lock_mode.",
            )

    def has(self, set_id: str) -> bool:
        """Whether a set is there, complete. The manifest itself is asked for: a listing may be behind the times.

        :raises S3Error: the bucket cannot be read.
        """
        try:
            with explained(self.options, f"look at {set_id} in"):
                self._client.head_object(Bucket=self.options.bucket, Key=self._key(set_id, MANIFEST))
        except S3Error as exc:
            if exc.code in MISSING:
                return False
            raise
        return True

    def entries(self) -> t.Iterator[Entry]:
        """All complete sets, oldest first; one with an unreadable manifest is there, with its problem.

        Only a few manifests are held at a time.

        :raises S3Error: the bucket cannot be read.
        """
        unfinished: t.Dict[str, str] = {}
        waiting: t.Deque[Future[Entry]] = deque()
        with ThreadPoolExecutor(max_workers=self.options.concurrency) as pool:
            for group in self._groups():
                if MANIFEST not in group.files:
                    unfinished[group.id] = group.newest
                    continue
                waiting.append(pool.submit(self._entry, group))
                if len(waiting) >= 2 * self.options.concurrency:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        self._unfinished = unfinished

    def _entry(self, group: Group) -> Entry:
        manifest, problem = None, ""
        size = group.files.pop(MANIFEST)
        if size > MAX_MANIFEST:
            problem = f"it has {size} bytes"
        else:
            try:
                manifest = json.loads(self._fetch(group.id, MANIFEST))
                problem = "" if isinstance(manifest, dict) else "it is no JSON object"
            except ValueError as exc:
                problem = f"it cannot be read ({exc})"
            except S3Error as exc:
                if exc.code not in UNREADABLE:
                    raise
                problem = f"it cannot be read ({exc.code})"
        return Entry(group.id, self.path(group.id), None if problem else manifest, problem, group.files)

    def leftovers(self) -> t.List[str]:
        """Ids of sets that interrupted uploads left; objects and parts of unfinished uploads alike.

        :raises S3Error: the bucket cannot be listed.
        """
        return sorted({*self._without_manifest(), *(self._split(key)[0] for key, _id, _begun in self._multiparts())})

    def _without_manifest(self) -> t.Dict[str, str]:
        """When something was last added to each set without a manifest, by id; as the last listing saw it."""
        if self._unfinished is None:
            self._unfinished = {group.id: group.newest for group in self._groups() if MANIFEST not in group.files}
        return dict(self._unfinished)

    def _groups(self, prefix: str = "") -> t.Iterator[Group]:
        """What lies below the root, by set, from one paged listing."""
        group: t.Optional[Group] = None
        token: t.Dict[str, str] = {}
        while True:
            with explained(self.options, "list"):
                page = self._client.list_objects_v2(Bucket=self.options.bucket, Prefix=self._top + prefix, **token)
            for each in page.get("Contents", []):
                set_id, name = self._split(each["Key"])
                if not name:
                    continue
                changed = str(each["LastModified"])[:19]
                if group is None or group.id != set_id:
                    if group is not None:
                        if set_id < group.id:
                            raise S3Error(f"{self.root} is listed out of order: {set_id} after {group.id}.")
                        yield group
                    group = Group(set_id, {}, "")
                group.files[name] = int(each["Size"])
                if changed > group.newest:
                    group = group._replace(newest=changed)
            if not page.get("IsTruncated"):
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        if group is not None:
            yield group

    def _split(self, key: str) -> t.Tuple[str, str]:
        """Set and name of a key; both empty when it belongs to no set."""
        set_id, _slash, name = key[len(self._top) :].partition("/")
        return (set_id, name) if name and SET_ID.match(set_id) else ("", "")

    def _files(self, set_id: str) -> t.Dict[str, int]:
        """Bytes of all objects of a set, by name."""
        return next((group.files for group in self._groups(set_id + "/")), {})

    def _multiparts(self, prefix: str = "") -> t.Iterator[t.Tuple[str, str, str]]:
        """Key, id and begin of each unfinished upload that belongs to a set."""
        marker: t.Dict[str, str] = {}
        while True:
            try:
                with explained(self.options, "list the unfinished uploads to"):
                    page = self._client.list_multipart_uploads(
                        Bucket=self.options.bucket, Prefix=self._top + prefix, **marker
                    )
            except S3Error as exc:
                # A server that cannot list them ends them by itself.
                if exc.code in ("NotImplemented", "501"):
                    return
                raise
            for each in page.get("Uploads", []):
                if self._split(each["Key"])[0]:
                    yield each["Key"], each["UploadId"], str(each.get("Initiated", ""))[:19]
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def writer(self, set_id: str, name: str) -> Writer:
        """A new file of a set that is not complete yet.

        :param name: relative path in the set
        """
        self._unfinished = None
        require_name(name)
        return Writer(self._uploads, set_id, name, self.object_bytes)

    def read_back(self, set_id: str, objects: t.Iterable[AnObject], into: t.Optional[str] = None) -> None:
        """Read every byte of objects and compare size and SHA-256.

        :param into: directory where they are also written, under their names, readable by root alone
        :raises DamagedError: one is not what it should be.
        :raises MaintenanceError: one cannot be read, or not be written.
        """
        wanted = [as_object(each) for each in objects]

        def take(each: StoredObject) -> None:
            if into is None:
                for _chunk in self._verified(set_id, each):
                    pass
                return
            path = os.path.join(into, each.name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                with open(os.open(path, flags, 0o600), "wb") as file:
                    for chunk in self._verified(set_id, each):
                        file.write(chunk)
            except OSError as exc:
                raise MaintenanceError(
                    f"{path} cannot be written: {exc.strerror}.", "Make room, or correct the rights."
                ) from exc

        if len(wanted) == 1:
            take(wanted[0])
            return
        with ThreadPoolExecutor(max_workers=self.options.concurrency) as pool:
            waiting = [pool.submit(take, each) for each in wanted]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise

    def open(self, set_id: str, objects: t.Iterable[AnObject]) -> t.Iterator[bytes]:
        """The bytes of objects, one after the other, each compared with its size and SHA-256 at its end.

        :raises DamagedError: one is not what it should be.
        :raises S3Error: one cannot be read.
        """
        for each in objects:
            yield from self._verified(set_id, as_object(each))

    def _verified(self, set_id: str, wanted: StoredObject) -> t.Iterator[bytes]:
        place = f"{self.path(set_id)}/{wanted.name}"
        hashed, size = hashlib.sha256(), 0
        try:
            for chunk in self._chunks(set_id, wanted.name):
                hashed.update(chunk)
                size += len(chunk)
                if size > wanted.bytes:
                    break
                yield chunk
        except S3Error as exc:
            if exc.code in MISSING:
                raise DamagedError(place, "it is missing") from None
            raise
        if size != wanted.bytes:
            has = f"{size} bytes or more" if size > wanted.bytes else f"{size} bytes"
            raise DamagedError(place, f"it has {has} instead of {wanted.bytes}")
        if hashed.hexdigest() != wanted.sha256:
            raise DamagedError(place, "its content has changed (SHA-256)")

    def _fetch(self, set_id: str, name: str) -> bytes:
        return b"".join(self._chunks(set_id, name))

    def _chunks(self, set_id: str, name: str) -> t.Iterator[bytes]:
        """The bytes of an object; a connection that breaks is taken up where it broke."""
        key, offset, resumes = self._key(set_id, name), 0, 0
        rest: t.Dict[str, str] = {}
        while True:
            with explained(self.options, f"get {key} from"):
                answer = self._client.get_object(Bucket=self.options.bucket, Key=key, **rest)
            if rest and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                raise S3Error(f"The connection broke while {key} was read, and the store cannot give the rest.")
            body = answer["Body"]
            try:
                while True:
                    with explained(self.options, f"get {key} from"):
                        chunk = body.read(CHUNK)
                    if not chunk:
                        return
                    offset += len(chunk)
                    yield chunk
            except S3Error:
                resumes += 1
                if resumes > RESUMES:
                    raise
                # The same object, not one that took its place.
                rest = {"Range": f"bytes={offset}-", "IfMatch": answer["ETag"]} if offset else {}
            finally:
                body.close()

    def commit(self, set_id: str, manifest: t.Mapping[str, t.Any]) -> str:
        """Make a set visible whose objects all lie there; its address.

        :raises S3Error: they do not, or the manifest cannot be stored: then the set stays invisible.
        """
        self._unfinished = None
        wanted = [as_object(each) for file in manifest["files"] for each in file["objects"]]
        there = self._files(set_id)
        problems = object_problems(wanted, there)
        if MANIFEST in there:
            problems.insert(0, (MANIFEST, "it is there already"))
        if problems:
            shown = "; ".join(f"{name}: {reason}" for name, reason in problems[:3])
            raise S3Error(f"{self.path(set_id)} does not hold what was put there, and does not count: {shown}.")
        data = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        key = self._key(set_id, MANIFEST)
        try:
            self._uploads.put(key, data)
            if self._fetch(set_id, MANIFEST) != data:
                raise DamagedError(f"{self.path(set_id)}/{MANIFEST}", "it is not what was put there")
        except BaseException:
            with contextlib.suppress(S3Error):
                self._uploads.delete(key)
            raise
        return self.path(set_id)

    def discard(self, set_id: str) -> None:
        """Remove what an interrupted upload left. Never a set.

        :raises S3Error: it cannot be removed.
        """
        require_set_id(set_id)
        self._unfinished = None
        if self.has(set_id):
            raise ValueError(f"{set_id} is not what an interrupted run left")
        for key, upload_id, _begun in list(self._multiparts(set_id + "/")):
            self._uploads.abort(key, upload_id)
        # Aborted first: so that no part becomes an object behind our back.
        self._delete(self._key(set_id, name) for name in self._files(set_id))

    def remove(self, set_id: str) -> None:
        """Remove a set: first its manifest, so that it is no set any more; then its objects.

        In a bucket with versions they are only hidden; a lifecycle rule for noncurrent versions frees the space.

        :raises S3Error: it is not there, Object Lock keeps it still, or it cannot be removed.
        """
        require_set_id(set_id)
        names = self._files(set_id)
        if MANIFEST not in names:
            raise S3Error(f"There is no set {set_id} in {self.root}.")
        key = self._key(set_id, MANIFEST)
        self._require_unlocked(set_id, key)
        self._uploads.delete(key)
        self._delete(self._key(set_id, name) for name in names if name != MANIFEST)

    def _require_unlocked(self, set_id: str, key: str) -> None:
        with explained(self.options, f"look at {key} in"):
            head = self._client.head_object(Bucket=self.options.bucket, Key=key)
        until = str(head.get("ObjectLockRetainUntilDate") or "")
        if until[:19] > format_utc(self._now())[:19]:
            raise S3Error(
                f"Object Lock keeps set {set_id} in {self.root} until {until[:19]}Z.", "Remove it after that."
            )
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            raise S3Error(f"A legal hold keeps set {set_id} in {self.root}.", "Remove it after that was lifted.")

    def _delete(self, keys: t.Iterable[str]) -> None:
        """Delete objects, many by one request where the server can."""
        waiting = list(keys)
        while waiting:
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            try:
                with explained(self.options, "delete objects from"):
                    answer = self._client.delete_objects(
                        Bucket=self.options.bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                    )
            except S3Error as exc:
                if exc.code not in NO_BATCHES:
                    raise
                with ThreadPoolExecutor(max_workers=self.options.concurrency) as pool:
                    list(pool.map(self._uploads.delete, batch))
                continue
            errors = [each for each in answer.get("Errors", []) if each.get("Code") != "NoSuchKey"]
            if errors:
                first = errors[0]
                raise S3Error(
                    f"{len(errors)} object(s) of {self.root} cannot be deleted, such as {first.get('Key')}: "
                    f"{first.get('Code')}.",
                    "Give the key the right to delete objects; what Object Lock keeps goes when its time is over.",
                    code=str(first.get("Code")),
                )

    def sweep(self, older_than: datetime.timedelta, pretend: bool = False) -> t.List[str]:
        """Discard what interrupted uploads left, when nothing was added to it for some time; ids of those sets.

        :param pretend: only say what would go
        :raises S3Error: something cannot be removed.
        """
        limit = format_utc(self._now() - older_than)[:19]
        newest = self._without_manifest()
        swept = []
        for key, upload_id, begun in list(self._multiparts()):
            set_id = self._split(key)[0]
            if set_id in newest or not self.has(set_id):
                newest[set_id] = max(begun, newest.get(set_id, ""))
            elif begun < limit:
                # Of a set that was completed by another upload of the same file.
                if not pretend:
                    self._uploads.abort(key, upload_id)
                swept.append(set_id)
        for set_id, changed in newest.items():
            if changed < limit and not self.has(set_id):
                if not pretend:
                    self.discard(set_id)
                swept.append(set_id)
        return sorted(set(swept))


def as_object(given: AnObject) -> StoredObject:
    """An object as a manifest lists it, or as a writer gave it.

    :raises DamagedError: its name leads out of the set, or something is missing.
    """
    if not isinstance(given, StoredObject):
        try:
            given = StoredObject(str(given["name"]), int(given["bytes"]), str(given["sha256"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise DamagedError(MANIFEST, "it lists an object without name, bytes or sha256") from exc
    try:
        require_name(given.name)
    except ValueError as exc:
        raise DamagedError(MANIFEST, str(exc)) from exc
    return given


def require_name(name: str) -> None:
    """Refuse a name that leads out of its set, or is its manifest's.

    :raises ValueError: it does.
    """
    if name == MANIFEST or not all(part not in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise ValueError(f"{name!r} cannot name a file of a set")


def require_set_id(set_id: str) -> None:
    """Refuse to delete anything that is no set.

    :raises ValueError: it is none.
    """
    if not SET_ID.match(set_id):
        raise ValueError(f"{set_id} is no set")


def object_problems(wanted: t.Iterable[StoredObject], there: t.Mapping[str, int]) -> t.List[t.Tuple[str, str]]:
    """What differs between the objects that a set should hold and those that lie there: pairs of name and reason."""
    problems = []
    names: t.Set[str] = set()
    for each in wanted:
        if each.name in names:
            problems.append((each.name, "it is listed twice"))
        names.add(each.name)
        if each.name not in there:
            problems.append((each.name, "it is missing"))
        elif there[each.name] != each.bytes:
            problems.append((each.name, f"it has {there[each.name]} bytes instead of {each.bytes}"))
    problems += [(name, "it does not belong to the set") for name in there if name not in names and name != MANIFEST]
    return problems
