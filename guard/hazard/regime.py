"""What state a market is in: up at once, down slowly, and never because nothing is known. No I/O, no clock.

Compiled where there is a compiler (regime.pxd), and the same results as it is.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

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
UNREST = 4.0
"""A second that holds a level takes so many calm ones back: one is left where it is calm four fifths of the time."""
HAZARD_HALF_LIFE_S = 86_400.0
HAZARD_MIN, HAZARD_PRIOR, HAZARD_USUAL_MAX = 1e-6, 0.001, 0.05
"""What is usual counts as no more than this: a guard that is started in a crash must not take it for usual."""
CALM_SPEED, CALM_SHARE = 1.0, 0.25
"""While STRESSED the usual hazard is learned where price moves no faster than usual, at a quarter of the pace."""
UNSEEN_SHARE = 0.999
"""Of what holds a level: as much as depth that is not seen comes to at the most, while price stands."""
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
_NAMES = ("hazard", "hazard", "depth_z", "round_trip", "reproduction", "liquidations", "collapse")
_WATCH_HAZARD, _HAZARD, _DEPTH, _ROUND_TRIP, _REPRODUCTION, _LIQUIDATIONS, _COLLAPSE = 0, 1, 2, 3, 4, 5, 6
"""Criteria, by their place."""
_CRITERIA = 7
_NANOSECONDS = NS_PER_S
_UNKNOWN = float("nan")


class RegimeInputs(Struct, frozen=True, kw_only=True):
    """What the state is judged by; ``None`` is unknown. Of two directions the worse one counts.

    Attributes:
        is_known: book and price may be believed. Where not, nothing here counts.
        hazard_15m: probability of 5 % within 15 minutes.
        hazard_watch: from what probability on acting costs less than waiting; ``None``: the settings'.
        hazard_stressed: from what probability on it does so at many times the cost; ``None``: the settings'.
        depth_z: robust z-score of depth, the thinner side.
        depth_ratio: depth over its normal, the thinner side.
        is_depth_seen: levels reach as far as that depth is told; else what it is was made out of the nearest ones.
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
    is_depth_seen: bool = True
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


