"""Who is asking: API keys and HMAC signatures, of REST requests and of WebSocket logins, as Bybit checks them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from adapters.simulation.account import VenueAccount
from adapters.simulation.dialects import RestRequest
from adapters.simulation.errors import Refusal
from adapters.simulation.signing import Gate

INVALID_KEY, INVALID_SIGN, INVALID_TIME = 10003, 10004, 10002
AHEAD_MS_MAX = 1_000


class BybitGate:
    """Tells clients apart; refusals carry Bybit's positive codes."""

    def __init__(self, gate: Gate, clock_ms: Callable[[], int]) -> None:
        self._gate = gate
        self._clock_ms = clock_ms

    def signed(self, request: RestRequest) -> VenueAccount:
        """The account of a signed request.

        Raises:
            Refusal: key, signature, timestamp or window are wrong.
        """
        headers = request.headers
        key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
        window = headers.get("X-BAPI-RECV-WINDOW", "5000")
        account = self._account(key)
        if not stamp.isdigit() or not window.isdigit():
            raise Refusal(INVALID_TIME, "Request parameter error.")
        signed = stamp + key + window + (request.body if request.method == "POST" else request.query)
        self._check(account, signed, headers.get("X-BAPI-SIGN", ""))
        now_ms = self._clock_ms()
        if not now_ms - int(window) <= int(stamp) < now_ms + AHEAD_MS_MAX:
            raise Refusal(
                INVALID_TIME,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
            )
        return account

    def login(self, arguments: list[object]) -> VenueAccount:
        """The account of a WebSocket ``auth``: key, when it expires in ms, signature.

        Raises:
            Refusal: one of them is wrong.
        """
        if len(arguments) != 3:
            raise Refusal(INVALID_SIGN, "Params Error")
        key, expires, signature = map(str, arguments)
        account = self._account(key)
        if not expires.isdigit() or int(expires) < self._clock_ms():
            raise Refusal(INVALID_TIME, "Request has expired")
        self._check(account, f"GET/realtime{expires}", signature)
        return account

    def _account(self, key: str) -> VenueAccount:
        account = self._gate.account_of(key)
        if account is None:
            raise Refusal(INVALID_KEY, "API key is invalid.")
        return account

    def _check(self, account: VenueAccount, signed: str, signature: str) -> None:
        expected = hmac.new(account.spec.api_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signature.lower()):
            raise Refusal(INVALID_SIGN, "error sign! please check your signature generation algorithm.")
