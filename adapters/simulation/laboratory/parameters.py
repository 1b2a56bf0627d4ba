"""What a made-up market is made of: frozen values, each with its unit; ``Episode`` is the whole of one run.

Everything that happens in an episode follows from these values and its seed. They are drawn in
``adapters.simulation.worlds``; the laboratory (orders) and the coarse mode (depth curves) both run an ``Episode``.
Ratios are 0..1 unless said otherwise, distances basis points of mid, money USD, durations seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class LiquidationFeed(StrEnum):
    """What a venue publishes of liquidations."""

    THROTTLED = "throttled"
    """At most one a symbol and second, the latest: Binance's forceOrder."""
    COMPLETE = "complete"
    """All of them, every 500 ms: Bybit's allLiquidation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueParameters:
    """One venue. ``share`` scales depth, open interest and volume of every symbol there."""

    venue: str
    """ccxt's id, such as ``binanceusdm``."""
    share: float = 1.0
    liquidation_feed: LiquidationFeed = LiquidationFeed.THROTTLED


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginBracket:
    """One bracket of a symbol's maintenance margin; the deduction follows from those below."""

    floor_usd: float
    maintenance_ratio: float
    leverage_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolParameters:
    """One perpetual, linear in USDT; amounts are those of a venue whose share is 1, when calm."""

    symbol: str
    """Binance's name, such as ``BTCUSDT``."""
    tick: Decimal
    lot: Decimal
    """Base units; ``tick * lot`` is a whole number of millionths of a USD."""
    price_start: float
    depth_usd: float
    """Within 100 bps of mid on each side: all makers together."""
    half_spread_bps: float
    open_interest_usd: float
    volume_day_usd: float
    """What noise traders take in a day."""
    beta: float
    """To the common factor."""
    volatility_day: float
    """Of what is the symbol's own: standard deviation of the log price over a day."""
    brackets: tuple[MarginBracket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueParameters:
    """The exogenous part of prices: a common factor, what is each symbol's own, and the rest of the world's market."""

    volatility_day: float = 0.025
    """Of the common factor: standard deviation of the log over a day."""
    volatility_log_sd: float = 0.5
    """Spread of log volatility about its mean, which a random walk with a pull to the mean goes through."""
    volatility_half_life_s: float = 6 * 3600.0
    tail_degrees: float = 4.0
    """Degrees of freedom of Student's t of the minute's moves."""
    jumps_per_day: float = 0.5
    jump_sd: float = 0.01
    season_ratio: float = 0.35
    """How far volume and depth go above and below their mean within the day; 0 none."""
    pull_half_life_s: float = 3 * 3600.0
    """In which half of what trading moved the world's price away from value comes back."""
    spot_depth_ratio: float = 2.0
    """What moves the world's price by 1 %, as a multiple of the depth of all venues of the symbol."""
    spot_thinning: float = 0.4
    """When makers are willing to a, what rests in the world is ``a**spot_thinning`` of its usual."""
    lead_half_life_s: float = 0.0
    """In which the world's price goes half of the way to the books' mids (their mean by share): it follows them as they
    follow it, more slowly as arbitrage is stopped. 0: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerParameters:
    """One kind of market maker at every book. Its willingness a is between ``floor`` and 1 and scales what it rests.

    Depth rested within x of mid: ``B(x) = a * share * depth_usd * ((x - s) / 100)**depth_kappa`` for x above its half
    spread ``s = half_spread_bps * spread_ratio * a**-spread_exponent``, up to ``reach_bps``. The target of a is
    ``w(z) * w(signal_ratio * z elsewhere) * w_balance * drive``, ``w(z) = 1 / (1 + (z / withdraw_z)**withdraw_power)``;
    z is how many of its usual standard deviations price moved of late. a falls to it within ``reaction_s`` and
    rises with ``refill_half_life_s``.
    """

    name: str
    share: float
    """Of the symbol's depth; those of all kinds add up to 1."""
    spread_ratio: float = 1.0
    spread_exponent: float = 0.65
    depth_kappa: float = 1.16
    levels: int = 12
    """Prices at which it rests orders, each side."""
    reach_bps: float = 1_000.0
    withdraw_z: float = 13.3
    withdraw_power: float = 2.2
    signal_ratio: float = 0.5
    """How much moves of other venues and of the common factor count beside its own book's; 0 only its own."""
    floor: float = 0.0005
    reaction_s: float = 0.5
    refill_half_life_s: float = 180.0
    requote_bps: float = 0.5
    """It moves its orders when its fair price is this far from where it last put them."""
    inventory_limit_depths: float = 4.0
    """In depths of the symbol (its share of them); at the limit it quotes one side only."""
    inventory_skew_bps: float = 6.0
    """How far it moves its fair price against a full inventory."""
    capital_depths: float = 3.0
    """Its money at each book, in depths (its share of them)."""
    capital_floor_ratio: float = 0.3
    """It is gone when so much of its capital is left; w_balance falls linearly to 0 there."""
    collateral_share: float = 0.0
    """Part of its capital that is held in the collateral asset."""
    permanence: float = 0.6
    """Part of a move of mid by others' trades that its fair price takes over."""
    world_half_life_s: float = 2.0
    """In which half of the way from its fair price to the world's price is gone at willingness 1; with 1/sqrt(a) of it
    longer, and where arbitrage is stopped."""
    restore_half_life_s: float = 0.3
    """In which half of what was taken from its orders is put back at willingness 1; with 1/a of it longer."""
    hedge_half_life_s: float = 15.0
    """In which half of what it is left with is hedged in the rest of the world at willingness 1, which moves the
    world's price; with 1/sqrt(a) of it longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdParameters:
    """Everyone else with a position: leveraged longs and shorts, and hedged holders whom no price liquidates."""

    positions: int = 6_000
    """At each book at the start, both sides."""
    leverage_longs: tuple[tuple[float, float], ...] = (
        (2, 0.2),
        (3, 0.2),
        (5, 0.25),
        (10, 0.2),
        (20, 0.1),
        (50, 0.05),
    )
    """Leverage and its share of leveraged open interest."""
    leverage_shorts: tuple[tuple[float, float], ...] = (
        (2, 0.25),
        (3, 0.25),
        (5, 0.25),
        (10, 0.15),
        (20, 0.1),
    )
    hedged_longs_share: float = 0.1
    """Of the open interest's long side: no leverage to speak of."""
    hedged_shorts_share: float = 0.4
    """Of its short side: basis traders, makers elsewhere."""
    size_log_sd: float = 1.6
    cross_share: float = 0.5
    """Of positions; a cross position has more behind it than its initial margin."""
    cross_spare_ratio: float = 0.8
    """How much more on the mean, as a ratio of initial margin (exponentially distributed)."""
    collateral_share: float = 0.0
    """Of cross positions: what backs them is held in the collateral asset."""
    holding_half_life_s: float = 12 * 3600.0
    history_days: float = 5.0
    """How long a past price path the entries of the opening positions are drawn from."""
    stop_share: float = 0.35
    """Of leveraged positions: a stop order that no book shows."""
    stop_bps: float = 250.0
    """Its median distance from entry, at leverage 10; it goes with 1/sqrt(leverage)."""
    target_share: float = 0.25
    """Of leveraged positions: a take-profit order at twice the stop's distance."""
    momentum: float = 0.5
    """How much entries follow the last hour's move: 0 not at all, 1 as many again per standard deviation."""
    flight: float = 3.5
    """How many times as many close their positions per usual deviation that price moved beyond 3, longs and shorts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowParameters:
    """Takers without a position that is looked at: noise, momentum, and those who know the value."""

    trade_usd: float = 2_000.0
    """Median size of a noise trade; a symbol's depth of 1 million USD, others by the square root of depth."""
    trade_log_sd: float = 1.3
    herding: float = 0.6
    """Persistence of the sign of noise trades, 0 independent .. 1."""
    limit_bps: float = 60.0
    """How far from mid noise and momentum traders still trade, on the mean (exponentially distributed)."""
    momentum_depths: float = 0.02
    """What trend followers take a minute, in depths per standard deviation of the last five minutes' move."""
    value_depths: float = 0.15
    """What value traders take a minute, in depths per 1 % of mispricing beyond ``value_bps``."""
    value_bps: float = 60.0
    participation: float = 0.3
    """Momentum and value traders take no more a second than this part of what makers would rest within 1 %."""
    value_depths_max: float = 20.0
    """So much they hold at most."""
    holding_half_life_s: float = 4 * 3600.0
    """In which half of what noise, momentum and value traders hold is traded back."""
    patient_depths: float = 3.0
    """What waits in the book far from the price (from ``patient_from_bps`` to ten times that), in depths, each side."""
    patient_from_bps: float = 500.0
    patient_half_life_s: float = 1_800.0
    """In which half of what was taken of it comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbitrageParameters:
    """Who keeps venues and the world's price together, until they cannot."""

    threshold_bps: float = 4.0
    depths_per_s: float = 0.05
    """Taken per second and 10 bps beyond the threshold."""
    capital_depths: float = 8.0
    """So much inventory at most, per book."""
    withdraw_z: float = 20.0
    """Its willingness falls as a maker's with the common move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationParameters:
    """The venue's liquidation engine."""

    fee_ratio: float = 0.005
    """Of the notional liquidated, to the insurance fund, as far as margin is left."""
    fund_ratio: float = 0.002
    """The insurance fund at the start, of the symbol's open interest."""
    fund_use_ratio: float = 0.5
    """When a book has used up so much of the fund, the rest is deleveraged."""
    takeover_bps: float = 0.0
    """How far beyond the bankruptcy price the engine still sells into the book, at the fund's cost."""
    partial: bool = True
    """Reduce to the bracket below before the whole is closed."""
    slice_depths: float = 0.25
    """The engine sells at most so much at a book in one step (100 ms), in depths as they are now; the rest waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingParameters:
    """Longs pay shorts ``rate`` every interval: premium averaged, plus interest, clamped."""

    interval_s: float = 8 * 3600.0
    interest: float = 0.0001
    clamp: float = 0.0005
    cap: float = 0.02


class ImpulseKind(StrEnum):
    """What a scenario does to a market at a time."""

    VALUE = "value"
    """Value moves by ``size`` (log return) over the duration; of the common factor without a symbol."""
    SELL = "sell"
    """Somebody sells ``size`` depths (of each book concerned) over the duration, whatever the price; below 0 buys."""
    WITHDRAW = "withdraw"
    """Makers' willingness is multiplied by ``size`` for the duration."""
    ARBITRAGE_STOP = "arbitrage_stop"
    """Arbitrage does ``1 - size`` of its usual for the duration."""
    DEPEG = "depeg"
    """The collateral asset falls to ``exp(size)`` of its peg within a tenth of the duration, and is back after it."""
    OUTAGE = "outage"
    """The venue takes no orders and its streams are silent."""
    ENTRIES = "entries"
    """The crowd opens longs of ``size`` of the open interest over the duration (below 0: shorts): crowding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impulse:
    """One thing that a scenario does; without a venue or symbol at all of them."""

    kind: ImpulseKind
    at_s: float
    duration_s: float
    size: float
    venue: str | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """All of one run; equal episodes give equal events and truth, byte for byte."""

    world: str
    scenario: str
    seed: int
    start_at_ns: int
    """Unix time of its begin; hours of the day follow from it."""
    duration_s: float
    onset_s: float | None
    """When the scenario's stress begins; ``None`` where there is none."""
    venues: tuple[VenueParameters, ...]
    symbols: tuple[SymbolParameters, ...]
    value: ValueParameters
    makers: tuple[MakerParameters, ...]
    crowd: CrowdParameters
    flow: FlowParameters
    arbitrage: ArbitrageParameters
    liquidation: LiquidationParameters
    funding: FundingParameters
    impulses: tuple[Impulse, ...] = ()
    step_ms: int = 100
    sample_ms: int = 1_000
    """How often a book is sampled into an event; more often when it turns."""
    truth_s: float = 60.0
    """How often the map of everyone's liquidation prices is written into the truth."""
    positions_s: float = 3_600.0
    """How often every position is."""
