"""Outlooks of markets as lines for people, 80 columns wide: the worst first, what is not known in words. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log10

from guard.explain_outlook import MEANS, regime_words
from guard.explain_words import price_words
from guard.forecasts import (
    HORIZONS_S,
    INTERVAL,
    MOVES,
    QUANTILES,
    Amount,
    Direction,
    HazardForecast,
    MapForecast,
    MarketOutlook,
    ReachForecast,
    Regime,
    SignalValue,
    SizingForecast,
    SkillScore,
)
from guard.units import symbol_of, venue_of

BAR = 12
BANDS_SHOWN = 3
SIGNALS_SHOWN = 8
HELD = "regime held"
"""How it begins what ``unknown`` says of a state that nothing known holds."""
_RANK = {
    Regime.CASCADE: 4,
    Regime.STRESSED: 3,
    Regime.WATCH: 2,
    Regime.RECOVERY: 1,
    Regime.NORMAL: 0,
}
_WAYS = {Direction.DOWN: ("falls", "longs", "sold"), Direction.UP: ("rises", "shorts", "bought")}
_WITHIN, _MOVE = HORIZONS_S.index(900), MOVES.index(0.05)


def worst_first(outlooks: Sequence[tuple[int, MarketOutlook]]) -> list[tuple[int, MarketOutlook]]:
    """By state, then by the chance of 5 % within 15 minutes, then by name."""
    return sorted(
        outlooks,
        key=lambda each: (-_rank(each[1]), -(_chance(each[1]) or 0.0), each[1].market),
    )


def table_lines(outlooks: Sequence[MarketOutlook]) -> Iterator[str]:
    """A line for each market."""
    yield f"{'market':<32} {'state':<9} {'OI/depth':>8} {'P(5%,15min)':>13} {'9 of 10 shocks stop in':>12}"
    for each in outlooks:
        name = f"{venue_of(each.market)}:{symbol_of(each.market).partition(':')[0]}"
        down, up = each.hazard(Direction.DOWN), each.hazard(Direction.UP)
        far = [each.reach(direction) for direction in Direction]
        yield (
            f"{name[:32]:<32} {each.regime or '?':<9} {_number(each.oi_depth_ratio):>8} "
            f"{_chance_of(down):>5} / {_chance_of(up):<5} "
            f"-{_far(far[0]):<5} / +{_far(far[1]):<5}"
        ).rstrip()
    yield "Of two numbers the first is of a fall, the second of a rise. More of one: perpguard outlook MARKET"


def outlook_lines(outlook: MarketOutlook) -> Iterator[str]:
    """One market, whole."""
    means = "" if outlook.regime is None else f" ({MEANS[outlook.regime]})"
    yield f"STATE     {regime_words(outlook)}{means}"
    if outlook.resume_share is not None and outlook.resume_share < 1.0:
        share = f"{outlook.resume_share:.0%}" if outlook.resume_share > 0.0 else "nothing"
        yield f"          of what was cut {share} may be resumed now"
    ratio = "not known" if outlook.oi_depth_ratio is None else f"{_number(outlook.oi_depth_ratio)} times"
    price = "not known" if outlook.price is None else price_words(outlook.price)
    yield f"PRICE     {price}; open interest is {ratio} what stands within 1 % (the one-line baseline)"
    unknown = [each for each in outlook.unknown if not each.startswith(HELD)]
    if unknown:
        yield f"UNKNOWN   {', '.join(unknown)}: what rests on that is left out, and is not calm"
    if len(unknown) < len(outlook.unknown):
        yield "          the state stands only because nothing is known that could change it"
    for direction in Direction:
        yield ""
        yield from _way_lines(outlook, direction)
    told = [each for each in outlook.signals if each.value is not None]
    if told:
        yield ""
        yield from _signal_lines(told)
    if outlook.skill:
        yield ""
        yield from _skill_lines(outlook.skill)


def _way_lines(outlook: MarketOutlook, direction: Direction) -> Iterator[str]:
    falls, whose, _ = _WAYS[direction]
    yield f"IF IT {falls.upper()}"
    told, reach, hazard = outlook.map(direction), outlook.reach(direction), outlook.hazard(direction)
    if told is None:
        yield f"  where others' {whose} are liquidated is not known"
    else:
        yield from _map_lines(told, whose)
    if reach is None:
        yield "  how far a cascade would go is not known"
    else:
        yield from _reach_lines(reach, direction)
    if hazard is not None:
        yield from _hazard_lines(hazard)
    sizing = outlook.sizing(direction)
    if sizing is not None:
        yield from _sizing_lines(sizing, whose)


def _map_lines(told: MapForecast, whose: str) -> Iterator[str]:
    amounts = zip(MOVES, told.within, strict=False)
    yield f"  others' {whose} liquidated within (USD, and what should hold {INTERVAL:.0%} of cases):"
    for move, amount in amounts:
        yield f"    {move:>4.0%}  {_amount(amount)}"
    largest = sorted(told.bands, key=lambda band: -band.mass.usd)[:BANDS_SHOWN]
    most = max((band.mass.usd for band in largest), default=0.0)
    if largest:
        yield "  most of it lies between (bands, never lines):"
    for band in largest:
        bar = "#" * max(round(BAR * band.mass.usd / most), 1) if most > 0.0 else ""
        prices = f"{price_words(band.near_price)} .. {price_words(band.far_price)}"
        yield f"    {bar:<{BAR}} {prices:<24} {band.near:>5.1%} .. {band.far:<5.1%} {_amount(band.mass)}"
    exact = f"{told.exact_share:.0%} of it published positions" if told.exact_share > 0.0 else ""
    learned = f"learned from {_usd(told.learned_usd)} liquidated" if told.learned_usd > 0.0 else ""
    rests = "; ".join(each for each in (exact, learned) if each)
    yield f"    {rests or 'nothing liquidated yet to learn from: it rests on what is usual elsewhere'}"


def _factor_lines(reach: ReachForecast, whose: str) -> Iterator[str]:
    thin = "" if reach.liquidity_factor is None else f"thin books x{reach.liquidity_factor:.1f}"
    if reach.forced_factor is None or reach.feedback_factor is None or reach.reproduction is None:
        unknown = "forced orders and feedback are not known: there is no map"
        yield f"    {'; '.join(each for each in (thin, unknown) if each)}"
        return
    yield f"    {thin}, forced orders x{reach.forced_factor:.1f}, feedback x{reach.feedback_factor:.1f}"
    if reach.reproduction_at is None:
        yield f"    no {whose} are known to be forced"
        return
    feeds = "it feeds itself there" if reach.reproduction > 1.0 else "it dies out"
    yield f"    R is at most {reach.reproduction:.2f}, at {_share(reach.reproduction_at)}: {feeds}"


def _reach_lines(reach: ReachForecast, direction: Direction) -> Iterator[str]:
    _, whose, sold = _WAYS[direction]
    quantiles = dict(zip(QUANTILES, reach.quantiles, strict=True))
    yield "  if a shock is under way, within 30 minutes:"
    yield (
        f"    half stop within {_share(quantiles[0.5])}, 3 of 4 within {_share(quantiles[0.75])}, "
        f"9 of 10 within {_share(quantiles[0.9])}"
    )
    chances = ", ".join(
        f"{move:.0%}: {_share(chance)}" for move, chance in zip(MOVES, reach.probability, strict=True)
    )
    yield f"    chance to reach {chances}"
    if reach.barrier_usd is not None:
        barriers = ", ".join(
            f"{move:.0%}: {_usd(usd)}" for move, usd in zip(MOVES, reach.barrier_usd, strict=True)
        )
        yield f"    for that others must have {sold} {barriers}"
    yield from _factor_lines(reach, whose)
    if reach.extrapolated_from is not None:
        yield f"    depth beyond {_share(reach.extrapolated_from)} was not seen: it is extrapolated"


def _hazard_lines(hazard: HazardForecast) -> Iterator[str]:
    yield f"  chance of it {'':<6}" + "".join(f"{seconds // 60:>5} min" for seconds in HORIZONS_S)
    for at, move in enumerate(MOVES):
        cells = "".join(f"{_share(row[at]):>9}" for row in hazard.probability)
        yield f"    {move:>4.0%} or more {'':<2}{cells}"
    yield (
        f"    a shock comes within 15 minutes: {_share(hazard.shock)}; "
        f"it would go on to 5 %: {_share(hazard.vulnerability)}"
    )


def _sizing_lines(sizing: SizingForecast, whose: str) -> Iterator[str]:
    yield f"  of their usual leverage {whose} should hold {_share(sizing.leverage_share)}"
    danger, usual = _share(sizing.danger), _share(sizing.usual)
    yield f"    (danger {danger}, usually {usual}: 10 % within 15 minutes, were shocks to go on)"


def _signal_lines(told: Sequence[SignalValue]) -> Iterator[str]:
    loudest = sorted(told, key=lambda each: (-abs(each.alarm or 0.0), each.name))[:SIGNALS_SHOWN]
    yield "OBSERVABLES (the loudest; -1 calming, 0 usual, 1 alarming)"
    for each in loudest:
        alarm = each.alarm or 0.0
        bar = ("-" if alarm < 0.0 else "#") * round(abs(alarm) * BAR)
        value = f"{_number(each.value)} {each.unit}"
        about = f"  {each.about}" if each.about else ""
        yield f"  {each.name:<26} {value:<18} {alarm:>5.2f} {bar:<{BAR}}{about}".rstrip()


def _skill_lines(skill: Sequence[SkillScore]) -> Iterator[str]:
    yield "WHO COUNTS HOW MUCH (skill: 1 is perfect, 0 no better than the baseline)"
    by_target: dict[str, list[SkillScore]] = {}
    for each in skill:
        by_target.setdefault(each.target, []).append(each)
    is_judged = {target: any(each.skill is not None for each in them) for target, them in by_target.items()}
    for target in (target for target in by_target if is_judged[target]):
        for each in by_target[target]:
            known = "nothing has come due yet"
            if each.skill is not None:
                known = f"skill {each.skill:+.2f} over {each.baseline}, {each.count:,.0f} cases"
            yield f"  {target:<14} {each.estimator:<11} {each.weight:>4.0%}  {known}"
    if not all(is_judged.values()):
        yield "  nothing has come due yet, so that they count as at the start:"
    for target in (target for target in by_target if not is_judged[target]):
        weights = ", ".join(f"{each.estimator} {each.weight:.0%}" for each in by_target[target])
        yield f"  {target:<14} {weights}"


def _rank(outlook: MarketOutlook) -> int:
    return -1 if outlook.regime is None else _RANK[outlook.regime]


def _chance(outlook: MarketOutlook) -> float | None:
    return max((each.probability[_WITHIN][_MOVE] for each in outlook.hazards), default=None)


def _chance_of(hazard: HazardForecast | None) -> str:
    return "?" if hazard is None else _share(hazard.probability[_WITHIN][_MOVE])


def _far(reach: ReachForecast | None) -> str:
    return "?" if reach is None else _share(reach.quantiles[QUANTILES.index(0.90)])


def _amount(amount: Amount) -> str:
    return f"{_usd(amount.usd)} ({_usd(amount.low_usd)} .. {_usd(amount.high_usd)})"


def _share(share: float) -> str:
    """As many digits as are worth reading.

    >>> _share(0.4321), _share(0.0432), _share(0.00432), _share(0.00001), _share(0.0)
    ('43%', '4.3%', '0.43%', '<0.01%', '0%')
    """
    if share <= 0.0:
        return "0%"
    if share < 0.0001:
        return "<0.01%"
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}" if share >= 0.00995 else f"{share:.2%}"


def _usd(usd: float) -> str:
    """Two digits and a unit.

    >>> _usd(1_234_567.0), _usd(98_765.0), _usd(12.0), _usd(0.0), _usd(2.5e9)
    ('1.2M', '99k', '12', '0', '2.5B')
    """
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if usd >= 0.9995 * unit:
            value = usd / unit
            return f"{value:.1f}{name}" if value < 9.95 else f"{value:.0f}{name}"
    return f"{usd:.0f}"


def _number(value: float | None) -> str:
    """Three digits.

    >>> _number(12.345), _number(None), _number(0.0012345), _number(0.0), _number(12345.0)
    ('12.3', '?', '0.00123', '0', '12,345')
    """
    if value is None:
        return "?"
    if value == 0.0:
        return "0"
    digits = max(2 - floor(log10(abs(value))), 0)
    return f"{value:,.{digits}f}"
