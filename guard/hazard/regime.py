"""What state a market is in: up at once, down slowly, and never because nothing is known. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log

from msgspec import Struct

from guard.forecasts import Regime
from guard.hazard.regime_settings import RegimeSettings
from guard.signals.memory import UsualState
from guard.signals.usual import Usual
from guard.units import NS_PER_S, Nanoseconds

__all__ = ["RegimeInputs", "RegimeMachine", "RegimeSettings", "RegimeState"]

ELAPSED_S_MAX = 30.0
"""Of a longer silence no more counts as calm than this."""
LOAD_MAX = 1e6
NOT_CALM = -1.0
HAZARD_HALF_LIFE_S = 86_400.0
HAZARD_MIN, HAZARD_PRIOR, HAZARD_USUAL_MAX = 1e-6, 0.001, 0.05
"""What is usual counts as no more than this: a guard that is started in a crash must not take it for usual."""
CALM_SPEED, CALM_SHARE = 1.0, 0.25
"""While STRESSED the usual hazard is learned where price moves no faster than usual, at a quarter of the pace."""
REPRODUCTION_S, REPRODUCTION_RISE = 1800.0, 2.2
"""Over what time the reproduction number's usual level is taken, and how far above it counts."""
_SEVERITY = {
    Regime.NORMAL: 0,
    Regime.RECOVERY: 1,
    Regime.WATCH: 1,
    Regime.STRESSED: 2,
    Regime.CASCADE: 3,
}
_LEVELS = (Regime.NORMAL, Regime.WATCH, Regime.STRESSED, Regime.CASCADE)


class RegimeInputs(Struct, frozen=True, kw_only=True):
    """What the state is judged by; ``None`` is unknown. Of two directions the worse one counts.

    Attributes:
        is_known: book and price may be believed. Where not, nothing here counts.
        hazard_15m: probability of 5 % within 15 minutes.
        hazard_watch: from what probability on acting costs less than waiting; ``None``: the settings'.
        hazard_stressed: from what probability on it does so at many times the cost; ``None``: the settings'.
        depth_z: robust z-score of depth, the thinner side.
        depth_ratio: depth over its normal, the thinner side.
        round_trip_ratio: round trip of 500 USD over its usual.
        reproduction: greatest local reproduction number within two usual 15-minute moves of the price.
        liquidations_per_min: liquidated in the last minute over depth within 1 % of mid.
        speed: move of the last minute in usual 1-minute deviations, positive either way.
        spread_ratio: spread over its usual.
        refill_ratio: half-life of refilling over its usual.
    """

    is_known: bool = True
    hazard_15m: float | None = None
    hazard_watch: float | None = None
    hazard_stressed: float | None = None
    depth_z: float | None = None
    depth_ratio: float | None = None
    round_trip_ratio: float | None = None
    reproduction: float | None = None
    liquidations_per_min: float | None = None
    speed: float | None = None
    spread_ratio: float | None = None
    refill_ratio: float | None = None


class RegimeState(Struct, frozen=True, kw_only=True):
    """What a machine remembers for another run; ``version`` tells its form."""

    version: int = 1
    regime: Regime = Regime.NORMAL
    since_at: Nanoseconds = 0
    at: Nanoseconds = 0
    calm_s: float = -1.0
    stage: int = 0
    dwell_s: float = 0.0
    had_cascade: bool = False
    entered_at: dict[Regime, Nanoseconds] = {}
    hazard: UsualState | None = None
    reproduction: float = 0.0


@dataclass(slots=True)
class _Load:
    """One criterion as last known: 1 and more enters the level."""

    load: float
    at: Nanoseconds


