"""Collateral that loses its peg: on one venue that is the venue's affair, on all of them it is the collateral's.

A real daemon on a real broker reads, with unmodified ccxt, a loopback venue whose account holds three legs on a
stablecoin that bears interest, and three venues on which that coin is traded. What it made of it is in its audit.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.simulation import Fault, FaultKind, LoopbackSpot, LoopbackVenue, VenueAccountSpec
from adapters.simulation.ledger import PositionSide
from guard.account.risk import AccountRisk, HoldingRisk
from guard.findings import Reason, Severity
from perpguard_sdk.messages import Entries
from tests.support.assessed import Assessments, check_legs, check_price, code_of, is_settled
from tests.support.hand_market import HandMarket
from tests.support.stage import READY_S, ground
from tests.support.together import Note, together

pytestmark = pytest.mark.acceptance

VENUE = "binanceusdm"
NAME = "carol"
COIN = "USDE"
HELD = 20_000.0
HAIRCUT = 0.01
"""What the venue leaves away of the coin, always."""
HAIRCUT_RAISED = 0.3
DEPEGGED = 0.7
TIGHTER = 10.0
CAROL = VenueAccountSpec(NAME, f"key-{NAME}", f"secret-{NAME}", 10_000.0, 20, collateral={COIN: HELD})
DORA = VenueAccountSpec("dora", "key-dora", "secret-dora", 10_000.0, 20, hedged=True)
PAIR = {PositionSide.LONG: 2.0, PositionSide.SHORT: -1.0}
"""What the other account holds of the first market: a long and a short position at once, which fail together."""
LEGS = {"BTCUSDT": 2.0, "ETHUSDT": -20.0, "YFIUSDT": 15.0}
"""Long 120,000, short 60,000, long 90,000 USD on less than 30,000."""
HEDGE, HEDGE_RANK = "ETHUSDT", 2
CREDIT = 0.5 * (1.0 - HEDGE_RANK / 4)
"""Half of a hedge is counted on at most, less the nearer it is to being deleveraged."""
SCALES = {"ETHUSDT": 0.05, "YFIUSDT": 0.1}
REFERENCES = ("binance", "bybit", "okx")


@together
async def test_a_depeg_there_brings_liquidation_nearer_and_one_everywhere_is_a_haircut(
    tmp_path: Path, note: Note
) -> None:
    """First on that venue alone, which liquidates by its own price; then on all of them."""
    async with scene(tmp_path) as here:
        calm = await here.assessed(is_whole, "a whole first assessment")
        at_par = holding(calm)
        assert at_par.venue_usd == pytest.approx(1.0, abs=1e-3)
        assert at_par.reference_usd == pytest.approx(1.0, abs=1e-3)
        assert at_par.parts["venue"] == pytest.approx(HAIRCUT, abs=1e-6)
        assert at_par.parts["depeg"] < 0.005
        assert at_par.haircut == max(at_par.parts.values()) < 0.1
        here.check_legs(calm)

        here.venue.set_asset_price(COIN, DEPEGGED)
        here.spots["binance"].set_price(COIN, DEPEGGED)
        there = await here.assessed(
            lambda risk: is_whole(risk) and is_near(holding(risk).venue_usd, DEPEGGED),
            "an assessment with the venue's new price",
        )

        assert holding(there).reference_usd == pytest.approx(1.0, abs=1e-3), "the price over venues stands"
        assert holding(there).parts["depeg"] < 0.005
        assert holding(there).haircut == pytest.approx(at_par.haircut, abs=0.02)
        lost_usd = HELD * (1.0 - DEPEGGED)
        assert fallen(calm.venue_equity_usd, there.venue_equity_usd) == pytest.approx(
            lost_usd * (1.0 - HAIRCUT), rel=0.01
        )
        assert there.equity_usd == pytest.approx(calm.equity_usd, rel=0.01)
        here.check_legs(there)
        for before, after in pairs(calm, there):
            assert after.venue_distance_bps < before.venue_distance_bps * 0.95
            assert after.own_distance_bps == pytest.approx(before.own_distance_bps, rel=0.05)
            assert after.distance_bps == after.venue_distance_bps
            note(f"at par: the account fails {before.direction} after, bps", before.distance_bps)
            note(f"depegged there: it fails {after.direction} after, bps", after.distance_bps)

        for spot in here.spots.values():
            spot.set_price(COIN, DEPEGGED)
        everywhere = await here.assessed(
            lambda risk: is_whole(risk) and is_near(holding(risk).reference_usd, DEPEGGED),
            "an assessment with the new price over venues",
        )

        assert holding(everywhere).haircut >= 0.299
        assert holding(everywhere).parts["depeg"] == pytest.approx(1.0 - DEPEGGED, abs=0.005)
        assert fallen(calm.equity_usd, everywhere.equity_usd) > lost_usd * 0.95
        assert everywhere.venue_equity_usd == pytest.approx(there.venue_equity_usd, rel=0.01)
        for before, after in pairs(there, everywhere):
            assert after.own_distance_bps < before.own_distance_bps * 0.95
            assert after.venue_distance_bps == pytest.approx(before.venue_distance_bps, rel=0.05)
            note(f"depegged everywhere: it fails {after.direction} after, bps", after.distance_bps)

        here.check_pair(await here.assessed(lambda risk: bool(risk.legs), "the hedged pair", of=DORA.name))
        assert await here.audit.daemon.terminate() == 0
        assert (await here.audit.site.verdict()).ok


@together
async def test_a_venue_that_asks_for_more_and_counts_less_is_found_out(tmp_path: Path) -> None:
    """What it demands is read again and again; what it makes of the account is assessed with it."""
    async with scene(tmp_path) as here:
        calm = await here.assessed(is_whole, "a whole first assessment")

        here.venue.misbehave(Fault(kind=FaultKind.TIGHTEN, maintenance_ratio=TIGHTER))
        tight = await here.assessed(
            lambda risk: (
                is_whole(risk) and (risk.maintenance_usd or 0.0) > (calm.maintenance_usd or 0.0) * 9.0
            ),
            "an assessment with the new brackets",
        )

        here.check_legs(tight)
        for before, after in pairs(calm, tight):
            assert after.distance_bps < before.distance_bps * 0.95
        raised = await here.audit.found(Reason.MARGIN_RAISED, len(LEGS) + 1)
        assert {
            (code_of(each.subject.market), each.subject.account) for each in raised if each.subject.market
        } == {
            *((code, f"{VENUE}:{NAME}") for code in LEGS),
            ("BTCUSDT", f"{VENUE}:{DORA.name}"),
        }
        worst = next(each for each in raised if each.subject.account == f"{VENUE}:{NAME}")
        assert (worst.severity, worst.limit.entries) == (Severity.ACT, Entries.REDUCE_ONLY)

        here.venue.set_haircut(COIN, HAIRCUT_RAISED)
        short = await here.assessed(
            lambda risk: is_whole(risk) and is_near(holding(risk).parts["venue"], HAIRCUT_RAISED),
            "an assessment with the new haircut",
        )

        assert holding(short).haircut == pytest.approx(HAIRCUT_RAISED)
        here.check_legs(short)
        (counted,) = await here.audit.found(Reason.HAIRCUT_RAISED, 1)
        assert counted.subject.account == f"{VENUE}:{NAME}", "the other account holds none of it"


# The stage


@dataclass(slots=True)
class Scene:
    """A daemon, the venue that it guards an account on, and the venues that it compares."""

    audit: Assessments
    venue: LoopbackVenue
    spots: dict[str, LoopbackSpot]

    async def assessed(
        self, is_it: Callable[[AccountRisk], bool], what: str, *, of: str = NAME
    ) -> AccountRisk:
        return await self.audit.until(f"{VENUE}:{of}", is_it, what)

    def check_legs(self, risk: AccountRisk) -> None:
        """As the venue has them; and how far the whole account is from failing as worked out by hand."""
        check_legs(risk, self.venue, NAME)
        state = self.venue.account_state(NAME)
        maintenance = float(state.maintenance_usdt)
        assert risk.maintenance_usd == pytest.approx(maintenance, rel=1e-3)
        ranks = {code_of(leg.market): leg.adl_rank for leg in risk.legs}
        assert ranks[HEDGE] == HEDGE_RANK / 4
        # Of what the short gains a part is counted on, and no leg leaves its bracket on the way.
        marks = {position.symbol: float(position.mark_price) for position in state.positions}
        falls = sum(max(size, CREDIT * size) * marks[code] for code, size in LEGS.items())
        share = (float(state.equity_usdt) - maintenance) / (falls - maintenance)
        down = next(each for each in risk.stress if each.direction == "common down")
        assert down.venue_distance_bps == pytest.approx(10_000.0 * share, rel=2e-3)

    def check_pair(self, risk: AccountRisk) -> None:
        """Both sides of a hedged pair are one leg, with the one price that the venue tells of both."""
        (leg,) = risk.legs
        (price,) = {float(each.liquidation_price) for each in self.venue.account_state(DORA.name).positions}
        assert (leg.size, leg.gross_size) == (sum(PAIR.values()), sum(map(abs, PAIR.values())))
        check_price(leg, price)


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """The account holds its three legs; the daemon runs."""
    market = HandMarket(symbols=tuple(LEGS), scales=SCALES)
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(ground(folder))
        venue = await stack.enter_async_context(LoopbackVenue(market, accounts=[CAROL, DORA]))
        spots = {
            exchange: await stack.enter_async_context(
                LoopbackSpot(exchange, {COIN: 1.0, "USDC": 1.0, "BTC": market.price})
            )
            for exchange in REFERENCES
        }
        for code, size in LEGS.items():
            venue.trade(NAME, code, size)
        venue.set_adl_rank(NAME, HEDGE, HEDGE_RANK)
        for side, size in PAIR.items():
            venue.trade(DORA.name, next(iter(LEGS)), size, side)
        site = await here.site("home", [NAME, DORA.name])
        daemon = site.daemon(venues=[guarded(venue)], **compared(spots))
        await site.start(daemon)
        # Only then is there an audit to read.
        await site.tap.expect_guard(lambda said: said.epoch > 0, within_s=READY_S)
        yield Scene(Assessments(site, daemon), venue, spots)


def guarded(venue: LoopbackVenue) -> dict[str, Any]:
    return {
        "id": VENUE,
        "symbols": [f"{code[:-4]}/USDT:USDT" for code in LEGS],
        "urls": venue.ccxt_urls(),
        "sample_ms": 200,
        "account_poll_s": 0.5,
        "orders_poll_s": 2.0,
        "rate_limit": False,
        "margin_terms_poll_s": 0.5,
        "accounts": {
            name: {"api_key_file": f"{name}.api_key", "api_secret_file": f"{name}.api_secret"}
            for name in (NAME, DORA.name)
        },
    }


def compared(spots: dict[str, LoopbackSpot]) -> dict[str, Any]:
    urls = {exchange: spot.ccxt_urls() for exchange, spot in spots.items()}
    return {"collateral": {"prices": {"venues": [*urls], "urls": urls, "poll_s": 0.5, "rate_limit": False}}}


# What is seen


def is_whole(risk: AccountRisk) -> bool:
    """Whether nothing of the account is missing."""
    return (
        is_settled(risk, len(LEGS))
        and {held.asset for held in risk.holdings} >= {"USDT", COIN}
        and holding(risk).reference_usd is not None
        and holding(risk).venue_usd is not None
        and any(stress.distance_bps is not None for stress in risk.stress)
    )


def holding(risk: AccountRisk) -> HoldingRisk:
    return next(held for held in risk.holdings if held.asset == COIN)


def is_near(value: float | None, wanted: float) -> bool:
    return value is not None and abs(value - wanted) < 1e-3


def fallen(before: float | None, after: float | None) -> float:
    assert before is not None
    assert after is not None
    return before - after


@dataclass(frozen=True, slots=True)
class Distances:
    """How far one pool is from failing along one direction, where it fails at all."""

    direction: str
    distance_bps: float
    venue_distance_bps: float
    own_distance_bps: float


def pairs(before: AccountRisk, after: AccountRisk) -> list[tuple[Distances, Distances]]:
    """The directions along which the account fails before and after: along none does it hold for ever then."""
    was, now = distances(before), distances(after)
    assert was
    assert was.keys() <= now.keys()
    return [(was[key], now[key]) for key in was]


def distances(risk: AccountRisk) -> dict[tuple[str, str], Distances]:
    return {
        (each.pool, each.direction): Distances(
            each.direction, each.distance_bps, each.venue_distance_bps, each.own_distance_bps
        )
        for each in risk.stress
        if each.distance_bps is not None
        and each.venue_distance_bps is not None
        and each.own_distance_bps is not None
    }
