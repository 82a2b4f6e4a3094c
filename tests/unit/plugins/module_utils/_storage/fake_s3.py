# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server in this process that speaks as much of S3 as the store uses, and fails on demand.

It judges what a real one judges (keys, Content-MD5, CRC32, sizes and number of parts); signatures it does not.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import hashlib
import http.server
import re
import ssl
import threading
import time
import typing as t
import urllib.parse
import zlib
from xml.sax.saxutils import escape

BUCKET = "backups"
ACCESS_KEY = "fake-access-key"
SECRET_KEY = "fake-secret-0xDEC0DE"


@dataclasses.dataclass
class Request:
    """What was asked: the operation by its name in the API, the key, headers (names in lower case) and query."""

    operation: str
    key: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes = b""


@dataclasses.dataclass
class Fault:
    """What goes wrong, how often.

    :param operation: the one concerned
    :param key: end of the key; empty means any
    :param status: HTTP status to answer with in place of doing it; 0 means do it
    :param then: "cut" ends the connection within the answer's body, "drop" before the answer, "flip" changes a byte of
        what is stored or sent, "wire" one of what arrives, "wait" holds the request until C(gate) is set
    :param times: how often
    :param skip: how often it goes well first
    """

    operation: str
    status: int = 0
    code: str = ""
    key: str = ""
    then: str = ""
    times: int = 10**9
    skip: int = 0
    gate: threading.Event = dataclasses.field(default_factory=threading.Event)


@dataclasses.dataclass
class Stored:
    data: bytes
    headers: dict[str, str]
    modified: str


@dataclasses.dataclass
class Upload:
    key: str
    headers: dict[str, str]
    begun: str
    parts: dict[int, bytes] = dataclasses.field(default_factory=dict)


class FakeS3:
    """The bucket; a context manager that serves it at C(url)."""

    def __init__(self, tls: t.Optional[ssl.SSLContext] = None) -> None:
        self.lock = threading.RLock()
        # Requests in flight now, by operation, and the most at a time.
        self.busy: collections.Counter[str] = collections.Counter()
        self.most: collections.Counter[str] = collections.Counter()
        self.faults: list[Fault] = []
        self._number = 0
        self.clear()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeS3:
        self._thread.start()
        return self

    def clear(self) -> None:
        """Become an empty bucket that obeys, once the last request has ended."""
        for fault in self.faults:
            fault.gate.set()
        while sum(self.busy.values()):
            time.sleep(0.001)
        self.faults = []
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.requests: list[Request] = []
        self.most.clear()
        self.page = 1000
        self.max_parts = 10_000
        self.min_part = 0
        self.locking = False
        self.time = "2026-11-24T02:00:00.000Z"

    def __exit__(self, *_exc: object) -> None:
        self.clear()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, operation: str, status: int = 0, code: str = "", **more: t.Any) -> Fault:
        """Let something go wrong from now on."""
        fault = Fault(operation, status, code, **more)
        self.faults.append(fault)
        return fault

    def asked(self, operation: str) -> list[Request]:
        """All requests of one operation so far."""
        with self.lock:
            return [request for request in self.requests if request.operation == operation]

    def new_number(self) -> int:
        with self.lock:
            self._number += 1
            return self._number

    def fault_of(self, request: Request) -> t.Optional[Fault]:
        with self.lock:
            for fault in self.faults:
                if fault.operation == request.operation and request.key.endswith(fault.key) and fault.times > 0:
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Answer(t.NamedTuple):
    body: bytes = b""
    headers: t.Mapping[str, str] = {}
    status: int = 200


def operation_of(method: str, key: str, query: t.Mapping[str, str]) -> str:
    """The name of the operation in Amazon's API."""
    if not key:
        for flag, name in (
            ("object-lock", "GetObjectLockConfiguration"),
            ("versioning", "GetBucketVersioning"),
            ("uploads", "ListMultipartUploads"),
            ("delete", "DeleteObjects"),
        ):
            if flag in query:
                return name
        return "ListObjectsV2"
    if "uploads" in query:
        return "CreateMultipartUpload"
    if "uploadId" in query:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}[method]
    return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[method]


