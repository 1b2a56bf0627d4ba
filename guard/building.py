"""The engine that the settings describe, with the policies of the settings: the same live, on paper and in replay."""

from __future__ import annotations

from guard.arbiter import Arbiter
from guard.configuration import Settings
from guard.dispatch import Dispatch
from guard.engine import Engine
from guard.errors import ArtefactInvalidError
from guard.models import load_experts
from guard.outlook.outlook import Outlook
from guard.reload.swap import Parts
from guard.state import BotConfig, GuardState
from guard.units import BotId, account_id, market_id


def build_engine(settings: Settings, parts: Parts | None = None, *, choosing: bool = True) -> Engine:
    """Make the engine that the settings describe; it knows nothing of the world yet.

    Args:
        settings: everything in settings.toml.
        parts: other markets, bots or accounts than those of the settings.
        choosing: whether feeds are there that choose further markets of the venues that ask for it.
    """
    parts = engine_parts(settings) if parts is None else parts
    state = GuardState.of(
        baseline=settings.baseline,
        markets=parts.markets,
        bots=parts.bots,
        keyed_accounts=parts.keyed_accounts,
        choosing=tuple(venue.id for venue in settings.venues if venue.top and choosing),
    )
    state.own.pegs.reconfigure(settings.collateral.pegs)
    state.own.haircuts = settings.collateral.haircuts
    state.outlook.reconfigure(settings.outlook)
    _give_experts(state.outlook)
    return Engine(
        state=state,
        policies=parts.policies,
        arbiter=Arbiter(settings.arbiter),
        dispatch=Dispatch(settings.dispatch),
    )


def _give_experts(outlook: Outlook) -> None:
    """Fitted numbers that cannot be used are said for as long as the guard runs; all else goes on without them."""
    try:
        outlook.estimators.experts = load_experts()
    except ArtefactInvalidError as error:
        outlook.broken.say("experts", None, error)


def engine_parts(settings: Settings) -> Parts:
    """What the settings come to for the engine: once at the start, and again at each reload."""
    return Parts(
        markets=tuple(market_id(venue.id, symbol) for venue in settings.venues for symbol in venue.symbols),
        bots=tuple(
            BotConfig(
                bot=BotId(bot.name),
                account=account_id(bot.venue, bot.account),
                markets=tuple(market_id(bot.venue, symbol) for symbol in bot.symbols),
            )
            for bot in settings.bots
        ),
        keyed_accounts=tuple(
            account_id(venue.id, name) for venue in settings.venues for name in venue.accounts
        ),
        policies=settings.policies.each,
    )
