"""The settings of the whole program: every part's own model in one place, and what must fit between them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from adapters.exchanges.asset_price_settings import AssetPriceSettings
from adapters.exchanges.settings import VenueSettings
from adapters.log import LogSettings
from adapters.metrics import MetricsSettings
from adapters.mqtt.access import NAME, Access, BotAccess, TellerAccess
from adapters.mqtt.embedded import USERNAME
from adapters.mqtt.settings import BrokerKind, BrokerSettings
from adapters.storage.settings import AuditSettings, SamplesSettings
from guard.account.collateral import HaircutSettings
from guard.account.peg_settings import PegSettings
from guard.arbiter import ArbiterSettings
from guard.bill.settings import BillSettings
from guard.dispatch import DispatchSettings
from guard.extensions import others_of, sources_of
from guard.inbox import OverloadSettings
from guard.market.view import BaselineSettings
from guard.notices import NoticeSettings
from guard.outlook.settings import OutlookSettings
from guard.profiles import Profile, beneath
from guard.settings import load_settings, resolve_secrets
from perpguard_sdk.codec import KEY_BYTES_MIN
from perpguard_sdk.messages import Mode
from perpguard_sdk.topics import check_level
from policies.contain_collateral import ContainCollateral
from policies.cut_leverage import CutLeverage
from policies.deleverage_exposure import DeleverageExposure
from policies.distrust_bots import DistrustBots
from policies.distrust_collateral import DistrustCollateral
from policies.distrust_links import DistrustLinks
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from policies.distrust_stale_data import DistrustStaleData
from policies.drawdown_brake import DrawdownBrake
from policies.keep_restart_floor import KeepRestartFloor
from policies.margin_tightening import MarginTightening
from policies.pause_entries import PauseEntries
from policies.pause_widely import PauseWidely
from policies.respect_latency import RespectLatency
from policies.venue_failure import VenueFailure
from policies.widen_stops import WidenStops

DEFAULT_PATH = Path("settings.toml")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GuardSettings(_Table):
    """The guard itself."""

    name: str = Field(
        default="guard-1", description="name of this guard on the broker: one level of its topics"
    )
    mode: Mode = Field(
        default=Mode.PAPER,
        description="paper: decides, and commands paper bots only; live: commands real bots, must be asked for",
    )
    profile: Profile = Field(
        default=Profile.BALANCED,
        description="which defaults hold where nothing is set: conservative, balanced or market-maker",
    )
    tick_ms: int = Field(
        default=250, ge=50, le=5_000, description="how often silence and deadlines are judged"
    )
    signals: bool = Field(
        default=True, description="publish spread and depth of each market for anyone to read"
    )
    watch_settings: bool = Field(
        default=True, description="take other settings when this file changes; SIGHUP has it read in any case"
    )

    @field_validator("name")
    @classmethod
    def _is_one_level(cls, value: str) -> str:
        return check_level(value, "it")


class BotSettings(_Table):
    """A bot that the guard may command."""

    name: str = Field(description="as the bot announces itself; one level of its topics")
    key_file: Path | None = Field(
        default=None,
        description=f"file with the key that signs between guard and bot, {KEY_BYTES_MIN} bytes or more",
    )
    key_env: str | None = Field(
        default=None, min_length=1, description="or the environment variable that holds it"
    )
    venue: str = Field(description="the venue that it trades on, as in venues")
    account: str = Field(
        description="the account that it trades, as in venues.N.accounts if that has its key"
    )
    symbols: tuple[str, ...] = Field(
        default=(), description="what it trades; left out, what its birth message says is believed"
    )
    user: str | None = Field(
        default=None, min_length=1, description="as which it logs in to the broker; left out, its name"
    )

    @property
    def access(self) -> BotAccess:
        """The bot as the broker knows it.

        Raises:
            SettingsError: name or user cannot be a user of a broker.
        """
        return BotAccess(self.name, self.user or self.name)

    @field_validator("name")
    @classmethod
    def _is_one_level(cls, value: str) -> str:
        return check_level(value, "it")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key_file is None) == (self.key_env is None):
            raise ValueError("set exactly one of key_file and key_env")
        return self


class PositionSettings(_Table):
    """A position that nobody holds, judged as if somebody did: what if I held this."""

    venue: str = Field(description="as in venues")
    account: str = Field(default="what-if", description="a name for it; positions of one name share it")
    symbol: str = Field(description="ccxt's unified symbol, one of the venue's symbols")
    size: float = Field(allow_inf_nan=False, description="base units, negative for a short")
    entry_price: float = Field(gt=0, allow_inf_nan=False, description="quote currency per base unit")
    leverage: float = Field(gt=0, le=200, description="notional divided by equity")
    margin_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="isolated margin; left out: size * entry_price / leverage",
    )

    @field_validator("size")
    @classmethod
    def _is_something(cls, value: float) -> float:
        if value == 0:
            raise ValueError("a position of size 0 is none: give its size, negative for a short")
        return value


class CollateralSettings(_Table):
    """What collateral is worth."""

    prices: AssetPriceSettings = AssetPriceSettings()
    pegs: PegSettings = PegSettings()
    haircuts: HaircutSettings = HaircutSettings()


class PolicySettings(_Table):
    """What each policy finds wrong, and from where on."""

    distrust_stale_data: DistrustStaleData = DistrustStaleData()
    distrust_bots: DistrustBots = DistrustBots()
    distrust_links: DistrustLinks = DistrustLinks()
    keep_restart_floor: KeepRestartFloor = KeepRestartFloor()
    distrust_liquidation_prices: DistrustLiquidationPrices = DistrustLiquidationPrices()
    margin_tightening: MarginTightening = MarginTightening()
    distrust_collateral: DistrustCollateral = DistrustCollateral()
    respect_latency: RespectLatency = RespectLatency()
    contain_collateral: ContainCollateral = ContainCollateral()
    drawdown_brake: DrawdownBrake = DrawdownBrake()
    deleverage_exposure: DeleverageExposure = DeleverageExposure()
    pause_entries: PauseEntries = PauseEntries()
    pause_widely: PauseWidely = PauseWidely()
    cut_leverage: CutLeverage = CutLeverage()
    widen_stops: WidenStops = WidenStops()
    venue_failure: VenueFailure = VenueFailure()
    others: dict[str, dict[str, Any]] = Field(
        default={},
        description="policies of other distributions, each a table by its name: perpguard policies lists what is "
        "installed",
    )

    @property
    def each(self) -> tuple[Any, ...]:
        """Every policy, switched on or not, as ``guard.policy.Policy``: perpguard's own first."""
        own = [getattr(self, name) for name in type(self).model_fields if name != "others"]
        return (*own, *others_of(self.others)[0])


