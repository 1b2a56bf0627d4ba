"""One account as known from several sources, each position counted once. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs

from guard.events import AccountSnapshot, Order, Position, PositionSource
from guard.units import NS_PER_S, AccountId, BotId, MarketId, Nanoseconds

FOREIGN_SETTLE_NS = 3 * NS_PER_S
"""A bot reports a fill at once and the venue shows it at once: a difference that stands longer is not one."""

FOREIGN_TOLERANCE = 0.02


@dataclass(slots=True)
class AccountView:
    """The fold of one account.

    The venue's own word replaces the bots' and the settings'; the bots' replaces the settings'. So a
    position that a bot reports and the venue also shows is counted once. What each bot says it holds
    is kept beside, to share a limit among the owners of one position. What the venue shows beyond the
    sum of the bots' reports is foreign (a human's) once it has stood for ``FOREIGN_SETTLE_NS``: before
    that it is a fill that one of the two has told and the other not yet. A difference that a report made
    and the venue did not follow is not foreign either, but a report that is not true.

    ``version`` rises when anyone says anything new: while it stays, so do positions, orders and shares, though
    not the time at which they were seen last. ``held_version`` rises when something else is held, or stands behind
    it, and not when only prices have moved.
    """

    account: AccountId
    snapshots: dict[PositionSource, AccountSnapshot] = field(default_factory=dict)
    held_by_bot: dict[BotId, tuple[Position, ...]] = field(default_factory=dict)
    told_at: dict[BotId, Nanoseconds] = field(default_factory=dict)
    version: int = 0
    held_version: int = 0
    _foreign: dict[MarketId, _Foreign] = field(default_factory=dict)
    _source: PositionSource | None = None
    _positions: tuple[Position, ...] = ()
    _sizes: dict[MarketId, float] = field(default_factory=dict)
    _legs: dict[MarketId, tuple[Position, ...]] = field(default_factory=dict)
    _held: dict[tuple[BotId, MarketId], float] = field(default_factory=dict)
    _seen: tuple[object, ...] = ()
    _kept: tuple[object, ...] = ()

    def apply_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Replace what was known from the snapshot's source."""
        self.snapshots[snapshot.source] = snapshot
        self._look_again()
        self._settle_foreign(snapshot.received_at, is_proof=True)
        self._note_change()

    def apply_bot(self, bot: BotId, positions: tuple[Position, ...], at: Nanoseconds) -> None:
        """Replace what one bot says it holds."""
        is_first = bot not in self.held_by_bot
        self.held_by_bot[bot] = positions
        self.told_at[bot] = at
        held: dict[tuple[BotId, MarketId], float] = {}
        for position in positions:
            key = (bot, position.market)
            held[key] = held.get(key, 0) + position.size
        self._held = {key: size for key, size in self._held.items() if key[0] != bot} | held
        self._look_again()
        self._settle_foreign(at, is_proof=is_first)
        self._note_change()

    @property
    def source(self) -> PositionSource | None:
        """Whose word ``positions`` is; ``None`` when nobody has said anything yet."""
        return self._source

    @property
    def told(self) -> AccountSnapshot | None:
        """The whole account in the word of ``source``; ``None`` where that is bots, who know positions alone."""
        return None if self._source is None else self.snapshots.get(self._source)

    @property
    def seen_at(self) -> Nanoseconds | None:
        """When ``positions`` was last told, by the bot that was silent longest; settings never age."""
        match self.source:
            case PositionSource.VENUE:
                return self.snapshots[PositionSource.VENUE].received_at
            case PositionSource.BOT:
                return min(self.told_at.values(), default=None)
            case _:
                return None

    @property
    def equity_usd(self) -> float | None:
        """Wallet balance plus unrealised profit, where anyone said it."""
        for source in PositionSource:
            snapshot = self.snapshots.get(source)
            if snapshot is not None and snapshot.equity_usd is not None:
                return snapshot.equity_usd
        return None

    @property
    def positions(self) -> tuple[Position, ...]:
        """Every open position once, from the best source; legs of one market stay apart (hedge mode)."""
        return self._positions

    @property
    def orders(self) -> tuple[Order, ...] | None:
        """Resting orders as the venue shows them; ``None`` where they cannot be seen."""
        snapshot = self.snapshots.get(PositionSource.VENUE)
        return None if snapshot is None else snapshot.orders

    def size(self, market: MarketId) -> float:
        """Net signed size in ``market``, base units; 0.0 when flat or unknown (ask ``source``)."""
        return self._sizes.get(market, 0.0)

    def legs(self, market: MarketId) -> tuple[Position, ...]:
        """Open positions in ``market``: two of opposite sign in hedge mode, else one or none."""
        return self._legs.get(market, ())

    def foreign(self, market: MarketId) -> float:
        """Signed size in ``market`` that is settled to belong to none of the bots, base units."""
        known = self._foreign.get(market)
        return 0.0 if known is None else known.settled

    def agrees(self, market: MarketId) -> bool:
        """Whether what the bots report adds up to what the venue shows."""
        known = self._foreign.get(market)
        return known is None or known.difference == 0.0

    def held(self, bot: BotId, market: MarketId) -> float:
        """Signed size in ``market`` that ``bot`` says is its own."""
        return self._held.get((bot, market), 0.0)

    def _look_again(self) -> None:
        """Work out once what is asked many times between two words of anyone."""
        self._source = self._best_source()
        match self._source:
            case None:
                self._positions = ()
            case PositionSource.BOT:
                self._positions = _summed(self.held_by_bot)
            case source:
                self._positions = tuple(
                    position for position in self.snapshots[source].positions if position.size != 0.0
                )
        sizes: dict[MarketId, float] = {}
        legs: dict[MarketId, tuple[Position, ...]] = {}
        for position in self._positions:
            sizes[position.market] = sizes.get(position.market, 0) + position.size
            legs[position.market] = (*legs.get(position.market, ()), position)
        self._sizes, self._legs = sizes, legs

    def _note_change(self) -> None:
        foreign = {market: (known.settled, known.difference) for market, known in self._foreign.items()}
        seen = (self._source, self._positions, self.orders, self._held, tuple(self.held_by_bot), foreign)
        if seen != self._seen:
            self.version, self._seen = self.version + 1, seen
        kept = (self._source, tuple(map(_kept, self._positions)), _backing(self.told))
        if kept != self._kept:
            self.held_version, self._kept = self.held_version + 1, kept

    def _best_source(self) -> PositionSource | None:
        if PositionSource.VENUE in self.snapshots:
            return PositionSource.VENUE
        if self.held_by_bot:
            return PositionSource.BOT
        return PositionSource.SETTINGS if PositionSource.SETTINGS in self.snapshots else None

    def _settle_foreign(self, at: Nanoseconds, *, is_proof: bool) -> None:
        if PositionSource.VENUE not in self.snapshots or not self.held_by_bot:
            return
        held: dict[MarketId, float] = {}
        for positions in self.held_by_bot.values():
            for position in positions:
                held[position.market] = held.get(position.market, 0.0) + position.size
        for market in {**held, **{position.market: 0.0 for position in self.positions}, **self._foreign}:
            size, reported = self.size(market), held.get(market, 0.0)
            difference = size - reported
            if abs(difference) <= FOREIGN_TOLERANCE * max(abs(size), abs(reported)):
                self._foreign.pop(market, None)
                continue
            known = self._foreign.setdefault(market, _Foreign(difference, at, is_proof))
            if abs(difference - known.difference) > FOREIGN_TOLERANCE * abs(known.difference):
                known.difference, known.since, known.is_proof = difference, at, is_proof
            elif known.is_proof and at - known.since >= FOREIGN_SETTLE_NS:
                known.settled = difference


