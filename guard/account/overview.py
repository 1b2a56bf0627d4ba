"""All accounts side by side: who holds what, net and gross over venues, what shares a margin. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import log1p

from msgspec import Struct

from guard.account.positions import AccountView
from guard.account.risk import AccountRisk, Holder, LegRisk, StressRisk
from guard.account.sensible import sensible_number
from guard.account.time_to_liquidation import NOT_FORESEEN_S
from guard.leverage.margin_pool import LiquidationKind
from guard.units import BPS_PER_UNIT, AccountId, BotId, MarketId, symbol_of

_MULTIPLIER = re.compile(r"^(?:10{3,}|1M|k)(?=[A-Z]{3})")
"""Venues sell small coins by the thousand or the million: 1000PEPE and kPEPE are PEPE."""


class CoinExposure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One base coin over all venues and accounts, USD at mark; ``net_usd`` is signed, long positive.

    ``unpriced`` are positions without a mark price: they are in neither sum.
    """

    coin: str
    net_usd: float = 0.0
    gross_usd: float = 0.0
    accounts: tuple[AccountId, ...] = ()
    unpriced: tuple[MarketId, ...] = ()


class SharedMargin(Struct, frozen=True, kw_only=True):
    """Markets of one account that are liquidated together; ``distance_bps`` is the nearest of any direction."""

    account: AccountId
    pool: str
    markets: tuple[MarketId, ...]
    net_usd: float
    gross_usd: float
    distance_bps: float | None = None
    direction: str | None = None


class Held(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody holds in one market of one account; ``bot`` ``None`` is nobody of ours, ``usd`` at mark."""

    account: AccountId
    market: MarketId
    size: float
    bot: BotId | None = None
    usd: float | None = None


class Nearest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is liquidated first: a market by its own price, or a pool by a common move (``direction``)."""

    account: AccountId
    pool: str
    distance_bps: float
    market: MarketId | None = None
    direction: str | None = None
    seconds_now: float | None = None
    seconds_stressed: float | None = None


class Overview(Struct, frozen=True, kw_only=True):
    """All accounts; see the parts.

    ``nearest`` has one entry an account at most, the nearest first. ``unknown`` are legs of which nobody knows where
    they are liquidated: they may be nearer than any.
    """

    coins: tuple[CoinExposure, ...]
    shared: tuple[SharedMargin, ...]
    held: tuple[Held, ...]
    nearest: tuple[Nearest, ...]
    unknown: tuple[tuple[AccountId, MarketId], ...]
    net_usd: float
    gross_usd: float
    missing: tuple[str, ...]

    @property
    def worst(self) -> Nearest | None:
        """The nearest of all, ``None`` if nothing is known to be liquidated anywhere."""
        return self.nearest[0] if self.nearest else None


def overview_of(risks: Iterable[AccountRisk]) -> Overview:
    """Put the assessments of all accounts side by side, each account once."""
    known = list(risks)
    coins = _coins(known)
    nearest = [each for each in map(_nearest, known) if each is not None]
    return Overview(
        coins=coins,
        shared=tuple(shared for risk in known for shared in _shared(risk)),
        held=tuple(held for risk in known for held in _held(risk)),
        nearest=tuple(sorted(nearest, key=lambda each: each.distance_bps)),
        unknown=tuple(
            (risk.account, leg.market) for risk in known for leg in risk.legs if _is_unknown(leg, risk)
        ),
        net_usd=sum(coin.net_usd for coin in coins),
        gross_usd=sum(coin.gross_usd for coin in coins),
        missing=tuple(f"{risk.account}: {words}" for risk in known for words in risk.missing),
    )


def holders_of(view: AccountView) -> tuple[Holder, ...]:
    """Who holds what of an account: what each bot says, and what is settled to belong to none of them.

    Without any bot all of it belongs to none.
    """
    found = [
        Holder(market=position.market, size=position.size, bot=bot)
        for bot, positions in view.held_by_bot.items()
        for position in positions
        if sensible_number(position.size)
    ]
    markets = dict.fromkeys(position.market for position in view.positions)
    for market in markets:
        foreign = view.foreign(market) if view.held_by_bot else view.size(market)
        if sensible_number(foreign):
            found.append(Holder(market=market, size=foreign))
    return tuple(found)


def coin_of(market: MarketId) -> str:
    """The base coin of a market, without the multiplier that some venues put in front.

    >>> coin_of(MarketId("binanceusdm:1000PEPE/USDT:USDT")), coin_of(MarketId("hyperliquid:kPEPE/USDC:USDC"))
    ('PEPE', 'PEPE')
    """
    return _MULTIPLIER.sub("", symbol_of(market).partition("/")[0])


@dataclass(slots=True)
class _Sum:
    net_usd: float = 0.0
    gross_usd: float = 0.0
    accounts: dict[AccountId, None] = field(default_factory=dict)
    unpriced: list[MarketId] = field(default_factory=list)


def _coins(risks: list[AccountRisk]) -> tuple[CoinExposure, ...]:
    sums: dict[str, _Sum] = {}
    for risk in risks:
        for leg in risk.legs:
            known, usd = sums.setdefault(coin_of(leg.market), _Sum()), _usd(leg.size, leg)
            known.accounts[risk.account] = None
            if usd is None:
                known.unpriced.append(leg.market)
            else:
                known.net_usd += usd
                known.gross_usd += _gross_usd(leg)
    found = [
        CoinExposure(
            coin=coin,
            net_usd=known.net_usd,
            gross_usd=known.gross_usd,
            accounts=tuple(known.accounts),
            unpriced=tuple(known.unpriced),
        )
        for coin, known in sums.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.gross_usd, each.coin)))


