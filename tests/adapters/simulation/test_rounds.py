"""Orders of one round are matched together, at its end, in the order of their coming."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from adapters.simulation.rounds import MatchingRounds

MS = 1_000_000


async def test_without_rounds_an_order_is_matched_at_once() -> None:
    rounds = MatchingRounds(0)
    rounds.advance(0)
    assert await rounds.run(lambda: "filled") == "filled"


async def test_orders_wait_for_the_end_of_their_round_and_meet_the_same_moment() -> None:
    rounds = MatchingRounds(500)
    rounds.advance(1_000 * MS)
    done: list[str] = []
    orders = [asyncio.create_task(rounds.run(partial(done.append, name))) for name in ("first", "second")]
    await asyncio.sleep(0)
    rounds.advance(1_400 * MS)
    assert done == []
    rounds.advance(1_501 * MS)
    assert done == ["first", "second"]
    await asyncio.gather(*orders)


async def test_a_refusal_is_told_to_its_own_request_alone() -> None:
    rounds = MatchingRounds(500)
    rounds.advance(0)

    def refuse() -> None:
        raise ValueError("no margin")

    bad, good = asyncio.create_task(rounds.run(refuse)), asyncio.create_task(rounds.run(lambda: 1))
    await asyncio.sleep(0)
    rounds.end()
    with pytest.raises(ValueError, match="no margin"):
        await bad
    assert await good == 1


async def test_an_order_whose_client_is_gone_is_not_matched() -> None:
    rounds = MatchingRounds(500)
    rounds.advance(0)
    done: list[str] = []
    order = asyncio.create_task(rounds.run(lambda: done.append("matched")))
    await asyncio.sleep(0)
    order.cancel()
    await asyncio.gather(order, return_exceptions=True)
    rounds.end()
    assert done == []
