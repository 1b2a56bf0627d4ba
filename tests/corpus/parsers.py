"""Every parser of a venue's payloads with a payload that it can read, so that none is left out of the corpus."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters import exchanges
from adapters.exchanges.binance import account_payloads, coinm_payloads
from adapters.exchanges.binance import crowd_payloads as binance_crowd
from adapters.exchanges.binance import payloads as binance
from adapters.exchanges.binance import terms as binance_terms
from adapters.exchanges.bybit import crowd_payloads as bybit_crowd
from adapters.exchanges.bybit import payloads as bybit
from adapters.exchanges.bybit import terms as bybit_terms
from adapters.exchanges.hyperliquid import account_payloads as hyperliquid_account
from adapters.exchanges.hyperliquid import payloads as hyperliquid
from adapters.exchanges.hyperliquid import terms as hyperliquid_terms
from adapters.exchanges.okx import account_payloads as okx_account
from adapters.exchanges.okx import crowd_payloads as okx_crowd
from adapters.exchanges.okx import payloads as okx
from adapters.exchanges.okx import terms as okx_terms
from guard.events import MarginMode
from tests.adapters.exchanges import crowd_samples, samples

FIXTURES = Path(samples.__file__).parent
US = "0x5c902b2eb0e1d9eb9a232014824ae6247df0a480"
OKX_SIZES = {"BTC-USDT-SWAP": 0.01, "ETH-USDT-SWAP": 0.1, "XRP-USDT-SWAP": 100.0, "IOST-USDT-SWAP": 1000.0}
COIN_USD = {"BTCUSD_PERP": 100.0, "ETHUSD_PERP": 10.0, "BTCUSD_200925": 100.0}
COIN_MARKS = {"BTCUSD_PERP": 60_000.0, "ETHUSD_PERP": 3_000.0, "BTC": 60_000.0, "ETH": 3_000.0, "BNB": 500.0}


@dataclass(frozen=True, slots=True)
class Parser:
    """A parser, further arguments for it, and a payload that it reads."""

    venue: str
    parse: Callable[..., Any]
    payload: Any
    arguments: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.venue}.{self.parse.__name__}"

    @property
    def takes_any(self) -> bool:
        """Whether anything may be given; else whoever calls it has made sure of an object, or of a list of them."""
        return self._annotation == "Any"

    @property
    def takes_rows(self) -> bool:
        """Whether it is given a list of what has been found to be objects."""
        return self._annotation.endswith("[Payload]")

    @property
    def _annotation(self) -> str:
        return str(next(iter(inspect.signature(self.parse).parameters.values())).annotation)

    def __call__(self, payload: Any) -> Any:
        result = self.parse(copy.deepcopy(payload), *self.arguments)
        return list(result) if inspect.isgenerator(result) else result


def fixture(venue: str, name: str) -> Any:
    """The payload of a fixture's file."""
    return json.loads((FIXTURES / venue / "fixtures" / f"{name}.json").read_text())["payload"]


def every_parser() -> list[Parser]:
    return [*_binance(), *_coinm(), *_bybit(), *_okx(), *_hyperliquid()]


def parsers_of_modules() -> set[str]:
    """The names of all parsers that there are, found by looking."""
    found = set()
    for module in pkgutil.walk_packages(exchanges.__path__, "adapters.exchanges."):
        if module.name.endswith(("payloads", "terms")) and "generic" not in module.name:
            loaded = importlib.import_module(module.name)
            venue = "coinm" if "coinm" in module.name else module.name.split(".")[2]
            found |= {
                f"{venue}.{name}"
                for name, value in vars(loaded).items()
                if name.startswith("parse_") and getattr(value, "__module__", "") == module.name
            }
    return found


