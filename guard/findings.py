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
    RECOVERED = "recovered"


class Subject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finding is about. A field that is ``None`` stands for every one."""

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


class Limit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finding asks for; ``None`` asks for nothing.

    ``max_size`` is absolute base units over the whole account's position in the subject's market; the
    arbiter shares it among the bots that own it, as a share of ``basis`` where there is one. ``stop`` is
    for that position.
    """

    entries: Entries | None = None
    max_leverage: float | None = None
    max_size: float | None = None
    stop: StopRule | None = None
    basis: Basis | None = None


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that one policy finds wrong now.

    It holds for as long as the policy keeps saying it. ``freezes`` forbids any loosening for its
    subject while it stands: unknown is not calm. ``counterfactual`` says, for people, what would have
    had to be different for the finding not to stand. Nothing is asked because of it before it has stood,
    at this severity or worse, for ``confirm_ms``: one bad sample must not cut a position.
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

    @property
    def key(self) -> tuple[str, str, MarketId | None, AccountId | None, BotId | None]:
        """What makes two findings the same one at two times."""
        return (self.policy, self.reason, self.subject.market, self.subject.account, self.subject.bot)
