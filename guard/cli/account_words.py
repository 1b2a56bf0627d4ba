"""Assessments of accounts as lines for people: the nearest first, and what is not known said in words. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from guard.account.overview import CoinExposure, Held, Nearest, Overview, SharedMargin
from guard.account.risk import AccountRisk, Containment, HoldingRisk, LegRisk, StressRisk
from guard.account.time_to_liquidation import ACTIONS_MIN, NOT_FORESEEN_S, actions_left
from guard.explain_words import list_words, money_words, price_words
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.units import BPS_PER_UNIT, MarketId, symbol_of

LEGS_SHOWN = 10
"""Positions of an account that are told without being asked for all; the nearest are among them."""

_SOURCES = {
    TermsSource.VENUE: "the venue's tiers",
    TermsSource.STORED: "the venue's tiers as they were last stored: it could not be asked",
    TermsSource.FORMULA: "no tiers known: a formula of our own, made to ask for more than venues do",
}

_DIRECTIONS = {
    "common down": "all fall by the same",
    "common up": "all rise by the same",
    "betas down": "each falls by its beta",
    "betas up": "each rises by its beta",
    "correlation one": "every position loses at once",
}

_PARTS = {
    "venue": "the venue's own haircut",
    "depeg": "what it has lost of its peg, over venues",
    "slippage": "the price of selling it now",
    "stress": "what is taken off while books are thin",
}


def overview_lines(overview: Overview) -> Iterator[str]:
    """All accounts side by side."""
    yield "NEAREST TO LIQUIDATION"
    if overview.worst is None and not overview.unknown:
        holds = (
            "Nothing is liquidated by any move that was looked at."
            if overview.coins
            else "No position is held."
        )
        yield f"  {holds}"
    for each in overview.nearest:
        yield f"  {each.account}: {nearest_words(each)}"
    for account, market in overview.unknown:
        yield f"  {account}: {symbol_of(market)}: NOT KNOWN where it is liquidated; it may be nearer than any of these"
    yield ""
    yield "ALL ACCOUNTS TOGETHER"
    yield f"  net {signed_money(overview.net_usd)}, gross {money_words(overview.gross_usd)}"
    for coin in overview.coins:
        yield f"  {coin_words(coin)}"
    for shared in overview.shared:
        yield f"  {shared_words(shared)}"


def nearest_words(nearest: Nearest) -> str:
    """One line on what of an account is liquidated first."""
    if nearest.distance_bps <= 0.0:
        market = "" if nearest.market is None else f", {symbol_of(nearest.market)} in it"
        return f"{pool_words(nearest.pool)}{market}: FAILS NOW by our reckoning"
    away = way_words(nearest.distance_bps)
    if nearest.direction is not None:
        worst = "" if nearest.market is None else f"; {symbol_of(nearest.market)} loses most"
        words = f"{nearest.pool} fails if {direction_words(nearest.direction)}, {away}{worst}"
        known = nearest.seconds_now is not None or nearest.seconds_stressed is not None
        return f"{words}; {times_words(nearest.seconds_now, nearest.seconds_stressed)}" if known else words
    times = times_words(nearest.seconds_now, nearest.seconds_stressed)
    market = "?" if nearest.market is None else symbol_of(nearest.market)
    return f"{market} is liquidated {away} away, {times}"


def direction_words(name: str) -> str:
    """How prices move together, by the name of ``guard.account.stress``; another name stands for itself."""
    return _DIRECTIONS.get(name, name)


def coin_words(coin: CoinExposure) -> str:
    """One coin over all venues."""
    unpriced = (
        f"; without {list_words([symbol_of(each) for each in coin.unpriced])}, whose mark price is not known"
        if coin.unpriced
        else ""
    )
    where = list_words(coin.accounts)
    if not coin.gross_usd:
        return f"{coin.coin:<8} held, value not known ({where}){unpriced}"
    gross = money_words(coin.gross_usd)
    return f"{coin.coin:<8} net {signed_money(coin.net_usd)}, gross {gross} ({where}){unpriced}"


def shared_words(shared: SharedMargin) -> str:
    """Markets that are liquidated together."""
    markets = list_words([symbol_of(each) for each in shared.markets])
    return f"{shared.account}, {shared.pool}: {markets} share one margin and are liquidated together"


def account_lines(
    risk: AccountRisk, held: Sequence[Held], *, legs_max: int | None = LEGS_SHOWN
) -> Iterator[str]:
    """One account, whole."""
    yield str(risk.account)
    if not risk.legs and not risk.missing:
        yield "  It holds no position any more."
        return
    yield from (f"  {line}" for line in balance_lines(risk))
    ordered = sorted(risk.legs, key=_urgency)
    shown = ordered if legs_max is None else ordered[:legs_max]
    for leg in shown:
        yield ""
        yield from (f"  {line}" for line in leg_lines(leg, risk))
    if len(shown) < len(ordered):
        yield ""
        yield f"  and {len(ordered) - len(shown)} more, further away; --all tells them"
    if risk.legs_left_out:
        yield ""
        yield f"  and {risk.legs_left_out} more, further away, which the record does not hold"
    sections = (
        ("Common moves (all legs together, collateral with them)", stress_lines(risk.stress)),
        ("Collateral", (line for holding in risk.holdings for line in holding_lines(holding))),
        ("What would help (worked out, nothing of it is done)", containment_lines(risk)),
        ("Who holds what", map(held_words, held)),
        ("Not known, so not safe", iter(risk.missing)),
    )
    for heading, lines in sections:
        told = list(lines)
        if told:
            yield ""
            yield f"  {heading}"
            yield from (f"    {line}" for line in told)


def balance_lines(risk: AccountRisk) -> Iterator[str]:
    """Equity, maintenance margin and how much of the one the other takes."""
    if risk.equity_usd is None:
        yield "equity: not known"
    else:
        venue = risk.venue_equity_usd
        differs = venue is not None and abs(venue - risk.equity_usd) > 0.001 * max(abs(venue), 1.0)
        theirs = f"; the venue counts {money_words(venue)}" if venue is not None and differs else ""
        yield f"equity {money_words(risk.equity_usd)} by our valuation of its collateral{theirs}"
    needs = "not known" if risk.maintenance_usd is None else money_words(risk.maintenance_usd)
    yield f"maintenance margin: {needs}"
    ours = "not known" if risk.margin_ratio is None else percent(risk.margin_ratio)
    theirs = "does not say" if risk.venue_margin_ratio is None else f"says {percent(risk.venue_margin_ratio)}"
    yield f"margin used (liquidated at 100%): {ours} by our reckoning, the venue {theirs}"
    if any(leg.mark_price is None for leg in risk.legs):
        yield "positions: not all have a known value"
    yield f"positions net {signed_money(risk.net_usd)}, gross {money_words(risk.gross_usd)}"
    if risk.exposed_fall_usd and risk.exposed_rise_usd:
        yield (
            f"a fall of everything hits {money_words(risk.exposed_fall_usd)}, a rise "
            f"{money_words(risk.exposed_rise_usd)}: hedges count as far as auto-deleveraging leaves them"
        )


def leg_lines(leg: LegRisk, risk: AccountRisk) -> Iterator[str]:
    """One market of an account: where it is liquidated by whose word, how far, and how much time that is."""
    mark = "not known" if leg.mark_price is None else price_words(leg.mark_price)
    yield f"{symbol_of(leg.market)}  {side_words(leg)}, mark price {mark}  [{pool_words(leg.pool)}]"
    yield f"  {where_words(leg, risk)}"
    if leg.kind is not LiquidationKind.FAILED and (leg.price is not None or leg.venue_price is not None):
        yield f"  {venue_words(leg)}"
    if leg.distance_bps:
        yield f"  {times_words(leg.seconds_now, leg.seconds_stressed)}; {action_words(leg, risk)}"
    yield f"  by {'terms that are not known' if leg.terms is None else _SOURCES[leg.terms]}"
    if leg.adl_rank is not None:
        whose = "by its profit and leverage, about" if leg.adl_is_estimate else "the venue says"
        yield f"  auto-deleveraging: {whose} {percent(leg.adl_rank)} of the way to the front of its queue"
    if leg.first_share is not None and leg.first_share < 1.0:
        yield f"  the venue closes {percent(leg.first_share)} of it first"
    if leg.kind is LiquidationKind.MISSING:
        yield from (f"  {words}" for words in leg.missing)


def pool_words(pool: str) -> str:
    """A pool, shorter: of an isolated one the market is told beside it."""
    return "isolated" if pool.startswith("isolated") else pool


def side_words(leg: LegRisk) -> str:
    """Size and side."""
    if leg.size == 0.0:
        both = "" if leg.gross_size is None else f" of {abs(leg.gross_size) / 2:,.6g} each"
        return f"hedged, long and short{both}"
    return sized(leg.size, leg.market)


def where_words(leg: LegRisk, risk: AccountRisk) -> str:
    """Where it is liquidated, or why no price tells that."""
    match leg.kind:
        case LiquidationKind.FAILED:
            return (
                f"FAILS NOW by our reckoning: at present prices its margin does not reach{_doubts(leg, risk)}"
            )
        case LiquidationKind.PRICE if leg.nearest is not None or leg.price is not None:
            price = leg.nearest if leg.nearest is not None else leg.price
            assert price is not None
            if leg.distance_bps is None or leg.mark_price is None:
                return f"liquidated at {price_words(price)}; how far that is, is not known"
            side = "below" if price < leg.mark_price else "above"
            return f"liquidated at {price_words(price)}, {way_words(leg.distance_bps)} {side} the mark"
        case LiquidationKind.CANNOT:
            return "no price of its own market liquidates it; look at the common moves for what does"
        case LiquidationKind.ACCOUNT_LEVEL:
            return (
                "has no price of its own: the venue liquidates the account as a whole, see the common moves"
            )
        case _:
            return "NOT KNOWN where it is liquidated, which is never safe"


def _doubts(leg: LegRisk, risk: AccountRisk) -> str:
    """What speaks against our own word that something has failed already."""
    said = []
    if risk.venue_margin_ratio is not None and risk.venue_margin_ratio < 1.0 and leg.pool.startswith("cross"):
        said.append(f"the venue says that {percent(risk.venue_margin_ratio)} of its margin is used")
    if leg.venue_price is not None:
        said.append(f"the venue says that it is liquidated at {price_words(leg.venue_price)}")
    if leg.terms is TermsSource.FORMULA or any("formula" in words for words in leg.missing):
        said.append("not all tiers are known, and ours ask for more than venues do")
    return f"; but {list_words(said)}" if said else ""


def venue_words(leg: LegRisk) -> str:
    """Our price beside the venue's."""
    if leg.price is None:
        return "that is the venue's word; by our own reckoning no price is known"
    ours = f"our price is {price_words(leg.price)}"
    if leg.venue_price is None:
        return f"{ours}; the venue told none, which says nothing"
    venue = f"{ours}, the venue says {price_words(leg.venue_price)}"
    if leg.difference_bps is None:
        return venue
    if abs(leg.difference_bps) < 0.05:
        return f"{venue}: the same"
    return f"{venue}: ours is {abs(leg.difference_bps):,.1f} bps {'higher' if leg.difference_bps > 0 else 'lower'}"


