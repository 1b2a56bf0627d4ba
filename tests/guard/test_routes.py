"""A bot that does not reduce: its posture again, then others of its account, and a human at the end."""

from __future__ import annotations

import pytest
from msgspec import structs

from guard.commands import OutcomeKind
from guard.dispatch import DispatchSettings
from guard.findings import Finding, Reason
from guard.routes import Route
from guard.units import BotId
from perpguard_sdk.messages import AckStatus, BotStatus, CutLeverage, Entries, Verb
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    SYMBOL,
    Guard,
    acked,
    born,
    bot_state,
    finding,
    position,
    reported,
    seconds_of,
    snapshot,
    tick,
)
from tests.support.scene import Scene

HELD = {ALPHA: 6.0, BETA: 4.0}


class Pair:
    """Two bots on one position; those in ``obeys`` do what they are told half a second later."""

    def __init__(self, *obeys: BotId, **settings: object) -> None:
        self.scene = Scene(ALPHA, BETA)
        self.guard: Guard = self.scene.guard
        if settings:
            self.guard.engine.dispatch.reconfigure(DispatchSettings(**settings), {})  # type: ignore[arg-type]
        self.obeys, self.held = set(obeys), dict(HELD)
        self.away: set[BotId] = set()
        self.seen = 0

    def live(self, first: float, last: float, *findings: Finding) -> None:
        self.scene.say(*findings)
        for number in range(round((last - first) / 0.5)):
            seconds = first + number * 0.5
            said = [one.command for one in self.guard.commands[self.seen :]]
            self.seen = len(self.guard.commands)
            for command in said:
                bot = BotId(command.bot)
                if bot in self.away:
                    continue
                does = bot in self.obeys
                self.guard.feed(acked(seconds, command, AckStatus.APPLIED if does else AckStatus.REJECTED))
                if does and isinstance(command, CutLeverage):
                    self.held[bot] = min(self.held[bot], command.max_size)
            total = sum(self.held.values())
            self.guard.feed(snapshot(seconds + 0.1, position(total)))
            for bot in self.held.keys() - self.away:
                said_of = self.guard.posture(bot) if self.guard.postures else None
                entries = Entries.ALLOWED if said_of is None else said_of.entries.get(SYMBOL, Entries.ALLOWED)
                version = 0 if said_of is None else said_of.version
                report = reported(
                    seconds + 0.2, bot, size=self.held[bot], entries=entries, version=version, epoch=1
                )
                self.guard.feed(report)
            self.guard.feed(snapshot(seconds + 0.25, position(total)), tick(seconds + 0.3))

    def reasons(self, bot: BotId) -> set[Reason]:
        return {one.reason for one in self.guard.engine.findings if one.subject.bot == bot}

    def cuts(self, bot: BotId) -> list[CutLeverage]:
        said = [one.command for one in self.guard.commands if one.command.bot == bot and one.attempt == 1]
        return [one for one in said if isinstance(one, CutLeverage)]


WANTED = finding(account=ACCOUNT, max_size=5.0)
"""3 of alpha's 6 and 2 of beta's 4."""


def test_another_bot_of_the_account_takes_off_what_one_does_not() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, WANTED)

    assert pair.held == {ALPHA: 6.0, BETA: 0.0}
    assert [one.max_size for one in pair.cuts(BETA)] == [pytest.approx(2.0), 0.0]
    assert pair.reasons(ALPHA) >= {Reason.ROUTES_ENDED}, "of 5 that may be held, 6 are: a human has to know"
    assert pair.guard.posture(ALPHA).entries == {SYMBOL: Entries.HALTED}


def test_nothing_is_taken_off_twice_by_a_bot_that_comes_back() -> None:
    pair = Pair(BETA)
    pair.held = {ALPHA: 2.0, BETA: 8.0}
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, WANTED)
    assert sum(pair.held.values()) == pytest.approx(5.0)
    assert pair.reasons(ALPHA) == {Reason.COVERED_BY_OTHERS}
    assert pair.guard.posture(ALPHA).max_size == {SYMBOL: pytest.approx(2.0)}
    told = len(pair.cuts(ALPHA))

    pair.obeys.add(ALPHA)
    pair.guard.feed(born(60.1, ALPHA))
    pair.live(61.0, 90.0, WANTED)
    assert sum(pair.held.values()) == pytest.approx(5.0)
    assert len(pair.cuts(ALPHA)) == told


def test_others_begin_once_nothing_that_it_was_told_can_be_done() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, WANTED)
    asked, covers = pair.cuts(ALPHA), pair.cuts(BETA)[1]

    assert covers.ts >= max(one.expires_at for one in asked if one.max_size < 4.0)
    assert all(one.max_size > 4.0 for one in asked if one.ts >= covers.ts)


def test_who_cannot_be_reached_is_covered_for_as_well() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    pair.guard.feed(bot_state(3.0, ALPHA, state=BotStatus.OFFLINE))
    pair.away.add(ALPHA)
    pair.live(3.1, 60.0, WANTED)

    assert pair.cuts(ALPHA) == []
    assert pair.held[BETA] == 0.0


