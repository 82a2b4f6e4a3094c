# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption with the real age: what comes out decrypts to what went in, or there is an error."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils import _age
from ansible_collections.boardroom.maintenance.plugins.module_utils._age import Encrypting, require_recipients
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._process import ProgramError, Runner, late

# More than any pipe holds.
MUCH = os.urandom(3_000_000)


class Key(t.NamedTuple):
    private: Path
    public: str


def make_key(directory: Path, name: str) -> Key:
    path = directory / name
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    public = next(line for line in path.read_text(encoding="ascii").splitlines() if "public key: " in line)
    return Key(path, public.rpartition(" ")[2])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Key]:
    directory = tmp_path_factory.mktemp("keys")
    return [make_key(directory, name) for name in ("one", "two", "other")]


def decrypted(data: bytes, key: Key) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["age", "--decrypt", "-i", str(key.private)], input=data, capture_output=True, check=False)


@pytest.mark.parametrize("data", [b"", b"x", MUCH], ids=["empty", "one byte", "much"])
def test_each_of_the_keys_decrypts_and_no_other(keys: list[Key], data: bytes, nothing_left: None) -> None:
    made: list[bytes] = []
    encrypting = Encrypting([key.public for key in keys[:2]], Runner(), made.append)
    for start in range(0, len(data), 700_000):
        encrypting.write(data[start : start + 700_000])
    encrypting.close()
    whole = b"".join(made)
    assert whole.startswith(_age.HEADER)
    assert data[:100] not in whole or len(data) < 100
    assert decrypted(whole, keys[0]).stdout == decrypted(whole, keys[1]).stdout == data
    assert decrypted(whole, keys[2]).returncode != 0


def test_an_ssh_key_is_a_recipient(tmp_path: Path, nothing_left: None) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    public = path.with_suffix(".pub").read_text(encoding="ascii").strip()
    require_recipients([public], Runner())
    made: list[bytes] = []
    encrypting = Encrypting([public], Runner(), made.append)
    encrypting.write(b"x")
    encrypting.close()
    assert decrypted(b"".join(made), Key(path, public)).stdout == b"x"


def test_what_cannot_be_handed_on_is_the_error_of_who_writes(keys: list[Key], nothing_left: None) -> None:
    def refuse(chunk: bytes) -> None:
        raise MaintenanceError("The store is full.")

    encrypting = Encrypting([keys[0].public], Runner(), refuse)
    with pytest.raises(MaintenanceError, match="The store is full"):
        for _time in range(100):
            encrypting.write(MUCH)
    encrypting.abort()


def test_what_cannot_be_handed_on_at_the_end_is_an_error_too(keys: list[Key], nothing_left: None) -> None:
    def refuse(chunk: bytes) -> None:
        raise MaintenanceError("The store is full.")

    encrypting = Encrypting([keys[0].public], Runner(), refuse)
    encrypting.write(b"x")
    with pytest.raises(MaintenanceError, match="The store is full"):
        encrypting.close()
    encrypting.abort()


@pytest.mark.parametrize("moment", ["write", "close"])
def test_a_killed_age_is_named(keys: list[Key], moment: str, nothing_left: None) -> None:
    made: list[bytes] = []
    encrypting = Encrypting([keys[0].public], Runner(), made.append)
    if moment == "close":
        encrypting.write(b"x")
    os.kill(encrypting._process.pid, signal.SIGKILL)
    with pytest.raises(MaintenanceError, match=r"^age was killed by signal 9\."):
        if moment == "write":
            for _time in range(100):
                encrypting.write(MUCH)
        encrypting.close()
    encrypting.abort()


def fake_age(directory: Path, script: str) -> Runner:
    (directory / "age").write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    (directory / "age").chmod(0o755)
    return Runner(secrets=["hunter22"], path=[str(directory)])


def test_age_s_own_complaint_is_given_without_secrets(tmp_path: Path, nothing_left: None) -> None:
    runner = fake_age(tmp_path, "cat >/dev/null; echo 'age: error: no hunter22 today' >&2; exit 1")
    encrypting = Encrypting(["age1x"], runner, len)
    encrypting.write(b"x")
    with pytest.raises(
        MaintenanceError, match=r"^age failed with exit status 1: age: error: no \*{8} today\."
    ) as caught:
        encrypting.close()
    assert caught.value.remedy
    encrypting.abort()


