"""What the guard says of itself and of the markets on its status topics, from the state. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import structs

from guard.desired import Desired, Limits
from guard.findings import Finding, Reason, Subject
from guard.forecasts import HORIZONS_S, MOVES, QUANTILES, Direction, MarketOutlook
from guard.ladder import Rung, rung_of
from guard.market.book import Side
from guard.market.view import BookTrust
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds, ms_of, symbol_of, venue_of
from perpguard_sdk.messages import GuardState as GuardStateMessage
from perpguard_sdk.messages import GuardStatus, Signal

SIGNAL_BAND_BPS = 100.0

_WITHIN, _MOVE, _FAR = HORIZONS_S.index(900), MOVES.index(0.05), QUANTILES.index(0.90)

CAPABILITIES = ("pause", "resume", "cut_leverage", "widen_stops", "paper", "signed")

PROBLEM_REASONS = frozenset(
    {
        Reason.STALE_DATA,
        Reason.BOOK_UNUSABLE,
        Reason.ACCOUNT_UNKNOWN,
        Reason.LIQUIDATION_UNKNOWN,
        Reason.COMMAND_FAILED,
        Reason.COVERED_BY_OTHERS,
        Reason.ROUTES_ENDED,
        Reason.BOT_SILENT,
        Reason.BOT_CLOCK_OFFSET,
        Reason.MESSAGE_REFUSED,
        Reason.BROKER_DOWN,
        Reason.AUDIT_DOWN,
        Reason.OVERLOADED,
        Reason.SETTINGS_REFUSED,
        Reason.CLOCK_OFFSET,
        Reason.DISK_SHORT,
        Reason.POLICY_RAISED,
        Reason.FLATTEN_WAITS,
    }
)
"""Reasons for which the guard itself is worse off than it should be, not the market."""


PROBLEMS_MAX = 50
"""Told on the status topic: hundreds of markets may be stale at once, and the message is retained."""


def guard_state(
    state: GuardState,
    findings: Iterable[Finding],
    now: Nanoseconds,
    missing: str = "",
    wanted: Desired | None = None,
) -> GuardStateMessage:
    """Return the retained status message: deciding, or degraded by the problems it lists.

    ``missing`` is what the guard has not seen yet since it started, ``wanted`` what every bot may do.
    """
    findings = tuple(findings)
    problems = tuple(sorted({_problem(finding) for finding in findings if finding.reason in PROBLEM_REASONS}))
    if missing:
        problems = (*problems, f"not ready yet: {missing}")
    if len(problems) > PROBLEMS_MAX:
        more = len(problems) - PROBLEMS_MAX
        problems = (*problems[:PROBLEMS_MAX], f"and {more} more; the metrics count all of them")
    return GuardStateMessage(
        guard=state.guard,
        state=GuardStatus.DEGRADED if problems else GuardStatus.DECIDING,
        epoch=state.epoch,
        session=state.session,
        ts=ms_of(now),
        mode=state.mode,
        capabilities=CAPABILITIES,
        problems=problems,
        instructions=tuple(sorted(_told(each) for each in findings if each.reason is Reason.INSTRUCTED)),
        rungs={bot: rung for bot, limits in (wanted or {}).items() if (rung := _highest(limits.values()))},
    )


def with_status(message: GuardStateMessage, status: GuardStatus) -> GuardStateMessage:
    """The same message with another status."""
    return structs.replace(message, state=status)


def signals(
    state: GuardState, now: Nanoseconds, markets: Iterable[MarketId] | None = None
) -> Iterator[Signal]:
    """Yield one signal for each of ``markets`` (all, if not told); what is not known is ``None``, never calm."""
    for market in tuple(state.markets) if markets is None else markets:
        view = state.markets.get(market)
        if view is None:
            continue
        trusted = view.trust(now) is BookTrust.TRUSTED
        bid, ask = view.depth_usd(Side.BID, SIGNAL_BAND_BPS), view.depth_usd(Side.ASK, SIGNAL_BAND_BPS)
        outlook = state.outlook.of(market)
        yield Signal(
            venue=venue_of(market),
            symbol=symbol_of(market),
            ts=ms_of(now),
            spread_bps=view.spread_bps if trusted else None,
            depth_bid_usd=bid.value if trusted and bid is not None else None,
            depth_ask_usd=ask.value if trusted and ask is not None else None,
            depth_z=view.depth_z(Side.BID) if trusted else None,
            **({} if outlook is None else _estimated(outlook)),
        )


def _estimated(outlook: MarketOutlook) -> dict[str, Any]:
    """What a signal tells of an outlook; what is not known is left out."""
    down, up = (outlook.hazard(direction) for direction in Direction)
    near, far = (outlook.reach(direction) for direction in Direction)
    longs, shorts = (outlook.map(direction) for direction in Direction)
    return {
        "hazard": None if down is None else down.probability[_WITHIN][_MOVE],
        "hazard_up": None if up is None else up.probability[_WITHIN][_MOVE],
        "reach_bps": None if near is None else near.quantiles[_FAR] * BPS_PER_UNIT,
        "reach_up_bps": None if far is None else far.quantiles[_FAR] * BPS_PER_UNIT,
        "forced_usd": None if longs is None else longs.within[_MOVE].usd,
        "forced_up_usd": None if shorts is None else shorts.within[_MOVE].usd,
        "regime": None if outlook.regime is None else outlook.regime.value,
        "oi_depth": outlook.oi_depth_ratio,
    }


def _highest(limits: Iterable[Limits]) -> str:
    """The highest rung in force, empty for none."""
    rung = max((rung_of(each) for each in limits), key=lambda each: each.height, default=Rung.ADVISE)
    return "" if rung is Rung.ADVISE else rung.value


def _told(finding: Finding) -> str:
    """One line about what a human told: what, by whom, why and how long."""
    said = {each.name: str(each.value) for each in finding.evidence}
    what = f"{said['kind']}{_named(finding.subject)}"
    about = f" of {said['about']}" if "about" in said else ""
    until = finding.counterfactual.rpartition("after ")[2]
    return f"{what}{about} by {said['told by']}: {said['because']}; until {until}"


def _problem(finding: Finding) -> str:
    """One line for the state topic: the reason, its subject and its first piece of evidence."""
    about = f"{finding.reason}{_named(finding.subject)}"
    if not finding.evidence:
        return about
    shown = finding.evidence[0]
    if isinstance(shown.value, str):
        return f"{about}: {shown.name}: {shown.value}"
    return f"{about}: {shown.name} {shown.value} {shown.unit}"


def _named(subject: Subject) -> str:
    named = (subject.bot, subject.account, subject.market, subject.venue)
    names = [name for name in named if name is not None]
    return f" ({', '.join(names)})" if names else ""
