"""Draws an episode: a world's parameters and a scenario's impulses, from a seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from adapters.simulation.laboratory.behaviour import usual_deviation, volatility_of
from adapters.simulation.laboratory.parameters import (
    ArbitrageParameters,
    CrowdParameters,
    Episode,
    FlowParameters,
    FundingParameters,
    Impulse,
    ImpulseKind,
    LiquidationParameters,
    MakerParameters,
    SymbolParameters,
    ValueParameters,
    VenueParameters,
)
from adapters.simulation.worlds.ranges import (
    ALTS,
    COMMON,
    LEVERAGE_LONGS,
    LEVERAGE_SHORTS,
    PRICE,
    SMALL,
    START_MS_FIRST,
    START_MS_LAST,
    SYMBOLS,
    VENUES,
    Drawn,
    Lot,
    rounded,
    tilted,
)
from adapters.simulation.worlds.scenarios import SCENARIOS, Rule, Scenario, Where
from adapters.simulation.worlds.variants import EVERY_MAKER, WORLDS, MakerKind, World

Value = TypeVar("Value")


def draw_episode(
    world: str,
    scenario: str,
    seed: int,
    *,
    symbols: Sequence[str] | None = None,
    venues: Sequence[str] | None = None,
    duration_s: float | None = None,
) -> Episode:
    """Draw an episode; equal arguments give equal episodes.

    ``symbols`` and ``venues`` leave the others out and change nothing of those that stay. With ``duration_s`` the
    onset comes proportionally sooner or later; what the scenario does keeps its own pace and may be cut off.
    ValueError names a world, scenario, symbol or venue that does not exist, and those that do.
    """
    frame = _known("world", WORLDS, world)
    plan = _known("scenario", SCENARIOS, scenario)
    names = tuple(SYMBOLS) if symbols is None else tuple(symbols)
    places = tuple(VENUES) if venues is None else tuple(venues)
    for name in names:
        _known("symbol", SYMBOLS, name)
    for name in places:
        _known("venue", VENUES, name)
    if not names or not places or len(set(names)) < len(names) or len(set(places)) < len(places):
        raise ValueError("an episode needs one or more symbols and venues, each once")
    if duration_s is not None and not 0 < duration_s < float("inf"):
        raise ValueError(f"an episode lasts longer than 0 s, not {duration_s} s")

    lot = Lot(world, seed)
    before_s = lot.value("before_s" if plan.has_onset else f"{scenario}.before_s", plan.before_s)
    whole_s = before_s + lot.value(f"{scenario}.after_s", plan.after_s)
    if duration_s is not None:
        before_s, whole_s = rounded(before_s * duration_s / whole_s), float(duration_s)
    start_ms = START_MS_FIRST + int(lot.share("start") * (START_MS_LAST - START_MS_FIRST))
    return Episode(
        world=world,
        scenario=scenario,
        seed=seed,
        start_at_ns=start_ms * 1_000_000,
        duration_s=whole_s,
        onset_s=before_s if plan.has_onset else None,
        venues=tuple(_venue(lot, name) for name in places),
        symbols=tuple(_symbol(lot, frame, name) for name in names),
        impulses=tuple(_impulses(lot, frame, plan, before_s, names, places)),
        **_traders(lot, frame),
        **_sampling(plan),
    )


def _known(what: str, known: Mapping[str, Value], name: str) -> Value:
    found = known.get(name)
    if found is None:
        raise ValueError(f"there is no {what} {name!r}: choose one of {', '.join(known)}")
    return found


def _venue(lot: Lot, name: str) -> VenueParameters:
    facts = VENUES[name]
    return VenueParameters(
        venue=name, share=lot.value(f"venue.{name}.share", facts.share), liquidation_feed=facts.feed
    )


def _symbol(lot: Lot, world: World, name: str) -> SymbolParameters:
    facts = SYMBOLS[name]
    depth_ratio = lot.value(f"symbol.{name}.depth_ratio", world.depth_ratio)
    open_ratio = lot.value("open_interest_ratio", world.open_interest_ratio) * lot.value(
        f"symbol.{name}.open_interest_own", world.open_interest_own
    )
    ticks = round(facts.price * lot.value(f"symbol.{name}.price", PRICE) / float(facts.tick))
    return SymbolParameters(
        symbol=name,
        tick=Decimal(facts.tick),
        lot=Decimal(facts.lot),
        price_start=float(Decimal(facts.tick) * ticks),
        depth_usd=rounded(facts.depth_usd * depth_ratio),
        half_spread_bps=facts.half_spread_bps,
        open_interest_usd=rounded(facts.open_interest_usd * open_ratio),
        volume_day_usd=rounded(facts.volume_day_usd * depth_ratio),
        beta=facts.beta,
        volatility_day=facts.volatility_day,
        brackets=facts.brackets,
    )


def _traders(lot: Lot, world: World) -> dict[str, Any]:
    tilt = lot.value("tilt", world.tilt)
    liquidation: dict[str, Any] = {**lot.values("liquidation", {**COMMON.liquidation, **world.liquidation})}
    crowd = lot.values("crowd", {**COMMON.crowd, **world.crowd})
    if world.is_excess_hedged:
        crowd.update(_hedged(lot, world, crowd))
    return {
        "value": ValueParameters(**lot.values("value", {**COMMON.value, **world.value})),
        "makers": tuple(_maker(lot, kind) for kind in world.makers),
        "crowd": CrowdParameters(
            leverage_longs=tilted(LEVERAGE_LONGS, tilt),
            leverage_shorts=tilted(LEVERAGE_SHORTS, tilt),
            **_whole(crowd, "positions"),
        ),
        "flow": _flow(lot, world),
        "arbitrage": ArbitrageParameters(**lot.values("arbitrage", {**COMMON.arbitrage, **world.arbitrage})),
        "liquidation": LiquidationParameters(**liquidation),
        "funding": FundingParameters(),
    }


def _hedged(lot: Lot, world: World, crowd: Mapping[str, float]) -> dict[str, float]:
    """What is beyond the base of open interest is hedged on both sides, besides what is anyway."""
    ratio = lot.value("open_interest_ratio", world.open_interest_ratio)
    leveraged = min(1.0, world.hedged_base / ratio)
    return {
        name: rounded(1.0 - (1.0 - crowd[name]) * leveraged)
        for name in ("hedged_longs_share", "hedged_shorts_share")
    }


def _maker(lot: Lot, kind: MakerKind) -> MakerParameters:
    drawn = lot.values(f"makers.{kind.name}", {**EVERY_MAKER, **kind.drawn})
    return MakerParameters(name=kind.name, share=kind.share, **_whole(drawn, "levels"))


def _whole(drawn: Mapping[str, float], *names: str) -> dict[str, Any]:
    """Make whole numbers of what counts something."""
    return {name: round(value) if name in names else value for name, value in drawn.items()}


def _sampling(plan: Scenario) -> dict[str, Any]:
    return _whole(plan.sampling, "sample_ms")


def _impulses(
    lot: Lot, world: World, plan: Scenario, onset_s: float, symbols: Sequence[str], venues: Sequence[str]
) -> Iterator[Impulse]:
    rules = list(plan.rules)
    if plan.choices:
        rules += plan.choices[int(lot.share(f"{plan.name}.choice") * len(plan.choices))]
    for rule in rules:
        prefix = f"before.{rule.name}" if rule.is_before else f"{plan.name}.{rule.name}"
        if lot.share(f"{prefix}.chance") >= rule.chance:
            continue
        for impulse in _placed(lot, plan, rule, prefix, symbols, venues):
            ratio = _world_ratio(lot, world, rule)
            at_s = impulse.at_s * onset_s if rule.is_before else onset_s + impulse.at_s
            yield replace(impulse, at_s=rounded(max(0.0, at_s)), size=_sized(rule, impulse.size * ratio))


def _placed(
    lot: Lot, plan: Scenario, rule: Rule, prefix: str, symbols: Sequence[str], venues: Sequence[str]
) -> Iterator[Impulse]:
    """Draw a rule's impulse for each of those that it concerns."""

    def drawn(suffix: str, venue: str | None = None, symbol: str | None = None) -> Impulse:
        def value(name: str, one: Drawn) -> float:
            return lot.value(f"{prefix}{suffix}.{name}", one)

        return Impulse(
            kind=rule.kind,
            at_s=value("after_s", rule.after_s),
            duration_s=value("duration_s", rule.duration_s),
            size=value("size", rule.size),
            venue=venue,
            symbol=symbol,
        )

    match rule.where:
        case Where.ALL:
            yield drawn("")
        case Where.EACH:
            yield from (drawn(f".{name}", symbol=name) for name in symbols)
        case Where.ALTS:
            yield from (drawn(f".{name}", symbol=name) for name in symbols if name in ALTS)
        case Where.SMALL:
            yield from (drawn(f".{name}", symbol=name) for name in symbols if name in SMALL)
        case Where.VENUE:
            at = int(lot.share(f"{plan.name}.venue") * len(venues))
            yield drawn("", venue=venues[at])


