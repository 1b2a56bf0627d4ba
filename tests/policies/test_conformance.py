"""What every policy keeps: pure, deterministic, documented, impossible settings refused, and it never raises."""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import Any, get_type_hints

import pytest
from annotated_types import Ge, Gt, Le, Lt
from msgspec import structs
from pydantic import TypeAdapter, ValidationError

from guard.conformance.suite import as_data
from guard.events import (
    AssetPrice,
    AssetPricesSeen,
    BookStatus,
    CollateralHeld,
    LinkChanged,
    LinkKind,
    MarginMode,
    MarketFeatures,
    MessageRefused,
    Pooling,
)
from guard.findings import Severity
from guard.forecasts import Regime
from guard.policy import Policy, only_at_ticks
from guard.state import GuardState
from guard.units import AccountId, MarketId
from perpguard_sdk.messages import Entries, StopRule
from policies.contain_collateral import ContainCollateral
from policies.cut_leverage import CutLeverage
from policies.deleverage_exposure import DeleverageExposure
from policies.distrust_bots import DistrustBots
from policies.distrust_collateral import DistrustCollateral
from policies.distrust_links import DistrustLinks
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from policies.distrust_stale_data import DistrustStaleData
from policies.drawdown_brake import DrawdownBrake
from policies.keep_restart_floor import KeepRestartFloor
from policies.margin_tightening import MarginTightening
from policies.pause_entries import PauseEntries
from policies.pause_widely import PauseWidely
from policies.respect_latency import RespectLatency
from policies.venue_failure import VenueFailure
from policies.widen_stops import WidenStops
from tests.policies.scenes import MARKET, WARM_S, hold, thin_out, warm_state
from tests.support.builders import (
    ALPHA,
    ETH,
    SYMBOL,
    at,
    born,
    features,
    flat_terms,
    mark,
    new_state,
    order,
    position,
    posture,
    reported,
    snapshot,
    started,
)
from tests.support.stressed_outlooks import give_outlook, outlook

POLICIES: tuple[type[Any], ...] = (
    CutLeverage,
    DistrustBots,
    DistrustLinks,
    DistrustStaleData,
    KeepRestartFloor,
    DistrustLiquidationPrices,
    MarginTightening,
    DistrustCollateral,
    PauseEntries,
    WidenStops,
    RespectLatency,
    ContainCollateral,
    DrawdownBrake,
    DeleverageExposure,
    VenueFailure,
    PauseWidely,
)

STOP = order("s1", -50.0, stop_price=99.5, reduce_only=True)


def in_danger() -> GuardState:
    """Everything at once: a thin book, a near liquidation, a stop in reach, a restart, a silent bot, a link down."""
    state = warm_state()
    state.apply(started(WARM_S, floors=[posture(entries={SYMBOL: Entries.HALTED})]))
    now = thin_out(state, bid_size=5.0)
    held = position(
        50.0, liquidation_price=85.0, entry_price=100.0, margin_mode=MarginMode.ISOLATED, margin_usd=600.0
    )
    hold(state, now, held, orders=(STOP,))
    state.apply(reported(now, clock_offset_ms=9_000.0))
    state.apply(structs.replace(flat_terms(MARKET, ratio=0.05), received_at=at(now)))
    hold_fallen_collateral(state, now)
    slow_down(state)
    lose_equity(state, now)
    stand_on_a_winner(state, now)
    leave_the_others(state, now)
    stress_everything(state, now)
    state.apply(LinkChanged(received_at=at(now), link=LinkKind.BROKER, up=False, detail="away"))
    for _ in range(5):
        state.apply(MessageRefused(received_at=at(now), topic="t", bot=ALPHA, detail="signature"))
    return state


def hold_fallen_collateral(state: GuardState, seconds: float) -> None:
    """Another account stands on a stablecoin that lost a third everywhere."""
    for venue in ("bybit", "okx", "kraken"):
        price = AssetPrice(asset="USDE", quote="USD", bid=0.66, ask=0.66)
        state.apply(AssetPricesSeen(received_at=at(seconds), venue=venue, prices=(price,)))
    held = position(1.0, entry_price=100.0, mark_price=100.0, margin_mode=MarginMode.CROSS)
    collateral = (CollateralHeld(asset="USDE", quantity=5_000.0, venue_price_usd=1.0, venue_haircut=0.0),)
    state.apply(
        structs.replace(
            snapshot(seconds, held),
            account=AccountId("loopback:second"),
            pooling=Pooling.ONE_POOL,
            collateral=collateral,
        )
    )


def stress_everything(state: GuardState, seconds: float) -> None:
    """Three more markets of the venue are under stress."""
    for coin in ("C0", "C1", "C2"):
        market = MarketId(f"loopback:{coin}/USDT:USDT")
        state.market(market)
        give_outlook(state, outlook(seconds, market, regime=Regime.STRESSED, hazard=0.2))


