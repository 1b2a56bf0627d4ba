"""What collateral is worth to the venue and to us, and how much of it depends on what it stands behind. Pure.

The venue liquidates by *its* valuation: its own price less its own haircut. Ours is the price over venues
(``guard.account.pegs``) less the largest of what speaks against the asset. Neither bounds the other. Where an asset
falls on that venue alone, only the venue's valuation falls and liquidates; where it falls everywhere while the venue
goes on counting it at par, only ours does. Pools are solved by both, and the nearer distance counts.

Ours lets a depeg count twice, as price and as haircut: an asset that has left its peg is on the move, and what it can
still be sold for is less than its last price. Where positions are paid in one kind of cash all is counted in that: if
USDT falls, collateral in USDT falls no more than the losses that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import expm1, inf, isfinite, isnan

from msgspec import structs

from guard.account.correlation import Exposures, correlated_with, exposures_of
from guard.account.peg_settings import AssetKind, fold, house_of
from guard.account.pegs import Depeg, PegBook, Reference
from guard.account.pools import settle_of
from guard.account.positions import AccountView
from guard.account.risk import HoldingRisk
from guard.account.sensible import sensible_number
from guard.account.terms import counted_usd, haircuts_at
from guard.events import (
    AccountSnapshot,
    CollateralHeld,
    MarginMode,
    Pooling,
    PositionSource,
)
from guard.leverage.margin_pool import Holding
from guard.margin_terms import CollateralTerms
from guard.units import BPS_PER_UNIT, Nanoseconds, venue_of

Terms = Callable[[str], CollateralTerms | None]
"""How the account's venue counts an asset; ``None`` where nobody told."""
Slippage = Callable[[str, float], float | None]
"""Bps below mid at which so many USD of an asset would be sold now; ``None`` where no book of it is watched."""


@dataclass(frozen=True, slots=True)
class HaircutSettings:
    """What is left away of collateral: ``base + stress x how far the books have thinned (0..1)``, at least.

    Cash has none: only its depeg and the venue's own haircut count.

    Attributes:
        stable_base: of a stablecoin, share of its value.
        stable_stress: more of it when no book is left.
        wrapped_base: of a claim on another asset, yield-bearing ones among them.
        wrapped_stress: more of it when no book is left.
        coin_base: of a coin; that its price moves is counted apart.
        coin_stress: more of it when no book is left.
        correlated_share_max: share of all collateral that may fall with the positions before it is said.
    """

    stable_base: float = 0.01
    stable_stress: float = 0.10
    wrapped_base: float = 0.03
    wrapped_stress: float = 0.25
    coin_base: float = 0.02
    coin_stress: float = 0.15
    correlated_share_max: float = 0.20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a share, 0 to 1, not {value}")

    def of(self, kind: AssetKind, stress: float) -> float:
        """The least haircut of a kind of asset at ``stress`` 0..1."""
        match kind:
            case AssetKind.CASH:
                return 0.0
            case AssetKind.STABLE:
                return min(1.0, self.stable_base + self.stable_stress * stress)
            case AssetKind.WRAPPED:
                return min(1.0, self.wrapped_base + self.wrapped_stress * stress)
            case AssetKind.COIN:
                return min(1.0, self.coin_base + self.coin_stress * stress)


def haircut(
    *,
    venue: float | None,
    depeg: Depeg | None,
    slippage_bps: float | None,
    least: float,
) -> tuple[float, dict[str, float]]:
    """The largest of what speaks against an asset, 0..1, and each part by its name; what is unknown has no part.

    Args:
        venue: what the venue leaves away, 0..1.
        depeg: how far it is below what it stands for: ``1 - exp(-deviation)``.
        slippage_bps: what selling all of it now would cost.
        least: ``base + b x stress``, see ``HaircutSettings.of``.

    >>> share, parts = haircut(venue=0.05, depeg=Depeg(value=0.3567), slippage_bps=40.0, least=0.01)
    >>> round(share, 4), sorted(parts)
    (0.3, ['depeg', 'slippage', 'stress', 'venue'])
    """
    found = {
        "venue": venue,
        "depeg": None if depeg is None else -expm1(-depeg.value),
        "slippage": None if slippage_bps is None else slippage_bps / BPS_PER_UNIT,
        "stress": least,
    }
    parts = {name: _share(part) for name, part in found.items() if part is not None and not isnan(part)}
    return max(parts.values(), default=0.0), parts


