"""Worlds that disagree about why depth vanishes and where fragility comes from; what is drawn within each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.simulation.worlds.ranges import Drawn, Range, log


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerKind:
    """One kind of maker: its share of depth, and what of ``MakerParameters`` is drawn or set."""

    name: str
    share: float
    drawn: Mapping[str, Drawn]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One structure of a market.

    ``open_interest_ratio`` times ``open_interest_own`` (drawn anew for each symbol) multiplies open interest and
    ``depth_ratio`` depth, of what is in ``ranges.SYMBOLS``; ``tilt`` moves leverage up or down (``ranges.tilted``).
    ``shock_ratio``, ``forced_ratio`` and ``withdraw_ratio`` multiply those of a scenario's impulses that are the
    world's matter: of value, of sellers, and what is left of makers' willingness.
    """

    name: str
    about: str
    makers: tuple[MakerKind, ...]
    open_interest_ratio: Drawn = 1.0
    open_interest_own: Drawn = 1.0
    depth_ratio: Drawn = 1.0
    tilt: Drawn = 0.0
    shock_ratio: Drawn = 1.0
    forced_ratio: Drawn = 1.0
    withdraw_ratio: Drawn = 1.0
    is_excess_hedged: bool = False
    """Open interest beyond ``hedged_base`` times the symbol's is held by people whom no price liquidates."""
    hedged_base: float = 0.0
    value: Mapping[str, Drawn] = field(default_factory=dict)
    crowd: Mapping[str, Drawn] = field(default_factory=dict)
    flow: Mapping[str, Drawn] = field(default_factory=dict)
    arbitrage: Mapping[str, Drawn] = field(default_factory=dict)
    liquidation: Mapping[str, Drawn] = field(default_factory=dict)


EVERY_MAKER: Mapping[str, Drawn] = {
    "floor": log(0.0035, 0.008),
    "inventory_limit_depths": log(6.0, 14.0),
    "hedge_half_life_s": log(6.0, 30.0),
    "restore_half_life_s": log(0.008, 0.025),
}
"""Drawn for every kind of maker; what a kind names itself goes before it."""


def _by_volatility(signal: Drawn) -> tuple[MakerKind, ...]:
    return (
        MakerKind(
            name="quick",
            share=0.5,
            drawn={
                "withdraw_z": log(11.0, 17.0),
                "withdraw_power": Range(2.0, 2.6),
                "signal_ratio": signal,
                "reaction_s": log(0.2, 0.8),
                "refill_half_life_s": log(50.0, 180.0),
            },
        ),
        MakerKind(
            name="steady",
            share=0.35,
            drawn={
                "spread_ratio": Range(1.6, 2.6),
                "withdraw_z": log(12.0, 20.0),
                "withdraw_power": Range(1.9, 2.4),
                "signal_ratio": signal,
                "reaction_s": log(0.6, 2.5),
                "refill_half_life_s": log(120.0, 400.0),
            },
        ),
        MakerKind(
            name="deep",
            share=0.15,
            drawn={
                "spread_ratio": Range(4.0, 9.0),
                "withdraw_z": log(14.0, 26.0),
                "withdraw_power": Range(1.8, 2.2),
                "signal_ratio": signal,
                "reaction_s": log(2.0, 8.0),
                "refill_half_life_s": log(300.0, 900.0),
                "levels": 8.0,
            },
        ),
    )


_BY_BALANCE = (
    MakerKind(
        name="funds",
        share=0.65,
        drawn={
            "withdraw_z": log(60.0, 120.0),
            "signal_ratio": Range(0.0, 0.2),
            "reaction_s": log(0.4, 1.5),
            "refill_half_life_s": log(200.0, 700.0),
            "inventory_limit_depths": log(1.5, 3.5),
            "inventory_skew_bps": log(6.0, 15.0),
            "capital_depths": log(0.25, 0.7),
            "capital_floor_ratio": Range(0.4, 0.6),
            "collateral_share": Range(0.3, 0.9),
        },
    ),
    MakerKind(
        name="cash",
        share=0.35,
        drawn={
            "spread_ratio": Range(1.6, 3.0),
            "withdraw_z": log(35.0, 70.0),
            "signal_ratio": Range(0.0, 0.3),
            "reaction_s": log(0.4, 2.0),
            "refill_half_life_s": log(120.0, 400.0),
            "inventory_limit_depths": log(2.0, 5.0),
            "capital_depths": log(0.5, 1.5),
            "capital_floor_ratio": Range(0.3, 0.5),
        },
    ),
)

