"""Settings that change while the guard runs: told whole, taken whole, and nothing looser sooner for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from guard.arbiter import ArbiterSettings
from guard.commands import OutcomeKind
from guard.configuration import Settings, load
from guard.dispatch import DispatchSettings
from guard.events import MessageRefused, PositionSource, SettingsChanged
from guard.findings import Reason
from guard.market.view import BaselineSettings
from guard.policy import Policy
from guard.reload.plan import _HIGHER_LOOSENS, _LOWER_LOOSENS, Plan, difference, is_live, plan
from guard.settings_shape import items_of, walk
from guard.state import BotConfig
from guard.units import BotId, MarketId
from perpguard_sdk.messages import Entries, Posture
from policies.distrust_bots import DistrustBots
from policies.keep_restart_floor import KeepRestartFloor
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    ETH,
    MARKET,
    QUICK,
    SYMBOL,
    Guard,
    SaysWhatItIsTold,
    acked,
    at,
    born,
    features,
    finding,
    posture,
    reported,
    snapshot,
    started,
    tick,
)

BASE = """
[[venues]]
id = "binanceusdm"
symbols = ["BTC/USDT:USDT", "ETH/USDT:USDT"]
options = {defaultType = "swap"}

[[bots]]
name = "alpha"
key_env = "ALPHA_KEY"
venue = "binanceusdm"
account = "main"
"""


def settings_of(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return load(path)


def planned(tmp_path: Path, old: str, new: str) -> Plan:
    return plan(settings_of(tmp_path, old), settings_of(tmp_path, new))


def told(what: Plan) -> dict[str, tuple[str, str, str]]:
    return {each.path: (each.old, each.new, each.effect) for each in what.changes}


# What differs


def test_the_same_settings_differ_in_nothing(tmp_path: Path) -> None:
    assert planned(tmp_path, BASE, "# said again\n" + BASE).changes == ()


def test_each_number_says_which_way_it_goes(tmp_path: Path) -> None:
    new = BASE + "[policies.pause_entries]\ndepth_z = -5.0\nconfirm_s = 10.0\n[arbiter]\nhold_down_s = 0.0\n"
    what = planned(tmp_path, BASE, new)
    assert told(what) == {
        "policies.pause_entries.depth_z": ("-3.0", "-5.0", "loosens"),
        "policies.pause_entries.confirm_s": ("30.0", "10.0", "tightens"),
        "arbiter.hold_down_s": ("60.0", "0.0", "loosens"),
    }
    assert [each.path for each in what.loosening] == ["policies.pause_entries.depth_z", "arbiter.hold_down_s"]
    assert what.restart == ()
    assert what.venues == frozenset()


def test_a_policy_that_is_switched_off_is_said_in_words(tmp_path: Path) -> None:
    what = planned(tmp_path, BASE, BASE + "[policies.cut_leverage]\nenabled = false\n")
    (change,) = what.loosening
    assert change.effect == "loosens: the policy does not decide any more"


def test_bots_are_told_by_name_wherever_they_stand(tmp_path: Path) -> None:
    beta = BASE[BASE.index("[[bots]]") :].replace("alpha", "beta").replace("ALPHA", "BETA")
    what = planned(tmp_path, BASE, BASE.replace("[[bots]]", beta + "[[bots]]"))
    assert told(what) == {"bots.beta": ("absent", "present", "tightens")}
    what = planned(tmp_path, BASE + beta, BASE)
    assert told(what)["bots.beta"] == (
        "present",
        "absent",
        "loosens: the bot is not commanded any more and goes to its safe mode",
    )


def test_a_symbol_that_is_named_no_more_loosens(tmp_path: Path) -> None:
    what = planned(tmp_path, BASE, BASE.replace(', "ETH/USDT:USDT"', ""))
    assert what.venues == {"binanceusdm"}
    assert [each.effect for each in what.loosening] == ["loosens: ETH/USDT:USDT is not named any more"]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('[guard]\nname = "other"\n', "guard.name"),
        ('[guard]\nmode = "live"\n', "guard.mode"),
        ('[broker]\nsite = "other"\n', "broker.site"),
        ('[audit]\npath = "other.sqlite3"\n', "audit.path"),
    ],
)
def test_what_cannot_change_needs_a_restart(tmp_path: Path, line: str, path: str) -> None:
    assert planned(tmp_path, BASE, BASE + line).restart == (path,)


def test_paper_to_live_is_said_in_words(tmp_path: Path) -> None:
    (change,) = planned(tmp_path, BASE, BASE + '[guard]\nmode = "live"\n').loosening
    assert change.effect == "loosens: commands go to real bots"


def test_a_bot_that_moves_is_another_bot(tmp_path: Path) -> None:
    what = planned(tmp_path, BASE, BASE.replace('account = "main"', 'account = "second"'))
    assert what.restart == ("bots.alpha.account",)


def test_no_secret_is_told(tmp_path: Path) -> None:
    new = BASE.replace('"swap"', '"swap", apiKey = "hunter2-hunter2"').replace(
        "options", 'urls = {api = "https://me:hunter2-hunter2@proxy.example/x"}\noptions'
    )
    what = planned(tmp_path, BASE, new)
    assert {each.path for each in what.changes} == {
        "venues.binanceusdm.options.apiKey",
        "venues.binanceusdm.urls.api",
    }
    assert "hunter2" not in repr(what)


def test_a_secret_that_differs_is_told_by_its_path_alone(tmp_path: Path) -> None:
    same = settings_of(tmp_path, BASE)
    what = plan(same, same, {"bots.0.key": b"one"}, {"bots.0.key": b"two"})
    assert told(what) == {"bots.alpha.key": ("(not shown)", "(not shown, another)", "neutral")}
    assert what.restart == ()
    what = plan(same, same, {"broker.password": b"one"}, {"broker.password": b"two"})
    assert what.restart == ("broker.password",)
    elsewhere = Settings.model_validate({"broker": {"kind": "external"}})
    assert plan(elsewhere, elsewhere, {"broker.password": b"one"}, {"broker.password": b"two"}).restart == ()


def test_the_table_of_what_loosens_names_settings_that_there_are() -> None:
    known = {".".join((*path, name)) for path, kind in walk(Settings) for name in items_of(kind)}
    assert known >= _LOWER_LOOSENS
    assert known >= _HIGHER_LOOSENS
    assert not _LOWER_LOOSENS & _HIGHER_LOOSENS
    assert all(is_live(path) for path in _LOWER_LOOSENS | _HIGHER_LOOSENS)


def test_a_number_of_a_policy_that_nobody_has_judged_may_loosen(tmp_path: Path) -> None:
    old = settings_of(tmp_path, BASE)
    dumped: Any = old.model_dump()
    judged = {path.rsplit(".", 1)[1] for path in _LOWER_LOOSENS | _HIGHER_LOOSENS}
    assert "band_bps" not in judged
    dumped["baseline"]["band_bps"] = 50.0
    (change,) = difference(old, Settings.model_validate(dumped))
    assert change.effect == "may loosen"


# What the fold makes of it


@dataclass
class Scene:
    """A guard with bots that report what they are told, and a policy that says what it is told."""

    guard: Guard
    told: SaysWhatItIsTold
    bots: tuple[BotId, ...] = (ALPHA,)
    markets: tuple[MarketId, ...] = (MARKET,)
    arbiter: ArbiterSettings = field(default_factory=ArbiterSettings)
    dispatch: DispatchSettings = field(default_factory=DispatchSettings)
    baseline: BaselineSettings = QUICK
    policies: Sequence[Policy] = ()

    @classmethod
    def of(cls, *bots: BotId, arbiter: ArbiterSettings | None = None, keyed: bool = False) -> Scene:
        told = SaysWhatItIsTold([])
        bots = bots or (ALPHA,)
        guard = Guard.of(*bots, policies=[told], arbiter=arbiter, keyed=keyed)
        for bot in bots:
            guard.feed(born(0.0, bot))
        guard.feed(started(0.0))
        return cls(guard, told, bots, arbiter=arbiter or ArbiterSettings(), policies=[told])

    def reload(
        self,
        seconds: float,
        *,
        floors: dict[BotId, Posture] | None = None,
        keyed: bool = False,
        **change: Any,
    ) -> None:
        """What guard.reload.swap does to the engine, in its order."""
        before = self.markets
        for name, value in change.items():
            setattr(self, name, value)
        state = self.guard.engine.state
        state.reconfigure(
            baseline=self.baseline,
            markets=self.markets,
            without=frozenset(before) - frozenset(self.markets),
            bots=tuple(BotConfig(bot=bot, account=ACCOUNT) for bot in self.bots),
            keyed_accounts=(ACCOUNT,) if keyed else (),
            floors=floors or {},
        )
        self.guard.engine.reconfigure(
            policies=self.policies,
            arbiter=self.arbiter,
            dispatch=self.dispatch,
            floors=floors or {},
            now=at(seconds),
        )
        self.guard.feed(SettingsChanged(received_at=at(seconds), settings_digest="d"))

    def live(self, first: float, last: float, step: float = 0.5) -> None:
        for number in range(round((last - first) / step)):
            seconds = first + number * step
            for bot in self.bots:
                said = self.guard.posture(bot)
                event = reported(seconds, bot, version=said.version, epoch=1)
                obeyed = structs.replace(event.reported, entries=dict(said.entries))
                self.guard.feed(structs.replace(event, reported=obeyed))
            self.guard.feed(features(seconds), tick(seconds))

    def entries(self, bot: BotId = ALPHA) -> Entries:
        return self.guard.posture(bot).entries.get(SYMBOL, Entries.ALLOWED)


HALT = [finding(entries=Entries.HALTED)]


def halted(*, hold_down_s: float, step_s: float) -> Scene:
    scene = Scene.of(arbiter=ArbiterSettings(hold_down_s=hold_down_s, step_s=step_s))
    scene.told.findings = HALT
    scene.live(0.0, 5.0)
    assert scene.entries() is Entries.HALTED
    return scene


def test_a_policy_that_is_switched_off_keeps_its_restriction_for_the_hold_down() -> None:
    scene = halted(hold_down_s=60.0, step_s=20.0)
    scene.reload(5.0, policies=[])
    scene.live(5.0, 64.0)
    assert scene.entries() is Entries.HALTED
    scene.live(64.0, 67.0)
    assert scene.entries() is Entries.REDUCE_ONLY
    scene.live(67.0, 110.0)
    assert scene.entries() is Entries.ALLOWED


def test_a_shorter_hold_down_in_the_same_file_does_not_let_it_go_at_once() -> None:
    scene = halted(hold_down_s=60.0, step_s=20.0)
    scene.reload(5.0, policies=[], arbiter=ArbiterSettings(hold_down_s=0.0, step_s=0.0))
    scene.live(5.0, 64.0)
    assert scene.entries() is Entries.HALTED
    scene.live(64.0, 70.0)
    assert scene.entries() is Entries.ALLOWED


def test_something_that_freezes_meanwhile_does_not_shorten_it_either() -> None:
    scene = halted(hold_down_s=60.0, step_s=20.0)
    freezing = SaysWhatItIsTold([finding(policy="other", freezes=True)], name="other")
    scene.reload(5.0, policies=[freezing], arbiter=ArbiterSettings(hold_down_s=0.0, step_s=0.0))
    scene.live(5.0, 20.0)
    freezing.findings = []
    scene.live(20.0, 64.0)
    assert scene.entries() is Entries.HALTED


def test_what_tightens_is_in_force_with_the_reload_itself() -> None:
    scene = Scene.of()
    scene.live(0.0, 5.0)
    assert scene.entries() is Entries.ALLOWED
    scene.reload(5.0, policies=[SaysWhatItIsTold(HALT)])
    assert scene.entries() is Entries.HALTED


def test_open_commands_and_their_numbers_go_on() -> None:
    scene = Scene.of()
    scene.told.findings = HALT
    scene.guard.feed(reported(0.5, entries=Entries.ALLOWED, epoch=1), tick(0.6))
    (pause,) = scene.guard.commands
    scene.reload(0.7, dispatch=DispatchSettings(command_ttl_ms=5_000))
    assert scene.guard.outcomes == []
    scene.guard.feed(acked(0.8, pause.command))
    said = scene.guard.posture(ALPHA)
    scene.guard.feed(reported(2.5, entries=Entries.HALTED, version=said.version, epoch=1), tick(2.6))
    assert [(one.command_id, one.outcome) for one in scene.guard.outcomes] == [
        (pause.command.id, OutcomeKind.CONFIRMED)
    ]
    assert len(scene.guard.commands) == 1


def test_a_bot_that_is_removed_ends_its_commands_and_comes_back_with_later_numbers() -> None:
    scene = Scene.of(ALPHA, BETA)
    scene.told.findings = HALT
    scene.guard.feed(tick(0.6))
    first = {one.command.bot: one.command for one in scene.guard.commands}
    version = scene.guard.posture(BETA).version
    scene.reload(1.0, bots=(ALPHA,))
    assert [(one.command_id, one.outcome) for one in scene.guard.outcomes] == [
        (first[BETA].id, OutcomeKind.SUPERSEDED)
    ]
    postures = len(scene.guard.steps)
    scene.live(1.0, 20.0)
    later = [one.posture.bot for step in scene.guard.steps[postures:] for one in step.postures]
    assert BETA not in later

    scene.reload(20.0, bots=(ALPHA, BETA))
    scene.guard.feed(born(20.5, BETA), tick(20.6))
    second = [one.command for one in scene.guard.commands if one.command.bot == BETA][-1]
    assert second.seq > first[BETA].seq
    assert second.id != first[BETA].id
    assert scene.guard.posture(BETA).version > version
    assert scene.entries(BETA) is Entries.HALTED


def test_a_new_bot_keeps_what_a_former_guard_told_it_until_the_hold_down_is_over() -> None:
    scene = Scene.of(arbiter=ArbiterSettings(hold_down_s=30.0, step_s=5.0))
    scene.live(0.0, 40.0)
    floor = posture(BETA, version=9, entries={SYMBOL: Entries.REDUCE_ONLY})
    scene.reload(40.0, bots=(ALPHA, BETA), policies=[scene.told, KeepRestartFloor()], floors={BETA: floor})
    assert scene.entries(BETA) is Entries.REDUCE_ONLY
    assert scene.guard.posture(BETA).version > 9
    assert scene.entries(ALPHA) is Entries.ALLOWED, "another bot's floor is not its own"
    scene.live(40.0, 69.0)
    assert scene.entries(BETA) is Entries.REDUCE_ONLY
    scene.live(69.0, 80.0)
    assert scene.entries(BETA) is Entries.ALLOWED


def test_a_baseline_is_kept_and_another_band_is_learned_anew() -> None:
    scene = Scene.of()
    scene.live(0.0, 60.0)
    view = scene.guard.engine.state.markets[MARKET]
    assert view.is_warm(at(60.0))
    scene.reload(60.0, baseline=replace(QUICK, half_life_s=600.0, stale_ms_min=2_000))
    assert view.is_warm(at(60.0))
    assert scene.guard.engine.state.markets[MARKET] is view
    scene.reload(60.5, baseline=replace(QUICK, band_bps=50.0))
    assert not view.is_warm(at(60.5))


def test_an_account_that_is_read_no_more_is_not_believed_for_ever() -> None:
    scene = Scene.of(keyed=True)
    scene.guard.feed(snapshot(1.0))
    account = scene.guard.engine.state.accounts[ACCOUNT]
    assert account.source is PositionSource.VENUE
    scene.reload(2.0, keyed=False)
    assert scene.guard.engine.state.accounts[ACCOUNT].source is not PositionSource.VENUE
    assert ACCOUNT not in scene.guard.engine.state.account_clocks


def test_a_market_that_is_taken_away_leaves_a_bot_only_once_it_is_free_there() -> None:
    told = SaysWhatItIsTold([finding(market=ETH, entries=Entries.REDUCE_ONLY)])
    guard = Guard.of(ALPHA, policies=[told], markets=(MARKET, ETH), named_markets=(MARKET, ETH))
    scene = Scene(guard, told, markets=(MARKET, ETH), policies=[told])
    guard.feed(born(0.0), started(0.0), tick(0.5))
    state = guard.engine.state
    state.reconfigure(
        baseline=QUICK,
        markets=(MARKET,),
        without=frozenset({ETH}),
        bots=(BotConfig(bot=ALPHA, account=ACCOUNT, markets=(MARKET,)),),
        keyed_accounts=(),
        floors={},
    )
    guard.engine.reconfigure(
        policies=[], arbiter=scene.arbiter, dispatch=scene.dispatch, floors={}, now=at(1.0)
    )
    guard.feed(SettingsChanged(received_at=at(1.0), settings_digest="d"))
    assert ETH not in state.markets
    symbol = "ETH/USDT:USDT"
    scene.live(1.0, 60.0)
    assert guard.posture(ALPHA).entries[symbol] is Entries.REDUCE_ONLY
    scene.live(60.0, 84.0)
    assert symbol not in guard.posture(ALPHA).entries
    assert ETH not in state.bots[ALPHA].markets
    assert ETH not in state.markets


def test_what_was_refused_of_a_bot_that_was_not_known_is_not_held_against_it() -> None:
    scene = Scene.of()
    scene.policies = [DistrustBots()]
    scene.reload(0.5)
    refused = MessageRefused(received_at=at(1.0), topic="t", bot=None, detail="unknown bot", count=5)
    scene.guard.feed(refused, tick(1.1))
    assert Reason.MESSAGE_REFUSED in {found.reason for found in scene.guard.engine.findings}
    scene.reload(2.0, bots=(ALPHA, BETA))
    assert Reason.MESSAGE_REFUSED not in {found.reason for found in scene.guard.engine.findings}


TIGHTNESS = st.sampled_from([Entries.ALLOWED, Entries.REDUCE_ONLY, Entries.HALTED])
RELOADS = st.lists(
    st.tuples(st.integers(1, 40), st.floats(0.0, 20.0), st.floats(0.0, 5.0), st.booleans()), max_size=4
)


@given(asked=st.lists(TIGHTNESS, min_size=1, max_size=8), reloads=RELOADS)
@settings(max_examples=40, deadline=None)
def test_whatever_is_reloaded_when_nothing_is_looser_sooner_and_no_command_is_lost(
    asked: list[Entries], reloads: list[tuple[int, float, float, bool]]
) -> None:
    """Against a guard that has the same findings, none of the reloads, and the hold-down that it began with.

    Where a reload takes the policy out the plain guard's findings end too: that is what it may not be ahead of.
    """
    arbiter = ArbiterSettings(hold_down_s=10.0, step_s=2.0)
    reloaded, plain = Scene.of(arbiter=arbiter), Scene.of(arbiter=arbiter)
    due = {at_s: (hold_s, step_s, off) for at_s, hold_s, step_s, off in reloads}
    is_slower = all(hold_s >= 10.0 and step_s >= 2.0 for hold_s, step_s, _ in due.values())
    is_off, changed_s = False, -1
    for second in range(50):
        wanted = asked[second // 5] if second // 5 < len(asked) else Entries.ALLOWED
        if second in due:
            hold_s, step_s, is_off = due[second]
            policies = [] if is_off else [reloaded.told]
            reloaded.reload(
                second, arbiter=ArbiterSettings(hold_down_s=hold_s, step_s=step_s), policies=policies
            )
            changed_s = second if changed_s < 0 else changed_s
        findings = [] if wanted is Entries.ALLOWED else [finding(entries=wanted)]
        reloaded.told.findings = findings
        plain.told.findings = [] if is_off else findings
        reloaded.live(second, second + 1)
        plain.live(second, second + 1)
        if changed_s < 0 or second + 1 < changed_s + 10 or is_slower:
            assert reloaded.entries().tightness >= plain.entries().tightness, second
    issued = {one.command.id for one in reloaded.guard.commands}
    ended = {one.command_id for one in reloaded.guard.outcomes}
    open_ = {one.id for each in reloaded.guard.engine.dispatch.open_commands().values() for one in each}
    assert issued == ended | open_
