"""Who is asking: API keys, HMAC signatures, timestamps and listen keys, refused as Binance refuses."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from adapters.simulation.account import VenueAccount
from adapters.simulation.errors import Refusal, invalid_key, invalid_signature, missing

AHEAD_MS_MAX = 1_000
RECV_WINDOW_MS = 5_000


@dataclass(slots=True)
class _ListenKey:
    account: str
    expires_ms: int


class Gate:
    """Tells clients apart and turns the wrong ones away."""

    def __init__(self, clock_ms: Callable[[], int], *, listen_key_ms: int, recv_window_ms_max: int) -> None:
        self.refuse_keys = False
        self._clock_ms = clock_ms
        self._listen_key_ms = listen_key_ms
        self._recv_window_ms_max = recv_window_ms_max
        self._by_key: dict[str, VenueAccount] = {}
        self._listen_keys: dict[str, _ListenKey] = {}

    def admit(self, account: VenueAccount) -> None:
        self._by_key[account.spec.api_key] = account

    def account_of(self, key: str) -> VenueAccount | None:
        """The account of a key; none for one that is unknown, or refused at the moment."""
        return None if self.refuse_keys else self._by_key.get(key)

    def keyed(self, headers: Mapping[str, str]) -> VenueAccount:
        """The account of the key alone, for endpoints that need no signature.

        Raises:
            Refusal: no key, an unknown one, or keys are refused at the moment.
        """
        key = headers.get("X-MBX-APIKEY")
        if not key:
            raise Refusal(-2014, "API-key format invalid.", 401)
        account = self._by_key.get(key)
        if account is None or self.refuse_keys:
            raise invalid_key()
        return account

    def signed(
        self, headers: Mapping[str, str], query: str, body: str
    ) -> tuple[VenueAccount, dict[str, str]]:
        """The account and the parameters of a signed request.

        Args:
            headers: of the request.
            query: as it came over the wire, still encoded.
            body: likewise.

        Raises:
            Refusal: key, signature, timestamp or recvWindow are wrong.
        """
        account = self.keyed(headers)
        pairs = [pair for part in (query, body) for pair in part.split("&") if pair]
        signatures = [pair.partition("=")[2] for pair in pairs if pair.startswith("signature=")]
        if not signatures:
            raise missing("signature")
        # What is signed is the query joined to the body as they were sent, without the signature itself.
        unsigned = "".join(
            "&".join(pair for pair in part.split("&") if pair and not pair.startswith("signature="))
            for part in (query, body)
        )
        expected = hmac.new(account.spec.api_secret.encode(), unsigned.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signatures[-1].lower()):
            raise invalid_signature()
        parameters = dict(parse_qsl("&".join(pairs), keep_blank_values=True))
        self._check_time(parameters)
        return account, parameters

    def open_listen_key(self, account: VenueAccount) -> str:
        """Make a listen key, or renew the one that there is."""
        for key, listen_key in self._listen_keys.items():
            if listen_key.account == account.spec.name:
                listen_key.expires_ms = self._clock_ms() + self._listen_key_ms
                return key
        key = secrets.token_urlsafe(48)
        self._listen_keys[key] = _ListenKey(account.spec.name, self._clock_ms() + self._listen_key_ms)
        return key

    def renew_listen_key(self, account: VenueAccount) -> str:
        """Renew.

        Raises:
            Refusal: there is none.
        """
        if not any(listen_key.account == account.spec.name for listen_key in self._listen_keys.values()):
            raise Refusal(-1125, "This listenKey does not exist.")
        return self.open_listen_key(account)

    def close_listen_key(self, account: VenueAccount) -> None:
        for key in [k for k, v in self._listen_keys.items() if v.account == account.spec.name]:
            del self._listen_keys[key]

    def owner(self, listen_key: str) -> str | None:
        """The name of the account that a listen key belongs to."""
        found = self._listen_keys.get(listen_key)
        return found.account if found is not None else None

    def expire_listen_keys(self, *, every: bool = False) -> list[tuple[str, str]]:
        """Forget the listen keys whose time is over (or every one): key and account of each."""
        now_ms = self._clock_ms()
        gone = [(k, v.account) for k, v in self._listen_keys.items() if every or v.expires_ms <= now_ms]
        for key, _ in gone:
            del self._listen_keys[key]
        return gone

    def _check_time(self, parameters: dict[str, str]) -> None:
        stamp, window = parameters.get("timestamp"), parameters.get("recvWindow", str(RECV_WINDOW_MS))
        if not stamp:
            raise missing("timestamp")
        if not stamp.isdigit() or not window.isdigit():
            raise Refusal(-1100, "Illegal characters found in parameter 'timestamp' or 'recvWindow'.")
        age_ms = self._clock_ms() - int(stamp)
        if int(window) > self._recv_window_ms_max:
            raise Refusal(-1131, f"recvWindow must be less than {self._recv_window_ms_max}")
        if age_ms < -AHEAD_MS_MAX:
            raise Refusal(
                -1021, f"Timestamp for this request was {AHEAD_MS_MAX}ms ahead of the server's time."
            )
        if age_ms > int(window):
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