def leave_the_others(state: GuardState, seconds: float) -> None:
    """Two other venues trade the coin a tenth higher."""
    for venue in ("bybit", "okx"):
        market = MarketId(f"{venue}:{SYMBOL}")
        for number in range(9):
            state.apply(features(seconds - 2.0 + 0.25 * number, 110.0, market=market))


def lose_equity(state: GuardState, seconds: float) -> None:
    """A third account has lost more than half of what it had."""
    for step, price in enumerate((100.0, 80.0, 80.0, 80.0)):
        held = position(30.0, entry_price=100.0, mark_price=price)
        equity_usd = 1_000.0 + 30.0 * (price - 100.0)
        told = snapshot(seconds - 1.0 + 0.1 * step, held, equity_usd=equity_usd)
        state.apply(structs.replace(told, account=AccountId("loopback:third")))


def stand_on_a_winner(state: GuardState, seconds: float) -> None:
    """A fourth account loses on a long as much as it has won on a short, which goes first."""
    mode = MarginMode.CROSS
    legs = (
        position(100.0, entry_price=105.0, mark_price=100.0, margin_mode=mode),
        position(-100.0, entry_price=105.0, mark_price=100.0, margin_mode=mode, market=ETH, adl_rank=1.0),
    )
    told = structs.replace(snapshot(seconds, *legs, equity_usd=700.0), wallet_usd=700.0)
    state.apply(structs.replace(told, account=AccountId("loopback:fourth")))


def slow_down(state: GuardState) -> None:
    """The venue's messages came at once, and come two seconds late now."""
    for second in range(700):
        late = 2_000_000_000 if second > 650 else 0
        state.own.lags.observe({"loopback": (at(second), late)}, at(second))


def empty() -> GuardState:
    return new_state()


def cold() -> GuardState:
    state = new_state(ALPHA)
    state.apply(started(0.0, floors=[posture(stops={SYMBOL: StopRule(stop_price=90.0)})]))
    state.apply(features(0.0))
    hold(state, 0.1, position(1.0, liquidation_price=90.0), orders=(STOP,))
    return state


def without_mark() -> GuardState:
    state = new_state(ALPHA)
    for number in range(200):
        state.apply(features(number * 0.25))
    hold(state, 50.0, position(10.0, liquidation_price=99.0), orders=(STOP,))
    return state


def without_book() -> GuardState:
    state = warm_state()
    state.apply(MarketFeatures(received_at=at(WARM_S + 1), market=MARKET, status=BookStatus.EMPTY))
    hold(state, WARM_S + 1, position(10.0, liquidation_price=99.0), orders=(STOP,))
    return state


def with_tiny_depth() -> GuardState:
    state = warm_state()
    now = thin_out(state, bid_size=1e-9, ask_size=1e-9)
    hold(state, now, position(-1e6, liquidation_price=100.1), position(1e6, liquidation_price=99.9))
    return state


def with_no_depth() -> GuardState:
    """A side on which nothing rests, as a venue may show for a moment."""
    state = warm_state()
    sample = features(WARM_S + 1)
    assert sample.bids is not None
    nothing = structs.replace(
        sample.bids,
        curve_usd=tuple(0.0 for _ in sample.bids.curve_usd),
        visible_usd=0.0,
        visible_bps=0.0,
        slippage_bps=tuple(None for _ in sample.bids.slippage_bps),
        slope_usd=None,
        slope_kappa=None,
    )
    for number in range(20):
        moment = at(WARM_S + 1 + number * 0.25)
        state.apply(structs.replace(sample, received_at=moment, book_at=moment, bids=nothing))
    hold(state, WARM_S + 6, position(10.0, liquidation_price=99.0), orders=(STOP,))
    return state


def with_odd_positions() -> GuardState:
    state = warm_state()
    hold(
        state,
        WARM_S,
        position(1.0),
        position(-1.0, liquidation_price=0.0),
        position(2.0, liquidation_price=0.0),
        position(3.0, liquidation_price=120.0),
        position(-3.0, liquidation_price=80.0, margin_mode=MarginMode.ISOLATED),
        equity_usd=0.0,
    )
    state.apply(snapshot(WARM_S, position(1.0), account=state.bots[ALPHA].config.account, orders=None))
    return state


STATES = (
    in_danger,
    empty,
    cold,
    without_mark,
    without_book,
    with_tiny_depth,
    with_no_depth,
    with_odd_positions,
)
each_policy = pytest.mark.parametrize("kind", POLICIES, ids=lambda kind: kind.name)
each_state = pytest.mark.parametrize("state_of", STATES, ids=lambda state_of: state_of.__name__)
MOMENTS = (0.0, 30.0, WARM_S + 4.001, WARM_S + 6.001, WARM_S + 3_600.0)


