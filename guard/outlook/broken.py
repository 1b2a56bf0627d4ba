"""Which estimator raised in which market: the others go on, and it is said. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from guard.units import MarketId

Asked = ParamSpec("Asked")
Told = TypeVar("Told")


@dataclass(slots=True)
class Broken:
    """Asks estimators, and keeps what those raised that did; one that answers again is broken no more."""

    _raised: dict[tuple[str, MarketId | None], Exception] = field(default_factory=dict)

    def ask(
        self,
        name: str,
        market: MarketId | None,
        estimator: Callable[Asked, Told],
        /,
        *args: Asked.args,
        **kwargs: Asked.kwargs,
    ) -> Told | None:
        """Return what an estimator says, ``None`` if it raises."""
        try:
            told = estimator(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 (whatever one estimator does, the others still run)
            self._raised[name, market] = error
            return None
        if self._raised:
            self._raised.pop((name, market), None)
        return told

    def say(self, name: str, market: MarketId | None, error: Exception) -> None:
        """Something is broken that is not asked."""
        self._raised[name, market] = error

    def names(self, market: MarketId) -> tuple[str, ...]:
        """Which of them are broken in a market, or for all of them."""
        if not self._raised:
            return ()
        return tuple(name for name, where in self._raised if where in (market, None))

    def forget(self, market: MarketId) -> None:
        """The market is watched no more."""
        for key in [key for key in self._raised if key[1] == market]:
            del self._raised[key]

    def __iter__(self) -> Iterator[tuple[str, MarketId | None, Exception]]:
        """Each of them, where, and what it raised."""
        for (name, market), error in self._raised.items():
            yield name, market, error
