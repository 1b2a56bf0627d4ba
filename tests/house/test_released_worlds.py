"""What made-up markets were released with stays: figures of different days are comparable by it."""

from __future__ import annotations

from adapters.simulation.worlds.released import RELEASED
from adapters.simulation.worlds.tag import changed, hashed, stamp

RELEASED_TAG = "804bd9855d51"
"""Hash of all that is in ``RELEASED``. It changes by adding worlds or scenarios, never by changing one."""


def test_nothing_that_was_released_has_changed() -> None:
    assert changed() == (), "a released world may not change: add another one beside it (decision 0206)"


def test_the_list_of_what_was_released_is_the_one_that_was_written_down() -> None:
    assert hashed(RELEASED) == RELEASED_TAG
    assert "NOT" not in stamp()
