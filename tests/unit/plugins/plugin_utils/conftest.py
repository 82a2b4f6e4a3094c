# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of example runs, and their pages as a reader sees them."""

from __future__ import annotations

import datetime
import html.parser
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.plugin_utils import _report_judge, _report_model
from markdown_it import MarkdownIt
from report_examples import Run

END = datetime.datetime(2026, 11, 24, 2, 0, 26, tzinfo=datetime.timezone.utc)


def closed(run: Run, check_mode: bool = False, **frame: t.Any) -> _report_model.Report:
    """The report of a run."""
    options = _report_model.plain({**run.frame, **frame})
    return _report_judge.closed(_report_model.Frame(**options), _report_model.plain(run.hosts), END, check_mode)


class Page(html.parser.HTMLParser):
    """The text of a page, its elements, and every address in it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in ("meta", "link", "br", "hr", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text in one line."""
        return " ".join("".join(self.words).split())


def markdown(source: str) -> Page:
    """Markdown as GitHub shows it."""
    return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source))


@pytest.fixture(name="closed", scope="session")
def _closed() -> t.Callable[..., _report_model.Report]:
    return closed


@pytest.fixture(name="page", scope="session")
def _page() -> type[Page]:
    return Page


@pytest.fixture(name="markdown", scope="session")
def _markdown() -> t.Callable[[str], Page]:
    return markdown
