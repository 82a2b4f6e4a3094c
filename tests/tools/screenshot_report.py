# Copyright (c) 2026, Boardroom Maintenance contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the README's pictures of a report with headless Chromium, on a wide and on a narrow screen.

    PYTHONPATH=playbooks/collections python tests/tools/screenshot_report.py .demo/reports/latest/report.json

takes docs/images/report-wide.png and report-narrow.png. A report.json is rendered anew, a report.html is taken as it
is, and the name of a run of report_examples.py (such as stopped) is rendered from that.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.boardroom.maintenance.plugins.plugin_utils import _report_judge, _report_model, _report_render
from report_examples import EXAMPLES

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZES = {"wide": (1200, 1500), "narrow": (390, 1500)}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def example(name: str) -> str:
    """The page of an example run; C(unfinished) is one that has only begun."""
    if name == "unfinished":
        made = EXAMPLES["green"]()
        frame = _report_model.Frame(**made.frame, expected_hosts=list(made.hosts))
        return _report_render.render_html(_report_judge.opened(frame).as_json())
    made = EXAMPLES[name]()
    end = datetime.datetime(2026, 11, 24, 2, 0, 26, tzinfo=datetime.timezone.utc)
    made = made._replace(hosts=_report_model.plain(made.hosts), frame=_report_model.plain(made.frame))
    report = _report_judge.closed(_report_model.Frame(**made.frame), made.hosts, end)
    return _report_render.render_html(report.as_json())


def page(report: str) -> str:
    """HTML of what was named."""
    if report in (*EXAMPLES, "unfinished"):
        return example(report)
    text = Path(report).read_text(encoding="utf-8")
    return _report_render.render_html(json.loads(text)) if report.endswith(".json") else text


def screenshot(html: str, target: Path, width: int, height: int, dark: bool = False) -> None:
    """Take one picture. The page stands in a frame, as Chromium's own window has a least width.

    :raises subprocess.CalledProcessError: Chromium failed.
    """
    program = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if program is None:
        sys.exit("Chromium is not installed: apt-get install chromium.")
    with tempfile.TemporaryDirectory() as directory:
        source = base64.b64encode(html.encode()).decode()
        frame = Path(directory) / "frame.html"
        frame.write_text(
            '<!DOCTYPE html><meta name="color-scheme" content="light dark">'
            "<style>body { margin: 0 } iframe { border: 0; display: block }</style>"
            f'<iframe width="{width}" height="{height}" src="data:text/html;charset=utf-8;base64,{source}"></iframe>',
            encoding="utf-8",
        )
        shot = [f"--user-data-dir={directory}/profile", f"--window-size={width},{height}", f"--screenshot={target}"]
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        subprocess.run([program, *FLAGS, *scheme, *shot, frame.as_uri()], check=True, timeout=60, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", help="a report.json or report.html, or the name of an example")
    parser.add_argument("--into", type=Path, default=IMAGES, help="directory of the pictures")
    parser.add_argument("--prefix", default="report", help="beginning of their names")
    parser.add_argument("--dark", action="store_true", help="as on a dark screen")
    parser.add_argument("--height", type=int, help="height of both in pixels")
    options = parser.parse_args()
    html = page(options.report)
    for name, (width, height) in SIZES.items():
        target = options.into.resolve() / f"{options.prefix}-{name}.png"
        screenshot(html, target, width, options.height or height, options.dark)
        print(f"{target}: {target.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
