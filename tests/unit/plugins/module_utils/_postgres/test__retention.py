# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sets may go: examples that can be read, then what must hold for every history."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

import pytest
from ansible_collections.boardroom.maintenance.plugins.module_utils._errors import MaintenanceError
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres import _trend
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._retention import Plan, Policy, plan
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._sets import BackupSet, Held
from ansible_collections.boardroom.maintenance.plugins.module_utils._postgres._trend import Suspicion
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

START = datetime.datetime(2026, 11, 24, 2, 0, 0, tzinfo=datetime.timezone.utc)
HOUR, DAY = 3600, 86400
OBJECTIVE = DAY
MINE, OTHER = "7711", "8822"


def at(text: str) -> datetime.datetime:
    """A moment, as C(2026-11-24 02:00)."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def set_at(
    taken: datetime.datetime,
    databases: t.Collection[str] = ("app",),
    *,
    number: int = 0,
    rows: int = 10,
    **more: t.Any,
) -> BackupSet:
    return BackupSet(
        id=f"{taken:%Y%m%dT%H%M%SZ}-{number:08x}",
        path="",
        taken=taken,
        bytes=1000,
        databases={name: Held(rows, 100) for name in databases},
        **{"identity": MINE, "verified": True, **more},
    )


def every(hours: float, count: int, until: datetime.datetime = START, **more: t.Any) -> list[BackupSet]:
    """Sets at equal distances, oldest first; the last one at C(until)."""
    return [set_at(until - datetime.timedelta(hours=hours * back), **more) for back in reversed(range(count))]


def planned(sets: t.Iterable[BackupSet], policy: Policy, now: datetime.datetime = START, **more: t.Any) -> Plan:
    more = {"objective": OBJECTIVE, "suspicions": {}, **more}
    return plan(sets, policy, now, **more)


def held(made: Plan) -> str:
    return " ".join(hold.reason for hold in made.held)


def times(sets: t.Iterable[BackupSet]) -> list[str]:
    return [f"{each.taken:%m-%d %H:%M}" for each in sets]


def kept(made: Plan) -> list[BackupSet]:
    return [each.set for each in made.keep]


def test_what_is_young_enough_stays() -> None:
    made = planned(every(12, 20), Policy(keep_within=2 * DAY))
    assert times(kept(made)) == ["11-22 02:00", "11-22 14:00", "11-23 02:00", "11-23 14:00", "11-24 02:00"]
    assert made.keep[0].reasons == ["younger than 2 d"]
    assert made.keep[-1].reasons == ["among the newest 2 with database app", "younger than 2 d"]
    assert len(made.remove) == 15
    assert made.held == []


def test_the_newest_of_each_day_stays() -> None:
    made = planned(every(11, 20), Policy(keep_daily=3))
    # At 2, at 15 (and 4) and at 17 (and 6) o'clock; the 23rd's 15:00 is also one of the newest two.
    assert times(kept(made)) == ["11-22 17:00", "11-23 15:00", "11-24 02:00"]
    assert made.keep[0].reasons == ["newest of day 2026-11-22"]


def test_weeks_are_those_of_the_calendar_across_the_year() -> None:
    made = planned(every(24, 40, at("2027-01-12 02:00")), Policy(keep_weekly=4), at("2027-01-12 02:00"))
    assert [each.reasons[-1] for each in made.keep if "week" in each.reasons[-1]] == [
        "newest of week 2026-W52",
        "newest of week 2026-W53",
        "newest of week 2027-W01",
        "newest of week 2027-W02",
    ]
    assert times(kept(made)) == ["12-27 02:00", "01-03 02:00", "01-10 02:00", "01-11 02:00", "01-12 02:00"]


def test_months_and_days_of_which_there_is_no_set_are_passed_over() -> None:
    sets = [set_at(at(f"2026-{month:02d}-15 02:00")) for month in (1, 2, 6, 7, 11)] + every(24, 2)
    made = planned(sets, Policy(keep_monthly=4))
    assert times(kept(made)) == ["02-15 02:00", "06-15 02:00", "07-15 02:00", "11-23 02:00", "11-24 02:00"]


def test_a_day_ends_at_midnight_utc() -> None:
    late, early, noon = at("2026-11-22 23:59"), at("2026-11-23 00:00"), at("2026-11-24 12:00")
    sets = [set_at(late), set_at(early), set_at(noon)]
    assert times(kept(planned(sets, Policy(keep_daily=3, minimum_redundancy=1), noon))) == times(sets)


def test_a_tag_keeps_a_set_for_ever() -> None:
    tagged = set_at(START - datetime.timedelta(days=900), tags=("nightly", "pre-upgrade"))
    other = set_at(START - datetime.timedelta(days=800), tags=("nightly",))
    made = planned([tagged, other, *every(12, 3)], Policy(keep_within=DAY, keep_tags=("pre-upgrade",)))
    assert made.keep[0] == (tagged, ["tagged pre-upgrade"])
    assert made.remove == [other]


def test_every_database_stays_in_the_newest_sets_that_hold_it() -> None:
    both = [set_at(START - datetime.timedelta(days=60 - number), ("app", "crm")) for number in range(4)]
    made = planned([*both, *every(12, 4)], Policy(keep_within=HOUR, minimum_redundancy=3))
    assert kept(made)[:3] == both[1:]
    assert made.keep[0].reasons == ["among the newest 3 with database crm"]
    assert made.remove == [both[0], *every(12, 4)[:1]]


def test_sets_of_different_databases_do_not_push_each_other_out() -> None:
    """One set of each database every night: the day needs both."""
    crm = every(24, 9, START - datetime.timedelta(minutes=30), databases=("crm",))
    made = planned([*every(24, 9), *crm], Policy(keep_daily=5))
    assert [sum(name in each.databases for each in kept(made)) for name in ("app", "crm")] == [5, 5]


def test_a_database_that_is_gone_leaves_its_last_sets_only() -> None:
    """Nobody dumps it any more: days go by without it, and its old days go too."""
    old = every(24, 60, START - datetime.timedelta(days=40), databases=("app", "dropped"))
    made = planned([*old, *every(24, 40)], Policy(keep_daily=7, keep_within=7 * DAY))
    assert [each.taken for each in kept(made) if "dropped" in each.databases] == [each.taken for each in old[-2:]]


def test_sets_without_a_database_are_a_kind_of_their_own() -> None:
    files = every(12, 5, START - datetime.timedelta(minutes=5), databases=())
    made = planned([*files, *every(12, 5)], Policy(keep_within=HOUR))
    assert made.remove == sorted([*files[:3], *every(12, 3, START - datetime.timedelta(days=1))], key=lambda s: s.order)


def test_what_is_not_good_counts_for_nothing_and_is_left_alone() -> None:
    damaged = set_at(START - datetime.timedelta(days=300), problems=(("1.dat", "it is missing"),))
    nameless = set_at(START - datetime.timedelta(days=301), (), identity="", problems=(("manifest.json", "it is bad"),))
    unverified = set_at(START - datetime.timedelta(days=200), verified=False)
    made = planned([damaged, nameless, unverified, *every(12, 5)], Policy(keep_within=HOUR))
    assert kept(made)[:3] == [nameless, damaged, unverified]
    assert "damaged" in made.keep[0].reasons[0]
    assert "never verified" in made.keep[2].reasons[0]
    assert len(made.remove) == 3


def test_of_sets_with_equal_times_the_order_is_that_of_their_names() -> None:
    sets = [set_at(START, number=number) for number in range(4)]
    assert kept(planned(sets[::-1], Policy(keep_daily=1))) == sets[2:]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(keep_tags=("pre-upgrade",)),
        Policy(keep_daily=-1, keep_weekly=2),
        Policy(keep_within=DAY, minimum_redundancy=0),
    ],
)
def test_a_policy_that_keeps_nothing_is_refused(policy: Policy) -> None:
    with pytest.raises(MaintenanceError):
        planned(every(12, 5), policy)


SMALL = Policy(keep_within=DAY)


def refuses(made: Plan, sets: t.Collection[BackupSet], sentence: str) -> None:
    assert sentence in held(made)
    assert made.remove == []
    assert sorted(each.id for each in kept(made)) == sorted(each.id for each in sets)
    assert all(each.reasons for each in made.keep)
    assert all(hold.remedy for hold in made.held)


def test_nothing_goes_while_the_newest_set_is_overdue() -> None:
    sets = every(12, 50)
    day = datetime.timedelta(days=1)
    assert planned(sets, SMALL, START + day).held == []
    for late in (day + datetime.timedelta(seconds=1), 40 * day, 4000 * day):
        refuses(planned(sets, SMALL, START + late), sets, "may be lost (recovery_point_objective)")
    # A damaged or foreign one is no help.
    sets += [set_at(START + 3 * day, problems=(("1.dat", "it is missing"),)), set_at(START + 3 * day, identity=OTHER)]
    refuses(planned(sets, SMALL, START + 3 * day, identity=MINE), sets, "may be lost")


def test_nothing_goes_while_a_set_bears_a_time_in_the_future() -> None:
    sets = every(12, 50)
    soon = set_at(START + datetime.timedelta(minutes=5), number=1)
    assert planned([*sets, soon], SMALL).held == []
    later = set_at(START + datetime.timedelta(minutes=6), number=1)
    refuses(planned([*sets, later], SMALL), [*sets, later], "1 set(s) bear a time in the future")
    # As on a host whose clock starts in 1970.
    refuses(planned(sets, SMALL, at("1970-01-01 00:10")), sets, "50 set(s) bear a time in the future")


def test_nothing_goes_while_it_is_unclear_whose_the_sets_are() -> None:
    sets = [*every(12, 9), *every(12, 9, identity=OTHER, number=1)]
    refuses(planned(sets, SMALL), sets, f"Sets of several clusters lie here: {MINE}, {OTHER}.")
    made = planned(sets, SMALL, identity=MINE)
    assert {each.identity for each in made.remove} == {MINE}
    assert [each.reasons for each in made.keep if each.set.identity == OTHER] == [
        [f"it is a set of cluster {OTHER}"]
    ] * 9


def test_nothing_goes_where_there_is_no_good_set() -> None:
    sets = every(12, 9, problems=(("1.dat", "it is missing"),))
    refuses(planned(sets, SMALL), sets, f"There is no good set of cluster {MINE}.")
    refuses(planned([], SMALL), [], "There is no good set.")
    sets = every(12, 9, identity=OTHER)
    refuses(planned(sets, SMALL, identity=MINE), sets, f"There is no good set of cluster {MINE}.")


def test_nothing_goes_while_the_newest_set_of_a_database_is_suspicious() -> None:
    crm = set_at(START - datetime.timedelta(hours=7), ("crm",))
    sets = sorted([*every(12, 9), crm], key=lambda each: each.order)

    def doubted(each: BackupSet, database: str) -> dict[str, list[Suspicion]]:
        return {each.id: [Suspicion(database, "The rows fell.", 0.1, 0.5)]}

    for newest, database in ((sets[-1], "app"), (crm, "crm")):
        made = planned(sets, SMALL, suspicions=doubted(newest, database))
        refuses(made, sets, f"Set {newest.id} is suspicious: The rows fell.")
        assert newest.id in made.held[0].remedy
    # What came after was well again.
    assert planned(sets, SMALL, suspicions=doubted(sets[0], "app")).held == []
    # The newest set of the one database need not be that of the other.
    assert planned(sets, SMALL, suspicions=doubted(crm, "app")).held == []


# For every history -------------------------------------------------------------------------------------------------

DATABASES = ("app", "crm", "wiki")
POLICIES = st.builds(
    Policy,
    keep_within=st.sampled_from([0, HOUR, DAY, 7 * DAY, 30 * DAY]),
    keep_daily=st.integers(0, 8),
    keep_weekly=st.integers(0, 5),
    keep_monthly=st.integers(0, 13),
    keep_tags=st.sampled_from([(), ("keep",)]),
    minimum_redundancy=st.integers(1, 4),
).filter(lambda p: bool(p.keep_within or p.keep_daily or p.keep_weekly or p.keep_monthly))
# From a second to a year; most often about half a day.
STEPS = st.one_of(
    st.just(0),
    st.integers(1, 2 * HOUR),
    st.integers(9 * HOUR, 26 * HOUR),
    st.integers(DAY, 50 * DAY),
    st.just(365 * DAY),
)
PROBLEM = (("databases/app/1.dat", "it is missing"),)
KINDS: dict[str, dict[str, t.Any]] = {
    "good": {},
    "damaged": {"problems": PROBLEM},
    "unverified": {"verified": False},
    "foreign": {"identity": OTHER},
    "tagged": {"tags": ("keep",)},
}


@dataclasses.dataclass(frozen=True)
class History:
    """A store, and who looks at it when."""

    sets: list[BackupSet]
    now: datetime.datetime
    identity: str
    suspicions: dict[str, list[Suspicion]]

    def plan(self, policy: Policy, sets: t.Iterable[BackupSet] | None = None) -> Plan:
        return plan(self.sets if sets is None else sets, policy, self.now, OBJECTIVE, self.suspicions, self.identity)


@st.composite
def histories(draw: st.DrawFn, troubled: bool = True) -> History:
    """With C(troubled), also such that nothing may go."""
    moment, sets = START, []
    for number, step in enumerate(draw(st.lists(STEPS, min_size=1, max_size=16))):
        moment += datetime.timedelta(seconds=step)
        names = draw(st.sampled_from([("app",), ("app", "crm"), ("crm",), DATABASES, ()]))
        kind = draw(st.sampled_from([*["good"] * 6, *KINDS]))
        sets.append(set_at(moment, names, number=number, **KINDS[kind]))
    newest = max((each.taken for each in sets if each.good and each.identity == MINE), default=moment)
    now = max(newest, moment) + datetime.timedelta(seconds=draw(st.integers(0, OBJECTIVE)))
    identity, suspicions = MINE, {}
    if troubled:
        identity = draw(st.sampled_from([MINE, MINE, "", OTHER, "9933"]))
        now += datetime.timedelta(seconds=draw(st.sampled_from([0, 0, 0, -HOUR, -20000 * DAY, 3 * DAY, 60 * DAY])))
        doubted = draw(st.sets(st.sampled_from([each.id for each in sets]), max_size=1))
        suspicions = {each: [Suspicion("app", "The rows fell.", 0.1, 0.5)] for each in doubted}
    return History(sorted(sets, key=lambda each: draw(st.integers(0, 3))), now, identity, suspicions)


def good_of(sets: t.Iterable[BackupSet], database: str, identity: str = MINE) -> list[BackupSet]:
    """Oldest first."""
    found = [each for each in sets if each.good and each.identity == identity and database in (each.databases or [""])]
    return sorted(found, key=lambda each: each.order)


fast = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fast
@given(histories(), POLICIES)
def test_no_history_loses_what_must_stay(history: History, policy: Policy) -> None:
    made = history.plan(policy)
    stay, gone = kept(made), made.remove
    assert sorted([*stay, *gone], key=lambda each: each.order) == sorted(history.sets, key=lambda each: each.order)
    assert all(each.reasons for each in made.keep)
    for each in gone:
        assert each.good
        assert each.identity == (history.identity or MINE)
        assert each.taken <= history.now + datetime.timedelta(minutes=5)
        assert not set(each.tags) & set(policy.keep_tags)
        assert not policy.keep_within or (history.now - each.taken).total_seconds() > policy.keep_within
    for identity in (MINE, OTHER):
        for database in (*DATABASES, ""):
            before, after = good_of(history.sets, database, identity), good_of(stay, database, identity)
            assert len(after) >= min(policy.minimum_redundancy, len(before))
            assert before[-1:] == after[-1:]
    if made.held:
        assert gone == []


@fast
@given(histories(), POLICIES)
def test_any_doubt_holds(history: History, policy: Policy) -> None:
    """Said once more, in other words than the code's."""
    identities = {each.identity for each in history.sets}
    whose = history.identity or (next(iter(identities)) if len(identities) == 1 else None)
    mine = [each for each in history.sets if each.good and each.identity == whose]
    newest = max(mine, key=lambda each: (each.taken, each.id), default=None)
    tolerance = datetime.timedelta(minutes=5)
    doubts = [
        whose is None,
        newest is None,
        newest is not None and history.now - newest.taken > datetime.timedelta(seconds=OBJECTIVE),
        any(each.taken > history.now + tolerance for each in history.sets),
        any(each.id in history.suspicions for each in good_of(mine, "app", whose or "")[-1:]),
    ]
    assert bool(history.plan(policy).held) == any(doubts)


