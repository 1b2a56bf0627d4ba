"""What goes wrong, when and for how long: chosen by the seed, and a different mixture in every seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guard.units import NS_PER_S
from tests.simulation.attacks import ATTACKS, Attacker
from tests.simulation.bots import BotDisk, Point
from tests.simulation.broker import Network
from tests.simulation.storage import Disk, Home
from tests.simulation.world import World

DELAY_S_MAX = 3.0
EVERY_S = 1.6


@dataclass(slots=True)
class Mischief:
    """Does something bad every now and then until it is told to stop; then everything is put right."""

    world: World
    kinds: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    attacker: Attacker = field(init=False)

    def __post_init__(self) -> None:
        chance = self.world.chance
        # Not all kinds in each seed: what hides one fault behind another is shown by their absence.
        every = sorted([*KINDS, *ATTACKS])
        self.kinds = chance.sample(every, chance.randint(3, len(every)))
        self.attacker = Attacker(self.world)

    def begin(self) -> None:
        self._next()
        self._next_demand()

    def stop(self) -> None:
        """Put everything right: one guard, one broker, all bots, healthy disks and network."""
        world = self.world
        world.is_quiet = True
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

    def look_after(self) -> None:
        """As a supervisor: a guard that gave way to one that died since is started again."""
        if self.world.is_over:
            return
        if not self.world.living_guards:
            self.world.start_guard(self.world.homes[0])
        self.world.schedule.after(5.0, self.look_after)

    def _next(self) -> None:
        if self.world.is_quiet:
            return
        kind = self.world.chance.choice(self.kinds)
        self.done[kind] = self.done.get(kind, 0) + 1
        self.world.trace("fault", kind)
        if kind in ATTACKS:
            ATTACKS[kind](self.attacker)
        else:
            KINDS[kind](self)
        self.world.schedule.after(self.world.chance.expovariate(1.0 / EVERY_S), self._next)

    def _next_demand(self) -> None:
        if self.world.is_quiet:
            return
        self.world.change_demand()
        self.world.schedule.after(self.world.chance.expovariate(1.0 / 1.2), self._next_demand)

    def _for_a_while(self, seconds_max: float, undo: Callable[[], object]) -> None:
        self.world.schedule.after(
            self.world.chance.uniform(0.3, seconds_max), lambda: None if self.world.is_quiet else undo()
        )

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
        part = f"/command/{self.world.some_bot().spec.name}/"
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
        guard, chance = self.world.some_guard(), self.world.chance
        if guard is None:
            return
        guard.crash()
        if chance.random() < 0.4:
            self._change_database(guard.home)
        self._for_a_while(6.0, lambda: self._start_if_absent(guard.home))

    def crash_guard_soon_after_demand(self) -> None:
        self.world.change_demand()
        self.world.schedule.after(self.world.chance.uniform(0.4, 0.7), self.crash_guard)

    def crash_guard_with_full_disk(self) -> None:
        """What it decides goes out as commands only, and dies with it."""
        for home in self.world.homes:
            home.disk.is_full = True
        self._for_a_while(4.0, self._mend_disks)
        self.crash_guard_soon_after_demand()

    def _mend_disks(self) -> None:
        for home in self.world.homes:
            home.disk = Disk()

    def forget_everything(self) -> None:
        """The broker loses what it retains, every guard its database; only the bots remember. Then disks are slow."""
        world = self.world
        for guard in world.living_guards:
            guard.crash()
        for home in world.homes:
            home.truncate(0)
            world.referee.database_changed(home)
            home.disk.delay_s_max = 4.0
        world.broker.crash(wiped=True)
        world.change_demand()
        world.schedule.after(0.3, world.broker.restart)
        world.schedule.after(0.6, lambda: None if world.is_quiet else self._start_if_absent(world.homes[0]))
        self._for_a_while(12.0, self._mend_disks)

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
        guard = self.world.some_guard()
        if guard is not None and not guard.is_hung:
            guard.stop()
            self._for_a_while(6.0, lambda: self._start_if_absent(guard.home))

    def hang_guard(self) -> None:
        guard = self.world.some_guard()
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
        bot = self.world.some_bot()
        bot.crash(down_s=self.world.chance.uniform(0.05, 6.0))

    def crash_bot_at_a_point(self) -> None:
        bot = self.world.some_bot()
        bot.die_at = self.world.chance.choice(list(Point))
        bot.down_s = self.world.chance.uniform(0.05, 3.0)

    def lose_bot_state(self) -> None:
        bot = self.world.some_bot()
        bot.crash(down_s=self.world.chance.uniform(0.05, 4.0))
        if self.world.chance.random() < 0.5:
            bot.disk.kept = None
        else:
            bot.disk.is_damaged = True

    def hang_bot(self) -> None:
        bot = self.world.some_bot()
        if bot.is_alive and not bot.is_hung:
            bot.hang()
            self._for_a_while(7.0, bot.resume)

    def step_bot_clock(self) -> None:
        self.world.some_bot().wall_offset_ns += round(self._step_s() * NS_PER_S)

    def slow_bot_disk(self) -> None:
        bot = self.world.some_bot()
        bot.disk.delay_s_max = self.world.chance.uniform(0.1, 4.0)
        self._for_a_while(8.0, lambda: setattr(bot.disk, "delay_s_max", 0.01))

    def fill_bot_disk(self) -> None:
        bot = self.world.some_bot()
        bot.disk.is_full = True
        self._for_a_while(6.0, lambda: setattr(bot.disk, "is_full", False))

    def make_bot_clumsy(self) -> None:
        bot = self.world.some_bot()
        bot.is_clumsy = True
        self._for_a_while(8.0, lambda: setattr(bot, "is_clumsy", False))

    # Venue

    def hide_venue(self) -> None:
        self.world.venue_is_away = True
        self._for_a_while(8.0, lambda: setattr(self.world, "venue_is_away", False))

    def delay_venue(self) -> None:
        self.world.venue_late_s = self.world.chance.uniform(0.5, 5.0)
        self._for_a_while(8.0, lambda: setattr(self.world, "venue_late_s", 0.0))


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
        Mischief.crash_guard_with_full_disk,
        Mischief.forget_everything,
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
    )
}