def test_who_has_not_the_verb_and_does_not_follow_its_posture_is_covered_for() -> None:
    pair = Pair(BETA)
    pair.guard.feed(born(0.9, ALPHA, verbs=[Verb.PAUSE, Verb.RESUME]))
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, WANTED)

    assert pair.held[BETA] == 0.0


def test_a_limit_of_one_bots_own_is_nobody_elses() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, finding(bot=ALPHA, max_size=3.0))

    assert pair.held == HELD
    assert pair.reasons(ALPHA) >= {Reason.ROUTES_ENDED}


def test_without_the_route_others_are_left_alone_and_a_human_is_told() -> None:
    pair = Pair(BETA, routes=(Route.POSTURE, Route.HUMAN))
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, WANTED)

    assert pair.held == {ALPHA: 6.0, BETA: pytest.approx(2.0)}
    assert pair.reasons(ALPHA) >= {Reason.ROUTES_ENDED, Reason.COMMAND_FAILED}


def test_it_is_over_when_nobody_limits_the_position_any_more() -> None:
    pair = Pair(BETA)
    pair.held = {ALPHA: 2.0, BETA: 8.0}
    pair.live(1.0, 3.0)
    pair.live(3.0, 60.0, WANTED)
    assert Reason.COVERED_BY_OTHERS in pair.reasons(ALPHA)
    pair.obeys.add(ALPHA)
    pair.live(60.0, 300.0)

    assert pair.reasons(ALPHA) == set()
    assert (pair.guard.posture(ALPHA).max_size, pair.guard.posture(BETA).max_size) == ({}, {})


def test_the_posture_is_told_again_with_the_first_failure() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    pair.live(3.0, 5.0, WANTED)
    failed = next(one for one in pair.guard.outcomes if one.outcome is OutcomeKind.FAILED)
    soon = [
        step
        for step in pair.guard.steps
        if 0.0 <= seconds_of(step.at) - seconds_of(failed.judged_at) < 1.0
        for publish in step.postures
        if publish.posture.bot == ALPHA
    ]

    assert soon


def test_working_it_all_out_anew_each_time_comes_to_the_same() -> None:
    one, other = Pair(BETA), Pair(BETA)
    for first in range(1, 60):
        for pair in (one, other):
            if pair is other:
                pair.guard.engine.forget_shortcuts()
            pair.live(float(first), first + 1.0, *([WANTED] if 3 <= first < 40 else []))

    plain = [structs.replace(each.command, evidence=()) for each in one.guard.commands]
    assert plain == [structs.replace(each.command, evidence=()) for each in other.guard.commands]
    assert [each.posture for each in one.guard.postures] == [each.posture for each in other.guard.postures]
    assert one.held == {ALPHA: 6.0, BETA: 0.0}


def test_who_fails_as_well_covers_for_nobody() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    pair.guard.feed(bot_state(3.0, ALPHA, state=BotStatus.OFFLINE))
    pair.away.add(ALPHA)
    pair.live(3.1, 6.0, WANTED)
    pair.obeys.clear()  # its part of 2 is done, and nothing more
    pair.live(6.0, 90.0, WANTED)
    assert pair.held == {ALPHA: 6.0, BETA: 2.0}
    assert pair.guard.posture(ALPHA).max_size == {SYMBOL: pytest.approx(3.0)}

    pair.away.clear()
    pair.obeys.add(ALPHA)
    pair.guard.feed(born(90.1, ALPHA), bot_state(90.1, ALPHA))
    pair.live(91.0, 120.0, WANTED)
    assert sum(pair.held.values()) == pytest.approx(5.0)


def test_who_is_covered_for_keeps_no_more_than_is_seen_to_be_off_the_others() -> None:
    """However both fail: all may together have what they may without this route, and never more."""
    pair = Pair()
    pair.live(1.0, 3.0)
    pair.guard.feed(bot_state(3.0, ALPHA, state=BotStatus.OFFLINE))
    pair.away.add(ALPHA)
    told: list[float] = []
    pair.scene.say(finding(account=ACCOUNT, max_size=4.0))
    for second in range(3, 90):
        pair.live(float(second), second + 1.0, finding(account=ACCOUNT, max_size=4.0))
        told.append(pair.guard.posture(ALPHA).max_size[SYMBOL])
    assert any(one.max_size == 0.0 for one in pair.cuts(BETA)), "beta was asked for alpha's part, too"
    assert told == [pytest.approx(2.4)] * len(told)
    assert pair.guard.posture(BETA).max_size == {SYMBOL: pytest.approx(1.6)}

    pair.away.clear()
    pair.obeys.add(ALPHA)
    pair.guard.feed(born(90.1, ALPHA))
    pair.live(91.0, 120.0, finding(account=ACCOUNT, max_size=4.0))
    assert pair.held == {ALPHA: pytest.approx(2.4), BETA: 4.0}


def test_what_one_keeps_and_others_hold_is_never_more_than_the_position_may_be() -> None:
    pair = Pair(BETA)
    pair.live(1.0, 3.0)
    for second in range(3, 60):
        pair.live(float(second), second + 1.0, WANTED)
        may_keep = pair.guard.posture(ALPHA).max_size[SYMBOL]
        assert may_keep <= 3.0 + (2.0 - min(pair.held[BETA], 2.0)) + 1e-9

    assert may_keep == pytest.approx(5.0)
