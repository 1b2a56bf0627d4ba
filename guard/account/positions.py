"""One account as known from several sources, each position counted once. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs

from guard.account.hypothetical import estimated_liquidation_price
from guard.events import AccountSnapshot, Order, Position, PositionSource
from guard.units import AccountId, BotId, MarketId, Nanoseconds


@dataclass(slots=True)
class AccountView:
    """The fold of one account.

    The venue's own word replaces the bots' and the settings'; the bots' replaces the settings'. So a
    position that a bot reports and the venue also shows is counted once. What each bot says it holds
    is kept beside, to share a limit among the owners of one position.
    """

    account: AccountId
    snapshots: dict[PositionSource, AccountSnapshot] = field(default_factory=dict)
    held_by_bot: dict[BotId, tuple[Position, ...]] = field(default_factory=dict)
    bots_at: Nanoseconds = 0

    def apply_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Replace what was known from the snapshot's source."""
        self.snapshots[snapshot.source] = snapshot

    def apply_bot(self, bot: BotId, positions: tuple[Position, ...], at: Nanoseconds) -> None:
        """Replace what one bot says it holds."""
        self.held_by_bot[bot] = positions
        self.bots_at = at

    @property
    def source(self) -> PositionSource | None:
        """Whose word ``positions`` is; ``None`` when nobody has said anything yet."""
        if PositionSource.VENUE in self.snapshots:
            return PositionSource.VENUE
        if self.held_by_bot:
            return PositionSource.BOT
        if PositionSource.SETTINGS in self.snapshots:
            return PositionSource.SETTINGS
        return None

    @property
    def seen_at(self) -> Nanoseconds | None:
        """When ``positions`` was last told; settings never age."""
        match self.source:
            case PositionSource.VENUE:
                return self.snapshots[PositionSource.VENUE].received_at
            case PositionSource.BOT:
                return self.bots_at
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
        match self.source:
            case PositionSource.BOT:
                return _summed(self.held_by_bot)
            case None:
                return ()
            case source:
                return tuple(
                    position for position in self.snapshots[source].positions if position.size != 0.0
                )

    @property
    def orders(self) -> tuple[Order, ...] | None:
        """Resting orders as the venue shows them; ``None`` where they cannot be seen."""
        snapshot = self.snapshots.get(PositionSource.VENUE)
        return None if snapshot is None else snapshot.orders

    def size(self, market: MarketId) -> float:
        """Net signed size in ``market``, base units; 0.0 when flat or unknown (ask ``source``)."""
        return sum(position.size for position in self.positions if position.market == market)

    def share(self, bot: BotId, market: MarketId, owners: tuple[BotId, ...]) -> float:
        """The part of a limit on the whole position that falls to ``bot``, 0..1.

        By what each owner says it holds; equally while nobody says. ``owners`` are the bots that trade
        the market on this account.
        """
        held = {owner: abs(self.held(owner, market)) for owner in owners}
        total = sum(held.values())
        if total <= 0.0:
            return 1.0 / max(len(owners), 1)
        return held.get(bot, 0.0) / total

    def held(self, bot: BotId, market: MarketId) -> float:
        """Signed size in ``market`` that ``bot`` says is its own."""
        return sum(position.size for position in self.held_by_bot.get(bot, ()) if position.market == market)


def _summed(held_by_bot: dict[BotId, tuple[Position, ...]]) -> tuple[Position, ...]:
    """One position a market over all bots of an account, entry prices weighted by size."""
    merged: dict[MarketId, Position] = {}
    for positions in held_by_bot.values():
        for position in positions:
            known = merged.get(position.market)
            merged[position.market] = position if known is None else _sum_of(known, position)
    return tuple(_with_liquidation(position) for position in merged.values() if position.size != 0.0)


def _sum_of(first: Position, second: Position) -> Position:
    size = first.size + second.size
    entry = None
    if first.entry_price is not None and second.entry_price is not None and size != 0.0:
        entry = (first.entry_price * first.size + second.entry_price * second.size) / size
    liquidation = first.liquidation_price if first.liquidation_price == second.liquidation_price else None
    return structs.replace(first, size=size, entry_price=entry, liquidation_price=liquidation)


def _with_liquidation(position: Position) -> Position:
    """A bot seldom knows where it is liquidated: solve for it from what it does know."""
    if position.liquidation_price is not None:
        return position
    price = estimated_liquidation_price(position)
    return structs.replace(position, liquidation_price=price, liquidation_is_estimate=price is not None)
