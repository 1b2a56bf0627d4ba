"""What an action takes: assumed at first, then the slow end of what was measured, and never flattered."""

from __future__ import annotations

import pytest

from guard.account.action_time import ActionTime, ActionTimes
from guard.account.time_to_liquidation import NOT_FORESEEN_S, actions_left, seconds_at, seconds_to
from guard.commands import CommandOutcome, OutcomeKind
from guard.market.speed import Speeds
from guard.units import NS_PER_S, BotId, Nanoseconds
from perpguard_sdk.messages import Command, CutLeverage, Pause

SYMBOL = "BTC/USDT:USDT"
ALPHA, BETA = BotId("alpha"), BotId("beta")
ASSUMED = ActionTime(30.0, is_assumed=True)


def at(seconds: float) -> Nanoseconds:
    return 1_760_000_000 * NS_PER_S + round(seconds * NS_PER_S)


def cut(number: int, bot: BotId = ALPHA) -> CutLeverage:
    return CutLeverage(max_size=1.0, max_leverage=2.0, **envelope(number, bot))  # type: ignore[arg-type]


def envelope(number: int, bot: BotId) -> dict[str, object]:
    return {
        "id": f"{bot}-{number}",
        "bot": bot,
        "epoch": 1,
        "session": "s1",
        "seq": number,
        "ts": 0,
        "expires_at": 0,
        "posture_version": 1,
        "symbol": SYMBOL,
        "reason": "liquidation_near",
        "evidence": (),
        "dry_run": False,
    }


def outcome(command: Command, seconds: float, kind: OutcomeKind = OutcomeKind.CONFIRMED) -> CommandOutcome:
    return CommandOutcome(
        command_id=command.id,
        bot=BotId(command.bot),
        outcome=kind,
        source="venue",
        detail="",
        judged_at=at(seconds),
    )


def act(times: ActionTimes, number: int, took_s: float, bot: BotId = ALPHA, **given: OutcomeKind) -> None:
    command = cut(number, bot)
    times.begin(command, at(0.0))
    times.end(outcome(command, took_s, **given))


def test_thirty_seconds_are_assumed_until_enough_were_confirmed() -> None:
    times = ActionTimes()
    for number in range(19):
        act(times, number, 1.0)
    assert times.of_bot(ALPHA) == ActionTime(30.0, is_assumed=True, count=19)
    act(times, 20, 1.0)
    measured = times.of_bot(ALPHA)
    assert (measured.is_assumed, measured.count) == (False, 20)
    assert measured.seconds == pytest.approx(1.0, rel=0.11)
    assert measured.seconds >= 1.0


def test_what_was_measured_to_be_slower_counts_before_there_are_enough() -> None:
    times = ActionTimes()
    act(times, 1, 45.0)
    told = times.of_bot(ALPHA)
    assert told.is_assumed
    assert 45.0 <= told.seconds <= 45.0 * 1.11


def test_the_slow_end_counts_not_the_middle() -> None:
    times = ActionTimes()
    for number in range(95):
        act(times, number, 0.5)
    for number in range(95, 100):
        act(times, number, 8.0)
    assert times.of_bot(ALPHA).seconds >= 8.0


def test_a_slow_one_is_forgotten_after_many_others() -> None:
    times = ActionTimes()
    act(times, 0, 20.0)
    for number in range(1, 2_000):
        act(times, number, 0.5)
    assert times.of_bot(ALPHA).seconds < 0.6


def test_a_refusal_makes_no_action_fast() -> None:
    times = ActionTimes()
    for number in range(30):
        act(times, number, 0.05, kind=OutcomeKind.FAILED)
    assert times.of_bot(ALPHA).seconds >= 30.0
    act(times, 31, 90.0, kind=OutcomeKind.FAILED)
    assert times.of_bot(ALPHA).seconds >= 90.0


@pytest.mark.parametrize("kind", [OutcomeKind.SUPERSEDED, OutcomeKind.UNVERIFIABLE])
def test_what_nobody_saw_the_end_of_is_not_counted(kind: OutcomeKind) -> None:
    times = ActionTimes()
    act(times, 1, 1.0, kind=kind)
    assert times.action_time() == ASSUMED