def flipped(data: bytes) -> bytes:
    """The same number of bytes, the middle one different."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


class _Work:
    """One method for each operation."""

    def __init__(self, fake: FakeS3) -> None:
        self.fake = fake

    def check_body(self, request: Request) -> None:
        md5 = request.headers.get("content-md5")
        if md5 and base64.b64decode(md5) != hashlib.md5(request.body, usedforsecurity=False).digest():
            raise Refusal(400, "BadDigest")
        crc = request.headers.get("x-amz-checksum-crc32")
        if crc and base64.b64decode(crc) != zlib.crc32(request.body).to_bytes(4, "big"):
            raise Refusal(400, "BadDigest")
        if not md5 and not crc and request.operation in ("PutObject", "UploadPart", "DeleteObjects"):
            raise Refusal(400, "MissingContentMD5")

    def store(self, key: str, data: bytes, headers: dict[str, str]) -> None:
        kept = {name: value for name, value in headers.items() if name.startswith("x-amz-")}
        self.fake.objects[key] = Stored(data, kept, self.fake.time)

    def object(self, key: str) -> Stored:
        if key not in self.fake.objects:
            raise Refusal(404, "NoSuchKey")
        return self.fake.objects[key]

    def upload(self, request: Request) -> Upload:
        if request.query["uploadId"] not in self.fake.uploads:
            raise Refusal(404, "NoSuchUpload")
        return self.fake.uploads[request.query["uploadId"]]

    def PutObject(self, request: Request) -> Answer:
        self.store(request.key, request.body, request.headers)
        return Answer(headers={"ETag": etag(request.body)})

    def HeadObject(self, request: Request) -> Answer:
        found = self.object(request.key)
        lock = {name: value for name, value in found.headers.items() if name.startswith("x-amz-object-lock")}
        return Answer(found.data, {"ETag": etag(found.data), **lock})

    def GetObject(self, request: Request) -> Answer:
        found = self.object(request.key)
        if request.headers.get("if-match", etag(found.data)) != etag(found.data):
            raise Refusal(412, "PreconditionFailed")
        rest = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if rest:
            start, size = int(rest.group(1)), len(found.data)
            return Answer(
                found.data[start:],
                {"ETag": etag(found.data), "Content-Range": f"bytes {start}-{size - 1}/{size}"},
                206,
            )
        return Answer(found.data, {"ETag": etag(found.data)})

    def DeleteObject(self, request: Request) -> Answer:
        self.fake.objects.pop(request.key, None)
        return Answer(status=204)

    def DeleteObjects(self, request: Request) -> Answer:
        errors = ""
        for key in re.findall(r"<Key>(.*?)</Key>", request.body.decode()):
            fault = self.fake.fault_of(Request("DeleteObject", key, {}, {}))
            if fault:
                errors += f"<Error><Key>{key}</Key><Code>{fault.code}</Code></Error>"
            else:
                self.fake.objects.pop(key, None)
        return Answer(f"<DeleteResult>{errors}</DeleteResult>".encode())

    def ListObjectsV2(self, request: Request) -> Answer:
        after = request.query.get("continuation-token", "")
        prefix = request.query.get("prefix", "")
        keys = sorted(key for key in self.fake.objects if key.startswith(prefix) and key > after)
        size = min(self.fake.page, int(request.query.get("max-keys", "1000")))
        page, more = keys[:size], len(keys) > size
        contents = "".join(
            f"<Contents><Key>{escape(urllib.parse.quote(key))}</Key><Size>{len(self.fake.objects[key].data)}</Size>"
            f"<LastModified>{self.fake.objects[key].modified}</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return Answer(
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated><EncodingType>url</EncodingType>"
            f"{contents}{token}</ListBucketResult>".encode()
        )

    def CreateMultipartUpload(self, request: Request) -> Answer:
        upload_id = f"upload-{self.fake.new_number()}"
        self.fake.uploads[upload_id] = Upload(request.key, request.headers, self.fake.time)
        return Answer(
            f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>".encode()
        )

    def UploadPart(self, request: Request) -> Answer:
        number = int(request.query["partNumber"])
        if number > self.fake.max_parts:
            raise Refusal(400, "InvalidPart")
        self.upload(request).parts[number] = request.body
        return Answer(headers={"ETag": etag(request.body)})

    def CompleteMultipartUpload(self, request: Request) -> Answer:
        upload = self.upload(request)
        numbers = [int(n) for n in re.findall(r"<PartNumber>(\d+)</PartNumber>", request.body.decode())]
        tags = re.findall(r"<ETag>(.*?)</ETag>", request.body.decode())
        parts = [upload.parts[number] for number in numbers]
        if [tag.replace("&quot;", '"') for tag in tags] != [etag(part) for part in parts]:
            raise Refusal(400, "InvalidPart")
        if any(len(part) < self.fake.min_part for part in parts[:-1]):
            raise Refusal(400, "EntityTooSmall")
        self.store(upload.key, b"".join(parts), upload.headers)
        del self.fake.uploads[request.query["uploadId"]]
        return Answer(b"<CompleteMultipartUploadResult/>")

    def AbortMultipartUpload(self, request: Request) -> Answer:
        self.upload(request)
        del self.fake.uploads[request.query["uploadId"]]
        return Answer(status=204)

    def ListMultipartUploads(self, request: Request) -> Answer:
        prefix, marker = request.query.get("prefix", ""), request.query.get("upload-id-marker", "")
        found = sorted((u.key, upload_id) for upload_id, u in self.fake.uploads.items() if u.key.startswith(prefix))
        found = [each for each in found if not marker or each > (request.query.get("key-marker", ""), marker)]
        page, more = found[: self.fake.page], len(found) > self.fake.page
        uploads = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{self.fake.uploads[upload_id].begun}</Initiated></Upload>"
            for key, upload_id in page
        )
        markers = (
            f"<NextKeyMarker>{page[-1][0]}</NextKeyMarker><NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>"
            if more
            else ""
        )
        return Answer(
            f"<ListMultipartUploadsResult><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{uploads}{markers}</ListMultipartUploadsResult>".encode()
        )

    def GetObjectLockConfiguration(self, _request: Request) -> Answer:
        if not self.fake.locking:
            raise Refusal(404, "ObjectLockConfigurationNotFoundError")
        return Answer(
            b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
        )

    def GetBucketVersioning(self, _request: Request) -> Answer:
        status = b"<Status>Enabled</Status>" if self.fake.locking else b""
        return Answer(b"<VersioningConfiguration>" + status + b"</VersioningConfiguration>")


def _handler(fake: FakeS3) -> type[http.server.BaseHTTPRequestHandler]:
    work = _Work(fake)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The headers go in one packet with the body: otherwise each request waits for a delayed acknowledgement.
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_args: object) -> None:
            pass

        def handle_expect_100(self) -> bool:
            # Unless it is sent at once, the client waits for it for a second.
            going = super().handle_expect_100()
            self.wfile.flush()
            return going

        def serve(self) -> None:
            path, _mark, text = self.path.partition("?")
            bucket, _slash, key = urllib.parse.unquote(path).lstrip("/").partition("/")
            query = dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            request = Request(operation_of(self.command, key, query), key, headers, query, body)
            with fake.lock:
                fake.requests.append(request)
                fake.busy[request.operation] += 1
                fake.most[request.operation] = max(fake.busy[request.operation], fake.most[request.operation])
            try:
                self.respond(request, bucket)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with fake.lock:
                    fake.busy[request.operation] -= 1

        def respond(self, request: Request, bucket: str) -> None:
            fault = fake.fault_of(request) or Fault("")
            try:
                if fault.then == "wait":
                    fault.gate.wait(10)
                if f"Credential={ACCESS_KEY}/" not in request.headers.get("authorization", ""):
                    raise Refusal(403, "InvalidAccessKeyId")
                if bucket != BUCKET:
                    raise Refusal(404, "NoSuchBucket")
                if fault.status:
                    raise Refusal(fault.status, fault.code)
                if fault.then == "wire":
                    request.body = flipped(request.body)
                work.check_body(request)
                if fault.then == "flip" and request.operation != "GetObject":
                    request.body = flipped(request.body)
                with fake.lock:
                    answer = getattr(work, request.operation)(request)
                if fault.then == "flip" and request.operation == "GetObject":
                    answer = answer._replace(body=flipped(answer.body))
            except Refusal as exc:
                answer = Answer(
                    f"<Error><Code>{exc.code}</Code><Message>Because of {exc.code}.</Message></Error>".encode(),
                    status=exc.status,
                )
            if fault.then == "drop":
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                if fault.then == "cut":
                    self.wfile.write(answer.body[: len(answer.body) // 2])
                    self.close_connection = True
                else:
                    self.wfile.write(answer.body)
            self.wfile.flush()

        def do_GET(self) -> None:
            self.serve()

        def do_HEAD(self) -> None:
            self.serve()

        def do_PUT(self) -> None:
            self.serve()

        def do_POST(self) -> None:
            self.serve()

        def do_DELETE(self) -> None:
            self.serve()

        def handle(self) -> None:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                super().handle()

    return Handler