def _share(part: float) -> float:
    return min(max(part, 0.0), 1.0)


def venue_haircut(
    terms: CollateralTerms | None, value_usd: float, price_usd: float | None = None
) -> float | None:
    """What a venue leaves away of a holding worth ``value_usd`` altogether, 0..1; ``None`` where nobody told.

    ``price_usd`` is that of a unit: some venues count floors in units, and then they move with it.

    >>> from guard.margin_terms import HaircutTier
    >>> tiers = (HaircutTier(floor_usd=0.0, haircut=0.1), HaircutTier(floor_usd=100.0, haircut=0.5))
    >>> round(venue_haircut(CollateralTerms(asset="X", tiers=tiers), 300.0), 4)
    0.3667
    >>> round(venue_haircut(CollateralTerms(asset="X", tiers=tiers, unit_usd=1.0), 300.0, price_usd=2.0), 4)
    0.2333
    """
    if terms is None:
        return None
    if not isfinite(value_usd) or value_usd <= 0.0:
        return terms.tiers[0].haircut if terms.tiers else 1.0
    return _share(1.0 - counted_usd(haircuts_at(terms, price_usd), value_usd) / value_usd)


def holdings_of(
    snapshot: AccountSnapshot,
    terms: Terms,
    pegs: PegBook,
    *,
    stress: float,
    now: Nanoseconds,
    settings: HaircutSettings | None = None,
    slippage: Slippage | None = None,
) -> tuple[tuple[Holding, ...], tuple[Holding, ...], tuple[HoldingRisk, ...]]:
    """Value an account's collateral: as we do, as the venue does, and why, asset by asset; see the module.

    Args:
        snapshot: of the account; nothing where it does not tell ``collateral``.
        terms: how its venue counts an asset.
        pegs: prices over venues.
        stress: 0..1, how far the books have thinned.
        now: Unix nanoseconds.
        settings: the least haircuts.
        slippage: what selling would cost; left out, half the spread over venues is all that is known of it.

    Where each settle asset backs only what is paid in it, an asset is counted in itself: at 1 if it is cash, without
    any haircut, because neither its price nor a haircut liquidates there. A coin is tied to the market of a position
    in it or in what it is a claim on, so that it falls with it. What the venue takes for no collateral is left out. An
    asset of which nobody tells a price counts nothing, and a debt in it makes the pool unknown.
    """
    if snapshot.collateral is None:
        return (), (), ()
    desk = _Desk(
        snapshot=snapshot,
        terms=terms,
        pegs=pegs,
        stress=_share(stress) if isfinite(stress) else 1.0,
        now=now,
        settings=settings or HaircutSettings(),
        slippage=slippage,
        own_venue=house_of(venue_of(snapshot.account)),
        exposures=exposures_of(snapshot.positions),
        money=money_of(snapshot, pegs),
    )
    valued = [desk.value(held) for held in snapshot.collateral if held.quantity != 0.0]
    counted = [each for each in valued if each.counts]
    total_usd = sum(max(0.0, each.worth_usd) for each in counted)
    return (
        tuple(each.own for each in counted),
        tuple(each.venue for each in counted),
        tuple(
            structs.replace(each.risk, share=min(1.0, max(0.0, each.worth_usd) / total_usd))
            if each.counts and total_usd > 0.0
            else each.risk
            for each in valued
        ),
    )


def asset_betas(assets: Iterable[str], pegs: PegBook) -> dict[str, float]:
    """How far assets move when coins do, for directions of stress: 1 for coins and claims on them, 0 for money.

    >>> asset_betas(("USDT", "USDe", "wBETH", "SOL"), PegBook())
    {'USDT': 0.0, 'USDe': 0.0, 'wBETH': 1.0, 'SOL': 1.0}
    """
    return {asset: 1.0 if pegs.kind(pegs.underlying(asset)) is AssetKind.COIN else 0.0 for asset in assets}


def assets_to_price(
    views: Iterable[AccountView], pegs: PegBook, always: Iterable[str] = ()
) -> frozenset[str]:
    """Whose prices over venues matter now: collateral that backs more than what is paid in it, and ``always``.

    None where each asset backs only its own positions, or all are paid in the only one: no price of it liquidates
    them. With what matters comes all that it takes to price it, see ``PegBook.watch_list``.
    """
    held = set(always)
    for view in views:
        told = view.snapshots.get(PositionSource.VENUE)
        if told is None or told.pooling is Pooling.BY_SETTLE_ASSET:
            continue
        names = {fold(each.asset) for each in told.collateral or () if each.quantity != 0.0}
        money = money_of(told, pegs)
        is_idle = not any(position.size != 0.0 for position in told.positions)
        plain = {name for name in names if name == money or (is_idle and pegs.kind(name) is AssetKind.CASH)}
        held |= names - plain
    return pegs.watch_list(held)


