"""What an event may have changed: whose findings have to be asked for again because of it. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from guard.events import (
    AccountSnapshot,
    AnyEvent,
    AssetPricesSeen,
    BotAcked,
    BotBorn,
    BotReported,
    BotStatusSeen,
    CommandSent,
    LiquidationSeen,
    LongShortRatioSeen,
    MarginTermsSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    OpenInterestHistorySeen,
    OpenInterestSeen,
    OutlookRestored,
    OutsideFactSeen,
    PositionSource,
    Stream,
    StreamActivity,
    StreamFault,
    StreamsActive,
    TrackedPositionsSeen,
)
from guard.state import GuardState
from guard.units import AccountId, BotId, MarketId

ONLY_NOTED = (
    MarkPriceSeen,
    OpenInterestSeen,
    LiquidationSeen,
    StreamActivity,
    StreamsActive,
    OpenInterestHistorySeen,
    LongShortRatioSeen,
    TrackedPositionsSeen,
    OutsideFactSeen,
)
"""Events that change the state but wait for the next Tick, or sample of their market, to be judged: they come often,
or only estimators are fed with them."""

Scope = frozenset[MarketId] | None
"""Markets of which a policy may say something else now, ``None`` for all of them."""

NOTHING: Scope = frozenset()


@dataclass(frozen=True, slots=True)
class Before:
    """What has to be remembered of the state as it was before an event, to know what the event changed."""

    account: AccountId | None = None
    source: PositionSource | None = None
    held: frozenset[MarketId] = frozenset()
    positions: tuple[object, ...] = ()
    traded: tuple[MarketId, ...] = ()
    markets: int = 0


_NOTHING_BEFORE = Before()


def before(event: AnyEvent, state: GuardState) -> Before:
    """Remember what ``scope_of`` compares with, before the event is folded."""
    match event:
        case AccountSnapshot(account=account) | StreamFault(stream=Stream.ACCOUNT, subject=account):
            return _seen_of(state, AccountId(account))
        case BotBorn() | BotStatusSeen() | BotReported():
            record = state.bots.get(_bot_of(event))
            return (
                _NOTHING_BEFORE if record is None else _seen_of(state, record.config.account, record.markets)
            )
        case _:
            return _NOTHING_BEFORE


def scope_of(event: AnyEvent, was: Before, state: GuardState) -> Scope:  # noqa: PLR0911 (one case a line is the table)
    """Say of which markets the event, already folded, may have changed what a policy finds.

    That time passes is not among it: what depends on time alone is asked for at each Tick.
    """
    match event:
        case MarketFeatures(market=market):
            return frozenset((market,))
        case MarketsSampled(samples=samples):
            return frozenset(sample.market for sample in samples)
        case AccountSnapshot() | StreamFault(stream=Stream.ACCOUNT):
            return was.held | _held(state, was.account)
        case StreamFault(subject=subject):
            return frozenset((MarketId(subject),))
        case BotBorn() | BotStatusSeen() | BotReported():
            return _scope_of_bot(_bot_of(event), was, state)
        case BotAcked() | CommandSent() | MarginTermsSeen() | AssetPricesSeen() | OutlookRestored():
            return NOTHING  # accounts are assessed by these at the next Tick, markets estimated at their next refresh
        case _:
            return None


def _scope_of_bot(bot: BotId, was: Before, state: GuardState) -> Scope:
    record = state.bots.get(bot)
    if record is None or was.account is None:
        return NOTHING
    scope: frozenset[MarketId] = frozenset()
    view = state.account(was.account)
    is_venues = view.source is was.source is PositionSource.VENUE
    if not is_venues or view.positions != was.positions:
        scope = was.held | _held(state, was.account)
    if record.markets != was.traded:
        scope |= frozenset(record.markets) ^ frozenset(was.traded)
    if len(state.markets) != was.markets:
        return None
    return scope


def _seen_of(state: GuardState, account: AccountId, traded: tuple[MarketId, ...] = ()) -> Before:
    view = state.accounts.get(account)
    if view is None:
        return Before(account, traded=traded, markets=len(state.markets))
    return Before(
        account, view.source, _held(state, account), view.positions, traded, markets=len(state.markets)
    )


def _held(state: GuardState, account: AccountId | None) -> frozenset[MarketId]:
    view = None if account is None else state.accounts.get(account)
    return frozenset() if view is None else frozenset(position.market for position in view.positions)


def _bot_of(event: BotBorn | BotStatusSeen | BotReported) -> BotId:
    match event:
        case BotBorn(birth=birth):
            return BotId(birth.bot)
        case BotStatusSeen(state=status):
            return BotId(status.bot)
        case BotReported(reported=reported):
            return BotId(reported.bot)
