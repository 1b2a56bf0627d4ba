"""Most restrictive wins, tighten at once, loosen slowly, and shares that add up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.arbiter import Arbiter, ArbiterSettings
from guard.desired import Limits
from guard.events import Position
from guard.findings import Basis, Finding, Limit, Reason, Severity
from guard.state import GuardState
from guard.units import NS_PER_S, BotId
from perpguard_sdk.messages import Entries, StopRule
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    ETH,
    MARKET,
    at,
    born,
    finding,
    mark,
    new_state,
    position,
    reported,
    snapshot,
)

HOLD_S, STEP_S = 60.0, 20.0


class Folding:
    """An arbiter over a state, asked by seconds."""

    def __init__(self, *bots: BotId, change_ratio_min: float = 0.05) -> None:
        self.state: GuardState = new_state(*(bots or (ALPHA,)))
        self.arbiter = Arbiter(
            ArbiterSettings(hold_down_s=HOLD_S, step_s=STEP_S, change_ratio_min=change_ratio_min)
        )
        for bot in self.state.bots:
            self.state.apply(born(0.0, bot))

    def at(self, seconds: float, *findings: Finding) -> dict[BotId, Limits]:
        desired = self.arbiter.fold(findings, self.state, at(seconds))
        return {bot: limits[MARKET] for bot, limits in desired.items()}

    def alpha(self, seconds: float, *findings: Finding) -> Limits:
        return self.at(seconds, *findings)[ALPHA]

    def hold(self, seconds: float, venue: Sequence[Position] | None = None, **sizes: float) -> None:
        """Bots report ``sizes``; the venue shows ``venue``, or nothing at all."""
        for bot, size in sizes.items():
            self.state.apply(reported(seconds, BotId(bot), size=size))
        if venue is not None:
            self.state.apply(snapshot(seconds, *venue))


_limits = st.builds(
    Limit,
    entries=st.sampled_from([None, *Entries]),
    max_size=st.none() | st.floats(0.0, 100.0),
    max_leverage=st.none() | st.floats(1.0, 50.0),
    entry_share=st.none() | st.floats(0.01, 1.0),
    stop=st.none() | st.builds(StopRule, stop_price=st.floats(50.0, 90.0)),
)
_findings = st.lists(
    st.builds(
        finding,
        policy=st.sampled_from(["one", "two", "three"]),
        reason=st.sampled_from([Reason.DEPTH_THIN, Reason.LIQUIDATION_NEAR]),
        severity=st.sampled_from(Severity),
        bot=st.sampled_from([None, ALPHA, BETA]),
        limit=_limits,
        freezes=st.booleans(),
        evidence=st.floats(0.0, 1.0),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(rounds=st.lists(_findings, min_size=1, max_size=4), data=st.data())
def test_the_order_of_findings_does_not_matter(rounds: list[list[Finding]], data: st.DataObject) -> None:
    one, other = Folding(ALPHA, BETA), Folding(ALPHA, BETA)
    for number, findings in enumerate(rounds):
        shuffled = data.draw(st.permutations(findings))
        assert one.at(number * 40.0, *findings) == other.at(number * 40.0, *shuffled)


@settings(max_examples=150, deadline=None)
@given(findings=_findings)
def test_the_most_restrictive_wins(findings: list[Finding]) -> None:
    limits = Folding(change_ratio_min=0.0).alpha(0.0, *findings)

    mine = [one for one in findings if one.subject.bot in (None, ALPHA)]
    entries = [one.limit.entries for one in mine if one.limit.entries is not None]
    sizes = [one.limit.max_size for one in mine if one.limit.max_size is not None]
    leverages = [one.limit.max_leverage for one in mine if one.limit.max_leverage is not None]
    shares = [one.limit.entry_share for one in mine if one.limit.entry_share is not None]
    assert limits.entries is Entries.tightest(*entries)
    assert limits.entry_share == min([1.0, *shares])
    assert limits.max_size == min(sizes, default=None)
    assert limits.max_leverage == min(leverages, default=None)
    assert (limits.stop is None) == all(one.limit.stop is None for one in mine)


def test_a_restriction_is_tightened_at_once_and_by_the_worse_of_two() -> None:
    folding = Folding()
    assert folding.alpha(0.0) == Limits()
    thin = finding(entries=Entries.REDUCE_ONLY)
    failed = finding(policy="dispatch", entries=Entries.HALTED, bot=ALPHA)

    assert folding.alpha(0.1, thin).entries is Entries.REDUCE_ONLY
    both = folding.alpha(0.2, thin, failed)

    assert both.entries is Entries.HALTED
    assert both.entries_cause == failed


def test_entries_loosen_only_after_the_hold_down_and_step_by_step() -> None:
    folding = Folding()
    folding.alpha(0.0, finding(entries=Entries.HALTED))

    seen = {
        seconds: folding.alpha(float(seconds)).entries for seconds in (1, 59, 60, 61, 79, 80, 99, 100, 200)
    }

    assert seen == {
        1: Entries.HALTED,
        59: Entries.HALTED,
        60: Entries.REDUCE_ONLY,
        61: Entries.REDUCE_ONLY,
        79: Entries.REDUCE_ONLY,
        80: Entries.NO_ADDS,
        99: Entries.NO_ADDS,
        100: Entries.ALLOWED,
        200: Entries.ALLOWED,
    }


def test_asking_again_begins_the_hold_down_anew() -> None:
    folding = Folding()
    pause = finding(entries=Entries.REDUCE_ONLY)
    folding.alpha(0.0, pause)
    folding.alpha(50.0, pause)

    assert folding.alpha(109.0).entries is Entries.REDUCE_ONLY
    assert folding.alpha(110.0).entries is Entries.NO_ADDS


def test_what_was_asked_beside_something_tighter_holds_for_its_own_time() -> None:
    folding = Folding()
    folding.alpha(0.0, finding(entries=Entries.HALTED))
    folding.alpha(50.0, finding(entries=Entries.REDUCE_ONLY))
    seen = [folding.alpha(float(seconds)).entries for seconds in (60, 80, 109, 110, 130)]

    assert seen == [*[Entries.REDUCE_ONLY] * 3, Entries.NO_ADDS, Entries.ALLOWED]


@settings(max_examples=80, deadline=None)
@given(
    script=st.lists(
        st.tuples(
            st.floats(1.0, 50.0),
            st.sampled_from([None, *Entries]),
            st.sampled_from([None, 0.0, 0.1, 0.25, 0.5]),
            st.booleans(),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_nothing_is_looser_than_what_was_asked_within_a_hold_down(
    script: list[tuple[float, Entries | None, float | None, bool]],
) -> None:
    folding, now = Folding(), 0.0
    asked: list[tuple[float, Entries, float]] = []
    for gap, entries, share, again in script:
        now += gap
        found = [finding(entries=entries, entry_share=share)] if entries or share is not None else []
        for at_s in (now, now + 0.5) if again else (now,):
            limits = folding.alpha(at_s, *found)
            asked.append((at_s, entries or Entries.ALLOWED, 1.0 if share is None else share))
            for then, level, part in asked:
                if at_s - then < HOLD_S:
                    assert limits.entries.tightness >= level.tightness
                    assert limits.entry_share <= part


def test_what_asks_for_no_adds_alone_stops_there_and_goes_in_one_step() -> None:
    folding = Folding()
    no_adds = finding(entries=Entries.NO_ADDS)
    folding.alpha(0.0, finding(entries=Entries.REDUCE_ONLY))
    seen = [folding.alpha(float(seconds), no_adds).entries for seconds in (60, 80, 140, 200)]

    assert seen == [Entries.NO_ADDS] * 4
    assert folding.alpha(259.0).entries is Entries.NO_ADDS
    assert folding.alpha(260.0).entries is Entries.ALLOWED


@pytest.mark.parametrize("skill", ["no_adds", "scales_entries"])
def test_a_bot_that_does_not_know_a_finer_restriction_gets_the_next_tighter_one(skill: str) -> None:
    folding = Folding()
    limit = Limit(entries=Entries.NO_ADDS) if skill == "no_adds" else Limit(entry_share=0.5)
    asks = finding(limit=limit)
    folding.state.apply(born(0.0, session="b2", is_fine=False))

    held = folding.alpha(1.0, asks)
    folding.state.apply(born(2.0, session="b3"))
    known = folding.alpha(2.0, asks)

    assert (held.entries, held.entries_cause) == (Entries.REDUCE_ONLY, asks)
    assert known.entries is (Entries.NO_ADDS if skill == "no_adds" else Entries.ALLOWED)
    assert known.entry_share == (1.0 if skill == "no_adds" else 0.5)


def test_no_part_of_an_entry_is_no_entry() -> None:
    assert Folding().alpha(0.0, finding(entry_share=0.0)).entries is Entries.REDUCE_ONLY


def test_entries_grow_to_their_usual_size_in_steps() -> None:
    folding = Folding()
    quarter, half = finding(entry_share=0.1), finding(entry_share=0.5)
    folding.alpha(0.0, quarter)

    assert folding.alpha(59.0, half).entry_share == 0.1
    seen = [folding.alpha(float(seconds), half).entry_share for seconds in (60, 80, 100, 120)]
    assert seen == [0.25, 0.5, 0.5, 0.5]
    assert [folding.alpha(float(seconds)).entry_share for seconds in (179, 180)] == [0.5, 1.0]


def test_a_finding_about_a_venue_is_about_all_markets_there_and_none_elsewhere() -> None:
    folding = Folding()
    here, there = (
        finding(market=None, venue=venue, entries=Entries.REDUCE_ONLY) for venue in ("loopback", "elsewhere")
    )

    assert folding.alpha(0.0, there).entries is Entries.ALLOWED
    assert folding.alpha(1.0, here, there).entries_cause == here


def test_a_size_is_given_back_by_doubling_twice_and_then_all() -> None:
    folding = Folding()
    folding.alpha(0.0, finding(max_size=2.0))

    assert [folding.alpha(s).max_size for s in (59.0, 60.0, 79.0, 80.0, 100.0)] == [2.0, 4.0, 4.0, 8.0, None]


def test_a_size_is_not_given_back_beyond_what_is_still_asked() -> None:
    folding = Folding()
    folding.alpha(0.0, finding(max_size=2.0))
    asked = finding(max_size=3.0)

    assert folding.alpha(30.0, asked).max_size == 2.0
    assert folding.alpha(60.0, asked).max_size == 3.0
    assert folding.alpha(600.0, asked).max_size == 3.0


def test_a_freezing_finding_forbids_any_loosening_and_the_hold_down_begins_after_it() -> None:
    folding = Folding()
    stop = StopRule(stop_price=90.0)
    folding.alpha(0.0, finding(entries=Entries.HALTED, max_size=2.0, max_leverage=3.0, stop=stop))
    unknown = finding(policy="distrust", freezes=True)

    for seconds in range(1, 300):
        limits = folding.alpha(float(seconds), unknown)
        assert (limits.entries, limits.max_size, limits.max_leverage, limits.stop) == (
            Entries.HALTED, 2.0, 3.0, stop,
        )  # fmt: skip
    assert folding.alpha(300.0).entries is Entries.HALTED
    assert folding.alpha(359.0).entries is Entries.REDUCE_ONLY


@pytest.mark.parametrize("elsewhere", [{"market": ETH}, {"bot": BETA}])
def test_a_freeze_of_another_subject_does_not_hold(elsewhere: dict[str, object]) -> None:
    folding = Folding()
    folding.alpha(0.0, finding(entries=Entries.REDUCE_ONLY))

    other = finding(policy="distrust", freezes=True, **elsewhere)  # type: ignore[arg-type]

    assert folding.alpha(60.0, other).entries is Entries.NO_ADDS


def test_limits_that_jitter_hold_still() -> None:
    folding = Folding()
    jitter = (1.0, 0.97, 1.1, 0.96, 1.2, 1.02)
    asked = [finding(max_size=10.0 * jitter[n % len(jitter)], max_leverage=5.0) for n in range(3_000)]

    sizes = {folding.alpha(n * 0.25, one).max_size for n, one in enumerate(asked)}

    assert sizes == {10.0}


# ---------------------------------------------------------------- shares


def sum_of(limits: dict[BotId, Limits]) -> float:
    return sum(limit.max_size or 0.0 for limit in limits.values())


def test_shares_of_an_accounts_limit_sum_to_it_by_what_each_bot_holds() -> None:
    folding = Folding(ALPHA, BETA)
    folding.hold(0.0, [position(10.0)], alpha=6.0, beta=4.0)

    limits = folding.at(1.0, finding(account=ACCOUNT, max_size=5.0))

    assert {bot: limit.max_size for bot, limit in limits.items()} == {ALPHA: 3.0, BETA: 2.0}


def test_shares_are_equal_while_nobody_says_what_it_holds() -> None:
    limits = Folding(ALPHA, BETA).at(0.0, finding(account=ACCOUNT, max_size=5.0))

    assert [limit.max_size for limit in limits.values()] == [2.5, 2.5]


def test_a_bot_that_holds_nothing_gets_no_share() -> None:
    folding = Folding(ALPHA, BETA)
    folding.hold(0.0, [position(10.0)], alpha=10.0, beta=0.0)

    limits = folding.at(1.0, finding(account=ACCOUNT, max_size=5.0))

    assert {bot: limit.max_size for bot, limit in limits.items()} == {ALPHA: 5.0, BETA: 0.0}


def test_shares_sum_to_the_limit_even_if_the_reports_do_not_sum_to_the_position() -> None:
    folding = Folding(ALPHA, BETA)
    folding.hold(0.0, [position(6.0)], alpha=6.0, beta=4.0)  # one of the reports is out of date

    assert sum_of(folding.at(1.0, finding(account=ACCOUNT, max_size=3.0))) == pytest.approx(3.0)


def test_a_foreign_position_takes_up_room_that_the_bots_leave() -> None:
    folding = Folding(ALPHA, BETA)
    for seconds in (0.0, 2.0, 4.0):
        folding.hold(seconds, [position(12.0)], alpha=6.0, beta=4.0)  # 2 are a human's

    limits = folding.at(5.0, finding(account=ACCOUNT, max_size=7.0))

    assert {bot: limit.max_size for bot, limit in limits.items()} == {ALPHA: 3.0, BETA: 2.0}


def test_bots_can_cut_no_more_than_their_own_part() -> None:
    folding = Folding(ALPHA)
    for seconds in (0.0, 2.0, 4.0):
        folding.hold(seconds, [position(12.0)], alpha=2.0)

    assert folding.alpha(5.0, finding(account=ACCOUNT, max_size=7.0)).max_size == 0.0


def test_a_fill_that_the_venue_shows_before_the_bot_reports_it_is_not_foreign() -> None:
    folding = Folding(ALPHA)
    folding.hold(0.0, [position(4.0)], alpha=4.0)
    folding.state.apply(snapshot(1.0, position(6.0)))

    assert folding.alpha(1.1, finding(account=ACCOUNT, max_size=5.0)).max_size == 5.0


def test_a_bot_on_the_other_side_is_not_limited_and_makes_room() -> None:
    folding = Folding(ALPHA, BETA)
    folding.hold(0.0, [position(2.0)], alpha=6.0, beta=-4.0)

    limits = folding.at(1.0, finding(account=ACCOUNT, max_size=1.0))

    assert {bot: limit.max_size for bot, limit in limits.items()} == {ALPHA: 5.0, BETA: None}


def test_a_finding_about_one_bot_is_not_shared() -> None:
    folding = Folding(ALPHA, BETA)
    folding.hold(0.0, [position(10.0)], alpha=6.0, beta=4.0)

    limits = folding.at(1.0, finding(bot=ALPHA, max_size=5.0))

    assert {bot: limit.max_size for bot, limit in limits.items()} == {ALPHA: 5.0, BETA: None}


def test_the_bot_that_obeys_first_is_not_cut_again() -> None:
    folding = Folding(ALPHA, BETA)
    near = finding(account=ACCOUNT, max_size=5.0)
    sizes = {"alpha": 6.0, "beta": 4.0}
    for step in range(200):
        folding.hold(step * 1.0, [position(sum(sizes.values()))], **sizes)
        limits = folding.at(step * 1.0, near)
        sizes["alpha"] = min(sizes["alpha"], limits[ALPHA].max_size or 0.0)
        if step > 20:
            sizes["beta"] = min(sizes["beta"], limits[BETA].max_size or 0.0)

    assert sizes == {"alpha": 3.0, "beta": 2.0}


def test_a_share_of_the_position_is_not_a_share_of_what_is_left_after_obeying() -> None:
    """A policy that asks for six tenths of the position, whatever the position is, as in isolated mode."""
    folding = Folding()
    size = 10.0
    for step in range(400):
        folding.hold(step * 0.5, [position(size)], alpha=size)
        asked = Limit(max_size=0.6 * size, basis=Basis(size=size, reference=95.0))
        size = min(size, folding.alpha(step * 0.5, finding(account=ACCOUNT, limit=asked)).max_size or 0.0)

    assert size == pytest.approx(6.0)


def test_a_worse_share_is_taken_of_the_first_size() -> None:
    folding = Folding()
    first = Limit(max_size=6.0, basis=Basis(size=10.0))
    after = Limit(max_size=1.8, basis=Basis(size=6.0))

    assert folding.alpha(0.0, finding(account=ACCOUNT, limit=first)).max_size == 6.0
    assert folding.alpha(1.0, finding(account=ACCOUNT, limit=after)).max_size == pytest.approx(3.0)


def test_a_moved_stop_begins_a_new_share() -> None:
    folding = Folding()
    folding.alpha(
        0.0, finding(account=ACCOUNT, limit=Limit(max_size=6.0, basis=Basis(size=10.0, reference=95.0)))
    )
    again = Limit(max_size=3.6, basis=Basis(size=6.0, reference=93.0))

    assert folding.alpha(1.0, finding(account=ACCOUNT, limit=again)).max_size == pytest.approx(3.6)


# ---------------------------------------------------------------- stops


def test_a_stop_in_force_is_moved_only_farther_away_and_only_by_enough() -> None:
    folding = Folding()
    folding.state.apply(mark(0.0, 100.0))

    wanted = (95.0, 95.3, 94.8, 96.5, 94.0, 95.0)
    stops = [
        folding.alpha(n * 1.0, finding(stop=StopRule(stop_price=price))).stop
        for n, price in enumerate(wanted)
    ]

    assert [rule.stop_price for rule in stops if rule is not None] == [95.0, 95.0, 95.0, 95.0, 94.0, 94.0]


def test_a_stop_in_force_is_moved_out_of_a_zone_that_opens_around_it() -> None:
    folding = Folding()
    folding.state.apply(mark(0.0, 100.0))
    folding.alpha(0.0, finding(stop=StopRule(stop_price=95.0)))

    moved = StopRule(stop_price=94.8, avoid=((94.9, 95.1),))

    assert folding.alpha(1.0, finding(stop=moved)).stop == moved


def test_of_two_stops_the_one_with_the_smaller_size_holds() -> None:
    near = finding(policy="a", max_size=5.0, stop=StopRule(stop_price=97.0))
    far = finding(policy="b", max_size=2.0, stop=StopRule(stop_price=90.0))

    limits = Folding().alpha(0.0, near, far)

    assert (limits.stop, limits.max_size) == (StopRule(stop_price=90.0), 2.0)


def test_a_restriction_does_not_end_with_the_position_that_named_the_market() -> None:
    state = new_state(ALPHA, markets=())
    state.apply(born(0.0, symbols=("*",)))
    state.apply(reported(0.0, size=1.0))
    arbiter = Arbiter(ArbiterSettings())
    pause = finding(entries=Entries.REDUCE_ONLY)
    assert arbiter.fold([pause], state, at(0.0))[ALPHA][MARKET].entries is Entries.REDUCE_ONLY

    state.apply(reported(1.0))

    assert arbiter.fold([pause], state, at(1.0))[ALPHA][MARKET].entries is Entries.REDUCE_ONLY
    assert at(1.0) - at(0.0) == NS_PER_S
