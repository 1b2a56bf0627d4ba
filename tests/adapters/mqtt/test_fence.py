"""The fence by itself, on a clock that the test turns."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from adapters.mqtt.fence import HINT_ABOVE_VERIFIED_MAX, EpochFence
from guard.errors import FencedError
from guard.ports import Claim
from guard.units import NS_PER_S, Nanoseconds
from perpguard_sdk.messages import Heartbeat
from tests.support.mqtt_ends import BETA, heartbeat, posture


class TurnedClock:
    """Stands still until somebody waits for it; then it walks there in seconds."""

    def __init__(self, fence: EpochFence) -> None:
        self.at: Nanoseconds = 1000 * NS_PER_S
        self.beating_until: Nanoseconds = 0
        self.fence = fence

    def now(self) -> Nanoseconds:
        return self.at

    async def sleep_until(self, at: Nanoseconds) -> None:
        """Let the rival beat each second on the way."""
        while self.at < at:
            self.at = min(at, self.at + NS_PER_S)
            if self.at <= self.beating_until:
                self.fence.note_heartbeat(beat(self.at), self.at)
        await asyncio.sleep(0)


def beat(at: Nanoseconds, epoch: int = 3, session: str = "rival") -> Heartbeat:
    return heartbeat(epoch=epoch, session=session, seq=at // NS_PER_S)


@pytest.fixture
def fence() -> EpochFence:
    return EpochFence(sessions={"ours"}, quiet_ns=5 * NS_PER_S, wait_ns=15 * NS_PER_S)


@pytest.fixture
def clock(fence: EpochFence) -> TurnedClock:
    return TurnedClock(fence)


async def claim(fence: EpochFence, clock: TurnedClock, stored_epoch: int = 0) -> Claim:
    fence.listen(clock.now())
    return await fence.claim(stored_epoch, clock)


async def test_silence_takes_exactly_its_time(fence: EpochFence, clock: TurnedClock) -> None:
    began_at = clock.now()
    assert (await claim(fence, clock, 6)).epoch == 7
    assert clock.now() - began_at == 5 * NS_PER_S


async def test_silence_starts_anew_with_each_beat(fence: EpochFence, clock: TurnedClock) -> None:
    began_at = clock.now()
    clock.beating_until = began_at + 8 * NS_PER_S
    assert (await claim(fence, clock)).epoch == 4
    assert clock.now() - began_at == 13 * NS_PER_S


async def test_a_rival_that_goes_on_is_given_up_on_within_wait_and_quiet(
    fence: EpochFence, clock: TurnedClock
) -> None:
    began_at = clock.now()
    clock.beating_until = began_at + 1000 * NS_PER_S
    with pytest.raises(FencedError, match="beating for 15 s"):
        await claim(fence, clock)
    assert clock.now() - began_at <= 20 * NS_PER_S
    assert fence.epoch == 0


async def test_without_a_broker_no_silence_counts(fence: EpochFence, clock: TurnedClock) -> None:
    claiming = asyncio.create_task(fence.claim(0, clock))
    await asyncio.sleep(0)
    clock.at += 60 * NS_PER_S
    await asyncio.sleep(0)
    assert not claiming.done()
    fence.listen(clock.now())
    listening_since = clock.now()
    assert (await claiming).epoch == 1
    assert clock.now() - listening_since == 5 * NS_PER_S


def test_a_replayed_heartbeat_is_nobodys_life(fence: EpochFence) -> None:
    first = heartbeat(epoch=3, session="rival", seq=5)
    assert "we wait" in fence.note_heartbeat(first, 10)
    assert "replays" in fence.note_heartbeat(first, 20)
    assert fence._rival_at == 10


def test_hints_count_only_near_what_is_proven(fence: EpochFence) -> None:
    fence.note_epoch(50)
    fence.note_hint(50 + HINT_ABOVE_VERIFIED_MAX + 1)
    fence.note_hint(2**62)
    fence.note_hint(-7)
    assert fence.highest() == 50
    fence.note_hint(60)
    assert fence.highest() == 60


async def test_of_two_floors_the_newer_counts(fence: EpochFence, clock: TurnedClock) -> None:
    newer, older = posture(version=9, epoch=4), posture(version=8, epoch=4)
    fence.note_posture(newer, is_floor=True)
    fence.note_posture(older, is_floor=True)
    fence.note_posture(posture(BETA, epoch=9), is_floor=False)
    assert await claim(fence, clock) == Claim(epoch=10, floors=(newer,))


async def test_after_the_claim_a_higher_epoch_ends_us_whoever_shows_it(
    fence: EpochFence, clock: TurnedClock
) -> None:
    await claim(fence, clock, 3)
    assert "ours is 4" in fence.note_posture(posture(epoch=3, session="old"), is_floor=True)
    assert fence.note_posture(posture(epoch=99, session="ours"), is_floor=True) == ""
    with pytest.raises(FencedError):
        fence.note_posture(posture(epoch=5, session="other"), is_floor=False)
    with pytest.raises(FencedError):
        fence.note_heartbeat(msgspec.structs.replace(beat(clock.now()), epoch=5), clock.now())


async def test_of_two_that_claimed_one_epoch_the_one_that_stays_knows_that_it_is_contested(
    fence: EpochFence, clock: TurnedClock
) -> None:
    """Bots may know only the other, so the link asks for an epoch that is ours alone."""
    await claim(fence, clock, 6)
    fence.note_heartbeat(heartbeat(epoch=7, session="a rival", seq=1), clock.now())
    assert fence.is_contested  # "ours" sorts higher than "a rival", so it stays
    assert (await claim(fence, clock, 7)).epoch == 8
    assert not fence.is_contested
