"""The wire: every message that crosses MQTT between perpguard and a bot, defined once.

Times are integer Unix milliseconds on the guard's clock unless a field says otherwise; prices are
quote currency per base unit; sizes are base units, absolute unless called signed; leverage is
notional / equity; symbols are ccxt's unified symbols (``BTC/USDT:USDT``). Within major version 1
fields are only added, never renamed or removed. This module does no I/O.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

SCHEMA_VERSION = 1
ALL_SYMBOLS = "*"
"""In a map keyed by symbol: every symbol that the bot trades."""


class Mode(StrEnum):
    """Whether commands are meant for real bots or only for paper bots."""

    PAPER = "paper"
    LIVE = "live"


class Entries(StrEnum):
    """What orders a bot may place; a later member is tighter.

    ``NO_ADDS`` lets a position be opened from flat, and none that is held be grown.
    """

    ALLOWED = "allowed"
    NO_ADDS = "no_adds"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"

    @property
    def tightness(self) -> int:
        """Rank, 0 for the loosest."""
        return _TIGHTNESS[self]

    @staticmethod
    def tightest(*levels: Entries) -> Entries:
        """Return the most restrictive of ``levels`` (ALLOWED if there are none)."""
        return max(levels, key=_TIGHTNESS.__getitem__, default=Entries.ALLOWED)


_TIGHTNESS = {level: rank for rank, level in enumerate(Entries)}  # asked for at every judgement


class Verb(StrEnum):
    """What a command asks for."""

    PAUSE = "pause"
    RESUME = "resume"
    CUT_LEVERAGE = "cut_leverage"
    WIDEN_STOPS = "widen_stops"


class AckStatus(StrEnum):
    """What a bot says became of a command; it proves nothing until the effect is read back."""

    RECEIVED = "received"
    APPLIED = "applied"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class GuardStatus(StrEnum):
    """What the guard is doing."""

    STARTING = "starting"
    STANDBY = "standby"
    DECIDING = "deciding"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    OFFLINE = "offline"


class BotStatus(StrEnum):
    """What a bot is doing."""

    ONLINE = "online"
    SAFE_MODE = "safe_mode"
    OFFLINE = "offline"


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measured fact behind a decision: ``name`` was ``value`` ``unit``, against ``limit``."""

    name: str
    value: float | str
    unit: str
    limit: float | None = None


class StopRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the protective stop of one symbol may stand.

    ``stop_price`` is the absolute trigger price wanted now (``None``: leave it); ``distance_bps_min``
    the least distance from the mark price at which a stop may be placed; ``avoid`` price bands
    ``(low, high)`` in which no stop may rest.
    """

    stop_price: float | None = None
    distance_bps_min: float | None = None
    avoid: tuple[tuple[float, float], ...] = ()


class Message(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all messages; ``v`` is the schema's major version."""

    v: int = SCHEMA_VERSION


class GuardState(Message, frozen=True, kw_only=True, tag="guard_state"):
    """Retained on ``guard/{guard}/state``; the Will is the same with status ``offline``. Unsigned, a hint.

    ``instructions`` say what humans told it that is in force, ``rungs`` how far it goes with each bot that it
    restricts.
    """

    guard: str
    state: GuardStatus
    epoch: int
    session: str
    ts: int
    mode: Mode
    capabilities: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    rungs: dict[str, str] = {}


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Proof of life of the engine, one a second to each bot, QoS 0, signed.

    ``bot_session`` echoes the session of the bot's latest birth, so a recorded heartbeat cannot be
    replayed at a restarted bot. ``decided_at`` is when the engine last finished a Tick.
    """

    bot: str
    bot_session: str
    epoch: int
    session: str
    seq: int
    ts: int
    decided_at: int
    posture_version: int
    mode: Mode


class Posture(Message, frozen=True, kw_only=True, tag="posture"):
    """The desired state of one bot, retained and signed: the truth that commands are the fast edge of.

    ``entry_share`` (0..1) is what part of its usual size a new entry may have. The maps are keyed by
    symbol or ``ALL_SYMBOLS``; where both match, the tighter holds. A missing key restricts nothing.
    ``version`` rises with every change of content and never falls, also across guards and restarts.
    ``flattened`` are symbols that were closed until a human releases them, ``rungs`` how far the guard goes on each:
    no_adds, pause_entries, reduce, reduce_to_safe or flatten. ``reductions`` says when in the last 24 hours they were
    begun, Unix ms, for a guard that starts again.
    """

    bot: str
    version: int
    epoch: int
    session: str
    ts: int
    expires_at: int
    mode: Mode
    entries: dict[str, Entries] = {}
    max_leverage: dict[str, float] = {}
    max_size: dict[str, float] = {}
    stops: dict[str, StopRule] = {}
    entry_share: dict[str, float] = {}
    flattened: tuple[str, ...] = ()
    rungs: dict[str, str] = {}
    reductions: dict[str, tuple[int, ...]] = {}
    reasons: tuple[str, ...] = ()


class CommandBase(Message, frozen=True, kw_only=True):
    """Envelope of every command. Commands are absolute and idempotent, never retained, signed.

    ``session`` is the guard's: should two ever hold one epoch, a bot obeys only the one it heard first.
    """

    id: str
    bot: str
    epoch: int
    seq: int
    ts: int
    expires_at: int
    posture_version: int
    symbol: str
    reason: str
    evidence: tuple[Evidence, ...] = ()
    dry_run: bool
    session: str = ""

    @property
    def verb(self) -> Verb:
        """The verb, which is also the last level of the command's topic."""
        return Verb(str(self.__struct_config__.tag))


