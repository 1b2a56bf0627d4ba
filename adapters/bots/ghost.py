"""The same strategy without the guard's word on entries, in thought: what it would hold more. Pure.

A wish that is refused at each mark is one wish, and one that its own stop would have ended by now is none: neither
is known without going on in thought, from the position that was held when entries were last free.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, replace

from adapters.bots.strategy import DipBuyer
from adapters.bots.trading import Holding, Mark
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import ALL_SYMBOLS, Entries


@dataclass(slots=True)
class Ghost:
    """A long beside the real one; ``known`` once entries were free: what was before that is not known.

    ``cut`` is what commands took off the real position and it has not bought back: the guard bills that itself.
    """

    strategy: DipBuyer
    known: bool = False
    size: float = 0.0
    entry_price: float | None = None
    cut: float = 0.0
    _real: float = 0.0
    _trader: DipBuyer = field(init=False)

    def __post_init__(self) -> None:
        self._trader = copy(self.strategy)

    @property
    def withheld(self) -> float | None:
        """Base units that the strategy would hold more now, had its entries been free; ``None``: not known."""
        return max(0.0, self.size - self._real - self.cut) if self.known else None

    def was_cut(self, size: float) -> None:
        """A command took so much off the real position."""
        self.cut += size
        self._real -= size

    def see(
        self,
        mark: Mark,
        before: Holding,
        bought: float,
        equity_usd: float,
        limits: Limits,
        own: Entries,
        rounded: Callable[[float], float],
    ) -> None:
        """Decide on a mark as the real bot just did: it held ``before`` and ``bought`` so much then.

        ``limits`` are those in force, a human's hand ``own`` included, which holds a ghost, too.
        """
        symbol = self.strategy.symbol
        if limits.entries(symbol) is own and limits.entry_share(symbol) >= 1.0:
            self._follow(before, bought, mark)
            return
        if not self.known:
            return
        closed = before.size == 0.0 and self._real > 1e-9
        self._real = before.size + bought
        self.cut = max(0.0, self.cut - bought)
        if closed:  # by its own stop: whoever closes, closes all
            self.size, self.cut = 0.0, 0.0
        held = Holding(size=self.size, entry_price=self.entry_price, mark_price=mark.price)
        stop_price = self._trader.stop_price(held, Limits())
        if stop_price is not None and mark.price <= stop_price:
            self.size, self.cut = 0.0, 0.0
            held = Holding(mark_price=mark.price)
        self._trader.watch(mark, held)
        free = _free(limits, own)
        if self._trader.wants_slice(mark, held, equity_usd, free):
            size = rounded(self._trader.slice_size(mark, free))
            cost = self.size * (self.entry_price or 0.0) + size * mark.price
            self.size += size
            self.entry_price = cost / self.size if self.size else None
            self._trader.bought()

    def _follow(self, before: Holding, bought: float, mark: Mark) -> None:
        """Nothing is held back: it is the real one."""
        self.known, self.cut = True, 0.0
        self._trader = copy(self.strategy)
        cost = before.size * (before.entry_price or mark.price) + bought * mark.price
        self.size = self._real = before.size + bought
        self.entry_price = cost / self.size if self.size else None


def _free(limits: Limits, own: Entries) -> Limits:
    """The same limits but for what the guard says of entries: caps of size and leverage hold a ghost as well."""
    restrictions = limits.restrictions
    return replace(
        limits,
        restrictions=type(restrictions)(
            entries={ALL_SYMBOLS: own}, max_leverage=restrictions.max_leverage, max_size=restrictions.max_size
        ),
    )
