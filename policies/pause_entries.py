"""Pause entries while a market is under stress: by its state, its hazard, its depth and spread; resume in stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.forecasts import MarketOutlook, Regime
from guard.market.book import Side
from guard.market.recovery import BACK_DEPTH, BACK_REFILL, BACK_SPREAD
from guard.market.view import BookTrust, MarketView
from guard.outlook.asking import UNDER_STRESS, hazard_of, if_fresh
from guard.state import GuardState
from guard.units import NS_PER_S, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence

PLAIN = 2.0
"""A hazard of so many times what pauses need not stand for a while to be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseEntries:
    """Advises, halts adds, then all entries, as a market comes under stress; gives them back in stages.

    **By state and hazard**, where there is an outlook no older than ``outlook_s_max``. A state of STRESSED or CASCADE
    pauses entries if the hazard (the chance of 5 % within 15 minutes) is at least ``hazard_stressed``, or the spread
    ``spread_strained`` times its normal for ``spread_s``; where no hazard is estimated it halts adds to positions; else
    it is told, for a state also stands because a book flickered, and stays for long. A hazard from ``hazard_no_adds``
    on halts adds in any state, from ``hazard_pause`` on it pauses, once it has stood for ``hazard_s``.
    WATCH alone limits nothing.

    **By depth and spread.** Depth is the notional within ``baseline.band_bps`` of mid on the thinner side, against its
    running median. Two channels: a z-score, which is sensitive (depth_z, confirmed for ``confirm_s``), and a
    hard ratio for a real collapse, which is momentary (``collapse_ratio`` for ``collapse_s``). Both
    must be thin in ratio too, so that an unusually steady book does not make a small dip an alarm. A wide spread
    counts like a thin book. Without an outlook each of these pauses. With one that is calm (a hazard below
    ``hazard_stressed``): a collapse still pauses, depth below ``pause_ratio`` too,
    depth above it halts adds; depth that is not seen, for the levels end before the band, is told and no more; and
    where the hazard is low a wide spread has to stand for ``spread_s``.

    **Resuming.** After a pause for depth or spread, and in the state RECOVERY, entries come back as a quarter and a
    half of their size before all of it (``Limit.entry_share``), a stage at a time and only while depth, spread and
    refilling stay back (``guard.market.recovery``); adds at the end. What is not back begins
    again at nothing. With an outlook that is so only where levels reach the band; else the state's own stages count,
    while the hazard is at least ``hazard_stressed``.

    While any of these stands nothing is loosened in its market: a thin book is not one to grow in. Cold baselines find
    nothing thin, and are said to be cold; stale books are ``distrust_stale_data``'s. Taking back is the arbiter's,
    after its hold-down.

    Attributes:
        enabled: whether it decides at all.
        outlook_s_max: an outlook that is older, in seconds, counts as unknown: then depth and spread decide alone.
        hazard_stressed: chance of 5 % within 15 minutes that bears out a state of stress. On four recorded calm
            days of Hyperliquid the hazard's median was 0.001 and its 99 % quantile 0.02.
        hazard_no_adds: ... from which on adds are halted in any state.
        hazard_pause: ... from which on entries are.
        hazard_s: seconds for which such a hazard must have stood, where no state bears it out and it is not twice
            what pauses: on six made-up calm days it was above ``hazard_no_adds`` up to 4 times an hour for a moment.
        spread_strained: spread over its normal that bears out a state of stress.
        depth_z: depth z-score (standard deviations, negative is thin) below which depth is thin.
        thin_ratio: depth over its normal that a thin book must also be below.
        pause_ratio: depth over its normal below which a thin book pauses in a calm outlook too, and not only adds.
        confirm_s: seconds for which depth must have been below ``thin_ratio``. On recorded 20-level books
            2 s found 50 to 161 thin episodes a day and market, 30 s 2 to 6; a collapse needs no such wait.
        collapse_ratio: depth over its normal below which it has collapsed.
        collapse_s: seconds for which it must have been so.
        spread_ratio: spread over its normal above which it is wide.
        spread_bps_min: a spread below this is never wide, whatever its normal.
        spread_s: seconds for which a wide spread must have stood, where the hazard is below ``hazard_stressed``.
        stage_s: seconds that each stage of resuming takes at least, back throughout; 0 gives all back at once.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "pause_entries"

    enabled: bool = True
    outlook_s_max: Annotated[float, Ge(5.0), Le(300.0)] = 20.0
    hazard_stressed: Annotated[float, Ge(0.0), Le(1.0)] = 0.01
    hazard_no_adds: Annotated[float, Gt(0.0), Le(1.0)] = 0.04
    hazard_pause: Annotated[float, Gt(0.0), Le(1.0)] = 0.1
    hazard_s: Annotated[float, Ge(0.0), Le(600.0)] = 30.0
    spread_strained: Annotated[float, Gt(1.0), Le(100.0)] = 3.0
    depth_z: Annotated[float, Ge(-20.0), Le(-0.5)] = -3.0
    thin_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    pause_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.35
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 30.0
    collapse_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.2
    collapse_s: Annotated[float, Ge(0.0), Le(600.0)] = 3.0
    spread_ratio: Annotated[float, Gt(1.0), Le(1_000.0)] = 5.0
    spread_bps_min: Annotated[float, Ge(0.0), Le(1_000.0)] = 5.0
    spread_s: Annotated[float, Ge(0.0), Le(60.0)] = 10.0
    stage_s: Annotated[float, Ge(0.0), Le(3_600.0)] = 60.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding of each reason a market at ``now``."""
        if self.enabled:
            yield from self._views(state, state.markets.values(), now)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        if self.enabled:
            views = [view for market in markets if (view := state.markets.get(market)) is not None]
            yield from self._views(state, views, now)

    def _views(self, state: GuardState, views: Iterable[MarketView], now: Nanoseconds) -> Iterator[Finding]:
        for view in views:
            outlook = if_fresh(state.outlook.of(view.market), now, self.outlook_s_max)
            hazard = None if outlook is None else hazard_of(outlook)
            if outlook is not None and (
                outlook.regime in UNDER_STRESS or (hazard is not None and hazard >= self._hazard_least)
            ):
                yield from self._state(view, outlook, hazard)
            if view.trust(now) is not BookTrust.TRUSTED:
                continue
            if not view.is_warm(now):
                yield self._cold(view)
                continue
            is_calm = outlook is not None and not self._is_borne_out(view, outlook, hazard)
            if hazard is not None:  # a spread flickers with the book: the two together are not two witnesses
                is_calm = hazard < self.hazard_stressed
            yield from self._depth(view, now, is_calm=is_calm)
            yield from self._spread(view, hazard)
            if view.recovery.hurt_at is not None or (
                outlook is not None and outlook.regime is Regime.RECOVERY
            ):
                yield from self._resuming(view, outlook, hazard, is_calm=is_calm)

    @property
    def _hazard_least(self) -> float:
        return min(self.hazard_no_adds, self.hazard_pause)

    # ---------------------------------------------------------------- by state and hazard

    def _is_borne_out(self, view: MarketView, outlook: MarketOutlook, hazard: float | None) -> bool:
        """Whether anything but a state says that the market is under stress."""
        if hazard is None:  # nobody knows it: then the state's own word counts while anything holds it
            return bool(outlook.regime_reasons) or self._is_strained(view, view.spread_ratio)
        return hazard >= self.hazard_stressed or self._is_strained(view, view.spread_ratio)

    def _is_strained(self, view: MarketView, ratio: float | None) -> bool:
        spread = view.spread_bps
        return (
            ratio is not None
            and spread is not None
            and ratio >= self.spread_strained
            and spread >= self.spread_bps_min
        )

    def _state(self, view: MarketView, outlook: MarketOutlook, hazard: float | None) -> Iterator[Finding]:
        regime, least = outlook.regime, self._hazard_least
        if regime in UNDER_STRESS:
            is_cascade = regime is Regime.CASCADE
            is_paused = self._is_borne_out(view, outlook, hazard)
            is_borne_out_by_hazard = hazard is None or hazard >= self.hazard_stressed
            milder = Entries.NO_ADDS if hazard is None else None
            severity = Severity.CRITICAL if is_cascade else Severity.ACT
            why = " and ".join(outlook.regime_reasons) or "what was, until it has been calm for long enough"
            yield Finding(
                policy=self.name,
                reason=Reason.CASCADE_UNDER_WAY if is_cascade else Reason.REGIME_STRESSED,
                severity=severity if is_paused else Severity.WATCH,
                subject=Subject(market=view.market),
                limit=Limit(entries=Entries.REDUCE_ONLY if is_paused else milder),
                evidence=(
                    Evidence(name="state of the market", value=str(regime), unit="state"),
                    Evidence(name="held by", value=why, unit="text"),
                    *self._strain(view, hazard),
                ),
                counterfactual=f"would not stand with the market's state at watch or milder; {why} holds it",
                # One look at a spread is one order; and what stands for hours must not hold what a moment did.
                confirm_ms=0
                if is_borne_out_by_hazard
                else int((self.spread_s if is_paused else self.confirm_s) * 1000),
                freezes=is_paused or hazard is None,
            )
        if hazard is not None and hazard >= least:
            is_paused = hazard >= self.hazard_pause
            is_plain = regime in UNDER_STRESS or hazard >= PLAIN * self.hazard_pause
            yield Finding(
                policy=self.name,
                reason=Reason.HAZARD_HIGH,
                severity=Severity.ACT if is_paused else Severity.WATCH,
                subject=Subject(market=view.market),
                limit=Limit(entries=Entries.REDUCE_ONLY if is_paused else Entries.NO_ADDS),
                evidence=(_hazard_evidence(hazard, self.hazard_pause if is_paused else least),),
                counterfactual=f"would not stand with a chance of 5 % within 15 minutes below {least:.1%}",
                confirm_ms=0 if is_plain else int(self.hazard_s * 1000),
                freezes=True,
            )

    def _strain(self, view: MarketView, hazard: float | None) -> Iterator[Evidence]:
        if hazard is not None:
            yield _hazard_evidence(hazard, self.hazard_stressed)
        ratio = view.spread_ratio
        if ratio is not None:
            yield Evidence(name="spread over normal", value=ratio, unit="ratio", limit=self.spread_strained)

    # ---------------------------------------------------------------- by depth and spread

    def _cold(self, view: MarketView) -> Finding:
        """Say that nothing can be judged; what a former normal had found is not taken back meanwhile."""
        relearned = view.baseline_relearned_at is not None
        return Finding(
            policy=self.name,
            reason=Reason.BASELINE_COLD,
            severity=Severity.WATCH if relearned else Severity.INFO,
            subject=Subject(market=view.market),
            evidence=(
                Evidence(name="baseline", value="learned anew" if relearned else "warming up", unit="state"),
                Evidence(name="data needed", value=view.settings.warm_up_s, unit="s"),
            ),
            counterfactual="would not stand with enough data to know what is normal",
            freezes=relearned,
        )

    def _depth(self, view: MarketView, now: Nanoseconds, *, is_calm: bool) -> Iterator[Finding]:
        bids, asks = self._thin_side(view, Side.BID, now), self._thin_side(view, Side.ASK, now)
        thin = [found for found in (bids, asks) if found is not None]
        if not thin:
            return
        is_collapsed, ratio, side = max(thin, key=lambda found: (found[0], -found[1]))
        z = view.depth_z(side)
        limit_ratio = self.collapse_ratio if is_collapsed else self.thin_ratio
        depth, normal = view.depth_usd(side, view.settings.band_bps), view.normal_depth_usd(side)
        evidence = [
            Evidence(name=f"{side} depth over normal", value=ratio, unit="ratio", limit=limit_ratio),
            Evidence(name="band", value=view.settings.band_bps, unit="bps"),
        ]
        if depth is not None and normal is not None:
            evidence += [
                Evidence(name=f"{side} depth", value=depth.value, unit="USD"),
                Evidence(name="normal depth", value=normal, unit="USD"),
            ]
        if z is not None:
            evidence.append(Evidence(name="depth z-score", value=z, unit="sd", limit=self.depth_z))
        entries = self._entries_for(view, side, ratio, is_calm=is_calm)
        severity = Severity.CRITICAL if is_collapsed else Severity.ACT
        if entries is None:
            evidence.append(Evidence(name="levels", value="end before the band", unit="text"))
        wanted = "" if normal is None else f" ({limit_ratio * normal:,.0f} USD)"
        yield Finding(
            policy=self.name,
            reason=Reason.DEPTH_COLLAPSED if is_collapsed else Reason.DEPTH_THIN,
            severity=severity if entries is Entries.REDUCE_ONLY else Severity.WATCH,
            subject=Subject(market=view.market),
            limit=Limit(entries=entries),
            evidence=tuple(evidence),
            counterfactual=f"would not stand with {side} depth above {limit_ratio:.0%} of its normal{wanted}",
            freezes=True,
        )

    def _entries_for(self, view: MarketView, side: Side, ratio: float, *, is_calm: bool) -> Entries | None:
        """What a thin side asks for; ``None``: to be told only."""
        if not is_calm:
            return Entries.REDUCE_ONLY
        if not view.is_depth_seen(side):
            return None
        return Entries.REDUCE_ONLY if ratio < max(self.pause_ratio, self.collapse_ratio) else Entries.NO_ADDS

    def _thin_side(self, view: MarketView, side: Side, now: Nanoseconds) -> tuple[bool, float, Side] | None:
        """Whether a side has collapsed, and its ratio; ``None`` if it is not thin."""
        ratio = view.depth_ratio(side)
        if ratio is None or (ratio >= self.thin_ratio and ratio >= self.collapse_ratio):
            return None
        z = view.depth_z(side)
        collapsed_long = view.thin_for_ns(side, self.collapse_ratio, now) >= self.collapse_s * NS_PER_S
        thin_long = view.thin_for_ns(side, self.thin_ratio, now) >= self.confirm_s * NS_PER_S
        is_collapsed = ratio < self.collapse_ratio and collapsed_long
        is_thin = ratio < self.thin_ratio and thin_long and z is not None and z < self.depth_z
        return (is_collapsed, ratio, side) if is_collapsed or is_thin else None

    def _spread(self, view: MarketView, hazard: float | None) -> Iterator[Finding]:
        spread = view.spread_bps
        if spread is None or spread < self.spread_bps_min:
            return
        ratio = view.spread_ratio
        if ratio is None or ratio < self.spread_ratio:
            return
        is_calm = hazard is not None and hazard < self.hazard_stressed
        # As the ratio has it: both with 1 bp added.
        least = max((1.0 + spread) * self.spread_ratio / ratio - 1.0, self.spread_bps_min)
        yield Finding(
            policy=self.name,
            reason=Reason.SPREAD_WIDE,
            severity=Severity.ACT,
            subject=Subject(market=view.market),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                Evidence(name="spread", value=spread, unit="bps", limit=self.spread_bps_min),
                Evidence(name="spread over normal", value=ratio, unit="ratio", limit=self.spread_ratio),
            ),
            confirm_ms=int(self.spread_s * 1000) if is_calm else 0,
            counterfactual=f"would not stand with a spread below {least:.1f} bps",
            freezes=True,
        )

    # ---------------------------------------------------------------- resuming

    def _resuming(
        self, view: MarketView, outlook: MarketOutlook | None, hazard: float | None, *, is_calm: bool
    ) -> Iterator[Finding]:
        book = view.recovery
        share, told = book.share(self.stage_s), None
        if outlook is not None:
            if not (view.is_depth_seen(Side.BID) and view.is_depth_seen(Side.ASK)):
                share = 1.0  # it flickers, and nothing was paused for most of what it did
            if outlook.regime is Regime.RECOVERY and hazard is not None and hazard >= self.hazard_stressed:
                told = outlook.resume_share
        if told is not None:
            share = min(share, told)
        if share >= 1.0:
            return
        was_deep = not is_calm or book.worst < self.pause_ratio or told is not None
        entries = Entries.REDUCE_ONLY if share <= 0.0 and was_deep else Entries.NO_ADDS
        yield Finding(
            policy=self.name,
            reason=Reason.RESUMING,
            severity=Severity.WATCH,
            subject=Subject(market=view.market),
            limit=Limit(entries=entries, entry_share=share if share > 0.0 else None),
            evidence=tuple(self._how_far_back(view, share)),
            counterfactual=(
                f"would not stand once depth above {BACK_DEPTH:.0%} of its normal, a spread below {BACK_SPREAD:g} times"
                f" and refilling within {BACK_REFILL:g} times theirs have stood through every stage"
            ),
            freezes=share <= 0.0,  # a stage that froze would never come
        )

    def _how_far_back(self, view: MarketView, share: float) -> Iterator[Evidence]:
        ratios = [each for side in Side if (each := view.depth_ratio(side)) is not None]
        yield Evidence(name="part of a usual entry", value=100.0 * share, unit="%", limit=100.0)
        if ratios:
            yield Evidence(name="depth over normal", value=min(ratios), unit="ratio", limit=BACK_DEPTH)
        if view.spread_ratio is not None:
            yield Evidence(
                name="spread over normal", value=view.spread_ratio, unit="ratio", limit=BACK_SPREAD
            )
        if view.recovery.refill_ratio is not None:
            refill = view.recovery.refill_ratio
            yield Evidence(name="refilling over usual", value=refill, unit="ratio", limit=BACK_REFILL)


def _hazard_evidence(hazard: float, limit: float) -> Evidence:
    return Evidence(
        name="chance of 5 % within 15 minutes", value=100.0 * hazard, unit="%", limit=100.0 * limit
    )