@fast
@given(histories(), POLICIES)
def test_a_second_time_removes_nothing(history: History, policy: Policy) -> None:
    stay = kept(history.plan(policy))
    assert history.plan(policy, stay).remove == []


@fast
@given(histories(troubled=False), POLICIES, st.data())
def test_a_prune_that_was_killed_is_taken_up_where_it_ended(
    history: History, policy: Policy, data: st.DataObject
) -> None:
    made = history.plan(policy)
    gone = made.remove[: data.draw(st.integers(0, len(made.remove)))]
    rest = [each for each in history.sets if each not in gone]
    assert history.plan(policy, rest).remove == [each for each in made.remove if each not in gone]


@fast
@given(histories(troubled=False), POLICIES, STEPS, st.sampled_from([("app",), ("app", "crm"), ("new",)]))
def test_one_more_old_set_makes_no_newer_one_go(
    history: History, policy: Policy, back: int, databases: tuple[str, ...]
) -> None:
    made = history.plan(policy)
    newest = max(each.taken for each in history.sets)
    older = set_at(newest - datetime.timedelta(seconds=back), databases, number=999)
    stay = kept(history.plan(policy, [*history.sets, older]))
    missing = [each.id for each in kept(made) if each not in stay and each.order > older.order]
    assert missing == []