class Pause(CommandBase, frozen=True, kw_only=True, tag="pause"):
    """Allow no more than ``entries`` on ``symbol``, and cancel resting orders that could enter."""

    entries: Entries


class Resume(CommandBase, frozen=True, kw_only=True, tag="resume"):
    """Loosen to the retained posture of version ``posture_version``; without that posture, do nothing."""

    entries: Entries


class CutLeverage(CommandBase, frozen=True, kw_only=True, tag="cut_leverage"):
    """Reduce the position to at most ``max_size`` and use at most ``max_leverage`` from now on.

    ``price_limit`` is the worst price to be taken for it (a sale not below, a purchase not above); ``None``: any.
    """

    max_leverage: float
    max_size: float
    price_limit: float | None = None


class WidenStops(CommandBase, frozen=True, kw_only=True, tag="widen_stops"):
    """Reduce to ``max_size``, read the size back, then move the stop. If the cut fails the stop stays."""

    max_size: float
    stop: StopRule


Command = Pause | Resume | CutLeverage | WidenStops


class VerbCapability(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a bot does a verb: ``deadline_ms`` is its own limit from receipt to visible effect."""

    deadline_ms: int
    note: str = ""


class Birth(Message, frozen=True, kw_only=True, tag="birth"):
    """What a bot is and can do, retained; ``session`` is new at every start of the bot.

    ``venue`` and ``account`` name the account that it trades as the guard's settings name it; ``ts``
    is the bot's own wall clock. ``no_adds`` says that it knows these entries: another is told ``reduce_only``
    instead. ``scales_entries`` says that it takes no more than ``entry_share`` of its usual size for a new entry:
    another enters only once the share is 1.
    """

    bot: str
    session: str
    ts: int
    software: str
    software_version: str
    mode: Mode
    venue: str
    account: str
    symbols: tuple[str, ...]
    verbs: dict[Verb, VerbCapability]
    schema_min: int = SCHEMA_VERSION
    schema_max: int = SCHEMA_VERSION
    no_adds: bool = False
    scales_entries: bool = False


class BotState(Message, frozen=True, kw_only=True, tag="bot_state"):
    """Retained; the Will is the same with status ``offline``."""

    bot: str
    session: str
    state: BotStatus
    ts: int
    detail: str = ""


class ReportedPosition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A position as the bot sees it; ``size`` is signed base units, long positive.

    ``other_owner`` sizes are not included: this is the bot's own share.
    """

    symbol: str
    size: float
    entry_price: float | None = None
    leverage: float | None = None
    mark_price: float | None = None
    liquidation_price: float | None = None


class ReportedOrder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A resting order as the bot sees it; ``size`` is signed, buy positive."""

    order_id: str
    symbol: str
    size: float
    price: float | None = None
    stop_price: float | None = None
    reduce_only: bool = False


class Reported(Message, frozen=True, kw_only=True, tag="reported"):
    """What the bot has applied and sees, retained; published at every change and every few seconds.

    ``epoch`` and ``seq`` are the highest that the bot has obeyed and ``posture_version`` the highest
    posture it has verified: a guard that lost its memory starts above them. ``clock_offset_ms`` is
    guard clock minus bot wall clock, ``None`` while unknown. ``resync`` asks the guard to publish the
    posture and open commands again. ``advisory`` says that no live guard has ever armed this bot.
    ``guard`` is the session of the one guard that it obeys in ``epoch``, empty while unknown. ``number``
    counts the reports of a session from 1 on: one that does not rise came late, twice, or is played back.
    ``own_entries`` is what the bot holds back of its own accord (a human paused it, a protection of its own) and
    ``entries`` then leaves out; the guard never takes it back. ``None``: the bot does not tell them apart.
    ``withheld`` is what its strategy would hold more at this moment, had the guard not paused or scaled its entries:
    signed base units by symbol, 0 for nothing. A symbol left out, and ``None``: it cannot tell, which is not 0.
    """

    bot: str
    session: str
    ts: int
    mode: Mode
    posture_version: int
    epoch: int
    seq: int
    safe_mode: bool
    advisory: bool = False
    entries: dict[str, Entries] = {}
    max_leverage: dict[str, float] = {}
    max_size: dict[str, float] = {}
    entry_share: dict[str, float] = {}
    own_entries: dict[str, Entries] | None = None
    withheld: dict[str, float] | None = None
    positions: tuple[ReportedPosition, ...] = ()
    orders: tuple[ReportedOrder, ...] = ()
    positions_known: bool = True
    clock_offset_ms: float | None = None
    resync: bool = False
    guard: str = ""
    number: int = 0


class Effect(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the bot says it changed; signed sizes in base units."""

    size_before: float | None = None
    size_after: float | None = None
    stop_price_after: float | None = None
    orders_cancelled: tuple[str, ...] = ()
    orders_placed: tuple[str, ...] = ()


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """What became of one command, from the bot; ``at`` is guard time as the bot estimates it."""

    bot: str
    session: str
    command_id: str
    epoch: int
    seq: int
    status: AckStatus
    at: int
    detail: str = ""
    effect: Effect | None = None


class Signal(Message, frozen=True, kw_only=True, tag="signal"):
    """Read-only market signals for any subscriber. ``None`` is unknown, never calm.

    ``hazard`` is the probability of a fall of 5 % or more within 15 minutes, ``reach_bps`` where 9 of 10 falls stop
    within 30 minutes once a shock is under way, ``forced_usd`` what is thought to be liquidated of others' longs within
    5 %; their ``_up`` are of a rise. ``regime`` is normal, watch, stressed, cascade or recovery; ``oi_depth`` is open
    interest over what stands within 1 % of mid.
    """

    venue: str
    symbol: str
    ts: int
    spread_bps: float | None = None
    depth_bid_usd: float | None = None
    depth_ask_usd: float | None = None
    depth_z: float | None = None
    hazard: float | None = None
    reach_bps: float | None = None
    hazard_up: float | None = None
    reach_up_bps: float | None = None
    forced_usd: float | None = None
    forced_up_usd: float | None = None
    regime: str | None = None
    oi_depth: float | None = None


class NoticeKind(StrEnum):
    """Why people are told something."""

    OPENED = "opened"
    CHANGED = "changed"
    REPEATED = "repeated"
    RESOLVED = "resolved"


class Notice(Message, frozen=True, kw_only=True, tag="notice"):
    """One message to people about one account, venue or the guard itself (``about``), QoS 1, not retained.

    ``severity`` is the worst that stands, or stood when it is resolved: info, watch, act or critical; ``lines`` are
    the worst first; ``commands`` the ids of what bots were asked since the last notice about the same; ``held_back``
    counts findings that a silence or a wider finding covers.
    """

    id: str
    guard: str
    ts: int
    kind: NoticeKind
    about: str
    severity: str
    title: str
    lines: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    findings: int = 0
    held_back: int = 0


class OutsideFact(Message, frozen=True, kw_only=True, tag="outside_fact"):
    """A fact from outside of all markets, retained: flows of funds, balances of exchanges. It weighs as a prior only.

    ``value`` in ``unit``; ``None`` takes back what was told under ``name``. ``ts`` is when it was told and
    ``observed_at`` what time it is about, both on the teller's clock; it holds until ``expires_at``.
    """

    name: str
    value: float | None
    unit: str
    source: str
    ts: int
    expires_at: int
    observed_at: int | None = None


class InstructionKind(StrEnum):
    """What a human tells the guard to do; the last three loosen."""

    PAUSE = "pause"
    HALT = "halt"
    CAP = "cap"
    IGNORE = "ignore"
    RELEASE = "release"
    SILENCE = "silence"


class Instruction(Message, frozen=True, kw_only=True, tag="instruction"):
    """What somebody tells the guard, retained on ``instruction/{id}`` and signed with a key of its own.

    ``author`` tells it because of ``reason``, at ``ts`` on the teller's clock; it holds from ``starts_at`` (0: at
    once) until ``expires_at`` unless it is told anew with ``withdrawn``. ``venue``, ``market`` (``venue:symbol``),
    ``account`` (``venue:name``) and ``bot`` say what it is about; one that is left out stands for every one. A pause
    has ``entries``, a cap ``max_size`` (base units, of the whole account's position), ``max_leverage`` or
    ``entry_share`` (0..1). What is ignored or silenced is named by ``reasons`` and ``policies``; ``forced`` ignores
    even what is imminent.
    """

    id: str
    kind: InstructionKind
    author: str
    reason: str
    ts: int
    expires_at: int
    starts_at: int = 0
    venue: str | None = None
    market: str | None = None
    account: str | None = None
    bot: str | None = None
    entries: Entries | None = None
    max_size: float | None = None
    max_leverage: float | None = None
    entry_share: float | None = None
    reasons: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    forced: bool = False
    withdrawn: bool = False


GuardMessage = GuardState | Heartbeat | Posture | Pause | Resume | CutLeverage | WidenStops | Signal | Notice
BotMessage = Birth | BotState | Reported | Ack
AnyMessage = GuardMessage | BotMessage | OutsideFact | Instruction
