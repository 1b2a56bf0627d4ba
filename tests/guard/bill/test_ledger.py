"""What a decision saved and cost, worked out by hand, in a closed loop of the real engine."""

from __future__ import annotations

import pytest

from guard.audit import decode_record, encode_record
from guard.bill import seen
from guard.bill.ledger import OPEN_MAX, Ledger
from guard.bill.settings import BillSettings
from guard.billed import BillEnd, BillKind, BillLine, BillVerdict
from guard.margin_terms import ContractKind
from guard.units import BotId, MarketId
from perpguard_sdk.messages import Entries, Mode
from tests.support.billed_guard import SETTINGS, BilledGuard, slippage_usd, trade_cost_usd
from tests.support.builders import ACCOUNT, MARKET, SYMBOL, finding, flat_terms

CUT = finding(max_size=4.0, account=ACCOUNT)
SETTLED_S = 60.0
"""The arbiter loosens slowly, and then there is the settle time."""


def cut_of(guard: BilledGuard) -> str:
    assert guard.cuts, "a scene in which nothing is cut proves nothing"
    return guard.cuts[0].id


def test_a_cut_before_a_fall_saves_what_the_twin_loses() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    assert guard.size == 4.0
    guard.live(5.0, price=90.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)

    line = guard.line(cut_of(guard))
    assert (line.verdict, line.ended_by, line.policy) == (BillVerdict.PAID_OFF, BillEnd.SETTLED, "test")
    assert line.size == pytest.approx(6.0)
    assert line.saved_usd == pytest.approx(6.0 * 10.0)
    assert line.fees_usd == pytest.approx(6.0 * 100.0 * 5e-4)
    assert line.slippage_usd == pytest.approx(slippage_usd(-6.0, 100.0))
    assert line.missed_usd == 0.0
    assert line.net_usd == pytest.approx(60.0 - 0.3 - slippage_usd(-6.0, 100.0))


def test_a_false_alarm_costs_both_trades_and_what_was_missed() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.live(5.0, price=102.0)
    guard.policy.findings = []
    guard.live(15.0)
    guard.trade(6.0)
    guard.live(5.0)

    line = guard.line(cut_of(guard))
    assert (line.verdict, line.ended_by) == (BillVerdict.FALSE_ALARM, BillEnd.RETURNED)
    assert line.saved_usd == 0.0
    assert line.missed_usd == pytest.approx(6.0 * 2.0)
    assert line.fees_usd == pytest.approx(6.0 * 100.0 * 5e-4 + 6.0 * 102.0 * 5e-4)
    assert line.slippage_usd == pytest.approx(slippage_usd(-6.0, 100.0) + slippage_usd(6.0, 102.0))
    assert line.cost_usd == pytest.approx(12.0 + trade_cost_usd(-6.0, 100.0) + trade_cost_usd(6.0, 102.0))
    (row,) = guard.ledger.books.run.rows
    assert (row.false_alarms, row.commands, row.paid_off) == (1, 1, 0)
    # The guarded account, and one that had gone on with 10 from the start: no word of the ledger is in this.
    assert guard.worth is not None
    assert guard.worth - (1_000.0 + 10.0 * 2.0) == pytest.approx(line.net_usd)


