"""A reduction that may take no worse price: what is there is taken, what is not is left and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from perpguard_sdk.commands import impossible
from perpguard_sdk.messages import AckStatus, CutLeverage
from tests.adapters.bots.test_paper import SYMBOL, Trader, envelope
from tests.adapters.bots.test_paper_on_loopback import armed_bot, size_of
from tests.support.brokers import Broker
from tests.support.eventually import eventually


def cut(size: float, price_limit: float | None) -> CutLeverage:
    return CutLeverage(**envelope(max_leverage=10, max_size=size, price_limit=price_limit))


async def test_no_worse_price_is_taken_and_what_is_left_is_told(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    effect = await trader.bot.execute(cut(0.05, 60_001.0))

    assert (effect.size_before, effect.size_after) == (0.2, 0.2)
    assert trader.venue.log[-1] == "unfilled -0.15 at 60001"
    assert not (tmp_path / "state" / "alpha.reduction.json").exists()


async def test_what_the_book_gives_at_the_price_is_taken(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    trader.venue.given_at_limit = 0.06
    effect = await trader.bot.execute(cut(0.05, 59_990.0))

    assert effect.size_after == pytest.approx(0.14)
    assert not any(entry.startswith("reduce -0.15") for entry in trader.venue.log)


async def test_a_price_limit_that_is_met_is_a_cut_like_any_other(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    effect = await trader.bot.execute(cut(0.05, 59_990.0))

    assert effect.size_after == 0.05


@pytest.mark.parametrize("price", [0.0, -1.0, float("inf")])
def test_an_impossible_price_is_refused(price: float) -> None:
    assert impossible(cut(0.05, price), {SYMBOL}) is not None
    assert impossible(cut(0.05, 1.0), {SYMBOL}) is None
    assert impossible(cut(0.05, None), {SYMBOL}) is None


async def test_the_venues_own_book_is_not_sold_into_below_the_price(
    tmp_path: Path, mosquitto_broker: Broker
) -> None:
    async with armed_bot(tmp_path, mosquitto_broker) as (venue, guard, _):
        refused = await guard.command(max_size=0.25, max_leverage=10.0, price_limit=61_000.0)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(refused))
        assert size_of(venue) == 0.4

        met = await guard.command(max_size=0.25, max_leverage=10.0, price_limit=59_000.0)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(met))
        assert size_of(venue) == 0.25
