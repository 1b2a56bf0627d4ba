"""Frames by aiohttp, ccxt's own socket: one task a socket instead of one a frame, and bounded turns."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType

from adapters.exchanges.frames import DECLINED
from adapters.exchanges.transport import DECLINED_WORK, TURN_WORK_MAX, Lane, decline

_ENDED = (WSMsgType.CLOSED, WSMsgType.CLOSING)


async def receive(socket: Any, lane: Lane | None) -> None:
    """Take the frames of a socket of ccxt until it is closed or has failed.

    Whatever goes wrong ends in ccxt's ``on_close`` or ``on_error``: a receive loop never ends in silence.
    """
    intake = _Intake(socket, lane)
    try:
        while not socket.is_deaf:
            message = await socket.connection.receive()
            if message.type in _ENDED:
                break
            intake.begin()
            left = TURN_WORK_MAX - intake.take(message)
            # What waits already needs no wake-up each; as in ccxt, the last one stays for ``receive`` to account for.
            waiting = socket.buffer
            while waiting is not None and len(waiting) > 1 and left > 0 and not socket.is_deaf:
                message, size = waiting.popleft()
                waiting[0] = (waiting[0][0], waiting[0][1] + size + socket.FRAME_OVERHEAD)
                left -= intake.take(message)
            intake.end()
            if left <= 0:
                await asyncio.sleep(0)
        if not socket.is_deaf:
            socket.on_close(1006)
    except Exception as error:  # noqa: BLE001 - as ccxt, which calls whatever it is a lost connection
        if not socket.is_deaf:
            socket.fail(error)


class _Intake:
    """Offers frames to a lane, and hands on what it declines."""

    __slots__ = ("_any_taken", "_at", "_lane", "_socket", "_take")

    def __init__(self, socket: Any, lane: Lane | None) -> None:
        self._socket = socket
        self._lane = lane
        self._take = decline if lane is None else lane.reader.take
        self._at = 0
        self._any_taken = False

    def begin(self) -> None:
        if self._lane is not None:
            self._at = self._lane.now()

    def take(self, message: Any) -> int:
        """Take one message; return what that was worth of a turn's work."""
        if message.type is WSMsgType.TEXT and self._lane is not None:
            try:
                index = self._take(message.data, self._at)
                if index != DECLINED:
                    self._any_taken = True
                    if index >= 0:
                        self._lane.on_attention(index)
                    return 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends nothing but this frame
                self._socket.tap.on_malformed(self._socket.url, message.data, error)
                return DECLINED_WORK
        self._socket.handle_message(message)
        return DECLINED_WORK

    def end(self) -> None:
        if self._any_taken and self._lane is not None:
            self._any_taken = False
            self._lane.on_taken(self._socket.url, self._at)