def test_a_short_is_billed_the_other_way_round() -> None:
    guard = BilledGuard(size=-10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.live(5.0, price=110.0)
    line = guard.line(cut_of(guard))
    assert line.size == pytest.approx(-6.0)
    assert line.saved_usd == pytest.approx(60.0)
    assert line.verdict is BillVerdict.OPEN


def test_a_trader_who_closes_pays_once_as_the_twin_does() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.trade(-4.0)
    guard.live(5.0)
    line = guard.line(cut_of(guard))
    assert line.ended_by is BillEnd.CLOSED
    assert line.fees_usd == pytest.approx(0.0)
    assert line.cost_usd == pytest.approx(0.0)


def test_half_of_the_rest_closed_is_half_of_what_the_twin_holds_more() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.trade(-2.0)
    guard.live(5.0)
    guard.live(5.0, price=90.0)
    assert guard.line(cut_of(guard)).saved_usd == pytest.approx(3.0 * 10.0)


@pytest.mark.parametrize("equity_known", [True, False], ids=["by its equity", "by the price told before"])
def test_a_liquidation_of_the_twin_is_saved(equity_known: bool) -> None:
    guard = BilledGuard(size=50.0, equity_usd=1_000.0 if equity_known else None, liquidation_price=80.8)
    guard.feed(flat_terms(MARKET, ratio=0.01))
    guard.policy.findings = [finding(max_size=10.0, account=ACCOUNT)]
    guard.live(5.0)
    guard.liquidation_price = 5.0
    guard.live(5.0, price=82.0)
    assert guard.line(cut_of(guard)).verdict is BillVerdict.OPEN
    guard.live(1.0, price=80.5)

    line = guard.line(cut_of(guard))
    assert (line.ended_by, line.verdict) == (BillEnd.LIQUIDATED, BillVerdict.PAID_OFF)
    fee = 50.0 * 80.5 * 50e-4
    # 50 from 100 to 80.5 leaves 25 of 1,000: the venue takes its fee, and the twin has no more to lose.
    left = fee if not equity_known else 1_000.0 - 50.0 * 19.5
    assert line.liquidation_usd == pytest.approx(min(fee, left), rel=1e-6)
    assert line.saved_usd == pytest.approx(40.0 * 19.5 + line.liquidation_usd)


def test_a_twin_loses_no_more_than_it_has() -> None:
    guard = BilledGuard(size=50.0, equity_usd=1_000.0)
    guard.feed(flat_terms(MARKET, ratio=0.01))
    guard.policy.findings = [finding(max_size=10.0, account=ACCOUNT)]
    guard.live(5.0)
    guard.live(1.0, price=70.0)  # a gap: 1,500 lost of 1,000
    line = guard.line(cut_of(guard))
    assert line.ended_by is BillEnd.LIQUIDATED
    assert line.liquidation_usd == pytest.approx(1_000.0 - 50.0 * 30.0)
    # What the guarded account has left is what it has more than a twin that has nothing.
    assert guard.worth == pytest.approx(line.net_usd)


def test_what_nobody_obeys_is_modelled_at_the_price_after_the_latency() -> None:
    guard = BilledGuard(size=10.0, bot_mode=Mode.LIVE)
    guard.policy.findings = [CUT]
    guard.live(1.0)
    guard.live(8.0, price=99.0)
    assert guard.size == 10.0
    guard.live(5.0, price=90.0)
    line = guard.line(cut_of(guard))
    assert line.modelled
    assert line.price == pytest.approx(99.0), "a command given at 100 was not obeyed before 2 s had passed"
    assert line.saved_usd == pytest.approx(6.0 * 9.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)
    line = guard.line(line.decision)
    # A modelled account goes back to the real one, and pays for that.
    assert line.fees_usd == pytest.approx(6.0 * 99.0 * 5e-4 + 6.0 * 90.0 * 5e-4)
    assert guard.conserved[0] == pytest.approx(guard.conserved[1])


def test_a_cut_that_nobody_follows_costs_nothing() -> None:
    guard = BilledGuard(size=10.0, obeys=False)
    guard.policy.findings = [CUT]
    guard.live(20.0)
    line = guard.line(cut_of(guard))
    assert (line.verdict, line.ended_by, line.net_usd) == (BillVerdict.NOTHING, BillEnd.NO_EFFECT, 0.0)


def test_what_a_pause_prevented_is_unknown_and_never_free() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(10.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)
    lines = [*guard.lines, *guard.ledger.books.lines]
    (line,) = [each for each in lines if each.kind is BillKind.RESTRICTION and each.policy == "test"]
    assert line.verdict is BillVerdict.UNKNOWN
    assert line.missing
    assert sum(row.unknown for row in guard.ledger.books.run.rows) >= 1


@pytest.mark.parametrize(
    ("after", "verdict"), [(104.0, BillVerdict.FALSE_ALARM), (95.0, BillVerdict.PAID_OFF)]
)
def test_entries_that_a_bot_tells_it_did_not_make_are_billed(after: float, verdict: BillVerdict) -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(5.0)
    guard.withheld = {SYMBOL: 5.0}
    guard.live(1.0)
    guard.policy.findings = []
    guard.live(15.0)
    guard.withheld = {SYMBOL: 0.0}  # it may enter again: nothing is withheld, and what was is settled by time
    guard.live(SETTLED_S, price=after)  # entries are allowed again: what was kept back is counted for a while
    lines = [*guard.lines, *guard.ledger.books.lines]
    (line,) = [each for each in lines if each.kind is BillKind.RESTRICTION and each.policy == "test"]
    assert line.verdict is verdict
    assert line.missed_usd - line.saved_usd == pytest.approx(5.0 * (after - 100.0))
    assert line.fees_usd + line.slippage_usd == pytest.approx(-trade_cost_usd(5.0, 100.0))


def test_a_pause_in_which_nobody_wanted_to_enter_cost_nothing() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(5.0)
    guard.withheld = {SYMBOL: 0.0}
    guard.live(1.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)
    (row,) = [each for each in guard.ledger.books.run.rows if each.policy == "test"]
    assert (row.nothing, row.unknown) == (1, 0)


def restriction(guard: BilledGuard) -> BillLine:
    lines = [*guard.lines, *guard.ledger.books.lines]
    (line,) = [each for each in lines if each.kind is BillKind.RESTRICTION and each.policy == "test"]
    return line


def test_what_is_withheld_is_a_level_that_follows_the_strategy_out_again() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(5.0)
    guard.withheld = {SYMBOL: 5.0}
    guard.live(5.0)  # told ten times, and one wish
    guard.live(3.0, price=104.0)
    guard.withheld = {SYMBOL: 0.0}  # it would have taken its profit here
    guard.live(1.0)
    guard.policy.findings = []
    guard.live(SETTLED_S, price=150.0)
    line = restriction(guard)
    assert line.missed_usd == pytest.approx(5.0 * 4.0)
    spared = trade_cost_usd(5.0, 100.0) + trade_cost_usd(5.0, 104.0)
    assert line.fees_usd + line.slippage_usd == pytest.approx(-spared)
    assert line.verdict is BillVerdict.FALSE_ALARM
    assert guard.conserved[0] == pytest.approx(guard.conserved[1])


def test_an_entry_the_other_way_is_billed_to_the_unit() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(5.0)
    guard.withheld = {SYMBOL: 5.0}
    guard.live(2.0)
    guard.withheld = {SYMBOL: -3.0}
    guard.live(2.0, price=102.0)
    (line,) = [each for each in guard.ledger.open_lines(guard.guard.engine.state) if each.policy == "test"]
    assert line.missed_usd == pytest.approx(5.0 * 2.0)
    guard.live(2.0, price=96.0)
    (line,) = [each for each in guard.ledger.open_lines(guard.guard.engine.state) if each.policy == "test"]
    assert line.missed_usd == pytest.approx(5.0 * 2.0 + 3.0 * 6.0)
    assert guard.conserved[0] == pytest.approx(guard.conserved[1])


@pytest.mark.parametrize("then", ["silent", "cannot tell", "another symbol"])
def test_a_bot_that_stops_telling_leaves_the_rest_unknown(then: str) -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(5.0)
    guard.withheld = {SYMBOL: 0.0}
    guard.live(2.0)
    guard.silent = then == "silent"
    guard.withheld = {"ETH/USDT:USDT": 1.0} if then == "another symbol" else None
    guard.live(70.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)
    guard.silent = False
    guard.live(SETTLED_S)
    assert restriction(guard).verdict is BillVerdict.UNKNOWN


def test_a_contract_that_pays_in_coins_is_unknown_and_in_no_sum() -> None:
    guard = BilledGuard(size=10.0, kind=ContractKind.INVERSE, equity_usd=None)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    cut = cut_of(guard)
    assert guard.size == 4.0
    guard.live(5.0, price=80.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)
    line = guard.line(cut)
    assert line.verdict is BillVerdict.UNKNOWN
    assert line.missing
    row = next(each for each in guard.ledger.books.run.rows if each.policy == "test")
    assert (row.unknown, row.saved_usd, row.fees_usd, row.slippage_usd, row.missed_usd) == (
        row.commands + row.restrictions,
        *(0.0,) * 4,
    )
    assert not guard.ledger.books.twins[ACCOUNT].extra


def test_what_pays_in_coins_is_known_before_anything_is_held() -> None:
    state = BilledGuard().guard.engine.state
    symbols = ("BTC/USD:BTC", "BTC/USD:BTC-260327", "ETH/USD:BTC", "BTC/USD:USDC", "BTC/USDT:USDT")
    pay_in_coins = [each for each in symbols if seen.is_inverse(state, ACCOUNT, MarketId(f"v:{each}"))]
    assert pay_in_coins == ["BTC/USD:BTC", "BTC/USD:BTC-260327", "ETH/USD:BTC"]


def test_in_shadow_mode_entries_that_a_pause_would_have_prevented_are_known() -> None:
    guard = BilledGuard(size=10.0, bot_mode=Mode.LIVE)
    guard.policy.findings = [finding(entries=Entries.REDUCE_ONLY, account=ACCOUNT)]
    guard.live(10.0)
    guard.trade(5.0)
    guard.live(5.0)
    guard.live(5.0, price=104.0)
    (line,) = [
        each
        for each in guard.ledger.open_lines(guard.guard.engine.state)
        if each.kind is BillKind.RESTRICTION
    ]
    assert line.missed_usd == pytest.approx(5.0 * 4.0)
    assert line.fees_usd == pytest.approx(-5.0 * 100.0 * 5e-4), "an entry that is not made costs no fee"


def test_funding_that_the_twin_pays_is_saved() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.next_funding_s, guard.funding_rate = guard.seconds + 3.0, 0.001
    guard.live(2.5)
    assert guard.line(cut_of(guard)).funding_usd == 0.0
    guard.live(2.5)
    guard.next_funding_s = guard.seconds + 28_800.0
    guard.live(2.0)
    assert guard.line(cut_of(guard)).funding_usd == pytest.approx(6.0 * 100.0 * 0.001)


def test_an_account_without_a_bot_is_billed_for_advice() -> None:
    guard = BilledGuard(size=10.0)
    guard.guard.engine.state._owners.index({})
    guard.policy.findings = [CUT]
    guard.live(10.0)
    guard.live(5.0, price=95.0)
    (line,) = guard.ledger.open_lines(guard.guard.engine.state)
    assert (line.kind, line.modelled, line.bot) == (BillKind.ADVICE, True, None)
    assert line.saved_usd == pytest.approx(6.0 * 5.0)


def test_a_guard_that_is_started_anew_goes_on_where_the_former_was() -> None:
    whole, halves = BilledGuard(size=10.0), BilledGuard(size=10.0)
    for guard in (whole, halves):
        guard.policy.findings = [CUT]
        guard.live(5.0)
        guard.live(5.0, price=95.0)
    record = halves.ledger.take(halves.guard.engine.state, last=True)
    assert record is not None
    kept = decode_record(encode_record(record))
    assert kept == record
    halves.ledger = Ledger.of(SETTINGS, record.memory)
    for guard in (whole, halves):
        guard.live(5.0, price=103.0)
        guard.policy.findings = []
        guard.live(SETTLED_S)
    assert halves.line(cut_of(halves)) == whole.line(cut_of(whole))
    assert halves.ledger.books.run.rows == whole.ledger.books.run.rows


def test_the_same_events_give_the_same_records() -> None:
    def once() -> list[bytes]:
        guard = BilledGuard(size=10.0)
        guard.policy.findings = [CUT]
        guard.live(20.0)
        guard.live(20.0, price=93.0)
        guard.policy.findings = []
        guard.live(SETTLED_S)
        assert guard.records
        return [encode_record(record) for record in guard.records]

    assert once() == once()


def test_a_utc_day_is_told_when_it_is_over() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.live(5.0, price=90.0)
    guard.policy.findings = []
    guard.live(SETTLED_S)
    guard.seconds += 86_400.0
    guard.live(1.0)
    (day,) = [record.day for record in guard.records if record.day is not None]
    assert day.day == "2025-10-09"
    assert [row.paid_off for row in day.rows if row.commands] == [1]
    assert guard.ledger.books.today.rows == ()


def test_what_is_open_is_bounded_and_nothing_of_it_is_lost() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(5.0)
    guard.live(5.0, price=90.0)
    books, state = guard.ledger.books, guard.guard.engine.state
    wanted = guard.line(cut_of(guard)).net_usd
    for number in range(OPEN_MAX + 5):
        guard.ledger._restrict(BotId("alpha"), f"COIN{number}", "", None, "", state.now, state)
    assert len(books.decisions) == OPEN_MAX
    dropped = [each for each in books.lines if each.ended_by is BillEnd.DROPPED]
    assert sum(each.net_usd for each in dropped) == pytest.approx(wanted)
    assert guard.conserved[0] == pytest.approx(guard.conserved[1])


def test_no_bill_is_kept_where_none_is_wanted() -> None:
    guard = BilledGuard(size=10.0, settings=BillSettings(enabled=False))
    guard.policy.findings = [CUT]
    guard.live(10.0)
    assert guard.size == 4.0
    assert (guard.records, guard.ledger.books.decisions) == ([], {})
