"""Pause entries while market makers withdraw: depth thin or collapsed, or spread wide, against their normal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.market.book import Side
from guard.market.view import BookTrust, MarketView
from guard.state import GuardState
from guard.units import NS_PER_S, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseEntries:
    """Makes every bot in a market reduce-only while its book is much thinner than is normal for it.

    Depth is the notional within ``baseline.band_bps`` of mid on the thinner side, against its running
    median. Two channels: a z-score, which is sensitive (depth_z, confirmed for ``confirm_s``), and a
    hard ratio for a real collapse, which is momentary (``collapse_ratio`` for ``collapse_s``). Both
    must be thin in ratio too, so that an unusually steady book does not make a small dip an alarm.
    A wide spread counts like a thin book. While any of these stands nothing is loosened in its market: a
    thin book is not one to grow in. Cold baselines find nothing thin, and are said to be cold; stale books are
    ``distrust_stale_data``'s. Taking back is the arbiter's, after its hold-down.

    Attributes:
        enabled: whether it decides at all.
        depth_z: depth z-score (standard deviations, negative is thin) below which depth is thin.
        thin_ratio: depth over its normal that a thin book must also be below.
        confirm_s: seconds for which depth must have been below ``thin_ratio``. On recorded 20-level books
            2 s found 50 to 161 thin episodes a day and market, 30 s 2 to 6; a collapse needs no such wait.
        collapse_ratio: depth over its normal below which it has collapsed.
        collapse_s: seconds for which it must have been so.
        spread_ratio: spread over its normal above which it is wide.
        spread_bps_min: a spread below this is never wide, whatever its normal.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "pause_entries"

    enabled: bool = True
    depth_z: Annotated[float, Ge(-20.0), Le(-0.5)] = -3.0
    thin_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 30.0
    collapse_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.2
    collapse_s: Annotated[float, Ge(0.0), Le(600.0)] = 3.0
    spread_ratio: Annotated[float, Gt(1.0), Le(1_000.0)] = 5.0
    spread_bps_min: Annotated[float, Ge(0.0), Le(1_000.0)] = 5.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one depth finding and one spread finding a market at ``now``."""
        if self.enabled:
            yield from self._views(state.markets.values(), now)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        if self.enabled:
            views = [view for market in markets if (view := state.markets.get(market)) is not None]
            yield from self._views(views, now)

    def _views(self, views: Iterable[MarketView], now: Nanoseconds) -> Iterator[Finding]:
        for view in views:
            if view.trust(now) is not BookTrust.TRUSTED:
                continue
            if view.is_warm(now):
                yield from self._depth(view, now)
                yield from self._spread(view)
            else:
                yield self._cold(view)

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

    def _depth(self, view: MarketView, now: Nanoseconds) -> Iterator[Finding]:
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
        wanted = "" if normal is None else f" ({limit_ratio * normal:,.0f} USD)"
        yield Finding(
            policy=self.name,
            reason=Reason.DEPTH_COLLAPSED if is_collapsed else Reason.DEPTH_THIN,
            severity=Severity.CRITICAL if is_collapsed else Severity.ACT,
            subject=Subject(market=view.market),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=tuple(evidence),
            counterfactual=f"would not stand with {side} depth above {limit_ratio:.0%} of its normal{wanted}",
            freezes=True,
        )

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

    def _spread(self, view: MarketView) -> Iterator[Finding]:
        spread = view.spread_bps
        if spread is None or spread < self.spread_bps_min:
            return
        ratio = view.spread_ratio
        if ratio is None or ratio < self.spread_ratio:
            return
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
            counterfactual=f"would not stand with a spread below {spread * self.spread_ratio / ratio:.1f} bps",
            freezes=True,
        )
