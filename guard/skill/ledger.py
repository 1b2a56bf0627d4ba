"""Keeps what was said until its time comes, holds it against what came, and tells the gate who did better. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from guard.forecasts import HORIZONS_S, Direction, HazardForecast, ReachForecast, SkillScore
from guard.readings import REFRESH_S, Reading
from guard.skill.climatology import CLASSES, Climatology, ClimatologyMemory, age_kept, class_of
from guard.skill.evidence import Evidence, EvidenceMemory, log_gains
from guard.skill.gate import BLOCK_S, ESTIMATORS, HAZARDS, USUAL, Gate, GateMemory, Target
from guard.skill.outcomes import GAP_S_MAX
from guard.skill.recalibration import Recalibration, RecalibrationMemory
from guard.skill.scoreboard import Scoreboard, ScoreboardMemory
from guard.skill.sweeps import SideMass, SweepMemory, Sweeps, SweepWindow, Swept
from guard.skill.waiting import KEEP_S, Batch, DueReach, Waiting
from guard.units import NS_PER_S, MarketId, Nanoseconds

BATCH = 256
"""So many cases are counted at once: at 200 markets every half minute."""

SCORES_HALF_LIFE_DAYS = 14.0
CLIMATOLOGY_HALF_LIFE_DAYS = 60.0

MEMORY_VERSION = 1

_BLOCK_NS = BLOCK_S * NS_PER_S
_ROWS = {name: row for row, name in enumerate(ESTIMATORS)}


class LedgerMemory(Struct, frozen=True, kw_only=True):
    """All that was learned; what waits is not kept: after a pause nobody saw its windows to their end."""

    version: int
    gate: GateMemory
    scores: ScoreboardMemory
    climatology: ClimatologyMemory
    sweeps: SweepMemory
    evidence: EvidenceMemory
    recalibration: RecalibrationMemory | None = None


class Ledger:
    """One for all markets. At each refresh of one: ``observe`` its reading, then ``keep`` what is said of it.

    Of what is said every 5 s, hazards are kept once a minute, reaches at onsets, maps every 15 minutes. Each is
    scored when its window has passed; one whose window was not observed (a book unknown for more than a minute) is
    void. Every hour, by the time of readings, the gate learns what was gathered, and everything counted ages.

    Deterministic, and bounded: see ``Waiting``. Markets that are watched no more have to be forgotten.
    """

    def __init__(self, gate: Gate | None = None, *, refresh_s: float = REFRESH_S) -> None:
        self.gate = gate or Gate()
        self.climatology = Climatology()
        self.scoreboard = Scoreboard()
        self.sweeps = Sweeps()
        self.recalibration = Recalibration()
        self._refresh_s = refresh_s
        self._evidence = Evidence()
        self._batch = Batch.of(BATCH, len(ESTIMATORS))
        self._markets: dict[MarketId, Waiting] = {}
        self._block: int | None = None
        self._scores: tuple[SkillScore, ...] | None = None

    def observe(self, reading: Reading) -> tuple[Direction, ...]:
        """Take a market's reading, judge what came due by it; answer the directions in which a shock was just seen."""
        now = reading.at
        self._turn(now)
        waiting = self._of(reading.market)
        found: tuple[Direction, ...] = ()
        if reading.book is not None and now > waiting.ring.last_at:
            mid = reading.book.mid
            waiting.ring.update(now, mid)
            # Each detector has to be told of every price.
            for event in waiting.events:
                event.update(now, mid)
            told = [onset.update(now, mid) for onset in waiting.onsets]
            if True in told:
                found = tuple(direction for direction, onset in zip(Direction, told, strict=True) if onset)
        if now >= waiting.next_due_at:
            for horizon, said, down, up in waiting.due(now):
                self._batch.add(horizon, waiting, said, down, up)
                if self._batch.full:
                    self._count_batch()
        if waiting.reaches:
            for due in waiting.due_reaches(now):
                self._count_reach(waiting, due)
        if waiting.sweep is not None:
            self._follow_sweep(waiting, waiting.sweep, reading)
        return found

    def keep(
        self,
        reading: Reading,
        *,
        hazards: Mapping[Direction, Mapping[str, HazardForecast]] | None = None,
        reaches: Mapping[Direction, Mapping[str, ReachForecast]] | None = None,
        maps: Mapping[Direction, Mapping[str, SideMass]] | None = None,
        onsets: tuple[Direction, ...] = (),
    ) -> None:
        """Keep what was said at this reading, by direction and estimator; ``onsets`` is what ``observe`` answered.

        The climatology need not be given: the ledger keeps its own beside them.
        """
        waiting = self._of(reading.market)
        if maps and waiting.sweep is None:
            waiting.sweep = self.sweeps.begin(reading, maps)
        if reading.book is None:
            return
        price = reading.book.mid
        if hazards and waiting.wants(reading.at):
            beside = {
                direction: {USUAL: self.climatology.hazard(reading.market, direction), **said}
                for direction, said in hazards.items()
            }
            waiting.keep(reading.at, price, beside, _ROWS)
        for direction in onsets:
            if reaches and direction in reaches:
                all_said = {USUAL: self.climatology.reach(direction), **reaches[direction]}
                waiting.keep_reach(reading.at, price, direction, all_said, _ROWS)

    def wants(self, reading: Reading) -> bool:
        """Whether ``keep`` would keep hazards that are said at this reading."""
        return reading.book is not None and self._of(reading.market).wants(reading.at)

    def under_way(self, market: MarketId) -> tuple[Direction, ...]:
        """Directions in which a fall (rise) of 5 % within 30 minutes was seen in the last hour."""
        waiting = self._markets.get(market)
        if waiting is None:
            return ()
        pairs = zip(Direction, waiting.events, strict=True)
        return tuple(direction for direction, event in pairs if event.under_way)

    def scores(self) -> tuple[SkillScore, ...]:
        """How each estimator has done, as of the last hour or half minute; made once and kept."""
        if self._scores is None:
            self._scores = self.scoreboard.scores(self.gate)
        return self._scores

    @property
    def waiting(self) -> int:
        """How many markets are followed."""
        return len(self._markets)

    @property
    def void(self) -> int:
        """How many forecasts of markets that are followed could not be judged."""
        return sum(each.void for each in self._markets.values())

    def forget(self, market: MarketId) -> None:
        """The market is watched no more: what waits of it is void."""
        self._markets.pop(market, None)

    def state(self) -> LedgerMemory:
        """All that was learned up to the last hour and batch; changes nothing."""
        return LedgerMemory(
            version=MEMORY_VERSION,
            gate=self.gate.state(),
            scores=self.scoreboard.state(),
            climatology=self.climatology.state(),
            sweeps=self.sweeps.state(),
            evidence=self._evidence.state(),
            recalibration=self.recalibration.state(),
        )

    def restore(self, memory: LedgerMemory) -> None:
        """Go on from a former state; what waits stays."""
        self.gate.restore(memory.gate)
        self.scoreboard.restore(memory.scores)
        self.climatology.restore(memory.climatology)
        self.sweeps.restore(memory.sweeps)
        self._evidence.restore(memory.evidence)
        if memory.recalibration is not None:
            self.recalibration.restore(memory.recalibration)
        self._scores = None

    def _of(self, market: MarketId) -> Waiting:
        waiting = self._markets.get(market)
        if waiting is None:
            number = 1 + max((each.number for each in self._markets.values()), default=-1)
            waiting = Waiting(number, CLASSES.index(class_of(market)), len(ESTIMATORS), self._refresh_s)
            self._markets[market] = waiting
        return waiting

    def _turn(self, now: Nanoseconds) -> None:
        """Close the hour if it is over."""
        block = int(now // _BLOCK_NS)
        if block == self._block:
            return
        if self._block is not None and block > self._block:
            hours = (block - self._block) * BLOCK_S / 3600.0
            self._count_batch()
            gains = self._evidence.take(hours)
            self.recalibration.turn(
                hours, np.array([self._evidence.effects.get(each, 1.0) for each in HAZARDS])
            )
            self.gate.learn(gains, hours)
            self.scoreboard.age(age_kept(hours, SCORES_HALF_LIFE_DAYS))
            self.climatology.age(age_kept(hours, CLIMATOLOGY_HALF_LIFE_DAYS))
            self.sweeps.age(age_kept(hours, SCORES_HALF_LIFE_DAYS))
            self._scores = None
        self._block = block if self._block is None else max(block, self._block)

    def _count_batch(self) -> None:
        batch = self._batch
        if batch.count == 0:
            return
        self._evidence.add_hazards(batch, self.gate)
        self.recalibration.add(batch)
        self.scoreboard.add_hazards(batch)
        for horizon, length_s in enumerate(HORIZONS_S):
            of_horizon = batch.horizon[: batch.count] == horizon
            for number in range(len(CLASSES)):
                rows = of_horizon & (batch.market_class[: batch.count] == number)
                if rows.any():
                    farthest = batch.farthest[: batch.count][rows]
                    self.climatology.add(number, horizon, farthest, KEEP_S / length_s)
        batch.count = 0
        self._scores = None

    def _count_reach(self, waiting: Waiting, due: DueReach) -> None:
        weights = np.array([[self.gate.weight(Target.REACH, name) for name in ESTIMATORS]])
        said = due.said.probability.astype(np.float32)[None, :, None, :]
        gains = log_gains(said, np.array([[due.reach]]), weights)[0]
        self._evidence.add(Target.REACH, waiting.number, dict(zip(ESTIMATORS, gains.tolist(), strict=True)))
        self.scoreboard.add_reach(due)
        self.climatology.add_reach(due.reach)
        self._scores = None

    def _follow_sweep(self, waiting: Waiting, window: SweepWindow, reading: Reading) -> None:
        if reading.mark_price is None or reading.elapsed_s > GAP_S_MAX:
            waiting.void += 1
            waiting.sweep = None
            return
        window.take(reading)
        if not window.due(reading.at):
            return
        waiting.sweep = None
        for swept in self.sweeps.judge(window):
            self._count_swept(waiting.number, swept)

    def _count_swept(self, market: int, swept: Swept) -> None:
        shares = self.gate.shares(Target.MAP, swept.losses)
        mixed = sum(share * swept.losses[name] for name, share in shares.items())
        gains = {name: mixed - swept.losses[name] for name in shares}
        self._evidence.add(Target.MAP, market, gains, swept.weight)
        self.scoreboard.add_swept(swept)
        self._scores = None
