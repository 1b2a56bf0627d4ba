"""What the venue counts each margin asset for: its price in USD and its haircut. No clock, no accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from math import prod

from adapters.simulation.settings import DEFAULT_ASSETS, MarginAsset

SETTLE = "USDT"
"""What profit, fees and funding are paid in; counted whole, where Binance leaves a basis point away."""

ONE = Decimal(1)


class AssetIndex:
    """The venue's own valuation of margin assets; it changes while accounts hang on it.

    As on Binance an asset is worth ``index x (1 - haircut)`` to whoever holds it, and costs ``index x (1 + haircut)``
    to whoever owes it.
    """

    def __init__(
        self,
        assets: Iterable[MarginAsset] = DEFAULT_ASSETS,
        marks: Callable[[], Mapping[str, Decimal]] = dict,
    ) -> None:
        """Take the assets; one without a price of its own follows the mark of its market against USDT."""
        self._haircuts = {asset.asset: asset.haircut for asset in assets}
        self._prices = {asset.asset: asset.price_usd for asset in assets if asset.price_usd is not None}
        self._ratios: dict[str, list[Decimal]] = {}
        """By how much prices are off, for each reason that there is."""
        self._marks = marks

    @property
    def assets(self) -> tuple[str, ...]:
        """Those that have a price now."""
        return tuple(asset for asset in self._haircuts if self._priced(asset) is not None)

    def price(self, asset: str) -> Decimal:
        """USD a unit.

        Raises:
            KeyError: the venue takes no such asset, or knows no price of it.
        """
        price = self._priced(asset)
        if price is None:
            raise KeyError(f"{asset}: no margin asset with a price here; there are {', '.join(self.assets)}")
        return price

    def haircut(self, asset: str) -> Decimal:
        """What is left away of it, 0..1; of what is owed it comes on top.

        Raises:
            KeyError: the venue takes no such asset.
        """
        return self._haircuts[asset]

    def bid_rate(self, asset: str) -> Decimal:
        return self.price(asset) * (ONE - self.haircut(asset))

    def ask_rate(self, asset: str) -> Decimal:
        return self.price(asset) * (ONE + self.haircut(asset))

    def value_usd(self, asset: str, quantity: Decimal) -> Decimal:
        """What so much of it counts for as margin; a debt counts in full and more."""
        return quantity * (self.bid_rate(asset) if quantity >= 0 else self.ask_rate(asset))

    def set_price(self, asset: str, price_usd: Decimal) -> None:
        """Let the venue value an asset at this from now on.

        Raises:
            KeyError: the venue takes no such asset.
            ValueError: a price is above 0.
        """
        if asset not in self._haircuts:
            raise KeyError(f"{asset}: no margin asset here; there are {', '.join(self._haircuts)}")
        if not price_usd.is_finite() or price_usd <= 0:
            raise ValueError(f"{asset}: a price of {price_usd} USD is none")
        self._prices[asset] = price_usd

    def scale(self, asset: str, ratio: Decimal, *, on: bool = True) -> None:
        """Let an asset be worth ``ratio`` of its price for one more reason, or for one of this size less."""
        ratios = self._ratios.setdefault(asset, [])
        if on:
            ratios.append(ratio)
        else:
            ratios.remove(ratio)

    def set_haircut(self, asset: str, haircut: Decimal) -> None:
        """Let the venue leave so much of an asset away from now on.

        Raises:
            KeyError: the venue takes no such asset.
            ValueError: it is not within 0..1, or of USDT, which is counted whole.
        """
        if asset not in self._haircuts:
            raise KeyError(f"{asset}: no margin asset here; there are {', '.join(self._haircuts)}")
        if asset == SETTLE or not haircut.is_finite() or not 0 <= haircut <= 1:
            raise ValueError(f"{asset}: a haircut of {haircut} cannot be")
        self._haircuts[asset] = haircut

    def _priced(self, asset: str) -> Decimal | None:
        if asset not in self._haircuts:
            return None
        price = self._prices.get(asset)
        if price is None:
            mark = self._marks().get(f"{asset}{SETTLE}")
            if mark is None:
                return None
            price = mark * self.price(SETTLE)
        return prod(self._ratios.get(asset, ()), start=price)
