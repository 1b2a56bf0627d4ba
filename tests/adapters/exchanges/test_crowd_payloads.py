"""What each answer about everyone's positions becomes, and how pages of it are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.exchanges.binance import crowd_payloads as binance
from adapters.exchanges.bybit import crowd_payloads as bybit
from adapters.exchanges.crowd_history import SPACING_NS, Candle, InterestRow, joined
from adapters.exchanges.crowd_session import pages
from adapters.exchanges.okx import crowd_payloads as okx
from guard.errors import MalformedFrameError
from guard.units import NS_PER_MS
from tests.adapters.exchanges import crowd_samples as told


def test_interest_is_in_base_units_with_its_value_where_that_is_told() -> None:
    assert binance.parse_interest_history(told.BINANCE_INTEREST) == [
        InterestRow(1583127900000 * NS_PER_MS, 20403.12345678, 176196512.12345678),
        InterestRow(1583128200000 * NS_PER_MS, 20401.367, 149940752.14464448),
    ]
    assert bybit.parse_interest_history(told.BYBIT_INTEREST) == [
        InterestRow(1669571700000 * NS_PER_MS, 461134.8),
        InterestRow(1669571400000 * NS_PER_MS, 461134.1),
    ]
    assert okx.parse_interest_history(told.OKX_INTEREST) == [
        InterestRow(1701417600000 * NS_PER_MS, 111.0, 8888888.0),
        InterestRow(1701417300000 * NS_PER_MS, 110.0, None),
    ]


def test_the_share_of_longs_is_the_latest() -> None:
    assert binance.parse_account_ratio(told.BINANCE_RATIO) == (0.6617, 1583139900000 * NS_PER_MS)
    assert bybit.parse_account_ratio(told.BYBIT_RATIO) == (0.5777, 1695772800000 * NS_PER_MS)
    share, at = okx.parse_account_ratio(told.OKX_RATIO)
    assert share == pytest.approx(1.1739 / 2.1739)
    assert at == 1701417600000 * NS_PER_MS


def test_candles_have_their_close_and_turnover() -> None:
    assert binance.parse_candles(told.BINANCE_CANDLES) == [
        Candle(1583127600000 * NS_PER_MS, 8636.5, 2434190.05)
    ]
    assert bybit.parse_candles(told.BYBIT_CANDLES) == [Candle(1669571400000 * NS_PER_MS, 17055.5, 15740462.0)]


@pytest.mark.parametrize(
    ("parse", "payload"),
    [
        (binance.parse_account_ratio, []),
        (binance.parse_account_ratio, [{"longAccount": "1.2", "timestamp": 1583139900000}]),
        (binance.parse_interest_history, {"code": -1130, "msg": "parameter 'startTime' is invalid."}),
        (binance.parse_interest_history, [{"sumOpenInterest": "-1", "timestamp": 1583139900000}]),
        (binance.parse_interest_history, [{"sumOpenInterest": "1", "timestamp": 10**30}]),
        (binance.parse_candles, [[1583127600000, "1", "1", "1", "0", "1", 1, "1"]]),
        (binance.parse_candles, [[1583127600000, "1", "1"]]),
        (bybit.parse_interest_history, {"retCode": 10001, "result": {}}),
        (bybit.parse_candles, {"result": {"list": None}}),
        (okx.parse_account_ratio, {"code": "0", "data": []}),
        (okx.parse_account_ratio, {"code": "0", "data": [["1701417600000", "-1"]]}),
        (okx.parse_interest_history, {"code": "50011", "data": {}}),
    ],
)
def test_what_is_no_such_answer_is_refused(parse: Callable[[Any], Any], payload: Any) -> None:
    with pytest.raises(MalformedFrameError):
        parse(payload)


def test_points_are_in_order_each_once_with_a_price() -> None:
    rows = [
        InterestRow(2 * SPACING_NS, 12.0),
        InterestRow(0, 10.0, 1_000.0),
        InterestRow(SPACING_NS, 11.0),
        InterestRow(SPACING_NS, 11.5, 1_150.0),
        InterestRow(4 * SPACING_NS, 13.0),
    ]
    candles = [Candle(0, 101.0, 5.0), Candle(SPACING_NS, 102.0, 7.0)]
    found = [
        (point.at // SPACING_NS, point.price, point.open_interest, point.volume_usd)
        for point in joined(rows, candles)
    ]
    assert found == [(0, 100.0, 10.0, None), (1, 100.0, 11.5, 5.0), (2, 102.0, 12.0, 7.0)]


def test_volume_over_a_gap_is_that_of_all_candles_or_unknown() -> None:
    rows = [InterestRow(0, 1.0, 9.0), InterestRow(3 * SPACING_NS, 1.0, 9.0)]
    candles = [Candle(number * SPACING_NS, 9.0, 1.0 + number) for number in range(3)]
    assert [point.volume_usd for point in joined(rows, candles)] == [None, 6.0]
    assert [point.volume_usd for point in joined(rows, candles[1:])] == [None, None]


@pytest.mark.parametrize("rows_max", [2, 7, 500])
async def test_pages_hold_every_row_once(rows_max: int) -> None:
    spacing_ms = SPACING_NS // NS_PER_MS
    rows = list(range(5, 5 + 40 * spacing_ms, spacing_ms))
    asked, breaths = [], []

    async def read(begin_ms: int, end_ms: int) -> list[int]:
        found = [row for row in rows if begin_ms <= row <= end_ms]
        asked.append(len(found))
        return found[-rows_max:]

    async def breathe() -> None:
        breaths.append(1)

    assert await pages(read, 0, rows[-1] * NS_PER_MS, rows_max, breathe) == rows
    assert max(asked) <= rows_max
    assert len(breaths) == len(asked) - 1
