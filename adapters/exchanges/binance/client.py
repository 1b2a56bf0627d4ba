"""What is special about ccxt.pro's client of Binance: what it must leave to the feeds, and what they take."""

from __future__ import annotations

from typing import Any, Protocol

from adapters.exchanges.ccxt_client import Tap
from adapters.exchanges.transport import UNCOMPRESSED

Message = dict[str, Any]


class BinanceTap(Tap, Protocol):
    """A tap that hears of subscriptions too."""

    def on_acknowledged(self, url: str, subscriptions: list[str]) -> None:
        """A SUBSCRIBE was answered; these are ccxt's names of all that is subscribed on that socket."""
        ...


class BinanceQuirks:
    """Replaces methods of ccxt.pro's class; see ``tapped_class``."""

    tap: BinanceTap

    def handle_subscription_status(self, client: Any, message: Any) -> Any:
        self.tap.on_acknowledged(client.url, list(client.subscriptions))
        return super().handle_subscription_status(client, message)  # type: ignore[misc]  # ccxt is untyped

    def handle_order_book_subscription(self, client: Any, message: Any, subscription: Message) -> None:
        """Do nothing: the feed fetches the snapshots, one market at a time."""

    async def keep_alive_listen_key(self, params: Any = None) -> None:
        """Do nothing: ccxt starts one such chain at every authentication and never ends it."""

    def delay(self, timeout: float, method: Any, *arguments: Any) -> Any:
        """Set no timer for the above: each would hold the client, and all that it holds, for twenty minutes."""
        if getattr(method, "__name__", "") == "keep_alive_listen_key":
            return None
        return super().delay(timeout, method, *arguments)  # type: ignore[misc]  # ccxt is untyped


SOCKETS = 1_000_000
"""More than are ever opened; the venue allows 300 dials in 5 minutes (general-info, "Connect"), of which 500 markets
take 20: five batches of each of four streams, each half of what one connection may carry."""

DEFAULTS: dict[str, Any] = {
    # 1,200 of the venue's 2,400 request weight a minute for each client, in bursts where needed: ccxt's
    # default spreads requests evenly, so that 50 snapshots after a reconnect would take 50 s.
    "rateLimiterAlgorithm": "rollingWindow",
    "rollingWindowSize": 60_000.0,
    "options": {
        # Documented, and all that book prices need: the venue joins what one taker traded at one price.
        "watchTradesForSymbols": {"name": "aggTrade"},
        # A socket for each batch, for ever. ccxt has 50 and shares them out again and again, but counts what was
        # ever subscribed on each against the venue's 200 a connection: after a hundred batches that changed from
        # day to day it would refuse every further one.
        "streamLimits": {"linear": SOCKETS, "inverse": SOCKETS},
        **UNCOMPRESSED,
    },
}
"""What ccxt is told besides what every venue's client is told."""

REFUSALS = tuple(f'"code":{code},' for code in ("-1022", "-2008", "-2014", "-2015", "-4056"))
"""Answers to a refused key. ccxt turns -2015 of a key that worked before into a network error."""

TAPPED = frozenset(
    {
        "depthUpdate",
        "trade",
        "aggTrade",
        "markPriceUpdate",
        "forceOrder",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
        "ALGO_UPDATE",
        "ACCOUNT_CONFIG_UPDATE",
        "MARGIN_CALL",
        # ccxt 4.5.90 ignores this one: the stream stays open and says nothing any more.
        "listenKeyExpired",
    }
)


def event_of(message: Any) -> tuple[str, Message]:
    """The event's name and body, without the wrapper of combined streams; no name for what ccxt must have.

    Raises:
        TypeError: it is neither an object nor a list.
    """
    if not isinstance(message, dict | list):
        raise TypeError("not a JSON object")
    data = message.get("data", message) if isinstance(message, dict) else None
    if not isinstance(data, dict):
        return "", {}
    event = str(data.get("e", ""))
    return (event, data) if event in TAPPED else ("", {})