def times_words(now_s: float | None, stressed_s: float | None) -> str:
    """Both times."""
    return f"{time_words(stressed_s)} at stressed speed, {time_words(now_s)} at present speed"


def time_words(seconds: float | None) -> str:
    """A time until liquidation.

    >>> time_words(62.3), time_words(4_000.0), time_words(None), time_words(NOT_FORESEEN_S)
    ('62 s', '67 min', 'not known', 'weeks')
    """
    if seconds is None or not isfinite(seconds):
        return "not known"
    for below, divisor, unit in (
        (10.0, 1.0, ""),
        (120.0, 1.0, "s"),
        (7_200.0, 60.0, "min"),
        (172_800.0, 3_600.0, "h"),
    ):
        if seconds < below:
            return f"{seconds / divisor:.0f} {unit}" if unit else f"{seconds:.1f} s"
    return f"{seconds / 86_400:.0f} days" if seconds < NOT_FORESEEN_S / 2 else "weeks"


def action_words(leg: LegRisk, risk: AccountRisk) -> str:
    """What an action takes, and how many fit."""
    if risk.action_s is None:
        return "how long an action takes is not known"
    how = "assumed, too few were measured" if risk.action_is_assumed else "measured"
    action = f"an action takes {time_words(risk.action_s)} ({how})"
    left = actions_left(leg.seconds_now, leg.seconds_stressed, risk.action_s)
    if left is None:
        return action
    if left < 1.0:
        return f"{action}: TOO LATE for one under stress"
    if left < ACTIONS_MIN:
        return f"{action}: TIME FOR {int(left)} ONLY"
    return f"{action}: time for {'more than 100' if left > 100.0 else int(left)}"


