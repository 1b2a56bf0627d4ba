"""The venue as Bybit v5: linear perpetuals and a unified trading account, over REST and WebSocket.

``dialect`` takes requests and sockets apart, ``rest_public`` and ``rest_private`` answer, ``windows`` holds what
of each book was published, ``payloads`` spells what happened, ``signing`` knows who is asking.
"""

from adapters.simulation.bybit.dialect import BybitDialect

__all__ = ["BybitDialect"]
