"""What a policy says is wrong: Finding, its Severity, its Reason and the Limit it asks for. No I/O."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from guard.units import AccountId, BotId, MarketId
from perpguard_sdk.messages import Entries, Evidence, StopRule


class Severity(StrEnum):
    """How badly; a later member is worse."""

    INFO = "info"
    WATCH = "watch"
    ACT = "act"
    CRITICAL = "critical"


class Reason(StrEnum):
    """Why, from a closed set; the text for people is made from it in one place (``guard.explain``)."""

    STALE_DATA = "stale_data"
    BOOK_UNUSABLE = "book_unusable"
    BASELINE_COLD = "baseline_cold"
    ACCOUNT_UNKNOWN = "account_unknown"
    DEPTH_THIN = "depth_thin"
    DEPTH_COLLAPSED = "depth_collapsed"
    SPREAD_WIDE = "spread_wide"
    LIQUIDATION_NEAR = "liquidation_near"
    LIQUIDATION_UNKNOWN = "liquidation_unknown"
    LIQUIDATION_PRICES_DIFFER = "liquidation_prices_differ"
    MARGIN_RAISED = "margin_raised"
    HAIRCUT_RAISED = "haircut_raised"
    COLLATERAL_FALLEN = "collateral_fallen"
    COLLATERAL_CORRELATED = "collateral_correlated"
    STOP_IN_THIN_ZONE = "stop_in_thin_zone"
    COMMAND_FAILED = "command_failed"
    BOT_SILENT = "bot_silent"
    BOT_CLOCK_OFFSET = "bot_clock_offset"
    MESSAGE_REFUSED = "message_refused"
    BROKER_DOWN = "broker_down"
    AUDIT_DOWN = "audit_down"
    OVERLOADED = "overloaded"
    SETTINGS_REFUSED = "settings_refused"
    CLOCK_OFFSET = "clock_offset"
    DISK_SHORT = "disk_short"
    POLICY_RAISED = "policy_raised"
    RESTART_FLOOR = "restart_floor"
    REGIME_STRESSED = "regime_stressed"
    CASCADE_UNDER_WAY = "cascade_under_way"
    HAZARD_HIGH = "hazard_high"
    RESUMING = "resuming"
    LIQUIDATION_WITHIN_REACH = "liquidation_within_reach"
    STOP_IN_LIQUIDATION_BAND = "stop_in_liquidation_band"
    ACTION_TOO_SLOW = "action_too_slow"
    VENUE_SLOW = "venue_slow"
    VENUE_DISLOCATED = "venue_dislocated"
    COLLATERAL_CONCENTRATED = "collateral_concentrated"
    HAIRCUT_EXPECTED = "haircut_expected"
    DELEVERAGE_EXPOSED = "deleverage_exposed"
    DRAWDOWN = "drawdown"
    INSTRUCTED = "instructed"
    BUDGET_SPENT = "budget_spent"
    FLATTEN_WAITS = "flatten_waits"
    COVERED_BY_OTHERS = "covered_by_others"
    ROUTES_ENDED = "routes_ended"
    RECOVERED = "recovered"


class Subject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finding is about. A field that is ``None`` stands for every one; ``venue`` for all markets there."""

    venue: str | None = None
    market: MarketId | None = None
    account: AccountId | None = None
    bot: BotId | None = None


class Basis(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a ``max_size`` is a share of, where asking again after the cut would ask for a share of that share.

    ``size`` is the signed position that it was worked out from; while ``reference`` (a price: of the stop
    as it stands) stays the same, the arbiter takes the share of the first such size.
    """

    size: float
    reference: float | None = None


class Pace(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a position is taken down to ``max_size``: in slices, none larger than the book gives without being run over.

    Attributes:
        slice_size: the most to take off at once, base units of the whole account's position, above 0.
        interval_ms: between slices, 0 or more.
        price_limit: the worst price to be taken, quote currency per base unit: a sale (of a long) not below it, a
            purchase not above; ``None`` for any.
    """

    slice_size: float
    interval_ms: int
    price_limit: float | None = None


class Limit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finding asks for; ``None`` asks for nothing.

    ``max_size`` is absolute base units over the whole account's position in the subject's market; the
    arbiter shares it among the bots that own it, as a share of ``basis`` where there is one. ``stop`` is
    for that position. ``entry_share`` (0..1) is what part of its usual size a new entry may have: a resume in
    stages. ``pace`` is how ``max_size`` is come to. ``flatten`` says that nothing less than a position of 0 helps:
    only where the settings allow it, and then only a human takes it back.
    """

    entries: Entries | None = None
    max_leverage: float | None = None
    max_size: float | None = None
    stop: StopRule | None = None
    basis: Basis | None = None
    entry_share: float | None = None
    pace: Pace | None = None
    flatten: bool = False


class Remedy(StrEnum):
    """What a human could do where no verb of a bot can."""

    ADD_MARGIN = "add_margin"
    SWAP_COLLATERAL = "swap_collateral"
    ISOLATE_POSITION = "isolate_position"
    HEDGE_ELSEWHERE = "hedge_elsewhere"
    MOVE_STOP_ELSEWHERE = "move_stop_elsewhere"


class Offer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One remedy instead of, or beside, what is asked: how much of what, and about what it costs.

    ``amount_usd`` is above 0; ``about`` names the asset, market or venue; ``cost_usd`` is ``None`` where unknown.
    """

    remedy: Remedy
    amount_usd: float
    about: str = ""
    cost_usd: float | None = None


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that one policy finds wrong now.

    It holds for as long as the policy keeps saying it. ``freezes`` forbids any loosening for its
    subject while it stands: unknown is not calm. ``counterfactual`` says, for people, what would have
    had to be different for the finding not to stand. Nothing is asked because of it before it has stood,
    at this severity or worse, for ``confirm_ms``: one bad sample must not cut a position. ``imminent`` says that the
    liquidation is so near that no budget of commands may hold it back. ``offers`` are for people.
    ``inhibited_by``, in records alone, is the policy and reason of the wider finding that already asks for as much:
    people need not be told of this one.
    """

    policy: str
    reason: Reason
    severity: Severity
    subject: Subject
    limit: Limit = Limit()
    evidence: tuple[Evidence, ...] = ()
    counterfactual: str = ""
    freezes: bool = False
    confirm_ms: int = 0
    imminent: bool = False
    offers: tuple[Offer, ...] = ()
    inhibited_by: str = ""

    @property
    def key(self) -> tuple[str, str, MarketId | None, AccountId | None, BotId | None, str | None]:
        """What makes two findings the same one at two times."""
        subject = self.subject
        return (self.policy, self.reason, subject.market, subject.account, subject.bot, subject.venue)