def stress_lines(stress: Sequence[StressRisk]) -> Iterator[str]:
    """Each direction of each pool; one line of a pool that holds in all of them."""
    for pool in dict.fromkeys(each.pool for each in stress):
        tried = [each for each in stress if each.pool == pool]
        if all(each.distance_bps is None for each in tried):
            yield f"{pool}: holds however far all fall, rise, or move against it"
        else:
            yield from map(stress_words, tried)


def stress_words(stress: StressRisk) -> str:
    """One direction in which everything moves together."""
    if_all = f"{stress.pool}: if {direction_words(stress.direction)}"
    if stress.distance_bps is None:
        return f"{if_all}, it holds however far"
    worst = "" if stress.worst is None else f"; {symbol_of(stress.worst)} loses most"
    if stress.distance_bps <= 0.0:
        return f"{if_all}: it fails as it is{worst}"
    words = f"{if_all}, it fails after {way_words(stress.distance_bps)}{worst}"
    if stress.venue_distance_bps == stress.own_distance_bps:
        return words
    venue, own = (
        "never" if each is None else way_words(each)
        for each in (stress.venue_distance_bps, stress.own_distance_bps)
    )
    return f"{words} ({own} with collateral as we value it, {venue} as the venue does)"


def holding_lines(holding: HoldingRisk) -> Iterator[str]:
    """One collateral: how much of it counts, and which of the reasons decides."""
    ours = "price over venues not known"
    if holding.reference_usd is not None:
        ours = f"{price_words(holding.reference_usd)} USD each over venues"
    venue = "does not say" if holding.venue_usd is None else f"says {price_words(holding.venue_usd)}"
    yield f"{holding.quantity:,.8g} {holding.asset}: {ours}, this venue {venue}"
    if holding.reference_usd is None:
        yield f"  {percent(holding.haircut)} of its value is not counted"
    else:
        counted = (
            holding.quantity
            * holding.reference_usd
            * (1.0 if holding.quantity < 0.0 else 1.0 - holding.haircut)
        )
        yield f"  counts for {money_words(counted)}{'; left away is the largest of' if holding.haircut > 0.0 else ''}"
    for name, part in sorted(holding.parts.items(), key=lambda each: -each[1]):
        if part <= 0.0:
            continue
        decides = " <- decides" if part == holding.haircut else ""
        yield f"    {percent(part):>6}  {_PARTS.get(name, name)}{decides}"
    if holding.correlated_with is not None:
        share = percent(holding.share)
        yield f"  falls with {holding.correlated_with} when positions lose; {share} of all collateral"
    for words in holding.missing:
        yield f"  not known: {words.removeprefix(f'{holding.asset}: ')}"


