"""What a paper bot says it would hold more, had the guard not held its entries back."""

from __future__ import annotations

from pathlib import Path

import pytest

from perpguard_sdk.limits import Limits, Restrictions
from perpguard_sdk.messages import CutLeverage, Entries
from tests.adapters.bots.test_paper import SYMBOL, Trader, envelope


class Held(Trader):
    """A trader whose guard's limits the test sets."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        client = _Client()
        self.bot._client = client  # type: ignore[assignment]
        self.client = client

    def hold(self, **restrictions: object) -> None:
        self.client.limits = Limits(restrictions=Restrictions(**restrictions))  # type: ignore[arg-type]

    async def withheld(self) -> float | None:
        told = (await self.bot.view()).withheld
        assert told is not None
        return told.get(SYMBOL)


class _Client:
    limits = Limits()


PAUSED = {"entries": {SYMBOL: Entries.REDUCE_ONLY}}


async def test_before_it_was_ever_free_it_cannot_tell(tmp_path: Path) -> None:
    trader = Held(tmp_path)
    trader.hold(**PAUSED)
    await trader.see(60_000, 60_000)
    assert await trader.withheld() is None
    trader.hold()
    await trader.see(60_000)
    assert await trader.withheld() == 0.0


async def test_a_wish_that_is_refused_at_each_mark_is_one_wish(tmp_path: Path) -> None:
    trader = Held(tmp_path)
    await trader.see(60_000, 60_000)
    (tmp_path / "free").mkdir()
    free = Held(tmp_path / "free")
    marks = [60_000, 59_400, 59_400, 59_400, 58_500, 58_500]
    await free.see(60_000, 60_000, *marks)
    trader.hold(**PAUSED)
    before = trader.venue.size
    await trader.see(*marks)
    assert trader.venue.size == before
    assert free.venue.size > before, "a strategy that wants nothing proves nothing"
    assert await trader.withheld() == pytest.approx(free.venue.size - before)


async def test_what_its_own_stop_would_have_ended_is_not_withheld_any_more(tmp_path: Path) -> None:
    trader = Held(tmp_path)
    await trader.see(60_000)
    trader.hold(**PAUSED)
    await trader.see(60_000)
    assert await trader.withheld() == pytest.approx(0.1)
    await trader.see(57_000)
    assert await trader.withheld() == 0.0
    await trader.see(*[57_000] * 6)
    assert await trader.withheld() == pytest.approx(2 * 0.105), "it would have begun anew, by two slices"


async def test_a_scaled_entry_leaves_the_rest_withheld(tmp_path: Path) -> None:
    trader = Held(tmp_path)
    await trader.see(60_000, 60_000)
    trader.hold(entry_share={SYMBOL: 0.25})
    before = trader.venue.size
    await trader.see(59_400)
    bought = trader.venue.size - before
    assert 0.0 < bought < 0.03
    assert await trader.withheld() == pytest.approx(0.101 - bought)
    trader.hold()
    await trader.see(59_400)
    assert await trader.withheld() == 0.0


async def test_what_a_command_took_off_is_not_told_again(tmp_path: Path) -> None:
    trader = Held(tmp_path)
    await trader.see(60_000, 60_000)
    trader.hold(**PAUSED)
    await trader.see(60_000)
    await trader.bot.execute(CutLeverage(**envelope(max_leverage=3.0, max_size=0.05)))
    assert trader.venue.size == 0.05
    assert await trader.withheld() == 0.0
    await trader.see(60_000, 59_400)
    assert await trader.withheld() == pytest.approx(0.101), (
        "the dip that it would have bought, and not the cut"
    )


async def test_a_humans_hold_withholds_nothing(tmp_path: Path) -> None:
    trader = Held(tmp_path)
    await trader.see(60_000, 60_000)
    (trader.bot.settings.state_dir / f"{trader.bot.name}.hold").write_text("reduce_only")
    trader.hold(**PAUSED)
    await trader.see(60_000, 59_400)
    assert await trader.withheld() == 0.0