def money_of(snapshot: AccountSnapshot, pegs: PegBook) -> str | None:
    """The one cash in which all positions of a pool are paid, where all collateral backs all of them.

    Profit and maintenance are so many of it, whatever it is worth: collateral has to be counted in it too.
    """
    if snapshot.pooling is Pooling.BY_SETTLE_ASSET:
        return None
    settles = {
        fold(settle_of(position))
        for position in snapshot.positions
        if position.margin_mode is not MarginMode.ISOLATED and position.size != 0.0
    }
    money = settles.pop() if len(settles) == 1 else None
    return money if money is not None and pegs.kind(money) is AssetKind.CASH else None


@dataclass(frozen=True, slots=True)
class _Valued:
    own: Holding
    venue: Holding
    risk: HoldingRisk
    counts: bool

    @property
    def worth_usd(self) -> float:
        return self.own.value_usd if isfinite(self.own.value_usd) else 0.0


@dataclass(slots=True, kw_only=True)
class _Desk:
    """What each asset of one account is valued with."""

    snapshot: AccountSnapshot
    terms: Terms
    pegs: PegBook
    stress: float
    now: Nanoseconds
    settings: HaircutSettings
    slippage: Slippage | None
    own_venue: str
    exposures: Exposures
    money: str | None

    def value(self, held: CollateralHeld) -> _Valued:
        missing: list[str] = []
        unsaid: list[str] = []
        reference = self.pegs.usd_price(held.asset, self.now, leaving_out=self.own_venue)
        terms = self.terms(held.asset)
        share, parts = self._haircut(held, reference, terms, missing)
        own_price = self._own_price(held, reference, missing)
        venue_price = _known(held.venue_price_usd)
        if venue_price is None:
            venue_price = own_price
        told = self._venue_share(held, terms, venue_price)
        if told is None:
            told = share
            unsaid.append(f"{held.asset}: what the venue leaves away of it")
        own = Holding(asset=held.asset, quantity=held.quantity, price_usd=own_price, haircut=share)
        venue = Holding(asset=held.asset, quantity=held.quantity, price_usd=venue_price, haircut=told)
        own, venue = (
            self._in_its_pool(own, self._own_money(held)),
            self._in_its_pool(venue, self._venue_money),
        )
        if self._counts_in_itself(held.asset):
            parts = {"venue": own.haircut} if own.haircut > 0.0 else {}
        risk = HoldingRisk(
            asset=held.asset,
            quantity=sensible_number(held.quantity) or 0.0,
            reference_usd=None if reference is None else reference.price_usd,
            venue_usd=_known(held.venue_price_usd),
            haircut=own.haircut,
            parts=parts,
            correlated_with=None
            if held.quantity <= 0.0
            else correlated_with(held.asset, self.exposures, self.pegs, self.own_venue),
            missing=self._said(held, missing, unsaid),
        )
        is_none = not held.is_collateral or (terms is not None and not terms.tiers)
        return _Valued(own, venue, risk, counts=not (is_none and held.quantity > 0.0))

    def _said(self, held: CollateralHeld, of_price: list[str], of_haircut: list[str]) -> tuple[str, ...]:
        """What is not known and matters: where an asset is counted in itself its price liquidates nothing."""
        if sensible_number(held.quantity) is None:
            return (f"{held.asset}: how much of it is held",)
        if self.snapshot.pooling is Pooling.BY_SETTLE_ASSET:
            return ()
        if fold(held.asset) == self.money:
            return tuple(of_haircut)
        return (*of_price, *of_haircut)

    def _haircut(
        self,
        held: CollateralHeld,
        reference: Reference | None,
        terms: CollateralTerms | None,
        missing: list[str],
    ) -> tuple[float, dict[str, float]]:
        kind = self.pegs.kind(held.asset)
        depeg = self.pegs.depeg(held.asset, self.now, leaving_out=self.own_venue)
        if depeg is None:
            missing.append(f"{held.asset}: whether it is at its peg")
        elif depeg.is_cold:
            missing.append(f"{held.asset}: its normal ratio is not learned yet")
        price = None if reference is None else reference.price_usd
        if price is None:
            price = _known(held.venue_price_usd)
        value_usd = max(0.0, held.quantity * (price or 0.0))
        return haircut(
            venue=self._venue_share(held, terms, price),
            depeg=depeg,
            slippage_bps=self._slippage_bps(held.asset, value_usd, kind, reference, missing),
            least=self.settings.of(kind, self.stress),
        )

    def _slippage_bps(
        self,
        asset: str,
        value_usd: float,
        kind: AssetKind,
        reference: Reference | None,
        missing: list[str],
    ) -> float | None:
        if kind is AssetKind.CASH:
            return None
        found = None if self.slippage is None else self.slippage(asset, value_usd)
        if found is None:
            missing.append(f"{asset}: no book of it is watched: what selling it would cost")
        floor = None if reference is None or not reference.venues else reference.half_spread_bps
        known = [each for each in (found, floor) if each is not None]
        return max(known, default=None)

    def _venue_share(
        self, held: CollateralHeld | None, terms: CollateralTerms | None, price: float | None
    ) -> float | None:
        """The account's own word, or the venue's terms where that says nothing."""
        if held is None:
            return None
        if held.venue_haircut is not None and isfinite(held.venue_haircut):
            return _share(held.venue_haircut)
        return venue_haircut(terms, held.quantity * (price or 0.0), price)

    def _own_price(self, held: CollateralHeld, reference: Reference | None, missing: list[str]) -> float:
        if reference is not None:
            if reference.is_disputed:
                missing.append(f"{held.asset}: venues disagree about its price; the worse one counts")
            missing += [
                f"{name}: no venue tells its price in USD: counted as 1" for name in reference.assumed
            ]
            return reference.price_usd if held.quantity > 0.0 else reference.dearest_usd
        why = self.pegs.why_unknown(held.asset, self.now, leaving_out=self.own_venue)
        told = _known(held.venue_price_usd)
        if told is None and self.pegs.kind(held.asset) is AssetKind.CASH:
            told = 1.0
        if told is not None:
            missing.append(f"{why}: valued as the venue does")
            return told
        if held.quantity > 0.0:
            missing.append(f"{why}: it counts nothing")
            return 0.0
        missing.append(f"{why}: what is owed in it is not known")
        return inf

    def _in_its_pool(self, holding: Holding, money_usd: float) -> Holding:
        """As it counts where it stands, in the money that its pool counts in; see ``holdings_of``."""
        kind = self.pegs.kind(holding.asset)
        if self.snapshot.pooling is Pooling.BY_SETTLE_ASSET:
            price = 1.0 if kind is AssetKind.CASH else holding.price_usd
            return replace(holding, price_usd=price, haircut=0.0)
        if fold(holding.asset) == self.money:
            told = self._venue_share(self._held(holding.asset), self.terms(holding.asset), 1.0)
            return replace(holding, price_usd=1.0, haircut=told or 0.0)
        market = None
        if kind is not AssetKind.CASH:
            market = self.exposures.markets.get(self.pegs.underlying(holding.asset))
        return replace(holding, price_usd=holding.price_usd / money_usd, market=market)

    def _own_money(self, held: CollateralHeld) -> float:
        """What the pool's money is worth by us, USD; in dispute, so that holdings count least and debts most."""
        seen = None
        if self.money is not None:
            seen = self.pegs.usd_price(self.money, self.now, leaving_out=self.own_venue)
        if seen is None:
            return 1.0
        return seen.dearest_usd if held.quantity > 0.0 else seen.price_usd

    def _counts_in_itself(self, asset: str) -> bool:
        """Whether it backs what is paid in it, so that neither its price nor a haircut of ours liquidates anything."""
        return self.snapshot.pooling is Pooling.BY_SETTLE_ASSET or fold(asset) == self.money

    @property
    def _venue_money(self) -> float:
        held = None if self.money is None else self._held(self.money)
        return 1.0 if held is None else _known(held.venue_price_usd) or 1.0

    def _held(self, asset: str) -> CollateralHeld | None:
        return next(
            (held for held in self.snapshot.collateral or () if fold(held.asset) == fold(asset)), None
        )


def _known(price: float | None) -> float | None:
    return price if price is not None and isfinite(price) and price > 0.0 else None
