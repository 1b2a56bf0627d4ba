"""wickra-radar 0.2.0, unchanged, over the rows of a market: one JSON line of rows asks, one of severities answers.

Its specification is that of its own README (the same signals, weights and scale), with windows of five minutes of rows
where it counts in rows. It knows of no price path, no volume, no depth beyond two sums, no side of a danger and no
distance: a severity from 0 to 1 is all that it says.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from wickra_radar import Radar  # type: ignore[import-not-found,unused-ignore]

ROWS = 10
SPECIFICATION = {
    "signals": [
        {"kind": "oi_delta", "params": [ROWS, 0.02], "weight": 1.0},
        {"kind": "funding_flip", "params": [0.0005], "weight": 2.0},
        {"kind": "book_imbalance", "params": [1.0], "weight": 1.0},
        {"kind": "liq_cluster", "params": [ROWS, 30.0], "weight": 1.5},
        {"kind": "oi_price_divergence", "params": [ROWS, 0.02], "weight": 3.0},
    ],
    "threshold": 0.0,
}


def severities(rows: list[list[Any]]) -> list[float | None]:
    """Severity after each row: ``ts, open_interest, funding, mark, bid, ask, bid_usd, ask_usd, sold, bought``.

    The last two are what was liquidated, in units of a hundredth of a per cent of open interest: its scale knows
    nothing of markets. ``None`` in a row is what nobody told: that event is left out.
    """
    radar = Radar(json.dumps(SPECIFICATION))
    told: list[float | None] = []
    for ts, interest, funding, mark, bid, ask, bid_usd, ask_usd, sold, bought in rows:
        events: list[dict[str, Any]] = []
        if None not in (interest, funding, mark):
            events.append(
                {
                    "kind": "derivatives",
                    "ts": ts,
                    "open_interest": interest,
                    "funding_rate": funding,
                    "mark_price": mark,
                }
            )
        if None not in (bid, ask, bid_usd, ask_usd):
            events.append(
                {
                    "kind": "orderbook",
                    "ts": ts,
                    "best_bid": bid,
                    "best_ask": ask,
                    "bid_volume": bid_usd,
                    "ask_volume": ask_usd,
                }
            )
        if mark is not None:
            # Also where nothing was: its window is of so many liquidations, however long ago.
            side = "sell" if sold >= bought else "buy"
            events.append(
                {"kind": "liquidation", "ts": ts, "side": side, "price": mark, "qty": sold + bought}
            )
        for event in events:
            radar.command(json.dumps({"cmd": "feed", "symbol": "market", "event": event}))
        alerts = json.loads(radar.command('{"cmd":"alerts"}'))["alerts"]
        told.append(alerts[0]["severity"] if alerts else None)
    return told


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps({"severities": severities(json.loads(line)["rows"])}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