def _shared(risk: AccountRisk) -> Iterable[SharedMargin]:
    pools: dict[str, list[LegRisk]] = {}
    for leg in risk.legs:
        pools.setdefault(leg.pool, []).append(leg)
    for pool, legs in pools.items():
        if len(legs) < 2:
            continue
        nearest = _nearest_stress(risk, pool)
        yield SharedMargin(
            account=risk.account,
            pool=pool,
            markets=tuple(leg.market for leg in legs),
            net_usd=sum(_usd(leg.size, leg) or 0.0 for leg in legs),
            gross_usd=sum(map(_gross_usd, legs)),
            distance_bps=None if nearest is None else nearest.distance_bps,
            direction=None if nearest is None else nearest.direction,
        )


def _held(risk: AccountRisk) -> Iterable[Held]:
    legs = {leg.market: leg for leg in risk.legs}
    for holder in risk.holders:
        leg = legs.get(holder.market)
        yield Held(
            account=risk.account,
            market=holder.market,
            size=holder.size,
            bot=holder.bot,
            usd=None if leg is None else _usd(holder.size, leg),
        )


def _nearest(risk: AccountRisk) -> Nearest | None:
    """The nearest leg or common move of an account; a leg before a move that is as near."""
    leg = min(
        (leg for leg in risk.legs if leg.distance_bps is not None),
        key=lambda leg: leg.distance_bps or 0.0,
        default=None,
    )
    stress = _nearest_stress(risk)
    if stress is not None and (leg is None or (stress.distance_bps or 0.0) < (leg.distance_bps or 0.0)):
        worst = next(
            (leg for leg in risk.legs if (leg.pool, leg.market) == (stress.pool, stress.worst)), None
        )
        return Nearest(
            account=risk.account,
            pool=stress.pool,
            distance_bps=stress.distance_bps or 0.0,
            market=stress.worst,
            direction=stress.direction,
            seconds_now=None if worst is None else _seconds_of(stress, worst, worst.seconds_now),
            seconds_stressed=None if worst is None else _seconds_of(stress, worst, worst.seconds_stressed),
        )
    if leg is None:
        return None
    return Nearest(
        account=risk.account,
        pool=leg.pool,
        distance_bps=leg.distance_bps or 0.0,
        market=leg.market,
        seconds_now=leg.seconds_now,
        seconds_stressed=leg.seconds_stressed,
    )


def _seconds_of(stress: StressRisk, worst: LegRisk, seconds: float | None) -> float | None:
    """The time of a common move at the speed of the market that loses most on it, as its own way and time tell it."""
    if seconds is None or not worst.distance_bps or stress.distance_bps is None:
        return None
    if seconds >= NOT_FORESEEN_S:
        return seconds
    return seconds * log1p(stress.distance_bps / BPS_PER_UNIT) / log1p(worst.distance_bps / BPS_PER_UNIT)


def _nearest_stress(risk: AccountRisk, pool: str | None = None) -> StressRisk | None:
    found = [
        stress
        for stress in risk.stress
        if stress.distance_bps is not None and (pool is None or stress.pool == pool)
    ]
    return min(found, key=lambda stress: stress.distance_bps or 0.0, default=None)


def _is_unknown(leg: LegRisk, risk: AccountRisk) -> bool:
    """Of an account that fails as a whole its stress distance tells instead."""
    if leg.distance_bps is not None or leg.kind in (LiquidationKind.CANNOT, LiquidationKind.FAILED):
        return False
    is_told = any(stress.pool == leg.pool for stress in risk.stress)
    return not (leg.kind is LiquidationKind.ACCOUNT_LEVEL and is_told)


def _usd(size: float, leg: LegRisk) -> float | None:
    return None if leg.mark_price is None else size * leg.mark_price


def _gross_usd(leg: LegRisk) -> float:
    """Both sides of a hedged pair."""
    return abs(_usd(leg.size if leg.gross_size is None else leg.gross_size, leg) or 0.0)
