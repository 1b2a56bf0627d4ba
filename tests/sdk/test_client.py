"""The client against a real mosquitto: connects, obeys, survives kills of broker, guard and bot."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from perpguard_sdk.client import BotClient, BotClientSettings
from perpguard_sdk.errors import SdkError, StoreError
from perpguard_sdk.executor import BotView, CommandFailed, CommandRejected
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import (
    AckStatus,
    BotStatus,
    Command,
    CutLeverage,
    Effect,
    Entries,
    Mode,
    Pause,
    ReportedPosition,
    Verb,
    VerbCapability,
)
from perpguard_sdk.records import StoredState
from perpguard_sdk.store import FileStore
from tests.sdk.bench import BOT, KEY, SYMBOL, Guard
from tests.sdk.relay import relay
from tests.sdk.wire_guard import GuardOnTheWire, now_ms
from tests.support.brokers import Broker, mosquitto
from tests.support.eventually import eventually

FAST_MS = 300
"""Dead-man and re-arming of these tests, so that they wait tenths of seconds instead of seconds."""
REJECT, BREAK, HANG = "reject", "break", "hang"


@dataclass
class Trader:
    """An executor that does what the test says."""

    how: str = ""
    executed: list[str] = field(default_factory=list)
    limits: list[Limits] = field(default_factory=list)
    venue_fails: int = 0

    async def execute(self, command: Command) -> Effect:
        self.executed.append(command.id)
        match self.how:
            case "reject":
                raise CommandRejected("not today")
            case "fail":
                raise CommandFailed("the venue is away")
            case "break":
                raise RuntimeError("venue says no")
            case "hang":
                await asyncio.Event().wait()
        return Effect(size_after=1.0)

    async def view(self) -> BotView:
        return BotView(positions=(ReportedPosition(symbol=SYMBOL, size=2.0),))

    async def limits_changed(self, limits: Limits) -> None:
        self.limits.append(limits)
        if self.venue_fails:
            self.venue_fails -= 1
            raise RuntimeError("502 Bad Gateway")


def client_settings(
    broker: Broker, tmp_path: Path, protocol: Literal["5", "3.1.1"] = "5"
) -> BotClientSettings:
    return BotClientSettings(
        bot=BOT,
        key=KEY,
        site="home",
        host=broker.host,
        port=broker.port,
        protocol=protocol,
        mode=Mode.LIVE,
        venue="binanceusdm",
        account="main",
        symbols=(SYMBOL,),
        verbs={verb: VerbCapability(deadline_ms=400) for verb in (Verb.PAUSE, Verb.CUT_LEVERAGE)},
        state_path=tmp_path / "state.json",
        dead_man_ms=FAST_MS * 2,
        rearm_ms=FAST_MS,
        report_ms=200,
    )


@contextlib.asynccontextmanager
async def running(*runners: BotClient | GuardOnTheWire) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def armed(client: BotClient, guard: GuardOnTheWire) -> AsyncIterator[None]:
    async with running(guard, client):
        await arm(client, guard)
        yield


async def arm(client: BotClient, guard: GuardOnTheWire) -> None:
    await eventually(lambda: client.state.connected and guard.client is not None and guard.bot_session != "")
    await guard.posture()
    await eventually(lambda: not client.state.safe_mode, within_s=10)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_bot_connects_says_who_it_is_is_armed_and_obeys(
    mosquitto_broker: Broker, tmp_path: Path, protocol: Literal["5", "3.1.1"]
) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path, protocol), trader)
    assert not client.limits.may_enter(SYMBOL)
    async with armed(client, guard):
        assert client.limits.may_enter(SYMBOL)
        command_id = await guard.command()
        await eventually(lambda: len(guard.statuses_of(command_id)) == 2)
        assert guard.statuses_of(command_id) == [AckStatus.RECEIVED, AckStatus.APPLIED]
        await eventually(lambda: guard.reported is not None and guard.reported.seq == 1)
        assert guard.birth is not None
        assert guard.birth.verbs.keys() == {Verb.PAUSE, Verb.CUT_LEVERAGE}
        assert guard.reported is not None
        assert guard.reported.positions[0].size == 2.0
        assert trader.limits[-1].max_size(SYMBOL) == 1.0
    await asyncio.sleep(0)
    assert client.state.connected is False


async def test_the_same_over_the_embedded_brokers_program(nats_broker: Broker, tmp_path: Path) -> None:
    trader, guard = Trader(), GuardOnTheWire(nats_broker, Guard())
    client = BotClient(client_settings(nats_broker, tmp_path, "3.1.1"), trader)
    async with armed(client, guard):
        command_id = await guard.command()
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(command_id))


@pytest.mark.parametrize(
    ("how", "status", "detail"),
    [
        ("reject", AckStatus.REJECTED, "not today"),
        ("fail", AckStatus.FAILED, "the venue is away"),
        ("break", AckStatus.FAILED, "venue says no"),
        ("hang", AckStatus.FAILED, "not done within 0.4 s"),
    ],
)
async def test_what_the_executor_raises_becomes_the_answer(
    mosquitto_broker: Broker, tmp_path: Path, how: str, status: AckStatus, detail: str
) -> None:
    trader, guard = Trader(how), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path), trader)
    async with armed(client, guard):
        command_id = await guard.command()
        await eventually(lambda: len(guard.statuses_of(command_id)) == 2)
        assert guard.acks[-1].status is status
        assert detail in guard.acks[-1].detail


async def test_limits_that_could_not_be_applied_to_what_rests_are_tried_again(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path), trader)
    async with armed(client, guard):
        trader.venue_fails, asked = 1, len(trader.limits)
        await guard.posture(entries={SYMBOL: Entries.HALTED})
        await eventually(lambda: len(trader.limits) >= asked + 2)

    assert trader.venue_fails == 0
    assert trader.limits[-1].entries(SYMBOL) is Entries.HALTED


async def test_a_silent_guard_means_safe_mode_and_its_return_arms_again(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path), trader)
    async with armed(client, guard):
        guard.beating = False
        await eventually(lambda: client.state.safe_mode)
        assert not client.limits.may_enter(SYMBOL)
        await eventually(lambda: guard.state is not None and guard.state.state is BotStatus.SAFE_MODE)
        guard.beating = True
        await eventually(lambda: not client.state.safe_mode)


async def test_a_killed_broker_means_safe_mode_and_no_stale_command_afterwards(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path), trader)
    async with armed(client, guard):
        done = await guard.command(life_ms=300)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(done))
        await mosquitto_broker.kill()
        await eventually(lambda: client.state.safe_mode)
        stale = guard.guard.command(CutLeverage, now_ms(), expires_at=now_ms() + 300)
        guard.guard.command(Pause, now_ms())
        await mosquitto_broker.start()
        await eventually(lambda: client.state.connected and not client.state.safe_mode, within_s=15)
        await guard.say(stale)
        for sent in [sent for sent in guard.tape if "/command/" in sent[0]]:
            await guard.say(sent)
        fresh = await guard.command()
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(fresh), within_s=10)
        assert trader.executed == [done, fresh]


async def test_a_posture_that_the_broker_keeps_back_at_first_is_asked_for_again(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    guard = GuardOnTheWire(mosquitto_broker, Guard())
    async with running(guard), relay(mosquitto_broker, keeps_back=1) as lossy:
        await eventually(lambda: guard.client is not None)
        await guard.posture()
        settings = dataclasses.replace(client_settings(mosquitto_broker, tmp_path), port=lossy.port)
        client = BotClient(settings, Trader())
        async with running(client):
            await eventually(lambda: lossy.kept_back == 1)
            await eventually(lambda: not client.state.safe_mode, within_s=10)
            assert client.state.posture_version == 1


async def test_a_hung_broker_means_safe_mode_and_its_backlog_executes_nothing_stale(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path), trader)
    async with armed(client, guard):
        mosquitto_broker.suspend()
        stale = guard.guard.command(CutLeverage, now_ms(), expires_at=now_ms() + 300)
        assert guard.client is not None
        backlog = asyncio.create_task(guard.client.publish(*stale, qos=1))
        await eventually(lambda: client.state.safe_mode)
        mosquitto_broker.resume()
        await asyncio.gather(backlog, return_exceptions=True)
        await eventually(lambda: not client.state.safe_mode, within_s=15)
        fresh = await guard.command()
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(fresh), within_s=10)
        assert trader.executed == [fresh]


async def test_a_restarted_bot_is_not_fooled_by_old_bytes(mosquitto_broker: Broker, tmp_path: Path) -> None:
    settings = client_settings(mosquitto_broker, tmp_path)
    first, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    async with armed(BotClient(settings, first), guard):
        done = await guard.command(life_ms=60_000)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(done))
    tape = list(guard.tape)
    second, thief = Trader(), GuardOnTheWire(mosquitto_broker, Guard(), beating=False)
    client = BotClient(settings, second)
    async with running(client, thief):
        await eventually(lambda: client.state.connected and thief.client is not None)
        for topic, payload in tape:
            await thief.say((topic, payload))
        await eventually(lambda: thief.statuses_of(done) == [AckStatus.APPLIED])
        assert client.state.safe_mode
        assert client.state.dropped["other_bot_session"] > 0
        assert second.executed == []


async def test_a_bot_killed_in_the_middle_answers_interrupted(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    settings = client_settings(mosquitto_broker, tmp_path)
    first, guard = Trader("hang"), GuardOnTheWire(mosquitto_broker, Guard())
    async with armed(BotClient(settings, first), guard):
        begun = await guard.command()
        await eventually(lambda: first.executed == [begun])
    second = Trader()
    async with running(BotClient(settings, second), guard):
        await eventually(lambda: AckStatus.FAILED in guard.statuses_of(begun))
        assert guard.acks[-1].detail == "interrupted"
        assert second.executed == []


async def test_a_bot_whose_executor_finds_the_effect_answers_applied(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    class Knowing(Trader):
        async def reconcile(self, command: Command) -> Effect | None:
            return Effect(size_after=0.5)

    settings = client_settings(mosquitto_broker, tmp_path)
    first, guard = Trader("hang"), GuardOnTheWire(mosquitto_broker, Guard())
    async with armed(BotClient(settings, first), guard):
        begun = await guard.command()
        await eventually(lambda: first.executed == [begun])
    async with running(BotClient(settings, Knowing()), guard):
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(begun), within_s=15.0)
        # Others may come after it: what was said when the first life ended is on its way too.
        (applied,) = (ack for ack in guard.acks if ack.status is AckStatus.APPLIED)
        assert applied.effect == Effect(size_after=0.5)


@pytest.mark.parametrize("offset_ms", [-60_000, 60_000])
async def test_a_wall_clock_that_is_a_minute_off_changes_only_the_report(
    mosquitto_broker: Broker, tmp_path: Path, offset_ms: int
) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(
        client_settings(mosquitto_broker, tmp_path), trader, wall_ms=lambda: now_ms() + offset_ms
    )
    async with armed(client, guard):
        fresh, stale = await guard.command(life_ms=2_000), await guard.command(life_ms=-2_000)
        await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(fresh))
        await eventually(lambda: AckStatus.EXPIRED in guard.statuses_of(stale))
        assert trader.executed == [fresh]
        offset = client.state.clock_offset_ms
        assert offset is not None
        assert abs(offset + offset_ms) < 500


async def test_an_orderly_stop_and_a_lost_bot_both_read_offline(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    guard = GuardOnTheWire(mosquitto_broker, Guard())
    async with running(guard):
        async with running(BotClient(client_settings(mosquitto_broker, tmp_path), Trader())):
            await eventually(lambda: guard.state is not None and guard.state.state is not BotStatus.OFFLINE)
        await eventually(lambda: guard.state is not None and guard.state.state is BotStatus.OFFLINE)


async def test_a_retained_command_is_never_obeyed(mosquitto_broker: Broker, tmp_path: Path) -> None:
    trader, guard = Trader(), GuardOnTheWire(mosquitto_broker, Guard())
    async with running(guard):
        await eventually(lambda: guard.client is not None)
        planted = guard.guard.command(CutLeverage, now_ms(), expires_at=now_ms() + 60_000)
        await guard.say(planted, retain=True)
        client = BotClient(client_settings(mosquitto_broker, tmp_path), trader)
        async with running(client):
            await arm(client, guard)
            done = await guard.command()
            await eventually(lambda: AckStatus.APPLIED in guard.statuses_of(done))
            assert trader.executed == [done]


async def test_a_wrong_password_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    async with mosquitto(tmp_path / "broker", users={"someone": "else"}) as broker:
        client = BotClient(client_settings(broker, tmp_path), Trader())
        async with running(client):
            await eventually(
                lambda: "ot authori" in client.state.problem or "assword" in client.state.problem
            )
            assert not client.limits.may_enter(SYMBOL)


async def test_no_broker_at_all_is_told_and_waited_for(tmp_path: Path, mosquitto_broker: Broker) -> None:
    await mosquitto_broker.kill()
    client = BotClient(client_settings(mosquitto_broker, tmp_path), Trader())
    async with running(client):
        await eventually(lambda: client.state.problem != "")
        assert not client.limits.may_enter(SYMBOL)
        await mosquitto_broker.start()
        await eventually(lambda: client.state.connected, within_s=10)


async def test_a_damaged_state_file_is_set_aside_and_told(mosquitto_broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(b"{half")
    guard = GuardOnTheWire(mosquitto_broker, Guard())
    async with running(guard, BotClient(client_settings(mosquitto_broker, tmp_path), Trader())):
        await eventually(lambda: guard.state is not None and "damaged" in guard.state.detail)
        assert (tmp_path / "state.json.corrupt-1").exists()


async def test_a_full_disk_is_answered_failed_and_nothing_is_executed(
    mosquitto_broker: Broker, tmp_path: Path
) -> None:
    class Full(FileStore):
        full = False

        def save(self, state: StoredState) -> None:
            if self.full:
                raise StoreError("state.json", "no space left on device")
            super().save(state)

    store, trader = Full(tmp_path / "state.json"), Trader()
    guard = GuardOnTheWire(mosquitto_broker, Guard())
    client = BotClient(client_settings(mosquitto_broker, tmp_path), trader, store)
    async with armed(client, guard):
        store.full = True
        command_id = await guard.command()
        await eventually(lambda: AckStatus.FAILED in guard.statuses_of(command_id))
        assert "no space left" in guard.acks[-1].detail
        assert trader.executed == []
        assert client.state.safe_mode
        store.full = False
        await eventually(lambda: not client.state.safe_mode, within_s=5)


def test_impossible_settings_are_told_at_once(tmp_path: Path) -> None:
    broker = Broker(name="", protocols=(), command=(), environment={}, log_path=tmp_path, port=1)
    good = client_settings(broker, tmp_path)
    changes: list[dict[str, Any]] = [{"key": b"short"}, {"bot": "a/b"}, {"port": 0}, {"symbols": ()}]
    for change in changes:
        with pytest.raises(ValueError):
            dataclasses.replace(good, **change)
    assert issubclass(CommandRejected, SdkError)
