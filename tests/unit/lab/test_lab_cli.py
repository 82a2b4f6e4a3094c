# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, Boardroom Maintenance contributors
"""The command line refuses in one sentence."""

from __future__ import annotations

import pytest
from labkit import cli, engine
from labkit.harm import HARMS
from labkit.layout import Lab
from labkit.process import LabError


def test_every_harm_can_be_asked_for() -> None:
    for harm in HARMS:
        args = cli.parser().parse_args(["harm", "demo", harm, "--undo"])
        assert (args.harm, args.undo) == (harm, True)


def test_bare_is_a_kind() -> None:
    assert cli.parser().parse_args(["up", "demo", "--bare"]).kind == "bare"
    assert cli.parser().parse_args(["up", "demo"]).kind is None


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_size_must_be_a_number(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["up", "demo", "--megabytes", size])
    assert "is no number of megabytes" in capsys.readouterr().err


def test_a_missing_thing_is_one_sentence_and_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_lab: Lab) -> None:
        raise LabError("no Docker engine runs here")

    monkeypatch.setattr(engine, "ensure", refuse)
    assert cli.main(["engine"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "lab: no Docker engine runs here\n"
    assert captured.out == ""
