"""A venue's REST on loopback that answers as a function says, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

Asked = dict[str, str]
"""The parameters of a request: its query, or its JSON body."""


class AnswerServer:
    """Use as an async context manager. What the function answers with ``None`` is no such path."""

    def __init__(self, answer: Callable[[str, Asked], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Asked]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        parameters = msgspec.json.decode(body, type=dict[str, Any]) if body else dict(request.query)
        self.asked.append((request.path, parameters))
        answer = self.answer(request.path, parameters)
        if answer is None:
            return web.json_response({}, status=404)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
