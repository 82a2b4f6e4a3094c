# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Where a store of objects is, and what it asks for; documented in C(doc_fragments/_s3.py)."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
import urllib.parse

from .._errors import MaintenanceError

CHECKSUMS = ("when_required", "when_supported")
LOCK_MODES = ("GOVERNANCE", "COMPLIANCE")
ENCRYPTIONS = ("AES256", "aws:kms")
# What lies in these must be thawed for hours before it can be read back.
FROZEN_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
MAX_CONCURRENCY = 32

# The option C(s3) of a module.
S3_SPEC: t.Dict[str, t.Any] = {
    "type": "dict",
    "options": {
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "endpoint_url": {"type": "str", "default": ""},
        "region": {"type": "str", "default": ""},
        "access_key": {"type": "str", "default": "", "no_log": False},
        "secret_key": {"type": "str", "default": "", "no_log": True},
        "session_token": {"type": "str", "default": "", "no_log": True},
        "ca_cert": {"type": "path", "default": ""},
        "storage_class": {"type": "str", "default": ""},
        "sse": {"type": "str", "default": "", "choices": ["", *ENCRYPTIONS]},
        "sse_kms_key_id": {"type": "str", "default": "", "no_log": False},
        "checksum": {"type": "str", "default": CHECKSUMS[0], "choices": list(CHECKSUMS)},
        "object_lock_mode": {"type": "str", "default": "", "choices": ["", *LOCK_MODES]},
        "object_lock_days": {"type": "int", "default": 0},
        "concurrency": {"type": "int", "default": 4},
        "allow_unencrypted_secrets": {"type": "bool", "default": False, "no_log": False},
    },
}

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.=+@-]+(/[A-Za-z0-9_.=+@-]+)*")
_REGION = re.compile(r"[A-Za-z0-9-]+")
_CLASS = re.compile(r"[A-Z0-9_]+")


@dataclasses.dataclass(frozen=True)
class S3Options:
    """A bucket and how to use it.

    :param prefix: what the keys of all objects begin with, without a slash at its ends
    :param endpoint_url: the server; empty means AWS
    :param access_key: empty means that boto3 looks for credentials itself (environment, instance role, ~/.aws)
    :param ca_cert: file with the certificate authority that the server is judged by; empty means the system's
    :param object_lock_days: days for which nobody can delete an object; 0 without C(object_lock_mode)
    :param concurrency: number of requests at a time
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = dataclasses.field(default="", repr=False)
    session_token: str = dataclasses.field(default="", repr=False)
    ca_cert: str = ""
    storage_class: str = ""
    sse: str = ""
    sse_kms_key_id: str = ""
    checksum: str = CHECKSUMS[0]
    object_lock_mode: str = ""
    object_lock_days: int = 0
    concurrency: int = 4
    allow_unencrypted_secrets: bool = False


def s3_options(mapping: t.Mapping[str, t.Any]) -> S3Options:
    """The options in a mapping, such as a module's parameter C(s3); nothing is contacted.

    :raises MaintenanceError: values are wrong; one sentence for each.
    """
    known = {field.name: field for field in dataclasses.fields(S3Options)}
    wrong = [f"s3 knows no {name}." for name in sorted(set(mapping) - set(known))]
    given = {name: value for name, value in mapping.items() if name in known and value is not None}
    for name, field in known.items():
        kind = {"str": str, "int": int, "bool": bool}[str(field.type)]
        if name in given and (not isinstance(given[name], kind) or (kind is int and isinstance(given[name], bool))):
            wrong.append(f"s3.{name} must be of the type {field.type}.")
            del given[name]
    # Whoever writes a prefix with slashes around it means the same.
    given["prefix"] = given.get("prefix", "").strip("/")
    options = S3Options(**{"bucket": "", **given})
    wrong += _wrong(options)
    if wrong:
        raise MaintenanceError(" ".join(wrong), "Correct the option s3 (in the inventory: maintenance_s3).")
    return options


def _wrong(options: S3Options) -> t.List[str]:
    """A sentence for each value that cannot be."""
    checks = [
        (not options.bucket, "s3.bucket must name the bucket."),
        (
            options.bucket and not _BUCKET.fullmatch(options.bucket),
            f"s3.bucket is {options.bucket!r}, but must be 3 to 255 letters, digits, dots, - and _.",
        ),
        (
            options.prefix and (not _PREFIX.fullmatch(options.prefix) or {".", ".."} & set(options.prefix.split("/"))),
            f"s3.prefix is {options.prefix!r}, but must be names of letters, digits, - _ . = + @ with / between them.",
        ),
        (options.endpoint_url and not _is_url(options.endpoint_url), _URL_SENTENCE),
        (
            options.region and not _REGION.fullmatch(options.region),
            f"s3.region is {options.region!r}, but must be a name such as eu-central-1.",
        ),
        (
            bool(options.access_key) != bool(options.secret_key),
            "s3.access_key and s3.secret_key must be given together, or neither.",
        ),
        (options.session_token and not options.access_key, "s3.session_token belongs to an s3.access_key."),
        (
            options.ca_cert and not (os.path.isabs(options.ca_cert) and os.path.isfile(options.ca_cert)),
            f"s3.ca_cert is {options.ca_cert!r}, but must be the absolute path of a file on this host.",
        ),
        (
            options.storage_class and not _CLASS.fullmatch(options.storage_class),
            f"s3.storage_class is {options.storage_class!r}, but must be a name such as STANDARD_IA.",
        ),
        (
            options.storage_class in FROZEN_CLASSES,
            f"s3.storage_class {options.storage_class} cannot be read back at once; choose GLACIER_IR or STANDARD_IA.",
        ),
        (
            options.sse not in ("", *ENCRYPTIONS),
            f"s3.sse is {options.sse!r}, but must be one of {', '.join(ENCRYPTIONS)}.",
        ),
        (options.sse_kms_key_id and options.sse != "aws:kms", "s3.sse_kms_key_id needs s3.sse to be aws:kms."),
        (
            options.checksum not in CHECKSUMS,
            f"s3.checksum is {options.checksum!r}, but must be one of {', '.join(CHECKSUMS)}.",
        ),
        (
            options.object_lock_mode not in ("", *LOCK_MODES),
            f"s3.object_lock_mode is {options.object_lock_mode!r}, but must be one of {', '.join(LOCK_MODES)}.",
        ),
        (
            bool(options.object_lock_mode) != (options.object_lock_days > 0) or options.object_lock_days < 0,
            "s3.object_lock_mode and s3.object_lock_days (at least 1) must be given together, or neither.",
        ),
        (
            not 1 <= options.concurrency <= MAX_CONCURRENCY,
            f"s3.concurrency is {options.concurrency}, but must be from 1 to {MAX_CONCURRENCY}.",
        ),
    ]
    return [sentence for wrong, sentence in checks if wrong]


# The address is not repeated: what is wrong with it may be a password inside.
_URL_SENTENCE = "s3.endpoint_url must be a plain address such as https://s3.example.com, without credentials and query."


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment or re.search(r"\s", text))
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
