"""States for tests of policies: one market with a warm baseline, then whatever a test needs."""

from __future__ import annotations

import copy
import functools

from guard.events import Order, Position
from guard.findings import Finding
from guard.market.view import BaselineSettings
from guard.policy import Policy
from guard.state import GuardState
from guard.units import NS_PER_MS
from tests.support.builders import (
    ALPHA,
    ETH,
    MARKET,
    at,
    born,
    features,
    flat_terms,
    mark,
    new_state,
    snapshot,
)

WARM_S = 60.0
BASELINE = BaselineSettings(warm_up_s=20.0, recover_ms=1_000)


def warm_state(*, keyed: bool = False, mid: float = 100.0) -> GuardState:
    """A calm, full book for a minute; the last sample is at ``WARM_S``."""
    return copy.deepcopy(_warmed(keyed=keyed, mid=mid))


@functools.cache
def _warmed(*, keyed: bool, mid: float) -> GuardState:
    state = new_state(ALPHA, keyed=keyed, baseline=BASELINE)
    state.apply(born(0.0))
    state.apply(flat_terms(MARKET, ETH))
    step = 0.25
    for number in range(int(WARM_S / step) + 1):
        state.apply(features(number * step, mid))
        state.apply(mark(number * step, mid))
    return state


def thin_out(
    state: GuardState,
    *,
    bid_size: float = 100.0,
    ask_size: float = 100.0,
    seconds: float = 4.0,
    mid: float = 100.0,
    start: float = WARM_S,
    step: float = 0.25,
) -> float:
    """Samples of a thinner book for ``seconds``; returns the time of the last."""
    count = round(seconds / step)
    for number in range(1, count + 1):
        now = start + number * step
        state.apply(features(now, mid, bid_size=bid_size, ask_size=ask_size))
        state.apply(mark(now, mid))
    return start + count * step


def hold(
    state: GuardState,
    seconds: float,
    *positions: Position,
    orders: tuple[Order, ...] = (),
    equity_usd: float | None = None,
) -> None:
    state.apply(snapshot(seconds, *positions, orders=orders, equity_usd=equity_usd))


def judged(policy: Policy, state: GuardState, seconds: float) -> list[Finding]:
    """What the policy finds at ``seconds``, a ms after the last event, so that it has arrived."""
    return list(policy.decide(state, at(seconds) + NS_PER_MS))


__all__ = ["BASELINE", "MARKET", "WARM_S", "hold", "judged", "thin_out", "warm_state"]
