"""What prices come from: a common factor, what is each symbol's own, and the rest of the world's market.

For a symbol ``i`` with the common factor F and its own part O, both logarithms that begin at 0:

    value  V_i = price_start_i * exp(beta_i * F + O_i + impulses on value)
    world  W_i = V_i * exp(D_i),  D_i falls by half every pull_half_life_s and moves by what is traded

F and O_i are diffusions (``Diffusion``). Steps may be as long as one likes and of any length, down to a millisecond:
what an hour does to a price does not depend on them. Nothing is kept that grows with time.

Compiled where there is a compiler (value.pxd), and the same numbers as it is.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

from adapters.simulation.laboratory.draws import Draws
from adapters.simulation.laboratory.drive import Span, check_names
from adapters.simulation.laboratory.parameters import Episode, ImpulseKind, SymbolParameters

MINUTE_MS = 60_000
DAY_MS = 86_400_000
MINUTES_PER_DAY = 1_440

FACTOR_MEMORY_S = 150.0
"""The factor's z is how far it is from its own average over so long (exponentially weighted), in what is usual. A move
that goes on evenly for five minutes counts 0.9 times what it is in five-minute moves; one in a moment, twice."""

DISPLACED_MAX = 0.7
"""Trading moves the world's price from value by no more than this, in log: the rest of the world has no order book here
that could be empty."""

JUMP_VARIANCE_MAX = 0.5
"""Jumps are part of the day's variance, up to so much of it."""


class Diffusion:
    """The log of one price: normal steps whose spread is drawn anew each minute, and jumps.

    The spread is ``volatility_day`` times two random numbers. One is slow: its log goes through a random walk with a
    pull to its mean (stationary spread ``volatility_log_sd``, half-life ``volatility_half_life_s``) and its mean square
    is 1. The other is drawn each minute, ``sqrt((n - 2) / chi2_n)``: a normal number times that is Student's t with n
    degrees of freedom and variance 1, so that a minute's move is exactly that, in however many steps it comes. Jumps
    are normal, at exponentially distributed times; the variance of a day is ``volatility_day**2`` with them.

    Attributes:
        level: the log, 0 at the start.
    """

    def __init__(
        self,
        draws: Draws,
        volatility_day: float,
        volatility_log_sd: float,
        volatility_half_life_s: float,
        tail_degrees: float,
        jumps_per_day: float = 0.0,
        jump_sd: float = 0.0,
    ) -> None:
        self._draws = draws
        self.level = 0.0
        jumps = min(jumps_per_day * jump_sd * jump_sd, JUMP_VARIANCE_MAX * volatility_day * volatility_day)
        self._spread_ms = math.sqrt((volatility_day * volatility_day - jumps) / DAY_MS)
        self._log_sd = volatility_log_sd
        self._kept = 0.5 ** (60.0 / volatility_half_life_s)
        self._fresh_sd = volatility_log_sd * math.sqrt(1.0 - self._kept * self._kept)
        self._log_volatility = volatility_log_sd * draws.normal()
        self._half_degrees = tail_degrees / 2.0
        self._tail_scale = math.sqrt(tail_degrees - 2.0)
        self._minute_left_ms = 0
        self._spread = 0.0
        self._jump_every_ms = DAY_MS / jumps_per_day if jumps_per_day > 0.0 and jump_sd > 0.0 else 0.0
        self._jump_sd = math.sqrt(jumps / jumps_per_day) if self._jump_every_ms > 0.0 else 0.0
        self._jump_left_ms = self._jump_every_ms * draws.exponential() if self._jump_every_ms > 0.0 else 0.0

    def step(self, duration_ms: int) -> float:
        """Go on by so many milliseconds (above 0) and return the level."""
        if self._minute_left_ms <= 0:
            self._begin_minute()
        self._minute_left_ms -= duration_ms
        self.level += self._spread * math.sqrt(duration_ms) * self._draws.normal()
        if self._jump_every_ms > 0.0:
            self._jump_left_ms -= duration_ms
            while self._jump_left_ms <= 0.0:
                self.level += self._jump_sd * self._draws.normal()
                self._jump_left_ms += self._jump_every_ms * self._draws.exponential()
        return self.level

    def _begin_minute(self) -> None:
        # A step of many minutes has the spread of its first one: nobody steps so, and on the mean it is the same.
        self._minute_left_ms += MINUTE_MS
        if self._minute_left_ms <= 0:
            self._minute_left_ms = MINUTE_MS
        self._log_volatility = self._kept * self._log_volatility + self._fresh_sd * self._draws.normal()
        scale = math.exp(self._log_volatility - self._log_sd * self._log_sd)
        self._spread = self._spread_ms * scale * self._tail_scale / math.sqrt(self._chi_square())

    def _chi_square(self) -> float:
        """Twice a gamma number of half the degrees of freedom, by Marsaglia and Tsang (2000); these are above 1."""
        shape = self._half_degrees - 1.0 / 3.0
        narrow = 1.0 / math.sqrt(9.0 * shape)
        while True:
            drawn = self._draws.normal()
            cube = 1.0 + narrow * drawn
            if cube <= 0.0:
                continue
            cube = cube * cube * cube
            uniform = 1.0 - self._draws.uniform()
            if math.log(uniform) < 0.5 * drawn * drawn + shape * (1.0 - cube + math.log(cube)):
                return 2.0 * shape * cube


