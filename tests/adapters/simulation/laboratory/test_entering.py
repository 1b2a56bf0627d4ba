"""Who leaves in parts leaves; whoever has the same slot afterwards does not."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.simulation.laboratory.parameters import CrowdParameters
from tests.support.crowds import START, crowd_at, entered, rest
from tests.support.uncompiled import uncompiled

(SOURCE,) = uncompiled("adapters.simulation.laboratory.entering")
"""One step after the other is to be had of the source only; both do the same (test_market)."""


def leaving(crowd: Any) -> Any:
    """A part is 100 lots."""
    return SOURCE.Entering(crowd, CrowdParameters(), 10_000, 100_000.0, crowd.draws, 100)


@pytest.mark.parametrize("is_followed", [False, True])
def test_who_comes_into_the_slot_of_somebody_leaving_stays(is_followed: bool) -> None:
    crowd = crowd_at()
    crowd.reference_tick = START
    entering = leaving(crowd)
    slot = entered(crowd, 1, 300, 10.0)
    rest(crowd, 1, START - 1, 10_000)
    entering._leave(0, slot)
    assert crowd.lots[slot] == 200
    if is_followed:
        assert crowd.leave(0, slot) == 200
        crowd.exchange.cancel_all(8)
        assert entered(crowd, 1, 300, 10.0) == slot
        rest(crowd, 1, START - 1, 10_000)
        assert crowd.lots[slot] == 300
    entering._go_on(100)
    assert crowd.lots[slot] == (300 if is_followed else 100)
