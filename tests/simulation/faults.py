"""What goes wrong, when and for how long: chosen by the seed, and a different mixture in every seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guard.units import NS_PER_S, ms_of
from perpguard_sdk.codec import encode_signed
from perpguard_sdk.messages import Entries, Heartbeat, Mode, Pause, Verb
from perpguard_sdk.topics import Topics
from tests.simulation.bots import BotDisk, BotProcess, Point
from tests.simulation.broker import Network
from tests.simulation.guards import SITE, GuardProcess
from tests.simulation.storage import Disk, Home
from tests.simulation.world import World

DELAY_S_MAX = 3.0
EVERY_S = 1.6
WRONG_KEY = b"a key that nobody has been given"


@dataclass(slots=True)
class Mischief:
    """Does something bad every now and then until it is told to stop; then everything is put right."""

    world: World
    kinds: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    _is_stopped: bool = False
    _topics: Topics = field(default_factory=lambda: Topics(site=SITE))

    def __post_init__(self) -> None:
        chance = self.world.chance
        # Not all kinds in each seed: what hides one fault behind another is shown by their absence.
        count = chance.randint(3, len(KINDS))
        self.kinds = chance.sample(sorted(KINDS), count)

    def begin(self) -> None:
        self._next()
        self._next_demand()

    def stop(self) -> None:
        """Put everything right: one guard, one broker, all bots, healthy disks and network."""
        self._is_stopped = True
        world = self.world
        if world.is_over:
            return
        world.broker.network, world.broker.held_back = Network(), ("", 0.0)
        if not world.broker.up:
            world.broker.restart()
        if world.broker.is_stalled:
            world.broker.go_on()
        world.venue_is_away, world.venue_late_s = False, 0.0
        for home in world.homes:
            home.disk = Disk()
        for guard in world.living_guards:
            guard.resume()
        for bot in world.bots:
            bot.die_at, bot.is_clumsy = None, False
            bot.disk = BotDisk(kept=bot.disk.kept, is_damaged=bot.disk.is_damaged)
            bot.resume()
            if not bot.is_alive:
                bot.start()
        if not world.living_guards:
            world.start_guard(world.homes[0])
        self.look_after()

    @property
    def _is_over(self) -> bool:
        return self._is_stopped or self.world.is_over

    def look_after(self) -> None:
        """As a supervisor: a guard that gave way to one that died since is started again."""
        if self.world.is_over:
            return
        if not self.world.living_guards:
            self.world.start_guard(self.world.homes[0])
        self.world.schedule.after(5.0, self.look_after)

    def _next(self) -> None:
        if self._is_over:
            return
        kind = self.world.chance.choice(self.kinds)
        self.done[kind] = self.done.get(kind, 0) + 1
        self.world.trace("fault", kind)
        KINDS[kind](self)
        self.world.schedule.after(self.world.chance.expovariate(1.0 / EVERY_S), self._next)

    def _next_demand(self) -> None:
        if self._is_over:
            return
        self.world.change_demand()
        self.world.schedule.after(self.world.chance.expovariate(1.0 / 1.2), self._next_demand)

    def _for_a_while(self, seconds_max: float, undo: Callable[[], object]) -> None:
        self.world.schedule.after(
            self.world.chance.uniform(0.3, seconds_max), lambda: None if self._is_over else undo()
        )

    def _some_guard(self) -> GuardProcess | None:
        living = self.world.living_guards
        return self.world.chance.choice(living) if living else None

    def _some_bot(self) -> BotProcess:
        return self.world.chance.choice(self.world.bots)

    def _some_home(self) -> Home:
        return self.world.chance.choice(self.world.homes)

    # Network and broker

    def lose(self) -> None:
        self.world.broker.network.lost_ratio = self.world.chance.uniform(0.02, 0.4)
        self._for_a_while(8.0, lambda: setattr(self.world.broker.network, "lost_ratio", 0.0))

    def delay(self) -> None:
        self.world.broker.network.delay_s_max = self.world.chance.uniform(0.1, DELAY_S_MAX)
        self._for_a_while(10.0, lambda: setattr(self.world.broker.network, "delay_s_max", 0.02))

    def reorder(self) -> None:
        network = self.world.broker.network
        network.reordered_ratio, network.delay_s_max = 0.5, self.world.chance.uniform(0.2, DELAY_S_MAX)
        self._for_a_while(8.0, lambda: setattr(self.world.broker, "network", Network()))

    def duplicate(self) -> None:
        self.world.broker.network.twice_ratio = self.world.chance.uniform(0.1, 0.9)
        self._for_a_while(8.0, lambda: setattr(self.world.broker.network, "twice_ratio", 0.0))

    def lose_answers(self) -> None:
        self.world.broker.network.answer_lost_ratio = self.world.chance.uniform(0.1, 0.9)
        self._for_a_while(6.0, lambda: setattr(self.world.broker.network, "answer_lost_ratio", 0.0))

    def hold_back_commands(self) -> None:
        """One bot's commands come only when they have expired, or nearly so; its heartbeats come as ever."""
        part = f"/command/{self._some_bot().spec.name}/"
        self.world.broker.held_back = (part, self.world.chance.uniform(5.0, 20.0))
        self.world.change_demand()
        self._for_a_while(8.0, lambda: setattr(self.world.broker, "held_back", ("", 0.0)))

    def crash_broker(self) -> None:
        self.world.broker.crash(wiped=self.world.chance.random() < 0.4)
        self._for_a_while(8.0, self.world.broker.restart)

    def stall_broker(self) -> None:
        self.world.broker.stall()
        self._for_a_while(8.0, self.world.broker.go_on)

    # Guards

    def crash_guard(self) -> None:
        guard, chance = self._some_guard(), self.world.chance
        if guard is None:
            return
        guard.crash()
        if chance.random() < 0.4:
            self._change_database(guard.home)
        self._for_a_while(6.0, lambda: self._start_if_absent(guard.home))

    def crash_guard_soon_after_demand(self) -> None:
        self.world.change_demand()
        self.world.schedule.after(self.world.chance.uniform(0.4, 0.7), self.crash_guard)

    def start_two_guards(self) -> None:
        """Both at one moment, so that neither hears the other before it claims."""
        for guard in self.world.living_guards:
            guard.crash()
        for home in self.world.homes:
            if self.world.chance.random() < 0.5:
                self._change_database(home)
            self.world.start_guard(home)

    def start_second_guard(self) -> None:
        self._start_if_absent(self._some_home())

    def stop_guard(self) -> None:
        guard = self._some_guard()
        if guard is not None and not guard.is_hung:
            guard.stop()
            self._for_a_while(6.0, lambda: self._start_if_absent(guard.home))

    def hang_guard(self) -> None:
        guard = self._some_guard()
        if guard is None or guard.is_hung:
            return
        guard.hang()
        if self.world.chance.random() < 0.5:
            other = next(home for home in self.world.homes if home is not guard.home)
            self._start_if_absent(other)
        self._for_a_while(14.0, lambda: guard.resume() if guard.is_alive else None)

    def step_guard_clock(self) -> None:
        home = self._some_home()
        home.wall_offset_ns += round(self._step_s() * NS_PER_S)

    def slow_guard_disk(self) -> None:
        home = self._some_home()
        home.disk.delay_s_max = self.world.chance.uniform(0.05, 4.0)
        self._for_a_while(8.0, lambda: setattr(home.disk, "delay_s_max", 0.005))

    def fill_guard_disk(self) -> None:
        home = self._some_home()
        home.disk.is_full = True
        self._for_a_while(8.0, lambda: setattr(home.disk, "is_full", False))

    def hang_guard_disk(self) -> None:
        home = self._some_home()
        home.disk.is_hung = True
        self._for_a_while(6.0, lambda: setattr(home.disk, "is_hung", False))

    def _start_if_absent(self, home: Home) -> None:
        if not self.world.guards_at(home):
            self.world.start_guard(home)

    def _change_database(self, home: Home) -> None:
        kept = self.world.chance.choice((0, self.world.chance.randint(0, len(home.rows))))
        home.truncate(kept)
        self.world.referee.database_changed(home)
        self.world.trace("database", home.name, kept)

    def _step_s(self) -> float:
        chance = self.world.chance
        return chance.choice((-60.0, 60.0, chance.uniform(-5.0, 5.0)))

    # Bots

    def crash_bot(self) -> None:
        bot = self._some_bot()
        bot.crash(down_s=self.world.chance.uniform(0.05, 6.0))

    def crash_bot_at_a_point(self) -> None:
        bot = self._some_bot()
        bot.die_at = self.world.chance.choice(list(Point))
        bot.down_s = self.world.chance.uniform(0.05, 3.0)

    def lose_bot_state(self) -> None:
        bot = self._some_bot()
        bot.crash(down_s=self.world.chance.uniform(0.05, 4.0))
        if self.world.chance.random() < 0.5:
            bot.disk.kept = None
        else:
            bot.disk.is_damaged = True

    def hang_bot(self) -> None:
        bot = self._some_bot()
        if bot.is_alive and not bot.is_hung:
            bot.hang()
            self._for_a_while(7.0, bot.resume)

    def step_bot_clock(self) -> None:
        self._some_bot().wall_offset_ns += round(self._step_s() * NS_PER_S)

    def slow_bot_disk(self) -> None:
        bot = self._some_bot()
        bot.disk.delay_s_max = self.world.chance.uniform(0.1, 4.0)
        self._for_a_while(8.0, lambda: setattr(bot.disk, "delay_s_max", 0.01))

    def fill_bot_disk(self) -> None:
        bot = self._some_bot()
        bot.disk.is_full = True
        self._for_a_while(6.0, lambda: setattr(bot.disk, "is_full", False))

    def make_bot_clumsy(self) -> None:
        bot = self._some_bot()
        bot.is_clumsy = True
        self._for_a_while(8.0, lambda: setattr(bot, "is_clumsy", False))

    # Venue

    def hide_venue(self) -> None:
        self.world.venue_is_away = True
        self._for_a_while(8.0, lambda: setattr(self.world, "venue_is_away", False))

    def delay_venue(self) -> None:
        self.world.venue_late_s = self.world.chance.uniform(0.5, 5.0)
        self._for_a_while(8.0, lambda: setattr(self.world, "venue_late_s", 0.0))

    # An attacker who reads and writes every topic and has no key

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
            if "/bot/" in topic:
                continue  # a bot's retained word of yesterday stops nobody, and is another campaign
            if chance.random() < 0.3:
                topic = self._of_another(topic)
            retain = "/posture/" in topic and chance.random() < 0.3
            self.world.broker.publish(topic, payload, qos=1, retain=retain)

    def replay_to_restarted_bot(self) -> None:
        """Kill a bot and play back at it, again and again, what it was told just before."""
        bot = self._some_bot()
        bot.crash(down_s=0.1)
        for step in range(12):
            self.world.schedule.after(0.4 + 0.4 * step, self._replay_commands_of, bot)

    def forge(self) -> None:
        """Heartbeats and commands under a key that is not the bot's; the guard falls silent meanwhile."""
        bot = self._some_bot()
        guard = self._some_guard()
        if guard is not None and self.world.chance.random() < 0.6:
            guard.hang()
            self.world.schedule.after(9.0, guard.resume)
        for step in range(18):
            self.world.schedule.after(0.5 * step, self._forge_for, bot, step)

    def babble(self) -> None:
        """Bytes that are no message, on topics of a bot."""
        bot, chance = self._some_bot().spec.name, self.world.chance
        for topic in (self._topics.posture(bot, Mode.PAPER), self._topics.heartbeat(bot)):
            payload = chance.randbytes(chance.randint(0, 40))
            self.world.broker.publish(topic, payload, qos=1, retain=chance.random() < 0.3)

    def _replay_commands_of(self, bot: BotProcess) -> None:
        part = f"/command/{bot.spec.name}/"
        found = [entry for entry in self.world.broker.log[-600:] if part in entry[0]]
        for topic, payload in found[-3:]:
            self.world.broker.publish(topic, payload, qos=1, retain=False)

    def _forge_for(self, bot: BotProcess, step: int) -> None:
        world, name = self.world, bot.spec.name
        if self._is_over or not bot.is_alive:
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


KINDS: dict[str, Callable[[Mischief], None]] = {
    kind.__name__: kind
    for kind in (
        Mischief.lose,
        Mischief.delay,
        Mischief.reorder,
        Mischief.duplicate,
        Mischief.lose_answers,
        Mischief.hold_back_commands,
        Mischief.crash_broker,
        Mischief.stall_broker,
        Mischief.crash_guard,
        Mischief.crash_guard_soon_after_demand,
        Mischief.start_two_guards,
        Mischief.start_second_guard,
        Mischief.stop_guard,
        Mischief.hang_guard,
        Mischief.step_guard_clock,
        Mischief.slow_guard_disk,
        Mischief.fill_guard_disk,
        Mischief.hang_guard_disk,
        Mischief.crash_bot,
        Mischief.crash_bot_at_a_point,
        Mischief.lose_bot_state,
        Mischief.hang_bot,
        Mischief.step_bot_clock,
        Mischief.slow_bot_disk,
        Mischief.fill_bot_disk,
        Mischief.make_bot_clumsy,
        Mischief.hide_venue,
        Mischief.delay_venue,
        Mischief.replay,
        Mischief.replay_to_restarted_bot,
        Mischief.forge,
        Mischief.babble,
    )
}
