"""Facts of the outside that weigh a little, and only until they expire. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, tanh

from guard.forecasts import Direction, SignalValue
from guard.units import Nanoseconds

SHIFT_MAX = 0.25
"""All facts together change log-odds by no more than this: odds by 28 %, a probability of 2 % to 2.5 %."""
FACTS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideFact:
    """Something that was told from outside; ``value`` in the unit that its name documents."""

    name: str
    value: float
    at: Nanoseconds
    expires_at: Nanoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class FactScale:
    """What a fact's number means.

    Attributes:
        name: of the fact.
        usual: the number that says nothing.
        spread: so far from it is a strong statement (positive).
        sign: +1 where more of it makes falls likelier, -1 where less does.
        shift: greatest change of log-odds, positive.
        is_one_sided: it says something of falls alone; else of rises as well, with the other sign.
    """

    name: str
    usual: float
    spread: float
    sign: int
    shift: float
    is_one_sided: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.spread < 1e18:
            raise ValueError(f"{self.name}: spread must be positive, not {self.spread}")
        if not 0.0 <= self.shift <= SHIFT_MAX:
            raise ValueError(f"{self.name}: shift must be within 0 and {SHIFT_MAX}, not {self.shift}")
        if self.sign not in {-1, 1}:
            raise ValueError(f"{self.name}: sign must be -1 or 1, not {self.sign}")


SCALES = (
    FactScale(name="etf_net_flow_usd", usual=0.0, spread=5e8, sign=-1, shift=0.10, is_one_sided=False),
    FactScale(name="exchange_stablecoins_change", usual=0.0, spread=0.02, sign=-1, shift=0.05),
    FactScale(name="risk", usual=0.0, spread=1.0, sign=1, shift=0.20),
)
"""Net flow of a day's ETFs, USD; change of stablecoins on exchanges over a day, ratio; one's own judgement, -1..1."""


class OutsideFacts:
    """Facts by name, and the shift of log-odds that they come to.

    Formula: sum over facts that hold of sign x shift x tanh((value - usual) / spread), clipped at ``SHIFT_MAX``. Unit:
    log-odds. Alarm: shift / ``SHIFT_MAX``. A fact without a scale is kept, shown by nobody and weighs nothing.

    Source: whoever may publish them. Cost: 1 us. Assumption: daily numbers move the odds of a cascade hardly at all:
    no published study shows more. Failure mode: a wrong fact makes a little wrong, by design no more.

    >>> facts = OutsideFacts()
    >>> facts.take(OutsideFact(name="etf_net_flow_usd", value=-1e9, at=0, expires_at=100))
    >>> round(facts.log_odds(Direction.DOWN, 50), 3), round(facts.log_odds(Direction.UP, 50), 3)
    (0.096, -0.096)
    >>> facts.log_odds(Direction.DOWN, 100)
    0.0
    """

    def __init__(self, scales: Iterable[FactScale] = SCALES) -> None:
        self._scales = {scale.name: scale for scale in scales}
        self._facts: dict[str, OutsideFact] = {}

    def take(self, fact: OutsideFact) -> None:
        """Take a fact in place of the former of its name; what is no number takes it back."""
        self._facts.pop(fact.name, None)
        if isfinite(fact.value) and fact.expires_at > fact.at:
            self._facts[fact.name] = fact
            while len(self._facts) > FACTS_MAX:
                del self._facts[next(iter(self._facts))]

    def drop(self, name: str) -> None:
        """Take a fact back."""
        self._facts.pop(name, None)

    def holding(self, now: Nanoseconds) -> tuple[OutsideFact, ...]:
        """Those that have not expired."""
        return tuple(fact for fact in self._facts.values() if now < fact.expires_at)

    def log_odds(self, direction: Direction, now: Nanoseconds) -> float:
        """What is added to the log-odds of a move in a direction, within ``SHIFT_MAX`` either way."""
        total = 0.0
        if not self._facts:
            return total
        for fact in self.holding(now):
            scale = self._scales.get(fact.name)
            if scale is None:
                continue
            pushed = scale.sign * scale.shift * tanh((fact.value - scale.usual) / scale.spread)
            if direction is Direction.DOWN:
                total += pushed
            elif not scale.is_one_sided:
                total -= pushed
        return max(min(total, SHIFT_MAX), -SHIFT_MAX)

    def values(self, now: Nanoseconds) -> tuple[SignalValue, ...]:
        """The shift for falls; unknown while nobody told anything."""
        known = [fact.name for fact in self.holding(now) if fact.name in self._scales] if self._facts else []
        if not known:
            return _UNKNOWN
        shift = self.log_odds(Direction.DOWN, now)
        about = ", ".join(sorted(known))
        return (
            SignalValue(
                name="outside_prior", value=shift, unit="log-odds", alarm=shift / SHIFT_MAX, about=about
            ),
        )


_UNKNOWN = (SignalValue(name="outside_prior", value=None, unit="log-odds", alarm=None),)
