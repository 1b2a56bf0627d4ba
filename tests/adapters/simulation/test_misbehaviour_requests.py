"""REST of a venue that misbehaves, and the endpoint by which other processes ask for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from adapters.simulation import Fault, FaultKind, LoopbackVenue, generated_source
from tests.adapters.simulation.clients import ALICE, CODE, SYMBOL, client
from tests.adapters.simulation.test_process import PROGRAM, running
from tests.support.eventually import eventually

DEPTH = f"/fapi/v1/depth?symbol={CODE}&limit=5"
TIME = "/fapi/v1/time"


@dataclass
class Asker:
    """Asks a venue over plain HTTP."""

    venue: LoopbackVenue
    session: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str, Any]:
        """Status, type of content, and the body if it is JSON."""
        async with self.session.get(f"http://127.0.0.1:{self.venue.port}{path}") as answer:
            text = await answer.text()
            return answer.status, answer.content_type, json.loads(text) if text.startswith("{") else text

    async def control(self, method: str, plan: object = None) -> tuple[int, Any]:
        async with self.session.request(method, self.venue.control_url(), json=plan) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def asking(**settings: Any) -> AsyncIterator[Asker]:
    venue = LoopbackVenue(generated_source("calm", seed=3, duration_s=60.0), accounts=[ALICE], **settings)
    async with venue, aiohttp.ClientSession() as session:
        yield Asker(venue, session)


@pytest.mark.parametrize("status", [418, 429, 500, 502, 503])
async def test_a_status_with_retry_after_in_the_scope_and_as_often_as_asked(status: int) -> None:
    async with asking() as asker:
        fault = Fault(kind=FaultKind.STATUS, status=status, retry_after_s=7, paths=("/depth",), count=1)
        asker.venue.misbehave(fault)
        assert (await asker.get(TIME))[0] == 200
        async with asker.session.get(f"http://127.0.0.1:{asker.venue.port}{DEPTH}") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (status, "7")
            assert (await answer.json())["code"] < 0
        assert (await asker.get(DEPTH))[0] == 200


async def test_who_asks_on_although_asked_to_wait_is_counted() -> None:
    async with asking() as asker:
        faults = asker.venue.misbehaviour
        asker.venue.misbehave(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=2, count=1))
        assert (await asker.get(TIME))[0] == 429
        assert (await asker.get(TIME))[0] == 200  # it was under way already, for all the venue knows
        assert faults.impatient == 0

        async def asks_again() -> bool:
            await asker.get(TIME)
            return faults.impatient > 0

        async with asyncio.timeout(2.0):
            while not await asks_again():
                pass
        assert faults.requests[TIME] > 2


async def test_a_page_of_html() -> None:
    async with asking() as asker:
        asker.venue.misbehave(Fault(kind=FaultKind.HTML, status=502))
        status, kind, body = await asker.get(DEPTH)

    assert (status, kind) == (502, "text/html")
    assert body.startswith("<html>")


async def test_an_answer_that_ends_in_the_middle() -> None:
    async with asking() as asker:
        asker.venue.misbehave(Fault(kind=FaultKind.TRUNCATE, count=1))
        with pytest.raises(aiohttp.ClientPayloadError):
            await asker.get(DEPTH)
        assert (await asker.get(DEPTH))[0] == 200


async def test_an_answer_that_comes_late_or_never() -> None:
    async with asking() as asker:
        loop = asyncio.get_running_loop()
        asker.venue.misbehave(Fault(kind=FaultKind.HANG, delay_s=0.2, count=1))
        begun_s = loop.time()
        assert (await asker.get(TIME))[0] == 200
        assert loop.time() - begun_s >= 0.2

        asker.venue.misbehave(Fault(kind=FaultKind.HANG, for_s=0.2))
        with pytest.raises(aiohttp.ClientError):
            # Not GET: aiohttp asks once more in silence where a connection ends without an answer.
            await asker.session.post(f"http://127.0.0.1:{asker.venue.port}{TIME}")
        assert (await asker.get(TIME))[0] == 200


async def test_a_request_that_is_cut() -> None:
    async with asking() as asker:
        # aiohttp asks once more in silence where a connection ends without an answer.
        asker.venue.misbehave(Fault(kind=FaultKind.REFUSE, count=2))
        with pytest.raises(aiohttp.ClientError):
            await asker.get(TIME)
        assert (await asker.get(TIME))[0] == 200


async def test_a_snapshot_from_before_the_fault() -> None:
    async with asking() as asker:
        _, _, before = await asker.get(DEPTH)
        asker.venue.misbehave(Fault(kind=FaultKind.STALE, paths=("/depth",)))
        old = before["lastUpdateId"]
        await eventually(lambda: asker.venue.market(CODE).book.update_id > old)
        _, _, stale = await asker.get(DEPTH)
        _, _, other = await asker.get(DEPTH.replace("limit=5", "limit=10"))
        asker.venue.behave()
        _, _, fresh = await asker.get(DEPTH)

    assert stale == before
    assert other["lastUpdateId"] > old  # it had not been asked before
    assert fresh["lastUpdateId"] > old


async def test_an_order_may_have_been_carried_out_although_the_answer_is_503() -> None:
    async with asking() as asker, client(asker.venue, ALICE) as exchange:
        await exchange.load_markets()
        asker.venue.misbehave(
            Fault(kind=FaultKind.STATUS, status=503, paths=("/order",), account="alice", carried_out=True)
        )
        with pytest.raises(ccxt.BaseError):
            await exchange.create_order(SYMBOL, "market", "buy", 0.01)
        position = asker.venue.account_state("alice").positions[0]

    assert float(position.amount) == 0.01


async def test_a_fault_of_one_account_leaves_the_others_alone() -> None:
    async with asking() as asker, client(asker.venue, ALICE) as exchange:
        asker.venue.misbehave(Fault(kind=FaultKind.STATUS, account="alice"))
        assert (await asker.get(TIME))[0] == 200
        with pytest.raises(ccxt.BaseError, match="-1008"):
            await exchange.fetch_balance()


async def test_another_clock_refuses_signatures_until_the_difference_is_known() -> None:
    async with asking() as asker, client(asker.venue, ALICE) as exchange:
        await exchange.load_markets()
        ours_ms = exchange.milliseconds()
        asker.venue.misbehave(Fault(kind=FaultKind.CLOCK_SKEW, offset_s=30.0))
        assert await exchange.fetch_time() - ours_ms >= 30_000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await exchange.fetch_balance()
        await exchange.load_time_difference()
        assert await exchange.fetch_balance()
        asker.venue.behave()
        assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 5_000


async def test_keys_are_refused_until_every_such_fault_is_over() -> None:
    async with asking() as asker, client(asker.venue, ALICE) as exchange:
        asker.venue.misbehave(
            Fault(kind=FaultKind.REFUSE_KEYS), Fault(kind=FaultKind.REFUSE_KEYS, for_s=0.05)
        )
        await eventually(lambda: len(asker.venue.misbehaviour.active) == 1)
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()
        asker.venue.behave()
        assert await exchange.fetch_balance()


async def test_another_process_begins_sees_and_ends_faults() -> None:
    async with asking() as asker:
        plan = {"seed": 1, "faults": [{"kind": "status", "paths": ["/depth"]}, {"kind": "drop", "at_s": 60}]}
        status, state = await asker.control("POST", plan)
        assert (status, state["waiting"], state["active"]) == (
            200,
            1,
            [{"kind": "status", "paths": ["/depth"]}],
        )
        assert (await asker.get(DEPTH))[0] == 503

        _, state = await asker.control("GET")
        assert state["hits"] == {"status": 1}
        assert state["requests"] == {"/fapi/v1/depth": 1}
        async with asker.session.ws_connect(f"ws://127.0.0.1:{asker.venue.port}/ws/a-listen-key"):
            _, state = await asker.control("GET")
            assert state["requests"] == {"/fapi/v1/depth": 1, "websocket": 1}

        _, state = await asker.control("DELETE")
        assert (state["active"], state["waiting"]) == ([], 0)
        assert (await asker.get(DEPTH))[0] == 200

        _, state = await asker.control("POST", {"seed": 5, "duration_s": 600.0, "intensity": 2.0})
        assert state["waiting"] + len(state["active"]) > 400


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ([], "Expected `object`"),
        ({"faults": [{"kind": "explode"}]}, "'explode' - at `$.faults[0].kind`"),
        ({"faults": [{"kind": "drop", "rat": 1}]}, "unknown field `rat`"),
        ({"faults": [{"kind": "drop", "rate": 2}]}, "$.faults[0].rate"),
        ({"faults": [{"kind": "halt"}]}, "name its symbols"),
        ({"faults": [{"kind": "drop"}, {"kind": "halt", "symbols": ["DOGEUSDT"]}]}, "has no DOGEUSDT"),
    ],
)
async def test_a_plan_that_cannot_be_used_begins_nothing_and_names_what_is_wrong(
    plan: object, problem: str
) -> None:
    async with asking() as asker:
        status, said = await asker.control("POST", plan)
        assert status == 400
        assert problem in said["error"]
        assert asker.venue.misbehaviour.active == ()


async def test_the_process_takes_a_plan_from_a_file_and_tells_its_control_address(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"faults": [{"kind": "status", "status": 418}]}')
    async with running("--faults", str(path)) as (_, ready), aiohttp.ClientSession() as session:
        async with session.get(ready["urls"]["api"]["fapiPublic"] + "/time") as answer:
            assert answer.status == 418
        async with session.delete(ready["control"]) as answer:
            assert (await answer.json())["active"] == []


@pytest.mark.parametrize(("text", "problem"), [("{", "not a plan of faults"), (None, "No such file")])
async def test_a_plan_file_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, problem: str
) -> None:
    path = tmp_path / "faults.json"
    if text is not None:
        path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "--faults", str(path), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, error = await process.communicate()

    assert process.returncode == 2
    assert problem in error.decode()
    assert "Traceback" not in error.decode()
