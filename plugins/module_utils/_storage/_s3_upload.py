# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Put a stream of unknown length into a store of objects: in parts, several at a time, in bounded memory."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import threading
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

from .._time import format_utc
from ._s3_client import Client, S3Error, explained, integrity
from ._s3_options import S3Options

# Every server takes parts of this size (5 MiB is the least).
PART_BYTES = 8 * 1024**2
# 512 parts: below the 1,000 that the strictest servers allow, and the 5 GiB of a copy on the server.
OBJECT_BYTES = 4 * 1024**3


class StoredObject(t.NamedTuple):
    """An object of a set: its name below the set, its size and SHA-256."""

    name: str
    bytes: int
    sha256: str


class Uploads:
    """What all writers of a store share: the connection, and how many parts are in flight.

    :param key: the key of an object, from the set's id and a name in it
    """

    def __init__(
        self,
        client: Client,
        options: S3Options,
        key: t.Callable[[str, str], str],
        now: t.Callable[[], datetime.datetime],
    ) -> None:
        self.client = client
        self.options = options
        self.key = key
        self._now = now
        self.slots = threading.Semaphore(options.concurrency)
        self.pool = ThreadPoolExecutor(max_workers=options.concurrency, thread_name_prefix="s3-part")

    def attributes(self) -> t.Dict[str, t.Any]:
        """What every new object is given: storage class, encryption, Object Lock."""
        options = self.options
        lock: t.Dict[str, t.Any] = {}
        if options.object_lock_mode:
            until = self._now() + datetime.timedelta(days=options.object_lock_days)
            lock = {"ObjectLockMode": options.object_lock_mode, "ObjectLockRetainUntilDate": format_utc(until)}
        return {
            **({"StorageClass": options.storage_class} if options.storage_class else {}),
            **({"ServerSideEncryption": options.sse} if options.sse else {}),
            **({"SSEKMSKeyId": options.sse_kms_key_id} if options.sse_kms_key_id else {}),
            **lock,
        }

    def put(self, key: str, data: t.Union[bytes, bytearray]) -> None:
        """Store an object by one request.

        :raises S3Error: it cannot be stored.
        """
        with explained(self.options, f"put {key} into"):
            self.client.put_object(
                Bucket=self.options.bucket, Key=key, Body=data, **integrity(self.options, data), **self.attributes()
            )

    def begin(self, key: str) -> str:
        """Begin an object of several parts; the upload's id.

        :raises S3Error: it cannot be stored.
        """
        algorithm = {} if self.options.checksum == "when_required" else {"ChecksumAlgorithm": "CRC32"}
        with explained(self.options, f"put {key} into"):
            begun = self.client.create_multipart_upload(
                Bucket=self.options.bucket, Key=key, **algorithm, **self.attributes()
            )
        return str(begun["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, data: t.Union[bytes, bytearray]) -> t.Dict[str, t.Any]:
        """Store one part; what the end of the upload must say of it.

        :raises S3Error: it cannot be stored.
        """
        sums = integrity(self.options, data)
        with explained(self.options, f"put part {number} of {key} into"):
            answer = self.client.upload_part(
                Bucket=self.options.bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=data, **sums
            )
        checksums = {name: value for name, value in sums.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def complete(self, key: str, upload_id: str, parts: t.Sequence[t.Mapping[str, t.Any]], size: int) -> None:
        """Make one object of its parts.

        :param size: of the whole object in bytes
        :raises S3Error: it cannot be made.
        """
        try:
            with explained(self.options, f"put {key} together in"):
                self.client.complete_multipart_upload(
                    Bucket=self.options.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": list(parts)}
                )
        except S3Error as exc:
            # The answer to the first try was lost, and the second finds the upload ended.
            if exc.code != "NoSuchUpload" or self._size(key) != size:
                raise

    def _size(self, key: str) -> int:
        with contextlib.suppress(S3Error), explained(self.options, f"look at {key} in"):
            return int(self.client.head_object(Bucket=self.options.bucket, Key=key)["ContentLength"])
        return -1

    def delete(self, key: str) -> None:
        """Delete an object; one that is gone is no error.

        :raises S3Error: it cannot be deleted.
        """
        with explained(self.options, f"delete {key} from"):
            self.client.delete_object(Bucket=self.options.bucket, Key=key)

    def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts; one that is gone is no error.

        :raises S3Error: it cannot be dropped.
        """
        try:
            with explained(self.options, f"abort the upload of {key} to"):
                self.client.abort_multipart_upload(Bucket=self.options.bucket, Key=key, UploadId=upload_id)
        except S3Error as exc:
            if exc.code != "NoSuchUpload":
                raise


class Writer:
    """A file of a set, on its way into the store. Any error undoes all of it.

    :param set_id: the set that it belongs to
    :param name: its path in the set; the objects after the first get .0001, .0002, ... behind it
    """

    def __init__(self, uploads: Uploads, set_id: str, name: str, object_bytes: int = OBJECT_BYTES) -> None:
        self._uploads = uploads
        self._set_id = set_id
        self._name = name
        self._object_bytes = object_bytes
        self._objects: t.List[StoredObject] = []
        # Names under which something may lie now.
        self._made: t.List[str] = []
        self._ended = False
        self._begin_object()

    def _begin_object(self) -> None:
        self._part = bytearray()
        self._size = 0
        self._hash = hashlib.sha256()
        self._upload_id = ""
        self._parts: t.List[Future[t.Dict[str, t.Any]]] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: t.Optional[t.Type[BaseException]], *_more: object) -> None:
        # Only close() makes it last.
        self.abort()

    @property
    def _current(self) -> str:
        number = len(self._objects)
        return f"{self._name}.{number:04d}" if number else self._name

    @property
    def _key(self) -> str:
        return self._uploads.key(self._set_id, self._current)

    def write(self, data: t.Union[bytes, bytearray, memoryview]) -> None:
        """Take bytes; waits while as many parts as may be are in flight.

        :raises S3Error: something could not be stored; all of the file is gone.
        """
        if self._ended:
            raise ValueError(f"{self._name} has ended")
        view = memoryview(data)
        try:
            while view:
                if self._size == self._object_bytes:
                    self._end_object()
                    self._begin_object()
                elif len(self._part) == PART_BYTES:
                    self._send_part()
                taken = min(PART_BYTES - len(self._part), self._object_bytes - self._size, len(view))
                piece = view[:taken]
                self._hash.update(piece)
                self._part += piece
                self._size += taken
                view = view[taken:]
        except BaseException as exc:
            self._give_up(exc)
            raise

    def close(self) -> t.List[StoredObject]:
        """Wait until all is stored; the objects in order.

        :raises S3Error: something could not be stored; all of the file is gone.
        """
        if self._ended:
            raise ValueError(f"{self._name} has ended")
        try:
            self._end_object()
        except BaseException as exc:
            self._give_up(exc)
            raise
        self._ended = True
        return list(self._objects)

    def _give_up(self, exc: BaseException) -> None:
        if isinstance(exc, S3Error) and exc.out_of_reach:
            # Nothing can be undone now; whoever began the set knows that something is left.
            self._ended = True
            self._part = bytearray()
            for part in self._parts:
                part.cancel()
        else:
            self.abort()

    def abort(self) -> None:
        """Undo all of it. What cannot be reached stays for C(S3Store.discard)."""
        if self._ended:
            return
        self._ended = True
        self._part = bytearray()
        for part in self._parts:
            # A part that arrives after the upload was aborted would stay there unseen, and be paid for.
            if not part.cancel():
                part.exception()
        if self._upload_id:
            with contextlib.suppress(S3Error):
                self._uploads.abort(self._key, self._upload_id)
        for name in self._made:
            with contextlib.suppress(S3Error):
                self._uploads.delete(self._uploads.key(self._set_id, name))

    def _send_part(self) -> None:
        for part in self._parts:
            # The first error ends it, not the last.
            if part.done():
                part.result()
        if not self._upload_id:
            self._upload_id = self._uploads.begin(self._key)
        data, self._part = self._part, bytearray()
        self._uploads.slots.acquire()
        try:
            future = self._uploads.pool.submit(
                self._uploads.put_part, self._key, self._upload_id, len(self._parts) + 1, data
            )
        except BaseException:
            self._uploads.slots.release()
            raise
        future.add_done_callback(lambda _done: self._uploads.slots.release())
        self._parts.append(future)

    def _end_object(self) -> None:
        if self._upload_id:
            self._send_part()
            parts = [part.result() for part in self._parts]
            self._made.append(self._current)
            self._uploads.complete(self._key, self._upload_id, parts, self._size)
        else:
            self._made.append(self._current)
            self._uploads.put(self._key, self._part)
        self._objects.append(StoredObject(self._current, self._size, self._hash.hexdigest()))
        self._parts, self._upload_id, self._part = [], "", bytearray()
