"""Decisions and twins kept side by side, each movement entered in both: what one says the other has to say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.bill import seen
from guard.bill.decision import PAYS_IN_COINS, PRICE_UNKNOWN, Decision
from guard.bill.settings import BillSettings
from guard.bill.totals import Totals
from guard.bill.twin import Twin
from guard.billed import BillEnd, BillKind, BillLine
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, AccountId, MarketId, Nanoseconds

LINES_MAX = 256
"""Lines kept for the record between two looks; of more only the rows know."""


@dataclass(slots=True)
class Books:
    """See the module.

    Attributes:
        settings: what trades are taken to cost.
        decisions: those that are open, oldest first, by id.
        twins: one for each account that the guard ever acted on.
        run: decisions that ended, since the bill was begun, and
        today: since the UTC day was.
        residual_usd: what twins and decisions differ by where nothing is open: rounding, and nothing else.
        lines: decisions that ended and were not recorded yet.
        changed: whether anything was entered since ``changed`` was last set back.
    """

    settings: BillSettings
    decisions: dict[str, Decision] = field(default_factory=dict)
    twins: dict[AccountId, Twin] = field(default_factory=dict)
    run: Totals = field(default_factory=Totals)
    today: Totals = field(default_factory=Totals)
    residual_usd: float = 0.0
    lines: list[BillLine] = field(default_factory=list)
    changed: bool = False

    def conserved_usd(self, account: AccountId, state: GuardState) -> tuple[float, float]:
        """The guarded side's equity less its twin's: by double entry, and by the decisions. Only rounding differs."""
        twin = self.twins.get(account)
        if twin is None:
            return 0.0, 0.0
        marks = {market: seen.mark_of(state, market) or 0.0 for market in twin.extra}
        mine = [each for each in self.decisions.values() if each.line.account == account]
        open_usd = sum(each.at(marks.get(each.line.market), state.now).net_usd for each in mine)
        return twin.guarded_more_usd(marks), twin.booked_usd + open_usd

    # ---------------------------------------------------------------- the twin's liquidation

    def judge_twin(self, account: AccountId, at: Nanoseconds, state: GuardState) -> None:
        """Liquidate a twin that has not the margin left that its venue demands."""
        mine = [each for each in self.decisions.values() if each.line.account == account and each.left]
        marks = {each.line.market: seen.mark_of(state, each.line.market) for each in mine}
        known = {market: mark for market, mark in marks.items() if mark is not None}
        if len(known) != len(marks):
            return
        modelled = any(each.line.modelled for each in mine)
        crossed = [each for each in mine if not seen.is_isolated(state, account, each.line.market)]
        if crossed and not modelled:
            extra: dict[MarketId, float] = {}
            for each in crossed:
                extra[each.line.market] = extra.get(each.line.market, 0.0) + each.left
            more_usd = sum(each.at(known[each.line.market], at).net_usd for each in crossed)
            margin = seen.twin_margin(state, account, extra, known, more_usd)
            if margin is not None:
                if margin.equity_usd <= margin.maintenance_usd:
                    fee = margin.notional_usd * self.settings.liquidation_fee_bps / BPS_PER_UNIT
                    # What is lost beyond its equity is the venue's loss and not the twin's.
                    self._liquidate(crossed, min(fee, margin.equity_usd), known, at, state)
                mine = [each for each in mine if each not in crossed]
        for market, mark in known.items():
            group = [each for each in mine if each.line.market == market]
            # What was known before the first of them: later ones know only where the smaller position is liquidated.
            price = next(
                (each.liquidation_price for each in group if each.liquidation_price is not None), None
            )
            if group and seen.is_through(group[0].line, mark, price):
                size = seen.size_held(state, account, market) or 0.0
                whole = size if modelled else size + sum(each.left for each in group)
                fee = abs(whole) * mark * self.settings.liquidation_fee_bps / BPS_PER_UNIT
                self._liquidate(group, fee, known, at, state)

    def _liquidate(
        self,
        mine: list[Decision],
        taken_usd: float,
        marks: dict[MarketId, float],
        at: Nanoseconds,
        state: GuardState,
    ) -> None:
        """The twin is closed by its venue; what that takes is shared by what each decision had kept from it."""
        weights = [abs(each.left) * marks[each.line.market] for each in mine]
        total = sum(weights)
        for each, weight in zip(mine, weights, strict=True):
            share = taken_usd * weight / total
            each.liquidated(share)
            self.twins[each.line.account].pay(share)
            self.meet(each, each.left, state, at, end=None, pays=0.0)
            self.end(each, BillEnd.LIQUIDATED, at)

    # ---------------------------------------------------------------- the two entries of the books

    def part(self, decision: Decision, size: float, state: GuardState, *, enters: bool = False) -> None:
        """The twin holds ``size`` more from now on: the guarded side sold it, or did not buy it (``enters``)."""
        market = decision.line.market
        mark = seen.mark_of(state, market)
        if PAYS_IN_COINS in decision.line.missing:
            return  # size times price is no money there: nothing of it may get into a sum
        if mark is None:
            decision.misses(PRICE_UNKNOWN)
            return
        fees, slippage = self._costs(decision, size if not enters else -size, mark, state)
        sign = -1.0 if enters else 1.0
        decision.part(size, mark, sign * fees, sign * slippage)
        self.twins[decision.line.account].part(market, size, mark, paid_usd=sign * (fees + slippage))
        self.changed = True

    def meet_own(
        self, decision: Decision, share: float, end: BillEnd, state: GuardState, at: Nanoseconds
    ) -> None:
        """The trader closes: the twin closes as much of what it holds more, and pays for that what we did before."""
        self.meet(decision, decision.left * min(share, 1.0), state, at, end=end, pays=-1.0)

    def meet(
        self,
        decision: Decision,
        size: float,
        state: GuardState,
        at: Nanoseconds,
        *,
        end: BillEnd | None,
        pays: float,
    ) -> None:
        """Both hold the same of ``size`` again; ``pays``: 1 the guarded side for a trade, -1 the twin, 0 nobody."""
        market = decision.line.market
        mark = seen.mark_of(state, market) or decision.price
        assert mark is not None, "what was parted had a price"
        fees = slippage = 0.0
        if pays:
            # The guarded side buys what it had sold; the twin sells what it still had.
            fees, slippage = self._costs(decision, -size if pays > 0.0 else size, mark, state)
        decision.meet(size, mark, pays * fees, pays * slippage)
        self.twins[decision.line.account].meet(market, size, mark, paid_usd=pays * (fees + slippage))
        self.changed = True
        if end is not None and decision.left == 0.0 and decision.asked is None and not blocks(decision):
            self.end(decision, end, at)

    def _costs(
        self, decision: Decision, closed: float, mark: float, state: GuardState
    ) -> tuple[float, float]:
        """Fees and slippage of a trade that closes ``closed`` (signed as the position), as the book stands."""
        fees = abs(closed) * mark * self.settings.taker_fee_bps / BPS_PER_UNIT
        slippage = seen.slippage_usd(state, decision.line.market, closed)
        if slippage is None:
            decision.misses("slippage: the book was not to be seen")
        return fees, slippage or 0.0

    def settle(self, decision: Decision, end: BillEnd, state: GuardState, at: Nanoseconds) -> None:
        """From here on it is the trader's choice what he holds; a modelled account goes back to the real one."""
        if decision.left:
            pays = 1.0 if decision.line.modelled else 0.0
            self.meet(decision, decision.left, state, at, end=None, pays=pays)
        self.end(decision, end, at)

    def end(self, decision: Decision, end: BillEnd, at: Nanoseconds) -> None:
        line = decision.ended(end, at)
        self.decisions.pop(line.decision, None)
        self.run.add(line)
        self.today.add(line)
        twin = self.twins[line.account]
        twin.booked_usd += line.net_usd
        if not any(each.line.account == line.account for each in self.decisions.values()):
            twin.seen.clear()
        if len(self.lines) < LINES_MAX:
            self.lines.append(line)
        self.changed = True
        self.residual_usd = sum(
            each.guarded_more_usd({}) - each.booked_usd for each in self.twins.values() if not each.extra
        )

    def left(self, account: AccountId, market: MarketId, *, modelled: bool) -> float:
        return sum(
            each.left
            for each in self.decisions.values()
            if is_of(each, account, market) and each.line.modelled is modelled
        )


def is_of(decision: Decision, account: AccountId, market: MarketId) -> bool:
    """Whether a decision is about a market of an account."""
    return decision.line.account == account and decision.line.market == market


def blocks(decision: Decision) -> bool:
    """Whether it keeps entries back now."""
    return decision.line.kind is BillKind.RESTRICTION and decision.ends_at is None
