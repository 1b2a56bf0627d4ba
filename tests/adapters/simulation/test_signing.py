"""Who may ask: each way in which a request can be wrong has its own answer."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal

import pytest

from adapters.simulation.account import VenueAccount
from adapters.simulation.errors import Refusal
from adapters.simulation.ledger import Ledger
from adapters.simulation.signing import Gate
from tests.adapters.simulation.clients import ALICE
from tests.adapters.simulation.harness import START_MS

KEY = {"X-MBX-APIKEY": ALICE.api_key}


def gate(now_ms: int = START_MS) -> Gate:
    made = Gate(lambda: now_ms, listen_key_ms=1_000, recv_window_ms_max=60_000)
    made.admit(VenueAccount(ALICE, Ledger(Decimal(1), 20), tell=lambda _: None))
    return made


def sign(query: str, secret: str = ALICE.api_secret) -> str:
    digest = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={digest}"


def refusal(headers: dict[str, str], query: str = "", body: str = "") -> int:
    with pytest.raises(Refusal) as error:
        gate().signed(headers, query, body)
    return error.value.code


def test_a_signed_query_is_admitted_with_its_parameters() -> None:
    account, parameters = gate().signed(KEY, sign(f"symbol=BTC%2FUSDT&timestamp={START_MS}"), "")

    assert account.spec is ALICE
    assert parameters["symbol"] == "BTC/USDT"


def test_a_signed_body_is_admitted_and_so_is_a_mix_of_both() -> None:
    _, parameters = gate().signed(KEY, "", sign(f"quantity=1&timestamp={START_MS}"))
    assert parameters["quantity"] == "1"

    query, body = "symbol=BTCUSDT", f"quantity=1&timestamp={START_MS}"
    signature = sign(query + body).partition("signature=")[2]
    _, parameters = gate().signed(KEY, query, f"{body}&signature={signature}")
    assert (parameters["symbol"], parameters["quantity"]) == ("BTCUSDT", "1")


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({}, sign(f"timestamp={START_MS}"), -2014),
        ({"X-MBX-APIKEY": "nobody"}, sign(f"timestamp={START_MS}"), -2015),
        (KEY, f"timestamp={START_MS}", -1102),
        (KEY, sign(f"timestamp={START_MS}", "other"), -1022),
        (KEY, sign(f"timestamp={START_MS}").replace(f"{START_MS}", f"{START_MS + 1}"), -1022),
        (KEY, sign("symbol=BTCUSDT"), -1102),
        (KEY, sign("timestamp=now"), -1100),
        (KEY, sign(f"timestamp={START_MS - 5_001}"), -1021),
        (KEY, sign(f"timestamp={START_MS + 1_001}"), -1021),
        (KEY, sign(f"timestamp={START_MS - 11}&recvWindow=10"), -1021),
        (KEY, sign(f"timestamp={START_MS}&recvWindow=60001"), -1131),
    ],
)
def test_what_is_wrong_has_its_code(headers: dict[str, str], query: str, code: int) -> None:
    assert refusal(headers, query) == code


def test_keys_can_be_refused_for_a_while() -> None:
    made = gate()
    made.refuse_keys = True
    with pytest.raises(Refusal) as error:
        made.signed(KEY, sign(f"timestamp={START_MS}"), "")
    assert (error.value.code, error.value.status) == (-2015, 401)

    made.refuse_keys = False
    assert made.signed(KEY, sign(f"timestamp={START_MS}"), "")


def test_an_account_has_one_listen_key_until_it_ends() -> None:
    made = gate()
    account = made.keyed(KEY)
    key = made.open_listen_key(account)

    assert made.open_listen_key(account) == key == made.renew_listen_key(account)
    assert made.owner(key) == "alice"
    made.close_listen_key(account)
    assert made.owner(key) is None


def test_secrets_do_not_show() -> None:
    assert ALICE.api_secret not in repr(ALICE)
    assert ALICE.api_key not in repr(ALICE)
