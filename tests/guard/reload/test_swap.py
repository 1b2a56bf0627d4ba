"""Reading settings again, around the real loop: taken whole or not at all, in every phase that the loop may be in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guard.arbiter import Arbiter
from guard.audit import SettingsReloaded, Step
from guard.bill.ledger import Ledger
from guard.bill.settings import BillSettings
from guard.building import engine_parts
from guard.configuration import Settings
from guard.dispatch import Dispatch
from guard.engine import Engine
from guard.errors import BrokerError, FatalError, SettingsError
from guard.events import LinkKind, SettingsChanged, Tick
from guard.feeding import Feeding
from guard.policy import Policy
from guard.ports import Claim, Emit, Feed
from guard.reload.swap import Parts, Reloader, read
from guard.runner import Runner, World
from guard.state import GuardState
from guard.units import BotId
from perpguard_sdk.messages import Entries, Mode
from policies.distrust_links import DistrustLinks
from tests.guard.test_runner import IDENTITY
from tests.support.builders import SaysWhatItIsTold, at, finding, reported
from tests.support.eventually import eventually
from tests.support.fakes import FakeAudit, FakeClock, FakeFeed, FakeFence, FakeMemory, FakeSink
from tests.support.processes import merged, write_toml

ALPHA, BETA = BotId("alpha"), BotId("beta")
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BASE: dict[str, Any] = {
    "venues": [{"id": "binanceusdm", "symbols": [BTC]}],
    "bots": [
        {
            "name": "alpha",
            "key_file": "alpha.key",
            "venue": "binanceusdm",
            "account": "main",
            "symbols": [BTC],
        }
    ],
    "arbiter": {"hold_down_s": 5.0, "step_s": 1.0},
}


@dataclass
class NamedFeed(FakeFeed):
    label: str = ""
    ended: bool = False

    @property
    def name(self) -> str:
        return self.label

    async def run(self, emit: Emit) -> None:
        try:
            await super().run(emit)
        finally:
            self.ended = True


@dataclass
class FakeHands:
    """Keeps what a reload did to the rest of the program."""

    policies: list[Policy] = field(default_factory=list)
    keys: dict[BotId, bytes] = field(default_factory=dict)
    feeds: list[NamedFeed] = field(default_factory=list)
    secrets: list[bytes] = field(default_factory=list)
    let_in: list[tuple[str, ...]] = field(default_factory=list)
    fails: str = ""

    def parts(self, settings: Settings) -> Parts:
        if self.fails == "parts":
            raise RuntimeError("a bug")
        parts = engine_parts(settings)
        return Parts(
            markets=parts.markets,
            bots=parts.bots,
            keyed_accounts=parts.keyed_accounts,
            policies=self.policies,
        )

    def venue_feeds(self, settings: Settings, venue: str) -> list[Feed]:
        if self.fails == "feeds":
            raise SettingsError("settings", [("venues.0.accounts.main.api_key_file", "is not there")])
        self.feeds.append(NamedFeed(label=f"{venue} {len(self.feeds)}"))
        return [self.feeds[-1]]

    def asked_feeds(self, settings: Settings) -> list[Feed]:
        return []

    def know_bots(self, keys: Mapping[BotId, bytes]) -> None:
        self.keys = dict(keys)

    def follow_log(self, settings: Settings, secrets: Iterable[bytes]) -> None:
        self.secrets += secrets

    async def let_bots_in(self, settings: Settings) -> None:
        self.let_in.append(tuple(bot.name for bot in settings.bots))
        if self.fails == "users":
            raise BrokerError("embedded", "does not take its new users")


class SlowFence(FakeFence):
    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()

    async def claim(self, stored_epoch: int) -> Claim:
        await self.opened.wait()
        return await super().claim(stored_epoch)


@dataclass
class Stage:
    folder: Path
    told: SaysWhatItIsTold = field(default_factory=lambda: SaysWhatItIsTold([]))
    clock: FakeClock = field(default_factory=lambda: FakeClock(at(0.0)))
    sink: FakeSink = field(default_factory=FakeSink)
    audit: FakeAudit = field(default_factory=FakeAudit)
    fence: FakeFence = field(default_factory=FakeFence)
    ticks: FakeFeed = field(default_factory=FakeFeed)
    hands: FakeHands = field(default_factory=FakeHands)
    runner: Runner = field(init=False)
    reloader: Reloader = field(init=False)

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            (self.folder / f"{name}.key").write_text(f"the key of {name} that nobody guesses")
            (self.folder / f"{name}.key").chmod(0o600)
        self.write({})
        settings, secrets = read(self.path)
        self.hands.policies = [self.told, DistrustLinks()]
        parts = self.hands.parts(settings)
        venue_feeds = {venue.id: self.hands.venue_feeds(settings, venue.id) for venue in settings.venues}
        engine = Engine(
            GuardState.of(baseline=settings.baseline, markets=parts.markets, bots=parts.bots),
            parts.policies,
            Arbiter(settings.arbiter),
            Dispatch(settings.dispatch),
        )
        world = World(
            clock=self.clock,
            feeds=[self.ticks, *(feed for feeds in venue_feeds.values() for feed in feeds)],
            commands=self.sink,
            status=self.sink,
            fence=self.fence,
            audit=self.audit,
            memory=FakeMemory(),
        )
        self.runner = Runner(engine, IDENTITY, world)
        self.reloader = Reloader(self.path, settings, secrets, self.runner, self.hands, venue_feeds, [])

    @property
    def path(self) -> Path:
        return self.folder / "settings.toml"

    def write(self, change: dict[str, Any]) -> None:
        write_toml(self.path, merged(BASE, change))

    @asynccontextmanager
    async def running(self, *, claimed: bool = True) -> AsyncIterator[None]:
        task = asyncio.create_task(self.runner.run())
        try:
            await eventually(lambda: self.ticks.emit is not None)
            if claimed:
                await eventually(lambda: self.runner.engine.state.epoch > 0)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.clock.advance(250.0)
            self.ticks.put(Tick(received_at=self.clock.now()))
            await eventually(lambda: self.runner.engine.state.now >= self.clock.now())
            for _ in range(5):
                await asyncio.sleep(0)

    @property
    def reloads(self) -> list[SettingsReloaded]:
        return [record for record in self.audit.records if isinstance(record, SettingsReloaded)]

    def entries(self, bot: BotId = ALPHA) -> Entries:
        said = [posture for posture in self.sink.postures if posture.bot == bot]
        return said[-1].entries.get(BTC, Entries.ALLOWED) if said else Entries.ALLOWED


def both() -> dict[str, Any]:
    return {"bots": [*BASE["bots"], {**BASE["bots"][0], "name": "beta", "key_file": "beta.key"}]}


# Taken, or not


async def test_what_differs_is_recorded_in_front_of_what_follows_from_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        stage.write(both())
        assert await stage.reloader.reload("SIGHUP")
        await eventually(lambda: any(posture.bot == BETA for posture in stage.sink.postures))
        await eventually(lambda: stage.reloads)
    kinds = [type(each.event if isinstance(each, Step) else each) for each in stage.audit.records]
    assert kinds.index(SettingsReloaded) < kinds.index(SettingsChanged)
    (reload,) = stage.reloads
    assert [change.path for change in reload.changes] == ["bots.beta"]
    assert set(stage.hands.keys) == {ALPHA, BETA}
    assert stage.hands.let_in == [("alpha", "beta")]
    assert stage.runner.identity.settings_digest == reload.settings_digest
    assert stage.reloader.files() == [stage.path, tmp_path / "alpha.key", tmp_path / "beta.key"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"guard": {"tick_ms": 1}}, "guard.tick_ms"),
        ({"bots": [{**BASE["bots"][0], "key_file": "none.key"}]}, "bots.0.key_file"),
        ({"guard": {"name": "other"}}, "restart needed"),
        ({"broker": {"site": "other"}, **both()}, "broker.site: restart needed"),
    ],
)
async def test_what_cannot_be_taken_changes_nothing_and_stands_until_it_is_put_right(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    stage = Stage(tmp_path)
    engine = stage.runner.engine
    async with stage.running():
        stage.write(change)
        assert not await stage.reloader.reload("SIGHUP")
        await stage.tick(8)
        assert problem in stage.sink.states[-1].problems[0]
        assert set(engine.state.bots) == {ALPHA}
        assert stage.hands.keys == {}
        stage.write({})
        assert await stage.reloader.reload("SIGHUP")
        await stage.tick(8)
        assert LinkKind.SETTINGS not in engine.state.links_down
        assert [each for each in stage.sink.states[-1].problems if "not ready yet" not in each] == []
    assert [reload.applied for reload in stage.reloads] == [False, True]
    assert problem in stage.reloads[0].problems[0]


async def test_the_bill_counts_by_the_new_settings_and_can_be_turned_off_and_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    bill = stage.runner.bill = Ledger(BillSettings(enabled=False))
    async with stage.running():
        stage.write({"bill": {"taker_fee_bps": 2.0}})
        assert await stage.reloader.reload("SIGHUP")
        assert (bill.settings.enabled, bill.books.settings.taker_fee_bps) == (True, 2.0)
        stage.write({"bill": {"enabled": False}})
        assert await stage.reloader.reload("SIGHUP")
        assert stage.runner.bill is bill
        assert not bill.settings.enabled
    assert [[each.effect for each in reload.changes] for reload in stage.reloads] == [
        ["neutral"],
        ["neutral", "neutral"],
    ]


async def test_feeds_that_cannot_be_made_refuse_all_of_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        stage.hands.fails = "feeds"
        stage.write({"venues": [{"id": "binanceusdm", "symbols": [BTC, ETH]}], **both()})
        assert not await stage.reloader.reload("SIGHUP")
        assert set(stage.runner.engine.state.bots) == {ALPHA}
        assert not stage.hands.feeds[0].ended


async def test_a_bug_in_taking_them_ends_the_daemon_rather_than_leaving_half(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        stage.hands.fails = "parts"
        stage.write(both())
        with pytest.raises(FatalError):
            await stage.reloader.reload("SIGHUP")


async def test_an_embedded_broker_that_fails_to_follow_is_said_and_the_rest_holds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        stage.hands.fails = "users"
        stage.write(both())
        assert await stage.reloader.reload("SIGHUP")
        assert BETA in stage.runner.engine.state.bots


# Secrets and feeds


async def test_a_key_that_was_replaced_is_taken_and_never_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        (tmp_path / "alpha.key").write_text("another key that nobody guesses")
        assert await stage.reloader.reload("alpha.key changed")
        await eventually(lambda: stage.reloads)
    assert stage.hands.keys == {ALPHA: b"another key that nobody guesses"}
    assert b"another key that nobody guesses" in stage.hands.secrets
    assert "guesses" not in repr(stage.reloads)


async def test_a_venue_that_changed_is_connected_anew_and_the_others_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        (first,) = stage.hands.feeds
        await eventually(lambda: first.emit is not None)
        stage.write({"policies": {"pause_entries": {"depth_z": -2.0}}})
        assert await stage.reloader.reload("SIGHUP")
        assert not first.ended
        stage.write({"venues": [{"id": "binanceusdm", "symbols": [BTC, ETH]}]})
        assert await stage.reloader.reload("SIGHUP")
        _, second = stage.hands.feeds
        await eventually(lambda: second.emit is not None)
        assert first.ended
        assert not second.ended
        assert stage.ticks.started == 1


async def test_a_feed_that_does_not_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from guard import feeding

    monkeypatch.setattr(feeding, "END_S", 0.05)
    may_end = asyncio.Event()

    class Stubborn(FakeFeed):
        async def run(self, emit: Emit) -> None:
            try:
                await super().run(emit)
            finally:
                await may_end.wait()

    old, new = Stubborn(), FakeFeed()
    async with asyncio.TaskGroup() as group:
        feeding_ = Feeding(lambda _event: None)
        feeding_.begin(group, [old])
        await eventually(lambda: old.emit is not None)
        await feeding_.swap([old], [new])
        await eventually(lambda: new.emit is not None)
        may_end.set()
        await feeding_.swap([new], [])
    assert old.started == 1


# In every phase


async def test_before_the_epoch_is_held_nothing_is_said_and_the_new_settings_hold(tmp_path: Path) -> None:
    fence = SlowFence()
    stage = Stage(tmp_path, fence=fence)
    async with stage.running(claimed=False):
        stage.write(both())
        assert await stage.reloader.reload("SIGHUP")
        await stage.tick(4)
        assert stage.sink.postures == []
        fence.opened.set()
        await eventually(lambda: {posture.bot for posture in stage.sink.postures} == {ALPHA, BETA})


async def test_while_the_disk_hangs_what_loosens_waits_and_what_tightens_does_not(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        await stage.tick(2)
        stage.audit.hang()
        stage.hands.policies = [SaysWhatItIsTold([finding(market=None, entries=Entries.HALTED)])]
        stage.write({"log": {"level": "error"}})
        assert await stage.reloader.reload("SIGHUP")
        await eventually(lambda: stage.entries() is Entries.HALTED)
        stage.hands.policies = []
        stage.write({"log": {"level": "info"}, "arbiter": {"hold_down_s": 0.0, "step_s": 0.0}})
        assert await stage.reloader.reload("SIGHUP")
        await stage.tick(40)
        assert stage.entries() is Entries.HALTED, "what loosens waits for its record"
        stage.audit.answer()
        await eventually(lambda: len(stage.reloads) == 2)
        await stage.tick(4)
        await eventually(lambda: stage.entries() is Entries.ALLOWED)


async def test_while_the_broker_is_away_it_is_taken_and_said_when_it_is_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.sink.down = True
    async with stage.running():
        stage.write(both())
        assert await stage.reloader.reload("SIGHUP")
        await stage.tick(4)
        stage.sink.down = False
        await stage.tick(44)
        await eventually(lambda: {posture.bot for posture in stage.sink.postures} == {ALPHA, BETA})


async def test_a_report_of_a_bot_that_is_gone_is_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        stage.write({"bots": []})
        assert await stage.reloader.reload("SIGHUP")
        stage.ticks.put(reported(1.0, ALPHA, size=1.0))
        await stage.tick(4)
        assert stage.runner.engine.state.bots == {}
    assert IDENTITY.mode is Mode.PAPER


async def test_what_changed_while_the_guard_started_is_caught_up_with(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.running():
        await stage.reloader.catch_up()
        assert BETA not in stage.runner.engine.state.bots
        stage.write(both())
        await stage.reloader.catch_up()
        assert BETA in stage.runner.engine.state.bots