class RegimeMachine:
    """NORMAL, WATCH, STRESSED, CASCADE and RECOVERY of one market.

    Each criterion is a load, its value over its entry: 1 enters its level, at once; where it is the book alone that
    tells STRESSED or CASCADE, at the second look in a row. Depth that is not seen counts only while price moves or much
    is liquidated. A level is held while any load of it or of a worse one is at least ``exit_share``, and then until it
    was calm for the level's dwell time; a second that is not takes four calm ones back, for a thin book flickers. Down
    it goes one step: CASCADE to STRESSED or RECOVERY, STRESSED to RECOVERY after a cascade and to WATCH else, WATCH and
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
        self.unseen: tuple[str, ...] = ()
        """Criteria that would count if the depth they are told of were seen, or price moved."""
        self._at: Nanoseconds = -1
        """Of the last look; negative before the first."""
        self._calm_s = NOT_CALM
        self._stage = 0
        self._dwell_s = 0.0
        self._had_cascade = False
        self._collapsed_at: Nanoseconds = -1
        self._dear_at: Nanoseconds = -1
        self._forced_at: Nanoseconds = -1
        self._entered_at: dict[Regime, Nanoseconds] = {}
        self._severity = 0
        # Each criterion as last known: its level, its load, of which 1 and more enters it, and when; -1: never.
        self._level = array("q", (1, 2, 1, 2, 2, 3, 3))
        self._load = array("d", (0.0,) * _CRITERIA)
        self._known_at = array("q", (-1,) * _CRITERIA)
        self._usual_reproduction = 0.0
        self._hazard = Usual(HAZARD_HALF_LIFE_S, warm_s=600.0, prior=(math.log(HAZARD_PRIOR), 1.0, 120.0))

    @property
    def resume_share(self) -> float:
        """How much of what was cut may be resumed: all in NORMAL and WATCH, by stages in RECOVERY, else nothing."""
        if self.regime is Regime.RECOVERY:
            stages = self.settings.stages
            return stages[min(self._stage, len(stages) - 1)]
        return 1.0 if self._severity < 2 else 0.0

    def update(self, at: Nanoseconds, inputs: RegimeInputs) -> Regime:
        """Judge anew at a time; one that is earlier than the last counts as the last."""
        elapsed_s = 0.0
        if self._at >= 0:
            at = max(at, self._at)
            elapsed_s = min((at - self._at) / float(_NANOSECONDS), ELAPSED_S_MAX)
        self._at = at
        self.is_held_unknown = not inputs.is_known
        if self.is_held_unknown:
            self._collapsed_at = self._dear_at = self._forced_at = -1
            self.unseen = ()
            return self.regime
        self._weigh(at, elapsed_s, inputs)
        entered, held = self._entered(at), self._held(at)
        if entered > self._severity:
            self._enter(_LEVELS[entered], at)
        elif self.regime is Regime.RECOVERY:
            self._recover(at, elapsed_s, inputs, held)
        elif self._severity and self._has_been_calmer(entered, held, elapsed_s) >= self._dwell_s:
            self._step_down(at, inputs, held)
        self.reasons = self._why(at, inputs)
        return self.regime

    # ---------------------------------------------------------------- how bad it is

    def _weigh(self, at: Nanoseconds, elapsed_s: float, inputs: RegimeInputs) -> None:
        settings = self.settings
        watch = settings.hazard_watch if inputs.hazard_watch is None else inputs.hazard_watch
        stressed = settings.hazard_stressed if inputs.hazard_stressed is None else inputs.hazard_stressed
        hazard, speed = _number(inputs.hazard_15m), _number(inputs.speed)
        usual = self._usual_hazard(hazard, speed, elapsed_s)
        watch = max(watch, settings.hazard_rise_watch * usual)
        stressed = max(stressed, watch, settings.hazard_rise_stressed * usual)
        self._note(at, _WATCH_HAZARD, _over(hazard, watch))
        self._note(at, _HAZARD, _over(hazard, stressed))
        flow = _over(_number(inputs.liquidations_per_min), settings.liquidations_cascade)
        fast = _over(speed, settings.speed_cascade)
        forced = fast if math.isnan(fast) else min(flow, fast)
        depth = _over(_number(inputs.depth_z), settings.depth_z_watch)
        dear = _over(_number(inputs.round_trip_ratio), settings.round_trip_stressed)
        gone = _collapsed(_number(inputs.depth_ratio), settings.depth_collapse)
        self.unseen = ()
        if not (inputs.is_depth_seen or speed >= settings.speed_unseen or flow >= 1.0):
            least = settings.exit_share
            if depth >= least or gone >= least:
                self.unseen = _told_of(depth >= least, gone >= least)
            # NaN stays NaN: what is not told at all is remembered, what is told and not seen is not.
            depth = depth if math.isnan(depth) else min(depth, UNSEEN_SHARE * least)
            gone = gone if math.isnan(gone) else min(gone, UNSEEN_SHARE * least)
        self._dear_at = _since(self._dear_at, at, dear)
        self._collapsed_at = _since(self._collapsed_at, at, gone)
        self._note(at, _DEPTH, depth)
        self._note(at, _ROUND_TRIP, self._lasting(at, self._dear_at, dear, settings.round_trip_s))
        self._note(at, _REPRODUCTION, self._reproduction(at, _number(inputs.reproduction), elapsed_s))
        self._note(at, _LIQUIDATIONS, forced)
        self._note(at, _COLLAPSE, self._lasting(at, self._collapsed_at, gone, settings.collapse_s))

    def _usual_hazard(self, hazard: float, speed: float, elapsed_s: float) -> float:
        """What the hazard usually is of this market, as far as it is known; a model's base rate may be another's."""
        usual = min(math.exp(self._hazard.mean), HAZARD_USUAL_MAX)
        if self._severity == 2:
            # Else a market that is entered as STRESSED because a model's rate is not its own would stay for ever.
            elapsed_s *= CALM_SHARE if speed < CALM_SPEED else 0.0
        if math.isfinite(hazard) and self._severity < 3 and (self._severity < 2 or elapsed_s > 0.0):
            self._hazard.update(math.log(min(max(hazard, HAZARD_MIN), 1.0)), elapsed_s)
        return usual

    def _reproduction(self, at: Nanoseconds, value: float, elapsed_s: float) -> float:
        usual, settings = self._usual_reproduction, self.settings
        load = _over(value, max(settings.reproduction_stressed, REPRODUCTION_RISE * usual))
        if math.isfinite(value) and self._severity < 3:
            # A market that is fragile for good is not under stress for that: nothing has begun.
            self._usual_reproduction += (value - usual) * (1.0 - math.exp(-elapsed_s / REPRODUCTION_S))
        if not load >= 1.0:
            self._forced_at = -1
            return load
        if self._forced_at < 0:
            self._forced_at = at
        if (at - self._forced_at) / float(_NANOSECONDS) >= settings.reproduction_s:
            return load
        # Before it has lasted it enters nothing, and holds only what was entered.
        return 0.999 if self._severity >= 2 else 0.999 * settings.exit_share

    def _lasting(self, at: Nanoseconds, since: Nanoseconds, load: float, least_s: float) -> float:
        """A load of the book alone: one look may be one order, so it enters nothing before it lasted; NaN stays."""
        if load >= 1.0 and (at - since) / float(_NANOSECONDS) < least_s:
            return 0.999
        return load

    def _note(self, at: Nanoseconds, place: int, load: float) -> None:
        """Keep a criterion's load; what is not known leaves it as it last was."""
        if not math.isnan(load):
            self._load[place], self._known_at[place] = load, at

    def _entered(self, at: Nanoseconds) -> int:
        """The level that is entered now."""
        entered = 0
        for place in range(_CRITERIA):
            if self._load[place] >= 1.0 and self._known_at[place] == at:
                entered = max(entered, self._level[place])
        return entered

    def _held(self, at: Nanoseconds) -> int:
        """The level that is held, by what is remembered."""
        held, least, forget_at = 0, self.settings.exit_share, self._forget_at(at)
        for place in range(_CRITERIA):
            if self._known_at[place] >= forget_at and self._load[place] >= least:
                held = max(held, self._level[place])
        return held

    def _forget_at(self, at: Nanoseconds) -> Nanoseconds:
        """Loads that were known last before then do not count; those that never were are from before all time."""
        since: Nanoseconds = at - int(self.settings.remembered_s * _NANOSECONDS)
        return max(since, 0)

    def _why(self, at: Nanoseconds, inputs: RegimeInputs) -> tuple[str, ...]:
        """What enters the level now, else what holds it; in RECOVERY what is not back."""
        if self.regime is Regime.RECOVERY:
            return () if self._is_recovered(inputs) else ("book",)
        if self._severity == 0:
            return ()
        least, forget_at, has_entered = self.settings.exit_share, self._forget_at(at), False
        found = []
        for place in range(_CRITERIA):
            if self._level[place] < self._severity or self._known_at[place] < forget_at:
                continue
            load = self._load[place]
            if load >= least:
                has_entered = has_entered or load >= 1.0
                found.append((self._level[place], load, _NAMES[place]))
        found.sort(reverse=True)
        return tuple(dict.fromkeys([name for _, load, name in found if load >= 1.0 or not has_entered]))

    # ---------------------------------------------------------------- where it goes

    def _has_been_calm(self, is_calm: bool, elapsed_s: float) -> float:
        """Seconds since the first calm look of a row; negative before it."""
        if not is_calm:
            self._calm_s = NOT_CALM
        else:
            self._calm_s = 0.0 if self._calm_s == NOT_CALM else self._calm_s + elapsed_s
        return self._calm_s

    def _has_been_calmer(self, entered: int, held: int, elapsed_s: float) -> float:
        """Seconds of calm less ``UNREST`` times those that held the level; anew where it is entered again."""
        if entered < self._severity <= held and self._calm_s > UNREST * elapsed_s:
            self._calm_s -= UNREST * elapsed_s
            return NOT_CALM
        return self._has_been_calm(held < self._severity, elapsed_s)

    def _enter(self, regime: Regime, at: Nanoseconds) -> None:
        settings = self.settings
        dwells = {
            Regime.WATCH: settings.watch_dwell_s,
            Regime.STRESSED: settings.stressed_dwell_s,
            Regime.CASCADE: settings.cascade_dwell_s,
        }
        self._dwell_s = dwells.get(regime, 0.0)
        if _SEVERITY[regime] > self._severity:
            before = self._entered_at.get(regime)
            if before is not None and at - before <= settings.repeat_s * _NANOSECONDS:
                self._dwell_s = max(self._dwell_s, settings.repeat_dwell_s)
            self._entered_at[regime] = at
        self._had_cascade = (self._had_cascade or regime is Regime.CASCADE) and regime is not Regime.NORMAL
        self.regime, self.since_at, self._severity = regime, at, _SEVERITY[regime]
        self._calm_s, self._stage = NOT_CALM, 0

    def _step_down(self, at: Nanoseconds, inputs: RegimeInputs, held: int) -> None:
        if self.regime is Regime.CASCADE and held >= 2:
            self._enter(Regime.STRESSED, at)
        elif self._severity >= 2 and self._had_cascade:
            if self._is_recovered(inputs):
                self._enter(Regime.RECOVERY, at)
        elif self.regime is Regime.STRESSED:
            self._enter(Regime.WATCH, at)
        else:
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
            at=max(self._at, 0),
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
        self.regime, self.since_at, self._at = state.regime, state.since_at, -1
        self._severity = _SEVERITY[state.regime]
        self._calm_s, self._dwell_s = max(state.calm_s, NOT_CALM), max(state.dwell_s, 0.0)
        self._stage = min(max(state.stage, 0), len(self.settings.stages) - 1)
        self._had_cascade, self._entered_at = state.had_cascade, dict(state.entered_at)
        if state.hazard is not None:
            self._hazard.restore(state.hazard)
        if math.isfinite(state.reproduction):
            self._usual_reproduction = max(state.reproduction, 0.0)

    def __reduce__(self) -> tuple[object, ...]:
        """Copy it, compiled or not."""
        times = self.since_at, self._at, self._collapsed_at, self._dear_at, self._forced_at
        numbers = self._calm_s, self._dwell_s, self._usual_reproduction
        flags = self.is_held_unknown, self._had_cascade
        loads = bytes(self._load), bytes(self._known_at)
        kept = (
            self.regime,
            self.reasons,
            self.unseen,
            times,
            numbers,
            flags,
            self._stage,
            self._entered_at,
            loads,
            self._hazard,
        )
        return _machine_of, (self.settings, kept)

    def go_on(self, kept: tuple[Any, ...]) -> None:
        """Take what ``__reduce__`` of another gave."""
        (
            self.regime,
            self.reasons,
            self.unseen,
            times,
            numbers,
            flags,
            self._stage,
            self._entered_at,
            loads,
            self._hazard,
        ) = kept
        self.since_at, self._at, self._collapsed_at, self._dear_at, self._forced_at = times
        self._calm_s, self._dwell_s, self._usual_reproduction = numbers
        self.is_held_unknown, self._had_cascade = flags
        self._load, self._known_at = array("d", loads[0]), array("q", loads[1])
        self._severity = _SEVERITY[self.regime]


