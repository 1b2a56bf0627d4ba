"""What is told of the last hour of a market's price, as a value. No I/O, no clock."""

from __future__ import annotations

from msgspec import Struct

from guard.units import Nanoseconds


class PriceMeasures(Struct, frozen=True):
    """Speeds, falls, rises and volatilities of one price up to ``at``; logs of price throughout.

    ``None`` where too little of the window was seen: a market that was not looked at is not calm.

    Attributes:
        at: time of the newest price.
        price: the newest price.
        move_1m: change of log price over the last minute, positive up; likewise 5 and 15 minutes.
        drawdown_5m: how far the newest price is below the highest of the window, 0 and up.
        runup_5m: how far it is above the lowest, 0 and up.
        volatility_1m: realised, of returns as they came, per square root of a second; likewise 15 and 60 minutes.
        jump_share_15m: share of the window's variance that came in jumps, 0..1 (one less bipower over variance).
        regained_30m: of the way from the window's highest price down to the lowest after it, what was won back, 0..1.
        given_back_30m: of the way from the window's lowest price up to the highest after it, what was lost, 0..1.
    """

    at: Nanoseconds
    price: float
    move_1m: float | None = None
    move_5m: float | None = None
    move_15m: float | None = None
    drawdown_5m: float | None = None
    drawdown_30m: float | None = None
    runup_5m: float | None = None
    runup_30m: float | None = None
    volatility_1m: float | None = None
    volatility_15m: float | None = None
    volatility_60m: float | None = None
    jump_share_15m: float | None = None
    regained_30m: float | None = None
    given_back_30m: float | None = None
