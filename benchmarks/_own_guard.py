"""The same accounts through the guard: what its pools and its solver make of them."""

from __future__ import annotations

from itertools import pairwise

from benchmarks._own_accounts import Account, Held, Tiers
from guard.account.pools import Pool, Valued, pools_of
from guard.account.venue_rules import rules_of
from guard.events import AccountSnapshot, MarginMode, Pooling, Position, PositionSource
from guard.leverage.margin_pool import Holding
from guard.leverage.solver import liquidation_of, state_at
from guard.margin_terms import ContractKind, MarginTier, TierTable, TierUnit
from guard.units import MarketId, account_id, market_id


def our_price(account: Account, asked: int) -> float | None:
    """Where the asked position's market is liquidated, by the way that every account takes in the guard."""
    market = market_id(account.venue, account.held[asked].symbol)
    return liquidation_of(pool_of(account, asked).venue, market).price


def our_maintenance(account: Account, asked: int) -> float | None:
    """What the position demands to keep, USD."""
    alone = Account(account.venue, (account.held[asked],), account.wallet, account.fee)
    state = state_at(pool_of(alone, 0).venue)
    return None if state is None else state.maintenance_usd


def pool_of(account: Account, asked: int) -> Pool:
    """The pool of the asked position. AssertionError if anything of it is guessed or missing."""
    held = account.held[asked]
    tables = {market_id(account.venue, each.symbol): table_of(account.venue, each) for each in account.held}
    snapshot = snapshot_of(account)
    pools = pools_of(
        snapshot,
        snapshot.positions,
        rules=rules_of(account.venue),
        table=lambda position: tables.get(position.market),
        mark=lambda position: position.mark_price,
        valued=None if held.margin is not None else _valued(account),
    )
    market, is_long = market_id(account.venue, held.symbol), held.size > 0
    found = [
        pool
        for pool in pools
        if any(each.market == market and (each.size > 0.0) is is_long for each in pool.positions)
    ]
    assert len(found) == 1, found
    assert not found[0].missing, found[0].missing
    assert not found[0].guessed, found[0].guessed
    return found[0]


def snapshot_of(account: Account) -> AccountSnapshot:
    """What the venue would have told of it."""
    return AccountSnapshot(
        received_at=0,
        account=account_id(account.venue, "benchmark"),
        source=PositionSource.VENUE,
        pooling=Pooling.ONE_POOL if account.venue in {"bybit", "okx"} else Pooling.BY_SETTLE_ASSET,
        positions=tuple(_position(account.venue, held) for held in account.held),
    )


def table_of(venue: str, held: Held) -> TierTable:
    """Its tiers, with the deduction that makes maintenance continuous where a rate counts above its floor only."""
    return TierTable(
        market=market_id(venue, held.symbol),
        tiers=_tiers(held.tiers),
        kind=ContractKind.INVERSE if held.is_inverse else ContractKind.LINEAR,
        unit=TierUnit.SIZE if held.tiers.by_size else TierUnit.NOTIONAL,
    )


def _tiers(tiers: Tiers) -> tuple[MarginTier, ...]:
    deductions = [0.0]
    for (_, rate), (floor, next_rate) in pairwise(tiers.rows):
        deductions.append(deductions[-1] + float(floor * (next_rate - rate)))
    return tuple(
        MarginTier(
            floor=float(floor),
            maintenance_ratio=float(rate),
            deduction=deduction if tiers.is_marginal else 0.0,
        )
        for (floor, rate), deduction in zip(tiers.rows, deductions, strict=True)
    )


def _position(venue: str, held: Held) -> Position:
    size, mark = float(held.size), float(held.mark)
    return Position(
        market=MarketId(market_id(venue, held.symbol)),
        size=size / mark if held.is_inverse else size,
        entry_price=float(held.entry),
        mark_price=mark,
        margin_mode=MarginMode.CROSS if held.margin is None else MarginMode.ISOLATED,
        margin_usd=None if held.margin is None or held.is_inverse else float(held.margin),
        margin=None if held.margin is None else float(held.margin),
        kind=ContractKind.INVERSE if held.is_inverse else ContractKind.LINEAR,
        contracts_usd=size if held.is_inverse else None,
        settle=held.symbol.rpartition(":")[2],
    )


def _valued(account: Account) -> Valued:
    """The wallet in its one asset, at what it is worth."""
    first = account.held[0]
    held = Holding(
        asset=first.symbol.rpartition(":")[2],
        quantity=float(account.wallet),
        price_usd=float(first.mark) if first.is_inverse else 1.0,
    )
    return Valued(venue=(held,), own=(held,))
