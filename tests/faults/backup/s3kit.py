# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's S3 server behind the fault proxy, and the runbook's script with its upload."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import shlex
import typing as t
from pathlib import Path

import boto3
import botocore.config
import support
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._manifest import seal
from faultkit import NAME, RUNBOOK_DIR, SCRIPT, Script, Site, taken_at
from labkit.hosts import load
from labkit.layout import Lab

SERVER = "faults-s3"
BUCKET = "boardroom-backups"
KEY, SECRET = "labs3accesskey", "lab-s3-secret-key-0x5EAEED"
PORT = 9123
ENDPOINT = f"http://127.0.0.1:{PORT}"
PREFIX = "faults"
PROXY = "/root/s3proxy.py"
UNIT = "faults-s3proxy"
UPLOAD = "# Upload to S3 (optional)\naws s3 cp $BACKUP_FILE.gz s3://boardroom-backups/\n\n"
BEFORE = "# Keep only last 7 days locally"
SCRIPT_S3 = "/root/backup_db_s3.sh"


@dataclasses.dataclass
class Uploaded:
    """What the runbook's script left here and off-site.

    :param same: what lies off-site is what lies here, byte by byte; None when nothing lies there
    :param begun: uploads in parts that it began, and that nobody ends; they take space and are paid for
    """

    local: Script
    same: bool | None
    begun: int

    def said(self) -> str:
        """One cell of the table."""
        kept = {
            None: "nothing off-site",
            True: "off-site the same",
            False: "**off-site not what lies here**",
        }[self.same]
        begun = f", and {self.begun} unfinished upload that stays" if self.begun else ""
        return f"exit {self.local.rc}; {kept}{begun}"