class Values:
    """Value and the world's price of every symbol of an episode; a symbol is named by its place in ``episode.symbols``.

    Before the episode begins it lives through ``history_days`` by the minute, so that volatility and the factor's z
    are what they would be, and so that there is a past to have entered positions in (``past``).

    Attributes:
        factor: the common factor's log, 0 at the begin.
        factor_z: how many of its usual standard deviations it moved of late, 0 or more; see ``FACTOR_MEMORY_S``.
        now_ms: of the last step.
    """

    def __init__(self, episode: Episode) -> None:
        self.now_ms = 0
        self.count = len(episode.symbols)
        self.factor = 0.0
        self.factor_z = 0.0
        self._average = 0.0
        self._usual = max(episode.value.volatility_day, 1e-9) * math.sqrt(FACTOR_MEMORY_S * 500.0 / DAY_MS)
        self._common = factor_of(episode)
        self._own = [own_of(episode, symbol) for symbol in episode.symbols]
        self._pull_s = math.log(2.0) / episode.value.pull_half_life_s
        starts = [symbol.price_start for symbol in episode.symbols]
        self._start = array("d", starts)
        self._beta = array("d", [symbol.beta for symbol in episode.symbols])
        share = sum(venue.share for venue in episode.venues)
        self._per_usd = array(
            "d",
            [
                0.01 / (episode.value.spot_depth_ratio * share * symbol.depth_usd)
                for symbol in episode.symbols
            ],
        )
        nothing = bytes(8 * self.count)
        self._pushed = array("d", nothing)
        """What impulses on value add to each log."""
        self._displaced = array("d", nothing)
        self._value = array("d", starts)
        self._world = array("d", starts)
        self._read_impulses(episode)
        self._live_through(history_minutes(episode))

    def step(self, now_ms: int) -> None:
        """Go to ``now_ms``, milliseconds since the episode began; nothing happens where that is no later."""
        duration_ms = now_ms - self.now_ms
        if duration_ms <= 0:
            return
        self.now_ms = now_ms
        if self._impulses_left > 0:
            self._push(now_ms)
        self.factor = self._common.step(duration_ms) - self._common_start + self._factor_pushed
        self._watch(self.factor, duration_ms)
        kept = math.exp(-self._pull_s * duration_ms / 1_000.0)
        for at in range(self.count):
            own = self._own[at]
            moved = own.step(duration_ms) - self._own_start[at]
            value = self._start[at] * math.exp(self._beta[at] * self.factor + moved + self._pushed[at])
            self._displaced[at] *= kept
            self._value[at] = value
            self._world[at] = value * math.exp(self._displaced[at])

    def value_price(self, at: int) -> float:
        """USD."""
        return self._value[at]

    def world_price(self, at: int) -> float:
        """USD: what the symbol costs on the average of all other markets."""
        return self._world[at]

    def displaced(self, at: int) -> float:
        """How far trading has the world's price from value, in log."""
        return self._displaced[at]

    def trade(self, at: int, bought_usd: float) -> None:
        """Let so much be bought in the rest of the world (below 0: sold), which moves its price.

        1 % for ``spot_depth_ratio`` depths of all venues together, in proportion; arbitrage is who trades there.
        """
        self.shift(at, bought_usd * self._per_usd[at])

    def shift(self, at: int, moved: float) -> None:
        """Move the world's price by so much in log, away from value or to it."""
        displaced = min(max(self._displaced[at] + moved, -DISPLACED_MAX), DISPLACED_MAX)
        self._displaced[at] = displaced
        self._world[at] = self._value[at] * math.exp(displaced)

    def _watch(self, level: float, duration_ms: int) -> None:
        self._average += (level - self._average) * (
            1.0 - math.exp(-duration_ms / (1_000.0 * FACTOR_MEMORY_S))
        )
        away = level - self._average
        self.factor_z = (away if away >= 0.0 else -away) / self._usual

    def _read_impulses(self, episode: Episode) -> None:
        check_names(
            {(impulse.venue, impulse.symbol) for impulse in episode.impulses},
            {venue.venue for venue in episode.venues},
            {symbol.symbol for symbol in episode.symbols},
        )
        names = [symbol.symbol for symbol in episode.symbols]
        told = [impulse for impulse in episode.impulses if impulse.kind is ImpulseKind.VALUE]
        for impulse in told:
            if impulse.venue is not None:
                raise ValueError(
                    f"an impulse on value at {impulse.at_s} s names the venue {impulse.venue}: "
                    "value is the same at all venues; name none"
                )
        spans = [Span.of(impulse) for impulse in told]
        self._impulses_left = len(spans)
        self._factor_pushed = 0.0
        self._from_ms = array("q", [span.at_ms for span in spans])
        self._until_ms = array("q", [span.until_ms for span in spans])
        self._size = array("d", [span.size for span in spans])
        self._whose = array("q", [-1 if each.symbol is None else names.index(each.symbol) for each in told])

    def _push(self, now_ms: int) -> None:
        """Add up what impulses have done by now; once all are over that is not done any more."""
        self._factor_pushed = 0.0
        for at in range(self.count):
            self._pushed[at] = 0.0
        left = 0
        for each in range(len(self._from_ms)):
            done = 1.0 * (now_ms - self._from_ms[each]) / (self._until_ms[each] - self._from_ms[each])
            if done < 1.0:
                left += 1
            done = min(max(done, 0.0), 1.0)
            if self._whose[each] < 0:
                self._factor_pushed += self._size[each] * done
            else:
                self._pushed[self._whose[each]] += self._size[each] * done
        self._impulses_left = left

    def _live_through(self, minutes: int) -> None:
        for _ in range(minutes):
            self._watch(self._common.step(MINUTE_MS), MINUTE_MS)
            for at in range(self.count):
                own = self._own[at]
                own.step(MINUTE_MS)
        # Written down from here: the past ends at the price with which the episode begins.
        self._common_start = self._common.level
        self._average -= self._common_start
        self._own_start = array("d", [own.level for own in self._own])


