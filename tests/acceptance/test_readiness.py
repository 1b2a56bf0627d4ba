"""The whole daemon in this process: it says that it is ready when every market and account was seen, not before."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from adapters.simulation import Fault, FaultKind
from adapters.simulation.generated import generated_source, symbol_names
from adapters.simulation.settings import VenueAccountSpec
from adapters.simulation.venue import LoopbackVenue
from guard.app import App
from guard.configuration import Settings
from guard.events import PositionSource
from guard.readiness import BELIEVABLE
from guard.units import account_id
from tests.support.eventually import eventually
from tests.support.processes import merged
from tests.support.stage import VENUE, guard_settings
from tests.support.together import Note, together

pytestmark = pytest.mark.acceptance

MARKETS = 40


@together
async def test_it_is_ready_when_every_market_and_account_was_seen_and_not_before(
    tmp_path: Path, note: Note
) -> None:
    source = generated_source("calm", seed=5, symbols=symbol_names(MARKETS), duration_s=120.0, busy=2)
    accounts = [VenueAccountSpec("main", "key", "secret")]
    async with LoopbackVenue(source, accounts=accounts) as venue:
        # No book and no account can be read for a while, though all streams speak.
        venue.misbehave(Fault(kind=FaultKind.STATUS, status=500, paths=("/depth", "/balance", "/account")))
        app = App(settings_for(tmp_path, venue))
        await app.start()
        try:
            readiness, state = app.runner.readiness, app.runner.engine.state
            await eventually(
                lambda: len(state.watched) == MARKETS, within_s=20.0, what="markets to be chosen"
            )
            await eventually(lambda: state.epoch > 0, within_s=20.0, what="an epoch")
            assert readiness.ready_at is None
            assert f"0 of {MARKETS} books of {VENUE} are whole" in readiness.words
            assert f"{VENUE}:main is not read yet" in readiness.words

            ended_s = time.monotonic()
            venue.behave()
            await eventually(lambda: readiness.ready_at, within_s=30.0, what="the daemon to be ready")
            now = app.clock.now()
            trusts = {state.markets[market].trust(now) for market in state.watched}
            assert trusts <= BELIEVABLE, trusts
            assert PositionSource.VENUE in state.accounts[account_id(VENUE, "main")].snapshots
            assert readiness.words == ""
            assert readiness.counts() == {VENUE: (MARKETS, MARKETS)}
            note("ready_after_the_venue_s", time.monotonic() - ended_s)
        finally:
            await app.stop("the test is over")


def settings_for(folder: Path, venue: LoopbackVenue) -> Settings:
    for name, secret in (("api_key", "key"), ("api_secret", "secret")):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    watched = {
        "id": VENUE,
        "top": MARKETS,
        "urls": venue.ccxt_urls(),
        "retry_s_max": 1.0,
        "accounts": {
            "main": {"api_key_file": str(folder / "api_key"), "api_secret_file": str(folder / "api_secret")}
        },
    }
    return Settings.model_validate(
        merged(
            guard_settings(),
            {
                "broker": {"data_dir": str(folder / "broker"), "claim_quiet_s": 0.5},
                "venues": [watched],
                "bots": [],
                "audit": {"path": str(folder / "audit.sqlite3")},
            },
        )
    )
