"""Bugs planted on purpose: each sabotages one component, and the campaign must catch it.

A plant gives the components that are built in place of the real ones; ``Plant`` itself gives the real.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import msgspec
from msgspec import structs

from adapters.mqtt.fence import EpochFence
from adapters.mqtt.link import MqttLink
from guard.engine import Engine
from guard.outbox import Outbox, _Due
from guard.ports import Claim, Clock
from guard.runner import Runner
from guard.units import NS_PER_S
from perpguard_sdk.codec import decode_body
from perpguard_sdk.commands import CommandDesk
from perpguard_sdk.messages import Command, Heartbeat
from perpguard_sdk.records import CommandResult, StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.session_settings import SessionSettings
from perpguard_sdk.topics import TopicKind


class Plant:
    """Nothing sabotaged."""

    name = ""

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
        keys: Mapping[str, bytes],
    ) -> BotSession:
        return BotSession(settings, session, stored, problem)

    def restored(self, stored: StoredState) -> StoredState:
        return stored

    def outbox(self, runner: Runner) -> Outbox | None:
        return None

    def sabotage_link(self, link: MqttLink) -> None:
        """Replace what the link is made of."""

    def sabotage_engine(self, engine: Engine) -> None:
        """Replace what the engine is made of."""


class DoubleExecution(Plant):
    """A bot that does not know again what it has done."""

    name = "double_execution"

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
        keys: Mapping[str, bytes],
    ) -> BotSession:
        sabotaged = BotSession(settings, session, stored, problem)
        desk = sabotaged._desk
        sabotaged._desk = _ForgetfulDesk(epoch=desk.epoch, seq=desk.seq, running=desk.running)
        return sabotaged


class _ForgetfulDesk(CommandDesk):
    def result_of(self, command_id: str) -> CommandResult | None:
        self.seq = -1
        return None


class StaleExecution(Plant):
    """A bot that does not look when a command expires."""

    name = "stale_execution"

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
        keys: Mapping[str, bytes],
    ) -> BotSession:
        return _TimelessSession(settings, session, stored, problem)


class _TimelessSession(BotSession):
    def _expired(self, command: object, now: object, *, unknown: bool) -> bool:
        return False


class LostTightening(Plant):
    """A guard whose tightenings get lost on their way to the link; refreshes still go out."""

    name = "lost_tightening"

    def outbox(self, runner: Runner) -> Outbox | None:
        return _LosingOutbox(
            runner.journal,
            runner.world.commands,
            runner.world.clock,
            runner.inbox.put,
            runner.settings.outbox,
        )


class _LosingOutbox(Outbox):
    async def _carry(self, due: _Due, group: asyncio.TaskGroup) -> None:
        postures = tuple(publish for publish in due.step.postures if not publish.tightens)
        due.step = structs.replace(due.step, postures=postures)
        await super()._carry(due, group)


class EarlyLoosening(Plant):
    """A guard that does not wait for the record of a loosening."""

    name = "early_loosening"

    def outbox(self, runner: Runner) -> Outbox | None:
        return _HastyOutbox(
            runner.journal,
            runner.world.commands,
            runner.world.clock,
            runner.inbox.put,
            runner.settings.outbox,
        )


class _HastyOutbox(Outbox):
    async def _carry(self, due: _Due, group: asyncio.TaskGroup) -> None:
        await self._send(due, due.step.postures, due.step.commands, durable_at=None)


class TwoLeaders(Plant):
    """A fence that neither waits nor gives way."""

    name = "two_leaders"

    def sabotage_link(self, link: MqttLink) -> None:
        fence = link._fence
        link._fence = _OpenFence(sessions=fence.sessions, quiet_ns=fence.quiet_ns, wait_ns=fence.wait_ns)
        link._router = dataclasses.replace(link._router, fence=link._fence)


class _OpenFence(EpochFence):
    async def claim(self, stored_epoch: int, clock: Clock) -> Claim:
        await self._listening.wait()
        await clock.sleep_until(clock.now() + NS_PER_S)  # two of them outbid each other for ever
        self.epoch = stored_epoch + 1
        return Claim(epoch=self.epoch, floors=())

    def _meet(self, what: str, epoch: int, session: str) -> str:
        return ""


class WrongBot(Plant):
    """A bot that obeys whatever command stands on its topic, whoever it is for."""

    name = "wrong_bot"

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
        keys: Mapping[str, bytes],
    ) -> BotSession:
        return _CredulousSession(settings, session, stored, problem)


class _CredulousSession(BotSession):
    def _take(self, topic: str, payload: bytes, now: object) -> str | None:
        parsed = self.settings.topics.parse(topic)
        if parsed is not None and parsed.kind is TopicKind.COMMAND:
            try:
                body = bytes(msgspec.json.decode(payload, type=_Envelope).body)
            except msgspec.DecodeError:
                return "malformed"
            return self._on_command(topic, parsed.detail, body, now)  # type: ignore[arg-type]
        return super()._take(topic, payload, now)  # type: ignore[arg-type]

    def _stranger(self, header: object) -> str | None:
        return None


class _Envelope(msgspec.Struct):
    body: msgspec.Raw


class ForgedHeartbeat(Plant):
    """A bot that does not verify who signed a heartbeat."""

    name = "forged_heartbeat"

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
        keys: Mapping[str, bytes],
    ) -> BotSession:
        return _TrustingSession(settings, session, stored, problem)


class _TrustingSession(BotSession):
    def _on_heartbeat(self, topic: str, payload: bytes, now: object) -> str | None:
        try:
            heartbeat = decode_body(bytes(msgspec.json.decode(payload, type=_Envelope).body), topic)
        except (msgspec.DecodeError, UnicodeError):
            return "malformed"
        if not isinstance(heartbeat, Heartbeat):
            return "malformed"
        return self.oversight.hear(heartbeat, now.mono_ns)  # type: ignore[attr-defined]


class ReplayAfterRestart(Plant):
    """A bot whose store forgets which commands it has seen."""

    name = "replay_after_restart"

    def restored(self, stored: StoredState) -> StoredState:
        return structs.replace(stored, seq=-1, seen={}, started={})


PLANTS: dict[str, Plant] = {
    plant.name: plant
    for plant in (
        DoubleExecution(),
        StaleExecution(),
        LostTightening(),
        EarlyLoosening(),
        TwoLeaders(),
        WrongBot(),
        ForgedHeartbeat(),
        ReplayAfterRestart(),
    )
}

__all__ = ["PLANTS", "Command", "Plant"]
