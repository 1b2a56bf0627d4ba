"""An attacker who reads and writes every topic and has no key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guard.units import BotId, ms_of
from perpguard_sdk.codec import encode_plain, encode_signed
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    BotState,
    BotStatus,
    Entries,
    GuardState,
    GuardStatus,
    Heartbeat,
    Mode,
    Pause,
    Posture,
    Reported,
    Verb,
)
from perpguard_sdk.topics import Topics
from tests.simulation.bots import BotProcess
from tests.simulation.guards import SITE
from tests.simulation.world import World

WRONG_KEY = b"a key that nobody has been given"


@dataclass(slots=True)
class Attacker:
    """See the module."""

    world: World
    _topics: Topics = field(default_factory=lambda: Topics(site=SITE))

    def replay(self) -> None:
        """Play back what was recorded, the latest commands above all, where it was or on another's topic."""
        chance, log = self.world.chance, self.world.broker.log
        if not log:
            return
        commands = [entry for entry in log[-400:] if "/command/" in entry[0]]
        for _ in range(chance.randint(1, 12)):
            recent = commands if commands and chance.random() < 0.7 else log
            topic, payload = recent[-1 - min(int(chance.expovariate(0.2)), len(recent) - 1)]
            if chance.random() < 0.2:
                topic, payload = chance.choice(log)
            if chance.random() < 0.3:
                topic = self._of_another(topic)
            retain = ("/posture/" in topic or "/bot/" in topic) and chance.random() < 0.3
            self.world.broker.publish(topic, payload, qos=1, retain=retain)

    def replay_to_restarted_bot(self) -> None:
        """Give a bot something to do, kill it, and play back at it, again and again, what it was told just before."""
        self.world.change_demand()
        bot = self.world.some_bot()
        self.world.schedule.after(self.world.chance.uniform(0.3, 1.5), self._restart_and_replay, bot)

    def _restart_and_replay(self, bot: BotProcess) -> None:
        if self.world.is_quiet:
            return
        bot.crash(down_s=0.1)
        for step in range(12):
            self.world.schedule.after(0.4 + 0.4 * step, self._replay_commands_of, bot)

    def forge(self) -> None:
        """Heartbeats and commands under a key that is not the bot's; the guard falls silent meanwhile."""
        bot = self.world.some_bot()
        guard = self.world.some_guard()
        if guard is not None and self.world.chance.random() < 0.6:
            guard.hang()
            self.world.schedule.after(9.0, guard.resume)
        for step in range(18):
            self.world.schedule.after(0.5 * step, self._forge_for, bot, step)

    def replay_to_guard(self) -> None:
        """Play back what bots have said, of former lives above all, and leave some of it retained."""
        chance = self.world.chance
        said = [entry for entry in self.world.broker.log if "/bot/" in entry[0]]
        for _ in range(min(len(said), 10)):
            topic, payload = said[int(len(said) * chance.random() ** 2)]
            retain = not topic.endswith("/ack") and chance.random() < 0.4
            delay_s = 4.0 * chance.random()
            self.world.schedule.after(delay_s, self._publish_if_up, topic, payload, retain)

    def forge_to_guard(self) -> None:
        """Births, reports, acks and Wills of a bot, and another guard's word, under a key that nobody has."""
        world, bot = self.world, self.world.some_bot()
        topics, name, now_ms = self._topics, bot.spec.name, ms_of(world.t0_ns + world.schedule.now_ns)
        epoch = bot.session.oversight.epoch
        birth = bot.session.settings.birth("forged", now_ms)
        report = Reported(
            bot=name,
            session=bot.session.session,
            ts=now_ms,
            mode=Mode.PAPER,
            posture_version=10**6,
            epoch=epoch + 7,
            seq=10**6,
            safe_mode=False,
            number=10**6,
        )
        will = BotState(bot=name, session=bot.session.session, state=BotStatus.OFFLINE, ts=now_ms)
        posture = Posture(
            bot=name,
            version=10**6,
            epoch=epoch + 1,
            session="forged",
            ts=now_ms,
            expires_at=now_ms + 60_000,
            mode=Mode.PAPER,
        )
        for message, topic in (
            (birth, topics.birth(name)),
            (report, topics.reported(name)),
            (will, topics.bot_state(name)),
            (posture, topics.posture(name, Mode.PAPER)),
            *((ack, topics.ack(name)) for ack in self._forged_acks(bot, now_ms)),
        ):
            self._publish_if_up(topic, encode_signed(message, topic, WRONG_KEY), retain=False)
        state = GuardState(
            guard="forged",
            state=GuardStatus.DECIDING,
            epoch=epoch + world.chance.choice((1, 1_000, 2**60)),
            session="forged",
            ts=now_ms,
            mode=Mode.PAPER,
        )
        # Unsigned, as the protocol has it: a hint of an epoch and nothing else.
        self._publish_if_up(topics.guard_state("forged"), encode_plain(state), retain=True)

    def _forged_acks(self, bot: BotProcess, now_ms: int) -> list[Ack]:
        """That everything which is open was applied, or refused."""
        return [
            Ack(
                bot=bot.spec.name,
                session=bot.session.session,
                command_id=command.id,
                epoch=command.epoch,
                seq=command.seq,
                status=self.world.chance.choice((AckStatus.APPLIED, AckStatus.REJECTED)),
                at=now_ms,
            )
            for guard in self.world.living_guards
            for command in guard.engine.dispatch.open_commands().get(BotId(bot.spec.name), ())
        ]

    def _publish_if_up(self, topic: str, payload: bytes, retain: bool) -> None:
        if not self.world.is_quiet:
            self.world.broker.publish(topic, payload, qos=1, retain=retain)

    def babble(self) -> None:
        """Bytes that are no message, on topics of a bot."""
        bot, chance = self.world.some_bot().spec.name, self.world.chance
        for topic in (
            self._topics.posture(bot, Mode.PAPER),
            self._topics.heartbeat(bot),
            self._topics.reported(bot),
        ):
            payload = chance.randbytes(chance.randint(0, 40))
            self.world.broker.publish(topic, payload, qos=1, retain=chance.random() < 0.3)

    def _replay_commands_of(self, bot: BotProcess) -> None:
        part = f"/command/{bot.spec.name}/"
        found = [entry for entry in self.world.broker.log[-600:] if part in entry[0]]
        for topic, payload in found[-3:]:
            self.world.broker.publish(topic, payload, qos=1, retain=False)

    def _forge_for(self, bot: BotProcess, step: int) -> None:
        world, name = self.world, bot.spec.name
        if self.world.is_quiet or not bot.is_alive:
            return
        now_ms = ms_of(world.t0_ns + world.schedule.now_ns)
        oversight = bot.session.oversight
        guard_ms = oversight.clock.now_ms(world.schedule.now_ns)
        heartbeat = Heartbeat(
            bot=name,
            bot_session=bot.session.session,
            epoch=oversight.epoch,
            session=oversight.pulse.session,
            seq=oversight.pulse.seq + 1,
            ts=now_ms if guard_ms is None else guard_ms,
            decided_at=now_ms,
            posture_version=oversight.posture_version,
            mode=Mode.PAPER,
        )
        pause = Pause(
            id=f"forged-{step}",
            bot=name,
            epoch=oversight.epoch,
            seq=bot.session.seq + 1,
            ts=now_ms,
            expires_at=now_ms + 5_000,
            posture_version=oversight.posture_version,
            symbol="*",
            reason="forged",
            dry_run=True,
            entries=Entries.HALTED,
        )
        for message, topic in (
            (heartbeat, self._topics.heartbeat(name)),
            (pause, self._topics.command(name, Verb.PAUSE, Mode.PAPER)),
        ):
            world.broker.publish(topic, encode_signed(message, topic, WRONG_KEY), qos=1, retain=False)

    def _of_another(self, topic: str) -> str:
        names = [bot.spec.name for bot in self.world.bots]
        own = next((name for name in names if f"/{name}" in topic), "")
        other = self.world.chance.choice([name for name in names if name != own])
        return topic.replace(f"/{own}", f"/{other}") if own else topic


ATTACKS: dict[str, Callable[[Attacker], None]] = {
    attack.__name__: attack
    for attack in (
        Attacker.replay,
        Attacker.replay_to_restarted_bot,
        Attacker.forge,
        Attacker.replay_to_guard,
        Attacker.forge_to_guard,
        Attacker.babble,
    )
}
