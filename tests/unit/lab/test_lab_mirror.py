# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""Which mirror is taken from an apt configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import mirror
from labkit.mirror import Mirror, Source
from labkit.process import LabError

DEB822 = """\
Types: deb
# a remark within the paragraph
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib

Types: deb
URIs: http://vendor.example/node
Suites: nodistro
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: trixie
Components: main
"""


def test_one_line_format() -> None:
    text = (
        "# deb http://off.example/debian trixie main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian/ trixie main contrib # remark\n"
        "deb-src http://m.example/debian trixie main\n"
        "\n"
    )
    assert list(mirror.parse_list(text)) == [Source("http://m.example/debian/", ("trixie",), ("main", "contrib"))]


def test_deb822_leaves_out_what_is_switched_off() -> None:
    assert [source.uri for source in mirror.parse_deb822(DEB822)] == [
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
        "http://vendor.example/node",
    ]


def test_the_debian_archive_is_chosen_among_other_vendors() -> None:
    found = mirror.choose(
        [
            Source("http://vendor.example/apt", ("cloud-sdk-bookworm",), ("main",)),
            *mirror.parse_deb822(DEB822),
        ]
    )
    assert found == Mirror("http://mirror.example/debian", "http://mirror.example/debian-security")


def test_an_archive_without_main_is_none() -> None:
    assert mirror.choose([Source("http://m.example/debian", ("trixie",), ("contrib",))]) is None


def test_sources_of_a_host() -> None:
    text = Mirror("http://m.example/debian", "http://m.example/debian-security").sources("trixie")
    parsed = list(mirror.parse_deb822(text))
    assert parsed == [
        Source("http://m.example/debian", ("trixie", "trixie-updates"), ("main",)),
        Source("http://m.example/debian-security", ("trixie-security",), ("main",)),
    ]
    assert "security" not in Mirror("http://m.example/debian", None).sources("trixie")


def test_mirror_list_of_a_cloud_image(tmp_path: Path) -> None:
    listing = tmp_path / "debian.list"
    listing.write_text("# mirrors\nhttp://near.example/debian priority:1\nhttp://far.example/debian\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        f"Types: deb\nURIs: mirror+file:{listing}\nSuites: trixie\nComponents: main\n"
    )
    assert mirror.of_this_machine(tmp_path) == Mirror("http://near.example/debian", None)


def test_no_mirror_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no Debian mirror is named under"):
        mirror.of_this_machine(tmp_path)
