"""The venue's HTTP server: REST and WebSockets on one port, in the words of its dialect."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from adapters.simulation.dialects import Dialect, RestRequest
from adapters.simulation.errors import Refusal
from adapters.simulation.streams import Connection, Hub
from adapters.simulation.wire import encode

SHUTDOWN_S = 1.0


class VenueServer:
    """Listens, takes requests apart, and turns refusals into the venue's error answers."""

    def __init__(self, dialect: Dialect, hub: Hub, host: str, port: int) -> None:
        self._dialect = dialect
        self._hub = hub
        self._host = host
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
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    def ccxt_urls(self) -> dict[str, Any]:
        """The value for ccxt's ``urls``."""
        return self._dialect.ccxt_urls(self._host, self.port)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._handle_socket(request)
        try:
            answer = await self._dialect.answer(await _taken_apart(request))
        except Refusal as refusal:
            return _json(*self._dialect.refused(refusal))
        return _json(answer, 200)

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False)
        connection = Connection(socket, request.transport)
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
