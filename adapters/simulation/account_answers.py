"""Positions, balances and the whole account as Binance's REST answers spell them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal

from adapters.simulation.account import VenueAccount
from adapters.simulation.assets import SETTLE, AssetIndex
from adapters.simulation.ledger import Position
from adapters.simulation.margin import ZERO, BracketTable, money
from adapters.simulation.payloads import Json, break_even, plain


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums over an account, USDT."""

    wallet: Decimal = ZERO
    collateral: Decimal = ZERO
    cross_wallet: Decimal = ZERO
    unrealised: Decimal = ZERO
    cross_unrealised: Decimal = ZERO
    maintenance: Decimal = ZERO
    initial: Decimal = ZERO
    reserved: Decimal = ZERO
    available: Decimal = ZERO

    def times(self, factor: Decimal) -> _Totals:
        return _Totals(*(getattr(self, each.name) * factor for each in fields(self)))


class AccountAnswers:
    """Position and account answers; they need the marks of all symbols and the tiers."""

    def __init__(self, table: BracketTable, assets: AssetIndex, clock_ms: Callable[[], int]) -> None:
        self._table = table
        self._assets = assets
        self._clock_ms = clock_ms

    def position_risk(
        self, account: VenueAccount, position: Position, marks: dict[str, Decimal], version: int
    ) -> Json:
        """One entry of positionRisk."""
        ledger, table, symbol = account.ledger, self._table, position.symbol
        mark = marks[symbol]
        notional = position.amount * mark
        unrealised = position.unrealised(mark)
        isolated = position.isolated_wallet + unrealised if position.is_isolated else ZERO
        initial = money(position.initial_margin(mark))
        answer: Json = {
            "symbol": symbol,
            "positionSide": position.side,
            "positionAmt": plain(position.amount),
            "entryPrice": plain(position.entry_price, 8),
            "breakEvenPrice": plain(break_even(position), 8),
            "markPrice": plain(mark, 8),
            "unRealizedProfit": plain(unrealised, 8),
            "liquidationPrice": plain(ledger.liquidation_price(symbol, marks, table, position.side), 8),
            "isolatedMargin": plain(isolated, 8),
            "notional": plain(notional, 8),
            "marginAsset": "USDT",
            "isolatedWallet": plain(position.isolated_wallet, 8),
            "updateTime": position.updated_ms,
        }
        if version >= 3:
            answer |= {
                "initialMargin": plain(initial, 8),
                "maintMargin": plain(table.maintenance(abs(notional)), 8),
                "positionInitialMargin": plain(initial, 8),
                "openOrderInitialMargin": "0",
                "adl": account.adl_rank(symbol),
                "bidNotional": "0",
                "askNotional": "0",
            }
        else:
            answer |= {
                "leverage": str(position.leverage),
                "maxNotionalValue": plain(table.notional_max(position.leverage)),
                "marginType": position.margin_type,
                "isAutoAddMargin": "false",
                "isolated": position.is_isolated,
                "adlQuantile": account.adl_rank(symbol),
            }
        return answer

    def account(
        self, account: VenueAccount, symbols: list[str], marks: dict[str, Decimal], version: int
    ) -> Json:
        """The account answer; version 3 lists only positions that exist, and tells nothing of permissions.

        The totals are USD over all assets in multi-assets mode, at what they count for as margin; else they are USDT's.
        """
        totals = self._totals(account, marks)
        legs = [leg for symbol in symbols for leg in account.ledger.legs(symbol)]
        listed = legs if version < 3 else [leg for leg in legs if leg.amount]
        permissions: Json = {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "multiAssetsMargin": account.ledger.multi_assets,
            "updateTime": 0,
        }
        usd = totals.times(self._usd(account))
        return {
            **(permissions if version < 3 else {}),
            "totalInitialMargin": plain(usd.initial + usd.reserved, 8),
            "totalMaintMargin": plain(usd.maintenance, 8),
            "totalWalletBalance": plain(usd.wallet + usd.collateral, 8),
            "totalUnrealizedProfit": plain(usd.unrealised, 8),
            "totalMarginBalance": plain(usd.wallet + usd.collateral + usd.unrealised, 8),
            "totalPositionInitialMargin": plain(usd.initial, 8),
            "totalOpenOrderInitialMargin": plain(usd.reserved, 8),
            "totalCrossWalletBalance": plain(usd.cross_wallet + usd.collateral, 8),
            "totalCrossUnPnl": plain(usd.cross_unrealised, 8),
            "availableBalance": plain(usd.available, 8),
            "maxWithdrawAmount": plain(usd.available, 8),
            "assets": [self._asset(account, asset, totals) for asset in self._assets_of(account)],
            "positions": [self._account_position(leg, marks[leg.symbol]) for leg in listed],
        }

    def balance(self, account: VenueAccount, marks: dict[str, Decimal]) -> list[Json]:
        """The balance answer."""
        totals = self._totals(account, marks)
        return [
            {
                "accountAlias": account.spec.name,
                "asset": row["asset"],
                "balance": row["walletBalance"],
                "crossWalletBalance": row["crossWalletBalance"],
                "crossUnPnl": row["crossUnPnl"],
                "availableBalance": row["availableBalance"],
                "maxWithdrawAmount": row["maxWithdrawAmount"],
                "marginAvailable": True,
                "updateTime": row["updateTime"],
            }
            for row in (self._asset(account, asset, totals) for asset in self._assets_of(account))
        ]

    def _assets_of(self, account: VenueAccount) -> list[str]:
        return [SETTLE, *account.ledger.collateral]

    def _usd(self, account: VenueAccount) -> Decimal:
        """What the totals are told in: USD a USDT in multi-assets mode, else USDT."""
        return self._assets.price(SETTLE) if account.ledger.multi_assets else Decimal(1)

    def _asset(self, account: VenueAccount, asset: str, totals: _Totals) -> Json:
        """An asset's own row, in units of it; contracts settle in USDT, so all margins and profits stand there."""
        settles = asset == SETTLE
        wallet = totals.wallet if settles else account.ledger.collateral[asset]
        own = totals if settles else _Totals()
        available = totals.available if settles else wallet
        if account.ledger.multi_assets:
            # What of the whole account's free margin could be had of this asset.
            rate = self._assets.bid_rate(asset) / self._assets.price(SETTLE)
            available = totals.available / rate if rate else ZERO
        numbers = {
            "walletBalance": wallet,
            "unrealizedProfit": own.unrealised,
            "marginBalance": wallet + own.unrealised,
            "maintMargin": own.maintenance,
            "initialMargin": own.initial + own.reserved,
            "positionInitialMargin": own.initial,
            "openOrderInitialMargin": own.reserved,
            "crossWalletBalance": own.cross_wallet if settles else wallet,
            "crossUnPnl": own.cross_unrealised,
            "availableBalance": available,
            "maxWithdrawAmount": max(ZERO, min(wallet, available)),
        }
        return {
            "asset": asset,
            # Never 0: ccxt takes an asset with 0 for one that was never used, and leaves it out.
            "updateTime": self._clock_ms(),
            "marginAvailable": True,
        } | {name: plain(value, 8) for name, value in numbers.items()}

    def _totals(self, account: VenueAccount, marks: dict[str, Decimal]) -> _Totals:
        ledger = account.ledger
        held = [p for p in ledger.positions.values() if p.amount]
        reserved = account.reserved()
        return _Totals(
            wallet=ledger.wallet,
            collateral=ledger.collateral_usdt,
            cross_wallet=ledger.cross_wallet,
            unrealised=ledger.unrealised(marks),
            cross_unrealised=ledger.unrealised_cross(marks),
            maintenance=sum((self._table.maintenance(abs(p.amount) * marks[p.symbol]) for p in held), ZERO),
            initial=sum((p.initial_margin(marks[p.symbol]) for p in held), ZERO),
            reserved=reserved,
            available=ledger.available(marks, reserved),
        )

    def _account_position(self, position: Position, mark: Decimal) -> Json:
        notional = position.amount * mark
        isolated = position.isolated_wallet + position.unrealised(mark) if position.is_isolated else ZERO
        initial = plain(position.initial_margin(mark), 8)
        return {
            "symbol": position.symbol,
            "initialMargin": initial,
            "maintMargin": plain(self._table.maintenance(abs(notional)), 8),
            "unrealizedProfit": plain(position.unrealised(mark), 8),
            "positionInitialMargin": initial,
            "openOrderInitialMargin": "0",
            "leverage": str(position.leverage),
            "isolated": position.is_isolated,
            "entryPrice": plain(position.entry_price, 8),
            "breakEvenPrice": plain(break_even(position), 8),
            "maxNotional": plain(self._table.notional_max(position.leverage)),
            "bidNotional": "0",
            "askNotional": "0",
            "positionSide": position.side,
            "positionAmt": plain(position.amount),
            "notional": plain(notional, 8),
            "isolatedWallet": plain(position.isolated_wallet, 8),
            "isolatedMargin": plain(isolated, 8),
            "updateTime": position.updated_ms,
        }
