"""What the engine leaves out because nothing has changed would have changed nothing: the same steps, byte for byte."""

from __future__ import annotations

import copy

import pytest

from guard.arbiter import Arbiter
from guard.audit import Step, encode_record
from guard.dispatch import Dispatch
from guard.engine import Engine
from tests.simulation.campaign import run_seed
from tests.simulation.guards import ARBITER, DISPATCH, ObservedEngine
from tests.simulation.plants import Plant


class Shadowed(Plant):
    """Beside every engine runs one that works out everything anew at every event."""

    def __init__(self) -> None:
        self.compared = 0

    def sabotage_engine(self, engine: Engine) -> None:
        assert isinstance(engine, ObservedEngine)
        # The policies are shared: what they are asked for changes between two events, for both alike.
        shadow = Engine(copy.deepcopy(engine.state), engine.policies, Arbiter(ARBITER), Dispatch(DISPATCH))
        observe = engine.observe

        def compare(step: Step) -> None:
            shadow.forget_shortcuts()
            again = shadow.process(step.event)
            assert encode_record(again) == encode_record(step)
            self.compared += 1
            observe(step)

        engine.observe = compare


@pytest.mark.parametrize("seed", range(12))
def test_every_step_is_what_it_would_be_if_all_were_worked_out_anew(seed: int) -> None:
    plant = Shadowed()

    assert run_seed(seed, plant).violations == []
    assert plant.compared > 200