def without(
    view: AccountView, *, source: PositionSource | None = None, bot: BotId | None = None
) -> AccountView:
    """The same account as if one of those who speak of it had never spoken."""
    fresh = AccountView(view.account)
    for each, snapshot in view.snapshots.items():
        if each is not source:
            fresh.apply_snapshot(snapshot)
    for each_bot, positions in view.held_by_bot.items():
        if each_bot != bot:
            fresh.apply_bot(each_bot, positions, view.told_at[each_bot])
    fresh.version += view.version + 1  # whoever remembers what it saw must see that it is another view
    fresh.held_version += view.held_version + 1
    return fresh


@dataclass(slots=True)
class _Foreign:
    difference: float
    since: Nanoseconds
    is_proof: bool
    settled: float = 0.0


def _summed(held_by_bot: dict[BotId, tuple[Position, ...]]) -> tuple[Position, ...]:
    """One position a market over all bots of an account, entry prices weighted by size."""
    merged: dict[MarketId, Position] = {}
    for positions in held_by_bot.values():
        for position in positions:
            known = merged.get(position.market)
            merged[position.market] = position if known is None else _sum_of(known, position)
    return tuple(position for position in merged.values() if position.size != 0.0)


def _sum_of(first: Position, second: Position) -> Position:
    size = first.size + second.size
    entry = None
    if first.entry_price is not None and second.entry_price is not None and size != 0.0:
        entry = (first.entry_price * first.size + second.entry_price * second.size) / size
    liquidation = first.liquidation_price if first.liquidation_price == second.liquidation_price else None
    return structs.replace(first, size=size, entry_price=entry, liquidation_price=liquidation)


def _kept(position: Position) -> tuple[object, ...]:
    """What only trades and the owner change."""
    return (
        position.market,
        position.size if position.contracts_usd is None else position.contracts_usd,
        position.entry_price,
        position.margin_mode,
        position.leverage,
    )


def _backing(snapshot: AccountSnapshot | None) -> tuple[object, ...]:
    if snapshot is None or snapshot.collateral is None:
        return () if snapshot is None else (snapshot.pooling, snapshot.wallet_usd)
    return (
        snapshot.pooling,
        *((held.asset, held.quantity, held.is_collateral) for held in snapshot.collateral),
    )
