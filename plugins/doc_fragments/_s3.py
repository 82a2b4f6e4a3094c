# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of every module that uses a store of objects."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of C(module_utils/_storage/_s3_options.py)."""

    DOCUMENTATION = r"""
options:
  s3:
    description:
      - A bucket on any server that speaks S3 (AWS, MinIO, Ceph, SeaweedFS, Hetzner, Backblaze B2, Scaleway, ...).
      - The key needs the rights to list the bucket, to get, put and delete objects, and to abort multipart uploads and
        list them.
      - Give the bucket a lifecycle rule that aborts unfinished multipart uploads after some days. One that keeps
        versions also needs a rule that expires noncurrent ones, since what is deleted there is only hidden.
    type: dict
    suboptions:
      bucket:
        description: Name of the bucket. It must be there.
        type: str
        required: true
      prefix:
        description: What the keys of all objects begin with; the sets of a server lie below it, in the server's name.
        type: str
        default: ""
      endpoint_url:
        description:
          - Address of the server, such as V(https://s3.example.com). AWS when empty.
          - The bucket's name becomes a part of the path then, not of the server's name.
        type: str
        default: ""
      region:
        description: Region of the bucket. When empty what boto3 is configured to use, or else V(us-east-1).
        type: str
        default: ""
      access_key:
        description:
          - Identifier of the key.
          - When empty boto3 looks for credentials itself, in the environment, in C(~/.aws) and in the role of the
            machine.
        type: str
        default: ""
      secret_key:
        description: Secret of the key. Required with O(s3.access_key).
        type: str
        default: ""
      session_token:
        description: Token of a key that expires.
        type: str
        default: ""
      ca_cert:
        description: File on the managed host with the certificate authority that the server is judged by. The system's
          when empty.
        type: path
        default: ""
      storage_class:
        description:
          - Storage class of every object, such as V(STANDARD_IA). The bucket's own when empty.
          - V(GLACIER) and V(DEEP_ARCHIVE) are refused, since a set could not be read back.
        type: str
        default: ""
      sse:
        description: How the server encrypts every object. As the bucket says when empty.
        type: str
        choices: ["", AES256, aws:kms]
        default: ""
      sse_kms_key_id:
        description: The key to encrypt with, for O(s3.sse=aws:kms). The account's own when empty.
        type: str
        default: ""
      checksum:
        description:
          - What protects a body on its way, beside the SHA-256 that is compared when all is read back.
          - V(when_required) sends C(Content-MD5), which every server knows. V(when_supported) sends CRC32 and asks for
            checksums of what is read; some servers refuse that.
        type: str
        choices: [when_required, when_supported]
        default: when_required
      object_lock_mode:
        description:
          - Lock every object against deletion for O(s3.object_lock_days). The bucket must have been made with Object
            Lock; otherwise nothing is done.
          - A set is not removed, nor hidden, before its time is over.
        type: str
        choices: ["", GOVERNANCE, COMPLIANCE]
        default: ""
      object_lock_days:
        description: Time in days, from the moment that an object is stored. Required with O(s3.object_lock_mode).
        type: int
        default: 0
      concurrency:
        description:
          - Number of requests at a time, from 1 to 32.
          - Each holds 8 MiB while a set is stored.
        type: int
        default: 4
      allow_unencrypted_secrets:
        description:
          - Whether files with secrets may go to the bucket although no recipient to encrypt them for is given.
        type: bool
        default: false
"""