def containment_lines(risk: AccountRisk) -> Iterator[str]:
    """The steps; they are worked out less often than the rest, and told only while they are of this account still."""
    nearest = min((each.distance_bps for each in risk.stress if each.distance_bps is not None), default=None)
    known = [step for step in risk.containment if _is_of_now(step, nearest)]
    if len(known) < len(risk.containment):
        yield "the account has changed since this was worked out; it follows within a minute, if there is need"
    yield from map(containment_words, known)


def _is_of_now(step: Containment, nearest_bps: float | None) -> bool:
    if step.before_bps is None or nearest_bps is None:
        return step.before_bps is nearest_bps
    return abs(step.before_bps - nearest_bps) <= 0.25 * nearest_bps + 25.0


def containment_words(step: Containment) -> str:
    """What one step would change."""
    cost = "" if step.cost_usd <= 0.0 else f"; costs about {money_words(step.cost_usd)}"
    if step.after_bps is not None and step.after_bps <= (step.before_bps or 0.0):
        return step.step  # its words say that it does not help
    before = "never" if step.before_bps is None else f"after {way_words(step.before_bps)}"
    before = before if step.before_bps != 0.0 else "it fails as it is"
    after = (
        "nothing would liquidate it"
        if step.after_bps is None
        else f"it would fail after {way_words(step.after_bps)}"
    )
    return f"{step.step}: {after}, now {before}{cost}"


