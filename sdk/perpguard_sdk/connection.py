"""aiomqtt's client, which says at once when the broker hangs up before it has let us in."""

from __future__ import annotations

from typing import Any, Self

import aiomqtt


class Connection(aiomqtt.Client):
    """Used once. Where the broker refuses our certificate, aiomqtt itself would wait for its timeout."""

    _entered = False

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._entered = True
        return self

    def _on_disconnect(self, client: Any, *args: Any) -> None:
        self._loop.call_soon_threadsafe(self._fail_opening)
        super()._on_disconnect(client, *args)

    def _fail_opening(self) -> None:
        if not self._entered and not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("the broker hung up before it let us in"))
