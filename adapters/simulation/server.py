"""The venue's HTTP server: REST and WebSockets on one port, in the words of its dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from adapters.simulation.dialects import Dialect, RestRequest
from adapters.simulation.errors import Refusal
from adapters.simulation.misbehaviour.requests import CONTROL_PATH, Control, misanswered
from adapters.simulation.misbehaviour.switchboard import Asked, Misbehaviour, request_key
from adapters.simulation.streams import Hub
from adapters.simulation.wire import encode

SHUTDOWN_S = 1.0


class VenueServer:
    """Listens, takes requests apart, and turns refusals into the venue's error answers."""

    def __init__(
        self,
        dialect: Dialect,
        hub: Hub,
        faults: Misbehaviour,
        control: Control,
        account_of: Callable[[Mapping[str, str]], str | None],
        host: str,
        port: int,
    ) -> None:
        self._dialect = dialect
        self._hub = hub
        self._faults = faults
        self._control = control
        self._account_of = account_of
        self.host = host
        self.port = port
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def start(self) -> None:
        """Listen; with port 0, ``port`` is the one that was free.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    def ccxt_urls(self) -> dict[str, Any]:
        """The value for ccxt's ``urls``."""
        return self._dialect.ccxt_urls(self.host, self.port)

    @property
    def control_url(self) -> str:
        return f"http://{self.host}:{self.port}{CONTROL_PATH}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/control/"):
            return await self._control.handle(request)
        is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        account = self._account_of(request.headers)
        running = self._faults.hit_by(Asked(request.method, request.path, account, is_socket))
        if running is None and is_socket:
            return await self._handle_socket(request)
        key = request_key(request.method, request.raw_path, account or "")

        async def answer() -> web.Response:
            return await self._answer(request, key)

        if running is None:
            return await answer()
        return await misanswered(self._faults, running, request, key, answer)

    async def _answer(self, request: web.Request, key: str) -> web.Response:
        try:
            answer = await self._dialect.answer(await _taken_apart(request))
        except Refusal as refusal:
            return _json(*self._dialect.refused(refusal))
        response = _json(answer, 200)
        if request.method == "GET" and isinstance(response.body, bytes):
            self._faults.keep_answer(key, response.body)
        return response

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False)
        connection = self._hub.connection(socket, request.transport)
        if not self._dialect.admit(connection, request):
            raise web.HTTPNotFound
        await self._hub.serve(connection, request, self._dialect.hear)
        return socket


async def _taken_apart(request: web.Request) -> RestRequest:
    # The raw target: aiohttp's parsed URL is already unquoted, and a signature covers what was sent.
    path, _, query = request.raw_path.partition("?")
    body = (await request.read()).decode(errors="replace")
    return RestRequest(request.method, path, query, body, request.headers)


def _json(answer: Any, status: int) -> web.Response:
    return web.Response(body=encode(answer), status=status, content_type="application/json")
