"""The tag of all that made-up markets are drawn from, so that figures of different days can be told to be comparable.

Each world, each scenario, each pair of them (by episodes drawn), symbols, venues, seeds and the meaning of an episode's
values has a hash of its own; the tag is the hash of all of them. One that is added changes the tag and none of the
others; what was released may not change (``released.RELEASED``, held by a test of the house).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Any

from adapters.simulation.laboratory import parameters
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.ranges import (
    COMMON,
    LEVERAGE_LONGS,
    LEVERAGE_SHORTS,
    PRICE,
    START_MS_FIRST,
    START_MS_LAST,
    SYMBOLS,
    VENUES,
)
from adapters.simulation.worlds.released import RELEASED
from adapters.simulation.worlds.scenarios import SCENARIOS
from adapters.simulation.worlds.seeds import Split, seeds_of
from adapters.simulation.worlds.variants import WORLDS

MEANING = 1
"""Goes up when equal values of an episode come to mean another market: when a formula or a mechanism changes."""

DIGITS = 12
SEEDS_HASHED = 200
DRAWN = (Split.TRAIN, Split.VALIDATION, Split.TEST)
"""A seed of each is drawn in every pair of world and scenario."""

VALUES = (
    parameters.VenueParameters,
    parameters.MarginBracket,
    parameters.SymbolParameters,
    parameters.ValueParameters,
    parameters.MakerParameters,
    parameters.CrowdParameters,
    parameters.FlowParameters,
    parameters.ArbitrageParameters,
    parameters.LiquidationParameters,
    parameters.FundingParameters,
    parameters.Impulse,
    parameters.Episode,
)


@cache
def parts() -> Mapping[str, str]:
    """Give the hash of each part by its name, in a fixed order."""
    found = {"meaning": hashed([MEANING, [_fields(one) for one in VALUES], list(parameters.ImpulseKind)])}
    found["ranges"] = hashed([COMMON, LEVERAGE_LONGS, LEVERAGE_SHORTS, PRICE, START_MS_FIRST, START_MS_LAST])
    found["symbols"] = hashed(SYMBOLS)
    found["venues"] = hashed(VENUES)
    for split in Split:
        found[f"seeds {split}"] = hashed([str(seed) for seed in seeds_of(split, SEEDS_HASHED)])
    found.update({f"world {name}": hashed(world) for name, world in WORLDS.items()})
    found.update({f"scenario {name}": hashed(scenario) for name, scenario in SCENARIOS.items()})
    for world in WORLDS:
        for scenario in SCENARIOS:
            seeds = [next(seeds_of(split, 1, first=1)) for split in DRAWN]
            drawn = [draw_episode(world, scenario, seed) for seed in seeds]
            found[f"drawn {world} {scenario}"] = hashed(drawn)
    return found


def tag() -> str:
    """Give the hash of all parts."""
    return hashed(parts())


def changed() -> tuple[str, ...]:
    """Name the released parts that are no more what they were."""
    now = parts()
    return tuple(name for name, digest in RELEASED.items() if now.get(name) != digest)


def stamp() -> str:
    """Say in one line from what a benchmark's episodes are drawn, and whether that is what was released."""
    what = f"worlds {tag()} ({len(WORLDS)} worlds, {len(SCENARIOS)} scenarios)"
    if not RELEASED:
        return f"{what}, not released yet"
    gone = changed()
    if gone:
        return f"{what}, NOT as released: {', '.join(gone)}"
    added = [name for name in parts() if name not in RELEASED]
    return f"{what}, as released" + (f" and {len(added)} parts more" if added else "")


def hashed(value: object) -> str:
    """Hash what a value says, not how it is kept."""
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=True, allow_nan=False)
    return sha256(text.encode()).hexdigest()[:DIGITS]


def _plain(value: Any) -> Any:
    plain = value
    if isinstance(value, Enum):
        plain = str(value.value)
    elif isinstance(value, float | Decimal):
        plain = repr(value)
    elif isinstance(value, Mapping):
        plain = {str(name): _plain(one) for name, one in value.items()}
    elif is_dataclass(value):
        plain = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    elif isinstance(value, Iterable) and not isinstance(value, str):
        plain = [_plain(one) for one in value]
    return plain


def _fields(kind: Any) -> list[Any]:
    """Names, types and defaults of a class of values."""
    return [
        kind.__name__,
        *([one.name, str(one.type), None if one.default is MISSING else one.default] for one in fields(kind)),
    ]
