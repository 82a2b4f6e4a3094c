# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is off-site is worth something: it decrypts, it brings everything back, and each server keeps to its own."""

from __future__ import annotations

import json
import typing as t

import pytest
import support

NAME = "molecule-offsite"
OLD = "molecule-offsite-old"
HOSTS = [NAME, OLD]
DATABASE = "boardroom_prod"
RECIPIENT = "age150qwhdwrxah343a7st5q6azd02tuaer0sqlhu2687rm509k4cssq9527a8"
PRIVATE_KEY = "AGE-SECRET-KEY-16JMFS8YVGGVJZFUK9ECN8ZLR9EAARK02CMF7YSHQML05CUVUW3XS4CXGJY"
SUPERUSER = "lab-pg-superuser-password-0x5A7A"
STORE = {
    "bucket": "boardroom-backups",
    "endpoint_url": "http://molecule-store:8333",
    "access_key": "labs3accesskey",
    "secret_key": "lab-s3-secret-key-0x5EAEED",
}
WORK = "/var/tmp/offsite-test"

# Fetches a file of a set from the store on the host itself, decrypts it, and compares it with the manifest.
FETCH = """
import boto3, hashlib, json, os, subprocess, sys
store, prefix, path, target, key = json.loads(sys.stdin.read())
client = boto3.client("s3", endpoint_url=store["endpoint_url"], aws_access_key_id=store["access_key"],
                      aws_secret_access_key=store["secret_key"], region_name="us-east-1")
manifest = json.load(client.get_object(Bucket=store["bucket"], Key=prefix + "/manifest.json")["Body"])
(file,) = [f for f in manifest["files"] if f["path"] == path]
cipher = b"".join(client.get_object(Bucket=store["bucket"], Key=prefix + "/" + o["name"])["Body"].read()
                  for o in file["objects"])
if manifest["encryption"]["method"] == "age":
    assert cipher.startswith(b"age-encryption.org/v1"), "it lies there in the clear"
    reader, writer = os.pipe()
    os.write(writer, key.encode()); os.close(writer)
    plain = subprocess.run(["age", "--decrypt", "--identity", "/dev/fd/%d" % reader], input=cipher, pass_fds=[reader],
                           stdout=subprocess.PIPE, check=True).stdout
else:
    plain = cipher
assert hashlib.sha256(plain).hexdigest() == file["sha256"]
with open(target, "wb") as out:
    out.write(plain)
print(json.dumps(manifest))
"""


def prefix(name: str, instance: str = "main") -> str:
    return f"production/{name}/{instance}"


def store(name: str) -> dict[str, t.Any]:
    """The option s3 for the sets of a host."""
    return {**STORE, "prefix": f"production/{name}"}


def sets(name: str, of: str, check: str = "sizes", instance: str = "main") -> dict[str, t.Any]:
    """What one host sees of the sets of another."""
    return support.module("offsite", name, "pg_backup_info", {"s3": store(of), "instance": instance, "check": check})


def fetch(of: str, set_id: str, path: str, target: str, instance: str = "main") -> dict[str, t.Any]:
    """Fetch a file of a host's set onto the newer host; the manifest of the copy."""
    host = support.host(NAME)
    assert host.run("install -d -m 700 %s", WORK).rc == 0
    asked = json.dumps([STORE, f"{prefix(of, instance)}/{set_id}", path, target, PRIVATE_KEY])
    process = support.open_on(NAME, ["python3", "-c", FETCH])
    said, _nothing = process.communicate(asked.encode(), timeout=60)
    assert process.returncode == 0, said
    manifest: dict[str, t.Any] = json.loads(said)
    return manifest


@pytest.fixture(autouse=True, scope="module")
def work() -> t.Iterator[None]:
    yield
    support.host(NAME).run("rm -rf %s", WORK)


@pytest.mark.parametrize("name", HOSTS)
def test_the_copy_is_whole_and_the_local_set_s_twin(name: str) -> None:
    seen = sets(name, name, "hashes")
    (copy,) = seen["sets"]
    assert copy["problems"] == []
    assert {f["check"]: f["status"] for f in seen["findings"]}["backup.offsite"] == "ok"
    local = json.loads(support.host(name).file(f"{support.BACKUPS}/{copy['id']}/manifest.json").content_string)
    assert [v["level"] for v in copy["verification"]] == ["decode", "read_back"]
    assert (copy["rows"], copy["bytes"]) == (sum(d["rows_total"] for d in local["databases"]), local["bytes"])
    assert copy["system_identifier"] == local["system_identifier"]


