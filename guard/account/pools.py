"""From what an account says to the pools that are liquidated together. Pure: no I/O, no clock.

A pool is named by what stands behind it: ``isolated MARKET long`` (or short), ``cross USDT`` for the cross positions
that USDT backs, ``cross`` where all collateral backs all of them. What could not be known and was put in by us is
told in words, and nothing in a pool that lacks anything counts as safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from guard.account.venue_rules import VenueRules
from guard.account.venue_rules.fees import with_fee_taken
from guard.events import AccountSnapshot, MarginMode, Pooling, Position
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.solver import missing_of, state_at
from guard.margin_terms import ContractKind, TermsSource, TierTable
from guard.units import MarketId, symbol_of

QUOTE = "USD"
"""The asset of a holding whose asset nobody told."""

UNEXPLAINED_SHARE = 0.02
"""The venue's maintenance may differ from ours by so much for prices of another moment; what is more is demanded
for something that we do not see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool with what it was made of.

    ``venue`` values collateral as the venue does, which decides when it liquidates; ``own`` as we do. They are one
    object where they do not differ. ``guessed`` says what was put in where nobody told it, ``missing`` what makes
    that no price of ours can be believed. ``may_isolate``: its venue lets one of its positions be isolated.
    """

    name: str
    positions: tuple[Position, ...]
    venue: MarginPool
    own: MarginPool
    terms: Mapping[MarketId, TermsSource]
    guessed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    is_cross: bool = False
    is_portfolio: bool = False
    may_isolate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """The collateral of an account as the venue values it, and as we do; USD of each unit after no haircut."""

    venue: tuple[Holding, ...]
    own: tuple[Holding, ...]


def pools_of(
    snapshot: AccountSnapshot | None,
    positions: Iterable[Position],
    *,
    rules: VenueRules,
    table: Callable[[Position], TierTable | None],
    mark: Callable[[Position], float | None],
    valued: Valued | None,
) -> tuple[Pool, ...]:
    """Sort open positions into pools.

    Args:
        snapshot: of the account as whose word ``positions`` is; ``None`` for what only bots tell.
        positions: open ones, of one account.
        rules: of its venue.
        table: the tiers of a position's market, ``None`` where there are none at all.
        mark: the mark price of a position's market, ``None`` where nobody knows any price.
        valued: collateral asset by asset, ``None`` where it is not told so.
    """
    crossed: dict[str, list[Position]] = {}
    pools: list[Pool] = []
    one_pool = snapshot is not None and snapshot.pooling is not Pooling.BY_SETTLE_ASSET
    for position in positions:
        if position.margin_mode is MarginMode.ISOLATED or _stands_alone(position, snapshot, valued):
            pools.append(_isolated(position, rules, table, mark))
        else:
            crossed.setdefault("" if one_pool else settle_of(position), []).append(position)
    locked, unsaid = _locked((pool.positions[0] for pool in pools), mark)
    if valued is not None:
        valued = Valued(venue=_without(valued.venue, locked), own=_without(valued.own, locked))
    for settle, together in crossed.items():
        pool = _crossed(settle, together, snapshot, rules, table, mark, valued, is_only=len(crossed) == 1)
        lacks = tuple(words for asset, words in unsaid if one_pool or asset == settle)
        pools.append(replace(pool, missing=(*pool.missing, *lacks)) if lacks else pool)
    return tuple(_told_to_lack(pool) for pool in _with_unexplained(pools, snapshot, rules))


def _told_to_lack(pool: Pool) -> Pool:
    """What the solver cannot work with is missing as much as what nobody said."""
    odd = tuple(dict.fromkeys((*missing_of(pool.venue), *missing_of(pool.own))))
    return replace(pool, missing=(*pool.missing, *odd)) if odd else pool


def settle_of(position: Position) -> str:
    """The asset in which a position is margined and paid.

    >>> settle_of(Position(market=MarketId("binanceusdm:BTC/USDT:USDT"), size=1.0))
    'USDT'
    >>> settle_of(Position(market=MarketId("binancecoinm:BTC/USD:BTC-260925"), size=1.0))
    'BTC'
    """
    if position.settle is not None:
        return position.settle
    return symbol_of(position.market).rpartition(":")[2].partition("-")[0]


def _locked(
    isolated: Iterable[Position], mark: Callable[[Position], float | None]
) -> tuple[dict[str, float], list[tuple[str, str]]]:
    """What stands behind isolated positions, by asset: wallets hold it as well. And of which it is not known."""
    locked: dict[str, float] = {}
    unsaid: list[tuple[str, str]] = []
    for position in isolated:
        asset, margin = settle_of(position), _set_aside(position, mark(position))
        if margin is None:
            words = f"how much of the {asset} is set aside for {symbol_of(position.market)}"
            unsaid.append((asset, words))
        else:
            locked[asset] = locked.get(asset, 0.0) + margin
    return locked, unsaid


def _set_aside(position: Position, price: float | None) -> float | None:
    """The margin of an isolated position in its settle asset: as told, else as its leverage would make it."""
    if position.kind is not ContractKind.INVERSE:
        told = position.margin_usd if position.margin_usd is not None else position.margin
        size, entry = position.size, position.entry_price or price
        return told if told is not None else _by_leverage(abs(size) * (entry or 0.0), position.leverage)
    if position.margin is not None:
        return position.margin
    if position.margin_usd is not None and price:
        return position.margin_usd / price
    contracts, entry = position.contracts_usd, position.entry_price or price
    return None if not contracts or not entry else _by_leverage(abs(contracts) / entry, position.leverage)


def _by_leverage(value: float, leverage: float | None) -> float | None:
    return value / leverage if leverage and value else None


def _without(holdings: Iterable[Holding], locked: Mapping[str, float]) -> tuple[Holding, ...]:
    return tuple(
        replace(held, quantity=held.quantity - locked[held.asset]) if held.asset in locked else held
        for held in holdings
    )


def _stands_alone(position: Position, snapshot: AccountSnapshot | None, valued: Valued | None) -> bool:
    """Whether nothing of the account is known that could back it: then its own margin or leverage has to tell."""
    if valued is not None or snapshot is None:
        return snapshot is None
    told = snapshot.equity_usd is not None or snapshot.wallet_usd is not None
    return not told or position.margin_usd is not None


def _leg(
    position: Position,
    rules: VenueRules,
    table: Callable[[Position], TierTable | None],
    mark: Callable[[Position], float | None],
    terms: dict[MarketId, TermsSource],
    guessed: list[str],
    missing: list[str],
) -> Leg | None:
    symbol = symbol_of(position.market)
    price = mark(position)
    entry = position.entry_price
    tiers = table(position)
    if price is None or not (isfinite(price) and price > 0.0):
        missing.append(f"no price of {symbol}")
    if entry is None or not (isfinite(entry) and entry > 0.0):
        missing.append(f"no entry price in {symbol}")
    size = position.contracts_usd if position.kind is ContractKind.INVERSE else position.size
    if size is None or not isfinite(size) or size == 0.0:
        missing.append(f"no size in {symbol}")
    if tiers is None:
        missing.append(f"no margin tiers of {symbol}")
    elif tiers.source is TermsSource.FORMULA:
        guessed.append(f"margin tiers of {symbol}: a formula of ours, which asks for more than venues do")
    elif tiers.source is TermsSource.STORED:
        guessed.append(f"margin tiers of {symbol}: as stored before, not heard from the venue now")
    if not price or not entry or not size or tiers is None:
        return None
    terms[position.market] = tiers.source
    mode = position.margin_mode or MarginMode.CROSS
    return Leg(
        market=position.market,
        size=size,
        entry_price=entry,
        mark_price=price,
        tiers=tiers.tiers,
        kind=position.kind,
        unit=tiers.unit,
        closing_fee=rules.closing_fee,
        maintenance_at_entry=mode in rules.maintenance_at_entry,
    )


def _isolated(
    position: Position,
    rules: VenueRules,
    table: Callable[[Position], TierTable | None],
    mark: Callable[[Position], float | None],
) -> Pool:
    terms: dict[MarketId, TermsSource] = {}
    guessed: list[str] = []
    missing: list[str] = []
    leg = _leg(position, rules, table, mark, terms, guessed, missing)
    holdings = () if leg is None else (_margin_of(position, leg, guessed, missing),)
    pool = MarginPool(
        legs=() if leg is None else (leg,), holdings=tuple(held for held in holdings if held is not None)
    )
    pool = with_fee_taken(pool, rules)
    side = "long" if position.size > 0.0 else "short"
    return Pool(
        name=f"isolated {symbol_of(position.market)} {side}",
        positions=(position,),
        venue=pool,
        own=pool,
        terms=terms,
        guessed=tuple(guessed),
        missing=tuple(missing),
    )


def _margin_of(position: Position, leg: Leg, guessed: list[str], missing: list[str]) -> Holding | None:
    """The margin of an isolated position, in coins for an inverse one: these fall with its price."""
    if leg.kind is ContractKind.INVERSE:
        coins = position.margin
        if coins is None and position.margin_usd is not None:
            coins = position.margin_usd / leg.mark_price
        if coins is None and position.leverage:
            coins = abs(leg.size) / leg.entry_price / position.leverage
            guessed.append("isolated margin: as the leverage would make it")
        if coins is not None:
            return Holding(
                asset=settle_of(position), quantity=coins, price_usd=leg.mark_price, market=position.market
            )
    else:
        margin = position.margin_usd if position.margin_usd is not None else position.margin
        if margin is None and position.leverage:
            margin = abs(leg.size) * leg.entry_price / position.leverage
            guessed.append("margin: as the leverage would make it, if it stood alone")
        if margin is not None:
            return Holding(asset=settle_of(position), quantity=margin, price_usd=1.0)
    missing.append(f"neither margin nor leverage in {symbol_of(position.market)}")
    return None


def _crossed(
    settle: str,
    positions: list[Position],
    snapshot: AccountSnapshot | None,
    rules: VenueRules,
    table: Callable[[Position], TierTable | None],
    mark: Callable[[Position], float | None],
    valued: Valued | None,
    *,
    is_only: bool,
) -> Pool:
    terms: dict[MarketId, TermsSource] = {}
    guessed: list[str] = []
    missing: list[str] = []
    made = [_leg(position, rules, table, mark, terms, guessed, missing) for position in positions]
    legs = tuple(leg for leg in made if leg is not None)
    by_coin = {settle_of(position): position.market for position in positions if _is_inverse(position)}
    if valued is None:
        venue = own = _wallet(snapshot, settle, legs, missing, is_only=is_only)
    else:
        venue = _backing(valued.venue, settle, by_coin, legs)
        own = _backing(valued.own, settle, by_coin, legs)
        # Counted as nothing it would make a pool fail that stands: what is not known is no reason to act.
        unpriced = (held.asset for held in (*venue, *own) if held.quantity > 0.0 and held.price_usd == 0.0)
        missing += [f"no price of {asset}, which is collateral" for asset in dict.fromkeys(unpriced)]
    other_usd = 0.0 if snapshot is None else snapshot.other_maintenance_usd
    pool = MarginPool(
        legs=legs,
        holdings=venue,
        other_maintenance_usd=other_usd,
        # Each settle asset by itself: COIN-M.
        in_coin=bool(settle) and all(leg.kind is ContractKind.INVERSE for leg in legs),
    )
    return Pool(
        name=f"cross {settle}".rstrip(),
        positions=tuple(positions),
        venue=pool,
        own=pool if own == venue else replace(pool, holdings=own),
        terms=terms,
        guessed=tuple(guessed),
        missing=tuple(missing),
        is_cross=True,
        may_isolate=not rules.shared_all_or_none
        or snapshot is None
        or snapshot.pooling is Pooling.BY_SETTLE_ASSET,
        is_portfolio=snapshot is not None and snapshot.pooling is Pooling.PORTFOLIO,
    )


def _is_inverse(position: Position) -> bool:
    return position.kind is ContractKind.INVERSE


def _backing(
    holdings: Iterable[Holding], settle: str, by_coin: Mapping[str, MarketId], legs: tuple[Leg, ...]
) -> tuple[Holding, ...]:
    """What backs a pool: all of it, or one asset; a coin that inverse positions are paid in moves with their price."""
    marks = {leg.market: leg.mark_price for leg in legs}
    found = []
    for held in holdings:
        if settle and held.asset != settle:
            continue
        market = by_coin.get(held.asset) if held.market is None else None
        if market in marks:
            found.append(replace(held, market=market, price_usd=marks[market]))
        else:
            found.append(held)
    return tuple(found)


def _wallet(
    snapshot: AccountSnapshot | None,
    settle: str,
    legs: tuple[Leg, ...],
    missing: list[str],
    *,
    is_only: bool,
) -> tuple[Holding, ...]:
    """One sum of money, where collateral is not told asset by asset."""
    wallet_usd = None if snapshot is None else snapshot.wallet_usd
    if wallet_usd is None and snapshot is not None and snapshot.equity_usd is not None:
        wallet_usd = snapshot.equity_usd - sum(_profit_usd(position) for position in snapshot.positions)
    if snapshot is not None and wallet_usd is not None:
        # What has a margin of its own stands alone with it.
        wallet_usd -= sum(position.margin_usd or 0.0 for position in snapshot.positions)
    if wallet_usd is None:
        missing.append("neither wallet nor equity is told")
        return ()
    if not is_only:
        missing.append(f"which part of the wallet backs the positions paid in {settle}")
    inverse = next((leg for leg in legs if leg.kind is ContractKind.INVERSE), None)
    if inverse is not None and settle:
        # All of it is coins of the kind that the positions are paid in, for all that is known.
        coins = wallet_usd / inverse.mark_price
        return (Holding(asset=settle, quantity=coins, price_usd=inverse.mark_price, market=inverse.market),)
    return (Holding(asset=settle or QUOTE, quantity=wallet_usd, price_usd=1.0),)


def _profit_usd(position: Position) -> float:
    if position.entry_price is None or position.mark_price is None:
        return 0.0
    if _is_inverse(position) and position.contracts_usd is not None:
        return position.contracts_usd * (position.mark_price / position.entry_price - 1.0)
    return position.size * (position.mark_price - position.entry_price)


def _with_unexplained(
    pools: list[Pool], snapshot: AccountSnapshot | None, rules: VenueRules
) -> tuple[Pool, ...]:
    """What the venue demands beyond what its listed positions explain falls to the cross pool.

    Where there are several and nobody tells to which, each is charged all of it: one of them has to bear it. Not one
    that would have failed by it: it stands, so that it is another one's.
    """
    if snapshot is None or snapshot.maintenance_usd is None or any(pool.missing for pool in pools):
        return tuple(pools)
    unexplained_usd = snapshot.maintenance_usd - sum(_maintenance_told_usd(pool, rules) for pool in pools)
    if not unexplained_usd > UNEXPLAINED_SHARE * snapshot.maintenance_usd:
        return tuple(pools)
    charged = [_charged(pool, unexplained_usd) if pool.is_cross else pool for pool in pools]
    if sum(pool.is_cross for pool in pools) > 1:
        charged = [
            now if _stands(now) or not _stands(before) else before
            for before, now in zip(pools, charged, strict=True)
        ]
    return tuple(charged)


def _stands(pool: Pool) -> bool:
    state = state_at(pool.venue)
    return state is not None and state.free_usd > 0.0


def _charged(pool: Pool, usd: float) -> Pool:
    venue = replace(pool.venue, other_maintenance_usd=pool.venue.other_maintenance_usd + usd)
    own = replace(pool.own, other_maintenance_usd=pool.own.other_maintenance_usd + usd)
    words = f"the venue demands {usd:.2f} USD more maintenance than its positions explain"
    return replace(pool, venue=venue, own=venue if own == venue else own, guessed=(*pool.guessed, words))


def _maintenance_told_usd(pool: Pool, rules: VenueRules) -> float:
    """At the prices of the venue's own word, so that a price that moved since is not taken for a demand.

    With the fee of closing where the venue's own sum has it: what is charged as a fee must not be taken for a demand
    besides, nor hide one.
    """
    told = {
        position.market: position.mark_price for position in pool.positions if position.mark_price is not None
    }
    state = state_at(replace(pool.venue, other_maintenance_usd=0.0), told)
    if state is None:
        return 0.0
    return state.maintenance_usd + (state.closing_fee_usd if rules.fee_in_maintenance else 0.0)