def _binance() -> Iterator[Parser]:
    for parse, payload in (
        (binance.parse_depth, samples.DEPTH),
        (binance.parse_snapshot, samples.SNAPSHOT),
        (binance.parse_trade, samples.AGGREGATED_TRADE),
        (binance.parse_mark, samples.MARK),
        (binance.parse_premium_index, samples.PREMIUM_INDEX),
        (binance.parse_liquidation, samples.FORCED_ORDER),
        (binance.parse_open_interest, samples.OPEN_INTEREST),
        (binance.parse_turnovers, [{"symbol": "BTCUSDT", "quoteVolume": "15.3"}]),
        (binance.parse_permissions, {"enableReading": True, "enableFutures": False, "ipRestrict": True}),
        (binance.parse_positions, [samples.POSITION_V3, samples.POSITION_V2_HEDGED]),
        (account_payloads.parse_account, samples.ACCOUNT),
        (account_payloads.parse_account, samples.MULTI_ASSETS_ACCOUNT),
        (account_payloads.parse_multi_assets, {"multiAssetsMargin": True}),
        (account_payloads.parse_asset_indexes, samples.ASSET_INDEXES),
        (binance.parse_open_orders, [samples.OPEN_ORDER]),
        (binance.parse_open_algo_orders, [samples.OPEN_ALGO_ORDER]),
        (binance_terms.parse_brackets, samples.BRACKETS),
        (binance_terms.parse_asset_indices, samples.ASSET_INDICES),
        (binance_crowd.parse_interest_history, crowd_samples.BINANCE_INTEREST),
        (binance_crowd.parse_account_ratio, crowd_samples.BINANCE_RATIO),
        (binance_crowd.parse_candles, crowd_samples.BINANCE_CANDLES),
    ):
        yield Parser("binance", parse, payload)
    for event in (
        samples.ACCOUNT_UPDATE,
        samples.ORDER_UPDATE,
        samples.ALGO_UPDATE,
        samples.CONFIG_UPDATE,
    ):
        yield Parser("binance", binance.parse_user_event, event)


def _coinm() -> Iterator[Parser]:
    def told(name: str) -> Any:
        return fixture("coinm", name)

    coin = coinm_payloads
    yield Parser("coinm", coin.parse_coin_depth, told("depth_update"), (100.0,))
    yield Parser("coinm", coin.parse_coin_snapshot, told("depth"), (100.0,))
    yield Parser("coinm", coin.parse_coin_trade, told("agg_trade"), (100.0,))
    yield Parser("coinm", coin.parse_coin_liquidation, told("force_order"), (100.0,))
    yield Parser("coinm", coin.parse_coin_mark, told("premium_index"), ("BTCUSD_PERP",))
    yield Parser("coinm", coin.parse_coin_marks, told("premium_index"))
    yield Parser("coinm", coin.parse_contracts_open, told("open_interest"))
    yield Parser("coinm", coin.parse_coin_turnovers, told("ticker_24hr"), (COIN_USD,))
    yield Parser("coinm", coin.parse_coin_positions, told("position_risk"), (COIN_USD,))
    yield Parser("coinm", coin.parse_coin_account, told("account"), (COIN_MARKS,))
    yield Parser("coinm", coin.parse_adl_ranks, told("adl_quantile"))
    yield Parser("binance", binance_terms.parse_coin_brackets, told("leverage_bracket"))


def _bybit() -> Iterator[Parser]:
    def told(name: str) -> Any:
        return fixture("bybit", name)

    yield Parser("bybit", bybit.parse_book, told("orderbook_snapshot"))
    yield Parser("bybit", bybit.parse_book, told("orderbook_delta"))
    yield Parser("bybit", bybit.parse_depth, told("orderbook_rest"))
    yield Parser("bybit", bybit.parse_trades, told("public_trade"))
    ticker = told("ticker_snapshot")["data"]
    yield Parser("bybit", bybit.parse_ticker, ticker, (7,))
    yield Parser("bybit", bybit.parse_open_interest, ticker)
    yield Parser("bybit", bybit.parse_tickers, told("tickers_rest"))
    yield Parser("bybit", bybit.parse_turnovers, told("tickers_rest"))
    yield Parser("bybit", bybit.parse_liquidations, told("all_liquidation"))
    yield Parser("bybit", bybit_terms.parse_risk_limits, told("risk_limit"))
    limits, _ = bybit_terms.parse_risk_limits(told("risk_limit"))
    yield Parser("bybit", bybit_terms.parse_tiers, next(iter(limits.values())))
    yield Parser("bybit", bybit_terms.parse_collateral_ratios, told("collateral_ratio"))
    yield Parser("bybit", bybit_terms.parse_index_prices, told("tickers_rest"))
    yield Parser("bybit", bybit_crowd.parse_interest_history, crowd_samples.BYBIT_INTEREST)
    yield Parser("bybit", bybit_crowd.parse_account_ratio, crowd_samples.BYBIT_RATIO)
    yield Parser("bybit", bybit_crowd.parse_candles, crowd_samples.BYBIT_CANDLES)
    mode = bybit.AccountMode()
    isolated = bybit.AccountMode(MarginMode.ISOLATED)
    yield Parser("bybit", bybit.parse_permissions, told("query_api"))
    yield Parser("bybit", bybit.parse_account_mode, told("account_info"))
    yield Parser("bybit", bybit.parse_positions, told("position_list"), (mode,))
    yield Parser("bybit", bybit.parse_positions, told("position_list_hedged"), (isolated,))
    yield Parser("bybit", bybit.parse_positions, told("position_list_inverse"), (mode,))
    yield Parser("bybit", bybit.parse_wallet, told("wallet_balance"), (mode,))
    yield Parser("bybit", bybit.parse_open_orders, told("order_realtime"))
    for name in ("ws_position", "ws_wallet", "ws_order"):
        yield Parser("bybit", bybit.parse_private, told(name), (mode,))