@pytest.mark.parametrize("data", [b"x", MUCH], ids=["little", "much"])
@pytest.mark.parametrize("script", ["exit 0", "head -c 10 >/dev/null", '/usr/bin/age "$@" | head -c -1'])
def test_an_age_that_loses_something_is_found_out(
    tmp_path: Path, keys: list[Key], script: str, data: bytes, nothing_left: None
) -> None:
    """Its exit status is 0."""
    encrypting = Encrypting([keys[0].public], fake_age(tmp_path, script), len)
    with pytest.raises(MaintenanceError, match=r"^age made \d+ bytes of \d+, which are not all of them\."):
        for _time in range(3):
            encrypting.write(data)
        encrypting.close()
    encrypting.abort()


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 200_000])
def test_the_size_of_what_age_makes_is_known(keys: list[Key], size: int) -> None:
    made = subprocess.run(["age", "-r", keys[0].public], input=bytes(size), capture_output=True, check=True).stdout
    assert _age.encrypted_size(made, size) == len(made)
    assert _age.encrypted_size(made[1:], size) == _age.encrypted_size(made[:100], size) == -1


def test_an_age_that_hangs_is_stopped_with_the_error_that_is_to_be_seen(tmp_path: Path, nothing_left: None) -> None:
    encrypting = Encrypting(["age1x"], fake_age(tmp_path, "exec sleep 60"), len)
    threading.Timer(0.1, encrypting.stop, [late("The copy")]).start()
    began = time.monotonic()
    with pytest.raises(MaintenanceError, match="The copy did not end within its time limit"):
        for _time in range(100):
            encrypting.write(MUCH)
    encrypting.abort()
    assert time.monotonic() - began < 3


def test_abort_ends_it_at_once(tmp_path: Path, nothing_left: None) -> None:
    encrypting = Encrypting(["age1x"], fake_age(tmp_path, "exec sleep 60"), len)
    encrypting.write(b"x" * 20_000)
    encrypting.abort()
    encrypting.abort()


def test_good_recipients_pass(keys: list[Key]) -> None:
    require_recipients([], Runner(path=["/nonexistent"]))
    require_recipients([key.public for key in keys], Runner())


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda key: f" {key}"])
def test_a_private_key_is_refused_and_not_shown(keys: list[Key], change: t.Callable[[str], str]) -> None:
    private = change(keys[0].private.read_text(encoding="ascii").splitlines()[-1])
    with pytest.raises(MaintenanceError, match="holds a private key") as caught:
        require_recipients([private], Runner())
    assert private.strip()[16:22].upper() not in (caught.value.message + caught.value.remedy).upper()


def test_a_private_key_of_ssh_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaintenanceError, match="holds a private key"):
        require_recipients(["-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn"], Runner())


@pytest.mark.parametrize(
    ("recipient", "sentence"),
    [
        ("", "recipients has '', which is no public key"),
        ("somebody@example.com", "recipients has 'somebody@example.com', which is no public key"),
        ("--output=/tmp/x", "which is no public key"),
        ("age1qqqq", "Nothing can be encrypted to the recipient 'age1qqqq': age refuses it"),
        ("ssh-rsa AAAA", "Nothing can be encrypted to the recipient 'ssh-rsa AAAA'"),
    ],
)
def test_what_is_no_public_key_is_named(keys: list[Key], recipient: str, sentence: str) -> None:
    with pytest.raises(MaintenanceError, match=sentence) as caught:
        require_recipients([keys[0].public, recipient], Runner())
    assert "maintenance_backup_recipients" in caught.value.remedy


def test_keys_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    runner = fake_age(tmp_path, f'[ "$#" -gt 3 ] && exit 1; cat >/dev/null; echo {_age.HEADER.decode().strip()}')
    require_recipients(["age1a"], runner)
    with pytest.raises(MaintenanceError, match="to all recipients at once: age refuses it"):
        require_recipients(["age1a", "age1b"], runner)


def test_an_age_that_does_not_encrypt_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(MaintenanceError, match="does not encrypt"):
        require_recipients(["age1x"], fake_age(tmp_path, "cat"))


def test_no_age_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "find", lambda self, program: None)
    with pytest.raises(ProgramError, match="The program age is not installed") as caught:
        require_recipients(["age1x"], Runner())
    assert "prepare.yml" in caught.value.remedy
