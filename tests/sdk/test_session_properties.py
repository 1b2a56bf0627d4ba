"""Whatever order things come in: nothing runs twice or late, and silence is never looser than safe mode."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perpguard_sdk.limits import Limits, Restrictions, of_posture
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Command,
    CutLeverage,
    Entries,
    Mode,
    Pause,
    Posture,
    Resume,
    WidenStops,
)
from tests.sdk.bench import MS, OTHER, SYMBOL, Bench, Guard, bench

DELAY_MS_MAX = 50
STEP_MS = 200
SYMBOLS = (SYMBOL, OTHER)
KINDS: tuple[type[Command], ...] = (Pause, Resume, CutLeverage, WidenStops)
ENTRIES = st.dictionaries(st.sampled_from([*SYMBOLS, ALL_SYMBOLS]), st.sampled_from(list(Entries)))
SIZES = st.dictionaries(st.sampled_from([*SYMBOLS, ALL_SYMBOLS]), st.floats(0.0, 10.0))


class BotUnderAnyGuard(RuleBasedStateMachine):
    """A bot, its guard, a thief with a tape of all that was ever said, crashes, and a disk that may fill."""

    @initialize(mode=st.sampled_from(Mode))
    def begin(self, mode: Mode) -> None:
        self.bot: Bench = bench(mode, auto_execute=False)
        self.tape: list[tuple[str, bytes]] = []
        self.executions: Counter[str] = Counter()
        self.expiries: dict[str, int] = {}
        self.lives = 1
        self.last_valid_beat_ns: int | None = None
        self.before = self.bot.session.limits

    def say(self, sent: tuple[str, bytes], *, arrives: bool = True) -> None:
        self.tape.append(sent)
        if arrives:
            self.bot.hear(sent)
        self.count()

    def count(self) -> None:
        for command, at_ms in zip(self.bot.executed, self.bot.executed_ms, strict=True):
            self.executions[command.id] += 1
            # Guard time is behind the truth by the least delay at most.
            assert at_ms < self.expiries[command.id] + DELAY_MS_MAX
        self.bot.executed.clear()
        self.bot.executed_ms.clear()

    @rule(arrives=st.booleans(), delay_ms=st.sampled_from([0, DELAY_MS_MAX]))
    def heartbeat(self, arrives: bool, delay_ms: int) -> None:
        sent = self.bot.guard.heartbeat(self.bot.guard_ms - delay_ms, self.bot.session.session)
        self.say(sent, arrives=arrives)
        if arrives:
            self.last_valid_beat_ns = self.bot.mono_ns

    @rule(
        arrives=st.booleans(),
        entries=ENTRIES,
        max_size=SIZES,
        life_ms=st.sampled_from([-1, 2_000, 60_000]),
        session=st.sampled_from([None, "guard-0"]),
    )
    def posture(
        self,
        arrives: bool,
        entries: dict[str, Entries],
        max_size: dict[str, float],
        life_ms: int,
        session: str | None,
    ) -> None:
        guard, now = self.bot.guard, self.bot.guard_ms
        sent = guard.posture(
            now,
            entries=entries,
            max_size=max_size,
            expires_at=now + life_ms,
            session=session or guard.session,
        )
        self.say(sent, arrives=arrives)

    @rule(
        arrives=st.booleans(),
        kind=st.sampled_from(KINDS),
        symbol=st.sampled_from([*SYMBOLS, ALL_SYMBOLS]),
        life_ms=st.sampled_from([0, 500, 5_000]),
    )
    def command(self, arrives: bool, kind: type[Command], symbol: str, life_ms: int) -> None:
        guard, now = self.bot.guard, self.bot.guard_ms
        sent = guard.command(kind, now, symbol=symbol, expires_at=now + life_ms)
        self.expiries[f"{guard.session}-{guard.ids}"] = now + life_ms
        self.say(sent, arrives=arrives)

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        if self.tape:
            self.bot.hear(data.draw(st.sampled_from(self.tape)))
            self.count()

    @rule(ms=st.sampled_from([200, 1_000, 3_000]), beats=st.booleans())
    def time_passes(self, ms: int, beats: bool) -> None:
        for passed_ms in range(STEP_MS, ms + 1, STEP_MS):
            self.bot.wait(STEP_MS, beats=False)
            if beats and passed_ms % 1_000 == 0:
                self.bot.beat()
                self.last_valid_beat_ns = self.bot.mono_ns
            # At each step: a posture that has loosened rightly may have expired by the end of the wait.
            self.only_a_fresh_posture_loosens()
        self.count()

    @rule()
    def armed(self) -> None:
        self.bot.beat()
        self.bot.posture()
        self.bot.wait(5_000)
        self.last_valid_beat_ns = self.bot.mono_ns
        self.count()

    @rule()
    def guard_restarts(self) -> None:
        self.bot.guard = self.bot.guard.restarted()

    @rule()
    def work_ends(self) -> None:
        for command_id in list(self.bot.session._desk.running):
            self.bot.finish(command_id)
        self.count()

    @rule(auto_save=st.booleans())
    def disk(self, auto_save: bool) -> None:
        self.bot.auto_save = auto_save

    @rule(ok=st.booleans())
    def disk_answers(self, ok: bool) -> None:
        if self.bot.unsaved:
            self.bot.save(ok=ok)
            self.count()

    @rule(reconnects=st.booleans())
    def connection(self, reconnects: bool) -> None:
        self.bot.do(self.bot.session.on_disconnected(*self.bot.clocks))
        if reconnects:
            self.bot.do(self.bot.session.on_connected(*self.bot.clocks))

    @rule()
    def bot_crashes(self) -> None:
        self.lives += 1
        self.bot = self.bot.restarted(f"bot-{self.lives}")
        self.bot.auto_execute = False
        self.last_valid_beat_ns = None
        self.before = self.bot.session.limits  # what a disk did not take is lost; safe mode holds

    @invariant()
    def nothing_is_executed_twice(self) -> None:
        assert all(times == 1 for times in self.executions.values()), self.executions

    @invariant()
    def silence_is_never_looser_than_posture_and_safe_mode(self) -> None:
        bot = self.bot
        silent = self.last_valid_beat_ns is None or bot.mono_ns - self.last_valid_beat_ns >= 3_000 * MS
        if not silent:
            return
        limits, posture = bot.session.limits, bot.session.oversight.posture
        for symbol in SYMBOLS:
            assert limits.entries(symbol).tightness >= Entries.REDUCE_ONLY.tightness
            assert_covers(limits, posture, symbol)

    @invariant()
    def the_newest_verified_posture_always_binds(self) -> None:
        for symbol in SYMBOLS:
            assert_covers(self.bot.session.limits, self.bot.session.oversight.posture, symbol)

    @invariant()
    def only_a_fresh_posture_loosens(self) -> None:
        before, self.before = self.before, self.bot.session.limits
        if any(is_looser(self.before, before, symbol) for symbol in SYMBOLS):
            oversight = self.bot.session.oversight
            posture, guard_ms = oversight.posture, oversight.clock.now_ms(self.bot.mono_ns)
            assert posture is not None
            assert guard_ms is not None
            assert posture.expires_at > guard_ms
            assert (posture.epoch, posture.session) == (oversight.pulse.epoch, oversight.pulse.session)

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.bot.session._desk.seen) <= 512
        assert len(self.bot.session._desk.waiting) <= 4 * 3


def is_looser(now: Limits, before: Limits, symbol: str) -> bool:
    size_now, size_before = now.max_size(symbol), before.max_size(symbol)
    return now.entries(symbol).tightness < before.entries(symbol).tightness or (
        size_before is not None and (size_now is None or size_now > size_before)
    )


def assert_covers(limits: Limits, posture: Posture | None, symbol: str) -> None:
    """``limits`` are at least as tight as ``posture``."""
    floor = Limits(restrictions=of_posture(posture) if posture else Restrictions())
    assert limits.entries(symbol).tightness >= floor.entries(symbol).tightness
    size_max = floor.max_size(symbol)
    if size_max is not None:
        mine = limits.max_size(symbol)
        assert mine is not None
        assert mine <= size_max


TestBotUnderAnyGuard = BotUnderAnyGuard.TestCase
TestBotUnderAnyGuard.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class LosesStores(BotUnderAnyGuard):
    """The same with a bot that loses its file: old postures and heartbeats still arm nothing."""

    @rule()
    def state_is_lost(self) -> None:
        self.lives += 1
        lost = bench(
            self.bot.session.settings.mode,
            session=f"bot-{self.lives}",
            guard=self.bot.guard,
            mono_ns=self.bot.mono_ns,
            auto_execute=False,
        )
        self.bot = lost
        self.before = lost.session.limits
        self.last_valid_beat_ns = None
        # Without memory a retry within its expiry may run again; commands are absolute, so that is harmless.
        self.executions.clear()


TestLosesStores = LosesStores.TestCase
TestLosesStores.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

__all__ = ["Guard", "TestBotUnderAnyGuard", "TestLosesStores"]
