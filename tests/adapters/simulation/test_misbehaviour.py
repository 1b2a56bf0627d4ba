"""Frames and sockets of a venue that misbehaves, as a bare WebSocket meets them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from adapters.simulation import Corruption, Fault, FaultKind, LoopbackVenue, fault_schedule, generated_source
from adapters.simulation.misbehaviour.faults import TERMS_KINDS
from tests.adapters.simulation.steady import SteadySource
from tests.support.eventually import eventually

CODE = "BTCUSDT"
STEPS = 40


@dataclass
class Listener:
    """One socket with a single stream."""

    venue: LoopbackVenue
    socket: aiohttp.ClientWebSocketResponse

    async def next(self) -> aiohttp.WSMessage:
        async with asyncio.timeout(10):
            return await self.socket.receive()

    async def ids(self) -> list[int]:
        """Play the held market to its end and return the last update id of each diff, as they came."""
        found = [frame["u"] for frame in await self.frames()]
        return [(number - 100) // 2 for number in found]

    async def frames(self) -> list[dict[str, Any]]:
        self.venue.begin()
        await self.venue.finished()
        await self.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 9})
        frames: list[dict[str, Any]] = []
        while True:
            frame = json.loads((await self.next()).data)
            if frame.get("id") == 9:
                return frames
            frames.append(frame)


@asynccontextmanager
async def listening(stream: str = "btcusdt@depth", steps: int = STEPS) -> AsyncIterator[Listener]:
    """A market of ``steps`` diffs, which waits until it is begun."""
    source = SteadySource(prices=(60_000.0,) * steps)
    async with (
        LoopbackVenue(source, speed=0.0, hold=True) as venue,
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"ws://127.0.0.1:{venue.port}/ws/{stream}", max_msg_size=20_000_000, autoping=False
        ) as socket,
    ):
        yield Listener(venue, socket)


ALL = list(range(1, STEPS + 1))


async def test_what_is_dropped_is_missing_and_nothing_else() -> None:
    async with listening() as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.DROP, rate=0.3, streams=("depth",)), seed=3)
        ids = await listener.ids()

    assert 20 <= len(ids) < 36
    assert ids == sorted(ids)
    assert listener.venue.misbehaviour.hits[FaultKind.DROP] == STEPS - len(ids)


async def test_equal_seeds_hit_the_same_frames_whoever_else_listens() -> None:
    runs = []
    for seed, others in ((3, 0), (3, 2), (4, 0)):
        async with listening() as listener, aiohttp.ClientSession() as session:
            url = f"ws://127.0.0.1:{listener.venue.port}/ws/btcusdt@depth"
            more = [await session.ws_connect(url) for _ in range(others)]
            listener.venue.misbehave(Fault(kind=FaultKind.DROP, rate=0.3), seed=seed)
            runs.append(await listener.ids())
            for socket in more:
                await socket.close()

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


async def test_one_skipped_sequence_number() -> None:
    async with listening() as listener:
        listener.venue.skip_update(CODE)
        ids = await listener.ids()

    assert ids == ALL[1:]


async def test_a_fault_of_one_stream_leaves_the_others_alone() -> None:
    async with listening("btcusdt@markPrice") as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.DROP, streams=("depth",)))
        assert len(await listener.frames()) == STEPS


async def test_duplicates_come_twice_in_a_row() -> None:
    async with listening() as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.DUPLICATE, count=2))
        ids = await listener.ids()

    assert ids == [1, 1, 2, 2, *ALL[2:]]


async def test_reordered_frames_follow_their_successors() -> None:
    async with listening() as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.REORDER, count=1))
        ids = await listener.ids()

    assert ids == [2, 1, *ALL[2:]]


async def test_a_frame_without_successor_comes_after_all() -> None:
    async with listening(steps=1) as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.REORDER))
        listener.venue.begin()
        assert json.loads((await listener.next()).data)["u"] == 102


async def test_delayed_frames_keep_their_order_and_hold_up_what_follows() -> None:
    async with listening(steps=3) as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.DELAY, delay_s=0.2, jitter_s=0.1, count=1))
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        ids = await listener.ids()

    assert ids == [1, 2, 3]
    assert loop.time() - begun_s >= 0.09


@pytest.mark.parametrize("form", [form for form in Corruption if form is not Corruption.UTF8])
async def test_each_corruption_reaches_the_client_once_and_the_rest_is_whole(form: Corruption) -> None:
    async with listening(steps=3) as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.CORRUPT, count=1, form=form), seed=5)
        listener.venue.begin()
        bad, good = await listener.next(), await listener.next()

    if form is Corruption.BINARY:
        assert bad.type is aiohttp.WSMsgType.BINARY
    else:
        assert bad.type is aiohttp.WSMsgType.TEXT
    readable = {Corruption.TYPES, Corruption.NUMBERS, Corruption.UNKNOWN, Corruption.HUGE}
    if form in readable:
        assert json.loads(bad.data) != json.loads(good.data)
    elif form is not Corruption.DEEP:  # Python's own decoder takes some depths and gives up at others
        with pytest.raises(ValueError, match=r"."):
            json.loads(bad.data)
    assert json.loads(good.data)["u"] == 104


async def test_text_that_is_no_utf8_ends_a_connection_that_heeds_the_protocol() -> None:
    async with listening() as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.CORRUPT, count=1, form=Corruption.UTF8))
        listener.venue.begin()
        assert (await listener.next()).type is aiohttp.WSMsgType.ERROR


@pytest.mark.parametrize("pongs", [True, False])
async def test_a_silent_venue_answers_pings_or_not(pongs: bool) -> None:
    async with listening() as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.SILENCE, pongs=pongs))
        listener.venue.begin()
        await listener.venue.finished()
        await listener.socket.ping(b"in the silence")
        await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
        await eventually(lambda: listener.venue.misbehaviour.hits[FaultKind.SILENCE] > STEPS)
        listener.venue.behave()
        await listener.socket.ping(b"after it")
        first = await listener.next()

    assert (first.type, first.data) == (aiohttp.WSMsgType.PONG, b"in the silence" if pongs else b"after it")


async def test_what_a_client_says_may_be_lost_on_its_way() -> None:
    async with listening() as listener:
        listener.venue.misbehave(Fault(kind=FaultKind.DROP, streams=("request",), count=1))
        await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await listener.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert json.loads((await listener.next()).data)["id"] == 2


async def test_a_closed_connection_hears_so_and_a_reset_one_does_not() -> None:
    for kind, ends in (
        (FaultKind.DISCONNECT, aiohttp.WSMsgType.CLOSE),
        (FaultKind.RESET, aiohttp.WSMsgType.CLOSED),
    ):
        async with listening() as listener:
            listener.venue.misbehave(Fault(kind=kind, streams=("trade",)))
            listener.venue.misbehave(Fault(kind=kind, streams=("depth",), symbols=(CODE,)))
            message = await listener.next()
            assert message.type in (ends, aiohttp.WSMsgType.CLOSED)
            assert (message.type is aiohttp.WSMsgType.CLOSE) == (kind is FaultKind.DISCONNECT)


async def test_new_sockets_are_refused_while_old_ones_stand() -> None:
    async with listening() as listener, aiohttp.ClientSession() as session:
        listener.venue.misbehave(Fault(kind=FaultKind.REFUSE, paths=("/ws",)))
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(f"ws://127.0.0.1:{listener.venue.port}/ws")
        assert await listener.ids() == ALL


async def test_timed_faults_begin_and_end_by_themselves() -> None:
    async with listening() as listener:
        venue = listener.venue
        venue.misbehave(Fault(kind=FaultKind.DROP, at_s=0.05, for_s=0.05))
        assert (venue.misbehaviour.active, venue.misbehaviour.waiting) == ((), 1)
        await eventually(lambda: venue.misbehaviour.active)
        await eventually(lambda: not venue.misbehaviour.active)
        assert await listener.ids() == ALL


def test_a_schedule_is_its_seed_and_ends_in_time() -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    first = fault_schedule(7, 600.0, 2.0, symbols=symbols)
    assert first == fault_schedule(7, 600.0, 2.0, symbols=symbols)
    assert first != fault_schedule(8, 600.0, 2.0, symbols=symbols)
    assert {fault.kind for fault in first} == set(FaultKind) - TERMS_KINDS
    assert 400 < len(first) < 800
    assert all(fault.at_s < 600.0 for fault in first)
    assert all(fault.at_s + (fault.for_s or 0.0) <= 606.0 for fault in first)
    assert len(fault_schedule(7, 600.0, 0.2)) < 100


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"kind": FaultKind.HALT}, "name its symbols"),
        ({"kind": FaultKind.DELAY}, "needs delay_s"),
        ({"kind": FaultKind.CLOCK_SKEW}, "needs offset_s"),
        ({"kind": FaultKind.DEPEG}, "name its asset"),
    ],
)
def test_a_fault_that_says_too_little_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Fault(**arguments)


async def test_a_symbol_that_the_venue_does_not_have_is_an_error_of_the_test() -> None:
    async with LoopbackVenue(generated_source("calm", seed=1)) as venue:
        with pytest.raises(KeyError):
            venue.misbehave(Fault(kind=FaultKind.DROP, symbols=("DOGEUSDT",)))
        with pytest.raises(KeyError):
            venue.misbehave(Fault(kind=FaultKind.DEPEG, asset="DOGE"))
        with pytest.raises(ValueError, match="this venue has no DOGE"):
            venue.misbehave_as('{"faults": [{"kind": "depeg", "asset": "DOGE"}]}')
