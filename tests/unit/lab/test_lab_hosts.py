# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""What the lab remembers of its hosts, and how ssh is told about them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from labkit import hosts, machine
from labkit.engine import Docker
from labkit.harm import HARMS, Harm
from labkit.hosts import Host, Hosts, Room
from labkit.layout import Lab
from labkit.process import LabError


def host(name: str, kind: str = "trixie", address: str = "10.240.0.10") -> Host:
    return Host(name, kind, address, f"boardroom-lab-0-{name}", "image", application=False, megabytes=50)


def test_a_host_is_remembered(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    hosts.save(lab, host("demo"))
    hosts.save(lab, host("s3", "s3", "10.240.0.11"))
    assert hosts.load(lab) == {"demo": host("demo"), "s3": host("s3", "s3", "10.240.0.11")}
    assert hosts.get(lab, "demo").address == "10.240.0.10"


def test_an_unknown_host_is_named_with_the_known_ones(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with pytest.raises(LabError, match=r"no host called demo in this lab \(hosts: none yet\)"):
        hosts.get(lab, "demo")


def test_only_hosts_with_ssh_are_in_the_configuration(tmp_path: Path) -> None:
    text = hosts.ssh_config(Lab(tmp_path), [host("demo"), host("s3", "s3")])
    assert "Host demo\n" in text
    assert "s3" not in text.replace(str(tmp_path), "")


@pytest.mark.parametrize("folder", ["plain", "two words", "100% sure"])
def test_ssh_understands_the_configuration(tmp_path: Path, folder: str) -> None:
    ssh = shutil.which("ssh")
    assert ssh, "the lab installs openssh-client"
    lab = Lab(tmp_path / folder)
    lab.root.mkdir()
    hosts.save(lab, host("demo"))
    parsed = subprocess.run(
        [ssh, "-G", "-F", str(lab.state / "ssh_config"), "demo"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "hostname 10.240.0.10" in parsed
    assert "user ops" in parsed
    assert "hostkeyalias boardroom-lab-0-demo" in parsed
    assert "stricthostkeychecking true" in parsed
    # ssh -G shows a doubled percent sign as it was written, and expands it when it opens the file.
    escaped = str(lab.state).replace("%", "%%")
    assert {f"identityfile {escaped}/id_ed25519", f"identityfile {lab.state}/id_ed25519"} & set(parsed)
    assert {f"userknownhostsfile {escaped}/known_hosts", f"userknownhostsfile {lab.state}/known_hosts"} & {
        line.replace('"', "") for line in parsed
    }


@pytest.mark.parametrize("name", ["A", "a b", "-", "-a", "", "é", "a/b", "a\n"])
def test_a_bad_name_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match="is no name for a host"):
        Hosts(Lab(tmp_path), Docker(["unused"])).up(name)
    assert not (tmp_path / ".lab").exists()


def test_an_existing_host_keeps_its_kind(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    hosts.save(lab, host("demo"))
    with pytest.raises(LabError, match="demo exists and is of kind trixie"):
        Hosts(lab, Docker(["unused"])).up("demo", "bookworm")


@pytest.mark.parametrize("kind", ["bookworm", "bare", "s3"])
def test_only_a_managed_host_has_the_second_project(tmp_path: Path, kind: str) -> None:
    with pytest.raises(LabError, match="only hosts of kind trixie have the second project"):
        Hosts(Lab(tmp_path), Docker(["unused"])).contained(host("demo", kind))


@pytest.mark.parametrize(
    ("kind", "possible"), [("bare", {"disk-full", "network-cut"}), ("s3", {"s3-cut", "network-cut"})]
)
def test_a_harm_that_makes_no_sense_is_refused(tmp_path: Path, kind: str, possible: set[str]) -> None:
    for harm in set(HARMS) - possible:
        with pytest.raises(LabError, match="make sense there"):
            Harm(Lab(tmp_path), Docker(["unused"]), host("demo", kind)).do(harm)


def created(tmp_path: Path, kind: str, room: Room) -> list[str]:
    """The words of the command that makes a host."""
    network = {"network": "lab", "address": "10.240.0.10", "volume": "data"}
    s3 = kind == "s3"
    docker = Docker(["echo"])
    return machine.create(Lab(tmp_path), docker, "one", "image", **network, s3=s3, options=room.options(kind)).split()


def test_a_host_may_have_more_memory_and_a_directory_in_it(tmp_path: Path) -> None:
    usual, roomy = (created(tmp_path, "trixie", room) for room in (Room(), Room("14g", "/bench")))
    assert "3g" in usual
    assert "/bench:exec,mode=1777" not in usual
    # Of two limits Docker takes the last one.
    limits = [value for option, value in zip(roomy, roomy[1:], strict=False) if option == "--memory"]
    assert limits == ["3g", "14g"]
    assert roomy[-3:] == ["--tmpfs", "/bench:exec,mode=1777", "image"]


def test_the_s3_server_keeps_its_data_in_a_volume_that_may_lie_in_memory(tmp_path: Path) -> None:
    words = created(tmp_path, "s3", Room("6g", "/data"))
    assert "data:/data" in words
    assert "/data:exec,mode=1777" not in words
    assert Room("6g", "/data").volume_options()[:2] == ["--opt", "type=tmpfs"]
    assert Room("6g").volume_options() == []
