"""What everyone in the machine agrees on: names, keys, markets and the few numbers that invariants hang on."""

from __future__ import annotations

from guard.units import AccountId, BotId, market_id
from perpguard_sdk.topics import Topics

VENUE = "loopback"
SYMBOL = "BTC/USDT:USDT"
MARKETS = (market_id(VENUE, SYMBOL),)
ACCOUNT = AccountId(f"{VENUE}:main")
BOTS = ("alpha", "beta")
KEYS = {BotId(bot): f"key of {bot} ".encode() * 2 for bot in BOTS}
TOPICS = Topics(site="machine")
MARK_PRICE = 100.0
SIZE_FULL = 8.0
HOLD_DOWN_S = 3.0
DEAD_MAN_MS = 2_000
REARM_MS = 2_000
STEP_MS = 500
"""Everyone's loop turns so often."""
