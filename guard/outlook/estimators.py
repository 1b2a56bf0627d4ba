"""All estimators of all markets, in the order in which they need each other. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from guard.forecasts import MarketOutlook
from guard.outlook.broken import Broken
from guard.readings import Reading
from guard.units import MarketId


@dataclass(slots=True)
class Estimators:
    """Give each reading to ``update``; what is missing is named in the outlook, and never calm."""

    def update(self, reading: Reading, broken: Broken) -> MarketOutlook:
        """Estimate a market anew."""
        unknown = tuple(self._unknown(reading)) + broken.names(reading.market)
        return MarketOutlook(at=reading.at, market=reading.market, price=reading.price, unknown=unknown)

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""

    @staticmethod
    def _unknown(reading: Reading) -> list[str]:
        found = []
        if reading.book is None:
            found.append("book")
        if reading.mark_price is None:
            found.append("mark price")
        if reading.open_interest is None:
            found.append("open interest")
        return found