def test_a_pause_says_nothing_of_how_long_a_cut_takes() -> None:
    times = ActionTimes()
    for number in range(30):
        pause = Pause(entries="halted", **envelope(number, ALPHA))  # type: ignore[arg-type]
        times.begin(pause, at(0.0))
        times.end(outcome(pause, 0.01))
    assert times.action_time() == ASSUMED


def test_a_repeated_command_began_with_its_first_time() -> None:
    times = ActionTimes(confirmed_min=1)
    times.begin(cut(1), at(0.0))
    times.begin(cut(1), at(5.0))
    times.end(outcome(cut(1), 6.0))
    times.end(outcome(cut(1), 99.0))
    assert 6.0 <= times.action_time().seconds < 7.0
    assert times.action_time().count == 1


def test_an_account_waits_for_the_slowest_of_its_bots() -> None:
    times = ActionTimes(confirmed_min=1)
    act(times, 1, 2.0, ALPHA)
    act(times, 1, 4.0, BETA)
    assert times.action_time((ALPHA, BETA)) == times.of_bot(BETA)
    assert times.action_time((ALPHA, BotId("gamma"))) == ASSUMED
    assert times.action_time(()) == ASSUMED


def speeds(*, down: float | None = None, up: float | None = None, stressed: float = 2e-4) -> Speeds:
    return Speeds(down=down, up=up, stressed_down=stressed, stressed_up=2 * stressed)


def test_a_way_in_bps_becomes_a_time_in_its_own_direction() -> None:
    assert seconds_at(1_000.0, 1e-3) == pytest.approx(105.36, abs=0.01)
    assert seconds_at(1_000.0, 1e-3, down=False) == pytest.approx(95.31, abs=0.01)
    assert seconds_at(0.0, 1e-3) == seconds_at(0.0, 0.0) == seconds_at(-5.0, 1e-3) == 0.0


def test_speeds_are_taken_in_the_direction_of_the_liquidation_price() -> None:
    known = speeds(down=1e-3, up=3e-3, stressed=5e-3)
    for down, stressed, per_s in (
        (True, False, 1e-3),
        (False, False, 3e-3),
        (True, True, 5e-3),
        (False, True, 0.01),
    ):
        assert seconds_to(200.0, known, down=down, stressed=stressed) == seconds_at(200.0, per_s, down=down)
    assert seconds_to(200.0, None, down=True, stressed=True) is None


@pytest.mark.parametrize(
    ("distance", "per_s"),
    [(None, 1e-3), (500.0, None), (float("nan"), 1e-3), (500.0, float("inf")), (500.0, -1.0)],
)
def test_what_is_not_known_stays_unknown(distance: float | None, per_s: float | None) -> None:
    assert seconds_at(distance, per_s) is None


def test_never_is_told_as_a_time_and_not_as_unknown() -> None:
    assert seconds_at(500.0, 0.0) == NOT_FORESEEN_S
    assert seconds_at(500.0, 1e-300) == NOT_FORESEEN_S
    assert seconds_at(10_000.0, 1.0) == NOT_FORESEEN_S
    assert seconds_at(10_000.0, 1.0, down=False) == pytest.approx(0.693, abs=1e-3)


@pytest.mark.parametrize(
    ("now_s", "stressed_s", "action_s", "left"),
    [
        (600.0, 90.0, 30.0, 3.0),
        (60.0, 90.0, 30.0, 2.0),
        (None, 45.0, 30.0, 1.5),
        (0.0, 0.0, 30.0, 0.0),
        (None, None, 30.0, None),
        (60.0, 60.0, None, None),
        (60.0, 60.0, 0.0, None),
    ],
)
def test_the_faster_speed_says_how_many_actions_are_left_and_nobody_guesses(
    now_s: float | None, stressed_s: float | None, action_s: float | None, left: float | None
) -> None:
    assert actions_left(now_s, stressed_s, action_s) == left
