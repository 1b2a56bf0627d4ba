"""A human's hand on a paper bot: it holds whatever the guard says, and the bot tells it apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from perpguard_sdk.messages import ALL_SYMBOLS, Entries, Resume
from tests.adapters.bots.test_paper import SYMBOL, Trader, envelope


@pytest.mark.parametrize(
    ("word", "holds"), [("reduce_only\n", Entries.REDUCE_ONLY), ("gibberish", Entries.HALTED)]
)
async def test_no_resume_of_the_guards_takes_a_humans_hold_back(
    tmp_path: Path, word: str, holds: Entries
) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000)
    path = trader.bot.settings.state_dir / f"{trader.bot.name}.hold"
    path.write_text(word)
    await trader.bot.execute(Resume(**envelope(entries=Entries.ALLOWED)))
    before = trader.venue.size
    await trader.see(60_000, 60_000)

    assert trader.venue.size == before
    assert trader.bot.limits.entries(SYMBOL) is holds
    assert (await trader.bot.view()).own_entries == {ALL_SYMBOLS: holds}
    path.unlink()
    await trader.see(60_000)
    assert trader.venue.size > before
    assert (await trader.bot.view()).own_entries == {}
