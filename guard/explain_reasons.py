"""The words for reasons: a sentence and a name for each, put for people in this one place. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from guard.findings import Reason

REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.STALE_DATA: "Market data was missing or not fresh, so nobody could know what the market was doing.",
        Reason.BOOK_UNUSABLE: "The order book was crossed, had gaps or was empty, so it could not be believed.",
        Reason.BASELINE_COLD: "It was not known yet what is normal for this market, because too little had been seen.",
        Reason.ACCOUNT_UNKNOWN: "The state of the account could not be seen, so its risk was unknown.",
        Reason.DEPTH_THIN: "The orders resting in the book had become much thinner than is normal for this market: "
        "leaving a position would have moved the price more than usual, and a fall would have met little resistance.",
        Reason.DEPTH_COLLAPSED: "The orders resting in the book had all but vanished: "
        "what falls through such a book falls far.",
        Reason.SPREAD_WIDE: "The distance between best bid and best ask was much wider than is normal: "
        "market makers were withdrawing.",
        Reason.LIQUIDATION_NEAR: "The position was so close to its liquidation price that a shock to the book, as thin "
        "as it was, could have reached it.",
        Reason.LIQUIDATION_UNKNOWN: "The price at which the position would be liquidated was not known, "
        "and not known is never safe.",
        Reason.LIQUIDATION_PRICES_DIFFER: "The venue's liquidation price was not what follows from the account: "
        "one of them was wrong or old, and the nearer one was acted on.",
        Reason.MARGIN_RAISED: "The venue had raised what it demands of positions in this market: what had been far "
        "from liquidation was nearer, without a price having moved.",
        Reason.HAIRCUT_RAISED: "The venue had begun to count less of what stands behind the positions.",
        Reason.COLLATERAL_FALLEN: "What stands behind the positions was not worth what it should be: below its peg, or "
        "valued by the venue below what others trade it at.",
        Reason.COLLATERAL_CORRELATED: "Much of what stands behind the positions falls when they lose.",
        Reason.STOP_IN_THIN_ZONE: "The protective stop rested where the book was so thin that a short wick would have "
        "fired it far from its price.",
        Reason.COMMAND_FAILED: "An earlier command to this bot had not taken effect.",
        Reason.BOT_SILENT: "The bot had not been heard from for too long.",
        Reason.BOT_CLOCK_OFFSET: "The bot's clock was off by more than commands can be timed with.",
        Reason.MESSAGE_REFUSED: "Messages in this bot's name were wrongly signed or malformed.",
        Reason.BROKER_DOWN: "The connection to the MQTT broker was lost.",
        Reason.AUDIT_DOWN: "Decisions could not be written down.",
        Reason.OVERLOADED: "The guard did not keep up with all that came in.",
        Reason.SETTINGS_REFUSED: "The settings had been changed to what could not be used; the former ones held.",
        Reason.CLOCK_OFFSET: "The guard's clock and a venue's were too far apart.",
        Reason.DISK_SHORT: "The disk of the record was nearly full.",
        Reason.POLICY_RAISED: "A policy of the guard failed, so what it watches was not being judged.",
        Reason.RESTART_FLOOR: "The guard had just restarted: what it had restricted before stays until it knows again "
        "what is normal.",
        Reason.REGIME_STRESSED: "Liquidity was being withdrawn and the market had become fragile.",
        Reason.CASCADE_UNDER_WAY: "A cascade of liquidations was under way.",
        Reason.HAZARD_HIGH: "A large move had become much more likely than usual.",
        Reason.RESUMING: "The market was recovering, so entries came back in steps.",
        Reason.LIQUIDATION_WITHIN_REACH: "The position would have been liquidated within the reach of a cascade.",
        Reason.STOP_IN_LIQUIDATION_BAND: "The protective stop rested where many others are liquidated, "
        "so it would have filled in the middle of their forced orders.",
        Reason.ACTION_TOO_SLOW: "What is left until liquidation was short against the time that an action takes.",
        Reason.VENUE_SLOW: "The venue had become slow to act on orders.",
        Reason.VENUE_DISLOCATED: "One venue's price was far from all the others'.",
        Reason.COLLATERAL_CONCENTRATED: "Too much of what stands behind the positions was one asset.",
        Reason.HAIRCUT_EXPECTED: "The venue was likely to count less of what stands behind the positions soon.",
        Reason.DELEVERAGE_EXPOSED: "A winning hedge could have been taken away by the venue's auto-deleveraging.",
        Reason.DRAWDOWN: "The account had lost more from its high than is allowed.",
        Reason.INSTRUCTED: "A human had asked for it.",
        Reason.BUDGET_SPENT: "So many disruptive commands had been given that a human was asked first.",
        Reason.COVERED_BY_OTHERS: "The bot did not reduce, and others of its account did instead.",
        Reason.ROUTES_ENDED: "The bot did not reduce, no other way was left, and a human had to.",
        Reason.FLATTEN_WAITS: "Everything should have been closed, and a human had to say so.",
        Reason.RECOVERED: "What had been wrong was over.",
    }
)
"""One sentence for each reason."""

REASON_NAMES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.STALE_DATA: "market data missing or not fresh",
        Reason.BOOK_UNUSABLE: "the order book unusable",
        Reason.ACCOUNT_UNKNOWN: "the state of the account unknown",
        Reason.DEPTH_THIN: "the thin book",
        Reason.DEPTH_COLLAPSED: "the collapsed book",
        Reason.SPREAD_WIDE: "the wide spread",
        Reason.LIQUIDATION_NEAR: "liquidation too near",
        Reason.LIQUIDATION_UNKNOWN: "the liquidation price unknown",
        Reason.LIQUIDATION_PRICES_DIFFER: "two liquidation prices that differ",
        Reason.MARGIN_RAISED: "raised margin requirements",
        Reason.HAIRCUT_RAISED: "raised haircuts",
        Reason.COLLATERAL_FALLEN: "fallen collateral",
        Reason.STOP_IN_THIN_ZONE: "the stop in a thin zone",
        Reason.COMMAND_FAILED: "a failed command",
        Reason.BROKER_DOWN: "the broker away",
        Reason.AUDIT_DOWN: "the audit away",
        Reason.OVERLOADED: "too much to judge",
        Reason.SETTINGS_REFUSED: "settings that cannot be used",
        Reason.CLOCK_OFFSET: "a clock that is off",
        Reason.DISK_SHORT: "a disk that is nearly full",
        Reason.POLICY_RAISED: "a policy that failed",
        Reason.RESTART_FLOOR: "what stood before the guard's restart",
        Reason.REGIME_STRESSED: "a market under stress",
        Reason.CASCADE_UNDER_WAY: "a cascade under way",
        Reason.HAZARD_HIGH: "a likely large move",
        Reason.RESUMING: "a book that is coming back",
        Reason.STOP_IN_LIQUIDATION_BAND: "a stop among others' liquidations",
        Reason.VENUE_DISLOCATED: "a venue far from the others",
        Reason.BASELINE_COLD: "what is normal not known yet",
        Reason.COLLATERAL_CORRELATED: "collateral that falls with the positions",
        Reason.BOT_SILENT: "a silent bot",
        Reason.BOT_CLOCK_OFFSET: "a bot's clock that is off",
        Reason.MESSAGE_REFUSED: "refused messages",
        Reason.LIQUIDATION_WITHIN_REACH: "liquidation within a cascade's reach",
        Reason.ACTION_TOO_SLOW: "too little time to act",
        Reason.VENUE_SLOW: "a slow venue",
        Reason.COLLATERAL_CONCENTRATED: "collateral in one asset",
        Reason.HAIRCUT_EXPECTED: "a haircut to be expected",
        Reason.DELEVERAGE_EXPOSED: "a hedge that may be deleveraged",
        Reason.DRAWDOWN: "the account's drawdown",
        Reason.INSTRUCTED: "a human's instruction",
        Reason.BUDGET_SPENT: "the day's reductions spent",
        Reason.COVERED_BY_OTHERS: "a cut that other bots made",
        Reason.ROUTES_ENDED: "no bot that reduces",
        Reason.FLATTEN_WAITS: "a close that waits for a human",
        Reason.RECOVERED: "recovery",
    }
)
"""The same as a few words."""


def reason_name(reason: str) -> str:
    """A reason as a few words."""
    return REASON_NAMES[Reason(reason)] if reason in REASON_NAMES else reason.replace("_", " ")


def reason_words(reason: str) -> str:
    """A reason as a sentence."""
    return REASONS[Reason(reason)] if reason in set(Reason) else f"The reason given is {reason}."
