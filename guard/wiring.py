"""Which feeds the settings come to: for ``app``, at the start and at each reload; nothing connects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.exchanges import venue_feeds
from adapters.exchanges.asset_prices import asset_price_feeds
from adapters.storage.margin_terms import MarginTermsFiles
from guard.account.collateral import assets_to_price
from guard.account.hypothetical import Hypothetical, snapshots_of
from guard.account.pools import settle_of
from guard.configuration import Settings
from guard.ports import Clock, Emit, Feed, Pace
from guard.settings import resolve_secret
from guard.state import GuardState
from guard.units import account_id, market_id, symbol_of, venue_of


def feeds_of_venue(
    settings: Settings, name: str, clock: Clock, *, state: Callable[[], GuardState], pace: Pace
) -> list[Feed]:
    """Make the feeds of one venue; ``state`` is what they ask who holds what. Raises SettingsError."""
    index, venue = next((index, venue) for index, venue in enumerate(settings.venues) if venue.id == name)

    def resolve(*, what: str, file: Path | str | None, env: str | None) -> bytes:
        return resolve_secret(what=f"venues.{index}.{what}", file=file, env=env)

    return venue_feeds(
        venue,
        clock=clock,
        resolve_secret=resolve,
        held=lambda: state().needed(name),
        pace=pace,
        memory=MarginTermsFiles(settings.audit.margin_terms_folder, clock),
        watched=lambda: {symbol_of(market) for market in state().watched if venue_of(market) == name},
        assets=lambda: assets_held(state(), name),
    )


def assets_held(state: GuardState, venue: str) -> frozenset[str]:
    """What stands behind positions in accounts of a venue, and in what these are paid."""
    held: set[str] = set()
    for account, view in state.accounts.items():
        if venue_of(account) != venue:
            continue
        for snapshot in view.snapshots.values():
            held.update(each.asset for each in snapshot.collateral or ())
            held.update(settle_of(position) for position in snapshot.positions)
    return frozenset(held)


def asset_price_feeds_of(settings: Settings, clock: Clock, *, state: Callable[[], GuardState]) -> list[Feed]:
    """Make the feed that asks what collateral costs at several venues, unless it is turned off."""
    collateral = settings.collateral

    def wanted() -> frozenset[str]:
        known = state()
        return assets_to_price(known.accounts.values(), known.own.pegs, collateral.prices.assets)

    return [
        *asset_price_feeds(
            collateral.prices,
            clock=clock,
            wanted=wanted,
            cash=collateral.pegs.cash,
            claims=collateral.pegs.claims,
        )
    ]


@dataclass(frozen=True, slots=True)
class _AskedFeed:
    """Says once what the settings ask about; settings never age."""

    asked: tuple[Hypothetical, ...]
    clock: Clock
    name = "positions of the settings"

    async def run(self, emit: Emit) -> None:
        for snapshot in snapshots_of(self.asked, self.clock.now()):
            emit(snapshot)


def asked_of(settings: Settings) -> tuple[Hypothetical, ...]:
    """The positions of the settings, which nobody holds."""
    return tuple(
        Hypothetical(
            account=account_id(position.venue, position.account),
            market=market_id(position.venue, position.symbol),
            size=position.size,
            entry_price=position.entry_price,
            leverage=position.leverage,
            margin_usd=position.margin_usd,
        )
        for position in settings.positions
    )


def asked_feeds_of(settings: Settings, clock: Clock) -> list[Feed]:
    """Make the feed that tells the positions of the settings, if there are any."""
    asked = asked_of(settings)
    return [_AskedFeed(asked, clock)] if asked else []