def factor_of(episode: Episode) -> Diffusion:
    """The common factor, as it is before the past."""
    value = episode.value
    return Diffusion(
        Draws(f"{episode.seed}:world:factor:value"),
        value.volatility_day,
        value.volatility_log_sd,
        value.volatility_half_life_s,
        value.tail_degrees,
        value.jumps_per_day,
        value.jump_sd,
    )


def own_of(episode: Episode, symbol: SymbolParameters) -> Diffusion:
    """What is a symbol's own, as it is before the past: of the factor's kind, without jumps."""
    value = episode.value
    return Diffusion(
        Draws(f"{episode.seed}:world:{symbol.symbol}:value"),
        symbol.volatility_day,
        value.volatility_log_sd,
        value.volatility_half_life_s,
        value.tail_degrees,
    )


def history_minutes(episode: Episode) -> int:
    """How many minutes the past has."""
    return max(round(episode.crowd.history_days * MINUTES_PER_DAY), 1)


def past_prices(episode: Episode, symbol: str) -> NDArray[np.float64]:
    """Return a symbol's price at each minute before the episode, oldest first; the last is ``price_start``.

    It is the same process as goes on afterwards, seen backwards from the begin, and the same for every venue.
    """
    found = [each for each in episode.symbols if each.symbol == symbol]
    if not found:
        raise ValueError(f"{symbol} is none of the episode's symbols")
    common, own = factor_of(episode), own_of(episode, found[0])
    levels = np.empty(history_minutes(episode) + 1)
    levels[0] = 0.0
    for minute in range(1, len(levels)):
        levels[minute] = found[0].beta * common.step(MINUTE_MS) + own.step(MINUTE_MS)
    prices: NDArray[np.float64] = found[0].price_start * np.exp(levels - levels[len(levels) - 1])
    return prices