@fast
@given(histories(troubled=False), POLICIES)
def test_the_calendar_is_met(history: History, policy: Policy) -> None:
    made = history.plan(policy)
    assume(not made.held)
    require_calendar(history.sets, kept(made), policy)


def require_calendar(ever: t.Iterable[BackupSet], stay: t.Collection[BackupSet], policy: Policy) -> None:
    """The newest set of each of the last days, weeks and months of which there is one must be there."""
    mine = sorted((each for each in ever if each.good and each.identity == MINE), key=lambda each: each.order)
    units: list[tuple[int, t.Callable[[datetime.datetime], t.Any]]] = [
        (policy.keep_daily, lambda moment: moment.date()),
        # Monday is the day that a week is called after.
        (policy.keep_weekly, lambda moment: moment.date() - datetime.timedelta(days=moment.weekday())),
        (policy.keep_monthly, lambda moment: moment.date().replace(day=1)),
    ]
    for count, unit in units:
        last = sorted({unit(each.taken) for each in mine})[-count:] if count else []
        for period in last:
            inside = [each for each in mine if unit(each.taken) == period]
            for database in (*DATABASES, ""):
                (*_older, newest) = [None, *good_of(inside, database)]
                assert newest is None or newest in stay, (period, database)


# Over months ---------------------------------------------------------------------------------------------------------

