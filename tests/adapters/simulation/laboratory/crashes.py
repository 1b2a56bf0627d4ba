"""A crash in twenty seconds, in which everything happens that a scenario can do, and a digest of what guards see."""

from __future__ import annotations

import hashlib

import msgspec

from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import (
    CrowdParameters,
    Episode,
    FundingParameters,
    Impulse,
    ImpulseKind,
)
from tests.adapters.simulation.laboratory.episodes import small_episode

CRASH = (
    Impulse(kind=ImpulseKind.VALUE, at_s=2.0, duration_s=10.0, size=-0.12),
    Impulse(kind=ImpulseKind.SELL, at_s=3.0, duration_s=5.0, size=3.0),
    Impulse(kind=ImpulseKind.WITHDRAW, at_s=3.0, duration_s=5.0, size=0.2),
    Impulse(kind=ImpulseKind.DEPEG, at_s=4.0, duration_s=20.0, size=-0.3, venue="binanceusdm"),
    Impulse(kind=ImpulseKind.ARBITRAGE_STOP, at_s=5.0, duration_s=5.0, size=1.0, venue="bybit"),
    Impulse(kind=ImpulseKind.ENTRIES, at_s=0.0, duration_s=2.0, size=0.02),
    Impulse(kind=ImpulseKind.OUTAGE, at_s=11.0, duration_s=3.0, size=1.0, venue="bybit"),
)
"""Everything that a scenario can do, within 20 seconds."""


def crash(seed: int, duration_s: float = 20.0) -> Episode:
    crowd = CrowdParameters(positions=300, history_days=0.5, collateral_share=0.5)
    funding = FundingParameters(interval_s=8.0)
    return small_episode(
        seed=seed,
        duration_s=duration_s,
        impulses=CRASH,
        crowd=crowd,
        funding=funding,
        truth_s=5.0,
        positions_s=10.0,
    )


def digest_of(episode: Episode) -> str:
    """Of all that guards see, byte for byte."""
    digest = hashlib.sha256()
    encoder = msgspec.json.Encoder()
    for event in Laboratory(episode).events():
        digest.update(encoder.encode(event))
    return digest.hexdigest()