class RegimeMachine:
    """NORMAL, WATCH, STRESSED, CASCADE and RECOVERY of one market.

    Each criterion is a load, its value over its entry: 1 enters its level, at once. A level is held while any load of
    it or of a worse one is at least ``exit_share``, and then until it was calm for the level's dwell time. Down it
    goes one step: CASCADE to STRESSED or RECOVERY, STRESSED to RECOVERY after a cascade and to WATCH else, WATCH and
    RECOVERY to NORMAL. RECOVERY is entered, and its stages of resuming follow one another, only while depth, spread and
    refill are back.

    * WATCH: hazard / max(h1, 4 u), depth z / -3; u is what the hazard usually is here (decayed over a day, not learned
      in a CASCADE, and slowly while STRESSED, where price stands). STRESSED: hazard / max(h2, 12 u), round trip / 5,
      reproduction number / max(1, 2.2 v) that lasts, v its mean of the last half hour but for a CASCADE.
    * CASCADE: the lesser of liquidations per minute / 0.3 and speed / 3; 0.2 / depth ratio, once it lasted 3 s.

    Where data is unknown the state holds and time does not count; an input that turned unknown counts as it last was
    for ``remembered_s``. Source of levels: decision 0227; the hazards' by cost. Cost: 5 us. Assumption: it is
    asked every few seconds. Failure mode: a market that is thin for good stays in WATCH until its baseline follows.

    >>> machine = RegimeMachine()
    >>> machine.update(0, RegimeInputs(depth_z=-4.0, depth_ratio=0.5)), machine.reasons
    (<Regime.WATCH: 'watch'>, ('depth_z',))
    >>> calm = RegimeInputs(depth_z=0.0, depth_ratio=1.0, spread_ratio=1.0)
    >>> [machine.update(second * NS_PER_S, calm).value for second in (5, 30, 60, 90, 120, 150)]
    ['watch', 'watch', 'watch', 'watch', 'watch', 'normal']
    """

    def __init__(self, settings: RegimeSettings | None = None) -> None:
        self.settings = settings or RegimeSettings()
        self.regime = Regime.NORMAL
        self.since_at: Nanoseconds = 0
        self.reasons: tuple[str, ...] = ()
        """What enters the level, else what holds it, worst first; nothing while only its dwell time does."""
        self.is_held_unknown = False
        """The state stands only because nothing is known."""
        self._at: Nanoseconds | None = None
        self._calm_s = NOT_CALM
        self._stage = 0
        self._dwell_s = 0.0
        self._had_cascade = False
        self._collapsed_at: Nanoseconds | None = None
        self._forced_at: Nanoseconds | None = None
        self._entered_at: dict[Regime, Nanoseconds] = {}
        self._loads: dict[tuple[int, str], _Load] = {}
        self._usual_reproduction = 0.0
        self._hazard = Usual(HAZARD_HALF_LIFE_S, warm_s=600.0, prior=(log(HAZARD_PRIOR), 1.0, 120.0))

    @property
    def resume_share(self) -> float:
        """How much of what was cut may be resumed: all in NORMAL and WATCH, by stages in RECOVERY, else nothing."""
        if self.regime is Regime.RECOVERY:
            return self.settings.stages[min(self._stage, len(self.settings.stages) - 1)]
        return 1.0 if _SEVERITY[self.regime] < 2 else 0.0

    def update(self, at: Nanoseconds, inputs: RegimeInputs) -> Regime:
        """Judge anew at a time; one that is earlier than the last counts as the last."""
        elapsed_s = 0.0 if self._at is None else min(max(at - self._at, 0) / NS_PER_S, ELAPSED_S_MAX)
        at = at if self._at is None else max(at, self._at)
        self._at = at
        self.is_held_unknown = not inputs.is_known
        if not inputs.is_known:
            self._collapsed_at = self._forced_at = None
            return self.regime
        self._weigh(at, elapsed_s, inputs)
        entered, held = self._levels(at)
        current = _SEVERITY[self.regime]
        if entered > current:
            self._enter(_LEVELS[entered], at)
        elif self.regime is Regime.RECOVERY:
            self._recover(at, elapsed_s, inputs, held)
        elif current and self._has_been_calm(held < current, elapsed_s) >= self._dwell_s:
            self._step_down(at, inputs, held)
        self.reasons = self._why(at, inputs)
        return self.regime

    # ---------------------------------------------------------------- how bad it is

    def _weigh(self, at: Nanoseconds, elapsed_s: float, inputs: RegimeInputs) -> None:
        settings = self.settings
        watch = settings.hazard_watch if inputs.hazard_watch is None else inputs.hazard_watch
        stressed = settings.hazard_stressed if inputs.hazard_stressed is None else inputs.hazard_stressed
        usual = self._usual_hazard(inputs.hazard_15m, inputs.speed, elapsed_s)
        watch = max(watch, settings.hazard_rise_watch * usual)
        stressed = max(stressed, watch, settings.hazard_rise_stressed * usual)
        self._note(at, 1, "hazard", _over(inputs.hazard_15m, watch))
        self._note(at, 2, "hazard", _over(inputs.hazard_15m, stressed))
        self._note(at, 1, "depth_z", _over(inputs.depth_z, settings.depth_z_watch))
        self._note(at, 2, "round_trip", _over(inputs.round_trip_ratio, settings.round_trip_stressed))
        self._note(at, 2, "reproduction", self._reproduction(at, inputs.reproduction, elapsed_s))
        flow = _over(inputs.liquidations_per_min, settings.liquidations_cascade)
        speed = _over(inputs.speed, settings.speed_cascade)
        self._note(at, 3, "liquidations", None if flow is None or speed is None else min(flow, speed))
        self._note(at, 3, "collapse", self._collapse(at, inputs.depth_ratio))

    def _usual_hazard(self, hazard: float | None, speed: float | None, elapsed_s: float) -> float:
        """What the hazard usually is of this market, as far as it is known; a model's base rate may be another's."""
        usual = min(exp(self._hazard.mean), HAZARD_USUAL_MAX)
        severity = _SEVERITY[self.regime]
        if severity == 2:
            # Else a market that is entered as STRESSED because a model's rate is not its own would stay for ever.
            elapsed_s *= CALM_SHARE if speed is not None and speed < CALM_SPEED else 0.0
        if hazard is not None and isfinite(hazard) and severity < 3 and (severity < 2 or elapsed_s > 0.0):
            self._hazard.update(log(min(max(hazard, HAZARD_MIN), 1.0)), elapsed_s)
        return usual

    def _reproduction(self, at: Nanoseconds, value: float | None, elapsed_s: float) -> float | None:
        usual = self._usual_reproduction
        load = _over(value, max(self.settings.reproduction_stressed, REPRODUCTION_RISE * usual))
        if value is not None and isfinite(value) and _SEVERITY[self.regime] < 3:
            # A market that is fragile for good is not under stress for that: nothing has begun.
            self._usual_reproduction += (value - usual) * (1.0 - exp(-elapsed_s / REPRODUCTION_S))
        if load is None or load < 1.0:
            self._forced_at = None
            return load
        if self._forced_at is None:
            self._forced_at = at
        has_lasted = (at - self._forced_at) / NS_PER_S >= self.settings.reproduction_s
        if has_lasted:
            return load
        # Before it has lasted it enters nothing, and holds only what was entered.
        return 0.999 if _SEVERITY[self.regime] >= 2 else 0.999 * self.settings.exit_share

    def _collapse(self, at: Nanoseconds, ratio: float | None) -> float | None:
        if ratio is None or not isfinite(ratio):
            return None
        load = min(self.settings.depth_collapse / max(ratio, 1e-6), LOAD_MAX)
        if load <= 1.0:
            self._collapsed_at = None
            return min(load, 0.999)
        if self._collapsed_at is None:
            self._collapsed_at = at
        lasted_s = (at - self._collapsed_at) / NS_PER_S
        return load if lasted_s >= self.settings.collapse_s else 0.999

    def _note(self, at: Nanoseconds, level: int, name: str, load: float | None) -> None:
        if load is None:
            return
        seen = self._loads.get((level, name))
        if seen is None:
            self._loads[level, name] = _Load(load, at)
        else:
            seen.load, seen.at = load, at

    def _levels(self, at: Nanoseconds) -> tuple[int, int]:
        """The level that is entered now, and the one that is held."""
        entered = held = 0
        forget_at = at - int(self.settings.remembered_s * NS_PER_S)
        for (level, _), seen in self._loads.items():
            if seen.at < forget_at:
                continue
            if seen.load >= 1.0 and seen.at == at:
                entered = max(entered, level)
            if seen.load >= self.settings.exit_share:
                held = max(held, level)
        return entered, held

    def _why(self, at: Nanoseconds, inputs: RegimeInputs) -> tuple[str, ...]:
        """What enters the level now, else what holds it; in RECOVERY what is not back."""
        if self.regime is Regime.RECOVERY:
            return () if self._is_recovered(inputs) else ("book",)
        current, forget_at = _SEVERITY[self.regime], at - int(self.settings.remembered_s * NS_PER_S)
        if current == 0:
            return ()
        found = [
            (level, seen.load, name)
            for (level, name), seen in self._loads.items()
            if level >= current and seen.at >= forget_at and seen.load >= self.settings.exit_share
        ]
        entering = [each for each in found if each[1] >= 1.0]
        return tuple(dict.fromkeys(name for _, _, name in sorted(entering or found, reverse=True)))

    # ---------------------------------------------------------------- where it goes

    def _has_been_calm(self, is_calm: bool, elapsed_s: float) -> float:
        """Seconds since the first calm look of a row; negative before it."""
        if not is_calm:
            self._calm_s = NOT_CALM
        else:
            self._calm_s = 0.0 if self._calm_s == NOT_CALM else self._calm_s + elapsed_s
        return self._calm_s

    def _enter(self, regime: Regime, at: Nanoseconds) -> None:
        settings = self.settings
        dwells = {
            Regime.WATCH: settings.watch_dwell_s,
            Regime.STRESSED: settings.stressed_dwell_s,
            Regime.CASCADE: settings.cascade_dwell_s,
        }
        self._dwell_s = dwells.get(regime, 0.0)
        if _SEVERITY[regime] > _SEVERITY[self.regime]:
            before = self._entered_at.get(regime)
            if before is not None and at - before <= settings.repeat_s * NS_PER_S:
                self._dwell_s = max(self._dwell_s, settings.repeat_dwell_s)
            self._entered_at[regime] = at
        self._had_cascade = (self._had_cascade or regime is Regime.CASCADE) and regime is not Regime.NORMAL
        self.regime, self.since_at = regime, at
        self._calm_s, self._stage = NOT_CALM, 0

    def _step_down(self, at: Nanoseconds, inputs: RegimeInputs, held: int) -> None:
        match self.regime:
            case Regime.CASCADE if held >= 2:
                self._enter(Regime.STRESSED, at)
            case Regime.CASCADE | Regime.STRESSED if self._had_cascade:
                if self._is_recovered(inputs):
                    self._enter(Regime.RECOVERY, at)
            case Regime.STRESSED:
                self._enter(Regime.WATCH, at)
            case _:
                self._enter(Regime.NORMAL, at)

    def _recover(self, at: Nanoseconds, elapsed_s: float, inputs: RegimeInputs, held: int) -> None:
        is_recovered = self._is_recovered(inputs)
        if not is_recovered:
            self._stage = 0
        if self._has_been_calm(is_recovered, elapsed_s) < self.settings.stage_s:
            return
        if self._stage + 1 < len(self.settings.stages):
            self._stage, self._calm_s = self._stage + 1, 0.0
        elif held == 0:
            self._enter(Regime.NORMAL, at)

    def _is_recovered(self, inputs: RegimeInputs) -> bool:
        """Depth and spread must be known to be back; refill where it is known, for calm markets show none."""
        settings = self.settings
        depth, spread, refill = inputs.depth_ratio, inputs.spread_ratio, inputs.refill_ratio
        if depth is None or spread is None:
            return False
        is_refilled = refill is None or refill <= settings.recovered_refill
        return depth >= settings.recovered_depth and spread <= settings.recovered_spread and is_refilled

    # ---------------------------------------------------------------- for another run

    def state(self) -> RegimeState:
        """What is remembered; loads are not, they are told anew."""
        return RegimeState(
            regime=self.regime,
            since_at=self.since_at,
            at=self._at or 0,
            calm_s=self._calm_s,
            stage=self._stage,
            dwell_s=self._dwell_s,
            had_cascade=self._had_cascade,
            entered_at=dict(self._entered_at),
            hazard=self._hazard.state(),
            reproduction=self._usual_reproduction,
        )

    def restore(self, state: RegimeState) -> None:
        """Go on from a state; another version's is not taken. The time between counts as unknown."""
        if state.version != 1:
            return
        self.regime, self.since_at, self._at = state.regime, state.since_at, None
        self._calm_s, self._dwell_s = max(state.calm_s, NOT_CALM), max(state.dwell_s, 0.0)
        self._stage = min(max(state.stage, 0), len(self.settings.stages) - 1)
        self._had_cascade, self._entered_at = state.had_cascade, dict(state.entered_at)
        if state.hazard is not None:
            self._hazard.restore(state.hazard)
        if isfinite(state.reproduction):
            self._usual_reproduction = max(state.reproduction, 0.0)


def _over(value: float | None, entry: float) -> float | None:
    """A value in units of its entry, 0 and up; ``None`` for what is no number."""
    if value is None or not isfinite(value):
        return None
    if entry == 0.0:
        return LOAD_MAX
    return min(max(value / entry, 0.0), LOAD_MAX)