# What a night may bring: a set, a failure, a set whose file is lost later, a clock that jumps, a database that shrinks.
EVENTS = st.lists(
    st.sampled_from(["take"] * 12 + ["fail", "fail", "spoil", "weeks", "empty", "fill"]), min_size=20, max_size=60
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, POLICIES, st.sampled_from([(8, 14), (11, 11), (23, 25), (1, 40)]), st.randoms(use_true_random=False))
def test_months_of_takes_and_prunes_keep_their_promise(
    events: list[str], policy: Policy, hours: tuple[int, int], random: t.Any
) -> None:
    store: list[BackupSet] = []
    ever: list[BackupSet] = []
    now, rows = START, 100000
    for number, event in enumerate(events):
        now += datetime.timedelta(seconds=random.randint(hours[0] * HOUR, hours[1] * HOUR))
        if event == "weeks":
            # A prune after each of the failures.
            for _night in range(20):
                now += datetime.timedelta(hours=25)
                assert prune(store, policy, now) == []
            continue
        if event in ("empty", "fill"):
            rows = 100 if event == "empty" else 100000
        if event == "spoil" and store:
            broken = random.choice(store)
            store[store.index(broken)] = dataclasses.replace(broken, problems=PROBLEM)
            ever[:] = [each for each in ever if each.id != broken.id]
        if event != "fail":
            made = set_at(now, ("app", "crm") if number % 3 else ("app",), number=number, rows=rows)
            store.append(made)
            ever.append(made)
        had = {name: len(good_of(store, name)) for name in DATABASES}
        spoilt = [each for each in store if not each.good]
        gone = prune(store, policy, now)
        if event == "fail" and had["app"] and (now - good_of(store, "app")[-1].taken).total_seconds() > OBJECTIVE:
            assert gone == []
        for name, count in had.items():
            assert len(good_of(store, name)) >= min(policy.minimum_redundancy, count)
        assert [each for each in store if not each.good] == spoilt
        assert prune(store, policy, now) == []
    if "spoil" not in events:
        # What a set that was lost had stood for is gone; otherwise every promise holds.
        require_calendar(ever, store, policy)
        within = now - datetime.timedelta(seconds=policy.keep_within)
        assert policy.keep_within == 0 or {each.id for each in ever if each.taken >= within} <= {s.id for s in store}


