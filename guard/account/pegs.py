"""What assets are worth over venues, and how far they are below what they stand for. Pure: no I/O, no clock.

A venue's own book is never a reference for itself alone. On 10 October 2025 USDe, wBETH and BNSOL fell by a third to
nine tenths on one venue's books while they kept their worth elsewhere, and that venue liquidated by those books.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp, log

from guard.account.peg_settings import USD, AssetKind, PegSettings, fold, house_of
from guard.account.peg_votes import Agreed, Normal, Quote, Voice, agree, quote_of
from guard.events import AssetPricesSeen
from guard.units import BPS_PER_UNIT, NS_PER_S, Nanoseconds

__all__ = ["AssetKind", "Depeg", "PegBook", "PegSettings", "Reference", "fold"]

FORGOTTEN_NS = 3_600 * NS_PER_S
"""A pair that a venue has not told for so long, while it tells others, it has no more."""
SPREAD_BPS_MAX = 2_000.0
"""A book wider than this says nothing of a price."""

LOG_PRICE_MAX = 700.0
"""Beyond it a float ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What an asset is worth over venues.

    Attributes:
        price_usd: median over venues of mid; the lower of two that disagree.
        dearest_usd: the higher of two that disagree, else ``price_usd``: what a debt is worth at worst.
        venues: those whose prices were counted.
        spread_bps: how far the counted ones lie apart, highest over lowest.
        half_spread_bps: median over them of half their bid-ask spread.
        is_disputed: two disagree and no third decides; so of what it is quoted in.
        assumed: cash counted as 1 USD because nobody told its price.
        stale: venues left out because they have said nothing for too long.
    """

    price_usd: float
    dearest_usd: float
    venues: tuple[str, ...] = ()
    spread_bps: float = 0.0
    half_spread_bps: float = 0.0
    is_disputed: bool = False
    assumed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Depeg:
    """How far an asset is below what it stands for.

    Attributes:
        value: log deviation, 0 and up; 0.36 is 30 % below.
        ratio: its price in what it stands for (USD, or the wrapped asset), ``None`` for what stands for itself.
        normal: what that ratio is held against.
        is_cold: its normal is not learned yet: the value is a lower bound.
        is_disputed: venues disagree; the worse one counts.
    """

    value: float
    ratio: float | None = None
    normal: float | None = None
    is_cold: bool = False
    is_disputed: bool = False


@dataclass(slots=True)
class PegBook:
    """The fold of spot prices at several venues; see the module. Asking changes nothing that is told.

    ``leaving_out`` is the venue of the account whose collateral is valued. It never decides: others must speak. Where
    three or more others do, it is not heard at all; where fewer do, it is one witness among them, so that two that
    disagree have a third. The median of three or more cannot be moved by one of them beyond what the others say.

    Cash is priced first, in USD: pairs quoted in USD anchor, all else follows from pairs between them, the one that
    most venues quote first. Where nobody tells a price of USDT in USD it counts as 1, and the reference says so.
    A venue has one voice for an asset: its pair in cash with the narrowest spread, else its pair in another coin.

    >>> from guard.events import AssetPrice
    >>> book = PegBook()
    >>> for venue, bid in (("binance", 0.66), ("bybit", 0.998), ("okx", 0.999)):
    ...     price = AssetPrice(asset="USDe", quote="USDT", bid=bid, ask=bid + 0.001)
    ...     book.apply(AssetPricesSeen(received_at=0, venue=venue, prices=(price,)))
    >>> seen = book.usd_price("USDe", 0, leaving_out="binance")
    >>> round(seen.price_usd, 3), seen.venues, seen.assumed
    (0.998, ('binance', 'bybit', 'okx'), ('USDT',))
    """

    settings: PegSettings = field(default_factory=PegSettings)
    _quotes: dict[str, dict[tuple[str, str], Quote]] = field(default_factory=dict)
    _normals: dict[str, Normal] = field(default_factory=dict)
    _cash: tuple[str, ...] = field(init=False, repr=False)
    _stable: tuple[str, ...] = field(init=False, repr=False)
    _wrapped: dict[str, str] = field(init=False, repr=False)
    _stale_ns: Nanoseconds = field(init=False, repr=False)
    _asked_at: Nanoseconds = -1
    _agreed: dict[tuple[str, str, str | None], Agreed | None] = field(default_factory=dict, repr=False)
    _settled: dict[str | None, dict[str, Agreed]] = field(default_factory=dict, repr=False)
    """Answers given at ``_asked_at``: one assessment asks for the same many times."""

    def __post_init__(self) -> None:
        self.reconfigure(self.settings)

    def reconfigure(self, settings: PegSettings) -> None:
        """Judge by other settings from now on; prices and normals are kept."""
        self.settings = settings
        self._cash = tuple(dict.fromkeys(fold(asset) for asset in settings.cash))
        self._stable = tuple(dict.fromkeys(fold(asset) for asset in settings.stablecoins))
        self._wrapped = settings.claims
        self._stale_ns = int(settings.stale_s * NS_PER_S)
        self._normals = {asset: normal for asset, normal in self._normals.items() if asset in self._wrapped}
        self._forget_answers()

    # ---------------------------------------------------------------- the one mutation

    def apply(self, event: object) -> None:
        """Fold prices in; other events, and prices that are none, are ignored."""
        if not isinstance(event, AssetPricesSeen):
            return
        self._forget_answers()
        quotes = self._quotes.setdefault(house_of(event.venue), {})
        for pair in [pair for pair, quote in quotes.items() if event.received_at - quote.at > FORGOTTEN_NS]:
            del quotes[pair]
        said: set[str] = set()
        for price in event.prices:
            quote = quote_of(price, event.received_at)
            if quote is not None:
                pair = fold(price.asset), fold(price.quote)
                quotes[pair] = quote
                said.update(pair)
        for asset, underlying in self._wrapped.items():
            if asset in said or (underlying in said and asset in self._normals):
                self._learn(asset, event.received_at)

    def _learn(self, asset: str, now: Nanoseconds) -> None:
        ratio = self._ratio(asset, now, None)
        if ratio is None or ratio.is_disputed:
            return
        settings = self.settings
        self._normals.setdefault(asset, Normal()).observe(
            now,
            ratio.worse,
            window_ns=int(settings.window_h * 3_600 * NS_PER_S),
            warm_up_ns=self._warm_up_ns,
            below_max=settings.learn_bps_max / BPS_PER_UNIT,
            freeze_ns=int(settings.freeze_h_max * 3_600 * NS_PER_S),
        )

    # ---------------------------------------------------------------- what is asked

    def kind(self, asset: str) -> AssetKind:
        """What an asset stands for, by the settings."""
        name = fold(asset)
        if name in self._cash:
            return AssetKind.CASH
        if name in self._stable:
            return AssetKind.STABLE
        return AssetKind.WRAPPED if name in self._wrapped else AssetKind.COIN

    def underlying(self, asset: str) -> str:
        """The coin or currency that an asset is a claim on in the end; itself where it is none.

        >>> PegBook().underlying("wBETH"), PegBook().underlying("sUSDe"), PegBook().underlying("BTC")
        ('ETH', 'USDE', 'BTC')
        """
        name = fold(asset)
        while name in self._wrapped:
            name = self._wrapped[name]
        return name

    def watch_list(self, held: Iterable[str]) -> frozenset[str]:
        """Whose prices are needed to value ``held``: those, what they are claims on, and cash but USD."""
        names = {fold(asset) for asset in held}
        needed = names | {self._wrapped[name] for name in names & self._wrapped.keys()}
        needed |= {self.underlying(name) for name in names}
        return frozenset(needed | set(self._cash)) - {USD} if needed else frozenset()

    def usd_price(self, asset: str, now: Nanoseconds, *, leaving_out: str | None = None) -> Reference | None:
        """What a unit is worth over venues, USD; ``None`` where no venue but ``leaving_out`` tells it.

        Args:
            asset: its name; case makes no difference.
            now: prices older than ``stale_s`` are left out.
            leaving_out: see the class; any id of the venue (``binanceusdm`` is ``binance``).
        """
        name = fold(asset)
        if name == USD:
            return Reference(price_usd=1.0, dearest_usd=1.0)
        agreed = self._worth(name, now, _house(leaving_out))
        if agreed is None:
            return None
        return Reference(
            price_usd=_price_of(agreed.worse),
            dearest_usd=_price_of(agreed.better),
            venues=tuple(sorted(agreed.voices)),
            spread_bps=agreed.spread_bps,
            half_spread_bps=agreed.half_spread_bps,
            is_disputed=agreed.is_disputed,
            assumed=agreed.assumed,
            stale=tuple(sorted(self._silent(name, now) - set(agreed.voices))),
        )

    def why_unknown(self, asset: str, now: Nanoseconds, *, leaving_out: str | None = None) -> str | None:
        """In words why there is no price over venues; ``None`` where there is one."""
        if self.usd_price(asset, now, leaving_out=leaving_out) is not None:
            return None
        name = fold(asset)
        fresh, silent = self._telling(name, now - self._stale_ns), self._silent(name, now)
        if fresh == {_house(leaving_out)}:
            return f"{asset}: nobody but {leaving_out} tells its price, which is no reference for itself"
        if silent and not fresh:
            return f"{asset}: {', '.join(sorted(silent))} told its price too long ago"
        if fresh:
            return f"{asset}: {', '.join(sorted(fresh))} tell its price in nothing whose own price is known"
        return f"{asset}: no venue tells its price"

    def depeg(self, asset: str, now: Nanoseconds, *, leaving_out: str | None = None) -> Depeg | None:
        """How far an asset is below what it stands for; ``None`` where it cannot be known.

        1 USD for cash and stablecoins; for a wrapped asset the normal ratio to what it wraps, at least 1, besides the
        deviation of that itself; a coin stands for itself. Arguments as of ``usd_price``.
        """
        match self.kind(asset):
            case AssetKind.COIN:
                return Depeg(value=0.0)
            case AssetKind.WRAPPED:
                return self._depeg_wrapped(fold(asset), now, _house(leaving_out))
            case _:
                seen = self.usd_price(asset, now, leaving_out=leaving_out)
                if seen is None or fold(asset) in seen.assumed:
                    return None
                return Depeg(
                    value=max(0.0, -log(seen.price_usd)),
                    ratio=seen.price_usd,
                    normal=1.0,
                    is_disputed=seen.is_disputed,
                )

    def _depeg_wrapped(self, asset: str, now: Nanoseconds, own: str | None) -> Depeg | None:
        ratio = self._ratio(asset, now, own)
        below = self.depeg(self._wrapped[asset], now, leaving_out=own)
        if ratio is None or below is None:
            return None
        known = self._normals.get(asset)
        learned = None if known is None else known.value(self._warm_up_ns)
        normal = max(0.0, 0.0 if learned is None else learned)
        return Depeg(
            value=max(0.0, normal - ratio.worse) + below.value,
            ratio=_price_of(ratio.worse),
            normal=_price_of(normal),
            is_cold=learned is None or below.is_cold,
            is_disputed=ratio.is_disputed or below.is_disputed,
        )

    @property
    def _warm_up_ns(self) -> Nanoseconds:
        return int(self.settings.warm_up_s * NS_PER_S)

    # ---------------------------------------------------------------- what venues agree upon, in logs

    def _worth(self, asset: str, now: Nanoseconds, own: str | None) -> Agreed | None:
        """The price of an asset in USD."""
        if asset in self._cash:
            return self._cash_worths(now, own).get(asset)
        return self._agree(asset, USD, now, own)

    def _ratio(self, asset: str, now: Nanoseconds, own: str | None) -> Agreed | None:
        """The price of a wrapped asset in what it wraps, venue by venue: prices of one venue are of one moment."""
        return self._agree(asset, self._wrapped[asset], now, own)

    def _agree(self, asset: str, unit: str, now: Nanoseconds, own: str | None) -> Agreed | None:
        self._turn_to(now)
        key = asset, unit, own
        if key not in self._agreed:
            voices = {venue: self._voice(venue, asset, unit, now, own) for venue in self._quotes}
            heard = {venue: voice for venue, voice in voices.items() if voice is not None}
            self._agreed[key] = agree(heard, own, self.settings.disagree_bps)
        return self._agreed[key]

    def _voice(self, venue: str, asset: str, unit: str, now: Nanoseconds, own: str | None) -> Voice | None:
        """What one venue says an asset is worth in ``unit``."""
        direct = self._quoted(venue, asset, unit, now)
        if direct is not None:
            return direct
        if unit != USD:
            common = [
                priced.less(of_unit)
                for quote in self._cash
                if (priced := self._quoted(venue, asset, quote, now)) is not None
                and (of_unit := self._quoted(venue, unit, quote, now)) is not None
            ]
            if common:
                return _narrowest(common)
            priced, worth = self._voice(venue, asset, USD, now, own), self._worth(unit, now, own)
            return None if priced is None or worth is None else priced.less(worth)
        cash = self._cash_worths(now, own)
        in_cash = self._in_cash(venue, asset, now, cash)
        return in_cash if in_cash is not None else self._through_coin(venue, asset, now, cash)

    def _in_cash(self, venue: str, asset: str, now: Nanoseconds, cash: dict[str, Agreed]) -> Voice | None:
        return _narrowest(
            priced.plus(worth)
            for quote, worth in cash.items()
            if (priced := self._quoted(venue, asset, quote, now)) is not None
        )

    def _through_coin(
        self, venue: str, asset: str, now: Nanoseconds, cash: dict[str, Agreed]
    ) -> Voice | None:
        """By a pair in another coin that the same venue quotes in cash."""
        coins = [quote for base, quote in self._quotes[venue] if base == asset and quote not in self._cash]
        return _narrowest(
            priced.plus(worth)
            for coin in coins
            if (priced := self._quoted(venue, asset, coin, now)) is not None
            and (worth := self._in_cash(venue, coin, now, cash)) is not None
        )

    def _cash_worths(self, now: Nanoseconds, own: str | None) -> dict[str, Agreed]:
        self._turn_to(now)
        if own not in self._settled:
            self._settled[own] = self._settle_cash(now, own)
        return self._settled[own]

    def _settle_cash(self, now: Nanoseconds, own: str | None) -> dict[str, Agreed]:
        """Price cash in USD: each time the one that most venues quote against what is priced already."""
        worths = {USD: Agreed(0.0, 0.0)}
        left = [asset for asset in self._cash if asset != USD]
        while left:
            agreed = {
                asset: found
                for asset in left
                if (found := agree(self._cash_voices(asset, now, worths), own, self.settings.disagree_bps))
            }
            if agreed:
                asset = max(agreed, key=lambda each: len(agreed[each].voices))  # the first of equals
                worths[asset] = agreed[asset]
            elif len(worths) == 1:
                asset = left[0]
                worths[asset] = Agreed(0.0, 0.0, assumed=(asset,))
            else:
                break
            left.remove(asset)
        return worths

    def _cash_voices(self, asset: str, now: Nanoseconds, worths: dict[str, Agreed]) -> dict[str, Voice]:
        voices = {}
        for venue in self._quotes:
            said = []
            for quote, worth in worths.items():
                voice, turned = self._quoted(venue, asset, quote, now), self._quoted(venue, quote, asset, now)
                if voice is not None:
                    said.append(voice.plus(worth))
                elif turned is not None:
                    said.append(turned.turned().plus(worth))
            found = _narrowest(said)
            if found is not None:
                voices[venue] = found
        return voices

    def _quoted(self, venue: str, asset: str, quote: str, now: Nanoseconds) -> Voice | None:
        seen = self._quotes[venue].get((asset, quote))
        if seen is None or now - seen.at > self._stale_ns or seen.half_spread_bps * 2.0 > SPREAD_BPS_MAX:
            return None
        return Voice(seen.log_mid, seen.log_mid, seen.half_spread_bps)

    def _telling(self, asset: str, since: Nanoseconds) -> set[str]:
        """Venues that quote an asset in anything, and said so since then."""
        return {
            venue
            for venue, quotes in self._quotes.items()
            if any(pair[0] == asset and quote.at >= since for pair, quote in quotes.items())
        }

    def _silent(self, asset: str, now: Nanoseconds) -> set[str]:
        return self._telling(asset, 0) - self._telling(asset, now - self._stale_ns)

    def _turn_to(self, now: Nanoseconds) -> None:
        if now != self._asked_at:
            self._forget_answers()
            self._asked_at = now

    def _forget_answers(self) -> None:
        self._agreed.clear()
        self._settled.clear()


def _house(venue: str | None) -> str | None:
    return None if venue is None else house_of(venue)


def _narrowest(voices: Iterable[Voice]) -> Voice | None:
    return min(voices, key=lambda voice: voice.half_spread_bps, default=None)


def _price_of(log_price: float) -> float:
    """Of a price that nobody pays any number is right that can be counted with."""
    return exp(min(log_price, LOG_PRICE_MAX))
