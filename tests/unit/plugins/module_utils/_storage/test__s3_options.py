# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each value that cannot be is told in one sentence; what is documented is what there is."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.boardroom.maintenance.plugins.doc_fragments._s3 import ModuleDocFragment
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._storage._s3_options import (
    S3_SPEC,
    S3Options,
    s3_options,
)

DEFAULTS = {field.name: field.default for field in dataclasses.fields(S3Options) if field.name != "bucket"}


def test_a_bucket_is_enough() -> None:
    assert s3_options({"bucket": "b-1.x"}) == S3Options("b-1.x")
    assert s3_options({"bucket": "abc", "prefix": None, "concurrency": None}) == S3Options("abc")


def test_all_that_can_be_given(tmp_path: Path) -> None:
    ca_cert = tmp_path / "ca.pem"
    ca_cert.touch()
    given = {
        "bucket": "backups",
        "prefix": "/site/a_b.c=1/",
        "endpoint_url": "https://project.example.com:9000/storage/v1/s3",
        "region": "eu-central-1",
        "access_key": "key",
        "secret_key": "secret",
        "session_token": "token",
        "ca_cert": str(ca_cert),
        "storage_class": "GLACIER_IR",
        "sse": "aws:kms",
        "sse_kms_key_id": "arn:aws:kms:x:1:key/2",
        "checksum": "when_supported",
        "object_lock_mode": "COMPLIANCE",
        "object_lock_days": 30,
        "concurrency": 32,
        "allow_unencrypted_secrets": True,
    }
    assert set(given) == {"bucket", *DEFAULTS}
    assert dataclasses.asdict(s3_options(given)) == {**given, "prefix": "site/a_b.c=1"}


WRONG: list[tuple[dict[str, t.Any], str]] = [
    ({"bucket": ""}, "s3.bucket must name the bucket."),
    ({"bucket": "a"}, "s3.bucket is 'a', but must be 3 to 255"),
    ({"bucket": "a/b/c"}, "s3.bucket is 'a/b/c'"),
    ({"bucket": "abc\n"}, "s3.bucket is 'abc\\n'"),
    ({"bucket": 7}, "s3.bucket must be of the type str."),
    ({"prefix": "a/../b"}, "s3.prefix is 'a/../b'"),
    ({"prefix": "a//b"}, "s3.prefix is 'a//b'"),
    ({"prefix": "a b"}, "s3.prefix is 'a b'"),
    ({"endpoint_url": "s3.example.com"}, "s3.endpoint_url must be a plain address"),
    ({"endpoint_url": "ftp://s3.example.com"}, "s3.endpoint_url must be a plain address"),
    ({"endpoint_url": "https://s3.example.com?x=1"}, "s3.endpoint_url must be a plain address"),
    ({"endpoint_url": "https://s3.example.com:http"}, "s3.endpoint_url must be a plain address"),
    ({"region": "Frankfurt am Main"}, "s3.region is 'Frankfurt am Main'"),
    ({"access_key": "k"}, "s3.access_key and s3.secret_key must be given together"),
    ({"secret_key": "hidden-0xBEEF"}, "s3.access_key and s3.secret_key must be given together"),
    ({"session_token": "hidden-0xBEEF"}, "s3.session_token belongs to an s3.access_key."),
    ({"ca_cert": "/nonexistent/ca.pem"}, "s3.ca_cert is '/nonexistent/ca.pem'"),
    ({"ca_cert": "ca.pem"}, "s3.ca_cert is 'ca.pem', but must be the absolute path"),
    ({"storage_class": "standard"}, "s3.storage_class is 'standard'"),
    ({"storage_class": "DEEP_ARCHIVE"}, "s3.storage_class DEEP_ARCHIVE cannot be read back at once"),
    ({"sse": "aes"}, "s3.sse is 'aes', but must be one of AES256, aws:kms."),
    ({"sse_kms_key_id": "k"}, "s3.sse_kms_key_id needs s3.sse to be aws:kms."),
    ({"checksum": "never"}, "s3.checksum is 'never'"),
    ({"object_lock_mode": "SOFT", "object_lock_days": 1}, "s3.object_lock_mode is 'SOFT'"),
    ({"object_lock_mode": "GOVERNANCE"}, "s3.object_lock_mode and s3.object_lock_days (at least 1)"),
    ({"object_lock_days": 3}, "s3.object_lock_mode and s3.object_lock_days (at least 1)"),
    ({"object_lock_days": -3}, "s3.object_lock_mode and s3.object_lock_days (at least 1)"),
    ({"concurrency": 0}, "s3.concurrency is 0, but must be from 1 to 32."),
    ({"concurrency": 33}, "s3.concurrency is 33"),
    ({"concurrency": True}, "s3.concurrency must be of the type int."),
    ({"concurrency": "4"}, "s3.concurrency must be of the type int."),
    ({"allow_unencrypted_secrets": "no"}, "s3.allow_unencrypted_secrets must be of the type bool."),
    ({"buket": "x"}, "s3 knows no buket."),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_what_cannot_be_is_one_sentence(given: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(MaintenanceError) as caught:
        s3_options({"bucket": "backups", **given})
    assert sentence in caught.value.message
    assert "maintenance_s3" in caught.value.remedy
    assert "0xBEEF" not in caught.value.message


def test_each_wrong_value_is_told() -> None:
    with pytest.raises(MaintenanceError) as caught:
        s3_options({"bucket": "b", "region": "a b", "concurrency": 99})
    assert [part.split(" ")[0] for part in caught.value.message.split("s3.")[1:]] == ["bucket", "region", "concurrency"]


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(MaintenanceError, match="without credentials") as caught:
        s3_options({"bucket": "backups", "endpoint_url": "https://key:hidden-0xBEEF@s3.example.com"})
    assert "0xBEEF" not in caught.value.message


def test_a_module_takes_the_same_options_with_the_same_defaults() -> None:
    spec = S3_SPEC["options"]
    assert {name: option.get("default") for name, option in spec.items() if name != "bucket"} == DEFAULTS
    validated = ArgumentSpecValidator({"s3": S3_SPEC}).validate({"s3": {"bucket": "backups"}})
    assert validated.error_messages == []
    assert s3_options(validated.validated_parameters["s3"]) == S3Options("backups")
    assert {name for name, option in spec.items() if option.get("no_log")} == {"secret_key", "session_token"}


def test_the_documentation_has_all_options_as_they_are() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["s3"]["suboptions"]
    assert set(documented) == set(S3_SPEC["options"])
    for name, option in S3_SPEC["options"].items():
        shown = documented[name]
        for part in ("type", "default", "choices", "required"):
            assert shown.get(part) == option.get(part), (name, part)
