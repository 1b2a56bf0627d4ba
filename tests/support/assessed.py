"""What a daemon's audit says of the accounts that it guards, for tests that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from adapters.simulation import LoopbackVenue
from guard.account.risk import AccountRisk, LegRisk
from guard.audit import Step
from guard.findings import Finding, Reason
from guard.leverage.margin_pool import LiquidationKind
from guard.units import MarketId, symbol_of
from tests.support.eventually import eventually
from tests.support.processes import Program
from tests.support.stage import READY_S, Site


@dataclass(slots=True)
class Assessments:
    """The assessments of one daemon; accounts are named as the guard names them, ``venue:name``."""

    site: Site
    daemon: Program

    async def until(self, account: str, is_it: Callable[[AccountRisk], bool], what: str) -> AccountRisk:
        """Wait until the last assessment of an account in the audit is such a one."""
        last: list[AccountRisk] = []

        async def found() -> list[AccountRisk]:
            assert self.daemon.runs, self.daemon.tail()
            last[:] = (await self.all(account))[-1:]
            return [risk for risk in last if is_it(risk)]

        try:
            (risk,) = await eventually(found, within_s=READY_S, every_s=0.3, what=what)
        except AssertionError as error:
            error.add_note(f"last assessment: {last}\n{self.daemon.tail()}")
            raise
        return risk

    async def all(self, account: str) -> list[AccountRisk]:
        """What the audit holds on an account, in order."""
        return [risk for step in await self._steps() for risk in step.assessed if risk.account == account]

    async def found(self, reason: Reason, count: int) -> list[Finding]:
        """Wait until the audit holds so many findings for a reason, each as it was opened last."""

        async def opened() -> list[Finding]:
            steps = await self._steps()
            found = {each.subject: each for step in steps for each in step.opened if each.reason is reason}
            return list(found.values()) if len(found) >= count else []

        return await eventually(opened, within_s=READY_S, every_s=0.3, what=f"{count} findings of {reason}")

    async def _steps(self) -> list[Step]:
        return [record for record in await self.site.records() if isinstance(record, Step)]


def check_legs(risk: AccountRisk, venue: LoopbackVenue, name: str) -> None:
    """Each leg is what the venue has, liquidated where the venue would; so is the maintenance that they stand on."""
    state = venue.account_state(name)
    told = {position.symbol: position for position in state.positions}
    sizes = {symbol: float(position.amount) for symbol, position in told.items()}
    assert {code_of(leg.market): leg.size for leg in risk.legs} == pytest.approx(sizes)
    for leg in risk.legs:
        price = float(told[code_of(leg.market)].liquidation_price)
        if leg.kind is LiquidationKind.CANNOT:
            assert price == 0.0
        else:
            check_price(leg, price)


def check_price(leg: LegRisk, venues: float) -> None:
    """Ours is the venue's to 2 bps of the mark, and it is said that it is."""
    assert leg.kind is LiquidationKind.PRICE
    assert leg.mark_price is not None
    assert leg.price == pytest.approx(venues, abs=leg.mark_price * 2e-4)
    assert leg.venue_price == pytest.approx(venues)
    assert leg.difference_bps == pytest.approx(0.0, abs=2.0)


def is_settled(risk: AccountRisk, legs: int) -> bool:
    """Whether so many markets are held, nothing that is needed is missing, and all words are of the same moment.

    What a venue demands, what it counts and where it liquidates are asked one by one: just after a change ours may be
    solved from the new while its own price is of the old. Prices that never agree are never settled.
    """
    return (
        not risk.missing
        and len(risk.legs) == legs
        and not any(leg.missing for leg in risk.legs)
        and all(abs(leg.difference_bps or 0.0) <= 2.0 for leg in risk.legs)
    )


def code_of(market: MarketId) -> str:
    """Binance's name of a market, which is the loopback venue's."""
    return symbol_of(market).partition(":")[0].replace("/", "")
