"""A venue that asks for no requests gets none: from no connection, until the time that it named is over."""

from __future__ import annotations

import pytest

from adapters.exchanges.embargo import REFUSALS, Embargo, retry_after_s


class Clock:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("status", [200, 403, 500, 503])
def test_other_answers_stop_nothing(status: int) -> None:
    embargo = Embargo("binanceusdm", Clock())
    embargo.hear(status, {"Retry-After": "60"})
    assert embargo.left_s == 0.0


def test_it_lasts_as_long_as_the_venue_said_and_no_later_answer_shortens_it() -> None:
    clock = Clock()
    embargo = Embargo("binanceusdm", clock)
    embargo.hear(418, {"retry-after": "120"})
    embargo.hear(429, {"Retry-After": "5"})
    clock.now_s += 119.0
    assert embargo.left_s == 1.0
    clock.now_s += 1.0
    assert embargo.left_s == 0.0


@pytest.mark.parametrize("status", [418, 429])
def test_a_venue_that_names_no_time_is_left_alone_for_ours(status: int) -> None:
    embargo = Embargo("binanceusdm", Clock())
    embargo.hear(status, {})
    assert embargo.left_s == REFUSALS[status]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": " 30 "}, 30.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "Sun, 22 Nov 2026 02:00:30 GMT", "Date": "Sun, 22 Nov 2026 02:00:00 GMT"}, 30.0),
        ({"Retry-After": "Sun, 22 Nov 2026 02:00:00 GMT", "Date": "Sun, 22 Nov 2026 02:00:30 GMT"}, 0.0),
        ({"Retry-After": "Sun, 22 Nov 2026 02:00:30 GMT"}, None),
    ],
)
def test_what_retry_after_says(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds
