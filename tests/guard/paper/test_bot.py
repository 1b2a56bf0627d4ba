"""A bot on paper keeps its strategy's target as far as it was told that it may, and says what it has done."""

from __future__ import annotations

from typing import Any

import pytest

from guard.commands import PublishCommand, PublishPosture
from guard.events import AccountSnapshot, BotAcked, BotReported, MarketFeatures
from guard.holdings import MarginMode
from guard.leverage.tiers import margin_tiers
from guard.paper.account import PaperAccount, PaperTerms
from guard.paper.bot import LATENCY_NS, PaperBot
from guard.paper.strategies import DipBuyer, Holder
from guard.units import NS_PER_S, AccountId, BotId
from perpguard_sdk.messages import CutLeverage, Entries, Mode, Posture, StopRule
from tests.guard.paper.test_fills import BOOK

MARKET = BOOK.market
SYMBOL = "BTC/USDT:USDT"
START = 1_000 * NS_PER_S


def bot(leverage: float = 5.0, *, mode: MarginMode = MarginMode.ISOLATED, **kinds: Any) -> PaperBot:
    strategy = DipBuyer if kinds.get("buys_dips") else Holder
    return PaperBot(
        bot=BotId("bot"),
        account_id=AccountId("bybit:bot"),
        market=MARKET,
        account=PaperAccount(
            1_000.0, {MARKET: margin_tiers([(0.0, 0.005, 100.0)])}, PaperTerms(taker=0.0, maker=0.0)
        ),
        strategy=strategy(1.0, leverage, START),
        leverage=leverage,
        mode=mode,
    )


def posture(version: int = 1, **limits: Any) -> PublishPosture:
    return PublishPosture(
        posture=Posture(
            bot="bot",
            version=version,
            epoch=1,
            session="guard-1",
            ts=0,
            expires_at=10**15,
            mode=Mode.PAPER,
            **limits,
        ),
        tightens=True,
        changed=True,
    )


def cut(max_size: float, price_limit: float | None = None) -> PublishCommand:
    return PublishCommand(
        command=CutLeverage(
            id="cut-1",
            bot="bot",
            epoch=1,
            seq=7,
            ts=0,
            expires_at=10**15,
            posture_version=1,
            symbol=SYMBOL,
            reason="test",
            dry_run=True,
            max_leverage=3.0,
            max_size=max_size,
            price_limit=price_limit,
        ),
        attempt=1,
    )


def at_price(mid: float) -> MarketFeatures:
    """The same book around another price."""
    assert BOOK.bid is not None
    assert BOOK.ask is not None
    return type(BOOK)(
        **{name: getattr(BOOK, name) for name in BOOK.__struct_fields__ if name not in {"bid", "ask"}},
        bid=BOOK.bid * mid / 100.0,
        ask=BOOK.ask * mid / 100.0,
    )


def opened(**kinds: Any) -> PaperBot:
    made = bot(**kinds)
    made.step(START, 100.0, BOOK)
    return made


def test_it_opens_what_its_strategy_wants_at_its_leverage() -> None:
    held = opened()
    assert held.account.leverage == pytest.approx(5.0, rel=0.03)
    assert held.slippage_usd > 0.0


def test_it_obeys_a_command_after_its_latency_once_and_says_so() -> None:
    held = opened()
    held.events(START)
    before = held.account.size(MARKET)
    held.hear(START, commands=(cut(before / 2.0), cut(before / 2.0)))
    held.step(START + LATENCY_NS - 1, 100.0, BOOK)
    assert held.account.size(MARKET) == before
    held.step(START + LATENCY_NS, 100.0, BOOK)
    assert held.account.size(MARKET) == pytest.approx(before / 2.0)
    acked, snapshot, reported = held.events(START + LATENCY_NS)
    assert isinstance(acked, BotAcked)
    assert isinstance(snapshot, AccountSnapshot)
    assert isinstance(reported, BotReported)
    assert acked.ack.command_id == "cut-1"
    assert snapshot.positions[0].size == reported.reported.positions[0].size == pytest.approx(before / 2.0)
    assert (reported.reported.seq, reported.reported.max_size) == (7, {SYMBOL: before / 2.0})
    assert held.events(START + LATENCY_NS) == []


def test_margin_that_a_cut_sets_free_makes_the_liquidation_price_move() -> None:
    held = opened()
    before = held.account.liquidation_price(MARKET)
    held.hear(START, commands=(cut(held.account.size(MARKET) / 2.0),))
    held.step(START + LATENCY_NS, 100.0, BOOK)
    assert (held.account.liquidation_price(MARKET) or 0.0) < (before or 0.0) - 5.0
    leg = held.account.legs[MARKET]
    assert leg.margin_usd is not None
    assert leg.notional_usd / (leg.margin_usd + leg.profit_usd) == pytest.approx(3.0, rel=0.01)


def test_a_price_limit_takes_no_worse_price_and_the_rest_is_tried_again() -> None:
    held = opened()
    before = held.account.size(MARKET)
    held.hear(START, commands=(cut(0.0, price_limit=99.9),))
    held.step(START + LATENCY_NS, 100.0, BOOK)
    left = held.account.size(MARKET)
    assert 0.0 < left < before
    assert held.is_busy
    assert min(each.price for each in held.traded) >= 99.9 - 1e-9
    held.step(START + 2 * LATENCY_NS, 100.0, BOOK)
    assert held.account.size(MARKET) < left


@pytest.mark.parametrize(
    ("entries", "grows"),
    [
        (Entries.ALLOWED, True),
        (Entries.NO_ADDS, False),
        (Entries.REDUCE_ONLY, False),
        (Entries.HALTED, False),
    ],
)
def test_it_buys_no_dip_that_it_may_not(entries: Entries, grows: bool) -> None:
    held = opened(buys_dips=True)
    before = held.account.size(MARKET)
    held.hear(START, postures=(posture(entries={"*": entries}),))
    later = START + LATENCY_NS
    held.step(later, 98.5, at_price(98.5))
    assert (held.account.size(MARKET) > before) is grows


def test_it_opens_a_share_where_only_a_share_may_be_entered_and_the_rest_later() -> None:
    held = bot()
    held.hear(START - LATENCY_NS, postures=(posture(entry_share={SYMBOL: 0.25}),))
    held.step(START, 100.0, BOOK)
    quarter = held.account.size(MARKET)
    held.hear(START, postures=(posture(version=2),))
    held.step(START + LATENCY_NS, 100.0, BOOK)
    assert held.account.size(MARKET) == pytest.approx(4.0 * quarter, rel=0.05)


def test_a_posture_that_is_older_loosens_nothing() -> None:
    held = opened()
    held.hear(START, postures=(posture(version=2, max_size={SYMBOL: 1.0}), posture(version=1)))
    held.step(START + LATENCY_NS, 100.0, BOOK)
    assert held.account.size(MARKET) == pytest.approx(1.0)


def test_its_stop_fires_where_it_was_moved_to() -> None:
    held = opened(buys_dips=True)
    assert held.stop == pytest.approx(92.0)
    held.hear(
        START, postures=(posture(stops={SYMBOL: StopRule(stop_price=90.0)}, entries={"*": Entries.HALTED}),)
    )
    held.step(START + LATENCY_NS, 97.0, at_price(97.0))
    assert held.stop == 90.0
    held.step(START + 2 * LATENCY_NS, 91.0, at_price(91.0))
    assert held.account.size(MARKET) > 0.0
    held.step(START + 3 * LATENCY_NS, 89.9, at_price(89.9))
    assert held.account.size(MARKET) == 0.0


def test_without_a_book_nothing_is_done_until_there_is_one() -> None:
    held = bot()
    held.step(START, 100.0, None)
    assert held.account.size(MARKET) == 0.0
    assert held.is_busy
    held.step(START + NS_PER_S, 100.0, BOOK)
    assert held.account.size(MARKET) > 0.0


def test_a_dip_buyer_adds_takes_profit_rests_and_begins_anew() -> None:
    held = opened(buys_dips=True)
    sizes = [held.account.size(MARKET)]
    for second, price in enumerate((98.9, 97.9, 101.5), start=1):
        held.step(START + second * NS_PER_S, price, at_price(price))
        sizes.append(held.account.size(MARKET))
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[3] == 0.0
    held.step(START + 300 * NS_PER_S, 101.5, at_price(101.5))
    assert held.account.size(MARKET) == 0.0
    held.step(START + 700 * NS_PER_S, 101.5, at_price(101.5))
    assert held.account.size(MARKET) > 0.0


def test_what_is_sent_to_others_is_not_heard() -> None:
    held = opened()
    other = posture(max_size={SYMBOL: 0.0})
    held.hear(
        START,
        postures=(
            PublishPosture(
                posture=type(other.posture)(**_with(other, bot="else")), tightens=True, changed=True
            ),
        ),
    )
    assert not held.is_busy


def _with(published: PublishPosture, **changes: Any) -> dict[str, Any]:
    fields = {name: getattr(published.posture, name) for name in published.posture.__struct_fields__}
    return fields | changes


def test_where_it_is_quiet_nothing_would_be_done() -> None:
    held = opened(buys_dips=True)
    held.step(START + NS_PER_S, 100.0, BOOK)
    low, high, _ = held.quiet
    before = held.account.size(MARKET)
    for price in (low + 0.01, high - 0.01):
        held.step(START + 2 * NS_PER_S, price, at_price(price))
    assert held.account.size(MARKET) == before
    held.step(START + 3 * NS_PER_S, low, at_price(low))
    assert held.account.size(MARKET) > before
    assert len(held.traded) == 2