def _okx() -> Iterator[Parser]:
    def told(name: str) -> Any:
        return fixture("okx", name)

    size_of = OKX_SIZES.get
    yield Parser("okx", okx.parse_books, told("books_snapshot"), (0.01,))
    yield Parser("okx", okx.parse_books, told("books_update"), (0.01,))
    yield Parser("okx", okx.parse_depth, told("books_rest"), (0.01,))
    yield Parser("okx", okx.parse_trades, told("trades"), (0.01,))
    yield Parser("okx", okx.parse_mark_price, told("mark_price")["data"][0])
    yield Parser("okx", okx.parse_index_price, told("index_tickers")["data"][0])
    yield Parser("okx", okx.parse_funding, told("funding_rate")["data"][0])
    yield Parser("okx", okx.parse_open_interest, told("open_interest")["data"][0], (0.01,))
    yield Parser("okx", okx.parse_turnovers, told("tickers_rest"))
    yield Parser("okx", okx.parse_liquidations, told("liquidation_orders"), (size_of,))
    yield Parser("okx", okx_terms.parse_position_tiers, told("position_tiers"), (size_of,))
    yield Parser("okx", okx_terms.parse_discount_rates, told("discount_rate"))
    yield Parser("okx", okx_terms.parse_index_tickers, told("index_tickers_rest"))
    yield Parser("okx", okx_crowd.parse_interest_history, crowd_samples.OKX_INTEREST)
    yield Parser("okx", okx_crowd.parse_account_ratio, crowd_samples.OKX_RATIO)
    contract_of = {code: okx_account.Contract(size) for code, size in OKX_SIZES.items()}.get
    yield Parser("okx", okx_account.parse_permissions, told("account_config"))
    yield Parser("okx", okx_account.parse_pooling, told("account_config"))
    yield Parser("okx", okx_account.parse_positions, told("positions")["data"], (contract_of,))
    yield Parser("okx", okx_account.parse_account, told("balance"))
    yield Parser("okx", okx_account.parse_orders, told("orders_pending")["data"], (contract_of,))
    yield Parser("okx", okx_account.parse_orders, told("orders_algo_pending")["data"], (contract_of,))
    for name in ("ws_account", "ws_orders", "ws_orders_algo", "ws_positions"):
        yield Parser("okx", okx_account.parse_private, told(name), (contract_of,))


def _hyperliquid() -> Iterator[Parser]:
    def told(name: str) -> Any:
        return fixture("hyperliquid", name)

    yield Parser("hyperliquid", hyperliquid.parse_book, told("l2_book")["data"])
    yield Parser("hyperliquid", hyperliquid.parse_trades, told("trades")["data"])
    yield Parser("hyperliquid", hyperliquid.parse_context, told("active_asset_ctx")["data"], (7,))
    yield Parser("hyperliquid", hyperliquid.parse_contexts, told("meta_and_asset_ctxs"), (7,))
    yield Parser("hyperliquid", hyperliquid_terms.parse_tiers, told("meta_and_asset_ctxs"))
    yield Parser("hyperliquid", hyperliquid_terms.parse_dex_tiers, told("meta_and_asset_ctxs")[0])
    yield Parser("hyperliquid", hyperliquid.parse_state, told("clearinghouse_state"))
    yield Parser("hyperliquid", hyperliquid.parse_role, told("user_role_agent"))
    yield Parser("hyperliquid", hyperliquid_account.parse_spot, told("spot_clearinghouse_state"))
    yield Parser("hyperliquid", hyperliquid_account.parse_dex_names, [None, {"name": "xyz"}])
    yield Parser("hyperliquid", hyperliquid_account.parse_collateral_token, {"collateralToken": 360})
    names = {"tokens": [{"name": "USDH", "index": 360}]}
    yield Parser("hyperliquid", hyperliquid_account.parse_token_names, names)
    yield Parser("hyperliquid", hyperliquid.parse_open_orders, told("frontend_open_orders"))
    yield Parser("hyperliquid", hyperliquid.parse_order_updates, told("order_updates")["data"])
    yield Parser("hyperliquid", hyperliquid.parse_own_liquidations, told("user_fills")["data"], (US,))