@each_state
@each_policy
def test_a_policy_never_raises_and_leaves_the_state_as_it_was(kind: type[Any], state_of: Any) -> None:
    state = state_of()
    before = as_data(copy.deepcopy(state))
    for seconds in MOMENTS:
        for found in kind().decide(state, at(seconds)):
            assert found.policy == kind.name
            assert found.severity in Severity
            assert found.counterfactual
            size, leverage = found.limit.max_size, found.limit.max_leverage
            assert size is None or 0.0 <= size < float("inf")
            assert leverage is None or 1.0 <= leverage < float("inf")
    assert as_data(state) == before


@each_state
@each_policy
def test_a_policy_finds_the_same_for_the_same_state(kind: type[Policy], state_of: Any) -> None:
    one, other = state_of(), state_of()
    for seconds in MOMENTS:
        first = list(kind().decide(one, at(seconds)))
        assert first == list(kind().decide(one, at(seconds)))
        assert first == list(kind().decide(other, at(seconds)))


@each_state
@each_policy
def test_asked_about_some_markets_it_finds_what_it_finds_of_them_when_asked_about_all(
    kind: type[Any], state_of: Any
) -> None:
    state = state_of()
    before = as_data(copy.deepcopy(state))
    decide_for = getattr(kind(), "decide_for", None)
    if decide_for is None:
        assert kind in (DistrustBots, DistrustLinks) or only_at_ticks(kind()), (
            "what it finds is about markets: it can be asked about some"
        )
        return
    for seconds in MOMENTS:
        every = list(kind().decide(state, at(seconds)))
        for markets in (frozenset[MarketId](), {MARKET}, {ETH}, {MARKET, ETH}):
            wanted = [found for found in every if found.subject.market in (None, *markets)]
            assert list(decide_for(state, at(seconds), markets)) == wanted
    assert as_data(state) == before


@each_policy
def test_a_policy_that_is_switched_off_finds_nothing(kind: type[Any]) -> None:
    state, off = in_danger(), kind(enabled=False)
    assert [found for seconds in MOMENTS for found in off.decide(state, at(seconds))] == []
    if hasattr(off, "decide_for"):
        assert [found for seconds in MOMENTS for found in off.decide_for(state, at(seconds), {MARKET})] == []


def test_every_policy_finds_something_in_a_state_that_has_everything_wrong() -> None:
    state = in_danger()
    moments = (WARM_S + 4.001, WARM_S + 60.0)
    found = {one.policy for kind in POLICIES for now in moments for one in kind().decide(state, at(now))}

    assert found == {kind.name for kind in POLICIES} - {"keep_restart_floor"}, "the baseline is warm"


@each_policy
def test_the_docstring_is_the_manual_of_every_setting(kind: type[Any]) -> None:
    text = kind.__doc__ or ""
    described = re.findall(r"^        (\w+): ", text.partition("Attributes:")[2], flags=re.MULTILINE)
    assert described == [field.name for field in dataclasses.fields(kind)]


@each_policy
def test_a_policy_is_a_frozen_value(kind: type[Any]) -> None:
    assert kind() == kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().enabled = False


@each_policy
def test_an_unknown_setting_is_refused(kind: type[Any]) -> None:
    with pytest.raises(ValidationError, match="tresholds"):
        TypeAdapter(kind).validate_python({"tresholds": 1.0})


_IMPOSSIBLE = [
    (kind, field.name, value)
    for kind in POLICIES
    for field in dataclasses.fields(kind)
    for value in (float("nan"), float("inf"), float("-inf"), -1e12, 1e12, "many")
    if field.name != "enabled"
]


@pytest.mark.parametrize(("kind", "name", "value"), _IMPOSSIBLE)
def test_an_impossible_setting_is_refused(kind: type[Any], name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        TypeAdapter(kind).validate_python({name: value})


@each_policy
def test_the_bounds_themselves_can_be_set(kind: type[Any]) -> None:
    adapter = TypeAdapter(kind)
    for field in dataclasses.fields(kind):
        metadata = _bounds(kind, field.name)
        for bound in metadata:
            if isinstance(bound, Ge | Le):
                limit = bound.ge if isinstance(bound, Ge) else bound.le
                assert getattr(adapter.validate_python({field.name: limit}), field.name) == limit
            elif isinstance(bound, Gt | Lt):
                beyond = bound.gt if isinstance(bound, Gt) else bound.lt
                with pytest.raises(ValidationError):
                    adapter.validate_python({field.name: beyond})


def _bounds(kind: type[Any], name: str) -> tuple[Any, ...]:
    annotation = get_type_hints(kind, include_extras=True)[name]
    return getattr(annotation, "__metadata__", ())


def test_mark_and_birth_alone_are_enough_for_a_state() -> None:
    state = new_state(ALPHA)
    state.apply(mark(0.0))
    state.apply(born(0.0))
    for kind in POLICIES:
        list(kind().decide(state, at(1.0)))