def _machine_of(settings: RegimeSettings, kept: tuple[Any, ...]) -> RegimeMachine:
    copied = RegimeMachine(settings)
    copied.go_on(kept)
    return copied


def _over(value: float, entry: float) -> float:
    """A value in units of its entry, 0 and up; NaN for what is no number."""
    if not math.isfinite(value):
        return _UNKNOWN
    if entry == 0.0:
        return LOAD_MAX
    return min(max(value / entry, 0.0), LOAD_MAX)


def _collapsed(ratio: float, entry: float) -> float:
    """What is left of depth as a load: below the entry is above 1; NaN for what is no number."""
    if not math.isfinite(ratio):
        return _UNKNOWN
    load = min(entry / max(ratio, 1e-6), LOAD_MAX)
    return load if load > 1.0 else min(load, 0.999)


def _since(since: Nanoseconds, at: Nanoseconds, load: float) -> Nanoseconds:
    """Since when a load has been 1 at every look; -1 where it is not now. An unknown one breaks the row."""
    if not load >= 1.0:
        return -1
    return at if since < 0 else since


def _told_of(is_thin: bool, is_gone: bool) -> tuple[str, ...]:
    """Names of the criteria of depth."""
    return (*((_NAMES[_DEPTH],) if is_thin else ()), *((_NAMES[_COLLAPSE],) if is_gone else ()))


def _number(value: float | None) -> float:
    """Give the number, NaN for ``None``."""
    return _UNKNOWN if value is None else value