def held_words(held: Held) -> str:
    """What one bot, or nobody of ours, holds."""
    who = "nobody of ours (by hand, or another program)" if held.bot is None else f"bot {held.bot}"
    value = "value not known" if held.usd is None else money_words(abs(held.usd))
    return f"{symbol_of(held.market)}: {sized(held.size, held.market)}, {value}: {who}"


def sized(size: float, market: MarketId) -> str:
    """A size in base units, its side in words.

    >>> sized(-0.5, MarketId("okx:BTC/USDT:USDT")), sized(1e9, MarketId("okx:PEPE/USDT:USDT"))
    ('0.5 BTC short', '1,000,000,000 PEPE long')
    """
    amount = f"{abs(size):,.0f}" if abs(size) >= 1e5 else f"{abs(size):,.6g}"
    return f"{amount} {symbol_of(market).partition('/')[0]} {'short' if size < 0.0 else 'long'}"


def way_words(bps: float) -> str:
    """A distance, in percent as traders say it; small ones in bps too.

    >>> way_words(289.6), way_words(12.3)
    ('2.9%', '0.123% (12.3 bps)')
    """
    share = percent(bps / BPS_PER_UNIT)
    return f"{share} ({bps:.3g} bps)" if bps < 100.0 else share


def percent(ratio: float) -> str:
    """A share in percent.

    >>> percent(0.34), percent(0.0123), percent(15.0), percent(0.0)
    ('34%', '1.23%', '1,500%', '0%')
    """
    value = 100.0 * ratio
    return f"{value:,.0f}%" if abs(value) >= 99.95 else f"{value:.3g}%"


def signed_money(usd: float) -> str:
    """USD with its sign in words: long or short.

    >>> signed_money(-1_500_000.0), signed_money(0.0)
    ('1.5 million USD short', '0 USD')
    """
    if usd == 0.0:
        return money_words(0.0)
    return f"{money_words(abs(usd))} {'long' if usd > 0 else 'short'}"


def _urgency(leg: LegRisk) -> tuple[int, float]:
    """What fails first, then what nobody knows, then by distance, then what cannot be liquidated."""
    if leg.kind is LiquidationKind.FAILED:
        return 0, 0.0
    if leg.distance_bps is not None:
        return 2, leg.distance_bps
    return (1 if leg.kind is LiquidationKind.MISSING else 3), 0.0
