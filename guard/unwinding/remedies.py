"""What a human could do where closing costs more: margin added, or the same sold on another venue. Pure."""

from __future__ import annotations

from guard.findings import Offer, Remedy
from guard.unwinding.verdict import Verdict


def offers_of(
    verdict: Verdict | None,
    *,
    margin_usd: float | None,
    lost_chance: float | None,
    settle: str,
    venue: str,
    dear_ratio: float,
    is_enough: bool,
) -> tuple[Offer, ...]:
    """Give what could be done instead of, or beside, a cut; cheapest first, empty where the cut itself is cheap.

    Args:
        verdict: of the cut; ``None`` where it could not be weighed.
        margin_usd: what added would do instead; ``None`` where unknown.
        lost_chance: that the move goes beyond even the distance which that buys: then the margin is lost as well.
        settle: the asset that margin is paid in.
        venue: where the position is.
        dear_ratio: cost of leaving now, a share of notional, from which on a hedge elsewhere is named.
        is_enough: whether the cut would be enough.

    Margin costs what is lost of it with ``lost_chance``; a hedge is twice the way at usual cost, in and out again.
    """
    found: list[Offer] = []
    cut_cost = None if verdict is None else verdict.cost_usd
    if margin_usd is not None and margin_usd > 0.0:
        cost = None if lost_chance is None else lost_chance * margin_usd
        is_cheaper = cost is not None and cut_cost is not None and cost < cut_cost
        if is_cheaper or not is_enough or (verdict is not None and verdict.is_worth_it is False):
            found.append(Offer(remedy=Remedy.ADD_MARGIN, amount_usd=margin_usd, about=settle, cost_usd=cost))
    if verdict is not None and verdict.cut_usd > 0.0 and (verdict.costs.now >= dear_ratio or not is_enough):
        found.append(
            Offer(
                remedy=Remedy.HEDGE_ELSEWHERE,
                amount_usd=verdict.cut_usd,
                about=f"a venue other than {venue}",
                cost_usd=2.0 * verdict.costs.later * verdict.cut_usd,
            )
        )
    return tuple(sorted(found, key=lambda each: (each.cost_usd is None, each.cost_usd or 0.0)))