@pytest.mark.parametrize("name", HOSTS)
def test_it_was_taken_by_the_role_that_can_do_nothing_else(name: str) -> None:
    entry = next(r for r in support.journal(name) if r.get("step") == "backup" and r["changed"])
    assert "boardroom_backup" in entry["findings"][0]["subject"]
    call = ("runuser", "-u", "boardroom_backup", "--", "psql", "-XAtq", "-d", DATABASE, "-c")
    refused = support.host(name).run(" ".join(["%s"] * (len(call) + 1)), *call, "CREATE TABLE public.written (id int)")
    assert refused.rc != 0
    assert "read-only transaction" in refused.stderr or "permission denied" in refused.stderr


def test_a_set_made_on_the_older_host_is_verified_on_the_newer_one() -> None:
    seen = sets(NAME, OLD, "hashes")
    (copy,) = seen["sets"]
    assert copy["problems"] == []
    assert copy["server_version"].startswith("15.")
    # And a local set of the older host, carried over by hand.
    old, new = support.host(OLD), support.host(NAME)
    packed = old.run("tar -C %s -cz %s | base64 -w0", support.BACKUPS, copy["id"]).stdout
    assert new.run("install -d %s/carried/main", WORK).rc == 0
    support.feed(NAME, ["sh", "-c", f"base64 -d | tar -C {WORK}/carried/main -xz"], packed.encode())
    call = {"dest": f"{WORK}/carried", "check": "decode"}
    carried = support.module("offsite", NAME, "pg_backup_info", call)
    assert [(each["id"], each["problems"]) for each in carried["sets"]] == [(copy["id"], [])]


@pytest.mark.parametrize("name", HOSTS)
def test_nothing_of_it_lies_there_in_the_clear(name: str) -> None:
    (copy,) = sets(name, name)["sets"]
    manifest = fetch(name, copy["id"], "files/application.tar.zst", f"{WORK}/application.tar.zst")
    assert manifest["encryption"] == {"method": "age", "recipients": [RECIPIENT]}
    assert all(o["name"].endswith(".age") for file in manifest["files"] for o in file["objects"])


def test_the_application_s_files_come_back_with_owners_and_modes() -> None:
    host = support.host(NAME)
    assert host.run("sh -c %s", "touch /srv/boardroom/uploads/kept /srv/boardroom/uploads/left.tmp").rc == 0
    assert host.run("chown 10001:10001 /srv/boardroom/uploads/kept && chmod 640 /srv/boardroom/uploads/kept").rc == 0
    played = support.play("offsite", "backup", "--limit", NAME, "-e", "maintenance_backup_max_age=0")
    assert played.rc == 0, played.output
    newest = sets(NAME, NAME)["sets"][-1]
    manifest = fetch(NAME, newest["id"], "files/application.tar.zst", f"{WORK}/application.tar.zst")
    assert host.run("install -d %s/out", WORK).rc == 0
    assert host.run("tar -C %s/out --zstd -xpf %s/application.tar.zst", WORK, WORK).rc == 0
    for path in (".env.production", "docker-compose.yml", "uploads/kept"):
        there, back = host.file(f"/srv/boardroom/{path}"), host.file(f"{WORK}/out/{path}")
        assert (back.uid, back.gid, back.mode, back.sha256sum) == (there.uid, there.gid, there.mode, there.sha256sum)
    assert not host.file(f"{WORK}/out/uploads/left.tmp").exists
    (archive,) = manifest["archives"]
    assert archive["members"] == int(host.run("find %s/out -mindepth 1 | wc -l", WORK).stdout)


def test_a_streamed_set_never_touches_the_disk_and_restores() -> None:
    host = support.host(NAME)
    call = {"databases": [DATABASE], "s3": store(NAME), "recipients": [RECIPIENT], "stream": True, "instance": "stream"}
    taken = support.module("offsite", NAME, "pg_backup", call)
    assert taken["changed"], taken
    assert host.run("ls -A /var/backups/boardroom-maintenance/stream").stdout == ""
    manifest = fetch(NAME, taken["backup"]["id"], f"databases/{DATABASE}/dump.custom", f"{WORK}/dump", "stream")
    host.run("chmod 711 %s; chmod 644 %s/dump", WORK, WORK)
    try:
        assert host.run("runuser -u postgres -- createdb --template=template0 streamed").rc == 0
        done = host.run("runuser -u postgres -- pg_restore --exit-on-error --dbname=streamed %s/dump", WORK)
        assert done.rc == 0, done.stderr
        for table in manifest["databases"][0]["tables"]:
            count = host.run(
                "runuser -u postgres -- psql -XAtq -d streamed -c %s", f"SELECT count(*) FROM ONLY {table['quoted']}"
            )
            assert int(count.stdout) == table["rows"], table["quoted"]
    finally:
        host.run("runuser -u postgres -- dropdb --if-exists streamed")


@pytest.fixture(scope="module")
def contained() -> t.Iterator[None]:
    support.lab("contained", NAME)
    yield
    support.lab("contained", NAME, "--undo")