class Offsite:
    """The bucket as it really is, and the proxy that the host sees it through."""

    def __init__(self, site: Site, address: str) -> None:
        self._site = site
        self.address = address
        self.client: t.Any = boto3.client(
            "s3",
            endpoint_url=f"http://{address}:8333",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )

    def options(self, **more: t.Any) -> dict[str, t.Any]:
        """Where the modules reach it: through the proxy."""
        return {
            "bucket": BUCKET,
            "prefix": PREFIX,
            "endpoint_url": ENDPOINT,
            "region": "us-east-1",
            "access_key": KEY,
            "secret_key": SECRET,
            **more,
        }

    def start_proxy(self) -> None:
        """Start the proxy on the host, outside of any session; with the server's key in a file."""
        self._site.write(PROXY, (Path(__file__).resolve().parent / "s3proxy.py").read_bytes())
        support.feed(NAME, ["sh", "-c", "umask 077; cat >/root/s3proxy.env"], f"S3PROXY_KEY={KEY}:{SECRET}\n".encode())
        self._site.sh(
            f"systemctl reset-failed {UNIT} 2>/dev/null; systemctl stop {UNIT} 2>/dev/null; "
            f"systemd-run --quiet --unit {UNIT} -p EnvironmentFile=/root/s3proxy.env "
            f"python3 {PROXY} {PORT} {self.address}:8333"
        )
        support.wait_for("the proxy answers", lambda: '"log"' in self._site.sh(f"curl -s {ENDPOINT}/-/log; true"), 20)

    def set_rules(self, *rules: t.Mapping[str, t.Any]) -> None:
        """From now on do these harms, and no others."""
        text = shlex.quote(json.dumps(rules))
        self._site.sh(f"printf %s {text} | curl -sS --fail -o /dev/null -X PUT --data-binary @- {ENDPOINT}/-/rules")

    def seen(self) -> dict[str, t.Any]:
        """What was asked since the rules were set (C(log)), and how often each rule struck (C(struck))."""
        said: dict[str, t.Any] = json.loads(self._site.sh(f"curl -sS --fail {ENDPOINT}/-/log"))
        return said

    @contextlib.contextmanager
    def harm(self, *rules: t.Mapping[str, t.Any], struck: bool = True) -> t.Iterator[None]:
        """Do harm for as long as this lasts; each rule has struck by then."""
        self.set_rules(*rules)
        try:
            yield
            assert not struck or all(self.seen()["struck"]), self.seen()
        finally:
            self.set_rules()

    def objects(self, prefix: str = "") -> dict[str, tuple[int, str, str]]:
        """Every object in the bucket: size, ETag and time."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {
            each["Key"]: (each["Size"], each["ETag"], str(each["LastModified"]))
            for page in pages
            for each in page.get("Contents", [])
        }

    def sets(self, instance: str) -> list[str]:
        """Ids of the sets that can be seen: those with a manifest."""
        start = f"{PREFIX}/{instance}/"
        return [key[len(start) :].partition("/")[0] for key in self.objects(start) if key.endswith("/manifest.json")]

    def uploads(self) -> list[str]:
        """Keys of the uploads in parts that were begun and never ended."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET)
        return [each["Key"] for page in pages for each in page.get("Uploads", [])]

    def hashes(self, keys: t.Iterable[str]) -> dict[str, str]:
        """SHA-256 of what the server holds."""
        return {key: hashlib.sha256(self.read(key)).hexdigest() for key in keys}

    def read(self, key: str) -> bytes:
        """An object."""
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def put(self, key: str, body: bytes) -> None:
        """Put an object there, past the proxy."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def forge(self, source: str, set_id: str, instance: str, moments: t.Iterable[datetime.datetime]) -> list[str]:
        """Copies of a set as if they had been taken at other times; their ids, oldest first.

        :param source: instance of the set
        """
        start = f"{PREFIX}/{source}/{set_id}/"
        bodies = {key[len(start) :]: self.read(key) for key in self.objects(start)}
        manifest = json.loads(bodies.pop("manifest.json"))
        del manifest["checksum"]
        made = [seal(taken_at(manifest, moment)) for moment in sorted(moments)]
        for each in made:
            target = f"{PREFIX}/{instance}/{each['id']}/"
            for name, body in bodies.items():
                self.put(target + name, body)
            self.put(target + "manifest.json", json.dumps(each).encode())
        return [str(each["id"]) for each in made]

    def empty(self, prefix: str) -> None:
        """Remove what lies below a prefix, and what was begun there."""
        for key in self.objects(prefix):
            self.client.delete_object(Bucket=BUCKET, Key=key)
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET, Prefix=prefix)
        for page in pages:
            for each in page.get("Uploads", []):
                self.client.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])

    def script(self, prefix: str = "", harm: tuple[str, str] | None = None) -> Uploaded:
        """Run the runbook's script with its upload, as it is.

        :param harm: a moment and what to do in it
        :param prefix: put before the command line
        """
        for key in [key for key in self.objects() if "/" not in key]:
            self.client.delete_object(Bucket=BUCKET, Key=key)
        environment = f"env AWS_ENDPOINT_URL={ENDPOINT} AWS_DEFAULT_REGION=us-east-1"
        local = self._site.script(harm, prefix=f"{prefix} {environment}", path=SCRIPT_S3)
        keys = [key for key in self.objects() if "/" not in key]
        same = None
        if keys:
            here = self._site.sh(f"sha256sum {RUNBOOK_DIR}/*.gz").split()[0]
            same = hashlib.sha256(self.read(keys[0])).hexdigest() == here
        begun = [key for key in self.uploads() if "/" not in key]
        for key in begun:
            self.empty(key)
        return Uploaded(local, same, len(begun))


def server_address() -> str:
    """Address of the lab's S3 server, which is up."""
    support.lab("up", SERVER, "--kind", "s3")
    return load(Lab.here())[SERVER].address


def prepare_script(site: Site) -> None:
    """The runbook's script with its upload, and what it needs; its key where the program looks for it."""
    text = site.sh(f"cat {SCRIPT}")
    assert text.count(BEFORE) == 1, text
    site.write(SCRIPT_S3, text.replace(BEFORE, UPLOAD + BEFORE).encode())
    site.install("awscli")
    credentials = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    site.sh("mkdir -p -m 700 /root/.aws")
    site.write("/root/.aws/credentials", credentials.encode())
