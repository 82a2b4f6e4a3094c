# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""Whether the end of a run is worth a message, and what it says: one for a change of state, none for a repetition."""

from __future__ import annotations

import dataclasses
import re
import typing as t

RED = ("failed", "unfinished")
# Findings told in full; the others are counted, and stand in the report.
_TOLD = 4
_SUBJECT_CHARS = 110
_LINE_CHARS = 400
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

Finding = t.Mapping[str, t.Any]
Key = t.Tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has come to its end.

    :param title: what it is called, such as C(Weekly maintenance)
    :param playbook: name of its playbook, without C(.yml)
    :param verdict: ok, warning, failed, unfinished or check (check mode, which is never told)
    :param summary: one sentence
    :param findings: those of the report, the worst first
    :param contacts: whom to call: C(name), C(role), C(phone), C(email)
    :param report: path of the report on the controller; empty: none
    :param record_host: the host that keeps a copy of it; empty: none
    :param previous: how the last told run of this playbook ended (C(verdict), C(critical)); empty: there was none
    :param window: whether the maintenance page was up (C(used)), C(since) and C(until) (UTC; empty: it is still up)
    """

    run_id: str
    title: str
    playbook: str
    verdict: str
    summary: str
    findings: t.Sequence[Finding] = ()
    contacts: t.Sequence[t.Mapping[str, t.Any]] = ()
    report: str = ""
    record_host: str = ""
    previous: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    window: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


class Message(t.NamedTuple):
    """What to send.

    :param kind: red, warning, recovery (well again, or no longer red) or completion (of a maintenance window)
    :param subject: one short line
    :param body: plain text, read as well in a mail as in a chat
    """

    kind: str
    subject: str
    body: str


class State(t.NamedTuple):
    """What a run says that its predecessor did not.

    :param new: critical findings that were not critical last time
    :param again: what was critical last time and is not any more
    :param broken: runs that never ended, and that this one closed
    """

    verdict: str
    before: str
    new: t.List[Finding]
    again: t.List[Key]
    broken: t.List[Finding]


def key(finding: Finding) -> Key:
    """What makes two findings the same one from run to run."""
    return (str(finding.get("check") or ""), str(finding.get("subject") or ""), str(finding.get("host") or ""))


def critical(findings: t.Iterable[Finding]) -> t.List[t.List[str]]:
    """The keys of the critical findings, as the journal of the record host keeps them."""
    return [list(found) for found in dict.fromkeys(key(item) for item in findings if item.get("status") == "critical")]


def green(verdict: str) -> bool:
    """Whether a run counts as done: the watcher of a ping must alarm for all others."""
    return verdict in ("ok", "warning")


def decide(run: Run) -> t.Optional[Message]:
    """The message that this end of a run is worth, or None."""
    if run.verdict == "check":
        return None
    state = _state(run)
    kind = _kind(state, bool(run.window.get("used")))
    if not kind:
        return None
    return Message(kind, _subject(kind, run, state), _body(kind, run, state))


def _state(run: Run) -> State:
    known = [tuple([*map(str, item), "", "", ""][:3]) for item in run.previous.get("critical") or []]
    now = [tuple(item) for item in critical(run.findings)]
    return State(
        verdict=run.verdict,
        # Before the first run all is taken to be well: a bad beginning is told, a good one is no news.
        before=str(run.previous.get("verdict") or "ok"),
        new=[item for item in run.findings if item.get("status") == "critical" and key(item) not in known],
        again=[t.cast(Key, item) for item in known if item not in now],
        broken=[item for item in run.findings if item.get("check") == "run.unfinished" and item.get("status") != "ok"],
    )


def _kind(state: State, window: bool) -> str:
    changed = state.verdict != state.before
    if state.broken or state.new or (changed and state.verdict in RED):
        return "red"
    if changed and state.verdict == "ok":
        return "recovery"
    if changed and state.verdict == "warning":
        return "recovery" if state.before in RED else "warning"
    return "completion" if window else ""


def _subject(kind: str, run: Run, state: State) -> str:
    first = next(iter(state.new or run.findings), {})
    if kind == "red" and run.verdict not in RED:
        word, what = "UNFINISHED", _placed(state.broken[0] if state.broken else first)
    elif kind == "red":
        word, what = "FAILED", _placed(first) or run.summary
    elif kind == "warning":
        word, what = "WARNING", _placed(first) or run.summary
    elif kind == "completion":
        word, what = "DONE", "the maintenance window is closed" if run.window.get("until") else run.summary
    elif run.verdict == "ok":
        word, what = "OK AGAIN", run.summary
    else:
        word, what = "NO LONGER RED", _placed(first) or run.summary
    return _short(f"{word}: {run.title}: {what}", _SUBJECT_CHARS).rstrip(".")


def _body(kind: str, run: Run, state: State) -> str:
    parts = [[_short(run.summary)]]
    if run.window.get("used"):
        parts.append([_window(run.window)])
    wrong = [item for item in run.findings if item.get("status") not in ("ok", None)]
    if wrong:
        # What is new is why this message comes; then in the report's order, which is from cause to effect.
        first = [*state.new, *(item for item in state.broken if item not in state.new)]
        parts.append(_wrong([*first, *(item for item in wrong if item not in first)], state))
    if state.again or (kind == "recovery" and run.verdict == "ok"):
        parts.append(_again(run, state))
    if kind == "red":
        parts.append(["Whom to call:", *_contacts(run.contacts)])
    parts.append(_where(run))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _wrong(findings: t.Sequence[Finding], state: State) -> t.List[str]:
    lines = ["What is wrong:"]
    for number, item in enumerate(findings[:_TOLD], 1):
        new = ", new" if item in state.new and state.before in RED else ""
        lines.append(_short(f"{number}. {item.get('status')}{new}: {_placed(item)} ({item.get('check')})"))
        if item.get("remedy"):
            lines.append(_short(f"   What to do: {item['remedy']}"))
    more = len(findings) - _TOLD
    if more > 0:
        lines.append(f"{more} more {'stands' if more == 1 else 'stand'} in the report.")
    return lines


def _again(run: Run, state: State) -> t.List[str]:
    lines = ["What is well again:"]
    now = {key(item): item for item in run.findings}
    for check, subject, host in state.again[:_TOLD]:
        found = now.get((check, subject, host))
        if found is None:
            said = "is not reported any more"
        elif found.get("status") == "ok":
            said = str(found.get("message"))
        else:
            said = f"is no longer critical, but {found.get('status')}: {found.get('message')}"
        lines.append(_short(f"- {check} of {subject}{f' on {host}' if host else ''}: {said}"))
    if len(state.again) > _TOLD:
        lines.append(f"- and {len(state.again) - _TOLD} more")
    if not state.again:
        lines.append(f"- all; the last run ended with the verdict {state.before}")
    return lines


def _contacts(contacts: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[str]:
    if not contacts:
        return ["- nobody is named: set maintenance_contacts"]
    return [
        _short("- " + ", ".join(str(one[name]) for name in ("name", "role", "phone", "email") if one.get(name)))
        for one in contacts
    ]


def _window(window: t.Mapping[str, t.Any]) -> str:
    since = f" from {window['since']}" if window.get("since") else ""
    if window.get("until"):
        return f"The maintenance page was up{since} to {window['until']}, and is down."
    return f"The maintenance page was put up{since}; no record says that it was taken down."


def _where(run: Run) -> t.List[str]:
    lines = [f"Run {run.run_id} of {run.playbook}.yml."]
    if run.report:
        lines.append(f"Report on the controller: {run.report}")
    if run.record_host:
        lines.append(f"Copy on {run.record_host}: /var/lib/boardroom-maintenance/reports/{run.run_id}")
    return lines


def _placed(finding: Finding) -> str:
    """What a finding says, and where."""
    message = str(finding.get("message") or finding.get("check") or "")
    host = str(finding.get("host") or "")
    return f"{host}: {message}" if host and message else message


def _short(text: str, chars: int = _LINE_CHARS) -> str:
    """One line: a host's words must not make lines of their own, nor a message that no service takes."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    line = indent + " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= chars else line[: chars - 4].rsplit(" ", 1)[0] + " ..."