_BY_SIGNALS = (
    MakerKind(
        name="followers",
        share=0.7,
        drawn={
            "withdraw_z": log(22.0, 34.0),
            "signal_ratio": Range(1.6, 2.6),
            "reaction_s": log(0.1, 0.4),
            "refill_half_life_s": log(90.0, 360.0),
        },
    ),
    MakerKind(
        name="locals",
        share=0.3,
        drawn={
            "spread_ratio": Range(2.0, 4.0),
            "withdraw_z": log(16.0, 26.0),
            "signal_ratio": Range(0.3, 0.6),
            "reaction_s": log(0.5, 2.0),
            "refill_half_life_s": log(240.0, 900.0),
        },
    ),
)

WORLDS: Mapping[str, World] = {
    world.name: world
    for world in (
        World(
            name="volatility",
            about="Makers leave when their own book moves. Fragile is what has much open interest beside its depth.",
            makers=_by_volatility(Range(0.2, 0.5)),
            open_interest_ratio=log(0.6, 1.4),
            open_interest_own=log(0.75, 1.35),
        ),
        World(
            name="balance_sheet",
            about="Makers leave when they have lost money, on inventory or on what they hold as collateral, "
            "hardly when prices move.",
            makers=_BY_BALANCE,
            open_interest_ratio=log(0.7, 1.5),
            open_interest_own=log(0.8, 1.3),
            tilt=Range(-0.2, 0.4),
            crowd={"collateral_share": Range(0.2, 0.6)},
        ),
        World(
            name="signals",
            about="Makers watch other venues and the common factor. Open interest beside depth is the same "
            "everywhere; the mix of leverage differs and decides.",
            makers=_BY_SIGNALS,
            tilt=Range(-0.7, 0.8),
        ),
        World(
            name="news",
            about="Little leverage. How large the news is and how few know the value decide; open interest, depth "
            "and leverage say nothing.",
            makers=_by_volatility(Range(0.3, 0.8)),
            open_interest_ratio=log(0.5, 1.6),
            open_interest_own=log(0.7, 1.5),
            depth_ratio=log(0.7, 1.4),
            tilt=Range(-1.3, -0.7),
            shock_ratio=log(1.2, 2.6),
            forced_ratio=log(0.8, 2.0),
            flow={"value_depths": log(0.008, 0.03), "value_depths_max": log(2.0, 6.0)},
        ),
        World(
            name="hedged",
            about="Open interest beyond the usual is hedged: much of it beside depth is no danger.",
            makers=_by_volatility(Range(0.3, 0.7)),
            open_interest_ratio=log(0.8, 2.2),
            open_interest_own=log(0.9, 1.1),
            tilt=Range(-0.2, 0.4),
            is_excess_hedged=True,
            hedged_base=0.7,
        ),
        World(
            name="stops",
            about="Less leverage, many stop orders and trend followers: most that is sold by force is no liquidation.",
            makers=_by_volatility(Range(0.2, 0.6)),
            open_interest_ratio=log(0.7, 1.6),
            open_interest_own=log(0.8, 1.3),
            tilt=Range(-0.8, -0.2),
            crowd={
                "stop_share": Range(0.12, 0.2),
                "stop_bps": log(400.0, 900.0),
                "momentum": Range(0.4, 0.8),
            },
            flow={"momentum_gain": log(0.08, 0.2)},
        ),
    )
}
