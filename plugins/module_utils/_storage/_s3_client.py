# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""A connection to a server that speaks S3, and what its errors mean."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import typing as t
import zlib
from xml.etree import ElementTree

from .._errors import MaintenanceError
from .._process import HIDDEN
from ._s3_options import S3Options

try:
    import botocore.config
    import botocore.exceptions
    import botocore.session
    import urllib3.exceptions
except ImportError:
    HAS_BOTOCORE = False
else:
    HAS_BOTOCORE = True

CONNECT_SECONDS = 5
READ_SECONDS = 60
LEAST_READ_SECONDS = 5
# With botocore's mode C(standard): up to some seven seconds of waiting between them.
ATTEMPTS = 4
PATIENCE = READ_SECONDS * ATTEMPTS
# A custom endpoint needs some region to sign with, and most take any.
DEFAULT_REGION = "us-east-1"

Client = t.Any


class S3Error(MaintenanceError):
    """The store cannot do what was asked of it; C(code) is the server's own word, or empty."""

    # Whether no answer came: then the next request would only wait as long again.
    out_of_reach = False

    def __init__(self, message: str, remedy: str = "", code: str = "") -> None:
        super().__init__(message, remedy)
        self.code = code


class OutOfReachError(S3Error):
    """No answer came from the store."""

    out_of_reach = True


class DamagedError(S3Error):
    """An object is not what was put there.

    :param place: the object's address
    :param reason: what is wrong with it, as a clause: C(it is missing)
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place} is damaged: {reason}.", "Take a new set with playbooks/backup.yml.")
        self.reason = reason


def connect(options: S3Options, patience: float = PATIENCE) -> Client:
    """A client of botocore; nothing is contacted yet. Threads may share it.

    :param patience: seconds that one request may take when the server does not answer, all attempts together
    :raises S3Error: boto3 is not installed, or its configuration on this host is spoilt.
    """
    if not HAS_BOTOCORE:
        raise S3Error(
            "boto3 is not installed on this host.", "Run playbooks/prepare.yml on it (package python3-boto3)."
        )
    settings: t.Dict[str, t.Any] = {
        "signature_version": "s3v4",
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": min(READ_SECONDS, max(LEAST_READ_SECONDS, patience / ATTEMPTS)),
        "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        "max_pool_connections": 2 * options.concurrency + 2,
        "tcp_keepalive": True,
        "s3": {"addressing_style": "path" if options.endpoint_url else "auto"},
    }
    # From botocore 1.36 on: sends and asks for checksums that some servers refuse.
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        if name in botocore.config.Config.OPTION_DEFAULTS:
            settings[name] = options.checksum
    with explained(options, "connect to"):
        session = botocore.session.Session()
        parsers = session.get_component("response_parser_factory")
        # Times stay text: of a listing with tens of thousands of them next to none is looked at.
        parsers.set_parser_defaults(timestamp_parser=str)
        session.register_component("response_parser_factory", _Parsers(parsers))
        client = session.create_client(
            "s3",
            region_name=options.region or session.get_config_variable("region") or DEFAULT_REGION,
            endpoint_url=options.endpoint_url or None,
            aws_access_key_id=options.access_key or None,
            aws_secret_access_key=options.secret_key or None,
            aws_session_token=options.session_token or None,
            verify=options.ca_cert or None,
            config=botocore.config.Config(**settings),
        )
        if options.checksum == "when_required":
            client.meta.events.register("before-call.s3.DeleteObjects", _with_md5)
        return client


class _Parsers:
    """botocore's own parsers, except for the entries of a listing: it takes seconds for tens of thousands of them."""

    def __init__(self, parsers: t.Any) -> None:
        self._parsers = parsers

    def create_parser(self, protocol: str) -> _Parser:
        """Called by botocore."""
        return _Parser(self._parsers.create_parser(protocol))


class _Parser:
    def __init__(self, parser: t.Any) -> None:
        self._parser = parser

    def parse(self, response: t.Dict[str, t.Any], shape: t.Any) -> t.Dict[str, t.Any]:
        """Called by botocore."""
        contents: t.List[t.Dict[str, t.Optional[str]]] = []
        if shape is not None and shape.name == "ListObjectsV2Output" and response["status_code"] == 200:
            with contextlib.suppress(ElementTree.ParseError):
                listing = ElementTree.fromstring(response["body"])
                for entry in [each for each in listing if _bare(each.tag) == "Contents"]:
                    contents.append({_bare(field.tag): field.text for field in entry})
                    listing.remove(entry)
                response = {**response, "body": ElementTree.tostring(listing)}
        parsed: t.Dict[str, t.Any] = self._parser.parse(response, shape)
        return {**parsed, "Contents": contents} if contents else parsed


