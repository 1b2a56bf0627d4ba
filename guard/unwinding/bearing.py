"""What leverage a market bears for new positions, told where it is more dangerous than usual. Pure."""

from __future__ import annotations

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.forecasts import MarketOutlook, SizingForecast
from perpguard_sdk.messages import Evidence


def strictest(outlook: MarketOutlook) -> SizingForecast:
    """The direction in which the market bears least; ``outlook.sizings`` must not be empty."""
    return min(outlook.sizings, key=lambda each: each.leverage_share)


def bears_less(
    outlook: MarketOutlook,
    *,
    policy: str,
    leverage_usual: float,
    chance: float | None,
    least: float,
    horizon_s: float,
    confirm_s: float,
) -> Finding | None:
    """Cap leverage at the share of ``leverage_usual`` that the market bears; ``None`` where it bears all of it.

    Args:
        outlook: of the market; its ``sizings`` must not be empty.
        policy: in whose name it is told.
        leverage_usual: what one trades with as a rule, a multiple.
        chance: 0..1, that price goes as far as liquidates the usual leverage, in the direction of ``strictest``.
        least: the chance from which on it is told.
        horizon_s: within which that chance is counted, seconds.
        confirm_s: for how long it must have stood, seconds.
    """
    sizing = strictest(outlook)
    leverage = max(leverage_usual * sizing.leverage_share, 1.0)
    if chance is None or chance < least or sizing.leverage_share >= 1.0 or leverage >= leverage_usual:
        return None
    return Finding(
        policy=policy,
        reason=Reason.HAZARD_HIGH,
        severity=Severity.WATCH,
        subject=Subject(market=outlook.market),
        limit=Limit(max_leverage=leverage),
        evidence=(
            Evidence(name="danger of the market", value=sizing.danger, unit="ratio", limit=sizing.usual),
            Evidence(name="leverage that it bears", value=leverage, unit="x", limit=leverage_usual),
            Evidence(
                name=f"chance of {100.0 / leverage_usual:.0f} % {sizing.direction} within the horizon",
                value=chance,
                unit="ratio",
                limit=least,
            ),
        ),
        counterfactual=(
            f"would not stand with a danger of {sizing.usual:.2g} or less, or with a chance below"
            f" {least:.1%} that price goes {sizing.direction} by {1.0 / leverage_usual:.1%} within"
            f" {horizon_s / 60.0:.0f} minutes"
        ),
        confirm_ms=int(confirm_s * 1000),
    )
