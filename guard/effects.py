"""Whether what was asked of a bot is so: read from the venue's positions and orders where they can be seen.

Else from what the bot reports of itself, and never from an ack. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from guard.account.positions import AccountView
from guard.events import Order, PositionSource
from guard.ownership import guarded_entries, own_entries
from guard.state import BotRecord, GuardState
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, StopRule


class Reading(StrEnum):
    """What a look at the world says of an asked effect."""

    HOLDS = "holds"
    FAILS = "fails"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Effect:
    """A reading, whose word it is (``venue``, ``bot`` or ``nobody``), and what was seen, for people."""

    reading: Reading
    source: str
    detail: str


@dataclass(frozen=True, slots=True)
class Size:
    """A bot's signed size in a market, base units, and where and when it was read."""

    value: float
    source: PositionSource
    seen_at: Nanoseconds


UNSEEN = Effect(Reading.UNSEEN, "nobody", "neither venue nor bot has shown anything newer than the command")


def size_of(state: GuardState, record: BotRecord, market: MarketId) -> Size | None:
    """Return the bot's own size, ``None`` when nobody can tell.

    On an account that several bots share, the venue shows the sum: what the others say they hold is
    taken off it, and the bot's own word must not say more than what is left, because the others' may be
    out of date. What belongs to no bot is taken off as well. In hedge mode the larger leg counts.
    """
    account = state.accounts.get(record.config.account)
    if account is None or account.source is None or account.source is PositionSource.SETTINGS:
        return None
    bot = record.config.bot
    if account.source is PositionSource.BOT:
        return _reported_size(account, record, market)
    seen_at = account.seen_at or 0
    others = [other for other in state.owners(record.config.account, market) if other != bot]
    if not others:
        legs = account.legs(market)
        if len(legs) > 1:
            sizes = sorted((position.size for position in legs), key=abs)
            if sizes[0] * sizes[-1] < 0.0:
                return Size(sizes[-1], PositionSource.VENUE, seen_at)
        return Size(account.size(market) - account.foreign(market), PositionSource.VENUE, seen_at)
    own = _reported_size(account, record, market)
    if own is None or any(other not in account.held_by_bot for other in others):
        return None
    held_by_others = sum(account.held(other, market) for other in others)
    left = account.size(market) - held_by_others - account.foreign(market)
    return Size(max(left, own.value, key=abs), PositionSource.VENUE, min(seen_at, own.seen_at))


def _reported_size(account: AccountView, record: BotRecord, market: MarketId) -> Size | None:
    reported_at = record.reported_at
    if record.reported is None or reported_at is None or not record.reported.positions_known:
        return None
    return Size(account.held(record.config.bot, market), PositionSource.BOT, reported_at)


def size_effect(
    state: GuardState,
    record: BotRecord,
    market: MarketId,
    max_size: float,
    tolerance: float,
    since: Nanoseconds,
) -> Effect:
    """Read whether the bot's position is at most ``max_size`` (absolute), seen later than ``since``."""
    size = size_of(state, record, market)
    if size is None or size.seen_at <= since:
        return UNSEEN
    reading = Reading.HOLDS if abs(size.value) <= max_size * (1.0 + tolerance) + 1e-12 else Reading.FAILS
    return Effect(reading, str(size.source), f"position {size.value:g}, at most {max_size:g} asked")


def entries_reported(
    record: BotRecord, market: MarketId, since: Nanoseconds, *, with_own: bool = True
) -> Entries | None:
    """What the bot says it allows itself in ``market``, reported later than ``since``.

    Without its own, what it tells to hold back of its own accord is left out.
    """
    reported = record.reported
    if reported is None or record.reported_at is None or record.reported_at <= since:
        return None
    said = guarded_entries(reported, market)
    if reported.safe_mode:
        said = Entries.tightest(said, Entries.REDUCE_ONLY)
    own = own_entries(reported, market) if with_own else None
    return said if own is None else Entries.tightest(said, own)


def entry_orders(state: GuardState, record: BotRecord, market: MarketId) -> tuple[Order, ...] | None:
    """Resting orders that could enter, as the venue shows them; ``None`` where it shows no orders.

    Those that another bot of the same account reports as its own are left out.
    """
    account = state.accounts.get(record.config.account)
    orders = None if account is None else account.orders
    if orders is None:
        return None
    others = _orders_of_others(state, record)
    return tuple(
        order
        for order in orders
        if order.market == market and not order.reduce_only and order.order_id not in others
    )


def _orders_of_others(state: GuardState, record: BotRecord) -> set[str]:
    return {
        order.order_id
        for other in state.bots.values()
        if other is not record
        and other.config.account == record.config.account
        and other.reported is not None
        for order in other.reported.orders
    }


