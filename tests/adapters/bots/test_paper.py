"""The paper bot on a made-up venue: its strategy, and how it does what the guard asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.bots.paper import PaperBot, main, read_settings
from adapters.bots.settings import PaperBotSettings
from adapters.bots.strategy import DipBuyer
from adapters.bots.trading import Holding, RestingOrder
from guard.errors import SettingsError, VenueError
from perpguard_sdk.executor import CommandFailed
from perpguard_sdk.limits import SAFE_MODE, Limits, Restrictions, tightest
from perpguard_sdk.messages import CutLeverage, Effect, Entries, Pause, Resume, StopRule, WidenStops
from perpguard_sdk.stops import CutNotConfirmedError
from tests.adapters.bots.fakes import FakeTrading

SYMBOL = "BTC/USDT:USDT"
STRATEGY = {
    "leverage": 10,
    "slice_usd": 6_000,
    "slices_max": 4,
    "dip_bps": 100,
    "stop_bps": 400,
    "reentry_s": 5,
}
FREE = Limits()


def envelope(**fields: Any) -> dict[str, Any]:
    return {
        "id": "c1", "bot": "alpha", "epoch": 1, "seq": 1, "ts": 0, "expires_at": 9, "posture_version": 1,
        "symbol": SYMBOL, "reason": "test", "dry_run": True,
    } | fields  # fmt: skip


def make_settings(tmp_path: Path, **changes: Any) -> PaperBotSettings:
    for name in ("bot.key", "api_key", "api_secret"):
        (tmp_path / name).write_text(f"{name}-0123456789abcdef\n")
    return PaperBotSettings.model_validate(
        {
            "name": "alpha",
            "key_file": tmp_path / "bot.key",
            "account": "main",
            "api_key_file": tmp_path / "api_key",
            "api_secret_file": tmp_path / "api_secret",
            "symbol": SYMBOL,
            "strategy": STRATEGY,
            "state_dir": tmp_path / "state",
            "guarded": False,
        }
        | changes
    )


class Trader:
    """A bot without a loop: the test hands it marks."""

    def __init__(self, tmp_path: Path, **changes: Any) -> None:
        self.venue = FakeTrading()
        self.bot = PaperBot(make_settings(tmp_path, **changes), self.venue)

    async def see(self, *prices: float) -> None:
        for price in prices:
            await self.bot._decide(self.venue.mark(price))

    @property
    def journal(self) -> list[dict[str, Any]]:
        path = self.bot.journal_path
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_it_opens_by_slices_and_keeps_one_stop_of_its_size(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000, 60_000)
    assert trader.venue.size == 0.2
    assert trader.venue.stops == [57_600.0]
    assert trader.venue.resting[0].size == -0.2


async def test_it_buys_dips_below_its_average_up_to_its_maximum(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000, 59_500, 59_400, 59_300, 59_000, 58_500, 58_000)
    assert trader.venue.size == pytest.approx(0.2 + 0.101 + 0.101)
    assert [line["what"] for line in trader.journal].count("entry") == 4


async def test_it_reenters_after_being_stopped_and_not_sooner(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000, 57_000)
    assert (trader.venue.size, trader.venue.stops) == (0.0, [])
    await trader.see(57_000, 57_000, 57_000, 57_000)
    assert trader.venue.size == 0.0
    await trader.see(57_000)
    assert trader.venue.size > 0.0


async def test_a_restarted_bot_takes_its_position_as_opened(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    trader.venue.size, trader.venue.entry_price = 0.1, 60_000.0
    await trader.see(60_000, 60_000)
    assert trader.venue.size == 0.1
    assert trader.venue.stops == [57_600.0]


async def test_a_stop_that_was_passed_unplaced_closes_the_position(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    trader.venue.size, trader.venue.entry_price = 0.1, 60_000.0
    await trader.see(57_000)
    assert (trader.venue.size, trader.venue.log) == (0.0, ["reduce -0.1"])


async def test_two_bots_that_hear_the_same_marks_do_the_same(tmp_path: Path) -> None:
    logs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        trader = Trader(tmp_path / name)
        await trader.see(60_000, 59_900, 59_200, 58_500, 57_000, *[56_900] * 8, 56_000, 55_000)
        logs.append(trader.venue.log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    "restrictions",
    [
        SAFE_MODE,
        Restrictions(entries={SYMBOL: Entries.HALTED}),
        Restrictions(max_size={"*": 0.05}),
        Restrictions(max_leverage={SYMBOL: 0.5}),
        Restrictions(entry_share={"*": 0.0}),
    ],
)
def test_it_enters_only_within_the_limits(tmp_path: Path, restrictions: Restrictions) -> None:
    strategy = DipBuyer(make_settings(tmp_path).strategy, SYMBOL)
    venue = FakeTrading()
    mark = venue.mark()
    assert strategy.wants_slice(mark, Holding(), 10_000.0, FREE)
    assert not strategy.wants_slice(mark, Holding(), 10_000.0, Limits(restrictions=restrictions))


def test_without_adds_it_opens_and_does_not_grow(tmp_path: Path) -> None:
    strategy = DipBuyer(make_settings(tmp_path).strategy, SYMBOL)
    mark, limits = FakeTrading().mark(), Limits(restrictions=Restrictions(entries={SYMBOL: Entries.NO_ADDS}))
    held = Holding(size=0.01, entry_price=60_000.0)

    assert strategy.wants_slice(mark, Holding(), 10_000.0, limits)
    assert strategy.wants_slice(mark, held, 10_000.0, FREE)
    assert not strategy.wants_slice(mark, held, 10_000.0, limits)


def test_an_entry_has_the_smallest_share_that_anything_allows(tmp_path: Path) -> None:
    strategy = DipBuyer(make_settings(tmp_path).strategy, SYMBOL)
    mark = FakeTrading().mark()
    limits = Limits(
        restrictions=tightest(
            Restrictions(entry_share={SYMBOL: 0.5}),
            Restrictions(entry_share={SYMBOL: 0.75, "*": 0.25}),
        )
    )

    assert (limits.entry_share(SYMBOL), limits.entry_share("ETH/USDT:USDT")) == (0.25, 0.25)
    assert strategy.slice_size(mark, limits) == 0.25 * strategy.slice_size(mark, FREE)


def test_a_looser_stop_is_followed_only_once_the_position_is_small_enough(tmp_path: Path) -> None:
    strategy = DipBuyer(make_settings(tmp_path).strategy, SYMBOL)
    rule = Restrictions(stops={SYMBOL: StopRule(stop_price=50_000.0)}, max_size={SYMBOL: 0.1})
    large, small = Holding(size=0.2, entry_price=60_000.0), Holding(size=0.1, entry_price=60_000.0)
    assert strategy.stop_price(large, Limits(restrictions=rule)) == 57_600.0
    assert strategy.stop_price(small, Limits(restrictions=rule)) == 50_000.0
    tighter = Restrictions(stops={SYMBOL: StopRule(stop_price=59_000.0)})
    assert strategy.stop_price(large, Limits(restrictions=tighter)) == 59_000.0


async def test_a_cut_reduces_to_the_size_from_a_fresh_position(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    trader.venue.size = 0.3  # somebody else traded meanwhile
    effect = await trader.bot.execute(CutLeverage(**envelope(max_leverage=3.5, max_size=0.1234)))
    assert (effect.size_before, effect.size_after) == (0.3, 0.123)
    assert trader.venue.leverage == 3
    assert trader.venue.resting[0].size == -0.123
    assert not (tmp_path / "state" / "alpha.reduction.json").exists()


async def test_a_cut_of_what_is_small_already_trades_nothing(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000)
    await trader.bot.execute(CutLeverage(**envelope(max_leverage=3, max_size=0.1)))
    assert not any(entry.startswith("reduce") for entry in trader.venue.log)


async def test_a_partly_filled_cut_goes_on_and_one_that_never_fills_fails(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    trader.venue.fill_ratio = 0.8
    effect = await trader.bot.execute(CutLeverage(**envelope(max_leverage=3, max_size=0.1)))
    assert effect.size_after == pytest.approx(0.1, abs=1e-3)
    trader.venue.fill_ratio = 0.0
    with pytest.raises(CommandFailed):
        await trader.bot.execute(CutLeverage(**envelope(id="c2", max_leverage=3, max_size=0.01)))
    assert (tmp_path / "state" / "alpha.reduction.json").exists()


async def test_a_cut_first_takes_away_what_rests_and_could_enter_or_reduce(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000)
    trader.venue.resting += [
        RestingOrder(order_id="entry", size=1.0, price=59_000.0),
        RestingOrder(order_id="exit", size=-1.0, price=61_000.0, reduce_only=True),
    ]
    await trader.bot.execute(CutLeverage(**envelope(max_leverage=3, max_size=0.05)))
    assert "cancel entry" in trader.venue.log
    assert trader.venue.log.index("cancel exit") < trader.venue.log.index("reduce -0.05")


async def test_a_pause_cancels_what_could_enter_and_leaves_stops(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000)
    trader.venue.resting.append(RestingOrder(order_id="entry", size=1.0, price=59_000.0))
    effect = await trader.bot.execute(Pause(**envelope(entries=Entries.REDUCE_ONLY)))
    assert effect.orders_cancelled == ("entry",)
    assert trader.venue.stops == [57_600.0]


async def test_limits_that_forbid_entries_cancel_what_could_enter(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    trader.venue.resting.append(RestingOrder(order_id="entry", size=1.0, price=59_000.0))
    await trader.bot.limits_changed(FREE)
    assert len(trader.venue.resting) == 1
    await trader.bot.limits_changed(Limits(restrictions=SAFE_MODE))
    assert trader.venue.resting == []


async def test_widening_cuts_then_moves_the_stop_without_a_moment_without_one(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    trader.venue.log.clear()
    rule = StopRule(stop_price=55_000.0)
    effect = await trader.bot.execute(WidenStops(**envelope(max_size=0.1, stop=rule)))
    assert effect == Effect(size_before=0.2, size_after=0.1, stop_price_after=55_000.0)
    assert [entry.split()[0] for entry in trader.venue.log] == ["reduce", "stop", "cancel"]
    assert trader.venue.stops == [55_000.0]


async def test_widening_leaves_the_stop_when_the_cut_fails(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    trader.venue.fill_ratio = 0.0
    with pytest.raises((CommandFailed, CutNotConfirmedError)):
        await trader.bot.execute(WidenStops(**envelope(max_size=0.1, stop=StopRule(stop_price=55_000.0))))
    assert trader.venue.stops == [57_600.0]


async def test_every_executed_command_is_one_line_of_the_journal(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000)
    await trader.bot.execute(Pause(**envelope(entries=Entries.HALTED)))
    await trader.bot.execute(Resume(**envelope(id="c2", entries=Entries.ALLOWED)))
    lines = [line for line in trader.journal if line["what"] == "command"]
    assert [(line["command_id"], line["verb"]) for line in lines] == [("c1", "pause"), ("c2", "resume")]


async def test_after_a_crash_it_tells_by_the_venue_whether_the_effect_is_there(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    cut = CutLeverage(**envelope(max_leverage=3, max_size=0.1))
    assert await trader.bot.reconcile(cut) is None
    trader.venue.size = 0.1
    assert await trader.bot.reconcile(cut) == Effect(size_after=0.1)
    assert await trader.bot.reconcile(Pause(**envelope(entries=Entries.HALTED))) == Effect()
    assert trader.journal[-1]["what"] != "command"


async def test_a_leverage_that_the_venue_refuses_fails_no_cut(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    await trader.see(60_000, 60_000)
    trader.venue.leverage_refused = "margin is insufficient"
    effect = await trader.bot.execute(CutLeverage(**envelope(max_leverage=3, max_size=0.1)))
    assert effect.size_after == 0.1
    assert trader.venue.leverage == 10


async def test_ack_only_does_nothing_and_minds_no_limit(tmp_path: Path) -> None:
    trader = Trader(tmp_path, fault="ack_only", guarded=True)
    await trader.see(60_000, 60_000)
    assert await trader.bot.execute(CutLeverage(**envelope(max_leverage=1, max_size=0.0))) == Effect()
    assert trader.venue.size == 0.2
    assert trader.bot.limits == FREE


async def test_a_guarded_bot_that_was_never_armed_does_not_enter(tmp_path: Path) -> None:
    trader = Trader(tmp_path, guarded=True)
    await trader.see(60_000, 60_000)
    assert trader.venue.size == 0.0
    assert not trader.bot.is_ready


async def test_a_venue_that_refuses_ends_no_more_than_the_decision(tmp_path: Path) -> None:
    trader = Trader(tmp_path)
    trader.venue.refuses = "margin is insufficient"
    with pytest.raises(VenueError):
        await trader.see(60_000)
    trader.venue.refuses = ""
    await trader.see(60_000, 60_000)
    assert trader.venue.size == 0.2


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"symbl": 1}, "symbl"),
        ({"strategy": {"leverage": 500}}, "strategy.leverage"),
        ({"name": "a/b"}, "name"),
        ({"key_file": None, "guarded": True}, "key_file"),
    ],
)
def test_settings_that_cannot_be_used_name_their_path(
    tmp_path: Path, change: dict[str, Any], path: str
) -> None:
    good = make_settings(tmp_path).model_dump(mode="json")
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(good | change))
    with pytest.raises(SettingsError, match=path):
        read_settings(file)
    assert main(["--settings", str(file)]) == 2


def test_a_missing_secret_names_setting_and_file(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    (tmp_path / "api_secret").unlink()
    with pytest.raises(SettingsError, match="api_secret"):
        PaperBot(settings)
