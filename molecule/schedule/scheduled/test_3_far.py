# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that reaches its hosts by SSH has services that can do little else, and this they still can."""

from __future__ import annotations

import json

import support

NAME = "molecule-schedule"
SERVICE = "boardroom-maintenance-hourly.service"


def test_a_confined_service_works_over_ssh() -> None:
    host = support.host(NAME)
    for command in (
        "ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519",
        "cat .ssh/id_ed25519.pub >> .ssh/authorized_keys",
        "ssh -o StrictHostKeyChecking=accept-new 127.0.0.1 true",
    ):
        host.run_expect([0], "runuser --login ops --command %s", command)
    played = support.play_on(NAME, "schedule", inventory="far")
    assert played.rc == 0, played.output
    confined = host.run(f"systemctl show --property=NoNewPrivileges,ProtectSystem,PrivateDevices {SERVICE}").stdout
    assert set(confined.split()) == {"NoNewPrivileges=yes", "ProtectSystem=full", "PrivateDevices=yes"}
    # A set is there since the tests before.
    started = host.run(f"systemctl start {SERVICE}")
    assert started.rc == 0, host.run(f"journalctl --output=cat -u {SERVICE}").stdout
    report = json.loads(host.file("/home/ops/reports/latest/report.json").content_string)
    assert (report["verdict"], [one["name"] for one in report["hosts"]]) == ("ok", ["far"])
