"""Where everybody else is liquidated: the map, learned from what a venue publishes. No I/O, no clock."""

from guard.leverage.crowd.liquidation_map import LiquidationMap
from guard.leverage.crowd.map_state import MapState
from guard.leverage.crowd.mix import LeverageMix, MixState
from guard.leverage.crowd.settings import MapSettings
from guard.leverage.crowd.side_map import BIN_LOG, BINS, SideMap

__all__ = [
    "BINS",
    "BIN_LOG",
    "LeverageMix",
    "LiquidationMap",
    "MapSettings",
    "MapState",
    "MixState",
    "SideMap",
]
