"""What the bill looks at in the state: prices, what the book takes for a trade, margins, liquidation prices. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from guard.account.peg_settings import CASH, STABLECOINS
from guard.account.terms import maintenance_ratio_of
from guard.billed import BillLine
from guard.effects import size_of
from guard.holdings import MarginMode
from guard.margin_terms import ContractKind
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, AccountId, BotId, MarketId, symbol_of, venue_of

WORTH_USD = frozenset((*CASH, *STABLECOINS))


def mark_of(state: GuardState, market: MarketId) -> float | None:
    """The mark price, or the middle of the book where the venue tells none."""
    view = state.markets.get(market)
    return None if view is None else view.mark_price or view.mid_price


def size_held(state: GuardState, account: AccountId, market: MarketId) -> float | None:
    """The account's own net signed size, ``None`` while nobody has told."""
    view = state.accounts.get(account)
    return None if view is None or view.source is None else view.size(market)


def size_of_bot(state: GuardState, bot: BotId, market: MarketId) -> float | None:
    """What a bot holds, signed, ``None`` where nobody can tell."""
    record = state.bots.get(bot)
    size = None if record is None else size_of(state, record, market)
    return None if size is None else size.value


def slippage_usd(state: GuardState, market: MarketId, size: float) -> float | None:
    """What the book takes now, against its middle, for closing ``size``; ``None`` where it is not to be seen."""
    view = state.markets.get(market)
    if view is None or view.mid_price is None:
        return None
    cost = view.exit_cost_bps(size)
    return None if cost is None else cost.value / BPS_PER_UNIT * abs(size) * view.mid_price


def is_inverse(state: GuardState, account: AccountId, market: MarketId) -> bool:
    """Whether profits are not paid in what prices are told in, as in coins, which this bill does not count.

    By the unified symbol (base/quote:settle), and by what is told of a position that is held.
    """
    pair, _, settle = symbol_of(market).partition(":")
    if settle and settle.split("-")[0] != pair.partition("/")[2] and settle not in WORTH_USD:
        return True
    view = state.accounts.get(account)
    return view is not None and any(
        each.kind is ContractKind.INVERSE or each.contracts_usd is not None for each in view.legs(market)
    )


def is_isolated(state: GuardState, account: AccountId, market: MarketId) -> bool:
    """Whether the position stands on a margin of its own."""
    view = state.accounts.get(account)
    return view is not None and any(
        each.margin_mode is MarginMode.ISOLATED or each.margin_usd is not None for each in view.legs(market)
    )


def liquidation_price_of(state: GuardState, account: AccountId, market: MarketId) -> float | None:
    """Where the position is liquidated, as it is known now: by our solver, else by the venue's or the bot's word."""
    risk = state.own.risk(account)
    legs = () if risk is None else risk.legs
    found = next((leg.nearest or leg.price or leg.venue_price for leg in legs if leg.market == market), None)
    if found is not None:
        return found
    view = state.accounts.get(account)
    told = () if view is None else view.legs(market)
    return next((each.liquidation_price for each in told if each.liquidation_price is not None), None)


def equity_of(state: GuardState, account: AccountId) -> float | None:
    """What the account is worth, at mark; ``None`` where nobody told."""
    risk = state.own.risk(account)
    if risk is not None and (risk.venue_equity_usd is not None or risk.equity_usd is not None):
        return risk.venue_equity_usd if risk.venue_equity_usd is not None else risk.equity_usd
    view = state.accounts.get(account)
    return None if view is None else view.equity_usd


class TwinMargin(NamedTuple):
    """What the twin of a cross account is worth and has to keep, USD; ``notional_usd`` of all that it holds."""

    equity_usd: float
    maintenance_usd: float
    notional_usd: float


def twin_margin(
    state: GuardState,
    account: AccountId,
    extra: Mapping[MarketId, float],
    marks: Mapping[MarketId, float],
    guarded_more_usd: float,
) -> TwinMargin | None:
    """Work out the margin of a twin that holds ``extra`` beside what its account holds; ``None`` if not known.

    ``guarded_more_usd`` is the equity of the account less the twin's. Maintenance is the venue's by its tiers, by the
    twin's own size, or our formula's where nobody told them.
    """
    equity = equity_of(state, account)
    view = state.accounts.get(account)
    if equity is None or view is None:
        return None
    terms = state.own.terms_of(venue_of(account))
    maintenance = notional = 0.0
    for market in sorted({*extra, *(each.market for each in view.positions)}):
        mark = marks.get(market) or mark_of(state, market)
        if mark is None or is_inverse(state, account, market):
            return None
        usd = abs(view.size(market) + extra.get(market, 0.0)) * mark
        notional += usd
        maintenance += usd * maintenance_ratio_of(terms.table(market), usd, mark)
    return TwinMargin(equity - guarded_more_usd, maintenance, notional)


def is_through(line: BillLine, mark: float, liquidation_price: float | None) -> bool:
    """Whether a mark price is at or beyond where the position of a line was liquidated."""
    if liquidation_price is None:
        return False
    return mark <= liquidation_price if line.size > 0.0 else mark >= liquidation_price