@pytest.mark.usefixtures("contained")
@pytest.mark.parametrize("stream", [False, True], ids=["copied", "streamed"])
@pytest.mark.parametrize("client", ["exec", "sibling"])
def test_a_server_in_a_container_goes_off_site(client: str, stream: bool) -> None:
    call: dict[str, t.Any] = {
        "client": client,
        "project_src": "/srv/contained",
        "service": "db",
        "databases": [DATABASE],
        "s3": store(NAME),
        "recipients": [RECIPIENT],
        "instance": f"{client}-{stream}",
        "stream": stream,
        **({"login_password": SUPERUSER} if client == "sibling" else {}),
    }
    taken = support.module("offsite", NAME, "pg_backup", call)
    assert taken["changed"], taken
    (copy,) = sets(NAME, NAME, "hashes", f"{client}-{stream}")["sets"]
    assert (copy["problems"], copy["rows"]) == ([], taken["backup"]["rows"])
    again = support.module("offsite", NAME, "pg_backup", {**call, "max_age": "1h"})
    assert not again["changed"], again


def test_secrets_do_not_leave_in_the_clear_unless_told() -> None:
    host = support.host(NAME)
    call = {"databases": [DATABASE], "s3": store(NAME), "instance": "clear", "dest": "/var/backups/clear"}
    refused = support.module("offsite", NAME, "pg_backup", call)
    assert refused["failed"]
    assert "unencrypted, and holds secrets: the hashes of the roles' passwords" in refused["msg"]
    assert not host.file("/var/backups/clear").exists
    assert sets(NAME, NAME, instance="clear")["sets"] == []
    told = {**call, "s3": {**store(NAME), "allow_unencrypted_secrets": True}}
    assert support.module("offsite", NAME, "pg_backup", told)["changed"]
    (copy,) = sets(NAME, NAME, "hashes", "clear")["sets"]
    assert copy["problems"] == []


def test_a_store_that_is_cut_off_costs_the_copy_only_and_the_next_run_makes_it() -> None:
    support.lab("harm", NAME, "s3-cut")
    try:
        cut = support.play("offsite", "backup", "--limit", NAME, "-e", "maintenance_backup_max_age=0")
        assert cut.rc != 0
        report = support.newest_report("offsite")
        assert report["verdict"] == "failed"
        found = [f for f in report["findings"] if f["check"] == "backup.offsite" and f["status"] == "critical"]
        assert found and "is whole in" in found[0]["message"], report["findings"]
    finally:
        support.lab("harm", NAME, "s3-cut", "--undo")
    newest = sorted(support.host(NAME).run("ls -1 %s", support.BACKUPS).stdout.split())[-1]
    assert newest not in [each["id"] for each in sets(NAME, NAME)["sets"]]
    healed = support.play("offsite", "backup", "--limit", NAME)
    assert healed.rc == 0, healed.output
    assert sets(NAME, NAME)["sets"][-1]["id"] == newest
    assert sorted(support.host(NAME).run("ls -1 %s", support.BACKUPS).stdout.split())[-1] == newest


def test_what_is_no_longer_to_be_kept_goes_but_never_too_much() -> None:
    """Everything is younger than the policy asks for; the least redundancy stays."""
    tight = ("-e", "postgres_backup_keep_within=1s", "-e", "postgres_backup_keep_daily=0")
    tight_offsite = ("-e", "postgres_backup_offsite_keep_within=1s", "-e", "postgres_backup_offsite_keep_daily=0")
    monthly = ("-e", "postgres_backup_offsite_keep_monthly=0")
    before = [each["id"] for each in sets(NAME, NAME)["sets"]]
    assert len(before) >= 3
    others = sets(NAME, OLD)["sets"]
    wanted = ("--limit", NAME, *tight, *tight_offsite, *monthly)
    checked = support.play("offsite", "backup", *wanted, "--check")
    assert checked.rc == 0, checked.output
    assert [each["id"] for each in sets(NAME, NAME)["sets"]] == before
    played = support.play("offsite", "backup", *wanted)
    assert played.rc == 0, played.output
    local = sorted(support.host(NAME).run("ls -1 %s", support.BACKUPS).stdout.split())
    assert [each["id"] for each in sets(NAME, NAME)["sets"]] == before[-2:]
    assert local == before[-2:]
    assert [each["id"] for each in sets(NAME, OLD)["sets"]] == [each["id"] for each in others]


@pytest.mark.parametrize("name", HOSTS)
def test_no_secret_is_in_the_journal(name: str) -> None:
    text = support.host(name).run("cat %s/journal.jsonl", support.STATE).stdout
    assert len(text) > 1000
    for secret in (*support.SECRETS, PRIVATE_KEY):
        assert secret not in text