def pause_effect(
    state: GuardState,
    record: BotRecord,
    market: MarketId,
    entries: Entries,
    size_at_most: float | None,
    tolerance: float,
    since: Nanoseconds,
    settle_ns: Nanoseconds = 0,
    said_since: Nanoseconds = 0,
) -> Effect:
    """Read whether the bot has stopped entering, from looks later than ``since``.

    The venue must show, ``settle_ns`` later still, no order that could enter and no growth beyond
    ``size_at_most`` (under ``NO_ADDS`` only of what was held: from flat it may open); a bot that says of itself
    that it still enters fails whatever the venue shows. What it said before ``said_since`` is not held against it.
    """
    said = entries_reported(record, market, max(since, said_since))
    if said is not None and said.tightness < entries.tightness:
        return Effect(Reading.FAILS, "bot", f"the bot reports entries {said}, {entries} asked")
    size, resting = size_of(state, record, market), entry_orders(state, record, market)
    if size is None or size.source is not PositionSource.VENUE or resting is None:
        return UNSEEN if said is None else Effect(Reading.HOLDS, "bot", f"the bot reports entries {said}")
    if size.seen_at <= since + settle_ns:
        return Effect(Reading.UNSEEN, "venue", "the venue's account was not seen since")
    may_open = entries is Entries.NO_ADDS and (size.value == 0.0 or size_at_most == 0.0)
    if resting and not may_open:
        return Effect(
            Reading.FAILS, "venue", f"{len(resting)} order(s) that can enter rest, {resting[0].order_id}"
        )
    is_grown = size_at_most is not None and abs(size.value) > size_at_most * (1.0 + tolerance) + 1e-12
    if is_grown and not may_open:
        return Effect(Reading.FAILS, "venue", f"the position grew from {size_at_most:g} to {size.value:g}")
    seen = "nothing was held that could have been grown" if may_open else "no order that can enter rests"
    return Effect(Reading.HOLDS, "venue", f"{seen} and the position is {size.value:g}")


def resume_effect(
    record: BotRecord, market: MarketId, entries: Entries, posture_version: int, since: Nanoseconds
) -> Effect:
    """Read whether the bot has loosened as far as allowed; only its own word can tell."""
    said = entries_reported(record, market, since, with_own=False)
    if said is None or record.reported is None:
        return UNSEEN
    holds = said.tightness <= entries.tightness and record.reported.posture_version >= posture_version
    detail = f"the bot reports entries {said} under posture {record.reported.posture_version}"
    return Effect(Reading.HOLDS if holds else Reading.FAILS, "bot", detail)


def stop_effect(
    state: GuardState,
    record: BotRecord,
    market: MarketId,
    rule: StopRule,
    tolerance_bps: float,
    since: Nanoseconds,
) -> Effect:
    """Read whether a protective stop rests at the rule's price (within ``tolerance_bps``)."""
    if rule.stop_price is None:
        return Effect(Reading.HOLDS, "nobody", "no stop price is asked")
    size = size_of(state, record, market)
    if size is not None and size.value == 0.0 and size.seen_at > since:
        return Effect(Reading.HOLDS, str(size.source), "the position is closed, no stop is needed")
    stops = protective_stops(state, record, market)
    if stops is None or size is None or size.seen_at <= since:
        return UNSEEN
    tolerance = rule.stop_price * tolerance_bps / BPS_PER_UNIT
    at = [order.stop_price for order in stops if order.stop_price is not None]
    reading = (
        Reading.HOLDS
        if at and all(abs(price - rule.stop_price) <= tolerance for price in at)
        else Reading.FAILS
    )
    return Effect(reading, str(size.source), f"stops at {at or 'none'}, {rule.stop_price:g} asked")


def protective_stops(state: GuardState, record: BotRecord, market: MarketId) -> tuple[Order, ...] | None:
    """Resting reduce-only orders with a trigger on the losing side; ``None`` where orders are not visible.

    Those that another bot of the same account reports as its own are left out.
    """
    account = state.accounts.get(record.config.account)
    size = size_of(state, record, market)
    if account is None or account.orders is None or size is None:
        return None
    view = state.markets.get(market)
    mark = None if view is None else view.mark_price
    side = 1.0 if size.value > 0 else -1.0
    others = _orders_of_others(state, record)
    return tuple(
        order
        for order in account.orders
        if order.market == market
        and order.stop_price is not None
        and order.reduce_only
        and order.order_id not in others
        and order.size * side <= 0.0
        and (mark is None or (order.stop_price - mark) * side < 0.0)
    )
