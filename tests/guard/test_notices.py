"""People are told once, of a group, when it has settled; again when it is worse; and when it is over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.audit import Step
from guard.commands import CommandOutcome, OutcomeKind, PublishCommand
from guard.findings import Finding, Reason, Severity, Subject
from guard.notices import Notices, NoticeSettings
from guard.units import MarketId
from perpguard_sdk.messages import Entries, Evidence, Notice, NoticeKind, Pause
from tests.support.builders import ACCOUNT, ALPHA, ETH, MARKET, at, new_state, tick

STATE = new_state(ALPHA, markets=(MARKET, ETH))


def found(
    market: MarketId = MARKET,
    *,
    severity: Severity = Severity.ACT,
    reason: Reason = Reason.DEPTH_THIN,
    account: bool = False,
) -> Finding:
    return Finding(
        policy="pause_entries",
        reason=reason,
        severity=severity,
        subject=Subject(market=market, account=ACCOUNT if account else None),
        evidence=(Evidence(name="bid depth over normal", value=0.2, unit="ratio", limit=0.5),),
        counterfactual="-",
    )


class World:
    """Notices over steps; ``run`` lets time go on and returns what was said, with when."""

    def __init__(self, **settings: float | Severity) -> None:
        self.notices = Notices(NoticeSettings(**settings))  # type: ignore[arg-type]
        self.said: list[tuple[float, Notice]] = []
        self.seconds = 0.0

    def step(
        self,
        *opened: Finding,
        closed: tuple[Finding, ...] = (),
        commands: tuple[PublishCommand, ...] = (),
        outcomes: tuple[CommandOutcome, ...] = (),
    ) -> None:
        self.notices.note(
            Step(
                at=at(self.seconds),
                event=tick(self.seconds),
                opened=opened,
                closed=closed,
                commands=commands,
                outcomes=outcomes,
            ),
            STATE,
        )

    def run(
        self, seconds: float, held_back: frozenset[Reason] = frozenset()
    ) -> list[tuple[float, NoticeKind]]:
        before = len(self.said)
        for _ in range(round(seconds)):
            self.seconds += 1.0
            due = self.notices.due(at(self.seconds), "guard-1", lambda finding: finding.reason in held_back)
            self.said += [(self.seconds, each) for each in due]
        return [(when, each.kind) for when, each in self.said[before:]]


def test_many_findings_of_one_crash_are_one_notice_with_the_worst_first() -> None:
    world = World(settle_s=3.0)
    world.step(*(found(MarketId(f"loopback:C{n}/USDT:USDT")) for n in range(40)))
    world.step(found(ETH, severity=Severity.CRITICAL, reason=Reason.DEPTH_COLLAPSED))
    assert world.run(10) == [(3.0, NoticeKind.OPENED)]
    ((_, notice),) = world.said
    assert notice.about == "loopback"
    assert notice.severity == Severity.CRITICAL
    assert notice.findings == 41
    assert "ETH" in notice.lines[0]
    assert notice.lines[-1] == "and 33 more"


def test_each_account_and_venue_has_its_own() -> None:
    world = World()
    world.step(found(), found(account=True, reason=Reason.LIQUIDATION_NEAR))
    world.run(5)
    assert {notice.about for _, notice in world.said} == {"loopback", ACCOUNT}


def test_what_goes_before_anybody_was_told_is_not_told() -> None:
    world = World(settle_s=3.0)
    world.step(found())
    world.run(2)
    world.step(closed=(found(),))
    assert world.run(300) == []


def test_what_flaps_is_told_once_and_is_over_once_it_stays_away() -> None:
    world = World(settle_s=3.0, resolve_s=60.0)
    world.step(found())
    said = world.run(10)
    for _ in range(5):
        world.step(closed=(found(),))
        said += world.run(20)
        world.step(found())
        said += world.run(20)
    world.step(closed=(found(),))
    said += world.run(100)
    assert [kind for _, kind in said] == [NoticeKind.OPENED, NoticeKind.RESOLVED]


def test_what_gets_worse_is_told_soon_and_what_only_grows_waits() -> None:
    world = World(settle_s=3.0, change_s=120.0)
    world.step(found())
    world.run(10)
    world.step(found(ETH))
    world.run(20)
    world.step(found(severity=Severity.CRITICAL))
    assert world.run(5) == [(31.0, NoticeKind.CHANGED)]
    world.step(found(MarketId("loopback:SOL/USDT:USDT")))
    assert world.run(200) == [(151.0, NoticeKind.CHANGED)]


def test_what_stands_is_repeated_and_what_is_milder_than_asked_is_not_told() -> None:
    world = World(repeat_s=600.0)
    world.step(found(), found(ETH, severity=Severity.WATCH))
    assert world.run(1300) == [
        (3.0, NoticeKind.OPENED),
        (603.0, NoticeKind.REPEATED),
        (1203.0, NoticeKind.REPEATED),
    ]
    assert all(notice.findings == 1 for _, notice in world.said)


def test_what_waits_for_a_human_is_told_however_mild() -> None:
    world = World(severity_min=Severity.CRITICAL)
    world.step(found(reason=Reason.BUDGET_SPENT, severity=Severity.WATCH))
    assert [kind for _, kind in world.run(5)] == [NoticeKind.OPENED]


def test_silenced_findings_are_counted_and_told_when_the_silence_ends() -> None:
    world = World(settle_s=3.0)
    world.step(found(reason=Reason.STALE_DATA))
    assert world.run(600, frozenset({Reason.STALE_DATA})) == []
    assert [kind for _, kind in world.run(10)] == [NoticeKind.OPENED]
    world.step(found(ETH))
    world.run(300, frozenset({Reason.STALE_DATA}))
    assert world.said[-1][1].held_back == 1


def command(number: int) -> PublishCommand:
    return PublishCommand(
        command=Pause(
            id=f"c{number}",
            bot=ALPHA,
            epoch=1,
            seq=number,
            ts=0,
            expires_at=0,
            posture_version=1,
            symbol="BTC/USDT:USDT",
            reason="depth_thin",
            dry_run=True,
            entries=Entries.REDUCE_ONLY,
        ),
        attempt=1,
    )


def test_what_was_asked_is_named_and_what_had_no_effect_is_told_at_once() -> None:
    world = World(settle_s=3.0, change_s=600.0)
    world.step(found(account=True), commands=(command(1),))
    world.run(5)
    assert world.said[0][1].commands == ("c1",)
    outcome = CommandOutcome(
        command_id="c1",
        bot=ALPHA,
        outcome=OutcomeKind.FAILED,
        source="venue",
        detail="the position is as large as before",
        judged_at=at(world.seconds),
    )
    world.step(outcomes=(outcome,))
    assert world.run(4) == [(8.0, NoticeKind.CHANGED)]
    told = world.said[-1][1]
    assert "without effect" in told.title
    assert "as large as before" in told.lines[0]


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.sampled_from([MARKET, ETH]), st.sampled_from(list(Severity)), st.integers(0, 90)
        ),
        max_size=30,
    )
)
def test_whatever_comes_it_opens_before_it_changes_and_ends_by_being_over(
    story: list[tuple[bool, MarketId, Severity, int]],
) -> None:
    world = World(settle_s=3.0, change_s=30.0, resolve_s=10.0, repeat_s=0.0)
    for opens, market, severity, wait in story:
        one = found(market, severity=severity)
        world.step(*([one] if opens else []), closed=() if opens else (one,))
        world.run(wait)
    world.step(closed=(found(MARKET), found(ETH)))
    world.run(60)
    is_open = False
    for _, notice in world.said:
        assert is_open is (notice.kind is not NoticeKind.OPENED)
        is_open = notice.kind is not NoticeKind.RESOLVED
    assert not is_open
    assert list(world.notices.standing()) == []
    assert len({notice.id for _, notice in world.said}) == len(world.said)


@pytest.mark.parametrize("setting", ["settle_s", "change_s", "repeat_s", "resolve_s"])
def test_the_same_steps_say_the_same(setting: str) -> None:
    def said() -> list[tuple[float, Notice]]:
        world = World(**{setting: 50.0})
        world.step(found(), found(ETH, severity=Severity.CRITICAL))
        world.run(100)
        world.step(closed=(found(), found(ETH)))
        world.run(300)
        return world.said

    assert said() == said()