class Settings(_Table):
    """Everything in settings.toml."""

    guard: GuardSettings = Field(default_factory=GuardSettings, description="the guard itself")
    broker: BrokerSettings = Field(
        default_factory=lambda: BrokerSettings.model_validate({}), description="the MQTT broker"
    )
    venues: tuple[VenueSettings, ...] = Field(
        default=(), description="where markets and accounts are watched"
    )
    bots: tuple[BotSettings, ...] = Field(default=(), description="who may be commanded")
    positions: tuple[PositionSettings, ...] = Field(default=(), description="what if I held this")
    audit: AuditSettings = Field(default_factory=AuditSettings, description="where decisions are kept")
    samples: SamplesSettings = Field(
        default_factory=SamplesSettings, description="what the engine judged by, kept for a while"
    )
    log: LogSettings = Field(default_factory=LogSettings, description="what is said while it runs")
    metrics: MetricsSettings = Field(
        default_factory=MetricsSettings, description="what it measures of itself"
    )
    overload: OverloadSettings = Field(
        default=OverloadSettings(), description="what waits when there is too much to judge"
    )
    baseline: BaselineSettings = Field(default=BaselineSettings(), description="what a market's normal is")
    outlook: OutlookSettings = Field(
        default=OutlookSettings(), description="what is estimated of cascades, and how often"
    )
    collateral: CollateralSettings = Field(
        default_factory=CollateralSettings, description="what collateral is worth, over venues"
    )
    policies: PolicySettings = Field(
        default_factory=PolicySettings, description="what is found wrong, and when"
    )
    arbiter: ArbiterSettings = Field(
        default=ArbiterSettings(), description="how slowly limits are taken back"
    )
    dispatch: DispatchSettings = Field(
        default=DispatchSettings(), description="how commands are repeated and confirmed"
    )
    notices: NoticeSettings = Field(
        default=NoticeSettings(), description="what people are told, and how often"
    )
    bill: BillSettings = Field(default=BillSettings(), description="what guarding saves and costs")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [
            *_venue_problems(self),
            *_bot_problems(self),
            *_position_problems(self),
            *_dispatch_problems(self),
            *_teller_problems(self),
            *_other_policies_problems(self),
        ]
        if problems:
            raise ValidationError.from_exception_data(
                "Settings",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("does_not_fit", "{problem}", {"problem": problem}),
                        loc=loc,
                        input=None,
                    )
                    for loc, problem in problems
                ],
            )
        return self

    @property
    def access(self) -> list[Access]:
        """Everybody but the guard who may log in to the broker.

        Raises:
            SettingsError: a name or user cannot be a user of a broker.
        """
        teller = self.broker.outside_user
        return [*(bot.access for bot in self.bots), *([TellerAccess(teller)] if teller else [])]

    @property
    def digest(self) -> str:
        """Tells two settings apart in the audit; holds no secret, because the settings hold none.

        Which versions of others' policies there are is part of it.
        """
        told = (self.model_dump_json(), *sources_of(self.policies.others))
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def load(path: Path | None = DEFAULT_PATH) -> Settings:
    """Read the program's settings.

    Raises:
        SettingsError: with every problem and its path.
    """
    return load_settings(Settings, path, beneath=beneath)


