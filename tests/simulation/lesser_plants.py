"""More planted bugs: one for each invariant that none of the eight breaks, and those that the campaign found."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import structs

from adapters.mqtt.link import MqttLink
from adapters.mqtt.routing import Router
from guard.audit import AnyRecord, Step
from guard.bots import BotRecord
from guard.engine import Engine
from guard.findings import Finding
from guard.journal import Journal
from guard.outbox import Outbox, _Due
from guard.runner import Runner
from guard.state import GuardState
from guard.units import Nanoseconds
from perpguard_sdk.codec import decode_body
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import AnyMessage, Birth, Posture
from perpguard_sdk.oversight import Oversight
from perpguard_sdk.records import StoredState
from perpguard_sdk.session import BotSession
from perpguard_sdk.session_settings import SessionSettings
from perpguard_sdk.topics import ParsedTopic
from tests.simulation.plants import Plant
from tests.simulation.storage import SimulatedAudit
from tests.simulation.world import World


class _Session(Plant):
    """A plant in a bot, by another class of its oversight."""

    oversight_class: type[Oversight] = Oversight

    def session(
        self,
        settings: SessionSettings,
        session: str,
        stored: StoredState | None,
        problem: str,
        keys: Mapping[str, bytes],
    ) -> BotSession:
        sabotaged = BotSession(settings, session, stored, problem)
        sabotaged.oversight.__class__ = self.oversight_class
        return sabotaged


class _Outbox(Plant):
    """A plant in a guard, by another class of its journal or outbox."""

    journal_class: type[Journal] = Journal
    outbox_class: type[Outbox] = Outbox

    def outbox(self, runner: Runner) -> Outbox | None:
        runner.journal = self.journal_class(runner.world.audit, runner.world.clock, runner.inbox.put)
        return self.outbox_class(
            runner.journal,
            runner.world.commands,
            runner.world.clock,
            runner.inbox.put,
            runner.settings.outbox,
        )


class _SilentJournal(Journal):
    def note_sent_ahead(self) -> None:
        """Say nothing."""


class SilentGap(_Outbox):
    """A guard that does not say what it has sent ahead of its record."""

    name = "silent_gap"
    journal_class = _SilentJournal


class _LosingJournal(Journal):
    def put(self, record: AnyRecord) -> asyncio.Future[Nanoseconds]:
        if isinstance(record, Step) and record.commands:
            written = asyncio.get_running_loop().create_future()
            written.set_result(self.clock.now())
            return written
        return super().put(record)


class LostRecord(_Outbox):
    """A guard whose records of commands are lost on their way to the disk."""

    name = "lost_record"
    journal_class = _LosingJournal


class _EagerOutbox(Outbox):
    async def _carry(self, due: _Due, group: asyncio.TaskGroup) -> None:
        firsts = tuple(
            structs.replace(publish, tightens=publish.tightens or publish.posture.bot not in self._sent)
            for publish in due.step.postures
        )
        due.step = structs.replace(due.step, postures=firsts)
        await super()._carry(due, group)


class EarlyArming(_Outbox):
    """A guard whose first posture does not wait for its record (found by seed 1000515)."""

    name = "early_arming"
    outbox_class = _EagerOutbox


class _AlwaysTicked(asyncio.Event):
    async def wait(self) -> bool:  # type: ignore[override]
        loop = asyncio.get_running_loop()
        waited = loop.create_future()
        loop.call_later(0.3, waited.set_result, None)
        await waited
        return True


class UnprovenHeartbeat(Plant):
    """A guard that beats whether or not its engine lives."""

    name = "unproven_heartbeat"

    def outbox(self, runner: Runner) -> Outbox | None:
        runner._ticked = _AlwaysTicked()
        return None


class RewrittenRecord(Plant):
    """Somebody changes a record on the disk."""

    name = "rewritten_record"

    def outbox(self, runner: Runner) -> Outbox | None:
        audit = runner.world.audit
        assert isinstance(audit, SimulatedAudit)
        audit.process.world.schedule.after(20.0, _rewrite, audit)
        return None


def _rewrite(audit: SimulatedAudit) -> None:
    rows = audit.process.home.rows
    if rows:
        record, body, kept = rows[0]
        rows[0] = record, body.replace(b"1", b"2"), kept


class RaisingPolicy(Plant):
    """A policy that fails now and then."""

    name = "raising_policy"

    def sabotage_engine(self, engine: Engine) -> None:
        engine.policies = [*engine.policies, _Raising()]


class _Raising:
    name = "raising"

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        if now // 10**9 % 20 == 0:
            raise ZeroDivisionError("planted")
        yield from ()


class AnyBirth(Plant):
    """A guard that takes whatever birth came last for the newest (found by seed 1002422)."""

    name = "any_birth"

    def sabotage_engine(self, engine: Engine) -> None:
        for record in engine.state.bots.values():
            record.__class__ = _Forgetful

    def outbox(self, runner: Runner) -> Outbox | None:
        audit = runner.world.audit
        assert isinstance(audit, SimulatedAudit)
        _play_back_births(audit.process.world)
        return None


def _play_back_births(world: World) -> None:
    """What the attacker does now and then, all the time: the plant is to be caught in few seeds."""
    if world.is_over:
        return
    oldest = {topic: payload for topic, payload in reversed(world.broker.log) if topic.endswith("/birth")}
    for topic, payload in oldest.items():
        world.broker.publish(topic, payload, qos=1, retain=False)
    world.schedule.after(4.0, _play_back_births, world)


class _Forgetful(BotRecord):
    __slots__ = ()

    def take_birth(self, birth: Birth) -> bool:
        self.birth, self.session = birth, birth.session
        return True

    def take_report(self, reported: object, at: Nanoseconds) -> bool:
        self.reported, self.reported_at = reported, at  # type: ignore[assignment]
        return True


class BelievesAnyone(Plant):
    """A guard that does not verify what bots say."""

    name = "believes_anyone"

    def sabotage_link(self, link: MqttLink) -> None:
        router = link._router
        fields = {field.name: getattr(router, field.name) for field in dataclasses.fields(router)}
        link._router = _CredulousRouter(**fields)


class _CredulousRouter(Router):
    def _verified(self, payload: bytes, topic: str, parsed: ParsedTopic) -> AnyMessage:
        try:
            body = bytes(msgspec.json.decode(payload, type=_Envelope).body)
            return decode_body(body, topic)
        except (msgspec.DecodeError, UnicodeError):
            return super()._verified(payload, topic, parsed)


class _Envelope(msgspec.Struct):
    body: msgspec.Raw


class HastyRearm(_Session):
    """A bot that leaves safe mode with the first heartbeat."""

    name = "hasty_rearm"


class _Hasty(Oversight):
    __slots__ = ()

    def _may_leave(self, mono_ns: int) -> bool:
        return self.is_fresh(mono_ns)


HastyRearm.oversight_class = _Hasty


class _Deaf(Oversight):
    __slots__ = ()

    def take_posture(self, posture: Posture) -> str | None:
        return super().take_posture(posture) if posture.version % 2 else "old_posture"


class DeafToPostures(_Session):
    """A bot that misses every other posture."""

    name = "deaf_to_postures"
    oversight_class = _Deaf


class _Careless(Oversight):
    __slots__ = ()

    def limits(self) -> Limits:
        found = super().limits()
        return Limits(safe_mode=True) if found.safe_mode else found


class CarelessSafeMode(_Session):
    """A bot whose safe mode is only a word."""

    name = "careless_safe_mode"
    oversight_class = _Careless


LESSER_PLANTS: dict[str, Plant] = {
    plant.name: plant
    for plant in (
        SilentGap(),
        LostRecord(),
        EarlyArming(),
        UnprovenHeartbeat(),
        RewrittenRecord(),
        RaisingPolicy(),
        AnyBirth(),
        BelievesAnyone(),
        HastyRearm(),
        DeafToPostures(),
        CarelessSafeMode(),
    )
}