def _bare(tag: str) -> str:
    """Name of an element without its namespace."""
    return tag.rpartition("}")[2]


def _with_md5(params: t.Dict[str, t.Any], **_more: t.Any) -> None:
    """Newer versions of botocore put a CRC in the place of the MD5 that older servers insist on."""
    params["headers"]["Content-MD5"] = md5(params["body"])
    params.get("context", {}).get("checksum", {}).pop("request_algorithm", None)


def md5(data: t.Union[bytes, bytearray]) -> str:
    """Value of the header Content-MD5."""
    return base64.b64encode(hashlib.new("md5", data, usedforsecurity=False).digest()).decode("ascii")


def integrity(options: S3Options, data: t.Union[bytes, bytearray]) -> t.Dict[str, str]:
    """Arguments that make the server refuse a body that was changed on its way."""
    if options.checksum == "when_required":
        return {"ContentMD5": md5(data)}
    return {"ChecksumCRC32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode("ascii")}


@contextlib.contextmanager
def explained(options: S3Options, doing: str) -> t.Iterator[None]:
    """Turn errors of botocore into one sentence.

    :param doing: what is being done, to be followed by the bucket: "list the sets in"
    :raises S3Error: in place of each.
    """
    try:
        yield
    except botocore.exceptions.ClientError as exc:
        raise _refused(options, doing, exc) from exc
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as exc:
        raise _unreachable(options, doing, exc) from exc


def error_code(exc: t.Any) -> str:
    """The server's word for an error; its HTTP status when it said none."""
    return str(exc.response.get("Error", {}).get("Code") or exc.response["ResponseMetadata"]["HTTPStatusCode"])


_KEY = "Correct s3.access_key and s3.secret_key (in the inventory: maintenance_s3)."
# By the server's word: what is wrong, and what to do.
_REFUSALS: t.Dict[str, t.Tuple[str, str]] = {
    "InvalidAccessKeyId": ("it does not know the access key", _KEY),
    "SignatureDoesNotMatch": ("the secret key is wrong", _KEY),
    "InvalidSecurity": ("the credentials are not valid", _KEY),
    "InvalidClientTokenId": ("it does not know the access key", _KEY),
    "ExpiredToken": ("the session token has expired", "Give a new s3.session_token, or let boto3 renew it by itself."),
    "InvalidToken": ("the session token is not valid", "Give the s3.session_token that belongs to s3.access_key."),
    "RequestTimeTooSkewed": ("the clock of this host is wrong", "Set it (timedatectl, chrony), then run this again."),
    "RequestExpired": ("the clock of this host is wrong", "Set it (timedatectl, chrony), then run this again."),
    "NoSuchBucket": ("there is no such bucket", "Correct s3.bucket or s3.endpoint_url, or make the bucket."),
    "PermanentRedirect": ("the bucket is in another region", "Correct s3.region and s3.endpoint_url."),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "Correct s3.region."),
    "IllegalLocationConstraintException": ("the bucket is in another region", "Correct s3.region."),
    "InvalidStorageClass": ("it does not know the storage class", "Correct s3.storage_class."),
    "QuotaExceeded": ("there is no space left", "Make room there, or raise its quota."),
    "XMinioStorageFull": ("there is no space left", "Make room there, or raise its quota."),
    "InsufficientStorage": ("there is no space left", "Make room there, or raise its quota."),
    "507": ("there is no space left", "Make room there, or raise its quota."),
    "BadDigest": ("bytes were changed on their way", "Look at the network between, then run this again."),
    "InvalidDigest": ("bytes were changed on their way", "Look at the network between, then run this again."),
    "EntityTooSmall": ("a part is too small for it", "This server does not take parts of 8 MiB; use another."),
    "TooManyParts": ("it takes no more parts of one object", "Use a server that takes at least 512 parts."),
    "NotImplemented": (
        "it cannot do that",
        "Drop the option of s3 that this server lacks (sse, object_lock_mode, ...).",
    ),
    "ObjectLockConfigurationNotFoundError": (
        "the bucket has no Object Lock",
        "Make a bucket with Object Lock, or drop s3.object_lock_mode.",
    ),
}
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^'\")\]]+)")
_BUSY = ("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "503")
_FORBIDDEN = ("AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403")


def _refused(options: S3Options, doing: str, exc: t.Any) -> S3Error:
    code = error_code(exc)
    status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    said = str(exc.response.get("Error", {}).get("Message") or "")
    if code in _REFUSALS:
        why, remedy = _REFUSALS[code]
    elif code in _BUSY or status == 503:
        why = f"it was too busy, {ATTEMPTS} times"
        remedy = "Run this again later, with a smaller s3.concurrency if it stays so."
    elif code in _FORBIDDEN or status == 403:
        lock = " or Object Lock keeps it" if doing.startswith("delete") else ""
        why = f"the credentials lack the right{lock}"
        remedy = "Give this key the rights to list, get, put and delete objects of the bucket and to abort uploads."
    elif status >= 500:
        why, remedy = (
            f"it failed, {ATTEMPTS} times",
            "Look at the server's own log or status page, then run this again.",
        )
    else:
        why, remedy = "it refused", "Look at what it says, and at the option s3."
    what = _clean(options, ": ".join(part for part in (code, said) if part))[:300].rstrip(".")
    return S3Error(
        f"{_place(options)} did not let us {doing} the bucket {options.bucket}: {why} ({what}).", remedy, code
    )


def _unreachable(options: S3Options, doing: str, exc: BaseException) -> OutOfReachError:
    inner: t.Optional[BaseException] = exc
    chain: t.List[BaseException] = []
    while inner is not None and len(chain) < 10:
        chain.append(inner)
        inner = getattr(inner, "kwargs", {}).get("error") or getattr(inner, "reason", None) or inner.__cause__
        inner = inner if isinstance(inner, BaseException) else None
    text = " ".join(f"{type(one).__name__} {one}" for one in chain)
    names = {type(one).__name__ for one in chain}
    remedy = "Look at the network and at the server, then run this again."
    if any(isinstance(one, socket.gaierror) for one in chain) or "Name or service not known" in text:
        why, remedy = "its name does not resolve", "Correct s3.endpoint_url, or this host's DNS."
    elif "WRONG_VERSION_NUMBER" in text:
        why, remedy = "it does not speak TLS", "Correct s3.endpoint_url (http instead of https, or another port)."
    elif "CERTIFICATE_VERIFY_FAILED" in text or "SSLError" in names:
        why = f"its TLS certificate is not trusted ({_reason(text)})"
        remedy = "Give s3.ca_cert the authority that signed it, or correct s3.endpoint_url."
    elif "ConnectTimeoutError" in names or "ConnectTimeout" in names:
        why = f"it did not answer within {CONNECT_SECONDS} s, {ATTEMPTS} times"
    elif "ReadTimeoutError" in names or isinstance(exc, TimeoutError):
        why = f"it stopped answering, {ATTEMPTS} times"
    elif names & {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}:
        why, remedy = "this host has no credentials for it", "Give s3.access_key and s3.secret_key, or the host a role."
    elif "refused" in text:
        why, remedy = "it refuses connections", "Start the server, or correct s3.endpoint_url."
    else:
        told = _ERRNO.search(text)
        # An address with its query says nothing to an operator.
        why = told.group(1).strip() if told else _clean(options, re.sub(r"\?\S*", "", f"{exc}"))[:300].rstrip(".")
    return OutOfReachError(
        f"{_place(options)} cannot be reached to {doing} the bucket {options.bucket}: {why}.", remedy
    )


def _reason(text: str) -> str:
    """What OpenSSL says: the part behind the last of its own prefixes."""
    found = text.partition("certificate verify failed: ")[2] or text.partition("SSLError ")[2]
    return found.split("(_ssl")[0].strip()[:200] or "TLS failed"


def _place(options: S3Options) -> str:
    return f"The store {options.endpoint_url}" if options.endpoint_url else "AWS S3"


def _clean(options: S3Options, text: str) -> str:
    """The text without secrets, in one line."""
    for secret in (options.secret_key, options.session_token):
        if len(secret) > 3:
            text = text.replace(secret, HIDDEN)
    return " ".join(text.split())
