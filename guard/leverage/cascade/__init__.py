"""How far a fall or a rise feeds on liquidations, given book and map. No I/O, no clock."""

from guard.leverage.cascade.result import CASCADE_FEATURES, CascadeFeatures, CascadeResult, Stretch
from guard.leverage.cascade.settings import CascadeSettings
from guard.leverage.cascade.sizing import (
    ExitCosts,
    exit_cost,
    exit_costs,
    largest_leverage,
    largest_size,
    margin_wanted,
)
from guard.leverage.cascade.structure import (
    CascadeInputs,
    Elsewhere,
    SideMap,
    cascade,
    oi_depth_ratio,
)

__all__ = [
    "CASCADE_FEATURES",
    "CascadeFeatures",
    "CascadeInputs",
    "CascadeResult",
    "CascadeSettings",
    "Elsewhere",
    "ExitCosts",
    "SideMap",
    "Stretch",
    "cascade",
    "exit_cost",
    "exit_costs",
    "largest_leverage",
    "largest_size",
    "margin_wanted",
    "oi_depth_ratio",
]
