"""REST and the opening of sockets as a venue in trouble does them, and the control endpoint that asks for it."""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from adapters.simulation.assets import AssetIndex
from adapters.simulation.misbehaviour.corruption import HTML_PAGE
from adapters.simulation.misbehaviour.faults import Fault, FaultKind, read_plan
from adapters.simulation.misbehaviour.schedule import fault_schedule
from adapters.simulation.misbehaviour.switchboard import Misbehaviour, Running

CONTROL_PATH = "/control/faults"
CONTROL_BYTES_MAX = 1_000_000

Answer = Callable[[], Awaitable[web.Response]]
"""Answers a request as a sound venue does."""

_TEXTS = {
    418: (-1003, "Way too many requests; IP banned until the time in Retry-After."),
    429: (-1003, "Too many requests."),
    503: (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes."),
}


async def misanswered(
    faults: Misbehaviour, running: Running, request: web.Request, key: str, answer: Answer
) -> web.StreamResponse:
    """Answer a request that a fault has hit.

    Args:
        faults: of the venue.
        running: the fault.
        request: which it is.
        key: its name among answers that are kept.
        answer: what would have been done.
    """
    fault = running.fault
    if fault.carried_out and fault.kind in (FaultKind.STATUS, FaultKind.HTML, FaultKind.REFUSE):
        await answer()
    match fault.kind:
        case FaultKind.REFUSE:
            return _cut(request)
        case FaultKind.STATUS:
            return _status(faults, fault)
        case FaultKind.HTML:
            return web.Response(body=HTML_PAGE, status=fault.status, content_type="text/html")
        case FaultKind.HANG:
            return await _hung(running, request, answer)
        case FaultKind.TRUNCATE:
            return await _truncated(request, await answer())
        case FaultKind.STALE:
            body = running.answers.get(key)
            return (
                await answer() if body is None else web.Response(body=body, content_type="application/json")
            )
        case _:
            raise AssertionError(f"{fault.kind} is no fault of requests")


def _status(faults: Misbehaviour, fault: Fault) -> web.Response:
    headers = {}
    if fault.retry_after_s is not None:
        faults.asked_to_wait(fault.retry_after_s)
        headers["Retry-After"] = str(math.ceil(fault.retry_after_s))
    code, text = _TEXTS.get(fault.status, (-1000, "An unknown error occurred while processing the request."))
    body = msgspec.json.encode({"code": code, "msg": text})
    return web.Response(body=body, status=fault.status, headers=headers, content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    transport = request.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    return web.Response(status=503)  # nobody hears it


async def _hung(running: Running, request: web.Request, answer: Answer) -> web.StreamResponse:
    answered = await answer() if running.fault.carried_out else None
    try:
        async with asyncio.timeout(running.fault.delay_s):
            await running.ended.wait()
    except TimeoutError:
        return answered or await answer()
    return _cut(request)


async def _truncated(request: web.Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body
    assert isinstance(body, bytes)
    half = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


class Control:
    """``/control/faults`` for other processes on this machine: GET says what is on, POST begins, DELETE ends."""

    def __init__(self, faults: Misbehaviour, symbols: Sequence[str], assets: AssetIndex) -> None:
        self._faults = faults
        self._symbols = symbols
        self._assets = assets

    async def handle(self, request: web.Request) -> web.Response:
        """Take one control request; whoever is not on this machine is turned away."""
        if not _is_local(request.remote):
            return _said({"error": "faults are begun from this machine only"}, 403)
        if request.path != CONTROL_PATH:
            return _said({"error": f"there is no {request.path}; faults are at {CONTROL_PATH}"}, 404)
        match request.method:
            case "GET":
                return _said(self._state())
            case "DELETE":
                self._faults.end_all()
                return _said(self._state())
            case "POST":
                return await self._begin(request)
            case _:
                return _said({"error": "GET, POST or DELETE"}, 405)

    def begin(self, text: bytes | str) -> int:
        """Begin the faults of a plan; returns how many.

        Raises:
            ValueError: it is no plan, or names a symbol or an asset that the venue does not have.
        """
        plan = read_plan(text)
        symbols = plan.symbols or tuple(self._symbols)
        faults = list(plan.faults)
        if plan.duration_s > 0.0:
            faults += fault_schedule(plan.seed, plan.duration_s, plan.intensity, symbols=symbols)
        strange = {symbol for fault in faults for symbol in fault.symbols} - set(self._symbols)
        strange |= {fault.asset for fault in faults if fault.asset} - set(self._assets.assets)
        if strange:
            raise ValueError(f"not a plan of faults: this venue has no {', '.join(sorted(strange))}")
        self._faults.begin(faults, seed=plan.seed)
        return len(faults)

    async def _begin(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > CONTROL_BYTES_MAX:
            return _said({"error": f"a plan has at most {CONTROL_BYTES_MAX} bytes"}, 413)
        try:
            self.begin(await request.read())
        except ValueError as error:
            return _said({"error": str(error)}, 400)
        return _said(self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "active": self._faults.active,
            "waiting": self._faults.waiting,
            "hits": self._faults.hits,
            "requests": self._faults.requests,
            "impatient": self._faults.impatient,
        }


def _is_local(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False


def _said(answer: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), status=status, content_type="application/json")
