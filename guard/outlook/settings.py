"""How often the markets are looked at as a whole, and how much of that is written down. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from guard.hazard.regime_settings import RegimeSettings
from guard.readings import REFRESH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlookSettings:
    """How the outlook of each market is made.

    Attributes:
        enabled: estimate everybody else's liquidations, how far a cascade goes and how likely it is.
        refresh_s: each market is estimated anew this often, at a sample of it.
        recorded_s: the outlook of each market is recorded this often, and whenever its regime changes; ...
        recorded_per_minute_max: ... but of many markets no more than so many a minute, so each less often.
        regime: when the state of a market changes.
    """

    enabled: bool = True
    refresh_s: float = REFRESH_S
    recorded_s: float = 60.0
    recorded_per_minute_max: int = 20
    regime: RegimeSettings = field(default_factory=RegimeSettings)

    def __post_init__(self) -> None:
        for name, least, most in (("refresh_s", 1.0, 60.0), ("recorded_s", 5.0, 86_400.0)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least:g} to {most:g}, not {getattr(self, name)}")
        if not 1 <= self.recorded_per_minute_max < inf:
            raise ValueError(f"recorded_per_minute_max must be 1 or more, not {self.recorded_per_minute_max}")
