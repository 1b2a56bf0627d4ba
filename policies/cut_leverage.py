"""Cut a position so that its liquidation lies beyond what the present book lets a shock reach."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.positions import AccountView
from guard.events import BookSide, MarginMode, Position, PositionSource, Stream
from guard.findings import Basis, Finding, Limit, Reason, Severity, Subject
from guard.leverage.liquidation_price import liquidation_distance_bps, size_max
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.liquidity import slippage_bps
from guard.market.view import BookTrust, MarketView
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, NS_PER_S, AccountId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLeverage:
    """Keeps the distance to liquidation above what is needed to get out, and above what a shock can reach.

    The distance from mark price to liquidation price, in bps, must be at least

        buffer_bps + exit_multiple * exit cost of the whole position now
                   + reach_multiple * reach of a market order of shock_multiple * normal depth, now

    where the reach is read from the present book (extrapolated beyond its visible levels) and the shock
    is measured in the *normal* depth of the market. So a book that has lost nine tenths of its depth
    asks for several times the distance before the price has moved at all: the cut comes early, while
    it is cheap. When the distance is too short, the largest position whose liquidation price would lie
    ``margin_ratio`` farther out than needed is asked for, the cost of getting there deducted, and no
    entries until then. While the distance is less than ``cap_multiple`` times what is needed, the position
    is capped at that size.

    Acts only on what is known: no trusted book or mark price, no finding (``distrust_stale_data``
    blocks entries then). A missing liquidation price is not safe: entries are blocked until it is known.
    Positions that only bots tell are not known once ``reported_s`` old. Where the venue has no stream of
    mark prices, the middle of the trusted book stands in; a mark price that has gone stale does not.

    In isolated mode a cut frees its share of the margin, so it shrinks the loss at liquidation more
    than it moves the price; the evidence then says how much margin would do instead. The cut is a share
    of the position as it was when it was first asked for, so obeying does not lead to the next one.

    Attributes:
        enabled: whether it decides at all.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it.
        buffer_bps: distance that is always kept.
        exit_multiple: how many times the present cost of leaving must fit into the distance.
        shock_multiple: the shock, as a multiple of the normal depth within ``baseline.band_bps``.
        reach_multiple: how many times the shock's reach must fit into the distance.
        distance_bps_max: more distance than this is never asked for.
        margin_ratio: how much farther than needed a cut puts the liquidation price.
        cap_multiple: up to how many times the needed distance a position is capped.
        maintenance_ratio: maintenance margin over notional where neither venue nor tiers tell it.
        reported_s: seconds after which positions that only bots tell are not known any more.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "cut_leverage"

    enabled: bool = True
    confirm_s: Annotated[float, Ge(0.0), Le(60.0)] = 1.0
    buffer_bps: Annotated[float, Ge(0.0), Le(5_000.0)] = 50.0
    exit_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 2.0
    shock_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 2.0
    reach_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 1.0
    distance_bps_max: Annotated[float, Gt(0.0), Le(9_000.0)] = 3_000.0
    margin_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.15
    cap_multiple: Annotated[float, Ge(1.0), Le(10.0)] = 1.5
    maintenance_ratio: Annotated[float, Ge(0.0), Le(0.5)] = 0.01
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding a position at ``now``."""
        return self._decide(state, now, None)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        return self._decide(state, now, markets)

    def _decide(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId] | None
    ) -> Iterator[Finding]:
        if not self.enabled:
            return
        for account in state.accounts.values():
            if not account.positions or not self._is_known(account, state, now):
                continue
            for position in account.positions:
                if markets is not None and position.market not in markets:
                    continue
                view = state.markets.get(position.market)
                if view is None or view.trust(now) is not BookTrust.TRUSTED:
                    continue
                mark = _mark_price(view, now)
                if mark is not None and mark > 0.0:
                    yield from self._position(account, position, view, mark)

    def _is_known(self, account: AccountView, state: GuardState, now: Nanoseconds) -> bool:
        """Whether what the account holds is known now: never cut on anything else."""
        clock = state.account_clocks.get(account.account)
        if account.source is PositionSource.VENUE and clock is not None:
            return clock.state(now) is StreamState.FRESH and account.account not in state.account_faults
        if account.source is PositionSource.BOT:
            return account.seen_at is not None and now - account.seen_at <= self.reported_s * NS_PER_S
        return True

    def _position(
        self, account: AccountView, position: Position, view: MarketView, mark: float
    ) -> Iterator[Finding]:
        sign = 1.0 if position.size > 0 else -1.0
        if position.liquidation_price is None or (sign < 0.0 and position.liquidation_price <= 0.0):
            finding = self._unknown(account, position, mark)
            if finding is not None:
                yield finding
            return
        distance_bps = liquidation_distance_bps(
            side_size_signed=position.size, mark_price=mark, liquidation_price=position.liquidation_price
        )
        need = self._need(position, view)
        if need is None or distance_bps >= self.cap_multiple * need.total_bps:
            return
        target_bps = min(need.total_bps * (1.0 + self.margin_ratio), self.distance_bps_max)
        equity = self._equity_usd(position, mark, position.liquidation_price)
        features = view.features
        size = _size_max(
            None if features is None else features.bids if sign > 0.0 else features.asks,
            view.mid_price,
            position.size,
            mark,
            equity,
            target_bps,
            position.maintenance_ratio or self.maintenance_ratio,
            position.maintenance_amount_usd,
        )
        if size is None:
            return
        is_short = distance_bps < need.total_bps
        if not is_short:
            size = max(size, abs(position.size))  # a cap, not a cut
        yield self._finding(
            account.account, position, view, mark, distance_bps, need, equity, size, is_short=is_short
        )

    def _equity_usd(self, position: Position, mark: float, liquidation_price: float) -> float:
        """The equity at mark that stands behind a position, read back from its liquidation price (F = 0 there)."""
        sign = 1.0 if position.size > 0 else -1.0
        ratio = position.maintenance_ratio or self.maintenance_ratio
        per_unit = sign * (mark - liquidation_price) + ratio * liquidation_price
        return abs(position.size) * per_unit - position.maintenance_amount_usd

    def _need(self, position: Position, view: MarketView) -> _Need | None:
        """The distance needed in this book, ``None`` if the book cannot tell."""
        exit_cost = view.exit_cost_bps(position.size)
        if exit_cost is None:
            return None
        side = Side.BID if position.size > 0 else Side.ASK
        normal = view.normal_depth_usd(side)
        reach = None if normal is None else view.reach_bps(side, self.shock_multiple * normal)
        reach_bps = 0.0 if reach is None else reach.value
        total = self.buffer_bps + self.exit_multiple * exit_cost.value + self.reach_multiple * reach_bps
        return _Need(
            total_bps=min(total, self.distance_bps_max),
            exit_bps=exit_cost.value,
            reach_bps=reach_bps,
            shock_usd=0.0 if normal is None else self.shock_multiple * normal,
            extrapolated=exit_cost.extrapolated or (reach is not None and reach.extrapolated),
        )

    def _unknown(self, account: AccountView, position: Position, mark: float) -> Finding | None:
        """Longs that are paid for in full are safe without a liquidation price; nothing else is."""
        equity = account.equity_usd
        only_longs = all(held.size > 0 for held in account.positions)
        notional_usd = sum(abs(held.size) * _price_of(held, position, mark) for held in account.positions)
        if only_longs and equity is not None and notional_usd <= equity:
            return None
        return Finding(
            policy=self.name,
            reason=Reason.LIQUIDATION_UNKNOWN,
            severity=Severity.WATCH,
            subject=Subject(market=position.market, account=account.account),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                Evidence(name="position", value=position.size, unit="base units"),
                Evidence(name="liquidation price", value="not told by the venue or the bot", unit="text"),
            ),
            counterfactual="would not stand with a liquidation price, or a position smaller than the equity",
        )

    def _finding(
        self,
        account: AccountId,
        position: Position,
        view: MarketView,
        mark: float,
        distance_bps: float,
        need: _Need,
        equity: float,
        size: float,
        *,
        is_short: bool,
    ) -> Finding:
        evidence = [
            Evidence(name="distance to liquidation", value=distance_bps, unit="bps", limit=need.total_bps),
            Evidence(name="mark price", value=mark, unit="USD"),
            Evidence(
                name="liquidation price (our estimate)"
                if position.liquidation_is_estimate
                else "liquidation price",
                value=position.liquidation_price or 0.0,
                unit="USD",
            ),
            Evidence(name="position", value=position.size, unit="base units", limit=size),
            Evidence(name="exit cost of the position", value=need.exit_bps, unit="bps"),
            Evidence(name="reach of the shock", value=need.reach_bps, unit="bps"),
            Evidence(name="shock", value=need.shock_usd, unit="USD"),
        ]
        side = Side.BID if position.size > 0 else Side.ASK
        ratio = view.depth_ratio(side)
        if ratio is not None:
            evidence.append(Evidence(name=f"{side} depth over normal", value=ratio, unit="ratio"))
        if need.extrapolated:
            evidence.append(
                Evidence(name="book", value="extrapolated beyond its visible levels", unit="text")
            )
        if position.margin_mode is MarginMode.ISOLATED and is_short:
            short_usd = (need.total_bps - distance_bps) / BPS_PER_UNIT * abs(position.size) * mark
            evidence.append(Evidence(name="margin that would do instead", value=short_usd, unit="USD"))
        severity = Severity.WATCH
        if is_short:
            severity = Severity.CRITICAL if distance_bps < need.total_bps / 2 else Severity.ACT
        short_bps = (
            (need.total_bps - distance_bps) / self.reach_multiple if self.reach_multiple else need.reach_bps
        )
        calm_reach_bps = max(need.reach_bps - short_bps, 0.0)
        return Finding(
            policy=self.name,
            reason=Reason.LIQUIDATION_NEAR,
            severity=severity,
            subject=Subject(market=position.market, account=account),
            limit=Limit(
                entries=Entries.REDUCE_ONLY if is_short else None,
                max_size=size,
                max_leverage=max(size * mark / equity, 1.0) if equity > 0 else 1.0,
                basis=Basis(size=position.size) if position.margin_mode is MarginMode.ISOLATED else None,
            ),
            evidence=tuple(evidence),
            counterfactual=(
                f"would not stand with the liquidation price {need.total_bps:.0f} bps or more from the mark price,"
                f" or with a book in which the shock reached {calm_reach_bps:.0f}"
                " bps or less"
            ),
            confirm_ms=int(self.confirm_s * 1000),
        )


@dataclass(frozen=True, slots=True)
class _Need:
    total_bps: float
    exit_bps: float
    reach_bps: float
    shock_usd: float
    extrapolated: bool


def _mark_price(view: MarketView, now: Nanoseconds) -> float | None:
    match view.stream_state(Stream.MARK_PRICE, now):
        case StreamState.STALE:
            return None
        case StreamState.NEVER:
            return view.mid_price
        case _:
            return view.mark_price


def _price_of(held: Position, position: Position, mark: float) -> float:
    """What a unit is worth; infinitely much if nobody says, so that it is not taken for paid."""
    if held.market == position.market:
        return mark
    return held.mark_price or held.entry_price or float("inf")


@lru_cache(maxsize=1024)
def _size_max(
    book: BookSide | None,
    mid: float | None,
    size: float,
    mark: float,
    equity_usd: float,
    distance_bps: float,
    maintenance_ratio: float,
    maintenance_amount_usd: float,
) -> float | None:
    """``size_max`` against one side of a book; solved once for as long as nothing of it changes, as at a Tick."""

    def exit_usd(cut: float) -> float:
        if book is None or mid is None:
            return 0.0
        return slippage_bps(book, cut * mid).value / BPS_PER_UNIT * cut * mark

    return size_max(
        side_size_signed=size,
        mark_price=mark,
        equity_usd=equity_usd,
        distance_bps=distance_bps,
        maintenance_ratio=maintenance_ratio,
        maintenance_amount=maintenance_amount_usd,
        exit_cost_usd=exit_usd,
    )