def _world_ratio(lot: Lot, world: World, rule: Rule) -> float:
    if not rule.of_world:
        return 1.0
    ratios = {
        ImpulseKind.VALUE: world.shock_ratio,
        ImpulseKind.SELL: world.forced_ratio,
        ImpulseKind.WITHDRAW: world.withdraw_ratio,
    }
    ratio = ratios.get(rule.kind)
    return 1.0 if ratio is None else lot.value(f"ratio.{rule.kind}", ratio)


def _sized(rule: Rule, size: float) -> float:
    """Keep within what its kind can be: what is left of willingness and how much of arbitrage stops are at most 1."""
    if rule.kind in (ImpulseKind.WITHDRAW, ImpulseKind.ARBITRAGE_STOP):
        return rounded(min(1.0, max(0.0, size)))
    return rounded(size)


def _flow(lot: Lot, world: World) -> FlowParameters:
    """Draw who takes. Trend followers are drawn by their gain: what they add to a five minutes' move within as long.

    At a gain of 1 no market is calm, so it is the largest of the symbols', that of the calmest one, which is drawn.
    """
    drawn = lot.values("flow", {**COMMON.flow, **world.flow})
    value = lot.values("value", {**COMMON.value, **world.value})
    deviation = min(
        usual_deviation(volatility_of(facts.beta, value["volatility_day"], facts.volatility_day), 300.0)
        for facts in SYMBOLS.values()
    )
    gain = drawn.pop("momentum_gain")
    depths = gain * value["spot_depth_ratio"] * deviation / 0.01 / 5.0
    return FlowParameters(**drawn, momentum_depths=rounded(depths))