def prune(store: list[BackupSet], policy: Policy, now: datetime.datetime) -> list[BackupSet]:
    made = plan(store, policy, now, OBJECTIVE, _trend.suspicious(store))
    store[:] = kept(made)
    return made.remove


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(["take"] * 8 + ["jump", "right"]), st.integers(1, 30 * HOUR), st.integers(-60, 60)),
        max_size=60,
    ),
    POLICIES,
)
def test_a_clock_that_jumps_both_ways_costs_no_redundancy(events: list[tuple[str, int, int]], policy: Policy) -> None:
    """The host's clock is wrong at times, by years too; retention goes by it, and cannot know."""
    store: list[BackupSet] = []
    true, wrong = START, datetime.timedelta()
    most = 0
    for number, (event, step, days) in enumerate(events):
        true += datetime.timedelta(seconds=step)
        if event == "right":
            wrong = datetime.timedelta()
        elif event == "jump":
            wrong = datetime.timedelta(days=days * (300 if number % 5 == 0 else 1))
        else:
            store.append(set_at(true + wrong, number=number))
            most += 1
        newest = max(store, key=lambda each: each.order, default=None)
        before = list(store)
        gone = prune(store, policy, true + wrong)
        assert len(store) >= min(policy.minimum_redundancy, most)
        assert newest is None or newest in store
        if any(each.taken > true + wrong + datetime.timedelta(minutes=5) for each in before):
            assert gone == []
