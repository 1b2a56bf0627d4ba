"""What is measured of the trader's own accounts, for the metrics page. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from guard.account.risk import AccountRisk, HoldingRisk, LegRisk, StressRisk
from guard.meters import Meter, MeterKind, Sample
from guard.units import AccountId, symbol_of


def measure_accounts(risks: Mapping[AccountId, AccountRisk]) -> Iterator[Meter]:
    """Yield a gauge for each kind of number; what is not known has no sample, and ``liquidation_kind`` says why."""
    legs = [(account, leg) for account, risk in risks.items() for leg in risk.legs]
    yield _gauge(
        "liquidation_price",
        "Where a position is liquidated: by our solver, by the venue's word, and the nearer one that is acted on",
        [
            Sample(price, {**_of(account, leg), "source": source})
            for account, leg in legs
            for source, price in (("own", leg.price), ("venue", leg.venue_price), ("nearest", leg.nearest))
            if price is not None
        ],
    )
    yield _gauge(
        "liquidation_kind",
        "1 for what is known of a position's liquidation: price, cannot, account_level, failed or missing",
        [Sample(1.0, {**_of(account, leg), "kind": str(leg.kind)}) for account, leg in legs],
    )
    yield _gauge(
        "liquidation_difference_bps",
        "Our liquidation price less the venue's, bps of the mark price",
        [
            Sample(leg.difference_bps, _of(account, leg))
            for account, leg in legs
            if leg.difference_bps is not None
        ],
    )
    yield _gauge(
        "liquidation_distance_bps",
        "How far the mark price may move until the position is liquidated",
        [
            Sample(leg.distance_bps, _of(account, leg))
            for account, leg in legs
            if leg.distance_bps is not None
        ],
    )
    yield _gauge(
        "liquidation_seconds",
        "Time until then at present and at stressed speed",
        [
            Sample(seconds, {**_of(account, leg), "speed": speed})
            for account, leg in legs
            for speed, seconds in (("now", leg.seconds_now), ("stressed", leg.seconds_stressed))
            if seconds is not None
        ],
    )
    yield from _of_accounts(risks)


def _of_accounts(risks: Mapping[AccountId, AccountRisk]) -> Iterator[Meter]:
    yield _gauge(
        "account_stress_distance_bps",
        "The smallest move along a direction at which the account fails, by either valuation of collateral",
        [
            Sample(
                value, {"account": account, "pool": stress.pool, "direction": stress.direction, "valued": by}
            )
            for account, risk in risks.items()
            for stress in risk.stress
            for by, value in _stress(stress)
            if value is not None
        ],
    )
    yield _gauge(
        "account_margin_ratio",
        "Maintenance over margin balance, 1 is liquidation: by us and by the venue's word",
        [
            Sample(value, {"account": account, "source": source})
            for account, risk in risks.items()
            for source, value in (("own", risk.margin_ratio), ("venue", risk.venue_margin_ratio))
            if value is not None
        ],
    )
    yield _gauge(
        "collateral_haircut",
        "What is not counted of a collateral, 0 to 1, and each part that it is the largest of",
        [
            Sample(value, {"account": account, "asset": held.asset, "part": part})
            for account, risk in risks.items()
            for held in risk.holdings
            for part, value in _haircut(held)
        ],
    )
    yield _gauge(
        "account_action_seconds",
        "What an action on the account is taken to need, measured or assumed",
        [
            Sample(risk.action_s, {"account": account, "assumed": str(risk.action_is_assumed).lower()})
            for account, risk in risks.items()
            if risk.action_s is not None
        ],
    )


def _stress(stress: StressRisk) -> tuple[tuple[str, float | None], ...]:
    return (("venue", stress.venue_distance_bps), ("own", stress.own_distance_bps))


def _haircut(held: HoldingRisk) -> Iterator[tuple[str, float]]:
    yield "all", held.haircut
    yield from held.parts.items()


def _of(account: AccountId, leg: LegRisk) -> dict[str, str]:
    return {"account": account, "market": symbol_of(leg.market), "pool": leg.pool}


def _gauge(name: str, help_: str, samples: list[Sample]) -> Meter:
    return Meter(name, help_, MeterKind.GAUGE, tuple(samples))