Problem = tuple[tuple[str | int, ...], str]


def _venue_problems(settings: Settings) -> Iterator[Problem]:
    ids = [venue.id for venue in settings.venues]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            yield ("venues", index, "id"), f"{name} is there twice: put its symbols and accounts into one"


def _bot_problems(settings: Settings) -> Iterator[Problem]:
    names = [bot.name for bot in settings.bots]
    for index, bot in enumerate(settings.bots):
        if bot.name in names[:index]:
            yield ("bots", index, "name"), f"{bot.name} is there twice: each bot needs a name of its own"
        yield from _user_problems(settings, index)
        yield from _market_problems(settings, ("bots", index), bot.venue, bot.symbols)


def _other_policies_problems(settings: Settings) -> Iterator[Problem]:
    own = type(settings.policies).model_fields
    taken = [name for name in settings.policies.others if name in own]
    for name in taken:
        yield ("policies", "others", name), f"{name} is perpguard's own: its table is [policies.{name}]"
    tables = {name: table for name, table in settings.policies.others.items() if name not in taken}
    for place, message in others_of(tables)[1]:
        yield ("policies", "others", *place), message


def _teller_problems(settings: Settings) -> Iterator[Problem]:
    broker = settings.broker
    teller = broker.outside_user
    if teller is None:
        return
    if not NAME.fullmatch(teller):
        yield ("broker", "outside_user"), "take letters, digits, - and _, 64 at most, a letter or digit first"
    others = {bot.user or bot.name for bot in settings.bots}
    others.add(broker.username or (USERNAME if broker.kind is BrokerKind.EMBEDDED else ""))
    if teller in others:
        yield ("broker", "outside_user"), f"{teller} is the guard's or a bot's user: take another"


def _user_problems(settings: Settings, index: int) -> Iterator[Problem]:
    bot, broker = settings.bots[index], settings.broker
    user, key = bot.user or bot.name, "user" if bot.user else "name"
    if user in [each.user or each.name for each in settings.bots[:index] if each.name != bot.name]:
        yield (
            ("bots", index, key),
            f"another bot logs in to the broker as {user}: give each a user of its own",
        )
    if user == (broker.username or (USERNAME if broker.kind is BrokerKind.EMBEDDED else None)):
        yield ("bots", index, key), f"{user} is the guard's own user at the broker: give the bot another"
    if broker.kind is BrokerKind.EMBEDDED and not (NAME.fullmatch(user) and NAME.fullmatch(bot.name)):
        message = "to be a user of the embedded broker it must be of letters, digits, - and _, 64 at most"
        yield ("bots", index, key), message


def _position_problems(settings: Settings) -> Iterator[Problem]:
    for index, position in enumerate(settings.positions):
        yield from _market_problems(settings, ("positions", index), position.venue, (position.symbol,))


def _dispatch_problems(settings: Settings) -> Iterator[Problem]:
    dispatch = settings.dispatch
    if list(dispatch.retry_ms) != sorted(dispatch.retry_ms):
        yield ("dispatch", "retry_ms"), "each time must be later than the one before: write them in order"
    if dispatch.posture_refresh_s >= dispatch.posture_ttl_s:
        problem = (
            f"a posture would be stale after posture_ttl_s {dispatch.posture_ttl_s:g} s, before it is published "
            f"again: make posture_refresh_s {dispatch.posture_refresh_s:g} smaller, to a third or less"
        )
        yield ("dispatch", "posture_refresh_s"), problem


def _market_problems(
    settings: Settings, place: tuple[str | int, ...], name: str, symbols: tuple[str, ...]
) -> Iterator[Problem]:
    venue = next((each for each in settings.venues if each.id == name), None)
    if venue is None:
        known = ", ".join(each.id for each in settings.venues) or "none"
        yield (*place, "venue"), f"{name!r} is not one of the venues ({known}): add it, or correct the name"
        return
    for symbol in symbols:
        if symbol not in venue.symbols and not venue.top:  # a venue that chooses watches what bots name
            key = "symbol" if place[0] == "positions" else "symbols"
            listed = ", ".join(venue.symbols)
            yield (
                (*place, key),
                f"{symbol!r} is not watched on {name} ({listed}): add it there, or correct it",
            )


__all__ = [
    "DEFAULT_PATH",
    "BotSettings",
    "GuardSettings",
    "PositionSettings",
    "Settings",
    "load",
    "resolve_secrets",
]
