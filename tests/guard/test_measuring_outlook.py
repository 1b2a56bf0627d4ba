"""What the metrics page tells of outlooks."""

from __future__ import annotations

from guard.forecasts import MarketOutlook, Regime
from guard.measuring_outlook import MARKETS_MAX, measure_outlook
from guard.meters import Meter
from guard.outlook.outlook import Outlook
from guard.units import MarketId
from tests.support.outlooks import outlook_of

BTC, ETH, DARK = (MarketId(f"v:{coin}/USDT:USDT") for coin in ("BTC", "ETH", "DARK"))


def with_outlooks(*outlooks: MarketOutlook) -> Outlook:
    outlook = Outlook()
    outlook._latest.update({each.market: each for each in outlooks})
    return outlook


def measured(outlook: Outlook, *concerned: MarketId) -> dict[str, Meter]:
    return {meter.name: meter for meter in measure_outlook(outlook, concerned)}


def test_markets_are_counted_by_state_and_those_of_somebody_told_by_name() -> None:
    outlook = with_outlooks(
        outlook_of(BTC), outlook_of(ETH, regime=Regime.CASCADE), MarketOutlook(at=0, market=DARK)
    )
    meters = measured(outlook, BTC, DARK)
    states = {each.labels["regime"]: each.value for each in meters["outlook_markets"].samples}
    assert states == {"watch": 1, "cascade": 1, "unknown": 1}
    hazards = [
        (each.labels["market"], each.labels["direction"], each.value)
        for each in meters["outlook_hazard"].samples
    ]
    assert hazards == [(BTC, "down", 0.01), (BTC, "up", 0.01)]
    assert [each.value for each in meters["outlook_reach_ratio"].samples] == [0.11, 0.11]
    assert [each.value for each in meters["outlook_map_usd"].samples] == [9e6, 9e6]
    assert [each.value for each in meters["outlook_oi_depth_ratio"].samples] == [12.5]
    assert [each.value for each in meters["outlook_weight"].samples] == [0.6]


def test_however_many_markets_there_are_the_page_stays_short() -> None:
    markets = [MarketId(f"v:{number:03}/USDT:USDT") for number in range(400)]
    meters = measured(with_outlooks(*(outlook_of(market) for market in markets)), *markets)
    assert len(meters["outlook_hazard"].samples) == 2 * MARKETS_MAX
    assert sum(len(meter.samples) for meter in meters.values()) < 400


def test_an_estimator_that_raises_is_counted() -> None:
    outlook = Outlook()
    for market in (BTC, ETH):
        outlook.broken.say("map", market, ValueError("planted"))
    (sample,) = measured(outlook)["outlook_broken"].samples
    assert (sample.labels, sample.value) == ({"estimator": "map"}, 2)
