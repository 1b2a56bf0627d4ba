"""Who may hold how much of a limit on one position that several bots own. No I/O, no clock.

The parts and what nobody of them can cut add up to the limit; see ``Allocation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.account.positions import AccountView
from guard.units import BotId, MarketId


@dataclass(slots=True)
class Allocation:
    """The weights by which the owners of one position share its limits, kept while any limit stands.

    They are taken from what each owner says it holds when the limit first stands, equally while nobody
    says or holds anything. Were they taken anew at each step, the bot that obeys first would hold less,
    get a smaller part, and be cut again and again.

    A bot on the other side of the account's net position makes it smaller: it is not limited, and what
    it takes off leaves the others so much more room, as long as reports and venue agree. What belongs
    to no bot (a human's) on the net side takes up room that the bots have to leave. A foreign position
    on the other side gives no room: it may only be a report that is out of date.

    >>> from guard.units import AccountId
    >>> market, one, two = MarketId("v:BTC"), BotId("one"), BotId("two")
    >>> Allocation().split(AccountView(AccountId("v:main")), market, (one, two), 3.0)
    {'one': 1.5, 'two': 1.5}
    """

    _weights: dict[BotId, float] = field(default_factory=dict)

    def split(
        self, account: AccountView, market: MarketId, owners: tuple[BotId, ...], limit: float
    ) -> Mapping[BotId, float | None]:
        """Return the part of ``limit`` (absolute base units) for each owner, ``None`` for no limit."""
        side = 1.0 if account.size(market) >= 0.0 else -1.0
        along = {owner: side * account.held(owner, market) for owner in owners}
        agrees = account.agrees(market)
        against = {owner for owner in owners if agrees and along[owner] < 0.0}
        if self._weights.keys() != set(owners):
            self._weights = _weights(
                {owner: 0.0 if owner in against else abs(size) for owner, size in along.items()}
            )
        all_told = all(owner in account.held_by_bot for owner in owners)
        foreign = max(side * account.foreign(market), 0.0) if all_told else 0.0
        room = max(limit - foreign - sum(along[owner] for owner in against), 0.0)
        return {owner: None if owner in against else room * self._weights[owner] for owner in owners}

    @property
    def is_held(self) -> bool:
        """Whether anything is shared by it."""
        return bool(self._weights)

    def release(self) -> None:
        """No limit stands any more: the next one is shared by what is held then."""
        self._weights = {}


def _weights(held: Mapping[BotId, float]) -> dict[BotId, float]:
    total = sum(held.values())
    if total <= 0.0:
        return dict.fromkeys(held, 1.0 / max(len(held), 1))
    return {owner: size / total for owner, size in held.items()}
