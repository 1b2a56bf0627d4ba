"""Who is asked about next, and what files of addresses hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.exchanges.tracked_accounts import (
    ADDRESSES_MAX,
    FILE_BYTES_MAX,
    AddressesError,
    TrackedAccounts,
    addresses_of,
    read_addresses,
)
from adapters.exchanges.venue import PositionSeen
from guard.units import NS_PER_S

A, B, C = (f"0x{letter * 40}" for letter in "abc")


def held(symbol: str, liquidation_price: float | None = None) -> PositionSeen:
    return PositionSeen(
        market_code=symbol, side="BOTH", size=1.0, mark_price=100.0, liquidation_price=liquidation_price
    )


def asked_in(tracked: TrackedAccounts, seconds: int, **positions: PositionSeen) -> list[str]:
    """Who is asked about, a second for each question."""
    asked = []
    for second in range(seconds):
        address = tracked.next(second * NS_PER_S)
        if address is not None:
            asked.append(address)
            tracked.answered(address, [positions[address]] if address in positions else [], second * NS_PER_S)
    return asked


def test_everybody_has_a_turn_and_who_is_near_liquidation_more_often() -> None:
    tracked = TrackedAccounts(poll_s=30.0, hot_poll_s=10.0)
    tracked.name([A, B, C])
    assert not tracked.is_complete
    asked = asked_in(tracked, 60, **{B: held("BTC", 96.0), C: held("BTC", 80.0)})
    assert asked[:3] == [A, B, C]
    assert (asked.count(A), asked.count(B), asked.count(C)) == (2, 6, 2)
    assert tracked.is_complete


def test_an_answer_names_the_markets_that_were_left_too() -> None:
    tracked = TrackedAccounts(30.0, 10.0)
    tracked.name([A])
    assert tracked.answered(A, [held("BTC"), held("ETH")], 0) == {"BTC", "ETH"}
    assert tracked.answered(A, [held("ETH")], 1) == {"BTC", "ETH"}
    assert tracked.answered(A, [], 2) == {"ETH"}
    assert tracked.answered(A, [], 3) == frozenset()
    assert tracked.answered(B, [held("BTC")], 3) == frozenset(), "nobody asked"


def test_who_does_not_answer_lets_others_go_first() -> None:
    tracked = TrackedAccounts(30.0, 10.0)
    tracked.name([A, B])
    assert tracked.next(0) == A
    tracked.failed(A, 0)
    assert tracked.next(1) == B
    assert not tracked.is_complete


def test_files_hold_an_address_a_line_with_remarks(tmp_path: Path) -> None:
    path = tmp_path / "addresses.txt"
    path.write_text(f"# large ones\n{A.upper().replace('0X', '0x')}  # one\n\n{B}\n{A}\n")
    assert read_addresses(path) == [A, B]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"0x12\n", "line 1: '0x12' is no address"),
        (b"\xff\xfe", "is no text"),
        (b"#" * (FILE_BYTES_MAX + 1), "is larger than"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(body: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "addresses.txt"
    path.write_bytes(body)
    with pytest.raises(AddressesError, match=said):
        read_addresses(path)
    with pytest.raises(AddressesError, match="cannot be read"):
        read_addresses(tmp_path / "none")


def test_more_addresses_than_can_be_asked_about_are_refused() -> None:
    with pytest.raises(AddressesError, match="at most"):
        addresses_of([f"0x{number:040x}" for number in range(ADDRESSES_MAX + 1)], "list")
