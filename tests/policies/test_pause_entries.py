"""When a book counts as thin, and when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from guard.findings import Reason, Severity
from guard.forecasts import Regime
from guard.market.recovery import BookRecovery
from guard.state import GuardState
from perpguard_sdk.messages import Entries
from policies.pause_entries import PauseEntries
from tests.policies.scenes import MARKET, WARM_S, judged, thin_out, warm_state
from tests.support.builders import at, features, mark, new_state
from tests.support.stressed_outlooks import give_outlook, outlook

POLICY = PauseEntries(confirm_s=2.0)


def calm_after(state: GuardState, seconds: float, **said: Any) -> None:
    """An outlook that says that the market is calm, or what else is ``said``."""
    give_outlook(state, outlook(seconds, MARKET, **{"hazard": 0.001, **said}))


def entries_of(
    state: GuardState, seconds: float, policy: PauseEntries = POLICY
) -> dict[Reason, Entries | None]:
    return {one.reason: one.limit.entries for one in judged(policy, state, seconds)}


@pytest.mark.parametrize("side", ["bid_size", "ask_size"])
def test_a_thin_side_pauses_entries_and_says_by_how_much(side: str) -> None:
    state = warm_state()
    now = thin_out(state, seconds=3.0, **{side: 25.0})

    (found,) = judged(POLICY, state, now)

    assert (found.reason, found.severity) == (Reason.DEPTH_THIN, Severity.ACT)
    assert found.limit.entries is Entries.REDUCE_ONLY
    assert found.subject.market == MARKET
    ratio = found.evidence[0]
    assert ratio.name == f"{side.removesuffix('_size')} depth over normal"
    assert ratio.value == pytest.approx(0.25, rel=0.05)
    assert ratio.limit == POLICY.thin_ratio


def test_nothing_but_the_entries_is_limited() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=1.0)

    limit = judged(POLICY, state, now)[0].limit

    assert (limit.max_size, limit.max_leverage, limit.stop) == (None, None, None)


def test_a_collapse_is_critical_within_three_seconds_and_a_bit() -> None:
    state = warm_state()
    found_at = None
    for number in range(1, 20):
        now = thin_out(state, bid_size=10.0, seconds=0.25, start=WARM_S + (number - 1) * 0.25)
        if any(one.reason is Reason.DEPTH_COLLAPSED for one in judged(POLICY, state, now)):
            found_at = now - WARM_S
            break

    assert found_at is not None
    assert found_at <= 3.5


def test_a_dip_of_a_second_is_not_a_thin_book() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=1.0)

    assert judged(POLICY, state, now) == []


def test_entries_come_back_in_stages_while_the_book_stays_back() -> None:
    state = warm_state()
    calm_after(state, now := thin_out(state, bid_size=10.0, seconds=6.0))
    assert judged(POLICY, state, now)[0].limit.entries is Entries.REDUCE_ONLY

    shares = []
    for number in range(1, 16):
        calm_after(state, now := thin_out(state, seconds=10.0, start=now))
        found = judged(POLICY, state, now)
        shares.append(found[0].limit.entry_share if found else 1.0)
        assert [one.reason for one in found] == [Reason.RESUMING] * (shares[-1] != 1.0)
        assert all(one.limit.entries is Entries.NO_ADDS for one in found), number
        assert not any(one.freezes for one in found), "a stage that froze would never come"

    assert shares == [0.25] * 6 + [0.5] * 6 + [1.0] * 3


def test_a_book_that_is_not_back_gives_nothing_back_and_begins_again() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=6.0)
    now = thin_out(state, seconds=30.0, start=now)
    now = thin_out(state, bid_size=55.0, seconds=20.0, start=now)
    calm_after(state, now)

    (found,) = judged(POLICY, state, now)

    assert (found.reason, found.limit.entries, found.freezes) == (Reason.RESUMING, Entries.REDUCE_ONLY, True)
    assert found.limit.entry_share is None
    depth = next(one for one in found.evidence if one.name == "depth over normal")
    assert depth.value == pytest.approx(0.55, rel=0.05)
    assert depth.limit == 0.6

    now = thin_out(state, seconds=40.0, start=now)
    calm_after(state, now)
    assert judged(POLICY, state, now)[0].limit.entry_share == 0.25, "the thirty seconds before count no more"


def test_all_comes_back_at_once_where_no_stages_are_wanted() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=6.0)
    now = thin_out(state, seconds=0.5, start=now)
    calm_after(state, now)

    assert judged(PauseEntries(stage_s=0.0), state, now) == []


def test_a_small_dip_of_a_very_steady_book_is_nothing() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=70.0, seconds=6.0)

    assert judged(POLICY, state, now) == []


def test_the_other_side_dipping_for_a_moment_does_not_hide_a_thin_one() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=25.0, seconds=6.0)
    now = thin_out(state, bid_size=25.0, ask_size=22.0, seconds=0.25, start=now)

    (found,) = judged(POLICY, state, now)

    assert found.evidence[0].name == "bid depth over normal"


def test_a_wide_spread_pauses() -> None:
    state = warm_state()
    now = WARM_S + 1.0
    moved = features(now)
    wide = features(now).__class__(
        **{name: getattr(moved, name) for name in moved.__struct_fields__ if name not in ("bid", "ask")},
        bid=99.5,
        ask=100.5,
    )
    state.apply(wide)

    found = [one for one in judged(POLICY, state, now) if one.reason is Reason.SPREAD_WIDE]

    assert [one.limit.entries for one in found] == [Entries.REDUCE_ONLY]


def test_a_stale_book_is_not_called_thin() -> None:
    state = warm_state()
    now = thin_out(state, bid_size=10.0, seconds=6.0)

    assert judged(POLICY, state, now + 30.0) == []


def test_a_cold_baseline_is_said_and_limits_nothing() -> None:
    state = new_state()
    for number in range(20):
        state.apply(features(number * 0.25, bid_size=1.0 + number))
        state.apply(mark(number * 0.25))

    (found,) = judged(POLICY, state, 4.75)

    assert (found.reason, found.severity) == (Reason.BASELINE_COLD, Severity.INFO)
    assert found.limit.entries is None
    assert at(4.75) > at(0.0)


# ---------------------------------------------------------------- by state and hazard


@pytest.mark.parametrize(
    ("regime", "reason"),
    [(Regime.STRESSED, Reason.REGIME_STRESSED), (Regime.CASCADE, Reason.CASCADE_UNDER_WAY)],
)
def test_a_state_of_stress_pauses_where_the_hazard_bears_it_out_else_halts_adds_or_is_told(
    regime: Regime, reason: Reason
) -> None:
    state = warm_state()
    calm_after(state, WARM_S, regime=regime, reasons=("hazard",), hazard=0.01)
    assert entries_of(state, WARM_S) == {reason: Entries.REDUCE_ONLY}

    calm_after(state, WARM_S, regime=regime, hazard=0.009)
    assert entries_of(state, WARM_S) == {reason: None}
    assert not judged(POLICY, state, WARM_S)[0].freezes, "it may stand for hours"

    calm_after(state, WARM_S, regime=regime, hazard=None)
    assert entries_of(state, WARM_S) == {reason: Entries.NO_ADDS}


def test_a_state_that_only_a_spread_bears_out_has_to_stand() -> None:
    state = warm_state()
    state.apply(structs.replace(features(WARM_S + 1.0), bid=99.9, ask=100.1))
    waits = []
    for hazard in (0.001, 0.02):
        calm_after(state, WARM_S + 1.0, regime=Regime.STRESSED, hazard=hazard)
        (found,) = (
            one for one in judged(POLICY, state, WARM_S + 1.0) if one.reason is Reason.REGIME_STRESSED
        )
        assert found.limit.entries is Entries.REDUCE_ONLY
        waits.append(found.confirm_ms)

    assert waits == [10_000, 0]


@pytest.mark.parametrize("regime", [Regime.NORMAL, Regime.WATCH, Regime.RECOVERY])
def test_what_the_counterfactual_of_a_state_names_is_true(regime: Regime) -> None:
    state = warm_state()
    calm_after(state, WARM_S, regime=Regime.STRESSED, reasons=("hazard",), hazard=0.02)
    (found,) = judged(POLICY, state, WARM_S)
    assert "at watch or milder" in found.counterfactual

    calm_after(state, WARM_S, regime=regime, hazard=0.02, resume_share=1.0)
    assert judged(POLICY, state, WARM_S) == []


def test_a_hazard_halts_adds_and_a_greater_one_everything_in_any_state() -> None:
    state = warm_state()
    asked = []
    for hazard in (0.039, 0.04, 0.099, 0.1):
        calm_after(state, WARM_S, hazard=hazard)
        asked.append(entries_of(state, WARM_S).get(Reason.HAZARD_HIGH))

    assert asked == [None, Entries.NO_ADDS, Entries.NO_ADDS, Entries.REDUCE_ONLY]


@pytest.mark.parametrize(
    ("regime", "hazard", "seconds"),
    [
        (Regime.NORMAL, 0.05, 30.0),
        (Regime.WATCH, 0.15, 30.0),
        (Regime.RECOVERY, 0.15, 30.0),
        (Regime.NORMAL, 0.2, 0.0),
        (Regime.STRESSED, 0.05, 0.0),
    ],
)
def test_a_moments_hazard_has_to_stand_unless_a_state_bears_it_out_or_it_is_plain(
    regime: Regime, hazard: float, seconds: float
) -> None:
    state = warm_state()
    calm_after(state, WARM_S, regime=regime, reasons=("hazard",), hazard=hazard, resume_share=1.0)
    (found,) = (one for one in judged(POLICY, state, WARM_S) if one.reason is Reason.HAZARD_HIGH)
    assert found.confirm_ms == seconds * 1_000


def test_an_outlook_of_the_past_is_not_heard() -> None:
    state = warm_state()
    calm_after(state, WARM_S - 30.0, regime=Regime.CASCADE, hazard=0.5)

    assert judged(POLICY, state, WARM_S) == []


def test_recovery_gives_back_as_the_outlook_says_where_the_hazard_bears_it_out() -> None:
    state = warm_state()
    asked = []
    for share in (0.0, 0.25, 0.5, 1.0):
        calm_after(state, WARM_S, regime=Regime.RECOVERY, resume_share=share, hazard=0.02)
        asked += [(one.limit.entries, one.limit.entry_share) for one in judged(POLICY, state, WARM_S)]
    calm_after(state, WARM_S, regime=Regime.RECOVERY, resume_share=0.25, hazard=0.001)

    assert asked == [(Entries.REDUCE_ONLY, None), (Entries.NO_ADDS, 0.25), (Entries.NO_ADDS, 0.5)]
    assert judged(POLICY, state, WARM_S) == []


# ---------------------------------------------------------------- depth and spread beside an outlook


@pytest.mark.parametrize(("depth", "wanted"), [(45.0, Entries.NO_ADDS), (30.0, Entries.REDUCE_ONLY)])
def test_a_thin_book_in_a_calm_outlook_halts_adds_and_a_thinner_one_pauses(
    depth: float, wanted: Entries
) -> None:
    state = warm_state()
    now = thin_out(state, seconds=3.0, bid_size=depth)
    calm_after(state, now, regime=Regime.WATCH, reasons=("depth_z",))

    assert entries_of(state, now, PauseEntries(confirm_s=2.0, depth_z=-2.0))[Reason.DEPTH_THIN] is wanted


def test_without_an_outlook_or_with_a_hazard_a_thin_book_pauses_as_ever() -> None:
    policy = PauseEntries(confirm_s=2.0, depth_z=-2.0)
    state = warm_state()
    now = thin_out(state, seconds=3.0, bid_size=45.0)
    calm_after(state, now, hazard=0.02)
    assert entries_of(state, now, policy)[Reason.DEPTH_THIN] is Entries.REDUCE_ONLY

    give_outlook(state, outlook(now, MARKET, regime=None))
    assert entries_of(state, now, policy)[Reason.DEPTH_THIN] is Entries.REDUCE_ONLY


def test_depth_that_is_not_seen_is_told_and_limits_nothing_in_a_calm_outlook() -> None:
    state = warm_state()
    now = thin_out(state, seconds=3.0, bid_size=25.0)
    view = state.markets[MARKET]
    sample = view.features
    assert sample is not None
    assert sample.bids is not None
    calm_after(state, now)
    assert entries_of(state, now)[Reason.DEPTH_THIN] is Entries.REDUCE_ONLY

    view.features = structs.replace(sample, bids=structs.replace(sample.bids, visible_bps=20.0))
    assert entries_of(state, now) == {Reason.DEPTH_THIN: None}
    assert judged(POLICY, state, now)[0].freezes

    calm_after(state, now, hazard=0.02)
    assert entries_of(state, now)[Reason.DEPTH_THIN] is Entries.REDUCE_ONLY


def test_a_wide_spread_waits_only_where_the_hazard_is_low() -> None:
    state = warm_state()
    state.apply(structs.replace(features(WARM_S + 1.0), bid=99.5, ask=100.5))
    waits = []
    for hazard in (0.001, 0.02):
        calm_after(state, WARM_S + 1.0, hazard=hazard)
        (found,) = (one for one in judged(POLICY, state, WARM_S + 1.0) if one.reason is Reason.SPREAD_WIDE)
        waits.append(found.confirm_ms)

    assert waits == [10_000, 0]


@pytest.mark.parametrize("factor", [0.999, 1.001])
def test_what_the_counterfactual_of_a_spread_names_is_true(factor: float) -> None:
    state = warm_state()
    state.apply(structs.replace(features(WARM_S + 1.0), bid=99.5, ask=100.5))
    (found,) = (one for one in judged(POLICY, state, WARM_S + 1.0) if one.reason is Reason.SPREAD_WIDE)
    ratio = next(float(one.value) for one in found.evidence if one.name == "spread over normal")
    least_bps = (1.0 + 100.0) * POLICY.spread_ratio / ratio - 1.0
    assert f"below {least_bps:.1f} bps" in found.counterfactual

    half = least_bps * factor / 200.0
    state.apply(structs.replace(features(WARM_S + 1.25), bid=100.0 - half, ask=100.0 + half))
    stands = any(one.reason is Reason.SPREAD_WIDE for one in judged(POLICY, state, WARM_S + 1.25))
    assert stands is (factor > 1.0)


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_what_the_counterfactual_of_depth_names_is_true(factor: float) -> None:
    state = warm_state()
    now = thin_out(state, bid_size=25.0)
    assert judged(POLICY, state, now)[0].counterfactual.startswith("would not stand with bid depth above 50%")
    now = thin_out(state, bid_size=50.0 * factor, seconds=4.0, start=now)

    stands = any(
        one.reason is Reason.DEPTH_THIN
        for one in judged(PauseEntries(confirm_s=2.0, depth_z=-1.0), state, now)
    )
    assert stands is (factor < 1.0)


# ---------------------------------------------------------------- stages


SAMPLES = st.lists(
    st.tuples(
        st.floats(0.05, 2.0),
        st.floats(0.5, 8.0),
        st.one_of(st.none(), st.floats(1.0, 60_000.0)),
        st.sampled_from([1.0, 5.0, 40.0]),
    ),
    max_size=60,
)


@given(SAMPLES)
def test_stages_rise_only_while_all_is_back(samples: list[tuple[float, float, float | None, float]]) -> None:
    book, seconds, former = BookRecovery(), 0.0, 1.0
    for ratio, spread, refill, step in samples:
        seconds += step
        book.observe(at(seconds), ratio, spread, spread * 3.0, refill)
        share = book.share(60.0)
        if share > former:
            assert ratio >= 0.6
            assert spread <= 2.0 or spread * 3.0 <= 2.0
        assert share >= former or ratio < 0.6 or spread > 2.0 or (book.refill_ratio or 0.0) > 2.0
        former = share


@given(SAMPLES)
def test_a_better_book_is_never_given_less(samples: list[tuple[float, float, float | None, float]]) -> None:
    book, better, seconds = BookRecovery(), BookRecovery(), 0.0
    for ratio, spread, _, step in samples:
        seconds += step
        book.observe(at(seconds), ratio, spread, spread * 3.0, None)
        better.observe(at(seconds), ratio * 1.2, spread * 0.8, spread * 2.4, None)
        assert better.share(60.0) >= book.share(60.0)


def test_a_book_that_takes_longer_to_refill_than_it_does_is_not_back() -> None:
    book = BookRecovery()
    for second in range(0, 2_000, 5):
        book.observe(at(second), 1.0, 1.0, 1.0, 800.0)
    book.observe(at(2_000), 0.1, 1.0, 1.0, 800.0)
    book.observe(at(2_004), 0.1, 1.0, 1.0, 800.0)
    assert book.share(60.0) == 0.0
    book.observe(at(2_005), 1.0, 1.0, 1.0, 1_700.0)
    assert book.share(60.0) == 0.0
    book.observe(at(2_006), 1.0, 1.0, 1.0, 1_500.0)
    assert book.share(60.0) == 0.25


def test_unknown_is_not_back() -> None:
    book = BookRecovery()
    book.observe(at(0), 0.1, 1.0, 1.0, None)
    book.observe(at(4), 0.1, 1.0, 1.0, None)
    book.observe(at(5), 1.0, 1.0, 1.0, None)
    book.observe(at(9), 1.0, 1.0, 1.0, None)
    assert book.share(60.0) == 0.25
    book.interrupt()
    assert book.share(60.0) == 0.0
    book.observe(at(10), 1.0, None, None, None)
    assert book.share(60.0) == 0.0


def test_a_spread_that_flickers_hurts_nothing_and_one_that_stays_does() -> None:
    book = BookRecovery()
    for second in range(20):
        book.observe(at(second), 1.0, 8.0 if second % 3 else 1.0, 20.0 if second % 3 else 1.0, None)
    assert book.share(60.0) == 1.0
    for second in range(20, 24):
        book.observe(at(second), 1.0, 8.0, 20.0, None)
    assert book.share(60.0) == 0.0
