"""What guarding saved and cost, decision by decision: lines, rows of an account, days. Values only, no I/O.

Money is USD and counted for the guarded side: above 0 the guarded account has more than its unguarded twin.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, structs

from guard.units import BPS_PER_UNIT, AccountId, BotId, MarketId, Nanoseconds


class BillKind(StrEnum):
    """What sort of decision a line is about."""

    CUT = "cut"
    """A command that asks for a smaller position."""
    RESTRICTION = "restriction"
    """New entries were blocked, from the posture that said so to the one that allowed them again."""
    ADVICE = "advice"
    """A smaller position was found to be wanted on an account that no bot trades: nobody could be told."""


class BillVerdict(StrEnum):
    """What a decision came to."""

    OPEN = "open"
    PAID_OFF = "paid_off"
    """What it saved is more than what it cost."""
    FALSE_ALARM = "false_alarm"
    """What it cost is as much as what it saved, or more."""
    NOTHING = "nothing"
    """It changed no position and kept nobody from one: it cost nothing and saved nothing."""
    UNKNOWN = "unknown"
    """What it cost cannot be known; ``BillLine.missing`` says why. Never to be read as 0."""


class BillEnd(StrEnum):
    """Why a decision is not counted any further."""

    OPEN = "open"
    RETURNED = "returned"
    """The trader took the position back."""
    CLOSED = "closed"
    """The trader closed what was left, as the twin would have closed all."""
    LIQUIDATED = "liquidated"
    """The twin was liquidated."""
    SETTLED = "settled"
    """The restriction was over for the settle time: from here on it is the trader's choice."""
    LONGEST = "longest"
    """It was counted for as long as any is."""
    NO_EFFECT = "no_effect"
    """Nothing was seen to come of it."""
    DROPPED = "dropped"
    """Too many were open: the oldest were counted up to here."""


class BillLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision, and what it saved and cost until ``until_at``, its horizon.

    ``decision`` is the id of the command, or a name made of what was restricted and when. ``size`` is what the twin
    held more because of it, signed base units, counted from the mark price ``price``. ``modelled`` says that nobody
    obeyed: the account is the twin, and the guarded side is what obeying would have done. ``price_usd`` is what the
    moves of the mark price made, ``funding_usd`` what funding did, ``liquidation_usd`` what the twin's liquidation took
    beyond its price; ``fees_usd`` and ``slippage_usd`` are what was paid more (below 0: less) than by the twin.
    """

    decision: str
    kind: BillKind
    account: AccountId
    market: MarketId
    policy: str
    reason: str
    began_at: Nanoseconds
    until_at: Nanoseconds
    bot: BotId | None = None
    modelled: bool = False
    size: float = 0.0
    price: float | None = None
    ended_by: BillEnd = BillEnd.OPEN
    verdict: BillVerdict = BillVerdict.OPEN
    price_usd: float = 0.0
    funding_usd: float = 0.0
    liquidation_usd: float = 0.0
    fees_usd: float = 0.0
    slippage_usd: float = 0.0
    missing: tuple[str, ...] = ()
    equity_usd: float | None = None
    """The account's, when it began; ``None`` where nobody told."""

    @property
    def saved_usd(self) -> float:
        """What the twin lost by the market, by funding and by its liquidation, and the guarded side did not."""
        return max(self._held_usd, 0.0)

    @property
    def missed_usd(self) -> float:
        """What the twin won by the market and by funding, and the guarded side did not."""
        return max(-self._held_usd, 0.0)

    @property
    def cost_usd(self) -> float:
        """Fees, slippage and missed return together."""
        return self.fees_usd + self.slippage_usd + self.missed_usd

    @property
    def net_usd(self) -> float:
        """Saved less cost: by so much the guarded side ended better."""
        return self._held_usd - self.fees_usd - self.slippage_usd

    @property
    def _held_usd(self) -> float:
        return self.price_usd + self.funding_usd + self.liquidation_usd


class BillRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Decisions of one account, market and policy that ended, together; ``equity_usd`` as the first of them began."""

    account: AccountId
    market: MarketId
    policy: str
    modelled: bool = False
    commands: int = 0
    restrictions: int = 0
    paid_off: int = 0
    false_alarms: int = 0
    nothing: int = 0
    unknown: int = 0
    saved_usd: float = 0.0
    fees_usd: float = 0.0
    slippage_usd: float = 0.0
    missed_usd: float = 0.0
    equity_usd: float | None = None

    @property
    def cost_usd(self) -> float:
        """Fees, slippage and missed return."""
        return self.fees_usd + self.slippage_usd + self.missed_usd

    @property
    def net_usd(self) -> float:
        """Saved less cost."""
        return self.saved_usd - self.cost_usd

    @property
    def net_bps(self) -> float | None:
        """``net_usd`` in bps of the account's equity."""
        known = self.equity_usd is not None and self.equity_usd > 0.0
        return self.net_usd / self.equity_usd * BPS_PER_UNIT if known and self.equity_usd else None


class BillDay(Struct, frozen=True, kw_only=True):
    """A UTC day (``2025-10-10``) that is over: what ended on it. ``open`` were still counted when it ended."""

    day: str
    rows: tuple[BillRow, ...]
    open: int = 0
    open_usd: float = 0.0


class TwinMemory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One twin: by what it differs from its account (``guard.bill.twin``), and what the account held when last seen."""

    account: AccountId
    cash_usd: float
    booked_usd: float
    extra: dict[MarketId, float] = {}
    seen: dict[MarketId, float] = {}


class OpenMemory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A decision that is still counted: its line so far, without what is not realised, and how it goes on.

    ``mark`` is the price when this was written, for who reads it and is no guard.
    """

    line: BillLine
    left: float = 0.0
    price: float | None = None
    mark: float | None = None
    ends_at: Nanoseconds | None = None
    liquidation_price: float | None = None

    @property
    def told(self) -> BillLine:
        """What it had come to when this was written."""
        if not self.left or self.price is None or self.mark is None:
            return self.line
        return structs.replace(
            self.line, price_usd=self.line.price_usd + self.left * (self.price - self.mark)
        )


class BillMemory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a guard that is started anew goes on from. ``run`` are rows since ``since``, ``today`` of ``day``."""

    since: Nanoseconds
    day: str
    run: tuple[BillRow, ...] = ()
    today: tuple[BillRow, ...] = ()
    open: tuple[OpenMemory, ...] = ()
    twins: tuple[TwinMemory, ...] = ()
    residual_usd: float = 0.0
